//! Module code that a client uploads before it saves the module that uses it.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::App;
use super::auth::Caller;
use super::body::bytes;
use super::error::{Problem, Refusal};
use crate::sources::Code;

/// `PUT /orgs/{org}/module-sources/{digest}`: a tar of one directory. The digest is computed again here.
pub(crate) async fn put(
    State(app): State<App>,
    _caller: Caller,
    Path((org, digest)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (_, archive) = bytes(request).await?;
    let wrong = |text: String| Refusal::found(vec![Problem::invalid("", text)]);
    let code = Code::from_tar(&archive).map_err(|error| wrong(error.to_string()))?;
    let found = code.digest();
    if found != digest {
        return Err(wrong(format!(
            "the code has the digest {found}, not {digest}"
        )));
    }
    app.store.module_source_put(&org, &code.pack()).await?;
    Ok(StatusCode::CREATED)
}
