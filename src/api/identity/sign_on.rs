//! People who sign in at an issuer: sent there, and taken in when they come back, on v1's routes for it.
//!
//! A browser keeps the secret of its attempt in a cookie that is named after the attempt, so that two attempts side by
//! side do not end each other. What v1 has beside it, tokens of providers that a page hands over, is answered with what
//! to do instead.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};

use super::{ClientAddress, SESSION_US, over_after, sessions};
use crate::api::App;
use crate::api::auth;
use crate::api::body::{Body, Fields, Problems, Text, is_display_name};
use crate::api::error::Refusal;
use crate::api::oidc::IssuerError;
use crate::api::oidc::sign_on::{Attempt, NotSignedOn, PATIENCE, SignOn};
use crate::api::query::Params;
use crate::store::audit;
use crate::store::clock::now_us;
use crate::store::identity::sessions::NewSession;
use crate::store::identity::sign_on::{Proof, SignedOn};
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::wire::ErrorBody;
use crate::wire::identity::{SignOnBegun, User};
use crate::wire::identity_requests::{ProviderToken, SignOnBegin};

/// What sessions and users say that were opened this way.
pub(super) const PROVIDER: &str = "sso";
/// Longest name that is taken from an issuer.
const LONGEST_NAME: usize = 200;
/// Letters of the state in the name of a cookie.
const NAMED: usize = 12;

fn settings(app: &App) -> Result<&SignOn, Refusal> {
    app.settings.sign_on.as_ref().ok_or_else(|| {
        Refusal::missing(format!(
            "single sign-on is not set up on this server: log in with a one-time link, which an administrator makes \
             with `windlass create user NAME --link`, or set it up with `windlass serve --oidc-issuer URL`. The page is {}/welcome",
            app.settings.public_url
        ))
    })
}

fn cookie_name(state: &str) -> String {
    let named: String = state.chars().take(NAMED).collect();
    format!("sso-{named}")
}

fn now() -> i64 {
    now_us() / 1_000_000
}

/// Begins to sign somebody in: says where to send their browser, which gets a cookie.
#[utoipa::path(
    post,
    path = "/auth/sso/login",
    request_body = SignOnBegin,
    responses(
        (status = 200, body = SignOnBegun, description = "Where to go"),
        (status = 404, body = ErrorBody, description = "There is no single sign-on here"),
    )
)]
pub(crate) async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Result<Response, Refusal> {
    let mut found = Problems::default();
    fields.text(&mut found, "org_id", Text::up_to(usize::MAX));
    found.check()?;
    if auth::is_from_elsewhere(&headers) {
        return Err(Refusal::bad("signing in begins on a page of this server"));
    }
    let sign_on = settings(&app)?;
    let attempt = Attempt::begin(now());
    let redirect_url = sign_on
        .begin(&attempt, &app.settings.public_url)
        .await
        .map_err(|error| refusal(sign_on, &error))?;
    let name = cookie_name(&attempt.state());
    let cookie = sessions::cookie(&app, &name, attempt.secret().expose(), PATIENCE);
    let body = Json(SignOnBegun { redirect_url });
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}

