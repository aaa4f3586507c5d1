//! The resource graph as OpenTofu files: [`mod@render`] turns a graph into a [`Bundle`].
//!
//! HCL is built as a tree and printed, never concatenated; text of users goes only through
//! [`escape::literal`], because the printer's own escaping lets some plain strings through as live
//! templates. Reads no files; code of modules is handed in by digest. [`check_module`] reads code of
//! modules, to say early what the engine would say late.

mod align;
pub(crate) mod bundle;
mod code;
mod escape;
mod expr;
mod facts;
mod lock;
mod names;
mod render;
mod shape;
pub(crate) mod versions;

pub(crate) use self::bundle::{Backend, Bundle, LOCK_FILE};
pub(crate) use self::code::{Code, CodeFiles, NotRead, read_code};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use self::escape::literal;
pub(crate) use self::escape::quoted;
pub(crate) use self::facts::{ModuleFacts, check_module, check_module_files};
pub(crate) use self::lock::{Locked, package_hash, print_lock, read_lock};
pub(crate) use self::names::module_label;
pub(crate) use self::render::{Sources, backend_alone, render, resolved, with_backend};
pub(crate) use self::shape::Shape;
