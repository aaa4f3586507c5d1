//! Deployments: asked for, looked at, followed, stopped. Thin over the use cases of `deploy`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::App;
use super::auth::Caller;
use super::body::{Body, Fields, Problems, Text};
use super::error::Refusal;
use super::query::{Params, invalid, page};
use super::streams;
use crate::deploy::{Created, Filter};
use crate::store::objects::Listed;
use crate::wire::Page;
use crate::wire::deployments::{
    ActiveNode, Deployment, DeploymentCreate, DeploymentGraph, Diff, EncryptedOutputs,
};

/// How long a request waits for the end of a deployment unless it says less: below what clients, and
/// proxies between, have patience for.
const WAIT: Duration = Duration::from_secs(25);

/// The routes of deployments. v1's older names of two actions are answered as well.
pub(crate) fn routes() -> Router<App> {
    let one = "/deployments/{id}";
    let action = |name: &str| format!("{one}/actions/{name}");
    Router::new()
        .route("/deployments", get(list).post(create))
        .route("/last-deployments", get(last))
        .route("/active-resources", get(active_resources))
        .route(one, get(read))
        .route(&action("wait-for-complete"), get(wait))
        .route(&action("waitForComplete"), get(wait))
        .route(&action("get-logs"), get(logs))
        .route(&action("getLogs"), get(logs))
        .route(&action("diff"), post(diff))
        .route(&action("cancel"), post(cancel))
        .route(&format!("{one}/encrypted-outputs"), get(outputs))
        .route(&format!("{one}/tf"), get(tf))
        .route(&format!("{one}/resources"), get(resources))
        .route(&format!("{one}/graph"), get(graph))
        .route(&format!("{one}/events"), get(streams::events))
        .route(&format!("{one}/streams/{{stream}}"), get(streams::sealed))
}

/// `POST /orgs/{org}/deployments`.
async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    headers: HeaderMap,
    Body(fields): Body,
) -> Result<Response, Refusal> {
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok());
    let body = asked(fields)?;
    caller.may_deploy(&app, &org, &body).await?;
    Ok(
        match app.service.create(&org, body, key, &caller.user).await? {
            Created::Deployment(made) => (StatusCode::CREATED, Json(made)).into_response(),
            Created::DryRun(answer) => Json(answer).into_response(),
        },
    )
}

/// Reads a request; what its fields mean together is checked by `deploy`.
fn asked(mut fields: Fields) -> Result<DeploymentCreate, Refusal> {
    let mut found = Problems::default();
    let any = Text::up_to(usize::MAX);
    let body = DeploymentCreate {
        project_id: fields.required_text(&mut found, "project_id", any),
        env_id: fields.required_text(&mut found, "env_id", any),
        mode: fields.required_text(&mut found, "mode", any),
        plan_only: fields.flag(&mut found, "plan_only"),
        manifest: fields
            .map(&mut found, "manifest")
            .map(serde_json::Value::Object),
        rollback_to_deployment_id: fields.text(&mut found, "rollback_to_deployment_id", any),
        encrypted_outputs_recipient: fields.text(&mut found, "encrypted_outputs_recipient", any),
        encrypted_logs_recipient: fields.text(&mut found, "encrypted_logs_recipient", any),
        is_dry_run: fields.flag(&mut found, "is_dry_run").unwrap_or(false),
        runner_log_level: fields.text(&mut found, "runner_log_level", any),
        windlass: fields.extras(&mut found),
    };
    found.check()?;
    Ok(body)
}

/// `GET /orgs/{org}/deployments`.
async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Deployment>>, Refusal> {
    organization(&app, &org).await?;
    let (items, next) = app.service.list(&org, &filter(&caller, &params)?).await?;
    Ok(page(Listed { items, next }, |item| item))
}

