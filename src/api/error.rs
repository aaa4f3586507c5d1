//! The one place where an error becomes a status and a body.
//!
//! `message` begins with v1's words where v1 has some; everything else is in `details.diagnostics`,
//! with JSON pointers. A fault of ours says nothing but `Unexpected error` and is logged with its causes.

use std::num::NonZero;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::deploy;
use crate::model::access::Level;
use crate::model::{Diagnostic, Place, diag::Document};
use crate::store::objects::ObjectError;
use crate::store::{StoreError, Trouble};
use crate::wire::{ErrorBody, ErrorDetails, FailedCheck};

/// Why a request is not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Option<&'static str>,
    message: String,
    details: ErrorDetails,
    /// Seconds; small, because refusals are handed up by value.
    retry_after: Option<NonZero<u16>>,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            message: message.into(),
            details: ErrorDetails::default(),
            retry_after: None,
        }
    }

    /// 401. The caller has to say who it is.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403, with the permission that is needed and on what.
    pub(crate) fn forbidden(needed: Level, resource: String) -> Self {
        Self {
            details: ErrorDetails {
                failed_checks: vec![FailedCheck {
                    permission: needed.word().to_owned(),
                    resource,
                }],
                ..ErrorDetails::default()
            },
            ..Self::new(StatusCode::FORBIDDEN, "Forbidden")
        }
    }

    /// 403, in words.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 429, with how long to wait.
    pub(crate) fn too_many(message: impl Into<String>, seconds: u16) -> Self {
        Self {
            retry_after: NonZero::new(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    /// 503: somebody else does not answer.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// A status with a code that programs act upon.
    pub(crate) fn coded(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: Some(code),
            ..Self::new(status, message)
        }
    }

    /// 404.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 400, about the request as a whole.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 408.
    pub(crate) fn not_yet(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    /// 413.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request body is larger than {limit_bytes} bytes"),
        )
    }

    /// 415.
    pub(crate) fn media_type(found: &str, expected: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content type `{found}` is not supported here, send `{expected}`"),
        )
    }

    /// 500. The causes go to the log and nowhere else.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push_str(": ");
            causes.push_str(&cause.to_string());
            next = cause.source();
        }
        tracing::error!(error = causes, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Unexpected error")
    }

    /// The answer to what was found, all of it; the first decides the status.
    pub(crate) fn found(problems: Vec<Problem>) -> Self {
        let status = match problems.first() {
            Some(Problem {
                kind: Kind::Conflict,
                ..
            }) => StatusCode::CONFLICT,
            Some(Problem {
                kind: Kind::Invalid,
                ..
            })
            | None => StatusCode::BAD_REQUEST,
        };
        let diagnostics = problems
            .into_iter()
            .map(|problem| problem.diagnostic)
            .collect();
        Self::of_diagnostics(status, diagnostics)
    }

    /// 204: what was only to be checked is good.
    pub(crate) fn nothing_to_refuse() -> Self {
        Self::new(StatusCode::NO_CONTENT, "")
    }

    /// 400 for diagnostics of a document.
    pub(crate) fn diagnostics(diagnostics: Vec<Diagnostic>) -> Self {
        Self::of_diagnostics(StatusCode::BAD_REQUEST, diagnostics)
    }

    fn of_diagnostics(status: StatusCode, diagnostics: Vec<Diagnostic>) -> Self {
        let message = message(&diagnostics);
        Self {
            message,
            details: ErrorDetails {
                diagnostics,
                ..ErrorDetails::default()
            },
            ..Self::new(status, "")
        }
    }

    /// 409 `MOD-001`.
    pub(crate) fn missing_providers(providers: Vec<String>) -> Self {
        Self {
            code: Some("MOD-001"),
            details: ErrorDetails {
                missing_providers: providers.clone(),
                ..ErrorDetails::default()
            },
            ..Self::conflict(format!(
                "MOD-001: existing module(s) depend on providers that no longer exist: [{}]",
                providers.join(" ")
            ))
        }
    }
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(message) => Self::missing(message),
            ObjectError::Conflict(message) => Self::conflict(message),
            ObjectError::Invalid { pointer, message } => {
                Self::found(vec![Problem::invalid(pointer, message)])
            }
            ObjectError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    /// 500, or what the surroundings deny: 507 for a full disk, else 503.
    fn from(error: StoreError) -> Self {
        let Some(trouble) = Trouble::of(&error) else {
            return Self::internal(&error);
        };
        tracing::error!(%error, "the data directory cannot be used");
        let status = match trouble {
            Trouble::Full => StatusCode::INSUFFICIENT_STORAGE,
            Trouble::ReadOnly | Trouble::Denied | Trouble::Busy | Trouble::Away => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self {
            code: Some(trouble.code()),
            // What goes by itself: others write, a server is started again. A disk has to be seen to.
            retry_after: match trouble {
                Trouble::Busy => NonZero::new(1),
                Trouble::Away => NonZero::new(5),
                Trouble::Full | Trouble::ReadOnly | Trouble::Denied => None,
            },
            ..Self::new(status, format!("{error}: {}", trouble.in_words()))
        }
    }
}

