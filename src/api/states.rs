//! The state of an environment: looked at, and settled after a kill. Ours, beside v1.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::Value;

use super::App;
use super::auth::Caller;
use super::body::{Body, Fields, Problems, Text};
use super::error::Refusal;
use crate::deploy::Settle;
use crate::model::diag::pointer;
use crate::wire::ErrorBody;
use crate::wire::deployments::Deployment;
use crate::wire::state::{StateSettle, StateView};

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
