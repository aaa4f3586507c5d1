//! Who is asking, and whether they may: every request passes [`admit`] before its handler.
//!
//! What each route needs is one pure table, [`need()`]; what a token allows is read from the store with every request,
//! so that what is revoked is over at once. Handlers get a [`Caller`] and narrow their lists by what it sees.
//!
//! Why a project of others answers 404 as if it were not there: its name says something already. Who is no member of
//! the organisation gets 403 whether or not it exists, in v1's words.

mod need;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub(crate) use self::need::{Need, need};
use super::App;
use super::error::Refusal;
use crate::model::access::{Access, Level};
use crate::store::audit;
use crate::store::identity::tokens::{self, Secret};
use crate::store::identity::{Identity, Kind, grants::Seen};
use crate::store::objects::ObjectError;
use crate::wire::deployments::{Base, DeploymentCreate};

/// The user of local mode: shaped like a `UUIDv7` whose kind nibble says "a person".
const LOCAL_ADMIN: &str = "01900000-0000-7100-8000-000000000001";
/// What a client of the field sends that has no token.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// The cookie of a browser that logged in.
pub(crate) const COOKIE: &str = "session-token";

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identification {
    /// Not at all: the router is called in the process of its one user.
    Local,
    /// By tokens.
    Tokens,
    /// By tokens, and without one by a header that anybody can send: for trying things out on one's own machine.
    Dev,
}

/// Who sent the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// UUID text; what `created_by` says. The nil UUID on routes that ask nobody.
    pub(crate) user: String,
    /// What kind of user; `None` for the system itself and for local mode.
    pub(crate) kind: Option<Kind>,
    /// What they may do in the organisation of the request.
    access: Access,
    /// What they may do, by organisation; `None` is everything everywhere.
    everywhere: Option<BTreeMap<String, Access>>,
    /// What they see of it; `None` is everything.
    seen: Option<Seen>,
}

impl Caller {
    fn of(user: &str, access: Access) -> Self {
        Self {
            user: user.to_owned(),
            kind: None,
            access,
            everywhere: None,
            seen: None,
        }
    }

    /// Whether it is the one user of this machine, or somebody whom a server for trying things out takes for one.
    pub(crate) fn is_local_admin(&self) -> bool {
        self.user == LOCAL_ADMIN
    }

    /// What they may do in any organisation; `None` is everything everywhere.
    pub(crate) fn everywhere(&self) -> Option<&BTreeMap<String, Access>> {
        self.everywhere.as_ref()
    }

    /// What they see of the organisation; `None` is everything.
    pub(crate) fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Environments they see, by UUID; `None` is all.
    pub(crate) fn environments(&self) -> Option<&BTreeSet<String>> {
        self.seen.as_ref().map(|seen| &seen.environments)
    }

    fn asks<'a>(&'a self, app: &'a App, org: &'a str) -> Asked<'a> {
        Asked {
            app,
            org,
            caller: self,
            pattern: "",
        }
    }

    /// Refuses a deployment that they do not see.
    pub(crate) async fn sees_deployment(
        &self,
        app: &App,
        org: &str,
        id: &str,
    ) -> Result<(), Refusal> {
        self.asks(app, org).deployment(Level::Read, id).await
    }

    /// Refuses what a request for a deployment may not do: deploy there, or start from what is not seen.
    pub(crate) async fn may_deploy(
        &self,
        app: &App,
        org: &str,
        body: &DeploymentCreate,
    ) -> Result<(), Refusal> {
        let asks = self.asks(app, org);
        if asks.is_allowed_everywhere(Level::Write) {
            return Ok(());
        }
        let found = app
            .store
            .environment_get(org, &body.project_id, &body.env_id)
            .await;
        // v1 answers 409 here, never 404.
        let missing = || Refusal::conflict("environment not found");
        let found = found.map_err(|error| absent(error, missing))?;
        asks.seen_environment(Level::Write, &found.project_uuid, &found.uuid, missing)?;
        if let Some(id) = &body.rollback_to_deployment_id {
            // One that is not seen is one that is not there, also to this question.
            let missing = || Refusal::conflict(format!("deployment '{id}' not found"));
            let place = app.service.place_of(org, id).await?;
            if let Some((project, environment)) = place {
                asks.seen_environment(Level::Read, &project, &environment, missing)?;
            }
        }
        match body.windlass.as_ref().map(|extras| &extras.base) {
            Some(Base::Deployment(id)) => asks.deployment(Level::Read, id).await,
            Some(Base::Environment(env)) => {
                asks.environment(Level::Read, &body.project_id, env).await
            }
            Some(Base::Empty | Base::Last) | None => Ok(()),
        }
    }

    /// Whether they may do anything in the organisation.
    pub(crate) fn is_member(&self) -> bool {
        !self.access.is_none()
    }

    /// Whether they look at the whole organisation, and so at the configuration of its providers and runners.
    pub(crate) fn sees_configuration(&self) -> bool {
        self.access.organization().is_some()
    }

    /// The level on an environment.
    pub(crate) fn environment(&self, project_uuid: &str, env_uuid: &str) -> Option<Level> {
        self.access.environment(project_uuid, env_uuid)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Every route passes `admit`; without it nobody may do anything.
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::of(NOBODY, Access::default())))
    }
}

