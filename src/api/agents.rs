//! Agents: enrolled by a token, seen and removed by the platform team, and what they say about runs.
//!
//! The messages of an agent are one route with documents of their own (`deploy::agents::protocol`), which carry their
//! version: an agent may be older than its server. They leave no rows in the audit log, because they are no requests of
//! anybody; that an agent came, changed its key or was removed does.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::App;
use super::auth::{self, Caller};
use super::body::{self, Body, Problems, Text};
use super::entry::{Routes, routes};
use super::error::Refusal;
use super::query::{Paged, Params, page};
use crate::deploy::agents::AgentError;
use crate::deploy::agents::protocol::{Answer, Message, VERSION};
use crate::store::agents as stored;
use crate::store::clock::stamp;
use crate::wire::agents::{
    About, Agent, AgentEnrol, AgentEnrolled, AgentKey, AgentToken, AgentTokenCreate,
};
use crate::wire::{ErrorBody, Page};

/// How long a token enrols where nothing is said, and at most, in minutes.
const MINUTES: i64 = 60;
const MOST_MINUTES: i64 = 24 * 60;

/// Routes of agents themselves.
pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(enrol))
        .routes(routes!(add_key))
        .routes(routes!(messages))
}

/// Routes below an organisation.
pub(super) fn of_organization() -> Routes {
    Routes::new()
        .routes(routes!(create_token))
        .routes(routes!(list))
        .routes(routes!(delete))
}

/// The agent that sent the request; there behind `auth::admit` alone.
#[derive(Clone)]
pub(crate) struct Sender(pub(crate) Option<stored::Agent>);

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self(None)))
    }
}

impl Sender {
    fn agent(self) -> Result<stored::Agent, Refusal> {
        self.0
            .ok_or_else(|| Refusal::unauthorized("the token of an agent is needed"))
    }
}

/// Makes a token that enrols one agent of a runner, once.
#[utoipa::path(
    post,
    path = "/agent-tokens",
    request_body = AgentTokenCreate,
    responses(
        (status = 201, body = AgentToken, description = "The token, shown this once"),
        (status = 409, body = ErrorBody, description = "No agent carries runs of this runner"),
    )
)]
async fn create_token(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<AgentToken>), Refusal> {
    let mut found = Problems::default();
    let runner_id = fields.required_text(&mut found, "runner_id", Text::up_to(255));
    let minutes = fields.typed(&mut found, "minutes").unwrap_or(MINUTES);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        found.invalid(
            "/minutes",
            format!("\"/minutes\": must be from 1 to {MOST_MINUTES}"),
        );
    }
    found.check()?;
    app.service.takes_agents(&org, &runner_id).await?;
    let secret = stored::new_token();
    let enrolment = stored::Enrolment {
        org_id: org,
        runner_id: runner_id.clone(),
        created_by: caller.user,
    };
    let life_us = minutes * 60 * 1_000_000;
    let until = app
        .store
        .agent_token_create(&secret, &enrolment, life_us)
        .await?;
    let made = AgentToken {
        token: secret.expose().to_owned(),
        runner_id,
        expires_at: stamp(until),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Lists agents.
#[utoipa::path(
    get,
    path = "/agents",
    params(Paged),
    responses((status = 200, body = Page<Agent>, description = "Agents"))
)]
async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Agent>>, Refusal> {
    let listed = app.service.agents(&org, &params.paging()?).await?;
    Ok(page(listed, |agent| agent))
}

