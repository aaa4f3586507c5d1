//! Environments. Removal is the only change that takes long: it is begun here and done by `deploy`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::projects::display_name_update;
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DISPLAY_NAME, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::deploy::Delete;
use crate::store::objects::environments::Dry;
use crate::wire::objects::{
    DisplayNameUpdate, Environment, EnvironmentCreate, EnvironmentDelete, RefreshedRunner,
};
use crate::wire::runners::LOCAL;
use crate::wire::{ErrorBody, Page};

/// Lists environments of all projects.
#[utoipa::path(
    get,
    path = "/envs",
    params(Paged, ("byEnvTypeId" = Option<Vec<String>>, Query, description = "Only environments of these types")),
    responses(
        (status = 200, body = Page<Environment>, description = "Environments"),
    )
)]
pub(crate) async fn list_all(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Environment>>, Refusal> {
    list_of(&app, &caller, &org, None, &params).await
}

/// Lists environments.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs",
    params(Paged, ("byEnvTypeId" = Option<Vec<String>>, Query, description = "Only environments of these types")),
    responses(
        (status = 200, body = Page<Environment>, description = "Environments"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((org, project)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Page<Environment>>, Refusal> {
    list_of(&app, &caller, &org, Some(&project), &params).await
}

async fn list_of(
    app: &App,
    caller: &Caller,
    org: &str,
    project: Option<&str>,
    params: &Params,
) -> Result<Json<Page<Environment>>, Refusal> {
    let types: Vec<String> = params.all("byEnvTypeId").map(str::to_owned).collect();
    let listed = app
        .store
        .environment_list(org, project, caller.seen(), &types, &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes an environment.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = EnvironmentCreate,
    responses(
        (status = 201, body = Environment, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already, or its type is not"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Environment>), Refusal> {
    let mut found = Problems::default();
    let create = EnvironmentCreate {
        id: fields.required_text(
            &mut found,
            "id",
            Text::form(is_std_id, 100, "id must be a valid environment identifier"),
        ),
        env_type_id: fields.required_text(
            &mut found,
            "env_type_id",
            Text::form(
                is_std_id,
                100,
                "env_type_id must be a valid environment type identifier",
            ),
        ),
        display_name: fields.text(&mut found, "display_name", DISPLAY_NAME),
        windlass: fields.extras(&mut found),
    };
    found.check()?;
    let made = app.store.environment_create(&org, &project, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads an environment.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs/{env}",
    responses(
        (status = 200, body = Environment, description = "An environment"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
) -> Result<Json<Environment>, Refusal> {
    Ok(Json(app.store.environment_get(&org, &project, &env).await?))
}

/// Changes an environment.
#[utoipa::path(
    patch,
    path = "/projects/{project}/envs/{env}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = DisplayNameUpdate,
    responses(
        (status = 200, body = Environment, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    Body(fields): Body,
) -> Result<Json<Environment>, Refusal> {
    let update = display_name_update(fields)?;
    Ok(Json(
        app.store
            .environment_update(&org, &project, &env, update)
            .await?,
    ))
}

/// Finds the runner of an environment anew.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/actions/refresh_runner",
    params(("dry_run" = Option<bool>, Query, description = "Store nothing")),
    responses(
        (status = 200, body = RefreshedRunner, description = "The runner"),
        (status = 409, body = ErrorBody, description = "No runner serves it"),
    )
)]
pub(crate) async fn refresh_runner(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<RefreshedRunner>, Refusal> {
    let dry = if params.flag("dry_run")? {
        Dry::Yes
    } else {
        Dry::No
    };
    let fallback = app.settings.allow_local.then_some(LOCAL);
    let (runner_id, updated) = app
        .store
        .environment_refresh_runner(&org, &project, &env, fallback, dry)
        .await?;
    Ok(Json(RefreshedRunner { runner_id, updated }))
}

/// Begins to destroy an environment.
///
/// It is there until its resources have gone. The body, which v1 has not, names who may read the log of that.
#[utoipa::path(
    delete,
    path = "/projects/{project}/envs/{env}",
    params(("force" = Option<bool>, Query, description = "Forget it without destroying anything"), ("deleteRules" = Option<bool>, Query, description = "Also delete the rules of this environment")),
    request_body = Option<EnvironmentDelete>,
    responses(
        (status = 202, body = Environment, description = "Begun"),
        (status = 409, body = ErrorBody, description = "It is being deleted already"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    params: Params,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Environment>), Refusal> {
    let mut found = Problems::default();
    let log_recipients = fields.each(&mut found, "log_recipients");
    fields.only(&mut found, |key| format!("unknown field \"{key}\""));
    found.check()?;
    let how = Delete {
        force: params.flag("force")?,
        delete_rules: params.flag("deleteRules")?,
        log_recipients,
    };
    let begun = app
        .service
        .delete_environment(&org, &project, &env, how, &caller.user)
        .await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}
