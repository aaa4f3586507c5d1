//! A client written from the contract alone: paths, JSON and headers, over plain HTTP or TLS. It shares no type with the
//! server, so that a renamed field fails here as it would fail everybody else's client.

use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        if self.bytes.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }
}

/// Somebody with a token in one organisation.
pub(super) struct Wire {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Wire {
    /// `authority`: the one certificate that is trusted, for TLS.
    pub(super) fn new(url: &str, org: &str, token: &str, authority: Option<&[u8]>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let trusted = authority.map(|pem| Certificate::from_pem(pem).expect("a certificate"));
        let http = reqwest::Client::builder()
            .tls_certs_only(trusted)
            .no_proxy()
            .build()
            .expect("a client");
        Self {
            http,
            base: format!("{url}/orgs/{org}"),
            token: token.to_owned(),
        }
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send(method, path, &[], body).await
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("is answered");
        Answer {
            status: answer.status(),
            bytes: answer.bytes().await.expect("whole").to_vec(),
        }
    }

    /// Reads what must be there.
    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.json());
        answer.json()
    }

    /// Makes what can be made.
    pub(super) async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.call(Method::POST, path, Some(&body)).await;
        assert_eq!(answer.status, 201, "POST {path}: {}", answer.json());
        answer.json()
    }

    /// What must not be deleted yet: a conflict whose message names these.
    pub(super) async fn keeps(&self, path: &str, because: &[&str]) {
        let answer = self.call(Method::DELETE, path, None).await;
        let body = answer.json();
        assert_eq!(answer.status, 409, "DELETE {path}: {body}");
        assert_eq!(body["error"], "HTTP-409", "DELETE {path}: {body}");
        let said = body["message"].as_str().unwrap_or_default();
        for word in because {
            assert!(said.contains(word), "DELETE {path} names {word}: {body}");
        }
    }

    pub(super) async fn delete(&self, path: &str) {
        let answer = self.call(Method::DELETE, path, None).await;
        assert_eq!(answer.status, 204, "DELETE {path}: {}", answer.json());
        let again = self.call(Method::GET, path, None).await;
        assert_eq!(again.status, 404, "GET {path}: {}", again.json());
    }

    /// Waits for the end of a deployment as clients of v1 do: long polls, again after each 408.
    pub(super) async fn ended(&self, id: &str) -> Value {
        let path = format!("/deployments/{id}/actions/wait-for-complete?timeout_in_seconds=20");
        loop {
            let answer = self.call(Method::GET, &path, None).await;
            match answer.status.as_u16() {
                200 => return answer.json(),
                408 => {}
                _ => panic!("{path}: {}", answer.json()),
            }
        }
    }
}

/// The key of a reader, made and used by the tool that everybody has.
pub(super) struct Reader {
    folder: tempfile::TempDir,
    pub(super) recipient: String,
}

impl Reader {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let made = Command::new("age-keygen")
            .arg("-o")
            .arg(folder.path().join("key"))
            .output()
            .expect("age-keygen: run the tests with `bash tests/run`, which installs it");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let recipient = said.split_whitespace().last().expect("a public key");
        assert!(recipient.starts_with("age1"), "{said}");
        Self {
            recipient: recipient.to_owned(),
            folder,
        }
    }

    /// What is in an age file that was sealed to this reader.
    pub(super) fn open(&self, sealed: &[u8]) -> String {
        let file = self.folder.path().join("sealed");
        std::fs::write(&file, sealed).expect("a file");
        let opened = age(&["-d", "-i"], &[&self.folder.path().join("key"), &file]);
        String::from_utf8(opened).expect("text")
    }
}

fn age(words: &[&str], files: &[&Path]) -> Vec<u8> {
    let output = Command::new("age")
        .args(words)
        .args(files)
        .stdin(Stdio::null())
        .output()
        .expect("age: run the tests with `bash tests/run`, which installs it");
    assert!(
        output.status.success(),
        "age opens it: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