/// Finds out who asks and whether they may, before the handler runs.
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admitted(&app, &mut parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn admitted(app: &App, parts: &mut Parts) -> Result<Caller, Refusal> {
    let pattern = parts
        .extensions
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default();
    let needed = need(&parts.method, &pattern);
    if needed == Need::Open {
        return Ok(Caller::of(NOBODY, Access::default()));
    }
    let identification = app.settings.identification;
    if identification == Identification::Local {
        return Ok(Caller::of(LOCAL_ADMIN, Access::everything()));
    }
    let Some(identity) = identify(app, parts).await? else {
        return if identification == Identification::Dev && says_nobody(&parts.headers) {
            Ok(Caller::of(LOCAL_ADMIN, Access::everything()))
        } else {
            Err(Refusal::unauthorized(
                "a token is needed: send it as `Authorization: Bearer TOKEN`. Log in with `windlass login`, or use \
                 the token of a service user",
            ))
        };
    };
    let parameters = parts
        .extract::<RawPathParams>()
        .await
        .map_err(|_| Refusal::missing("Not Found"))?;
    let of = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    audit::note(|draft| {
        draft.actor.clone_from(&identity.user);
        draft.actor_kind = identity.kind.word().to_owned();
        draft.actor_name.clone_from(&identity.name);
    });
    let mut caller = Caller {
        user: identity.user,
        kind: Some(identity.kind),
        access: Access::default(),
        everywhere: Some(identity.access),
        seen: None,
    };
    let Some(org) = of("org") else {
        return Ok(caller);
    };
    let access = caller.everywhere().and_then(|all| all.get(&org));
    caller.access = access.cloned().unwrap_or_default();
    if caller.access.is_none() && needed == Need::Invitation {
        return Ok(caller);
    }
    if caller.access.is_none() {
        return Err(Refusal::forbidden(
            needed.level(),
            format!("organization:{org}"),
        ));
    }
    caller.seen = app.store.seen(&org, &caller.access.visible()).await?;
    let asked = Asked {
        app,
        org: &org,
        caller: &caller,
        pattern: &pattern,
    };
    match needed {
        Need::Open | Need::Anybody | Need::Member | Need::Invitation | Need::Handler => {}
        Need::Organization(level) => {
            if caller.access.organization() < Some(level) {
                return Err(Refusal::forbidden(level, format!("organization:{org}")));
            }
        }
        Need::Project(level) => {
            asked
                .project(level, &of("project").unwrap_or_default())
                .await?;
        }
        Need::Environment(level) => {
            let project = of("project").unwrap_or_default();
            asked
                .environment(level, &project, &of("env").unwrap_or_default())
                .await?;
        }
        Need::Deployment(level) => {
            asked
                .deployment(level, &of("id").unwrap_or_default())
                .await?;
        }
    }
    Ok(caller)
}

/// Who sent the token, if there is one that is good. A cookie wins over the header, as in v1.
async fn identify(app: &App, parts: &Parts) -> Result<Option<Identity>, Refusal> {
    let Some(secret) = token(&parts.headers) else {
        return Ok(None);
    };
    let from_cookie = cookie(&parts.headers, COOKIE).is_some();
    // A browser sends the cookie along with whatever another site makes it send.
    if from_cookie && !is_safe(&parts.method) && !is_same_origin(&parts.headers) {
        return Err(Refusal::unauthorized(
            "a browser's session changes nothing on behalf of another site",
        ));
    }
    let kinds = [
        tokens::Kind::Session,
        tokens::Kind::Service,
        tokens::Kind::Workload,
    ];
    Ok(app.store.identity_of(&secret, &kinds).await?)
}

/// The token of the request, from its cookie or its header.
pub(crate) fn token(headers: &HeaderMap) -> Option<Secret> {
    cookie(headers, COOKIE).or_else(|| bearer(headers))
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| Secret::sent(token))
}

