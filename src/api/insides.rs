//! What a deployment is made of and what it gave back: its graph, its program, its sealed streams, its resources.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::auth::Caller;
use super::entry::{Routes, routes};
use super::error::Refusal;
use super::query::{Params, page};
use super::streams;
use crate::store::objects::Listed;
use crate::wire::Page;
use crate::wire::deployments::{ActiveNode, DeploymentGraph, Diff, EncryptedOutputs};
use crate::wire::explain::Explanation;

/// Routes below a deployment, and what an environment has.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(active_resources))
        .routes(routes!(logs))
        .routes(routes!(logs_by_its_old_name))
        .routes(routes!(outputs))
        .routes(routes!(tf))
        .routes(routes!(diff))
        .routes(routes!(resources))
        .routes(routes!(graph))
        .routes(routes!(explain))
        .routes(routes!(bundle))
        .routes(routes!(streams::events))
        .routes(routes!(streams::sealed))
}

/// Reads the sealed log of a deployment as an age file. It is never opened here.
#[utoipa::path(
    get,
    path = "/deployments/{id}/actions/get-logs",
    params(("DecryptKey" = Option<String>, Header, deprecated, description = "Refused on every route: a private key never leaves its owner")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "text/plain", description = "An age file"),
    )
)]
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

/// Reads the sealed log, by the name that older clients know.
#[utoipa::path(
    get,
    path = "/deployments/{id}/actions/getLogs",
    responses(
        (status = 200, body = Vec<u8>, content_type = "text/plain", description = "An age file"),
    )
)]
async fn logs_by_its_old_name(
    app: State<App>,
    caller: Caller,
    of: Path<(String, String)>,
) -> Result<Response, Refusal> {
    logs(app, caller, of).await
}

/// Reads the sealed outputs of a deployment.
#[utoipa::path(
    get,
    path = "/deployments/{id}/encrypted-outputs",
    responses(
        (status = 200, body = EncryptedOutputs, description = "An age file"),
    )
)]
async fn outputs(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<EncryptedOutputs>, Refusal> {
    Ok(Json(app.service.outputs_age(&org, &id).await?))
}

/// Reads the program of a deployment.
#[utoipa::path(
    get,
    path = "/deployments/{id}/tf",
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "`main.tf`"),
    )
)]
async fn tf(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let text = app.service.tf(&org, &id).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
}

/// Compares the graphs of two deployments.
#[utoipa::path(
    post,
    path = "/deployments/{id}/actions/diff",
    params(("fromDeploymentId" = Option<String>, Query, format = Uuid, description = "The older one; else the one before")),
    responses(
        (status = 200, body = Diff, description = "What changed"),
    )
)]
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

/// Lists the resources of a deployment.
#[utoipa::path(
    get,
    path = "/deployments/{id}/resources",
    responses(
        (status = 200, body = Page<ActiveNode>, description = "Resources"),
    )
)]
async fn resources(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Page<ActiveNode>>, Refusal> {
    Ok(whole(app.service.resources(&org, &id).await?))
}

/// Reads the resource graph of a deployment, and what it changed.
#[utoipa::path(
    get,
    path = "/deployments/{id}/graph",
    responses(
        (status = 200, body = DeploymentGraph, description = "The graph"),
    )
)]
async fn graph(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<DeploymentGraph>, Refusal> {
    Ok(Json(app.service.graph(&org, &id).await?))
}

/// Says why a resource of a deployment is as it is: the rules that matched and lost, and where each input comes from.
#[utoipa::path(
    get,
    path = "/deployments/{id}/explain/{node}",
    responses((status = 200, body = Explanation, description = "Why")),
)]
async fn explain(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id, node)): Path<(String, String, String)>,
) -> Result<Json<Explanation>, Refusal> {
    Ok(Json(app.service.explain(&org, &id, &node).await?))
}

/// Reads everything that the engine is given for a deployment: a tar archive.
#[utoipa::path(
    get,
    path = "/deployments/{id}/bundle",
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/x-tar", description = "The files of the bundle"),
    )
)]
async fn bundle(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let archive = app.service.bundle(&org, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}.tar\""),
        ),
    ];
    Ok((headers, archive).into_response())
}

/// Lists the resources of an environment.
#[utoipa::path(
    get,
    path = "/active-resources",
    params(("project_id" = String, Query, description = "The project"), ("env_id" = String, Query, description = "The environment")),
    responses(
        (status = 200, body = Page<ActiveNode>, description = "Resources"),
    )
)]
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
