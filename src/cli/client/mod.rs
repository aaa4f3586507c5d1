//! The API as commands see it: paths below `/orgs/ORG`, JSON in, `wire` types out. Calls the router
//! in this process; no port is opened.
//!
//! Why over the router and not over `deploy::Service`: a command that works here works against a
//! server, because it can only say what the API can hear.

mod answer;
mod events;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

#[cfg(test)]
pub(crate) use self::answer::Refusal;
pub(crate) use self::answer::{Answer, CallError};
use self::answer::{refusal, unreadable};
pub(crate) use self::events::Events;
use super::remote::Remote;
use crate::wire::Page;

/// The largest answer taken whole.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// A body to send.
pub(crate) enum Content {
    /// None.
    Empty,
    /// JSON.
    Json(Value),
    /// Bytes of this media type.
    Bytes(&'static str, Bytes),
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
            .map_err(|source| CallError::Cut {
                what: what.clone(),
                source,
            })?;
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

    /// Whether a server is asked, and not this process.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.door, Door::There(_))
    }

    /// The events of a deployment after a position, until it ended.
    pub(crate) async fn events(&self, deployment: &str, after: i64) -> Result<Events, CallError> {
        let path = format!(
            "/orgs/{}/deployments/{deployment}/events",
            super::kinds::segment(&self.org)
        );
        let last = after.to_string();
        let headers = [
            ("accept", "text/event-stream"),
            ("last-event-id", last.as_str()),
        ];
        let response = self
            .send(Method::GET, &path, Content::Empty, &headers)
            .await?;
        let what = format!("GET {path}");
        let status = response.status();
        if !status.is_success() {
            let body = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES).await;
            let body = body.map_err(|source| CallError::Cut { what, source })?;
            return Err(refusal(status, &body).into());
        }
        Ok(Events::new(response.into_body(), what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;
    use axum::http::StatusCode;
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
}
