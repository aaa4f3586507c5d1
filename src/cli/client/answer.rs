//! What comes back from the API: an answer, or why there is none.

use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::cli::remote::Unreached;
use crate::model::Diagnostic;
use crate::wire::ErrorBody;

/// An answer that was no success.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: u16,
    /// For people.
    pub(crate) message: String,
    /// `HTTP-<status>` or a code.
    pub(crate) code: String,
    /// Every problem, with JSON pointers.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Refusal {
    /// Whether what was sent is to blame, and not whoever answered.
    pub(crate) fn is_of_input(&self) -> bool {
        self.status < 500
    }
}

/// Why a call gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server was not reached, or stopped in the middle.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The connection was lost in the middle of an answer.
    #[error("the connection to the server was lost while it answered {what}")]
    Cut {
        /// Method and path.
        what: String,
        /// Why.
        #[source]
        source: axum::Error,
    },
    /// The answer was not what the API promises.
    #[error("the answer to {what} could not be read")]
    Unreadable {
        /// Method and path.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// The refusal, if it is one of this status.
    pub(crate) fn refused(&self, status: u16) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.status == status => Some(refusal),
            Self::Refused(_) | Self::Unreached(_) | Self::Cut { .. } | Self::Unreadable { .. } => {
                None
            }
        }
    }

    /// Whether the same question may be answered later: the server is away, or busy.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.status, 429 | 502..=504),
            Self::Unreached(_) | Self::Cut { .. } => true,
            Self::Unreadable { .. } => false,
        }
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body.
    pub(crate) body: Bytes,
    pub(super) what: String,
}

impl Answer {
    /// The body as a wire type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|source| CallError::Unreadable {
            what: self.what.clone(),
            source: Box::new(source),
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// That an answer is not what the API promises.
pub(super) fn unreadable(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CallError {
    CallError::Unreadable {
        what: what.to_owned(),
        source: source.into(),
    }
}

/// An answer that was no success.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => Refusal {
            status: status.as_u16(),
            message: body.message,
            code: body.error,
            diagnostics: body.details.unwrap_or_default().diagnostics,
        },
        Err(_) => Refusal {
            status: status.as_u16(),
            message: format!("{status} {}", String::from_utf8_lossy(body))
                .trim()
                .to_owned(),
            code: format!("HTTP-{}", status.as_u16()),
            diagnostics: Vec::new(),
        },
    }
}
