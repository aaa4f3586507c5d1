//! The way to the server: one message, one answer, and what kind of trouble there was if there is none.

use std::sync::OnceLock;

use axum::http::{Method, header};
use serde_json::Value;
use tokio::sync::Mutex;

use super::identity::Identity;
use crate::deploy::agents::protocol::{Answer, Message, Reply, Say, VERSION};
use crate::wire::ErrorBody;

/// Why the server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It is away, or busy: the same will be answered later.
    #[error("the server does not answer: {0}")]
    Away(String),
    /// It failed; perhaps because of what was sent.
    #[error("the server failed: {0}")]
    Failed(String),
    /// It does not know this agent, or not any more.
    #[error("{0}")]
    Denied(String),
    /// Another agent has this one's place.
    #[error("{0}")]
    Fenced(String),
    /// It will never take it.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    /// For people.
    pub(super) fn told(self) -> anyhow::Error {
        anyhow::Error::msg(self.to_string())
    }
}

fn http() -> Result<&'static reqwest::Client, Trouble> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let made = crate::api::http_client();
    let made = made.map_err(|error| Trouble::Away(format!("could not set up HTTP: {error}")))?;
    Ok(CLIENT.get_or_init(|| made))
}

/// An error with everything that caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Sends one request; returns the body of the answer.
pub(super) async fn send(
    server: &str,
    method: Method,
    path: &str,
    token: &str,
    body: &Value,
) -> Result<Vec<u8>, Trouble> {
    let bytes = serde_json::to_vec(body).map_err(|error| Trouble::Refused(error.to_string()))?;
    deliver(server, method, path, token, bytes).await
}

async fn deliver(
    server: &str,
    method: Method,
    path: &str,
    token: &str,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Trouble> {
    let away = |error: reqwest::Error| Trouble::Away(chain(&error.without_url()));
    let answer = http()?
        .request(method, format!("{server}{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(bytes)
        .send()
        .await
        .map_err(away)?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(away)?.to_vec();
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let said: Option<ErrorBody> = serde_json::from_slice(&body).ok();
    let (code, message) = match said {
        Some(said) => (said.error, said.message),
        None => (String::new(), format!("status {status}")),
    };
    Err(match (status, code.as_str()) {
        (_, "agent_fenced") => Trouble::Fenced(message),
        (401 | 403, _) => Trouble::Denied(message),
        (408 | 429 | 502..=504 | 507, _) => Trouble::Away(message),
        (500.., _) => Trouble::Failed(message),
        // Something that stands in between and knows nothing of agents.
        (_, "") => Trouble::Away(message),
        _ => Trouble::Refused(message),
    })
}

/// The way to the server of one agent.
pub(super) struct Link {
    server: String,
    identity: Mutex<Identity>,
}

impl Link {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            server: identity.server().to_owned(),
            identity: Mutex::new(identity),
        }
    }

    /// Sends one message under the lease of `epoch`.
    pub(super) async fn ask(&self, epoch: i64, say: Say) -> Result<Reply, Trouble> {
        let message = Message {
            version: VERSION,
            epoch,
            say,
        };
        let bytes =
            serde_json::to_vec(&message).map_err(|error| Trouble::Refused(error.to_string()))?;
        let token = self.identity.lock().await.token();
        let path = "/agents/self/messages";
        let body = deliver(&self.server, Method::POST, path, &token, bytes).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| Trouble::Away(format!("its answer could not be read: {error}")))?;
        Ok(answer.say)
    }

    /// Changes the key where it is time to.
    pub(super) async fn tend_key(&self, days: u32) {
        let mut identity = self.identity.lock().await;
        if !identity.is_due(days) {
            return;
        }
        match identity.rotate().await {
            Ok(()) => tracing::info!(
                "the agent has a new key; the one before holds until the next change"
            ),
            Err(error) => {
                tracing::warn!("the key of the agent could not be changed, and stays: {error:#}")
            }
        }
    }
}
