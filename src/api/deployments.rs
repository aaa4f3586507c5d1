//! Deployments: asked for, looked at, followed, stopped. Thin over the use cases of `deploy`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::App;
use super::auth::Caller;
use super::body::{Body, Fields, Problems, Text};
use super::entry::{Routes, routes};
use super::error::Refusal;
use super::insides;
use super::query::{Paged, Params, invalid, page};
use crate::deploy::{Created, Filter};
use crate::store::objects::Listed;
use crate::wire::deployments::{Deployment, DeploymentCreate, DryRun};
use crate::wire::words::{DeploymentStatus, ModeFilter};
use crate::wire::{ErrorBody, Page};

/// How long a request waits for the end of a deployment unless it says less: below what clients, and
/// proxies between, have patience for.
const WAIT: Duration = Duration::from_secs(25);

/// The routes of deployments. v1's older names of two actions are answered as well.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list, create))
        .routes(routes!(last))
        .routes(routes!(read))
        .routes(routes!(wait))
        .routes(routes!(wait_by_its_old_name))
        .routes(routes!(cancel))
        .merge(insides::routes())
}

/// Asks for a deployment, or with `is_dry_run` what it would change.
#[utoipa::path(
    post,
    path = "/deployments",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key with the same request is the same deployment, for a day")),
    request_body = DeploymentCreate,
    responses(
        (status = 201, body = Deployment, description = "Accepted"),
        (status = 200, body = DryRun, description = "What it would change"),
        (status = 409, body = ErrorBody, description = "The environment is not there, is busy or is being deleted, or nothing can serve it"),
    )
)]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    headers: HeaderMap,
    Body(fields): Body,
) -> Result<Response, Refusal> {
    let key = headers
        .get("idempotency-key")
        .map(|value| std::str::from_utf8(value.as_bytes()))
        .transpose()
        .map_err(|_| Refusal::bad("the header Idempotency-Key must be UTF-8"))?;
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

/// Lists deployments, newest first.
#[utoipa::path(
    get,
    path = "/deployments",
    params(Paged, ("project_id" = Option<String>, Query, description = "Only of this project"), ("env_id" = Option<String>, Query, description = "Only of this environment; needs `project_id`"), ("by_mode" = Option<Vec<ModeFilter>>, Query, description = "Only of these modes"), ("by_status" = Option<Vec<DeploymentStatus>>, Query, description = "Only with these statuses")),
    responses(
        (status = 200, body = Page<Deployment>, description = "Deployments, without `manifest` and `runner_id`"),
    )
)]
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

/// Lists the last deployment of each environment.
#[utoipa::path(
    get,
    path = "/last-deployments",
    params(Paged, ("project_id" = Option<String>, Query, description = "Only of this project"), ("env_id" = Option<String>, Query, description = "Only of this environment; needs `project_id`"), ("state_change_only" = Option<bool>, Query, description = "Leave plans out")),
    responses(
        (status = 200, body = Page<Deployment>, description = "Deployments, without `manifest` and `runner_id`"),
    )
)]
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

/// Reads a deployment.
#[utoipa::path(
    get,
    path = "/deployments/{id}",
    responses(
        (status = 200, body = Deployment, description = "The deployment"),
    )
)]
async fn read(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Deployment>, Refusal> {
    Ok(Json(app.service.get(&org, &id).await?))
}

/// Waits until a deployment has ended, at most 25 seconds.
#[utoipa::path(
    get,
    path = "/deployments/{id}/actions/wait-for-complete",
    params(("timeout_in_seconds" = Option<i64>, Query, minimum = 2, description = "Wait no longer than this")),
    responses(
        (status = 200, body = Deployment, description = "It has ended"),
        (status = 408, body = ErrorBody, description = "It has not ended yet"),
    )
)]
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

/// Waits, by the name that older clients know.
#[utoipa::path(
    get,
    path = "/deployments/{id}/actions/waitForComplete",
    params(("timeout_in_seconds" = Option<i64>, Query, minimum = 2, description = "Wait no longer than this")),
    responses(
        (status = 200, body = Deployment, description = "It has ended"),
        (status = 408, body = ErrorBody, description = "It has not ended yet"),
    )
)]
async fn wait_by_its_old_name(
    app: State<App>,
    caller: Caller,
    of: Path<(String, String)>,
    params: Params,
) -> Result<Json<Deployment>, Refusal> {
    wait(app, caller, of, params).await
}

/// Stops a deployment: one that waits at once, one that runs by a request to its engine, which saves the state and lets
/// go of its lock.
#[utoipa::path(
    post,
    path = "/deployments/{id}/actions/cancel",
    responses(
        (status = 202, description = "Told to stop"),
        (status = 409, body = ErrorBody, description = "It has ended already"),
    )
)]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.service.cancel(&org, &id, &caller.user).await?;
    Ok(StatusCode::ACCEPTED)
}
