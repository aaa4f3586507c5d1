//! Invitations: an address may join an organisation with a role. Taken up with a secret, or by whoever proves to have
//! the address; gone then.
//!
//! Whoever joins a second organisation is logged out everywhere else: the first one's administrators may have made them
//! a link, and what they act as must not grow with it.

use super::grants::{self, Granted};
use super::tokens::{self, Secret};
use super::users::{self, NewUser};
use super::{Kind, memberships};
use crate::store::objects::{Listed, ObjectError, Paging, organization_known};
use crate::store::sql::{self, Builder, Connection, Row};
use crate::store::{Store, StoreError, clock};

/// An invitation, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invitation {
    /// Its id.
    pub(crate) id: String,
    /// Who may join, in lower case.
    pub(crate) email: String,
    /// As what.
    pub(crate) granted: Granted,
    /// When it was made.
    pub(crate) created_us: i64,
    /// By whom.
    pub(crate) created_by: String,
    /// Their name; none for whoever is gone.
    pub(crate) creator: Option<String>,
    /// Their address, where it is known.
    pub(crate) creator_email: Option<String>,
    /// When it is over.
    pub(crate) expires_us: i64,
}

/// An invitation that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewInvitation<'a> {
    /// Who may join, in lower case.
    pub(crate) email: &'a str,
    /// As what.
    pub(crate) granted: &'a Granted,
    /// Who invites.
    pub(crate) by: &'a str,
    /// What it is taken up with.
    pub(crate) secret: &'a Secret,
    /// When it is over.
    pub(crate) expires_us: i64,
}

/// Which invitations.
#[derive(Debug, Clone, Copy)]
enum Which<'a> {
    All,
    Id(&'a str),
}

async fn read(
    connection: &mut Connection,
    org: &str,
    which: Which<'_>,
    paging: &Paging,
) -> Result<Listed<Invitation>, StoreError> {
    let after = paging.after.as_ref().and_then(|key| key.first());
    let mut query = Builder::new(
        "SELECT i.id, i.email, i.role, i.scope, i.created_us, i.created_by, i.expires_us, \
         u.name AS creator, u.email AS creator_email \
         FROM invitations i LEFT JOIN users u ON u.id = i.created_by WHERE i.org_id = ",
    );
    query.push_bind(org.to_owned());
    query
        .push(" AND i.expires_us > ")
        .push_bind(clock::now_us());
    query
        .push(" AND i.id > ")
        .push_bind(after.cloned().unwrap_or_default());
    if let Which::Id(id) = which {
        query.push(" AND i.id = ").push_bind(id.to_owned());
    }
    let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
    query.push(" ORDER BY i.id LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    let more = rows.len() > paging.limit;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.iter().take(paging.limit) {
        let Some(granted) = Granted::stored(row.text("role")?, row.text("scope")?) else {
            continue;
        };
        items.push(Invitation {
            id: row.get("id")?,
            email: row.get("email")?,
            granted,
            created_us: row.get("created_us")?,
            created_by: row.get("created_by")?,
            creator: row.get("creator")?,
            creator_email: row.get("creator_email")?,
            expires_us: row.get("expires_us")?,
        });
    }
    let next = items.last().filter(|_| more);
    Ok(Listed {
        next: next.map(|invitation: &Invitation| vec![invitation.id.clone()]),
        items,
    })
}

