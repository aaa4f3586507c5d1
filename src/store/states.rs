//! States that this server keeps for engines: versions, sealed under the key ring, the lock on each, and what attempts
//! prove themselves with.
//!
//! Rows only. Which write is taken and whose lock counts is decided in `deploy::hosted`.

use miniz_oxide::{deflate, inflate};

use super::sql::{self, Connection};
use super::{Store, StoreError, clock};

/// A state is no longer than this, also when it is unpacked.
const MOST: usize = 256 * 1024 * 1024;
/// How hard a state is packed: it is written while an engine waits.
const LEVEL: u8 = 1;

/// The state of an environment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the last version; 0 before the first.
    pub(crate) version: i64,
    /// Whether engines are given that version: one may have deleted it.
    pub(crate) present: bool,
    /// Who may write.
    pub(crate) lock: Option<Lock>,
    /// The lock that was let go of last.
    pub(crate) released_id: Option<String>,
}

/// A lock as its engine asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The engine chose it.
    pub(crate) id: String,
    /// What it said about itself, as it said it.
    pub(crate) info: Vec<u8>,
    /// Whose engine it is.
    pub(crate) run: String,
    /// Which attempt of that run.
    pub(crate) attempt: u32,
    /// Which engine process of that attempt, from 1.
    pub(crate) process: u32,
    /// Since when.
    pub(crate) at_us: i64,
}

/// A version without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// From 1, in the order of writes.
    pub(crate) version: i64,
    /// The engine's own number.
    pub(crate) serial: i64,
    /// The engine's name for the whole history.
    pub(crate) lineage: String,
    /// Bytes.
    pub(crate) size: i64,
    /// The run that wrote it.
    pub(crate) run: Option<String>,
    /// Who restored it.
    pub(crate) by: Option<String>,
    /// When.
    pub(crate) at_us: i64,
}

/// An attempt that proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The environment whose state it may use.
    pub(crate) env_uuid: String,
    /// Its run.
    pub(crate) run: String,
    /// Which attempt.
    pub(crate) attempt: u32,
}

type HeadColumns = (
    i64,
    i64,
    Option<String>,
    Option<Vec<u8>>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// The state of an environment, if there ever was one.
pub(crate) async fn head(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Option<Head>, StoreError> {
    let row: Option<HeadColumns> = sql::query(
        "SELECT version, present, lock_id, lock_info, lock_run, lock_attempt, lock_process, locked_us, \
         released_id FROM hosted_states WHERE env_uuid = $1",
    )
    .bind(env_uuid)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Head {
        version: row.0,
        present: row.1 != 0,
        lock: row.2.map(|id| Lock {
            id,
            info: row.3.unwrap_or_default(),
            run: row.4.unwrap_or_default(),
            attempt: u32::try_from(row.5.unwrap_or(0)).unwrap_or(0),
            process: u32::try_from(row.6.unwrap_or(0)).unwrap_or(0),
            at_us: row.7.unwrap_or(0),
        }),
        released_id: row.8,
    }))
}

