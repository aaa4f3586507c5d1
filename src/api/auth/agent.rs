//! Agents prove who they are by tokens that they sign themselves, each for five minutes at most: an Ed25519 signature
//! (`EdDSA`) over who, for whom, from when and until when. The key is found by the name that the token gives, and by
//! nothing else of it.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::api::App;
use crate::api::error::Refusal;
use crate::model::hex;
use crate::store::agents::Agent;
use crate::store::clock;

/// The longest that a token may hold, in seconds.
const LONGEST: i64 = 5 * 60;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;
/// The longest token that is looked at.
const MAX_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

/// For whom an agent of a runner signs.
pub(crate) fn audience(org: &str, runner: &str) -> String {
    format!("windlass-agent:{org}/{runner}")
}

/// The name of a public key; `None` for what is none.
pub(crate) fn key_id(public: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(public).ok()?;
    (bytes.len() == 32).then(|| hex(&Sha256::digest(&bytes)))
}

/// What is read of a token, and what its signature is over.
struct Token<'a> {
    header: Header,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

fn token(text: &str) -> Option<Token<'_>> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    Some(Token {
        header: serde_json::from_slice(&decode(header)?).ok()?,
        claims: serde_json::from_slice(&decode(claims)?).ok()?,
        signed,
        signature: decode(signature)?,
    })
}

/// Whether a token of `agent` was signed by the key `public` and holds at `now`, in seconds since 1970.
fn check(token: &Token<'_>, public: &str, agent: &Agent, now: i64) -> Result<(), String> {
    let key = URL_SAFE_NO_PAD.decode(public).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(token.signed.as_bytes(), &token.signature)
        .map_err(|_| "its signature is wrong".to_owned())?;
    let claims = &token.claims;
    if claims.iss != agent.instance {
        return Err("it is another agent's".to_owned());
    }
    if claims.aud != audience(&agent.org_id, &agent.runner_id) {
        return Err("it was made for another audience".to_owned());
    }
    if claims.exp.saturating_sub(claims.iat) > LONGEST {
        return Err(format!("it holds for more than {LONGEST} seconds"));
    }
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(format!(
            "it was over {} seconds ago; is the clock of the agent's host right?",
            now.saturating_sub(claims.exp)
        ));
    }
    if claims.iat.saturating_sub(LEEWAY) > now {
        return Err(format!(
            "it holds in {} seconds only; is the clock of the agent's host right?",
            claims.iat.saturating_sub(now)
        ));
    }
    Ok(())
}

/// The agent that sent a request.
pub(super) async fn identify(app: &App, headers: &HeaderMap) -> Result<Agent, Refusal> {
    let secret = super::token(headers).ok_or_else(|| {
        Refusal::unauthorized(
            "the token of an agent is needed: this is what `windlass agent` speaks",
        )
    })?;
    let refused =
        |why: &str| Refusal::unauthorized(format!("the agent's token is not taken: {why}"));
    let token = token(secret.expose())
        .filter(|token| token.header.alg == "EdDSA")
        .ok_or_else(|| refused("it is no token signed by EdDSA"))?;
    let found = app.store.agent_of_key(&token.header.kid).await?;
    let (agent, public) = found.ok_or_else(|| {
        refused(
            "its key is not known here, or not any more. If the agent is to go on, enrol it again: \
             windlass create agent-token RUNNER",
        )
    })?;
    check(&token, &public, &agent, clock::now_us() / 1_000_000).map_err(|why| refused(&why))?;
    Ok(agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::agents::About;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    fn agent() -> Agent {
        Agent {
            instance: "i".into(),
            org_id: "acme".into(),
            runner_id: "edge".into(),
            about: About::default(),
            created_us: 0,
            created_by: String::new(),
            seen_us: 0,
        }
    }

    fn signed(seed: u8, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "EdDSA", "kid": "k"})),
            part(claims)
        );
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key");
        let signature = pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn verdict(seed: u8, change: &Value) -> Result<(), String> {
        let mut claims =
            json!({"iss": "i", "aud": "windlass-agent:acme/edge", "iat": 1000, "exp": 1300});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        let text = signed(seed, &claims);
        check(&token(&text).expect("is read"), &public, &agent(), 1000)
    }

    #[test]
    fn a_token_is_taken_when_all_of_it_holds_and_else_not() {
        assert_eq!(verdict(7, &json!({})), Ok(()));
        for (seed, change, begins) in [
            (8, json!({}), "its signature"),
            (7, json!({"iss": "j"}), "it is another agent's"),
            (
                7,
                json!({"aud": "windlass-agent:acme/other"}),
                "it was made for another",
            ),
            (7, json!({"exp": 1301}), "it holds for more than 300"),
            (
                7,
                json!({"iat": 640, "exp": 940}),
                "it was over 60 seconds ago",
            ),
            (
                7,
                json!({"iat": 1061, "exp": 1300}),
                "it holds in 61 seconds",
            ),
        ] {
            let refused = verdict(seed, &change).expect_err("refused");
            assert!(refused.starts_with(begins), "{refused}");
        }
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        assert!(key_id(&URL_SAFE_NO_PAD.encode([1; 32])).is_some());
        assert_eq!(key_id(&URL_SAFE_NO_PAD.encode([1; 31])), None);
        assert_eq!(key_id("+"), None);
    }
}