async fn forget(connection: &mut Connection, id: &str) -> Result<(), StoreError> {
    sql::query("DELETE FROM invitations WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives a person what an invitation offers. `kept` is the hash of the token that they go on with.
async fn join(
    connection: &mut Connection,
    user: &str,
    (org, granted, by): (&str, &Granted, &str),
    kept: &str,
) -> Result<(), StoreError> {
    let organizations = memberships::organizations(connection, user).await?;
    if !organizations.is_empty() && !organizations.iter().any(|member| member == org) {
        tokens::forget_logins(connection, user, kept).await?;
    }
    grants::insert(connection, org, user, granted.role, &granted.scope, by).await
}

/// Whether an address is invited anywhere.
pub(super) async fn is_invited(
    connection: &mut Connection,
    email: &str,
) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sql::query("SELECT 1 FROM invitations WHERE email = $1 AND expires_us > $2 LIMIT 1")
            .bind(email)
            .bind(clock::now_us())
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Takes up every invitation of an address for a person who has proved that it is theirs.
pub(super) async fn take_up_all(
    connection: &mut Connection,
    email: &str,
    user: &str,
) -> Result<(), StoreError> {
    let rows: Vec<Row> = sql::query(
        "SELECT id, org_id, role, scope, created_by FROM invitations \
         WHERE email = $1 AND expires_us > $2 ORDER BY id",
    )
    .bind(email)
    .bind(clock::now_us())
    .fetch_all(connection)
    .await?;
    for row in rows {
        forget(connection, row.text("id")?).await?;
        let Some(granted) = Granted::stored(row.text("role")?, row.text("scope")?) else {
            continue;
        };
        let offer = (row.text("org_id")?, &granted, row.text("created_by")?);
        join(connection, user, offer, "").await?;
    }
    Ok(())
}

/// Makes a new person of the invitation with this secret. Somebody who has its address already must log in first: a
/// secret that an administrator of one organisation saw must not open what they may do in another.
pub(super) async fn become_of(
    connection: &mut Connection,
    secret: &Secret,
) -> Result<Option<String>, ObjectError> {
    let row: Option<Row> = sql::query(
        "SELECT id, org_id, email, role, scope, created_by FROM invitations \
         WHERE hash = $1 AND expires_us > $2",
    )
    .bind(secret.hash())
    .bind(clock::now_us())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let Some(granted) = Granted::stored(row.text("role")?, row.text("scope")?) else {
        return Ok(None);
    };
    let email = row.text("email")?;
    if users::of_email(connection, email).await?.is_some() {
        return Err(ObjectError::conflict(
            "whoever this invitation is for is a user of this server already: log in first, then open this link again",
        ));
    }
    let person = NewUser {
        kind: Kind::Person,
        name: email,
        email: Some(email),
        by: row.text("created_by")?,
    };
    let user = users::insert(connection, None, &person).await?;
    forget(connection, row.text("id")?).await?;
    join(
        connection,
        &user,
        (row.text("org_id")?, &granted, person.by),
        "",
    )
    .await?;
    Ok(Some(user))
}

impl Store {
    /// Invitations that are not over, by id.
    pub(crate) async fn invitation_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<Invitation>, StoreError> {
        let mut reading = self.reading().await?;
        read(&mut reading, org, Which::All, paging).await
    }

    /// One invitation that is not over; with `secret` only if that is its.
    pub(crate) async fn invitation_get(
        &self,
        org: &str,
        id: &str,
        secret: Option<&Secret>,
    ) -> Result<Option<Invitation>, StoreError> {
        let mut reading = self.reading().await?;
        if let Some(secret) = secret {
            let hash: Option<String> =
                sql::query("SELECT hash FROM invitations WHERE org_id = $1 AND id = $2")
                    .bind(org)
                    .bind(id)
                    .fetch_optional(&mut reading)
                    .await?;
            // Both are hashes: how long comparing takes tells nothing about the secret.
            if hash.as_deref() != Some(secret.hash().as_str()) {
                return Ok(None);
            }
        }
        let listed = read(&mut reading, org, Which::Id(id), &Paging::ALL).await?;
        Ok(listed.items.into_iter().next())
    }

    /// Invites an address.
    pub(crate) async fn invitation_create(
        &self,
        org: &str,
        new: &NewInvitation<'_>,
    ) -> Result<Invitation, ObjectError> {
        let mut writing = self.writing().await?;
        if !organization_known(&mut writing, org).await? {
            return Err(ObjectError::missing("organization not found"));
        }
        grants::require_scope(&mut writing, org, &new.granted.scope).await?;
        sql::query("DELETE FROM invitations WHERE org_id = $1 AND expires_us <= $2")
            .bind(org)
            .bind(clock::now_us())
            .execute(&mut writing)
            .await?;
        let id = clock::new_id();
        sql::query(
            "INSERT INTO invitations (id, org_id, email, role, scope, hash, created_us, created_by, expires_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&id)
        .bind(org)
        .bind(new.email)
        .bind(new.granted.role.name())
        .bind(new.granted.scope.text())
        .bind(new.secret.hash())
        .bind(clock::now_us())
        .bind(new.by)
        .bind(new.expires_us)
        .execute(&mut writing)
        .await?;
        let made = read(&mut writing, org, Which::Id(&id), &Paging::ALL).await?;
        let made = made.items.into_iter().next();
        let made = made.ok_or_else(|| ObjectError::missing("invitation not found"))?;
        writing.commit().await?;
        Ok(made)
    }

    /// Takes an invitation back.
    pub(crate) async fn invitation_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let removed =
            sql::query("DELETE FROM invitations WHERE org_id = $1 AND id = $2 AND expires_us > $3")
                .bind(org)
                .bind(id)
                .bind(clock::now_us())
                .execute(&mut writing)
                .await?;
        if removed == 0 {
            return Err(ObjectError::missing("invitation not found"));
        }
        writing.commit().await?;
        Ok(())
    }

    /// Takes an invitation up for a person who is logged in with the token of the hash `kept`; returns what they are
    /// now.
    pub(crate) async fn invitation_redeem(
        &self,
        org: &str,
        invitation: &Invitation,
        user: &str,
        kept: &str,
    ) -> Result<memberships::Membership, ObjectError> {
        let mut writing = self.writing().await?;
        let removed = sql::query("DELETE FROM invitations WHERE id = $1")
            .bind(&invitation.id)
            .execute(&mut writing)
            .await?;
        if removed == 0 {
            return Err(ObjectError::missing("invitation not found"));
        }
        let granted = &invitation.granted;
        let before = memberships::of_person(&mut writing, org, user).await?;
        let is_same =
            |it: &memberships::Membership| it.role == granted.role && it.scope == granted.scope;
        if before.iter().any(is_same) {
            return Err(ObjectError::conflict(format!(
                "you have the role {} there already",
                granted.role.name()
            )));
        }
        let offer = (org, granted, invitation.created_by.as_str());
        join(&mut writing, user, offer, kept).await?;
        let after = memberships::of_person(&mut writing, org, user).await?;
        let made = after.into_iter().find(is_same);
        let made = made.ok_or_else(|| ObjectError::missing("membership not found"))?;
        writing.commit().await?;
        Ok(made)
    }
}
