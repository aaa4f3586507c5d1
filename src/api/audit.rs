//! The audit log: every request that may change something leaves one row, those that are refused too.
//!
//! [`record`] stands around the door that asks who it is, so that a denial has its row as well. The row of a change is
//! written with the change (`store::audit`); what changed nothing gets its row here, with its status. Local mode has no
//! log: its one user owns the directory.

use std::net::SocketAddr;

use axum::Json;
use axum::RequestExt as _;
use axum::extract::{ConnectInfo, MatchedPath, Path, RawPathParams, Request, State};
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::auth::{Caller, Identification};
use super::error::Refusal;
use super::observe::RequestId;
use super::query::{Paged, Params, page};
use crate::model::access::Level;
use crate::store::audit::{Draft, Outcome, Pending, carried};
use crate::wire::Page;
use crate::wire::audit::AuditRow;

/// Requests that are POST in the contract and only look, or only say where to go on; and what agents say about runs,
/// whose record the deployment is.
const LOOKS: &[&str] = &[
    "/agents/self/messages",
    "/auth/check-permissions",
    "/auth/sso/login",
    "/orgs/{org}/deployments/{id}/actions/diff",
];

/// Sees to it that the request has its row.
pub(crate) async fn record(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let pattern = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default();
    if app.settings.identification == Identification::Local
        || !may_change(request.method(), &pattern)
    {
        return next.run(request).await;
    }
    // The same as in the log and in the answer.
    let request_id = request.extensions().get::<RequestId>();
    let request_id = request_id.map_or_else(String::new, |id| id.0.clone());
    let draft = Draft {
        organization: organization(&mut request).await,
        actor_kind: "nobody".to_owned(),
        method: request.method().to_string(),
        route: pattern,
        path: request.uri().path().to_owned(),
        request_id: request_id.clone(),
        client: client_address(request.extensions()).unwrap_or_default(),
        ..Draft::default()
    };
    let pending = Pending::new(draft);
    let response = carried(pending.clone(), next.run(request)).await;
    if let Some(draft) = pending.take() {
        let outcome = Outcome::of_status(response.status().as_u16());
        if let Err(error) = app.store.audit_append(&draft, outcome).await {
            tracing::error!(%error, request_id, "a request changed nothing and has no row in the audit log");
        }
    }
    response
}

/// The one GET that changes something: it opens a session.
const OPENS: &str = "/auth/sso/callback";

fn may_change(method: &Method, pattern: &str) -> bool {
    if pattern == OPENS {
        return true;
    }
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) && !LOOKS.contains(&pattern)
}

/// The organisation of the path, as handlers read it: however it is written there.
async fn organization(request: &mut Request) -> String {
    let parameters = request.extract_parts::<RawPathParams>().await;
    let found = parameters.ok().and_then(|parameters| {
        let mut all = parameters.iter();
        let (_, org) = all.find(|(name, _)| *name == "org")?;
        Some(org.to_owned())
    });
    found.unwrap_or_default()
}

/// From where a request came.
pub(crate) fn client_address(extensions: &Extensions) -> Option<String> {
    let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip().to_canonical().to_string())
}

/// Lists the audit log from its first row on.
#[utoipa::path(
    get,
    path = "/audit-log",
    params(Paged),
    responses(
        (status = 200, body = Page<AuditRow>, description = "Rows by number"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<AuditRow>>, Refusal> {
    let known = app.store.organization_get(&org).await?;
    rows(&app, &known.id, &params).await
}

/// Lists the audit log of requests below no organisation; only on the server's own host.
#[utoipa::path(
    get,
    path = "/server/audit-log",
    params(Paged),
    responses(
        (status = 200, body = Page<AuditRow>, description = "Rows by number"),
    )
)]
pub(crate) async fn list_of_server(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<AuditRow>>, Refusal> {
    if !caller.is_local_admin() {
        return Err(Refusal::forbidden(Level::Manage, "server".to_owned()));
    }
    rows(&app, "", &params).await
}

async fn rows(app: &App, org: &str, params: &Params) -> Result<Json<Page<AuditRow>>, Refusal> {
    let listed = app.store.audit_list(org, &params.paging()?).await?;
    Ok(page(listed, |row| row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_has_no_row() {
        for (method, pattern, expected) in [
            (Method::GET, "/orgs/{org}/projects", false),
            (Method::POST, "/orgs/{org}/projects", true),
            (
                Method::POST,
                "/orgs/{org}/deployments/{id}/actions/diff",
                false,
            ),
            (Method::DELETE, "/orgs/{org}/something/new", true),
            (Method::GET, "/auth/sso/callback", true),
        ] {
            assert_eq!(may_change(&method, pattern), expected, "{method} {pattern}");
        }
    }
}
