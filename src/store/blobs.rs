//! Bytes by their digest; written once, never changed. Files beside SQLite, rows of a table on PostgreSQL, where every
//! server must find what one of them keeps.

use std::io::ErrorKind;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::sql::{self, Database};
use super::{Store, StoreError, place};
use crate::model::hex;

/// `sha256:HEX` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Whether `text` has the shape of a digest; only such a text ever becomes part of a path.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Where bytes lie.
enum Shelf {
    File(PathBuf),
    Table,
}

impl Store {
    /// Keeps bytes; returns their digest. Durable when it returns.
    pub(crate) async fn blob_put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = digest(bytes);
        match self.shelf(&digest) {
            Shelf::File(path) => {
                if !path.exists() {
                    place::write_whole(&path, bytes)?;
                }
            }
            Shelf::Table if self.blob_has(&digest).await? => {}
            Shelf::Table => {
                let mut writing = self.writing().await?;
                sql::query(
                    "INSERT INTO blobs (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
                )
                .bind(&digest)
                .bind(bytes)
                .execute(&mut writing)
                .await?;
                writing.commit().await?;
            }
        }
        Ok(digest)
    }

    /// Whether bytes with this digest are kept.
    pub(crate) async fn blob_has(&self, digest: &str) -> Result<bool, StoreError> {
        if !is_digest(digest) {
            return Ok(false);
        }
        match self.shelf(digest) {
            Shelf::File(path) => Ok(path.is_file()),
            Shelf::Table => {
                let mut reading = self.reading().await?;
                let found: Option<i64> = sql::query("SELECT 1 FROM blobs WHERE digest = $1")
                    .bind(digest)
                    .fetch_optional(&mut reading)
                    .await?;
                Ok(found.is_some())
            }
        }
    }

    /// Reads bytes and checks that they are still what their digest says.
    pub(crate) async fn blob_get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let refused = |what| StoreError::Blob {
            digest: digest.to_owned(),
            what,
        };
        if !is_digest(digest) {
            return Err(refused("missing"));
        }
        let bytes = match self.shelf(digest) {
            Shelf::File(path) => std::fs::read(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => refused("missing"),
                _ => StoreError::file(&path, "read", error),
            })?,
            Shelf::Table => {
                let mut reading = self.reading().await?;
                sql::query("SELECT bytes FROM blobs WHERE digest = $1")
                    .bind(digest)
                    .fetch_optional(&mut reading)
                    .await?
                    .ok_or_else(|| refused("missing"))?
            }
        };
        if self::digest(&bytes) != digest {
            return Err(refused("altered"));
        }
        Ok(bytes)
    }

    fn shelf(&self, digest: &str) -> Shelf {
        match self.inner.database {
            Database::Sqlite { .. } => {
                Shelf::File(self.place().blobs().join(&digest["sha256:".len()..]))
            }
            Database::Postgres { .. } => Shelf::Table,
        }
    }
}
