//! Memberships: what people may do in an organisation. Somebody always administers it.

use super::grants::{self, Granted};
use crate::model::access::{Role, Scope};
use crate::store::objects::{Listed, ObjectError, Paging};
use crate::store::sql::{self, Builder, Connection, Row};
use crate::store::{Store, StoreError};

/// A role of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Of the grant.
    pub(crate) id: String,
    /// The organisation.
    pub(crate) org: String,
    /// When it was granted.
    pub(crate) created_us: i64,
    /// To whom.
    pub(crate) user: String,
    /// Their name.
    pub(crate) name: String,
    /// Their address, where it is known.
    pub(crate) email: Option<String>,
    /// Whether they have signed in at an issuer.
    pub(crate) signs_on: bool,
    /// What.
    pub(crate) role: Role,
    /// Where.
    pub(crate) scope: Scope,
}

/// Which memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of<'a> {
    /// All of an organisation, or those of one person in it.
    Organization(&'a str, Option<&'a str>),
    /// All of a person, or those in one organisation.
    Person(&'a str, Option<&'a str>),
}

async fn read(
    connection: &mut Connection,
    of: Of<'_>,
    paging: &Paging,
) -> Result<Listed<Membership>, StoreError> {
    let (org, user) = match of {
        Of::Organization(org, user) => (Some(org), user),
        Of::Person(user, org) => (org, Some(user)),
    };
    let after = paging.after.as_ref().and_then(|key| key.first());
    let mut query = Builder::new(
        "SELECT g.id, g.org_id, g.created_us, g.role, g.scope, u.id AS user_id, u.name, u.email, \
         (SELECT COUNT(*) FROM sso_subjects WHERE user_id = u.id) AS subjects \
         FROM grants g JOIN users u ON u.id = g.user_id WHERE u.kind = 'person' AND g.id > ",
    );
    query.push_bind(after.cloned().unwrap_or_default());
    if let Some(org) = org {
        query.push(" AND g.org_id = ").push_bind(org.to_owned());
    }
    if let Some(user) = user {
        query.push(" AND u.id = ").push_bind(user.to_owned());
    }
    let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
    query.push(" ORDER BY g.id LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    let more = rows.len() > paging.limit;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.iter().take(paging.limit) {
        let stored = Granted::stored(row.text("role")?, row.text("scope")?);
        let Some(Granted { role, scope }) = stored else {
            continue;
        };
        items.push(Membership {
            id: row.get("id")?,
            org: row.get("org_id")?,
            created_us: row.get("created_us")?,
            user: row.get("user_id")?,
            name: row.get("name")?,
            email: row.get("email")?,
            signs_on: row.get::<i64>("subjects")? > 0,
            role,
            scope,
        });
    }
    let next = items.last().filter(|_| more);
    Ok(Listed {
        next: next.map(|membership: &Membership| vec![membership.id.clone()]),
        items,
    })
}

/// What a person may do in an organisation.
pub(super) async fn of_person(
    connection: &mut Connection,
    org: &str,
    user: &str,
) -> Result<Vec<Membership>, StoreError> {
    let of = Of::Organization(org, Some(user));
    Ok(read(connection, of, &Paging::ALL).await?.items)
}

/// Organisations in which a person may do anything, by id.
pub(super) async fn organizations(
    connection: &mut Connection,
    user: &str,
) -> Result<Vec<String>, StoreError> {
    Ok(
        sql::query("SELECT DISTINCT org_id FROM grants WHERE user_id = $1 ORDER BY org_id")
            .bind(user)
            .fetch_all(connection)
            .await?,
    )
}

/// Refuses to leave an organisation without a person who administers it.
async fn require_administrator(
    connection: &mut Connection,
    org: &str,
    refusal: &str,
) -> Result<(), ObjectError> {
    let found: Option<i64> = sql::query(
        "SELECT 1 FROM grants g JOIN users u ON u.id = g.user_id \
         WHERE g.org_id = $1 AND g.role = $2 AND g.scope = '' AND u.kind = 'person' LIMIT 1",
    )
    .bind(org)
    .bind(Role::Admin.name())
    .fetch_optional(connection)
    .await?;
    match found {
        Some(_) => Ok(()),
        None => Err(ObjectError::conflict(refusal)),
    }
}

