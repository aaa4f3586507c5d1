//! JSON of the HTTP API, shared by server, client and agent: v1's fields, and ours in one optional
//! object `windlass` that is absent when empty.
//!
//! No checks happen here; names and rules are checked by `api`. Maps are sorted (`BTreeMap`) where
//! order means nothing and kept in order (`serde_json::Map`) where the user wrote it.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod deployments;
pub(crate) mod explain;
pub(crate) mod identity;
pub(crate) mod identity_requests;
pub(crate) mod kubernetes;
pub(crate) mod objects;
pub(crate) mod runners;
pub(crate) mod shapes;
pub(crate) mod state;
pub(crate) mod words;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Diagnostic;

/// One page of a list. Times are RFC 3339, UTC, microseconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Always there, also when empty.
    pub(crate) items: Vec<T>,
    /// Opaque; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_page_token: Option<String>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// `HTTP-<status>` or a code such as `MOD-001`.
    pub(crate) error: String,
    /// For people; begins with v1's text where a checklist names one.
    pub(crate) message: String,
    /// More, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<ErrorDetails>,
}

/// What an error body carries beside its message.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorDetails {
    /// All problems at once, with JSON pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Beside the code `MOD-001`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing_providers: Vec<String>,
    /// Beside 403: what would have been needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed_checks: Vec<FailedCheck>,
}

/// A permission that the caller lacks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct FailedCheck {
    /// `read`, `write` or `manage`.
    pub(crate) permission: String,
    /// `organization:ID`, `project:UUID` or `env:UUID`.
    pub(crate) resource: String,
}

/// Serde helper: absent in JSON when false.
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}
