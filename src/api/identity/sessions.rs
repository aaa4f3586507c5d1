//! Sessions of people: opened by a one-time link, looked at, and ended; and who is asking.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{ClientAddress, SESSION_US, over_after, sign_on};
use crate::api::App;
use crate::api::auth::{self, COOKIE, Caller};
use crate::api::body::{Body, Problems, Text};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::access::Level;
use crate::store::clock::{now_us, stamp};
use crate::store::identity::Kind;
use crate::store::identity::sessions::{NewSession, Session};
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::store::identity::users::Person;
use crate::wire::identity::{CurrentUser, OrganizationId, SessionToken, TokenExtras, User};
use crate::wire::identity_requests::LinkToken;
use crate::wire::{ErrorBody, Page};

/// A person, for an answer.
pub(super) fn shown(person: Person) -> User {
    User {
        id: person.id,
        display_name: person.name,
        created_at: stamp(person.created_us),
        last_logged_in_at: person.logged_in_us.map(stamp),
        login_providers: providers(person.signs_on),
        primary_email_address: person.email,
    }
}

/// How somebody may log in beside one-time links.
pub(super) fn providers(signs_on: bool) -> Vec<String> {
    if signs_on {
        vec![sign_on::PROVIDER.to_owned()]
    } else {
        Vec::new()
    }
}

/// Refuses to tell anything about somebody else.
pub(super) fn is_self(caller: &Caller, user: &str) -> Result<(), Refusal> {
    if caller.user == user {
        return Ok(());
    }
    Err(Refusal::forbidden(Level::Read, format!("user:{user}")))
}

/// Tells who is asking.
#[utoipa::path(
    get,
    path = "/current-user",
    responses(
        (status = 200, body = CurrentUser, description = "The caller"),
    )
)]
pub(crate) async fn current_user(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<CurrentUser>, Refusal> {
    if caller.kind == Some(Kind::Service) {
        return Err(Refusal::forbidden(
            Level::Read,
            format!("user:{}", caller.user),
        ));
    }
    let person = app.store.person_get(&caller.user).await?;
    let (user, organizations) = match person {
        Some(person) => {
            let member = app.store.organizations_of(&person.id).await?;
            (shown(person), member)
        }
        // Who needs no token is nobody that is stored.
        None => {
            let default = crate::store::objects::organizations::DEFAULT;
            let organization = app.store.organization_get(default).await?;
            let user = User {
                id: caller.user,
                display_name: "Local administrator".to_owned(),
                created_at: organization.created_at,
                last_logged_in_at: None,
                login_providers: Vec::new(),
                primary_email_address: None,
            };
            (user, vec![organization.id])
        }
    };
    Ok(Json(CurrentUser {
        user,
        organization_memberships: organizations
            .into_iter()
            .map(|id| OrganizationId { id })
            .collect(),
        dismissed_prompts: Vec::new(),
    }))
}

/// Opens a session with a one-time link; it is in a cookie.
#[utoipa::path(
    post,
    path = "/auth/link",
    request_body = LinkToken,
    responses(
        (status = 200, body = User, description = "Logged in"),
        (status = 401, body = ErrorBody, description = "The link is used or over"),
        (status = 409, body = ErrorBody, description = "It invites somebody who is a user already"),
    )
)]
pub(crate) async fn redeem_link(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Result<Response, Refusal> {
    // A page of another site could log a browser in as somebody of its choosing.
    if auth::is_from_elsewhere(&headers) {
        return Err(Refusal::bad("a link is opened on a page of this server"));
    }
    let mut found = Problems::default();
    let link = fields.required_text(&mut found, "token", Text::up_to(200));
    found.check()?;
    let secret = Secret::new(TokenKind::Session);
    let new = NewSession {
        secret: &secret,
        expires_us: over_after(SESSION_US),
        provider: "link",
        client_ip: address.as_deref(),
    };
    let Some(user) = app.store.link_redeem(&Secret::sent(&link), &new).await? else {
        return Err(Refusal::unauthorized(
            "this link was used already, or is over, or another took its place. Ask an administrator for a new one",
        ));
    };
    let person = app.store.person_get(&user).await?;
    let person = person.ok_or_else(|| Refusal::missing("user not found"))?;
    Ok(logged_in(&app, person, &new))
}

/// The answer to whoever logged in with a browser.
pub(super) fn logged_in(app: &App, person: Person, new: &NewSession<'_>) -> Response {
    let seconds = (new.expires_us - now_us()).max(0) / 1_000_000;
    let cookie = cookie(app, COOKIE, new.secret.expose(), seconds);
    ([(header::SET_COOKIE, cookie)], Json(shown(person))).into_response()
}

/// A cookie that no script reads and no other site has sent along with what it posts.
pub(super) fn cookie(app: &App, name: &str, value: &str, seconds: i64) -> HeaderValue {
    let secure = if app.settings.public_url.starts_with("https:") {
        "; Secure"
    } else {
        ""
    };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut value =
        HeaderValue::from_str(&text).expect("tokens are of letters, digits, dots, - and _");
    value.set_sensitive(true);
    value
}

/// Ends the session of the request.
#[utoipa::path(
    post,
    path = "/auth/logout",
    responses(
        (status = 204, description = "Ended"),
    )
)]
pub(crate) async fn logout(
    State(app): State<App>,
    _caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(secret) = auth::token(&headers) {
        app.store.session_end(&secret).await?;
    }
    let gone = cookie(&app, COOKIE, "", 0);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// Lists one's own sessions.
#[utoipa::path(
    get,
    path = "/users/{user}/session-tokens",
    params(Paged),
    responses(
        (status = 200, body = Page<SessionToken>, description = "Sessions"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<String>,
    params: Params,
) -> Result<Json<Page<SessionToken>>, Refusal> {
    let paging = params.paging()?;
    is_self(&caller, &user)?;
    let listed = app.store.session_list(&user, &paging).await?;
    Ok(page(listed, |session: Session| SessionToken {
        hash: session.hash,
        created_at: stamp(session.created_us),
        expires_at: stamp(session.expires_us),
        provider: session.provider,
        client_ip: session.client_ip,
        windlass: session.used_us.map(|used| TokenExtras {
            last_used_at: Some(stamp(used)),
        }),
    }))
}

/// Ends one of one's own sessions.
#[utoipa::path(
    delete,
    path = "/users/{user}/session-tokens/{hash}",
    responses(
        (status = 204, description = "Ended"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((user, hash)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    is_self(&caller, &user)?;
    app.store.session_delete(&user, &hash).await?;
    Ok(StatusCode::NO_CONTENT)
}
