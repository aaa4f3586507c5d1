//! Organisations. There is one in local mode; it is made when the store is opened.

use super::{ObjectError, now_us, organization_known, pack, stamp, unpack_optional};
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
    if organization_known(connection, id).await? {
        return Ok(());
    }
    let organization = Organization {
        id: id.to_owned(),
        uuid: super::new_id(),
        created_at: stamp(now_us()),
        created_by: SYSTEM_USER.to_owned(),
        updated_at: None,
        status: "active".to_owned(),
        plan: "custom".to_owned(),
    };
    sql::query("INSERT INTO organizations (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(pack(&organization)?)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
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
