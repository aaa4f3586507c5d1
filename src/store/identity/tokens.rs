//! Tokens: made once, shown once, kept as hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::model::hex;
use crate::store::sql::{self, Connection};
use crate::store::{Store, StoreError, clock};

/// Random bytes of a token; three bytes are four letters, so 33 have no padding.
const BYTES: usize = 33;
/// How a service user's token begins.
const SERVICE_PREFIX: &str = "SU-";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person who logged in.
    Session,
    /// A service user.
    Service,
    /// Opens a session, once.
    Link,
    /// A program that a trust rule let in, for minutes.
    Workload,
}

impl Kind {
    /// The word that is stored.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Service => "service",
            Self::Link => "link",
            Self::Workload => "workload",
        }
    }
}

/// A token in clear; wiped when dropped, never printed by accident.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// A new one.
    pub(crate) fn new(kind: Kind) -> Self {
        let mut bytes = Zeroizing::new([0u8; BYTES]);
        getrandom::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
        let text = URL_SAFE_NO_PAD.encode(bytes.as_slice());
        Self(Zeroizing::new(match kind {
            Kind::Service | Kind::Workload => format!("{SERVICE_PREFIX}{text}"),
            Kind::Session | Kind::Link => text,
        }))
    }

    /// One that somebody sent.
    pub(crate) fn sent(text: &str) -> Self {
        Self(Zeroizing::new(text.trim().to_owned()))
    }

    /// The text, to be shown to its owner, once.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it. Plain SHA-256 suffices: there is nothing to guess in 264 random bits.
    pub(crate) fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Keeps a token for a user.
pub(crate) async fn keep(
    connection: &mut Connection,
    secret: &Secret,
    user: &str,
    kind: Kind,
    created_by: &str,
    expires_us: i64,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO tokens (hash, user_id, kind, created_us, created_by, expires_us) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(secret.hash())
    .bind(user)
    .bind(kind.word())
    .bind(clock::now_us())
    .bind(created_by)
    .bind(expires_us)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the tokens of a kind of a user.
pub(crate) async fn forget_all(
    connection: &mut Connection,
    user: &str,
    kind: Kind,
) -> Result<(), StoreError> {
    sql::query("DELETE FROM tokens WHERE user_id = $1 AND kind = $2")
        .bind(user)
        .bind(kind.word())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends what a person logged in with, and what they could log in with, but for the token of the hash `kept`.
pub(super) async fn forget_logins(
    connection: &mut Connection,
    user: &str,
    kept: &str,
) -> Result<(), StoreError> {
    sql::query(
        "DELETE FROM tokens WHERE user_id = $1 AND kind IN ('session', 'link') AND hash <> $2",
    )
    .bind(user)
    .bind(kept)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Notes that a token was used.
    pub(super) async fn token_used(&self, hash: &str, now_us: i64) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        sql::query("UPDATE tokens SET used_us = $2 WHERE hash = $1")
            .bind(hash)
            .bind(now_us)
            .execute(&mut writing)
            .await?;
        writing.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_fields_form_and_is_never_printed() {
        let secret = Secret::new(Kind::Service);
        assert_eq!(secret.expose().len(), 3 + 44);
        assert!(secret.expose().starts_with("SU-"));
        assert_eq!(Secret::new(Kind::Session).expose().len(), 44);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_ne!(secret.hash(), Secret::new(Kind::Service).hash());
        assert_eq!(
            secret.hash(),
            Secret::sent(&format!(" {}\n", secret.expose())).hash()
        );
    }
}
