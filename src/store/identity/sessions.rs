//! Sessions of people: opened by a link or by letting a program in, listed, and ended.

use super::invitations;
use super::tokens::{self, Kind, Secret};
use crate::store::objects::{Listed, ObjectError, Paging};
use crate::store::sql::{self, Connection, Row};
use crate::store::{Store, StoreError, clock};

/// A session, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Of the token; names the session.
    pub(crate) hash: String,
    /// When it was opened.
    pub(crate) created_us: i64,
    /// When it is over.
    pub(crate) expires_us: i64,
    /// When it was last used.
    pub(crate) used_us: Option<i64>,
    /// How it was opened.
    pub(crate) provider: String,
    /// From where.
    pub(crate) client_ip: Option<String>,
}

/// A session that is to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSession<'a> {
    /// Its token.
    pub(crate) secret: &'a Secret,
    /// When it is over.
    pub(crate) expires_us: i64,
    /// How it is opened.
    pub(crate) provider: &'a str,
    /// From where.
    pub(crate) client_ip: Option<&'a str>,
}

/// Opens a session of a person, and notes that they logged in.
pub(crate) async fn open(
    connection: &mut Connection,
    user: &str,
    new: &NewSession<'_>,
) -> Result<(), StoreError> {
    tokens::keep(
        connection,
        new.secret,
        user,
        Kind::Session,
        user,
        new.expires_us,
    )
    .await?;
    sql::query("UPDATE tokens SET provider = $2, client_ip = $3 WHERE hash = $1")
        .bind(new.secret.hash())
        .bind(new.provider)
        .bind(new.client_ip)
        .execute(connection)
        .await?;
    crate::store::audit::note(|draft| {
        draft.actor = user.to_owned();
        draft.actor_kind = "person".to_owned();
    });
    let now = clock::now_us();
    sql::query("UPDATE users SET logged_in_us = $2 WHERE id = $1")
        .bind(user)
        .bind(now)
        .execute(connection)
        .await?;
    sql::query("DELETE FROM tokens WHERE user_id = $1 AND kind = 'session' AND expires_us <= $2")
        .bind(user)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Opens the session that a link or an invitation is for, once; `None` when it is unknown, used or over. Returns the
    /// user.
    pub(crate) async fn link_redeem(
        &self,
        link: &Secret,
        new: &NewSession<'_>,
    ) -> Result<Option<String>, ObjectError> {
        let mut writing = self.writing().await?;
        let user: Option<String> = sql::query(
            "DELETE FROM tokens WHERE hash = $1 AND kind = 'link' AND expires_us > $2 RETURNING user_id",
        )
        .bind(link.hash())
        .bind(clock::now_us())
        .fetch_optional(&mut writing)
        .await?;
        let user = match user {
            Some(user) => user,
            None => match invitations::become_of(&mut writing, link).await? {
                Some(user) => user,
                None => return Ok(None),
            },
        };
        open(&mut writing, &user, new).await?;
        writing.commit().await?;
        Ok(Some(user))
    }

    /// Sessions of a person that go on, by hash.
    pub(crate) async fn session_list(
        &self,
        user: &str,
        paging: &Paging,
    ) -> Result<Listed<Session>, StoreError> {
        let after = paging.after.as_ref().and_then(|key| key.first());
        let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let mut reading = self.reading().await?;
        let rows: Vec<Row> = sql::query(
            "SELECT hash, created_us, expires_us, used_us, provider, client_ip FROM tokens \
             WHERE user_id = $1 AND kind = 'session' AND expires_us > $2 AND hash > $3 \
             ORDER BY hash LIMIT $4",
        )
        .bind(user)
        .bind(clock::now_us())
        .bind(after.map_or("", String::as_str))
        .bind(limit)
        .fetch_all(&mut reading)
        .await?;
        let more = rows.len() > paging.limit;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows.iter().take(paging.limit) {
            let provider: Option<String> = row.get("provider")?;
            items.push(Session {
                hash: row.get("hash")?,
                created_us: row.get("created_us")?,
                expires_us: row.get("expires_us")?,
                used_us: row.get("used_us")?,
                provider: provider.unwrap_or_else(|| "link".to_owned()),
                client_ip: row.get("client_ip")?,
            });
        }
        let next = items.last().filter(|_| more);
        Ok(Listed {
            next: next.map(|session: &Session| vec![session.hash.clone()]),
            items,
        })
    }

    /// Ends a session.
    pub(crate) async fn session_delete(&self, user: &str, hash: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let removed =
            sql::query("DELETE FROM tokens WHERE user_id = $1 AND hash = $2 AND kind = 'session'")
                .bind(user)
                .bind(hash)
                .execute(&mut writing)
                .await?;
        if removed == 0 {
            return Err(ObjectError::missing("session token not found"));
        }
        writing.commit().await?;
        Ok(())
    }

    /// Ends the session of a token, if it is one.
    pub(crate) async fn session_end(&self, secret: &Secret) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        sql::query("DELETE FROM tokens WHERE hash = $1 AND kind = 'session'")
            .bind(secret.hash())
            .execute(&mut writing)
            .await?;
        writing.commit().await
    }
}
