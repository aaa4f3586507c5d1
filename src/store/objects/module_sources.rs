//! Module code that clients uploaded: bytes by digest, and which organisation may use them.

use super::{ObjectError, now_us, organization_known};
use crate::store::Store;

impl Store {
    /// Keeps uploaded code, given in its canonical form, and lets `org` use it. Returns its digest.
    pub(crate) async fn module_source_put(
        &self,
        org: &str,
        packed: &[u8],
    ) -> Result<String, ObjectError> {
        let digest = self.blob_put(packed)?;
        let mut transaction = self.writing().await?;
        if !organization_known(&mut transaction, org).await? {
            return Err(ObjectError::missing("organization not found"));
        }
        sqlx::query(
            "INSERT INTO module_uploads (org_id, digest, created_us) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(&digest)
        .bind(now_us())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(digest)
    }

    /// Whether `org` uploaded code with this digest.
    pub(crate) async fn module_source_has(
        &self,
        org: &str,
        digest: &str,
    ) -> Result<bool, ObjectError> {
        let mut connection = self.reading().await?;
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM module_uploads WHERE org_id = $1 AND digest = $2")
                .bind(org)
                .bind(digest)
                .fetch_optional(&mut *connection)
                .await?;
        Ok(found.is_some() && self.blob_has(digest))
    }
}
