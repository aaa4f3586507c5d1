//! Who is asking. In local mode there is one user, who may do everything; tokens come with the server.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// The user of local mode: shaped like a `UUIDv7` whose kind nibble says "a person".
const LOCAL_ADMIN: &str = "01900000-0000-7100-8000-000000000001";

/// Who sent the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// UUID text; what `created_by` says.
    pub(crate) user: String,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            user: LOCAL_ADMIN.to_owned(),
        })
    }
}
