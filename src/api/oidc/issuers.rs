//! What issuers publish, found by discovery, fetched with limits and kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwt::{self, Key};
use crate::store::clock::now_us;

/// How long keys are kept.
const KEPT_US: i64 = 10 * 60 * 1_000_000;
/// How soon they are fetched again for a key that is not among them.
const AGAIN_US: i64 = 30 * 1_000_000;
/// The largest document of an issuer.
const MAX_BYTES: usize = 1024 * 1024;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an issuer cannot be used. Nothing that the other side said is in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerError {
    /// Not a URL that is asked.
    #[error("an issuer must have an https URL")]
    Url,
    /// No answer.
    #[error("the issuer did not answer at {what}")]
    Unreached {
        /// `its discovery document` or `its keys`.
        what: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("the issuer answered {status} for {what}")]
    Status {
        /// Which.
        status: u16,
        /// For what.
        what: &'static str,
    },
    /// An answer that cannot be used.
    #[error("{what} of the issuer cannot be read, or is larger than {MAX_BYTES} bytes")]
    Unreadable {
        /// What.
        what: &'static str,
    },
    /// The document is another issuer's.
    #[error("the discovery document of the issuer names another issuer")]
    Other,
}

/// What an issuer says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Discovery {
    issuer: String,
    jwks_uri: String,
    /// Where people are sent.
    pub(crate) authorization_endpoint: Option<String>,
    /// Where what they come back with is changed into tokens.
    pub(crate) token_endpoint: Option<String>,
    /// Where claims are that are in no token.
    pub(crate) userinfo_endpoint: Option<String>,
    /// How a client proves itself there; `client_secret_basic` where nothing is said.
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether people come back with the name of the issuer.
    pub(crate) authorization_response_iss_parameter_supported: Option<bool>,
}

/// An issuer.
#[derive(Debug)]
pub(crate) struct Known {
    /// What it says of itself.
    pub(crate) discovery: Discovery,
    /// What it signs with.
    pub(crate) keys: Vec<Key>,
}

/// Issuers, and when they were asked.
type Kept = HashMap<String, (i64, Arc<Known>)>;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// Whether a URL may be asked: https, or, where this server is itself reached at a loopback address, one there.
pub(crate) fn may_be_asked(url: &str, public_url: &str) -> bool {
    let is_loopback = |url: &reqwest::Url| {
        url.host_str()
            .and_then(|host| host.parse::<std::net::IpAddr>().ok())
            .is_some_and(|address| address.is_loopback())
    };
    let Ok(asked) = reqwest::Url::parse(url) else {
        return false;
    };
    match asked.scheme() {
        "https" => asked.has_host(),
        "http" => {
            is_loopback(&asked)
                && reqwest::Url::parse(public_url).is_ok_and(|own| is_loopback(&own))
        }
        _ => false,
    }
}

/// An issuer; asked anew when `wanted` is a key that is not among those that are kept.
pub(crate) async fn known(
    issuer: &str,
    wanted: Option<&str>,
    public_url: &str,
) -> Result<Arc<Known>, IssuerError> {
    let now = now_us();
    let kept = {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(issuer).cloned()
    };
    if let Some((fetched, known)) = kept {
        let age = now - fetched;
        let has = wanted.is_none_or(|kid| known.keys.iter().any(|key| key.id() == Some(kid)));
        if age < KEPT_US && (has || age < AGAIN_US) {
            return Ok(known);
        }
    }
    let known = Arc::new(fetch(issuer, public_url).await?);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, (fetched, _)| now - *fetched < KEPT_US);
    kept.insert(issuer.to_owned(), (now, Arc::clone(&known)));
    Ok(known)
}

async fn fetch(issuer: &str, public_url: &str) -> Result<Known, IssuerError> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let discovery: Discovery = document(&url, "its discovery document", public_url).await?;
    if discovery.issuer != issuer {
        return Err(IssuerError::Other);
    }
    let set: jwt::KeySet = document(&discovery.jwks_uri, "its keys", public_url).await?;
    let keys = jwt::keys(&set);
    Ok(Known { discovery, keys })
}

async fn document<T: DeserializeOwned>(
    url: &str,
    what: &'static str,
    public_url: &str,
) -> Result<T, IssuerError> {
    let request = ask(Method::GET, url, what, public_url)?;
    answer(request.header("accept", "application/json"), what).await
}

/// A request to an issuer, if its URL may be asked.
pub(super) fn ask(
    method: Method,
    url: &str,
    what: &'static str,
    public_url: &str,
) -> Result<reqwest::RequestBuilder, IssuerError> {
    if !may_be_asked(url, public_url) {
        return Err(IssuerError::Url);
    }
    let http = super::http_client().map_err(|source| IssuerError::Unreached { what, source })?;
    Ok(http.request(method, url).timeout(PATIENCE))
}

/// Its answer, if that is a success.
pub(super) async fn answer<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    what: &'static str,
) -> Result<T, IssuerError> {
    let (status, bytes) = bytes(request, what).await?;
    if !(200..300).contains(&status) {
        return Err(IssuerError::Status { status, what });
    }
    serde_json::from_slice(&bytes).map_err(|_| IssuerError::Unreadable { what })
}

/// The status and the body of its answer, within the limit.
pub(super) async fn bytes(
    request: reqwest::RequestBuilder,
    what: &'static str,
) -> Result<(u16, Vec<u8>), IssuerError> {
    // Whatever the address held (a code, for one) is no part of an error.
    let unreached = |source: reqwest::Error| IssuerError::Unreached {
        what,
        source: source.without_url(),
    };
    let mut response = request.send().await.map_err(unreached)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreached)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BYTES {
            return Err(IssuerError::Unreadable { what });
        }
    }
    Ok((response.status().as_u16(), bytes))
}

#[cfg(test)]
mod tests {
    use super::may_be_asked;

    #[test]
    fn only_https_is_asked_but_for_a_server_that_is_on_loopback_itself() {
        let team = "https://windlass.example.com";
        let own = "http://127.0.0.1:8080";
        for (url, public, expected) in [
            ("https://issuer.example.com", team, true),
            ("http://issuer.example.com", team, false),
            ("http://127.0.0.1:9/x", team, false),
            ("http://127.0.0.1:9/x", own, true),
            ("http://issuer.example.com", own, false),
            ("file:///etc/passwd", own, false),
            ("nonsense", own, false),
        ] {
            assert_eq!(may_be_asked(url, public), expected, "{url} {public}");
        }
    }
}
