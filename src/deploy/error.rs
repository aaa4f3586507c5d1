//! Why a use case was refused; `api` turns each kind into a status.

use crate::model::Diagnostic;
use crate::store::StoreError;

/// Why a use case was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// 400: all problems of the request, errors first; never empty.
    #[error("{}", message(.0))]
    Invalid(Vec<Diagnostic>),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409.
    #[error("{0}")]
    Conflict(String),
    /// 409 with the code `MOD-001`.
    #[error("MOD-001: existing module(s) depend on providers that no longer exist: [{}]", .0.join(" "))]
    MissingProviders(Vec<String>),
    /// 408.
    #[error("deployment has not completed yet")]
    NotYet,
    /// 500; the chain is for the log of the process, not for the answer.
    #[error("the store could not be read or written")]
    Store(#[source] StoreError),
    /// 500; a fault of ours, in words.
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What v1 would have said about the first problem.
fn message(diagnostics: &[Diagnostic]) -> String {
    diagnostics.first().map_or_else(String::new, |first| {
        first.v1.clone().unwrap_or_else(|| first.detail.clone())
    })
}
