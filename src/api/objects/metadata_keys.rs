//! Metadata keys.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::wire::objects::{MetadataKey, MetadataKeyCreate, MetadataKeySchema, MetadataKeyUpdate};
use crate::wire::{ErrorBody, Page};

/// Lists metadata keys.
#[utoipa::path(
    get,
    path = "/metadata-keys",
    params(Paged),
    responses(
        (status = 200, body = Page<MetadataKey>, description = "Metadata keys"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<MetadataKey>>, Refusal> {
    let listed = app.store.metadata_key_list(&org, &params.paging()?).await?;
    Ok(page(listed, |item| item))
}

/// Makes a metadata key.
#[utoipa::path(
    post,
    path = "/metadata-keys",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = MetadataKeyCreate,
    responses(
        (status = 201, body = MetadataKey, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<MetadataKey>), Refusal> {
    let mut found = Problems::default();
    let name = Text::form(
        is_key_name,
        usize::MAX,
        "name must be capitalized words joined by hyphens, such as Example-Key",
    );
    let create = MetadataKeyCreate {
        name: fields.required_text(&mut found, "name", name),
        description: fields.text(&mut found, "description", Text::up_to(usize::MAX)),
        schema: {
            let mut inside = fields.required_inside(&mut found, "schema");
            let value_type = inside.one_of(&mut found, "type", &["string"]);
            if value_type.is_none() && found.is_empty() {
                found.invalid(
                    "/schema/type",
                    "\"/schema/type\": property \"type\" is missing",
                );
            }
            schema(&mut found, inside)
        },
    };
    found.check()?;
    let made = app.store.metadata_key_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a metadata key.
#[utoipa::path(
    get,
    path = "/metadata-keys/{name}",
    responses(
        (status = 200, body = MetadataKey, description = "A metadata key"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, name)): Path<(String, String)>,
) -> Result<Json<MetadataKey>, Refusal> {
    Ok(Json(app.store.metadata_key_get(&org, &name).await?))
}

/// Changes a metadata key.
#[utoipa::path(
    patch,
    path = "/metadata-keys/{name}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = MetadataKeyUpdate,
    responses(
        (status = 200, body = MetadataKey, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, name)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<MetadataKey>, Refusal> {
    let mut found = Problems::default();
    let update = MetadataKeyUpdate {
        description: fields.text(&mut found, "description", Text::up_to(usize::MAX)),
        schema: fields.inside(&mut found, "schema").map(|mut inside| {
            inside.one_of(&mut found, "type", &["string"]);
            schema(&mut found, inside)
        }),
    };
    found.check()?;
    Ok(Json(
        app.store.metadata_key_update(&org, &name, update).await?,
    ))
}

/// Deletes a metadata key.
#[utoipa::path(
    delete,
    path = "/metadata-keys/{name}",
    responses(
        (status = 204, description = "Gone"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.metadata_key_delete(&org, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rest of a schema.
fn schema(found: &mut Problems, mut fields: Fields) -> MetadataKeySchema {
    let pattern = fields.text(found, "pattern", Text::up_to(usize::MAX));
    if let Some(text) = &pattern
        && regex::Regex::new(text).is_err()
    {
        found.invalid(
            fields.at("pattern"),
            "schema.pattern is not a regular expression",
        );
    }
    MetadataKeySchema {
        value_type: "string".to_owned(),
        format: fields.text(found, "format", Text::up_to(usize::MAX)),
        pattern,
    }
}

/// `^[A-Z][a-zA-Z0-9]*(-[A-Z0-9][a-zA-Z0-9]*)*$`.
fn is_key_name(text: &str) -> bool {
    text.split('-').enumerate().all(|(position, part)| {
        part.starts_with(|c: char| c.is_ascii_uppercase() || position > 0 && c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    })
}
