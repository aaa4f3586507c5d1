//! The HTTP door: requests become checked values, use cases and queries are called, their answers become JSON.
//!
//! The paths, fields and words are v1's; what v1 has not lies beside it (`windlass` in bodies, a few routes of
//! its own). Decides nothing about deployments, knows no SQL, never sees a private key: a request that carries
//! one is refused. Start at [`router`]; a noun is one file in `objects`, an error becomes a status in `error`.
//!
//! Why local mode calls this router too, in its own process: what works without a server then works with one.

mod auth;
mod body;
mod deployments;
mod error;
pub(crate) mod listen;
mod module_sources;
mod objects;
mod query;
mod states;
mod streams;

use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub(crate) use self::auth::Identification;
use self::error::Refusal;
use self::objects::{
    available, environment_types, environments, metadata_keys, module_rules, modules,
    organizations, projects, providers, resource_types, runner_rules, runners,
};
use crate::deploy::{self, Service};
use crate::store::{self, Store, StoreConfig};

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct App {
    /// What is stored.
    pub(crate) store: Store,
    /// What can be done.
    pub(crate) service: Service,
    /// How this door behaves.
    pub(crate) settings: Settings,
    /// Cancelled when the server stops: what waits for news is answered with what there is.
    pub(crate) stopping: CancellationToken,
}

/// Settings of the door.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether the reserved runner serves where no rule matches.
    pub(crate) allow_local: bool,
    /// How callers prove who they are.
    pub(crate) identification: Identification,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_local: true,
            identification: Identification::Local,
        }
    }
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/alive", get(async || "OK"))
        .route("/health", get(health))
        .nest("/orgs/{org}", of_organization())
        .route_layer(from_fn_with_state(app.clone(), auth::admit))
        .fallback(unknown)
        .layer(map_response(error::as_json))
        .layer(from_fn(refuse_private_keys))
        .with_state(app)
}

fn of_organization() -> Router<App> {
    Router::new()
        .route("/", get(organizations::get))
        .merge(
            projects_and_environments()
                .merge(catalogue())
                .layer(from_fn(body::allow_checks)),
        )
        .merge(deployments::routes())
}

fn projects_and_environments() -> Router<App> {
    use environment_types as types;
    let environment = "/projects/{project}/envs/{env}";
    Router::new()
        .route("/env-types", get(types::list).post(types::create))
        .route(
            "/env-types/{id}",
            get(types::get).patch(types::update).delete(types::delete),
        )
        .route("/projects", get(projects::list).post(projects::create))
        .route(
            "/projects/{project}",
            get(projects::get)
                .patch(projects::update)
                .delete(projects::delete),
        )
        .route("/envs", get(environments::list_all))
        .route(
            "/projects/{project}/envs",
            get(environments::list).post(environments::create),
        )
        .route(
            environment,
            get(environments::get)
                .patch(environments::update)
                .delete(environments::delete),
        )
        .route(
            &format!("{environment}/actions/refresh_runner"),
            post(environments::refresh_runner),
        )
        .route(&format!("{environment}/state"), get(states::get))
        .route(
            &format!("{environment}/state/actions/import"),
            post(states::import),
        )
        .route(
            &format!("{environment}/state/actions/dismiss"),
            post(states::dismiss),
        )
        .route(
            &format!("{environment}/available-resource-types"),
            get(available::list),
        )
}

fn catalogue() -> Router<App> {
    Router::new()
        .route(
            "/resource-types",
            get(resource_types::list).post(resource_types::create),
        )
        .route(
            "/resource-types/{id}",
            get(resource_types::get)
                .patch(resource_types::update)
                .delete(resource_types::delete),
        )
        .route(
            "/module-providers",
            get(providers::list).post(providers::create),
        )
        .route(
            "/module-providers/{type}/{id}",
            get(providers::get)
                .patch(providers::update)
                .delete(providers::delete),
        )
        .route("/modules", get(modules::list).post(modules::create))
        .route(
            "/modules/{id}",
            get(modules::get)
                .patch(modules::update)
                .delete(modules::delete),
        )
        .route("/modules/{id}/versions", get(modules::versions))
        .route("/modules/{id}/versions/{version}", get(modules::version))
        .route("/module-sources/{digest}", put(module_sources::put))
        .route(
            "/module-rules",
            get(module_rules::list).post(module_rules::create),
        )
        .route(
            "/module-rules/{id}",
            get(module_rules::get).delete(module_rules::delete),
        )
        .route("/runners", get(runners::list).post(runners::create))
        .route(
            "/runners/{id}",
            get(runners::get)
                .patch(runners::update)
                .delete(runners::delete),
        )
        .route(
            "/runner-rules",
            get(runner_rules::list).post(runner_rules::create),
        )
        .route(
            "/runner-rules/{id}",
            get(runner_rules::get).delete(runner_rules::delete),
        )
        .route(
            "/metadata-keys",
            get(metadata_keys::list).post(metadata_keys::create),
        )
        .route(
            "/metadata-keys/{name}",
            get(metadata_keys::get)
                .patch(metadata_keys::update)
                .delete(metadata_keys::delete),
        )
}

/// For tests and tools inside this repository: the router over the store in a directory.
#[doc(hidden)]
pub async fn over(data_dir: &std::path::Path) -> Result<Router, String> {
    let store = store::open(&StoreConfig::at(data_dir))
        .await
        .map_err(|error| error.to_string())?;
    Ok(router(App {
        service: Service::new(store.clone(), deploy::Settings::default()),
        settings: Settings::default(),
        stopping: CancellationToken::new(),
        store,
    }))
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({"app": "windlass", "version": env!("CARGO_PKG_VERSION"), "status": "OK"}))
}

async fn unknown() -> Refusal {
    Refusal::missing("Not Found")
}

/// A private key must not leave its owner. Whoever sends one is told what to do instead; it is written nowhere.
async fn refuse_private_keys(request: Request, next: Next) -> Response {
    if request.headers().contains_key("DecryptKey") {
        return Refusal::bad(
            "private keys are not accepted: this server never decrypts. Read the logs where the key is, with \
             `windlass logs DEPLOYMENT --key @FILE`, which opens the same sealed bytes. The key that was sent has \
             left its owner: treat it as compromised and make a new one",
        )
        .into_response();
    }
    next.run(request).await
}
