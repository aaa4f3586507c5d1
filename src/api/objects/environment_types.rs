//! Environment types.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Params, page};
use crate::seal::key::Recipient;
use crate::wire::Page;
use crate::wire::objects::{
    EnvironmentType, EnvironmentTypeCreate, EnvironmentTypeExtras, EnvironmentTypeUpdate,
};

/// `GET /orgs/{org}/env-types`.
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

/// `POST /orgs/{org}/env-types`.
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

/// `GET /orgs/{org}/env-types/{id}`.
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<EnvironmentType>, Refusal> {
    Ok(Json(app.store.environment_type_get(&org, &id).await?))
}

/// `PATCH /orgs/{org}/env-types/{id}`.
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

/// `DELETE /orgs/{org}/env-types/{id}`.
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
