//! People who sign in at an issuer, and who they are here.
//!
//! Known again by the issuer's subject, never by an address: addresses change hands. The first time, a verified address
//! finds the user or the invitation that was made for it. That user's sessions and links are over then: until somebody
//! had proved the address, they were whoever an administrator gave the link to.

use super::sessions::{self, NewSession};
use super::users::{self, NewUser};
use super::{Kind, grants, invitations, tokens};
use crate::model::access::{Role, Scope};
use crate::store::objects::organizations::SYSTEM_USER;
use crate::store::sql::{self, Connection};
use crate::store::{Store, StoreError, clock};

/// What an issuer has proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    /// Who says so.
    pub(crate) issuer: &'a str,
    /// Who it is there.
    pub(crate) subject: &'a str,
    /// Their address in lower case, if it is verified.
    pub(crate) email: Option<&'a str>,
    /// What they are called.
    pub(crate) name: &'a str,
    /// Of the attempt, which counts once.
    pub(crate) attempt: &'a str,
    /// When the attempt would be over.
    pub(crate) attempt_ends_us: i64,
    /// What somebody becomes whom nobody made or invited, if anything.
    pub(crate) newcomer: Option<(&'a str, Role)>,
}

/// How a sign-in ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedOn {
    /// A session of this person is open.
    As(String),
    /// The same attempt was used before.
    Used,
    /// The address is that of a user who signs in as another subject.
    Another,
    /// Nobody here is this person.
    Stranger,
}

async fn link(
    connection: &mut Connection,
    proof: &Proof<'_>,
    user: &str,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO sso_subjects (issuer, subject, user_id, created_us) VALUES ($1, $2, $3, $4)",
    )
    .bind(proof.issuer)
    .bind(proof.subject)
    .bind(user)
    .bind(clock::now_us())
    .execute(connection)
    .await?;
    Ok(())
}

/// Who this is, found or made; told as [`SignedOn`] where it is nobody.
async fn person(connection: &mut Connection, proof: &Proof<'_>) -> Result<SignedOn, StoreError> {
    let known: Option<String> =
        sql::query("SELECT user_id FROM sso_subjects WHERE issuer = $1 AND subject = $2")
            .bind(proof.issuer)
            .bind(proof.subject)
            .fetch_optional(connection)
            .await?;
    if let Some(user) = known {
        return Ok(SignedOn::As(user));
    }
    let Some(email) = proof.email else {
        return Ok(SignedOn::Stranger);
    };
    if let Some(user) = users::of_email(connection, email).await? {
        let another: Option<i64> =
            sql::query("SELECT 1 FROM sso_subjects WHERE issuer = $1 AND user_id = $2")
                .bind(proof.issuer)
                .bind(&user)
                .fetch_optional(connection)
                .await?;
        if another.is_some() {
            return Ok(SignedOn::Another);
        }
        tokens::forget_logins(connection, &user, "").await?;
        link(connection, proof, &user).await?;
        return Ok(SignedOn::As(user));
    }
    let is_invited = invitations::is_invited(connection, email).await?;
    if !is_invited && proof.newcomer.is_none() {
        return Ok(SignedOn::Stranger);
    }
    let new = NewUser {
        kind: Kind::Person,
        name: proof.name,
        email: Some(email),
        by: SYSTEM_USER,
    };
    let user = users::insert(connection, None, &new).await?;
    link(connection, proof, &user).await?;
    // An invitation says what they are; without one, the settings of the server do.
    if let Some((org, role)) = proof.newcomer.filter(|_| !is_invited) {
        let everywhere = Scope::Organization;
        grants::insert(connection, org, &user, role, &everywhere, SYSTEM_USER).await?;
    }
    Ok(SignedOn::As(user))
}

impl Store {
    /// Opens a session of whoever an issuer has proved to be there, if that is somebody here.
    pub(crate) async fn sign_on(
        &self,
        proof: &Proof<'_>,
        new: &NewSession<'_>,
    ) -> Result<SignedOn, StoreError> {
        let mut writing = self.writing().await?;
        sql::query("DELETE FROM sso_used WHERE expires_us <= $1")
            .bind(clock::now_us())
            .execute(&mut writing)
            .await?;
        let first = sql::query(
            "INSERT INTO sso_used (hash, expires_us) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
        )
        .bind(proof.attempt)
        .bind(proof.attempt_ends_us)
        .execute(&mut writing)
        .await?;
        if first == 0 {
            return Ok(SignedOn::Used);
        }
        let found = person(&mut writing, proof).await?;
        let SignedOn::As(user) = &found else {
            return Ok(found);
        };
        if let Some(email) = proof.email {
            invitations::take_up_all(&mut writing, email, user).await?;
        }
        sessions::open(&mut writing, user, new).await?;
        writing.commit().await?;
        Ok(found)
    }
}
