//! Score files (`score.dev/v1b1`) become operations on a manifest.
//!
//! Pure: files that a Score file names by `source` are read by the caller, who asks [`files_needed`] first and hands
//! their bytes to [`mod@convert`]. All problems of all documents come back at once, each with its place. Start at
//! [`mod@convert`]; [`check`] knows the schema, [`text`] the placeholders.
//!
//! # What becomes of what
//!
//! | in Score | in the manifest |
//! | --- | --- |
//! | a file | one workload, named by `metadata.name`; workloads that no file names stay as they are |
//! | `metadata`, `containers`, `service` | params of the resource `score-workload` of type `score-workload` |
//! | `resources.A` | the resource `A`; `id: X` becomes the id `shared.X`, so that workloads that say the same id share it |
//! | `${metadata.…}` | its value, here and now |
//! | `${resources.A.k}` | `${resources.A.outputs.k}` |
//! | `$$`, `$${x}` | `$`, and the text `${x}` |
//! | a file's `source` | its bytes, as `content` or, where they are no UTF-8, as `binaryContent` |
//! | annotations `platform-orchestrator.dev/resType`, `resClass`, `resId` | type, class and id of the resource `score-workload` |
//!
//! Placeholders count where Score says: in variables, in contents of files (not with `noExpand`), in sources of volumes
//! and in params of resources. Everywhere else `${x}` is text, also for us. A volume's source that names a resource and no
//! output of it means the output `source`.
//!
//! # Why
//!
//! The schema is checked here by hand and not by a JSON Schema library: every problem is told with its place and in words
//! that say what to do, and the old forms that the schema still allows (lists of files and volumes) are brought into the new one on the way.

mod check;
mod convert;
mod shape;
mod text;

pub(crate) use self::convert::{Converted, Options, convert, files_needed};

#[cfg(test)]
mod tests;
