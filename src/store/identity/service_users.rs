//! Service users: programs of one organisation, each with one token.

use std::collections::BTreeMap;

use super::Kind;
use super::grants::{self, Granted};
use super::tokens::{self, Secret};
use super::users::{self, NewUser};
use crate::store::Store;
use crate::store::objects::{Listed, ObjectError, Paging, organization_known};
use crate::store::sql::{self, Builder, Connection, Row};

/// A service user, and what is known of its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceUser {
    /// The user.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// When the token was made.
    pub(crate) generated_us: i64,
    /// By whom.
    pub(crate) generated_by: String,
    /// When it is over.
    pub(crate) expires_us: i64,
    /// When it was last used.
    pub(crate) used_us: Option<i64>,
    /// What it may do, by scope and role.
    pub(crate) roles: Vec<Granted>,
}

fn missing() -> ObjectError {
    ObjectError::missing("service user not found")
}

/// Reads service users of an organisation from `after` on.
async fn read(
    connection: &mut Connection,
    org: &str,
    only: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<ServiceUser>, ObjectError> {
    let mut query = Builder::new(
        "SELECT u.id, u.name, t.created_us, t.created_by, t.expires_us, t.used_us FROM users u \
         JOIN tokens t ON t.user_id = u.id AND t.kind = 'service' \
         WHERE u.kind = 'service' AND u.org_id = ",
    );
    query.push_bind(org.to_owned());
    query.push(" AND u.id > ").push_bind(after.to_owned());
    if let Some(id) = only {
        query.push(" AND u.id = ").push_bind(id.to_owned());
    }
    query.push(" ORDER BY u.id LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    let mut users = Vec::with_capacity(rows.len());
    for row in rows {
        users.push(ServiceUser {
            id: row.get("id")?,
            name: row.get("name")?,
            generated_us: row.get("created_us")?,
            generated_by: row.get("created_by")?,
            expires_us: row.get("expires_us")?,
            used_us: row.get("used_us")?,
            roles: Vec::new(),
        });
    }
    let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
    let mut granted: BTreeMap<String, Vec<Granted>> =
        grants::of_users(connection, org, &ids).await?;
    for user in &mut users {
        user.roles = granted.remove(&user.id).unwrap_or_default();
    }
    Ok(users)
}

async fn read_one(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<ServiceUser, ObjectError> {
    let found = read(connection, org, Some(id), "", 1).await?;
    found.into_iter().next().ok_or_else(missing)
}

impl Store {
    /// Service users by id.
    pub(crate) async fn service_user_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<ServiceUser>, ObjectError> {
        let after = paging.after.as_ref().and_then(|key| key.first());
        let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let mut reading = self.reading().await?;
        let after = after.map_or("", String::as_str);
        let mut items = read(&mut reading, org, None, after, limit).await?;
        let more = items.len() > paging.limit;
        items.truncate(paging.limit);
        let next = items.last().filter(|_| more);
        Ok(Listed {
            next: next.map(|user| vec![user.id.clone()]),
            items,
        })
    }

    /// Makes one with its token.
    pub(crate) async fn service_user_create(
        &self,
        org: &str,
        name: &str,
        roles: &[Granted],
        by: &str,
        token: (&Secret, i64),
    ) -> Result<ServiceUser, ObjectError> {
        let mut writing = self.writing().await?;
        if !organization_known(&mut writing, org).await? {
            return Err(ObjectError::conflict("organization not found"));
        }
        let user = NewUser {
            kind: Kind::Service,
            name,
            email: None,
            by,
        };
        let id = users::insert(&mut writing, Some(org), &user).await?;
        grants::replace(&mut writing, org, &id, roles, by).await?;
        tokens::keep(
            &mut writing,
            token.0,
            &id,
            tokens::Kind::Service,
            by,
            token.1,
        )
        .await?;
        let made = read_one(&mut writing, org, &id).await?;
        writing.commit().await?;
        Ok(made)
    }

    /// Gives it these roles and no others.
    pub(crate) async fn service_user_roles(
        &self,
        org: &str,
        id: &str,
        roles: &[Granted],
        by: &str,
    ) -> Result<ServiceUser, ObjectError> {
        let mut writing = self.writing().await?;
        read_one(&mut writing, org, id).await?;
        grants::replace(&mut writing, org, id, roles, by).await?;
        let changed = read_one(&mut writing, org, id).await?;
        writing.commit().await?;
        Ok(changed)
    }

    /// Gives it another token; the one before is over.
    pub(crate) async fn service_user_regenerate(
        &self,
        org: &str,
        id: &str,
        by: &str,
        token: (&Secret, i64),
    ) -> Result<ServiceUser, ObjectError> {
        let mut writing = self.writing().await?;
        read_one(&mut writing, org, id).await?;
        tokens::forget_all(&mut writing, id, tokens::Kind::Service).await?;
        tokens::keep(
            &mut writing,
            token.0,
            id,
            tokens::Kind::Service,
            by,
            token.1,
        )
        .await?;
        let changed = read_one(&mut writing, org, id).await?;
        writing.commit().await?;
        Ok(changed)
    }

    /// Removes it; its token is over.
    pub(crate) async fn service_user_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let removed =
            sql::query("DELETE FROM users WHERE id = $1 AND org_id = $2 AND kind = 'service'")
                .bind(id)
                .bind(org)
                .execute(&mut writing)
                .await?;
        if removed == 0 {
            return Err(missing());
        }
        writing.commit().await?;
        Ok(())
    }
}
