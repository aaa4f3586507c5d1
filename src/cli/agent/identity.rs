//! Who the agent is: its key, which never leaves this directory, and the short tokens that it signs with it.
//!
//! A change of the key takes three steps, each of which may be the last before the power goes: the next key is written
//! down, the server takes it, it becomes the key. Both hold between the second and the change after it.

use anyhow::Context as _;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::link::{self, Trouble};
use super::vault::Vault;
use crate::model::hex;
use crate::store::clock;
use crate::wire::agents::{About, AgentEnrol, AgentEnrolled, AgentKey};

/// The file.
const NAME: &str = "identity";
/// How long a token holds, in seconds.
const LIFE: i64 = 5 * 60;
/// How long before its end another one is signed.
const SPARE: i64 = 60;

/// A private key: PKCS#8, base64; wiped when dropped.
#[derive(Clone, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
struct PrivateKey(String);

/// Everything that is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    server: String,
    enrolled: AgentEnrolled,
    key: PrivateKey,
    made_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<PrivateKey>,
}

/// An enrolled agent.
pub(super) struct Identity {
    vault: Vault,
    kept: Kept,
    pair: Ed25519KeyPair,
    /// The token in use and when it is over, in seconds since 1970.
    token: Option<(String, i64)>,
}

/// A new key.
fn new_key() -> anyhow::Result<PrivateKey> {
    let made = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let made = made.ok().context("the system gives no random bytes")?;
    Ok(PrivateKey(STANDARD.encode(made.as_ref())))
}

fn pair(key: &PrivateKey) -> anyhow::Result<Ed25519KeyPair> {
    let bytes = Zeroizing::new(
        STANDARD
            .decode(&key.0)
            .context("the agent's key is damaged")?,
    );
    let pair = Ed25519KeyPair::from_pkcs8(&bytes).ok();
    pair.context("the agent's key is damaged: enrol it again")
}

fn public(pair: &Ed25519KeyPair) -> String {
    URL_SAFE_NO_PAD.encode(pair.public_key())
}

impl Identity {
    /// The one of this directory, if it is enrolled.
    pub(super) fn load(vault: &Vault) -> anyhow::Result<Option<Self>> {
        let Some(kept) = vault.get::<Kept>(NAME)? else {
            return Ok(None);
        };
        let pair = pair(&kept.key)?;
        Ok(Some(Self {
            vault: vault.clone(),
            kept,
            pair,
            token: None,
        }))
    }

    /// Makes a key and has the server take its public half.
    pub(super) async fn enrol(
        vault: &Vault,
        server: &str,
        token: &str,
        instance: &str,
        about: &About,
    ) -> anyhow::Result<Self> {
        let key = new_key()?;
        let pair = pair(&key)?;
        let body = AgentEnrol {
            instance: instance.to_owned(),
            public_key: public(&pair),
            about: about.clone(),
        };
        let answer = link::send(server, Method::POST, "/agents/enrol", token, &json!(body)).await;
        let enrolled: AgentEnrolled = serde_json::from_slice(&answer.map_err(Trouble::told)?)
            .context("the server's answer could not be read")?;
        let kept = Kept {
            version: 1,
            server: server.to_owned(),
            enrolled,
            key,
            made_us: clock::now_us(),
            next: None,
        };
        vault.put(NAME, &kept)?;
        Ok(Self {
            vault: vault.clone(),
            kept,
            pair,
            token: None,
        })
    }

    /// Where it is enrolled.
    pub(super) fn server(&self) -> &str {
        &self.kept.server
    }

    /// What the server called it.
    pub(super) fn enrolled(&self) -> &AgentEnrolled {
        &self.kept.enrolled
    }

    /// Goes to another address of its server from now on.
    pub(super) fn moved(&mut self, server: &str) -> anyhow::Result<()> {
        server.clone_into(&mut self.kept.server);
        self.vault.put(NAME, &self.kept)
    }

    /// A token that holds for at least a minute.
    pub(super) fn token(&mut self) -> String {
        let now = clock::now_us() / 1_000_000;
        match &self.token {
            Some((token, until)) if now < until - SPARE && now > until - LIFE - SPARE => {
                token.clone()
            }
            _ => {
                let token = sign(&self.pair, &self.kept.enrolled, now);
                self.token = Some((token.clone(), now + LIFE));
                token
            }
        }
    }

    /// Whether its key is older than so many days, or the last change of it was not finished.
    pub(super) fn is_due(&self, days: u32) -> bool {
        let age_us = clock::now_us() - self.kept.made_us;
        self.kept.next.is_some() || age_us > i64::from(days) * 24 * 3600 * 1_000_000
    }

    /// Changes the key.
    pub(super) async fn rotate(&mut self) -> anyhow::Result<()> {
        let next = match &self.kept.next {
            Some(next) => next.clone(),
            None => {
                let next = new_key()?;
                self.kept.next = Some(next.clone());
                self.vault.put(NAME, &self.kept)?;
                next
            }
        };
        let pair = pair(&next)?;
        let body = json!(AgentKey {
            public_key: public(&pair),
        });
        let token = self.token();
        let server = self.kept.server.clone();
        let sent = link::send(&server, Method::POST, "/agents/self/keys", &token, &body).await;
        sent.map_err(Trouble::told)?;
        self.kept.key = next;
        self.kept.next = None;
        self.kept.made_us = clock::now_us();
        self.vault.put(NAME, &self.kept)?;
        self.pair = pair;
        self.token = None;
        Ok(())
    }
}

/// Signs who, for whom, from when and until when.
fn sign(pair: &Ed25519KeyPair, enrolled: &AgentEnrolled, now: i64) -> String {
    let kid = hex(&Sha256::digest(pair.public_key()));
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({"alg": "EdDSA", "typ": "JWT", "kid": kid})),
        part(&json!({
            "iss": enrolled.id,
            "sub": enrolled.id,
            "aud": enrolled.audience,
            "org_id": enrolled.org_id,
            "runner_id": enrolled.runner_id,
            "iat": now,
            "exp": now + LIFE,
        }))
    );
    let signature = pair.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