/// Removes an agent: its keys are over, and what it carries is not believed any more.
#[utoipa::path(
    delete,
    path = "/agents/{id}",
    responses((status = 204, description = "Gone"))
)]
async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.service.agent_remove(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a data directory an agent: the token is spent, the key counts from now on.
#[utoipa::path(
    post,
    path = "/agents/enrol",
    request_body = AgentEnrol,
    responses(
        (status = 200, body = AgentEnrolled, description = "Enrolled"),
        (status = 401, body = ErrorBody, description = "The token is unknown, spent or over"),
        (status = 409, body = ErrorBody, description = "The data directory is another's"),
    )
)]
async fn enrol(
    State(app): State<App>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Result<Json<AgentEnrolled>, Refusal> {
    let mut found = Problems::default();
    let instance = fields.required_text(&mut found, "instance", Text::up_to(64));
    if uuid::Uuid::parse_str(&instance).is_err() {
        found.invalid("/instance", "\"/instance\": must be a UUID");
    }
    let public = fields.required_text(&mut found, "public_key", Text::up_to(64));
    let key = auth::key_id(&public);
    if key.is_none() {
        found.invalid(
            "/public_key",
            "\"/public_key\": must be 32 bytes in base64url without padding",
        );
    }
    let about: Option<About> = fields.required_typed(&mut found, "about");
    found.check()?;
    let secret = auth::token(&headers).ok_or_else(|| {
        Refusal::unauthorized(
            "the token that enrols is needed: send it as `Authorization: Bearer TOKEN`",
        )
    })?;
    let enrolled = app
        .store
        .agent_enrol(
            &secret,
            &instance,
            (&key.unwrap_or_default(), &public),
            &about.unwrap_or_default(),
        )
        .await?;
    let agent = enrolled.ok_or_else(|| {
        Refusal::unauthorized(
            "the token that enrols is unknown, spent or over; make another one: windlass create agent-token RUNNER",
        )
    })?;
    Ok(Json(AgentEnrolled {
        audience: auth::audience(&agent.org_id, &agent.runner_id),
        id: agent.instance,
        org_id: agent.org_id,
        runner_id: agent.runner_id,
    }))
}

/// Takes the next key of the agent that asks; the one before holds until the next change.
#[utoipa::path(
    post,
    path = "/agents/self/keys",
    request_body = AgentKey,
    responses((status = 204, description = "Taken"))
)]
async fn add_key(
    State(app): State<App>,
    sender: Sender,
    Body(mut fields): Body,
) -> Result<StatusCode, Refusal> {
    let mut found = Problems::default();
    let public = fields.required_text(&mut found, "public_key", Text::up_to(64));
    let key = auth::key_id(&public);
    if key.is_none() {
        found.invalid(
            "/public_key",
            "\"/public_key\": must be 32 bytes in base64url without padding",
        );
    }
    found.check()?;
    let agent = sender.agent()?;
    app.store
        .agent_key_add(&agent.instance, &key.unwrap_or_default(), &public)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Carries out a message of an agent about its runs. The documents have a version of their own.
#[utoipa::path(
    post,
    path = "/agents/self/messages",
    request_body = serde_json::Value,
    responses(
        (status = 200, body = serde_json::Value, description = "The answer"),
        (status = 409, body = ErrorBody, description = "`agent_fenced`: another agent has its place"),
        (status = 422, body = ErrorBody, description = "`message_refused`: it will never be taken"),
    )
)]
async fn messages(
    State(app): State<App>,
    sender: Sender,
    request: Request,
) -> Result<Json<Answer>, Refusal> {
    let (headers, bytes) = body::bytes(request).await?;
    body::is_json(&headers)?;
    let message = Message::read(&bytes).map_err(Refusal::bad)?;
    let agent = sender.agent()?;
    let said = app
        .service
        .agent_said(&agent, message.epoch, message.say, &app.stopping)
        .await;
    match said {
        Ok(say) => Ok(Json(Answer {
            version: VERSION,
            say,
        })),
        Err(AgentError::Fenced(why)) => {
            Err(Refusal::coded(StatusCode::CONFLICT, "agent_fenced", why))
        }
        Err(AgentError::Refused(why)) => Err(Refusal::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            "message_refused",
            why,
        )),
        Err(AgentError::Other(error)) => Err(error.into()),
    }
}