/// Stores it.
pub(crate) async fn put_head(
    connection: &mut Connection,
    env_uuid: &str,
    head: &Head,
) -> Result<(), StoreError> {
    let lock = head.lock.as_ref();
    sql::query(
        "INSERT INTO hosted_states (env_uuid, version, present, lock_id, lock_info, lock_run, lock_attempt, \
         lock_process, locked_us, released_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (env_uuid) DO UPDATE SET \
         version = excluded.version, present = excluded.present, lock_id = excluded.lock_id, \
         lock_info = excluded.lock_info, lock_run = excluded.lock_run, lock_attempt = excluded.lock_attempt, \
         lock_process = excluded.lock_process, locked_us = excluded.locked_us, released_id = excluded.released_id",
    )
    .bind(env_uuid)
    .bind(head.version)
    .bind(i64::from(head.present))
    .bind(lock.map(|lock| lock.id.as_str()))
    .bind(lock.map(|lock| lock.info.clone()))
    .bind(lock.map(|lock| lock.run.as_str()))
    .bind(lock.map(|lock| i64::from(lock.attempt)))
    .bind(lock.map(|lock| i64::from(lock.process)))
    .bind(lock.map(|lock| lock.at_us))
    .bind(&head.released_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets go of what an attempt still holds; returns of which environments.
pub(crate) async fn release(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
) -> Result<u64, StoreError> {
    let released = sql::query(
        "UPDATE hosted_states SET released_id = lock_id, lock_id = NULL, lock_info = NULL, lock_run = NULL, \
         lock_attempt = NULL, lock_process = NULL, locked_us = NULL WHERE lock_run = $1 AND lock_attempt = $2",
    )
    .bind(run)
    .bind(i64::from(attempt))
    .execute(connection)
    .await?;
    Ok(released)
}

type VersionColumns = (i64, i64, String, i64, Option<String>, Option<String>, i64);

fn read_version(row: VersionColumns) -> Version {
    Version {
        version: row.0,
        serial: row.1,
        lineage: row.2,
        size: row.3,
        run: row.4,
        by: row.5,
        at_us: row.6,
    }
}

/// Versions that are kept, newest first.
pub(crate) async fn versions(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Vec<Version>, StoreError> {
    let rows: Vec<VersionColumns> = sql::query(
        "SELECT version, serial, lineage, size, run, written_by, created_us FROM hosted_versions \
         WHERE env_uuid = $1 ORDER BY version DESC",
    )
    .bind(env_uuid)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(read_version).collect())
}

/// One version, if it is kept.
pub(crate) async fn version(
    connection: &mut Connection,
    env_uuid: &str,
    version: i64,
) -> Result<Option<Version>, StoreError> {
    let row: Option<VersionColumns> = sql::query(
        "SELECT version, serial, lineage, size, run, written_by, created_us FROM hosted_versions \
         WHERE env_uuid = $1 AND version = $2",
    )
    .bind(env_uuid)
    .bind(version)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(read_version))
}

/// Removes versions older than the newest `keep`.
pub(crate) async fn prune(
    connection: &mut Connection,
    env_uuid: &str,
    newest: i64,
    keep: i64,
) -> Result<(), StoreError> {
    sql::query("DELETE FROM hosted_versions WHERE env_uuid = $1 AND version <= $2")
        .bind(env_uuid)
        .bind(newest - keep)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes everything that is kept of an environment.
pub(crate) async fn forget(connection: &mut Connection, env_uuid: &str) -> Result<(), StoreError> {
    for query in [
        sql::query("DELETE FROM hosted_versions WHERE env_uuid = $1"),
        sql::query("DELETE FROM hosted_states WHERE env_uuid = $1"),
        sql::query("DELETE FROM hosted_credentials WHERE env_uuid = $1"),
        sql::query("DELETE FROM state_keys WHERE env_uuid = $1"),
    ] {
        query.bind(env_uuid).execute(connection).await?;
    }
    Ok(())
}

/// Lets an attempt prove itself with what has this hash.
pub(crate) async fn admit(
    connection: &mut Connection,
    hash: &str,
    holder: &Holder,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO hosted_credentials (hash, env_uuid, run, attempt, created_us) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(hash)
    .bind(&holder.env_uuid)
    .bind(&holder.run)
    .bind(i64::from(holder.attempt))
    .bind(clock::now_us())
    .execute(connection)
    .await?;
    Ok(())
}

/// Nothing that an attempt was given counts any more.
pub(crate) async fn dismiss(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
) -> Result<(), StoreError> {
    sql::query("DELETE FROM hosted_credentials WHERE run = $1 AND attempt = $2")
        .bind(run)
        .bind(i64::from(attempt))
        .execute(connection)
        .await?;
    Ok(())
}

/// The attempt that proves itself with what has this hash: only one that is not over and whose run has the environment.
pub(crate) async fn holder(
    connection: &mut Connection,
    env_uuid: &str,
    hash: &str,
) -> Result<Option<Holder>, StoreError> {
    let row: Option<(String, i64)> = sql::query(
        "SELECT c.run, c.attempt FROM hosted_credentials c \
         JOIN attempts a ON a.run = c.run AND a.attempt = c.attempt \
         JOIN places p ON p.env_uuid = c.env_uuid AND p.lease_run = c.run \
         WHERE c.hash = $1 AND c.env_uuid = $2 AND a.ended_us IS NULL",
    )
    .bind(hash)
    .bind(env_uuid)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(run, attempt)| Holder {
        env_uuid: env_uuid.to_owned(),
        run,
        attempt: u32::try_from(attempt).unwrap_or(0),
    }))
}

impl Store {
    /// The content of a version as it is stored: packed, then sealed. Made before a transaction is begun, for it takes a while.
    pub(crate) fn pack_state(&self, env_uuid: &str, bytes: &[u8]) -> Vec<u8> {
        self.seal(&place(env_uuid), &deflate::compress_to_vec(bytes, LEVEL))
    }

    /// Keeps a version.
    pub(crate) async fn put_state(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
        version: &Version,
        packed: &[u8],
    ) -> Result<(), StoreError> {
        sql::query(
            "INSERT INTO hosted_versions (env_uuid, version, serial, lineage, size, sealed, run, written_by, created_us) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(env_uuid)
        .bind(version.version)
        .bind(version.serial)
        .bind(&version.lineage)
        .bind(version.size)
        .bind(packed)
        .bind(&version.run)
        .bind(&version.by)
        .bind(version.at_us)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The content of a version, if it is kept.
    pub(crate) async fn hosted_state(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
        version: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Vec<u8>> =
            sql::query("SELECT sealed FROM hosted_versions WHERE env_uuid = $1 AND version = $2")
                .bind(env_uuid)
                .bind(version)
                .fetch_optional(connection)
                .await?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let what = "a hosted state";
        let packed = self.unseal(what, &place(env_uuid), &sealed)?;
        inflate::decompress_to_vec_with_limit(&packed, MOST)
            .map(Some)
            .map_err(|error| {
                let error = serde::de::Error::custom(error);
                StoreError::document(what, error)
            })
    }
}

/// What a version is sealed for. The number is no part of it: a version that is put in another's place is one that the
/// engine once wrote for this very environment.
pub(super) fn place(env_uuid: &str) -> String {
    format!("state/{env_uuid}")
}
