//! Organisations. There is one in local mode; it is made when the store is opened.

use sqlx::SqlitePool;

use super::{ObjectError, now_us, pack, stamp, unpack_optional};
use crate::store::{Store, StoreError};
use crate::wire::objects::Organization;

/// The organisation that is always there.
pub(crate) const DEFAULT: &str = "default";

/// The user that the system itself acts as.
pub(crate) const SYSTEM_USER: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// Makes the default organisation where it is missing.
pub(crate) async fn ensure_default(writer: &SqlitePool) -> Result<(), StoreError> {
    let there: Option<i64> = sqlx::query_scalar("SELECT 1 FROM organizations WHERE id = $1")
        .bind(DEFAULT)
        .fetch_optional(writer)
        .await?;
    if there.is_some() {
        return Ok(());
    }
    let organization = Organization {
        id: DEFAULT.to_owned(),
        uuid: super::new_id(),
        created_at: stamp(now_us()),
        created_by: SYSTEM_USER.to_owned(),
        updated_at: None,
        status: "active".to_owned(),
        plan: "custom".to_owned(),
    };
    sqlx::query("INSERT INTO organizations (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(DEFAULT)
        .bind(pack(&organization)?)
        .execute(writer)
        .await?;
    Ok(())
}

impl Store {
    /// One organisation.
    pub(crate) async fn organization_get(&self, org: &str) -> Result<Organization, ObjectError> {
        let mut connection = self.reading().await?;
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM organizations WHERE id = $1")
                .bind(org)
                .fetch_optional(&mut *connection)
                .await?;
        unpack_optional(body)?.ok_or_else(|| ObjectError::missing("organization not found"))
    }
}
