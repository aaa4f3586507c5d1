//! Resource types.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DESCRIPTION, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::WORKLOAD_TYPE;
use crate::wire::objects::{ResourceType, ResourceTypeCreate, ResourceTypeUpdate};
use crate::wire::{ErrorBody, Page};

/// Lists resource types.
#[utoipa::path(
    get,
    path = "/resource-types",
    params(Paged),
    responses(
        (status = 200, body = Page<ResourceType>, description = "Resource types"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<ResourceType>>, Refusal> {
    let listed = app
        .store
        .resource_type_list(&org, &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes a resource type.
#[utoipa::path(
    post,
    path = "/resource-types",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ResourceTypeCreate,
    responses(
        (status = 201, body = ResourceType, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<ResourceType>), Refusal> {
    let mut found = Problems::default();
    let create = ResourceTypeCreate {
        id: fields.required_text(
            &mut found,
            "id",
            Text::form(
                is_std_id,
                100,
                "id must be a valid resource type identifier",
            ),
        ),
        description: fields.text(&mut found, "description", DESCRIPTION),
        output_schema: fields.required_map(&mut found, "output_schema"),
        is_developer_accessible: fields.flag(&mut found, "is_developer_accessible"),
        windlass: fields.extras(&mut found),
    };
    if create.id == WORKLOAD_TYPE {
        found.invalid("/id", "resource type id 'workload' is reserved");
    }
    found.check()?;
    let made = app.store.resource_type_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a resource type.
#[utoipa::path(
    get,
    path = "/resource-types/{id}",
    responses(
        (status = 200, body = ResourceType, description = "A resource type"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<ResourceType>, Refusal> {
    Ok(Json(app.store.resource_type_get(&org, &id).await?))
}

/// Changes a resource type.
#[utoipa::path(
    patch,
    path = "/resource-types/{id}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ResourceTypeUpdate,
    responses(
        (status = 200, body = ResourceType, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<ResourceType>, Refusal> {
    let mut found = Problems::default();
    let update = ResourceTypeUpdate {
        description: fields.text(&mut found, "description", DESCRIPTION),
        output_schema: fields.map(&mut found, "output_schema"),
        is_developer_accessible: fields.flag(&mut found, "is_developer_accessible"),
        windlass: fields.extras(&mut found),
    };
    found.check()?;
    Ok(Json(
        app.store.resource_type_update(&org, &id, update).await?,
    ))
}

/// Deletes a resource type.
#[utoipa::path(
    delete,
    path = "/resource-types/{id}",
    responses(
        (status = 204, description = "Gone"),
        (status = 409, body = ErrorBody, description = "Modules use it"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.resource_type_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
