//! Code of modules: which digest a version has that was fetched after it was saved, and who uploaded what.

use super::Connection;
use crate::store::sql;
use crate::store::{StoreError, clock};

/// The digest of a version's code, where it was fetched.
pub(crate) async fn digest_of(
    connection: &mut Connection,
    version: &str,
) -> Result<Option<String>, StoreError> {
    Ok(
        sql::query("SELECT digest FROM module_code WHERE version_id = $1")
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
    sql::query(
        "INSERT INTO module_code (version_id, digest) VALUES ($1, $2) ON CONFLICT (version_id) DO NOTHING",
    )
    .bind(version)
    .bind(digest)
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers the digest of a source (`git::…`) that was carried here; the last one counts. Sources and versions share a table:
/// no version begins like a source.
pub(crate) async fn remember_source(
    connection: &mut Connection,
    source: &str,
    digest: &str,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO module_code (version_id, digest) VALUES ($1, $2) \
         ON CONFLICT (version_id) DO UPDATE SET digest = excluded.digest",
    )
    .bind(source)
    .bind(digest)
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that an organisation uploaded this code.
pub(crate) async fn uploaded(
    connection: &mut Connection,
    org: &str,
    digest: &str,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO module_uploads (org_id, digest, created_us) VALUES ($1, $2, $3) \
         ON CONFLICT (org_id, digest) DO NOTHING",
    )
    .bind(org)
    .bind(digest)
    .bind(clock::now_us())
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether an organisation uploaded this code.
pub(crate) async fn is_uploaded(
    connection: &mut Connection,
    org: &str,
    digest: &str,
) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sql::query("SELECT 1 FROM module_uploads WHERE org_id = $1 AND digest = $2")
            .bind(org)
            .bind(digest)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}
