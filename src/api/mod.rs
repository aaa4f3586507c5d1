//! The HTTP door: requests become checked values, use cases and queries are called, their answers become JSON.
//!
//! The paths, fields and words are v1's; what v1 has not lies beside it (`windlass` in bodies, a few routes of
//! its own). Decides nothing about deployments, knows no SQL, never sees a private key: a request that carries
//! one is refused. Start at [`router`]; a noun is one file in `objects`, an error becomes a status in `error`.
//!
//! Why local mode calls this router too, in its own process: what works without a server then works with one.

mod agents;
mod audit;
mod auth;
mod body;
mod deployments;
mod document;
mod entry;
mod error;
mod hosted;
mod identity;
mod insides;
pub(crate) mod limits;
pub(crate) mod listen;
mod module_sources;
mod objects;
mod observe;
mod oidc;
mod provider_mirror;
mod query;
mod states;
mod streams;
mod typed;

use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub(crate) use self::auth::Identification;
use self::entry::{Routes, routes};
use self::error::Refusal;
pub(crate) use self::identity::{LINK_US, link};
pub(crate) use self::limits::Limits;
use self::objects::{
    available, environment_types, environments, metadata_keys, module_rules, modules,
    organizations, projects, providers, resource_types, runner_rules, runners,
};
pub(crate) use self::oidc::sign_on::{Newcomers, SignOn, redirect_uri};
pub(crate) use self::oidc::{http_client, may_be_asked};
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
    /// What was counted, for `/metrics`; only a server counts.
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// Settings of the door.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Whether the reserved runner serves where no rule matches.
    pub(crate) allow_local: bool,
    /// How callers prove who they are.
    pub(crate) identification: Identification,
    /// Under which URL people reach this server, without a trailing `/`.
    pub(crate) public_url: String,
    /// Where people sign in, beside one-time links.
    pub(crate) sign_on: Option<SignOn>,
    /// How often one caller may ask; `None` is as often as they like.
    pub(crate) limits: Option<Limits>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_local: true,
            identification: Identification::Local,
            public_url: "http://127.0.0.1:8080".to_owned(),
            sign_on: None,
            limits: None,
        }
    }
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let mut router = routes()
        .into_router()
        .route_layer(from_fn_with_state(app.clone(), auth::admit))
        .route_layer(from_fn_with_state(app.clone(), audit::record));
    if let Some(limits) = &app.settings.limits {
        router = router.route_layer(from_fn_with_state(limits.clone(), limits::limit));
    }
    hosted::beside(router)
        .route_layer(from_fn(observe::observe))
        .fallback(unknown)
        .layer(map_response(error::as_json))
        .layer(from_fn(refuse_private_keys))
        .layer(from_fn(refuse_nul))
        .with_state(app)
}

/// All routes with their entries in the document. A route is added with its entry or not at all: the methods that
/// add bare routes are refused by the linter here.
fn routes() -> Routes {
    Routes::new()
        .routes(routes!(alive))
        .routes(routes!(health))
        .routes(routes!(observe::metrics))
        .routes(routes!(document::openapi))
        .routes(routes!(provider_mirror::get))
        .merge(identity::routes())
        .merge(agents::routes())
        .nest("/orgs/{org}", of_organization())
}

fn of_organization() -> Routes {
    Routes::new()
        .routes(routes!(organizations::get))
        .merge(identity::of_organization())
        .merge(
            projects_and_environments()
                .merge(catalogue())
                .layer(from_fn(body::allow_checks)),
        )
        .merge(deployments::routes())
        .merge(agents::of_organization())
}

fn projects_and_environments() -> Routes {
    use environment_types as types;
    Routes::new()
        .routes(routes!(types::list, types::create))
        .routes(routes!(types::get, types::update, types::delete))
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::get, projects::update, projects::delete))
        .routes(routes!(environments::list_all))
        .routes(routes!(environments::list, environments::create))
        .routes(routes!(
            environments::get,
            environments::update,
            environments::delete
        ))
        .routes(routes!(environments::refresh_runner))
        .routes(routes!(states::get))
        .routes(routes!(states::import))
        .routes(routes!(states::dismiss))
        .routes(routes!(states::relocate))
        .routes(routes!(states::versions))
        .routes(routes!(states::pull))
        .routes(routes!(states::restore))
        .routes(routes!(states::unlock))
        .routes(routes!(available::list))
}

fn catalogue() -> Routes {
    Routes::new()
        .routes(routes!(resource_types::list, resource_types::create))
        .routes(routes!(
            resource_types::get,
            resource_types::update,
            resource_types::delete
        ))
        .routes(routes!(providers::list, providers::create))
        .routes(routes!(
            providers::get,
            providers::update,
            providers::delete
        ))
        .routes(routes!(modules::list, modules::create))
        .routes(routes!(modules::get, modules::update, modules::delete))
        .routes(routes!(modules::versions))
        .routes(routes!(modules::version))
        .routes(routes!(module_sources::put))
        .routes(routes!(module_rules::list, module_rules::create))
        .routes(routes!(module_rules::get, module_rules::delete))
        .routes(routes!(runners::list, runners::create))
        .routes(routes!(runners::get, runners::update, runners::delete))
        .routes(routes!(runner_rules::list, runner_rules::create))
        .routes(routes!(runner_rules::get, runner_rules::delete))
        .routes(routes!(metadata_keys::list, metadata_keys::create))
        .routes(routes!(
            metadata_keys::get,
            metadata_keys::update,
            metadata_keys::delete
        ))
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
        metrics: None,
        store,
    }))
}

/// Says that it serves.
#[utoipa::path(
    get,
    path = "/alive",
    responses((status = 200, body = String, content_type = "text/plain", description = "`OK`"))
)]
async fn alive() -> &'static str {
    "OK"
}

/// Says what serves.
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, body = BTreeMap<String, String>, description = "`app`, `version` and `status`"))
)]
async fn health() -> Json<serde_json::Value> {
    Json(json!({"app": "windlass", "version": env!("CARGO_PKG_VERSION"), "status": "OK"}))
}

async fn unknown() -> Refusal {
    Refusal::missing("Not Found")
}

/// No name holds NUL, and not every database can be asked for one that does.
async fn refuse_nul(request: Request, next: Next) -> Response {
    let asked = request.uri().path_and_query();
    if asked.is_some_and(|asked| asked.as_str().contains("%00")) {
        return Refusal::bad("the path and its parameters must not contain NUL (%00)")
            .into_response();
    }
    next.run(request).await
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
