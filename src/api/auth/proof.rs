//! What a request proves with: a token in its header, or the session of a browser in a cookie, which counts for changes
//! only where the browser says that a page of this server asks.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::NOBODY;
use crate::api::App;
use crate::api::error::Refusal;
use crate::store::identity::Identity;
use crate::store::identity::tokens::{self, Secret};

/// The cookie of a browser that logged in.
pub(crate) const COOKIE: &str = "session-token";

/// Who sent the token, if there is one that is good. A cookie wins over the header, as in v1.
pub(super) async fn identify(app: &App, parts: &Parts) -> Result<Option<Identity>, Refusal> {
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
pub(super) fn says_nobody(headers: &HeaderMap) -> bool {
    headers
        .get(header::FROM)
        .is_some_and(|value| value.as_bytes() == NOBODY.as_bytes())
        || headers.get(header::AUTHORIZATION).is_none()
}
