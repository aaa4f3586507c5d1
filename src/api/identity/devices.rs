//! Programs that log in: `windlass login` and the field's client show a code, a person lets them in with a browser.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{ClientAddress, MINUTE_US, SESSION_US, over_after};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::Body;
use crate::api::error::Refusal;
use crate::api::query::Params;
use crate::store::audit;
use crate::store::clock::{now_us, stamp};
use crate::store::identity::Kind;
use crate::store::identity::devices::{Decision, DeviceLogin as Stored, Polled, shown};
use crate::store::identity::sessions::NewSession;
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::wire::identity::{DeviceLogin, DeviceLoginAccepted, DeviceLoginCreated};
use crate::wire::identity_requests::DeviceLoginCreate;

/// Longest name of a program that is kept.
const LONGEST_AGENT: usize = 200;

/// Asks to be let in as a person.
#[utoipa::path(
    post,
    path = "/auth/device",
    params(("User-Agent" = Option<String>, Header, description = "What asks")),
    request_body = DeviceLoginCreate,
    responses(
        (status = 201, body = DeviceLoginCreated, description = "Asked"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(_nothing): Body,
) -> Result<Response, Refusal> {
    let agent = headers.get(header::USER_AGENT);
    let agent: String = agent
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .chars()
        .take(LONGEST_AGENT)
        .collect();
    let polling = Secret::new(TokenKind::Session);
    let made = app
        .store
        .device_create(&polling, &agent, address.as_deref())
        .await?;
    let Some((login, code)) = made else {
        return Err(Refusal::too_many("too many programs wait to be let in", 60));
    };
    let code = shown(&code);
    let body = DeviceLoginCreated {
        id: login.id,
        created_at: stamp(login.created_us),
        expires_at: stamp(login.expires_us),
        polling_token: polling.expose().to_owned(),
        approval_url: format!("{}/devicelogins/{code}", app.settings.public_url),
        code,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Reads what asks to be let in, by its code.
#[utoipa::path(
    get,
    path = "/devicelogins/{id}",
    responses(
        (status = 200, body = DeviceLogin, description = "What asks"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<String>,
) -> Result<Json<DeviceLogin>, Refusal> {
    // Whoever needs no token has nothing to guess.
    if !caller.is_local_admin() {
        look_up(&caller.user)?;
    }
    let found: Option<Stored> = app.store.device_by_code(&code).await?;
    let login = found.ok_or_else(|| Refusal::missing("device login not found"))?;
    Ok(Json(DeviceLogin {
        id: login.id,
        created_at: stamp(login.created_us),
        expires_at: stamp(login.expires_us),
        user_agent: login.user_agent,
        client_ip: login.client_ip,
    }))
}

/// Asks whether it is let in; if so, the session is shown once.
#[utoipa::path(
    post,
    path = "/devicelogins/{id}/actions/poll",
    params(("pollingToken" = String, Query, description = "What was given to whoever asked")),
    responses(
        (status = 200, body = DeviceLoginAccepted, description = "Let in"),
        (status = 202, description = "Nobody decided yet"),
    )
)]
pub(crate) async fn poll(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    let polling = Secret::sent(params.one("pollingToken").unwrap_or_default());
    let secret = Secret::new(TokenKind::Session);
    let new = NewSession {
        secret: &secret,
        expires_us: over_after(SESSION_US),
        provider: "device",
        client_ip: address.as_deref(),
    };
    match app.store.device_poll(&id, &polling, &new).await? {
        Polled::Unknown => Err(Refusal::missing("device login not found")),
        Polled::NotYours => Err(Refusal::bad("the polling token is wrong")),
        Polled::Rejected => Err(Refusal::bad("the device login was rejected")),
        Polled::Pending => {
            // It only looked.
            audit::forget();
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Polled::Accepted(login) => Ok(Json(DeviceLoginAccepted {
            id: login.id,
            created_at: stamp(login.created_us),
            expires_at: stamp(login.expires_us),
            token: secret.expose().to_owned(),
            token_expires_at: stamp(new.expires_us),
        })
        .into_response()),
    }
}

/// Lets it in.
#[utoipa::path(
    post,
    path = "/devicelogins/{id}/actions/accept",
    responses(
        (status = 204, description = "Let in"),
    )
)]
pub(crate) async fn accept(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    decide(&app, &caller, &id, Decision::Accept).await
}

/// Does not let it in.
#[utoipa::path(
    post,
    path = "/devicelogins/{id}/actions/reject",
    responses(
        (status = 204, description = "Not let in"),
    )
)]
pub(crate) async fn reject(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    decide(&app, &caller, &id, Decision::Reject).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    decision: Decision,
) -> Result<StatusCode, Refusal> {
    if caller.kind != Some(Kind::Person) {
        return Err(Refusal::bad("only a human user may let a device in"));
    }
    app.store.device_decide(id, &caller.user, decision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Codes that one person may look up in a minute: enough for typing errors, too few for guessing.
const LOOKS_PER_MINUTE: u32 = 10;

/// When the minute of each person began, and how often they looked in it.
static LOOKS: LazyLock<Mutex<HashMap<String, (i64, u32)>>> = LazyLock::new(Mutex::default);

/// Counts a look at a code.
fn look_up(user: &str) -> Result<(), Refusal> {
    let now = now_us();
    let mut looks = LOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    looks.retain(|_, (began, _)| now - *began < MINUTE_US);
    let (_, count) = looks.entry(user.to_owned()).or_insert((now, 0));
    *count += 1;
    if *count > LOOKS_PER_MINUTE {
        return Err(Refusal::too_many("too many codes were looked up", 60));
    }
    Ok(())
}
