//! Projects.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DISPLAY_NAME, Fields, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::store::objects::projects::RulesOfProject;
use crate::wire::objects::{DisplayNameUpdate, Project, ProjectCreate};
use crate::wire::{ErrorBody, Page};

/// Lists projects.
#[utoipa::path(
    get,
    path = "/projects",
    params(Paged),
    responses(
        (status = 200, body = Page<Project>, description = "Projects"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Project>>, Refusal> {
    let paging = params.paging()?;
    let listed = app.store.project_list(&org, caller.seen(), &paging).await?;
    Ok(page(listed, |item| item))
}

/// Makes a project.
#[utoipa::path(
    post,
    path = "/projects",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ProjectCreate,
    responses(
        (status = 201, body = Project, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already, or the organisation is not"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Project>), Refusal> {
    let mut found = Problems::default();
    let create = ProjectCreate {
        id: fields.required_text(
            &mut found,
            "id",
            Text::form(is_std_id, 100, "id must be a valid identifier"),
        ),
        display_name: fields.text(&mut found, "display_name", DISPLAY_NAME),
        windlass: fields.extras(&mut found),
    };
    found.check()?;
    let made = app.store.project_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a project.
#[utoipa::path(
    get,
    path = "/projects/{project}",
    responses(
        (status = 200, body = Project, description = "A project"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project)): Path<(String, String)>,
) -> Result<Json<Project>, Refusal> {
    Ok(Json(app.store.project_get(&org, &project).await?))
}

/// Changes a project.
#[utoipa::path(
    patch,
    path = "/projects/{project}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = DisplayNameUpdate,
    responses(
        (status = 200, body = Project, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project)): Path<(String, String)>,
    Body(fields): Body,
) -> Result<Json<Project>, Refusal> {
    let update = display_name_update(fields)?;
    Ok(Json(
        app.store.project_update(&org, &project, update).await?,
    ))
}

/// Reads the PATCH of a project or an environment.
pub(crate) fn display_name_update(mut fields: Fields) -> Result<DisplayNameUpdate, Refusal> {
    let mut found = Problems::default();
    let update = DisplayNameUpdate {
        display_name: fields.text(&mut found, "display_name", DISPLAY_NAME),
        windlass: fields.extras(&mut found),
    };
    found.check()?;
    Ok(update)
}

/// Deletes a project.
#[utoipa::path(
    delete,
    path = "/projects/{project}",
    params(("deleteRules" = Option<bool>, Query, description = "Also delete the rules of this project")),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, body = ErrorBody, description = "It contains environments"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let rules = if params.flag("deleteRules")? {
        RulesOfProject::Remove
    } else {
        RulesOfProject::Keep
    };
    app.store.project_delete(&org, &project, rules).await?;
    Ok(StatusCode::NO_CONTENT)
}
