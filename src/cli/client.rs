//! The API as commands see it: paths below `/orgs/ORG`, JSON in, `wire` types out. Calls the router
//! in this process; no port is opened.
//!
//! Why over the router and not over `deploy::Service`: a command that works here works against a
//! server, because it can only say what the API can hear.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::remote::{Remote, Unreached};
use crate::model::Diagnostic;
use crate::wire::{ErrorBody, Page, deployments::DeploymentEvent};

/// The largest answer taken whole.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// An answer that was no success.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: u16,
    /// For people.
    pub(crate) message: String,
    /// `HTTP-<status>` or a code.
    pub(crate) code: String,
    /// Every problem, with JSON pointers.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Refusal {
    /// Whether what was sent is to blame, and not whoever answered.
    pub(crate) fn is_of_input(&self) -> bool {
        self.status < 500
    }
}

/// Why a call gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server was not reached, or stopped in the middle.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The answer was not what the API promises.
    #[error("the answer to {what} could not be read")]
    Unreadable {
        /// Method and path.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// The refusal, if it is one of this status.
    pub(crate) fn refused(&self, status: u16) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if refusal.status == status => Some(refusal),
            Self::Refused(_) | Self::Unreached(_) | Self::Unreadable { .. } => None,
        }
    }
}

/// A body to send.
pub(crate) enum Content {
    /// None.
    Empty,
    /// JSON.
    Json(Value),
    /// Bytes of this media type.
    Bytes(&'static str, Bytes),
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body.
    pub(crate) body: Bytes,
    what: String,
}

impl Answer {
    /// The body as a wire type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|source| CallError::Unreadable {
            what: self.what.clone(),
            source: Box::new(source),
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whom it speaks to.
#[derive(Clone)]
enum Door {
    /// The router in this process.
    Here(Router),
    /// A server.
    There(Remote),
}

/// Speaks for one organisation.
#[derive(Clone)]
pub(crate) struct Client {
    door: Door,
    org: String,
}

impl Client {
    /// A client of the router in this process.
    pub(crate) fn new(router: Router, org: impl Into<String>) -> Self {
        Self {
            door: Door::Here(router),
            org: org.into(),
        }
    }

    /// A client of a server.
    pub(crate) fn remote(remote: Remote, org: impl Into<String>) -> Self {
        Self {
            door: Door::There(remote),
            org: org.into(),
        }
    }

    /// The organisation.
    pub(crate) fn org(&self) -> &str {
        &self.org
    }

    /// Sends one request; `path` is below the organisation.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        content: Content,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, CallError> {
        let uri = format!("/orgs/{}/{path}", super::kinds::segment(&self.org));
        self.call_at(method, &uri, content, headers).await
    }

    /// Sends one request to a path that is below no organisation.
    pub(crate) async fn call_at(
        &self,
        method: Method,
        uri: &str,
        content: Content,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, CallError> {
        let what = format!("{method} {uri}");
        let response = self.send(method, uri, content, headers).await?;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES)
            .await
            .map_err(|source| unreadable(&what, source))?;
        tracing::debug!(%what, status = status.as_u16(), bytes = body.len(), "answered");
        if status.is_success() {
            return Ok(Answer { body, what });
        }
        Err(refusal(status, &body).into())
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        content: Content,
        headers: &[(&'static str, &str)],
    ) -> Result<axum::response::Response, CallError> {
        let what = format!("{method} {uri}");
        tracing::debug!(%method, %uri, "calling");
        let (media, bytes) = match content {
            Content::Empty => (None, Bytes::new()),
            Content::Json(value) => {
                let bytes =
                    serde_json::to_vec(&value).map_err(|source| unreadable(&what, source))?;
                (Some("application/json"), Bytes::from(bytes))
            }
            Content::Bytes(media, bytes) => (Some(media), bytes),
        };
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        if let Some(media) = media {
            builder = builder.header(header::CONTENT_TYPE, media);
        }
        let request = builder
            .body(bytes)
            .map_err(|source| unreadable(&what, source))?;
        match &self.door {
            Door::Here(router) => match router.clone().oneshot(request.map(Body::from)).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
            Door::There(remote) => Ok(remote.send(request).await?),
        }
    }

    /// `GET` of one object.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Content::Empty, &[])
            .await?
            .json()
    }

    /// `GET` of one object; `None` for 404.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, CallError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.refused(404).is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every item of a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CallError> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let at = match &token {
                Some(token) => format!("{path}{joint}page={}", super::kinds::segment(token)),
                None => path.to_owned(),
            };
            let page: Page<T> = self.get(&at).await?;
            items.extend(page.items);
            match page.next_page_token {
                Some(next) if !next.is_empty() => token = Some(next),
                Some(_) | None => return Ok(items),
            }
        }
    }

    /// The events of a deployment after `position`, until it ended.
    pub(crate) async fn events(&self, deployment: &str, after: i64) -> Result<Events, CallError> {
        let path = format!(
            "/orgs/{}/deployments/{deployment}/events?after={after}",
            super::kinds::segment(&self.org)
        );
        let response = self
            .send(
                Method::GET,
                &path,
                Content::Empty,
                &[("accept", "text/event-stream")],
            )
            .await?;
        let status = response.status();
        if !status.is_success() {
            let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES)
                .await
                .map_err(|source| unreadable(&path, source))?;
            return Err(refusal(status, &body).into());
        }
        Ok(Events {
            body: response.into_body().into_data_stream(),
            buffer: BytesMut::new(),
            what: format!("GET {path}"),
        })
    }
}

