//! Module code that a client uploads before it saves the module that uses it.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::App;
use super::auth::Caller;
use super::body::{bytes, is_one_of};
use super::error::Refusal;

/// Uploads module code: a tar of one directory. The digest is computed again.
#[utoipa::path(
    put,
    path = "/module-sources/{digest}",
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses(
        (status = 201, description = "Kept"),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    _caller: Caller,
    Path((org, digest)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (headers, archive) = bytes(request).await?;
    is_one_of(&headers, &["application/x-tar", "application/octet-stream"])?;
    app.service.upload_code(&org, &digest, &archive).await?;
    Ok(StatusCode::CREATED)
}
