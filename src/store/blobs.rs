//! Bytes by their digest, as files; written once, never changed.

use std::io::ErrorKind;

use sha2::{Digest, Sha256};

use super::{Store, StoreError, place};

/// `sha256:HEX` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
    }
    text
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

impl Store {
    /// Keeps bytes; returns their digest. Durable when it returns.
    pub(crate) async fn blob_put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = digest(bytes);
        let path = self.place().blobs().join(&digest["sha256:".len()..]);
        if !path.exists() {
            place::write_whole(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Whether bytes with this digest are kept.
    pub(crate) async fn blob_has(&self, digest: &str) -> Result<bool, StoreError> {
        Ok(is_digest(digest)
            && self
                .place()
                .blobs()
                .join(&digest["sha256:".len()..])
                .is_file())
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
        let path = self.place().blobs().join(&digest["sha256:".len()..]);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refused("missing"),
            _ => StoreError::file(&path, "read", error),
        })?;
        if self::digest(&bytes) != digest {
            return Err(refused("altered"));
        }
        Ok(bytes)
    }
}