fn unreadable(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CallError {
    CallError::Unreadable {
        what: what.to_owned(),
        source: source.into(),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => Refusal {
            status: status.as_u16(),
            message: body.message,
            code: body.error,
            diagnostics: body.details.unwrap_or_default().diagnostics,
        },
        Err(_) => Refusal {
            status: status.as_u16(),
            message: format!("{status} {}", String::from_utf8_lossy(body))
                .trim()
                .to_owned(),
            code: format!("HTTP-{}", status.as_u16()),
            diagnostics: Vec::new(),
        },
    }
}

/// Server-sent events of a deployment.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    buffer: BytesMut,
    what: String,
}

impl Events {
    /// The next event; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Result<Option<DeploymentEvent>, CallError> {
        loop {
            while let Some(block) = take_block(&mut self.buffer) {
                let data = data_of(&block);
                if data.is_empty() {
                    continue; // A comment that keeps the connection alive.
                }
                return serde_json::from_str(&data)
                    .map(Some)
                    .map_err(|source| unreadable(&self.what, source));
            }
            match self.body.next().await {
                None => return Ok(None),
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(source)) => return Err(unreadable(&self.what, source)),
            }
        }
    }
}

/// Takes the next block (up to an empty line) out of the buffer.
fn take_block(buffer: &mut BytesMut) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let block = buffer.split_to(end + 2);
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The joined `data:` lines of a block.
fn data_of(block: &str) -> String {
    block
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;
    use axum::routing::get;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn a_list_is_read_page_by_page_until_the_token_is_absent_or_empty() {
        let router = Router::new().route(
            "/orgs/o/projects",
            get(|Query(query): Query<BTreeMap<String, String>>| async move {
                axum::Json(match query.get("page").map(String::as_str) {
                    None => json!({"items": [1, 2], "next_page_token": "a/b"}),
                    Some("a/b") => json!({"items": [3], "next_page_token": ""}),
                    Some(other) => json!({"items": [other]}),
                })
            }),
        );
        let items: Vec<i64> = Client::new(router, "o")
            .list("projects")
            .await
            .expect("lists");
        assert_eq!(items, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_refusal_carries_status_message_and_diagnostics() {
        let router = Router::new().route(
            "/orgs/o/x",
            get(|| async {
                (
                    StatusCode::CONFLICT,
                    axum::Json(json!({"error": "HTTP-409", "message": "busy"})),
                )
            }),
        );
        let error = Client::new(router, "o")
            .get::<Value>("x")
            .await
            .expect_err("refused");
        assert_eq!(error.refused(409).map(|r| r.message.as_str()), Some("busy"));
        assert_eq!(error.to_string(), "busy");
    }

    #[tokio::test]
    async fn events_are_read_across_chunk_borders_and_comments_are_skipped() {
        let router = Router::new().route(
            "/orgs/o/deployments/d/events",
            get(|| async {
                let chunks = [
                    ":\n\nid: 1\nda",
                    "ta: {\"position\":1,\"at\":\"t\",\"what\":{\"queued\":2}}\n",
                    "\nid: 2\ndata: {\"position\":2,\"at\":\"t\",\"what\":{\"ended\":\"applied\"}}\n\n",
                ];
                Body::from_stream(futures_util::stream::iter(
                    chunks.map(Ok::<_, std::convert::Infallible>),
                ))
            }),
        );
        let client = Client::new(router, "o");
        let mut events = client.events("d", 0).await.expect("opens");
        let mut positions = Vec::new();
        while let Some(event) = events.next().await.expect("reads") {
            positions.push(event.position);
        }
        assert_eq!(positions, [1, 2]);
    }
}
