//! The HTTP door: the real router behind a real listener, over a real store in a directory of its own. No launcher runs.
//!
//! One file per noun. Bodies are compared whole; [`masked`] first replaces what is different each time.

pub(crate) mod catalogue;
pub(crate) mod deployments;
pub(crate) mod doors;
pub(crate) mod environments;
pub(crate) mod projects;
pub(crate) mod runners;

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::contract::http::{Reply, send};

/// A router over an empty store, and the address where it listens.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    router: Router,
    _directory: tempfile::TempDir,
}

/// Status and JSON body of an answer; no body is `null`.
pub(crate) type Answer = (u16, Value);

impl Api {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let router = windlass::api_over(directory.path()).await.expect("opens");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        Self {
            address,
            router,
            _directory: directory,
        }
    }

    /// Sends a request as it is and returns status, content type and bytes.
    pub(crate) async fn raw(&self, request: Request<Body>) -> (u16, String, Vec<u8>) {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        let headers: Vec<(&str, &str)> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let target = parts.uri.to_string();
        let reply = send(
            self.address,
            parts.method.as_str(),
            &target,
            &headers,
            Some(&body),
        )
        .await;
        let kind = reply.header("content-type").unwrap_or_default().to_owned();
        (reply.status, kind, reply.body)
    }

    /// The same without a connection, for what is too much to be read before it is answered.
    pub(crate) async fn without_a_port(&self, request: Request<Body>) -> (u16, String, Vec<u8>) {
        let response: Response<Body> = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("never fails");
        let status = response.status().as_u16();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind
            .map_or("", |value| value.to_str().expect("text"))
            .to_owned();
        let bytes = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body");
        (status, kind, bytes.to_vec())
    }

    /// Asks without a body in the organisation that is there.
    pub(crate) async fn plain(&self, method: &str, path: &str) -> Reply {
        send(
            self.address,
            method,
            &format!("/orgs/default{path}"),
            &[],
            None,
        )
        .await
    }

    pub(crate) async fn in_organization(
        &self,
        org: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let body = body.map(Value::to_string);
        let target = format!("/orgs/{org}{path}");
        let json = [("content-type", "application/json")];
        let reply = send(
            self.address,
            method,
            &target,
            &json,
            body.as_deref().map(str::as_bytes),
        )
        .await;
        let kind = reply.header("content-type").unwrap_or_default();
        assert!(
            reply.body.is_empty() || kind.contains("json"),
            "{method} {path}: {kind}"
        );
        (reply.status, reply.json())
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.in_organization("default", method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    pub(crate) async fn delete_with(&self, path: &str, body: Value) -> Answer {
        self.call("DELETE", path, Some(&body)).await
    }

    /// Makes something that must be made.
    pub(crate) async fn make(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    /// Names of the items of a list, by one field.
    pub(crate) async fn listed(&self, path: &str, field: &str) -> Vec<String> {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {page}");
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item[field].as_str().expect("text").to_owned())
            .collect()
    }
}

/// Replaces UUIDs by `UUID` and times by `TIME`, after checking that they are what clients can read.
pub(crate) fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.parse::<uuid::Uuid>().is_ok() => json!("UUID"),
        Value::String(text) if text.len() == 27 && text.parse::<jiff::Timestamp>().is_ok() => {
            json!("TIME")
        }
        Value::Array(list) => list.iter().map(masked).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), masked(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The whole body of a refusal that has no details.
pub(crate) fn refusal(status: u16, message: &str) -> Answer {
    (
        status,
        json!({"error": format!("HTTP-{status}"), "message": message}),
    )
}

/// Checks status and message of a refusal with diagnostics, and that these point at `pointers`, in order.
pub(crate) fn assert_refused(answer: &Answer, status: u16, message: &str, pointers: &[&str]) {
    let (found, body) = answer;
    assert_eq!(*found, status, "{body}");
    assert_eq!(body["error"], json!(format!("HTTP-{status}")), "{body}");
    let text = body["message"].as_str().expect("a message");
    assert!(
        text.starts_with(message),
        "{text:?} does not begin with {message:?}"
    );
    let places: Vec<&str> = body["details"]["diagnostics"]
        .as_array()
        .expect("diagnostics")
        .iter()
        .map(|diagnostic| {
            diagnostic["places"][0]["pointer"]
                .as_str()
                .expect("a pointer")
        })
        .collect();
    assert_eq!(places, pointers, "{body}");
}
