//! A server, over HTTP: one request, tried again where that is harmless.
//!
//! Tried again are requests that change nothing or the same thing twice (GET, HEAD, PUT, DELETE, and any that carries
//! an idempotency key) when the server was not reached or answered 429, 502, 503 or 504; any request when it was not
//! even connected to. A wait that the server asks for (`Retry-After`) is kept, up to two minutes; with a longer one the
//! answer is given at once, because nobody watches a prompt for so long. Why so careful: a POST that was
//! answered by nobody may have been done.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;

use super::client::Client;
use super::exit::Advised;
use super::settings::{Settings, Token};
use crate::store::clock;

/// How often one request is tried.
const TRIES: u32 = 5;
/// The first pause; each is twice the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The server was not reached.
#[derive(Debug, thiserror::Error)]
#[error("the server {url} {what}")]
pub(crate) struct Unreached {
    url: String,
    what: &'static str,
    #[source]
    source: reqwest::Error,
}

/// A server and who asks it.
#[derive(Clone)]
pub(crate) struct Remote {
    http: reqwest::Client,
    url: String,
    authorization: Option<HeaderValue>,
}

/// The client of the server of these settings.
pub(crate) fn client(url: &str, settings: &Settings) -> anyhow::Result<Client> {
    let remote = Remote::new(url, settings.token.as_ref())?;
    Ok(Client::remote(remote, settings.org.clone()))
}

impl Remote {
    /// A server at `url`; without a token only what asks nobody works.
    pub(crate) fn new(url: &str, token: Option<&Token>) -> anyhow::Result<Self> {
        let parsed = reqwest::Url::parse(url).ok();
        if !parsed.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
            return Err(Advised::new(
                format!("`{url}` is no URL of a server"),
                ["windlass config set-url https://windlass.example.com"],
            )
            .into());
        }
        let authorization = token
            .map(|token| -> anyhow::Result<HeaderValue> {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                    .ok()
                    .context("the token holds characters that no token has; set it again with `windlass config set-token -`")?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self {
            http: crate::api::http_client().context("could not set up HTTP")?,
            url: url.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    /// Sends one request, again where that is harmless.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Unreached> {
        let (parts, body) = request.into_parts();
        let target = format!("{}{}", self.url, parts.uri);
        let may_repeat = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE]
            .contains(&parts.method)
            || parts.headers.contains_key("idempotency-key");
        let mut pause = FIRST_PAUSE;
        for tries_left in (0..TRIES).rev() {
            let mut headers = parts.headers.clone();
            if let Some(value) = &self.authorization {
                headers.insert(header::AUTHORIZATION, value.clone());
            }
            let sent = self
                .http
                .request(parts.method.clone(), &target)
                .headers(headers)
                .body(body.clone())
                .send()
                .await;
            let wait = match sent {
                Ok(response) => {
                    let may_repeat = may_repeat && tries_left > 0;
                    match wait(
                        response.status(),
                        response.headers(),
                        pause,
                        clock::now_us(),
                    ) {
                        Some(wait) if may_repeat => wait,
                        Some(_) | None => return Ok(Response::from(response).map(Body::new)),
                    }
                }
                Err(error) if tries_left > 0 && (may_repeat || error.is_connect()) => {
                    tracing::debug!(%error, "not reached");
                    pause
                }
                Err(source) => {
                    return Err(Unreached {
                        url: self.url.clone(),
                        what: if source.is_connect() {
                            "was not reached"
                        } else if source.is_timeout() {
                            "did not answer in time"
                        } else {
                            "stopped answering"
                        },
                        source,
                    });
                }
            };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("the last try returns")
    }
}

/// How long to wait before the same is asked again; `None` for what does not pass by itself, or not soon. `now_us` is in
/// microseconds since 1970.
fn wait(status: StatusCode, headers: &HeaderMap, pause: Duration, now_us: i64) -> Option<Duration> {
    if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        return None;
    }
    let asked = headers.get(header::RETRY_AFTER);
    let Some(asked) = asked.and_then(|value| retry_after(value.to_str().ok()?, now_us)) else {
        return Some(pause);
    };
    (asked <= LONGEST_WAIT).then_some(asked)
}

/// Seconds, or a date.
fn retry_after(text: &str, now_us: i64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = at.as_microsecond().saturating_sub(now_us);
    Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)))
}

#[cfg(test)]
mod tests;
