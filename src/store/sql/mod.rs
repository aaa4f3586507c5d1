//! SQL that is written once: the door to the database, whichever it is.
//!
//! A [`query`] with `$1`, `$2`, … and bound values runs on a [`Connection`], and what it answers is read as tuples,
//! single columns or [`Row`]s. Columns are text, numbers (`i64`) and bytes, each possibly NULL; nothing else exists
//! here, because nothing else is the same everywhere. Texts of queries are `&'static str`: what a user wrote can only
//! be bound. Queries of changing shape are put together by a [`Builder`] from such pieces.

mod builder;
mod connection;
mod database;
mod location;
mod row;
mod session;
mod value;

pub(crate) use sqlx::Error;
use sqlx::{SqlSafeStr, SqlStr};

pub(crate) use self::builder::Builder;
pub(crate) use self::connection::Connection;
pub(super) use self::database::{CHANNEL, Database};
pub(crate) use self::location::Location;
pub(crate) use self::row::{Read, Row};
pub(crate) use self::value::Value;

/// A query and its values, in the order of their numbers.
#[must_use]
pub(crate) struct Query<'a> {
    text: SqlStr,
    values: Vec<Value<'a>>,
}

/// A query; values follow by [`Query::bind`].
pub(crate) fn query<'a>(text: &'static str) -> Query<'a> {
    Query {
        text: text.into_sql_str(),
        values: Vec::new(),
    }
}

impl<'a> Query<'a> {
    /// The value of the next number.
    pub(crate) fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; returns how many rows it changed.
    pub(crate) async fn execute(self, connection: &mut Connection) -> Result<u64, Error> {
        connection.execute(self.text, &self.values).await
    }

    /// The only row.
    pub(crate) async fn fetch_one<T: Read>(self, connection: &mut Connection) -> Result<T, Error> {
        self.fetch_optional(connection)
            .await?
            .ok_or(Error::RowNotFound)
    }

    /// The first row, if there is any.
    pub(crate) async fn fetch_optional<T: Read>(
        self,
        connection: &mut Connection,
    ) -> Result<Option<T>, Error> {
        let row = connection.first(self.text, &self.values).await?;
        row.map(T::read).transpose()
    }

    /// All rows.
    pub(crate) async fn fetch_all<T: Read>(
        self,
        connection: &mut Connection,
    ) -> Result<Vec<T>, Error> {
        let rows = connection.all(self.text, &self.values).await?;
        rows.into_iter().map(T::read).collect()
    }
}
