//! Users, what they may do, and the tokens that prove who they are.
//!
//! A token is 33 random bytes; only its SHA-256 is stored, so a copy of the database opens nothing. What a token
//! allows is read anew with every request: a grant that is taken away, a token that is revoked, work at once.
//! Decides nothing about permissions; [`crate::model::access`] does. Start at [`Store::identity_of`].

pub(crate) mod devices;
pub(crate) mod grants;
pub(crate) mod invitations;
pub(crate) mod memberships;
pub(crate) mod service_users;
pub(crate) mod sessions;
pub(crate) mod sign_on;
#[cfg(test)]
mod tests;
pub(crate) mod tokens;
pub(crate) mod trust_rules;
pub(crate) mod users;

use std::collections::BTreeMap;

use self::grants::Granted;
use self::tokens::Secret;
use crate::model::access::{Access, Grant};
use crate::store::sql::{self, Connection, Row};
use crate::store::{Store, StoreError, clock};

/// What kind of user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody.
    Person,
    /// A program, in one organisation.
    Service,
}

impl Kind {
    /// The word that is stored.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }

    fn parse(word: &str) -> Result<Self, StoreError> {
        match word {
            "person" => Ok(Self::Person),
            "service" => Ok(Self::Service),
            other => Err(StoreError::document(
                "the kind of a user",
                serde::de::Error::custom(other),
            )),
        }
    }
}

/// Who a token belongs to, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user.
    pub(crate) user: String,
    /// What kind.
    pub(crate) kind: Kind,
    /// Their name.
    pub(crate) name: String,
    /// By organisation.
    pub(crate) access: BTreeMap<String, Access>,
}

/// How exact `last used` is; a token in use is written so often at most.
const USED_EVERY_US: i64 = 60 * 1_000_000;

impl Store {
    /// Who a token belongs to; `None` when it is unknown or over.
    pub(crate) async fn identity_of(
        &self,
        secret: &Secret,
        kinds: &[tokens::Kind],
    ) -> Result<Option<Identity>, StoreError> {
        let hash = secret.hash();
        let now = clock::now_us();
        // Not of one moment: what is taken away between the two is gone from the second.
        let mut reading = self.glance().await?;
        let row: Option<Row> = sql::query(
            "SELECT t.kind AS token_kind, t.expires_us, t.used_us, u.id, u.kind, u.name FROM tokens t \
             JOIN users u ON u.id = t.user_id WHERE t.hash = $1",
        )
        .bind(&hash)
        .fetch_optional(&mut reading)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let token_kind: String = row.get("token_kind")?;
        let expires_us: i64 = row.get("expires_us")?;
        let used_us: Option<i64> = row.get("used_us")?;
        if expires_us <= now || !kinds.iter().any(|kind| kind.word() == token_kind) {
            return Ok(None);
        }
        let user: String = row.get("id")?;
        let kind: String = row.get("kind")?;
        let identity = Identity {
            kind: Kind::parse(&kind)?,
            name: row.get("name")?,
            access: access_of(&mut reading, &user).await?,
            user,
        };
        drop(reading);
        if used_us.is_none_or(|used| now - used >= USED_EVERY_US) {
            let store = self.clone();
            // Nobody waits for it, and a failure costs nothing but the time that is shown.
            tokio::spawn(async move {
                if let Err(error) = store.token_used(&hash, now).await {
                    tracing::warn!(%error, "when a token was used could not be noted");
                }
            });
        }
        Ok(Some(identity))
    }
}

/// What a user may do, by organisation.
pub(crate) async fn access_of(
    connection: &mut Connection,
    user: &str,
) -> Result<BTreeMap<String, Access>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sql::query("SELECT org_id, role, scope FROM grants WHERE user_id = $1")
            .bind(user)
            .fetch_all(connection)
            .await?;
    let mut found: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for (org, role, scope) in rows {
        let Some(granted) = Granted::stored(&role, &scope) else {
            continue;
        };
        found.entry(org).or_default().push(Grant {
            level: granted.role.level(),
            scope: granted.scope,
        });
    }
    Ok(found
        .into_iter()
        .map(|(org, grants)| (org, Access::new(grants)))
        .collect())
}
