//! Who is asking, and whether they may: every request passes [`admit`] before its handler.
//!
//! What each route needs is one pure table, [`need()`]; what a token allows is read from the store with every request,
//! so that what is revoked is over at once. Handlers get a [`Caller`] and narrow their lists by what it sees.
//!
//! Why a project of others answers 404 as if it were not there: its name says something already. Who is no member of
//! the organisation gets 403 whether or not it exists, in v1's words.

mod agent;
mod asked;
mod need;
mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub(crate) use self::agent::{audience, key_id};
use self::asked::{Asked, absent};
pub(crate) use self::need::{Need, need};
pub(crate) use self::proof::{COOKIE, cookie, is_from_elsewhere, token};
use self::proof::{identify, says_nobody};
use super::App;
use super::agents::Sender;
use super::error::Refusal;
use crate::model::access::{Access, Level};
use crate::store::audit;
use crate::store::identity::{Kind, grants::Seen};
use crate::wire::deployments::{Base, DeploymentCreate};

/// The user of local mode: shaped like a `UUIDv7` whose kind nibble says "a person".
const LOCAL_ADMIN: &str = "01900000-0000-7100-8000-000000000001";
/// What a client of the field sends that has no token.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

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
    // The router in the process of its one user has no agents; there handlers refuse, as they do everything.
    if needed == Need::Agent && identification == Identification::Local {
        return Ok(Caller::of(NOBODY, Access::default()));
    }
    if needed == Need::Agent {
        let agent = agent::identify(app, &parts.headers).await?;
        audit::note(|draft| {
            draft.organization.clone_from(&agent.org_id);
            draft.actor.clone_from(&agent.instance);
            "agent".clone_into(&mut draft.actor_kind);
            draft.actor_name.clone_from(&agent.about.host);
        });
        let caller = Caller::of(&agent.instance, Access::default());
        parts.extensions.insert(Sender(Some(agent)));
        return Ok(caller);
    }
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
        Need::Open
        | Need::Anybody
        | Need::Member
        | Need::Invitation
        | Need::Agent
        | Need::Handler => {}
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