const LAST: &str = "the last admin of an organization cannot be removed";

impl Store {
    /// Memberships by id.
    pub(crate) async fn membership_list(
        &self,
        of: Of<'_>,
        paging: &Paging,
    ) -> Result<Listed<Membership>, StoreError> {
        let mut reading = self.reading().await?;
        read(&mut reading, of, paging).await
    }

    /// Gives a member these roles and no others.
    pub(crate) async fn membership_replace(
        &self,
        org: &str,
        user: &str,
        roles: &[Granted],
        by: &str,
    ) -> Result<Listed<Membership>, ObjectError> {
        let mut writing = self.writing().await?;
        let of = Of::Organization(org, Some(user));
        if read(&mut writing, of, &Paging::ALL).await?.items.is_empty() {
            return Err(ObjectError::missing("user not found"));
        }
        if user == by {
            return Err(ObjectError::conflict(
                "users may not change their own memberships",
            ));
        }
        grants::replace(&mut writing, org, user, roles, by).await?;
        require_administrator(&mut writing, org, LAST).await?;
        let changed = read(&mut writing, of, &Paging::ALL).await?;
        writing.commit().await?;
        Ok(changed)
    }

    /// Takes a role away.
    pub(crate) async fn membership_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let removed = sql::query(
            "DELETE FROM grants WHERE org_id = $1 AND id = $2 \
             AND user_id IN (SELECT id FROM users WHERE kind = 'person')",
        )
        .bind(org)
        .bind(id)
        .execute(&mut writing)
        .await?;
        if removed == 0 {
            return Err(ObjectError::missing("membership not found"));
        }
        require_administrator(&mut writing, org, LAST).await?;
        writing.commit().await?;
        Ok(())
    }

    /// Takes all roles of a person in an organisation away; whoever is in no other is forgotten, sessions and all.
    pub(crate) async fn member_delete(&self, org: &str, user: &str) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let of = Of::Organization(org, Some(user));
        if read(&mut writing, of, &Paging::ALL).await?.items.is_empty() {
            return Err(ObjectError::missing("user not found"));
        }
        for query in [
            "DELETE FROM grants WHERE org_id = $1 AND user_id = $2",
            "DELETE FROM users WHERE $1 <> '' AND id = $2 AND NOT EXISTS (SELECT 1 FROM grants WHERE user_id = $2)",
        ] {
            sql::query(query)
                .bind(org)
                .bind(user)
                .execute(&mut writing)
                .await?;
        }
        require_administrator(&mut writing, org, LAST).await?;
        writing.commit().await?;
        Ok(())
    }

    /// Organisations in which a person may do anything, by id.
    pub(crate) async fn organizations_of(&self, user: &str) -> Result<Vec<String>, StoreError> {
        let mut reading = self.reading().await?;
        organizations(&mut reading, user).await
    }

    /// Who may do anything in a project or an environment, with their highest role, by user id.
    pub(crate) async fn users_of(
        &self,
        org: &str,
        project_uuid: &str,
        env_uuid: Option<&str>,
    ) -> Result<Vec<(String, super::Kind, Role)>, StoreError> {
        let mut reading = self.reading().await?;
        let mut scopes = vec![
            Scope::Organization.text(),
            Scope::Project(project_uuid.to_owned()).text(),
        ];
        scopes.extend(env_uuid.map(|uuid| Scope::Environment(uuid.to_owned()).text()));
        let mut query = Builder::new(
            "SELECT u.id, u.kind, g.role FROM grants g JOIN users u ON u.id = g.user_id WHERE g.org_id = ",
        );
        query.push_bind(org.to_owned());
        query.push(" AND g.scope IN (");
        query.push_values(scopes).push(") ORDER BY u.id");
        let rows: Vec<(String, String, String)> = query.build().fetch_all(&mut reading).await?;
        let mut found: Vec<(String, super::Kind, Role)> = Vec::new();
        for (user, kind, role) in rows {
            let Some(role) = Role::parse(&role) else {
                continue;
            };
            match found.last_mut() {
                // The order of roles is from the highest down.
                Some((last, _, highest)) if *last == user => *highest = role.min(*highest),
                Some(_) | None => found.push((user, super::Kind::parse(&kind)?, role)),
            }
        }
        Ok(found)
    }
}