/// Takes in somebody who comes back from the issuer; the session is in a cookie. Browsers that ask for HTML get a page
/// that asks this.
#[utoipa::path(
    get,
    path = "/auth/sso/callback",
    params(
        ("code" = Option<String>, Query, description = "What the issuer gave"),
        ("state" = Option<String>, Query, description = "Of the attempt"),
        ("iss" = Option<String>, Query, description = "The issuer, where it names itself"),
        ("error" = Option<String>, Query, description = "What the issuer gave instead of a code"),
        ("error_description" = Option<String>, Query, description = "Is not read: anybody can write it"),
    ),
    responses(
        (status = 200, body = User, description = "Logged in"),
        (status = 401, body = ErrorBody, description = "Not logged in, and why"),
        (status = 404, body = ErrorBody, description = "There is no single sign-on here"),
    )
)]
pub(crate) async fn end(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Refusal> {
    let sign_on = settings(&app)?;
    let state = params.one("state").unwrap_or_default();
    let name = cookie_name(state);
    let attempt = auth::cookie(&headers, &name).and_then(|secret| Attempt::sent(&secret));
    let attempt = attempt
        .filter(|attempt| attempt.state() == state && !attempt.is_over(now()))
        .ok_or_else(|| {
            Refusal::unauthorized(
                "this sign-in was not begun in this browser, or more than ten minutes ago. Begin again",
            )
        })?;
    if let Some(error) = params.one("error") {
        return Err(Refusal::unauthorized(match error {
            "access_denied" => format!("{} did not let you in, or you said no there", sign_on.name),
            _ => format!("{} did not sign you in. Begin again", sign_on.name),
        }));
    }
    let code = params.one("code").unwrap_or_default();
    if code.is_empty() {
        return Err(Refusal::unauthorized(format!(
            "{} sent you back without a code. Begin again",
            sign_on.name
        )));
    }
    let public_url = &app.settings.public_url;
    let person = sign_on
        .end(&attempt, code, params.one("iss"), public_url, now())
        .await
        .map_err(|error| refusal(sign_on, &error))?;
    audit::note(|draft| draft.object = format!("subject {}", person.subject));
    let secret = Secret::new(TokenKind::Session);
    let new = NewSession {
        secret: &secret,
        expires_us: over_after(SESSION_US),
        provider: PROVIDER,
        client_ip: address.as_deref(),
    };
    let email = person.email.as_deref();
    let newcomers = sign_on.newcomers.as_ref();
    let newcomers = newcomers.filter(|newcomers| email.is_some_and(|it| newcomers.welcome(it)));
    let proof = Proof {
        issuer: &sign_on.issuer,
        subject: &person.subject,
        email,
        name: &readable(&person.name),
        attempt: &attempt.secret().hash(),
        attempt_ends_us: over_after(PATIENCE * 1_000_000),
        newcomer: newcomers.map(|newcomers| (newcomers.org.as_str(), newcomers.role)),
    };
    let user = match app.store.sign_on(&proof, &new).await? {
        SignedOn::As(user) => user,
        SignedOn::Used => {
            return Err(Refusal::unauthorized(
                "this sign-in was finished before. Begin again",
            ));
        }
        SignedOn::Another => {
            return Err(Refusal::unauthorized(
                "somebody else signed in with your e-mail address before, and it may have changed hands. Ask an \
                 administrator to remove that user and to invite you",
            ));
        }
        SignedOn::Stranger if email.is_none() => {
            return Err(Refusal::unauthorized(format!(
                "{} does not say that your e-mail address is verified, so nobody here can be found by it. Verify it \
                 there, or ask an administrator for a one-time link",
                sign_on.name
            )));
        }
        SignedOn::Stranger => {
            return Err(Refusal::unauthorized(
                "nobody on this server has your e-mail address. Ask an administrator to invite you",
            ));
        }
    };
    let person = app.store.person_get(&user).await?;
    let person = person.ok_or_else(|| Refusal::missing("user not found"))?;
    let mut response = sessions::logged_in(&app, person, &new);
    let gone = sessions::cookie(&app, &name, "", 0);
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}

/// For the person in plain words; whose fault it is, is in the log.
fn refusal(sign_on: &SignOn, error: &NotSignedOn) -> Refusal {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, source, issuer = sign_on.issuer, "somebody is not signed in");
    let name = &sign_on.name;
    match error {
        NotSignedOn::Issuer(
            IssuerError::Unreached { .. } | IssuerError::Status { status: 500.., .. },
        ) => Refusal::unavailable(format!("{name} does not answer. Try again in a moment")),
        NotSignedOn::Issuer(_) | NotSignedOn::NotOffered => Refusal::unavailable(format!(
            "single sign-on with {name} is not set up right: its administrator finds the reason in the server's log"
        )),
        NotSignedOn::Code => Refusal::unauthorized(format!(
            "{name} does not take this sign-in any more. Begin again"
        )),
        NotSignedOn::Token(_) | NotSignedOn::Nonce | NotSignedOn::Subject => Refusal::unauthorized(
            format!("what {name} says of you is not to be trusted ({error}). Begin again"),
        ),
    }
}

/// A name as people may have it here.
fn readable(name: &str) -> String {
    let seen: String = name
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| is_display_name(&format!("a{c}a")))
        .take(LONGEST_NAME)
        .collect();
    let seen = seen.trim();
    if seen.chars().count() < 2 {
        return "Somebody".to_owned();
    }
    seen.to_owned()
}

fn no_provider_tokens(app: &App, mut fields: Fields) -> Refusal {
    let mut found = Problems::default();
    for field in ["provider", "provider_token"] {
        fields.required_text(&mut found, field, Text::up_to(usize::MAX));
    }
    if let Err(refusal) = found.check() {
        return refusal;
    }
    Refusal::bad(format!(
        "this server takes no tokens of other providers from a page. People log in at {}/welcome, with single sign-on \
         or a one-time link; programs with `windlass login`, or with the token of a service user",
        app.settings.public_url
    ))
}

/// Is not offered: says how people log in.
#[utoipa::path(
    post,
    path = "/auth/register",
    request_body = ProviderToken,
    responses((status = 400, body = ErrorBody, description = "How it is done here"))
)]
pub(crate) async fn register(State(app): State<App>, Body(fields): Body) -> Refusal {
    no_provider_tokens(&app, fields)
}

/// Is not offered: says how people log in.
#[utoipa::path(
    post,
    path = "/auth/login",
    request_body = ProviderToken,
    responses((status = 400, body = ErrorBody, description = "How it is done here"))
)]
pub(crate) async fn login(State(app): State<App>, Body(fields): Body) -> Refusal {
    no_provider_tokens(&app, fields)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_of_an_issuer_becomes_one_that_people_may_have() {
        for (name, expected) in [
            ("Ann  Lee", "Ann  Lee"),
            (" Ann\tLee\n", "Ann Lee"),
            ("\u{0}\u{2028}x", "Somebody"),
            ("日本", "日本"),
        ] {
            assert_eq!(super::readable(name), expected, "{name:?}");
        }
    }
}
