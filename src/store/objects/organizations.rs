//! Organisations. There is one in local mode; it is made when the store is opened.

use super::{ObjectError, now_us, organization_known, pack, stamp, unpack_optional};
use crate::model::access::{Role, Scope};
use crate::store::identity::grants;
use crate::store::sql::{self, Connection, Database};
use crate::store::{Store, StoreError};
use crate::wire::objects::Organization;

/// The organisation that is always there.
pub(crate) const DEFAULT: &str = "default";

/// The user that the system itself acts as.
pub(crate) const SYSTEM_USER: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// Makes the default organisation where it is missing.
pub(in crate::store) async fn ensure_default(database: &Database) -> Result<(), StoreError> {
    let mut reading = database.reading().await?;
    if organization_known(&mut reading, DEFAULT).await? {
        return Ok(());
    }
    drop(reading);
    let mut writing = database.writing().await?;
    ensure(&mut writing, DEFAULT).await?;
    Ok(writing.commit().await?)
}

/// Makes an organisation where it is missing.
pub(crate) async fn ensure(connection: &mut Connection, id: &str) -> Result<(), StoreError> {
    if !organization_known(connection, id).await? {
        insert(connection, id, SYSTEM_USER).await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    id: &str,
    by: &str,
) -> Result<Organization, StoreError> {
    let organization = Organization {
        id: id.to_owned(),
        uuid: super::new_id(),
        created_at: stamp(now_us()),
        created_by: by.to_owned(),
        updated_at: None,
        status: "active".to_owned(),
        plan: "custom".to_owned(),
    };
    sql::query("INSERT INTO organizations (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(pack(&organization)?)
        .execute(connection)
        .await?;
    Ok(organization)
}

impl Store {
    /// Makes an organisation that a person administers who is in none yet.
    pub(crate) async fn organization_create(
        &self,
        id: &str,
        by: &str,
    ) -> Result<Option<Organization>, ObjectError> {
        let mut writing = self.writing().await?;
        let member: Vec<String> =
            sql::query("SELECT DISTINCT org_id FROM grants WHERE user_id = $1 ORDER BY org_id")
                .bind(by)
                .fetch_all(&mut writing)
                .await?;
        if !member.is_empty() {
            return Err(ObjectError::conflict(format!(
                "user {by} is already a member of organizations [{}]",
                member.join(" ")
            )));
        }
        if organization_known(&mut writing, id).await? {
            return Ok(None);
        }
        let made = insert(&mut writing, id, by).await?;
        grants::insert(&mut writing, id, by, Role::Admin, &Scope::Organization, by).await?;
        writing.commit().await?;
        Ok(Some(made))
    }

    /// The organisation that a project or an environment is in, and its project, by UUID.
    pub(crate) async fn place_of(
        &self,
        scope: &Scope,
    ) -> Result<Option<(String, String)>, StoreError> {
        let (query, uuid) = match scope {
            Scope::Organization => return Ok(None),
            Scope::Project(uuid) => (
                sql::query("SELECT org_id, uuid FROM projects WHERE uuid = $1"),
                uuid,
            ),
            Scope::Environment(uuid) => (
                sql::query(
                    "SELECT e.org_id, p.uuid FROM environments e \
                     JOIN projects p ON p.org_id = e.org_id AND p.id = e.project_id WHERE e.uuid = $1",
                ),
                uuid,
            ),
        };
        let mut reading = self.reading().await?;
        Ok(query.bind(uuid).fetch_optional(&mut reading).await?)
    }

    /// One organisation.
    pub(crate) async fn organization_get(&self, org: &str) -> Result<Organization, ObjectError> {
        let mut connection = self.reading().await?;
        let body: Option<String> = sql::query("SELECT body FROM organizations WHERE id = $1")
            .bind(org)
            .fetch_optional(&mut connection)
            .await?;
        unpack_optional(body)?.ok_or_else(|| ObjectError::missing("organization not found"))
    }
}