/// A secret that a browser keeps.
pub(crate) fn cookie(headers: &HeaderMap, wanted: &str) -> Option<Secret> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && !value.is_empty())
        .map(|(_, value)| Secret::sent(value))
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Whether a browser says that the request comes from a page of another site.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let is_of_browser = headers.contains_key("sec-fetch-site") || headers.contains_key("origin");
    is_of_browser && !is_same_origin(headers)
}

/// Whether a browser says that the request comes from a page of this server.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => site == "same-origin" || site == "none",
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").map(|(_, rest)| rest) == Some(host)
        }
        (None, _, _) => false,
    }
}

/// Whether the client says that it has no token.
fn says_nobody(headers: &HeaderMap) -> bool {
    headers
        .get(header::FROM)
        .is_some_and(|value| value.as_bytes() == NOBODY.as_bytes())
        || headers.get(header::AUTHORIZATION).is_none()
}

/// What is not there, answered as `missing` says; anything else went wrong and is no absence.
fn absent(error: ObjectError, missing: impl Fn() -> Refusal) -> Refusal {
    match error {
        ObjectError::Missing(_) => missing(),
        other => other.into(),
    }
}

/// A request about something in an organisation.
struct Asked<'a> {
    app: &'a App,
    org: &'a str,
    caller: &'a Caller,
    pattern: &'a str,
}

impl Asked<'_> {
    /// Whether the whole organisation is allowed, so that nothing has to be looked up.
    fn is_allowed_everywhere(&self, level: Level) -> bool {
        self.caller.access.organization() >= Some(level)
    }

    async fn project(&self, level: Level, id: &str) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        // What is not seen is answered as what is not there: word for word.
        let missing = || {
            Refusal::missing(if self.pattern.ends_with("/envs") && level == Level::Read {
                format!("project {id} not found")
            } else {
                "project not found".to_owned()
            })
        };
        let project = self.app.store.project_get(self.org, id).await;
        let project = project.map_err(|error| absent(error, missing))?;
        if let Some(seen) = self.caller.seen()
            && !seen.projects.contains(&project.uuid)
        {
            return Err(missing());
        }
        if level == Level::Read || self.caller.access.project(&project.uuid) >= Some(level) {
            return Ok(());
        }
        Err(Refusal::forbidden(
            level,
            format!("project:{}", project.uuid),
        ))
    }

    async fn environment(&self, level: Level, project: &str, id: &str) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        let missing = || Refusal::missing("environment not found");
        let found = self.app.store.environment_get(self.org, project, id).await;
        let found = found.map_err(|error| absent(error, missing))?;
        self.seen_environment(level, &found.project_uuid, &found.uuid, missing)
    }

    async fn deployment(&self, level: Level, id: &str) -> Result<(), Refusal> {
        if self.is_allowed_everywhere(level) {
            return Ok(());
        }
        let missing = || Refusal::missing(format!("deployment '{id}' not found"));
        let found = self.app.service.place_of(self.org, id).await?;
        let (project, environment) = found.ok_or_else(missing)?;
        self.seen_environment(level, &project, &environment, missing)
    }

    fn seen_environment(
        &self,
        level: Level,
        project: &str,
        environment: &str,
        missing: impl Fn() -> Refusal,
    ) -> Result<(), Refusal> {
        match self.caller.environment(project, environment) {
            None => Err(missing()),
            Some(has) if has >= level => Ok(()),
            Some(_) => Err(Refusal::forbidden(level, format!("env:{environment}"))),
        }
    }
}