/// `GET /orgs/{org}/last-deployments`.
async fn last(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Deployment>>, Refusal> {
    organization(&app, &org).await?;
    let state_change_only = params.flag("state_change_only")?;
    let (items, next) = app
        .service
        .last(&org, &filter(&caller, &params)?, state_change_only)
        .await?;
    Ok(page(Listed { items, next }, |item| item))
}

fn filter(caller: &Caller, params: &Params) -> Result<Filter, Refusal> {
    let paging = params.paging()?;
    let all = |name: &str| params.all(name).map(str::to_owned).collect();
    Ok(Filter {
        project_id: params.one("project_id").map(str::to_owned),
        env_id: params.one("env_id").map(str::to_owned),
        seen: caller.environments().cloned(),
        by_mode: all("by_mode"),
        by_status: all("by_status"),
        after: paging.after,
        limit: paging.limit,
    })
}

async fn organization(app: &App, org: &str) -> Result<(), Refusal> {
    app.store.organization_get(org).await?;
    Ok(())
}

/// `GET /orgs/{org}/deployments/{id}`.
async fn read(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Deployment>, Refusal> {
    Ok(Json(app.service.get(&org, &id).await?))
}

/// `GET /orgs/{org}/deployments/{id}/actions/wait-for-complete`.
async fn wait(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Deployment>, Refusal> {
    let timeout = match params.number("timeout_in_seconds")? {
        None => WAIT,
        Some(seconds) if seconds < 2 => {
            return Err(invalid("timeout_in_seconds", "number must be at least 2"));
        }
        Some(seconds) => WAIT.min(Duration::from_secs(seconds.unsigned_abs())),
    };
    let ended = tokio::select! {
        ended = app.service.wait(&org, &id, timeout) => ended?,
        // Clients ask again, and are answered by whoever serves then.
        () = app.stopping.cancelled() => app.service.wait(&org, &id, Duration::ZERO).await?,
    };
    Ok(Json(ended))
}

/// `GET /orgs/{org}/deployments/{id}/actions/get-logs`: sealed, as an age file. Never opened here.
async fn logs(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let sealed = app.service.logs_age(&org, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}.log\""),
        ),
    ];
    Ok((headers, sealed).into_response())
}

/// `GET /orgs/{org}/deployments/{id}/encrypted-outputs`.
async fn outputs(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<EncryptedOutputs>, Refusal> {
    Ok(Json(app.service.outputs_age(&org, &id).await?))
}

/// `GET /orgs/{org}/deployments/{id}/tf`.
async fn tf(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let text = app.service.tf(&org, &id).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
}

/// `POST /orgs/{org}/deployments/{id}/actions/diff`.
async fn diff(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Diff>, Refusal> {
    let from = params.one("fromDeploymentId");
    if let Some(from) = from {
        caller.sees_deployment(&app, &org, from).await?;
    }
    Ok(Json(app.service.diff(&org, &id, from).await?))
}

/// `POST /orgs/{org}/deployments/{id}/actions/cancel`.
async fn cancel(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.service.cancel(&org, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `GET /orgs/{org}/deployments/{id}/resources`.
async fn resources(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Page<ActiveNode>>, Refusal> {
    Ok(whole(app.service.resources(&org, &id).await?))
}

/// `GET /orgs/{org}/deployments/{id}/graph`.
async fn graph(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<DeploymentGraph>, Refusal> {
    Ok(Json(app.service.graph(&org, &id).await?))
}

/// `GET /orgs/{org}/active-resources`.
async fn active_resources(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<ActiveNode>>, Refusal> {
    let needed = |name: &'static str| {
        params
            .one(name)
            .ok_or_else(|| Refusal::bad(format!("{name} param required")))
    };
    let nodes = app
        .service
        .active_resources(
            &org,
            needed("project_id")?,
            needed("env_id")?,
            caller.environments(),
        )
        .await?;
    Ok(whole(nodes))
}

/// A list that is not cut into pages.
fn whole<T: serde::Serialize>(items: Vec<T>) -> Json<Page<T>> {
    page(Listed { items, next: None }, |item| item)
}
