//! Deployments and what belongs to them: rows, documents, the feed of events, sealed streams, resources.
//!
//! Functions take a connection, so that a use case can put several into one transaction; [`rows`] first.

pub(crate) mod code;
pub(crate) mod documents;
pub(crate) mod feed;
pub(crate) mod leases;
pub(crate) mod places;
pub(crate) mod resources;
pub(crate) mod rows;
pub(crate) mod runs;
pub(crate) mod streams;
pub(crate) mod turns;

/// What queries run on: a `Reading` or a `Writing`.
pub(crate) use super::sql::Connection;
