//! Code of modules that was not at hand when they were saved: which digest a version came to have.

use super::Connection;
use crate::store::StoreError;

/// The digest of a version's code, where it was fetched.
pub(crate) async fn digest_of(
    connection: &mut Connection,
    version: &str,
) -> Result<Option<String>, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT digest FROM module_code WHERE version_id = $1")
            .bind(version)
            .fetch_optional(connection)
            .await?,
    )
}

/// Remembers the digest of a version's code; the first one stays.
pub(crate) async fn remember(
    connection: &mut Connection,
    version: &str,
    digest: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO module_code (version_id, digest) VALUES ($1, $2) ON CONFLICT (version_id) DO NOTHING",
    )
    .bind(version)
    .bind(digest)
    .execute(connection)
    .await?;
    Ok(())
}