impl From<deploy::Error> for Refusal {
    fn from(error: deploy::Error) -> Self {
        match error {
            deploy::Error::Invalid(diagnostics) => {
                let errors_of_graph = deploy::graph_message(&diagnostics);
                let refusal = Self::diagnostics(diagnostics);
                Self {
                    message: errors_of_graph.unwrap_or(refusal.message),
                    ..refusal
                }
            }
            deploy::Error::NotFound(message) => Self::missing(message),
            deploy::Error::Conflict(message) => Self::conflict(message),
            deploy::Error::MissingProviders(providers) => Self::missing_providers(providers),
            deploy::Error::NotYet => Self::not_yet(error.to_string()),
            deploy::Error::Store(error) => error.into(),
            deploy::Error::Internal(_) => Self::internal(&error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NO_CONTENT {
            return self.status.into_response();
        }
        let error = match self.code {
            Some(code) => code.to_owned(),
            None => format!("HTTP-{}", self.status.as_u16()),
        };
        let empty = self.details.diagnostics.is_empty()
            && self.details.missing_providers.is_empty()
            && self.details.failed_checks.is_empty();
        let body = ErrorBody {
            error,
            message: self.message,
            details: (!empty).then_some(self.details),
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let asks = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, asks);
        }
        response
    }
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    diagnostic: Diagnostic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// 400.
    Invalid,
    /// 409.
    Conflict,
}

impl Problem {
    /// A field that is wrong in itself; `text` is v1's.
    pub(crate) fn invalid(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "Invalid field", pointer, text)
    }

    /// A field that contradicts what is stored; `text` is v1's.
    pub(crate) fn conflict(pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, "Conflict", pointer, text)
    }

    fn new(kind: Kind, summary: &str, pointer: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            kind,
            diagnostic: Diagnostic::error(summary, text, Place::at(Document::Request, pointer)),
        }
    }

    /// The same, explained: `detail` for people, what was given before stays v1's text.
    pub(crate) fn explained(mut self, detail: impl Into<String>) -> Self {
        let text = std::mem::replace(&mut self.diagnostic.detail, detail.into());
        self.diagnostic = self.diagnostic.v1(text);
        self
    }
}

/// What a client reads that knows no diagnostics: v1's words, explained where there is only one problem.
fn message(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<&Diagnostic> = diagnostics
        .iter()
        .filter(|found| found.is_error())
        .collect();
    match errors[..] {
        [
            Diagnostic {
                v1: Some(text),
                detail,
                ..
            },
        ] if !detail.starts_with(text.as_str()) => {
            format!("{}. {detail}", text.trim_end_matches('.'))
        }
        _ => {
            let texts: Vec<&str> = errors
                .iter()
                .map(|found| found.v1.as_deref().unwrap_or(&found.detail))
                .collect();
            texts.join("; ")
        }
    }
}

/// Makes answers of other layers (unknown methods, paths that do not decode) JSON as well.
pub(crate) async fn as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("Error");
    let kept: Option<HeaderValue> = response.headers().get(header::ALLOW).cloned();
    let mut answer = Refusal::new(status, reason).into_response();
    if let Some(allow) = kept {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}
