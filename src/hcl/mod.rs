//! The resource graph as OpenTofu files: [`render`] turns a graph into a [`Bundle`].
//!
//! HCL is built as a tree and printed, never concatenated; text of users goes only through
//! [`escape`], because the printer's own escaping lets some plain strings through as live templates.
//! Reads no files; code of modules is handed in by digest. [`check_module`] reads code of modules.

pub(crate) mod bundle;

pub(crate) use self::bundle::{Backend, Bundle, LOCK_FILE};
