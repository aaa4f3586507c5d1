//! Environment types.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::seal::key::Recipient;
use crate::wire::objects::{
    EnvironmentType, EnvironmentTypeCreate, EnvironmentTypeExtras, EnvironmentTypeUpdate,
};
use crate::wire::{ErrorBody, Page};

/// Lists environment types.
#[utoipa::path(
    get,
    path = "/env-types",
    params(Paged),
    responses(
        (status = 200, body = Page<EnvironmentType>, description = "Environment types"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<EnvironmentType>>, Refusal> {
    let listed = app
        .store
        .environment_type_list(&org, &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes an environment type.
#[utoipa::path(
    post,
    path = "/env-types",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = EnvironmentTypeCreate,
    responses(
        (status = 201, body = EnvironmentType, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already, or the organisation is not"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<EnvironmentType>), Refusal> {
    let mut found = Problems::default();
    let create = EnvironmentTypeCreate {
        id: fields.required_text(
            &mut found,
            "id",
            Text::form(is_std_id, 100, "id must be a valid identifier"),
        ),
        display_name: fields.text(&mut found, "display_name", Text::up_to(60)),
        windlass: extras(&mut found, &mut fields),
    };
    found.check()?;
    let made = app.store.environment_type_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads an environment type.
#[utoipa::path(
    get,
    path = "/env-types/{id}",
    responses(
        (status = 200, body = EnvironmentType, description = "An environment type"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<EnvironmentType>, Refusal> {
    Ok(Json(app.store.environment_type_get(&org, &id).await?))
}

/// Changes an environment type.
#[utoipa::path(
    patch,
    path = "/env-types/{id}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = EnvironmentTypeUpdate,
    responses(
        (status = 200, body = EnvironmentType, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<EnvironmentType>, Refusal> {
    let mut found = Problems::default();
    let update = EnvironmentTypeUpdate {
        display_name: fields.text(&mut found, "display_name", Text::up_to(60)),
        windlass: extras(&mut found, &mut fields),
    };
    found.check()?;
    Ok(Json(
        app.store.environment_type_update(&org, &id, update).await?,
    ))
}

/// Deletes an environment type.
#[utoipa::path(
    delete,
    path = "/env-types/{id}",
    responses(
        (status = 204, description = "Gone"),
        (status = 409, body = ErrorBody, description = "An environment uses it"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.environment_type_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Our fields; a recipient that is no key would only be noticed when somebody needs it.
fn extras(found: &mut Problems, fields: &mut Fields) -> Option<EnvironmentTypeExtras> {
    let extras: EnvironmentTypeExtras = fields.extras(found)?;
    for (position, text) in extras.recipients.iter().enumerate() {
        if text.parse::<Recipient>().is_err() {
            found.invalid(
                format!("/windlass/recipients/{position}"),
                format!("windlass.recipients: failed to parse '{text}' as age public key"),
            );
        }
    }
    Some(extras)
}
