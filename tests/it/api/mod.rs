//! The HTTP door without a port: the real router over a real store in a directory of its own. No launcher runs.
//!
//! One file per noun. Bodies are compared whole; [`masked`] first replaces what is different each time.

mod catalogue;
mod deployments;
mod doors;
mod environments;
mod projects;
mod runners;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A router over an empty store.
pub(crate) struct Api {
    router: Router,
    _directory: tempfile::TempDir,
}

/// Status and JSON body of an answer; no body is `null`.
pub(crate) type Answer = (u16, Value);

impl Api {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            router: windlass::api_over(directory.path()).await.expect("opens"),
            _directory: directory,
        }
    }

    /// Sends a request as it is and returns status, content type and bytes.
    pub(crate) async fn raw(&self, request: Request<Body>) -> (u16, String, Vec<u8>) {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("never fails");
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().expect("text").to_owned())
            .unwrap_or_default();
        let bytes = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("a body");
        (status, kind, bytes.to_vec())
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/orgs/default{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .expect("a request");
        let (status, kind, bytes) = self.raw(request).await;
        if bytes.is_empty() {
            return (status, Value::Null);
        }
        assert!(kind.contains("json"), "{method} {path}: {kind}");
        (status, serde_json::from_slice(&bytes).expect("JSON"))
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
