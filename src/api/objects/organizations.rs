//! Organisations: the one that is there.

use axum::Json;
use axum::extract::{Path, State};

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::error::Refusal;
use crate::wire::objects::Organization;

/// Reads an organisation.
#[utoipa::path(
    get,
    path = "/",
    responses(
        (status = 200, body = Organization, description = "The organisation"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
) -> Result<Json<Organization>, Refusal> {
    Ok(Json(app.store.organization_get(&org).await?))
}
