//! The state of an environment: looked at, settled after a kill, moved. Ours, beside v1.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

use super::App;
use super::auth::Caller;
use super::body::{Body, Fields, Problems, Text};
use super::error::Refusal;
use crate::deploy::Settle;
use crate::model::diag::pointer;
use crate::wire::ErrorBody;
use crate::wire::deployments::Deployment;
use crate::wire::state::{StateMove, StateSettle, StateVersion, StateVersions, StateView};

/// Reads where the state of an environment is and what killed runs left open.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs/{env}/state",
    responses(
        (status = 200, body = StateView, description = "The state"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
) -> Result<Json<StateView>, Refusal> {
    Ok(Json(app.service.state(&org, &project, &env).await?))
}

/// Takes into the state what a killed run made.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/actions/import",
    request_body = StateSettle,
    responses(
        (status = 201, body = Deployment, description = "The run"),
        (status = 409, body = ErrorBody, description = "Nothing is open, or a deployment is executing"),
    )
)]
pub(crate) async fn import(
    State(app): State<App>,
    caller: Caller,
    Path(of): Path<(String, String, String)>,
    body: Body,
) -> Result<(StatusCode, Json<Deployment>), Refusal> {
    settle(&app, &caller, of, body, Settle::Import).await
}

/// Forgets what a killed run may have made.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/actions/dismiss",
    request_body = StateSettle,
    responses(
        (status = 201, body = Deployment, description = "The run"),
        (status = 409, body = ErrorBody, description = "Nothing is open, or a deployment is executing"),
    )
)]
pub(crate) async fn dismiss(
    State(app): State<App>,
    caller: Caller,
    Path(of): Path<(String, String, String)>,
    body: Body,
) -> Result<(StatusCode, Json<Deployment>), Refusal> {
    settle(&app, &caller, of, body, Settle::Dismiss).await
}

/// Takes the state to the state storage of another runner, or of the same one after that was changed. It is left where it
/// was as well.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/actions/move",
    request_body = StateMove,
    responses(
        (status = 201, body = Deployment, description = "The run"),
        (status = 409, body = ErrorBody, description = "There is no state, it is there already, it cannot be reached from there, or a deployment is executing"),
    )
)]
pub(crate) async fn relocate(
    State(app): State<App>,
    caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Deployment>), Refusal> {
    let mut found = Problems::default();
    let body = StateMove {
        runner: fields.text(&mut found, "runner", Text::up_to(usize::MAX)),
        log_recipients: fields.each(&mut found, "log_recipients"),
    };
    fields.only(&mut found, |key| format!("unknown field \"{key}\""));
    found.check()?;
    let of = (&*org, &*project, &*env);
    let run = app.service.move_state(of, body, &caller.user).await?;
    Ok((StatusCode::CREATED, Json(run)))
}

/// Lists the versions that this server keeps of the state of an environment, and who holds its lock.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs/{env}/state/versions",
    responses(
        (status = 200, body = StateVersions, description = "Newest first"),
        (status = 409, body = ErrorBody, description = "The state lies elsewhere"),
    )
)]
pub(crate) async fn versions(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
) -> Result<Json<StateVersions>, Refusal> {
    let of = (&*org, &*project, &*env);
    Ok(Json(app.service.hosted_versions(of).await?))
}

/// Reads one version as the engine wrote it. It holds values in clear, so this has its row in the audit log.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/versions/{version}/actions/pull",
    params(("version" = i64, Path, description = "Number of the version")),
    responses(
        (status = 200, body = BTreeMap<String, Value>, description = "The state"),
        (status = 404, body = ErrorBody, description = "That version is not kept"),
    )
)]
pub(crate) async fn pull(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env, version)): Path<(String, String, String, i64)>,
) -> Result<impl IntoResponse, Refusal> {
    let of = (&*org, &*project, &*env);
    let state = app.service.hosted_pull(of, version).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, state))
}

/// Makes an older version the newest one again; nothing that exists is changed.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/versions/{version}/actions/restore",
    params(("version" = i64, Path, description = "Number of the version")),
    responses(
        (status = 200, body = StateVersion, description = "The new version"),
        (status = 404, body = ErrorBody, description = "That version is not kept"),
        (status = 409, body = ErrorBody, description = "A deployment is executing, or the state is locked"),
    )
)]
pub(crate) async fn restore(
    State(app): State<App>,
    caller: Caller,
    Path((org, project, env, version)): Path<(String, String, String, i64)>,
) -> Result<Json<StateVersion>, Refusal> {
    let of = (&*org, &*project, &*env);
    let restored = app
        .service
        .hosted_restore(of, version, &caller.user)
        .await?;
    Ok(Json(restored))
}

/// Lets go of a lock whose run is over.
#[utoipa::path(
    post,
    path = "/projects/{project}/envs/{env}/state/actions/unlock",
    responses(
        (status = 204, description = "It is not locked any more"),
        (status = 409, body = ErrorBody, description = "It is not locked, or the run that holds the lock goes on"),
    )
)]
pub(crate) async fn unlock(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    app.service.hosted_let_go((&org, &project, &env)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn settle(
    app: &App,
    caller: &Caller,
    (org, project, env): (String, String, String),
    Body(fields): Body,
    what: Settle,
) -> Result<(StatusCode, Json<Deployment>), Refusal> {
    let body = asked(fields)?;
    let run = app
        .service
        .settle(&org, (&project, &env), what, body, &caller.user)
        .await?;
    Ok((StatusCode::CREATED, Json(run)))
}

fn asked(mut fields: Fields) -> Result<StateSettle, Refusal> {
    let mut found = Problems::default();
    let body = StateSettle {
        addresses: fields.each(&mut found, "addresses"),
        ids: ids(&mut fields, &mut found),
        plan_only: fields.flag(&mut found, "plan_only").unwrap_or(false),
        runner: fields.text(&mut found, "runner", Text::up_to(usize::MAX)),
        log_recipients: fields.each(&mut found, "log_recipients"),
    };
    fields.only(&mut found, |key| format!("unknown field \"{key}\""));
    found.check()?;
    Ok(body)
}

/// Address to id; what is no text is noted.
fn ids(fields: &mut Fields, found: &mut Problems) -> BTreeMap<String, String> {
    let at = fields.at("ids");
    let mut read = BTreeMap::new();
    for (address, id) in fields.map(found, "ids").unwrap_or_default() {
        match id {
            Value::String(id) => {
                read.insert(address, id);
            }
            _ => found.invalid(pointer(&at, &address), "ids: an id is a text".to_owned()),
        }
    }
    read
}
