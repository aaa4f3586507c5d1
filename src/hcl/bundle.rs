//! What a run gets: files by path, with a digest that names them.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::model::hex;

/// Path of the dependency lock file in a bundle.
pub(crate) const LOCK_FILE: &str = ".terraform.lock.hcl";

/// Where the engine keeps the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A file on the runner's host, path relative to the work directory.
    Local {
        /// For example `state/terraform.tfstate`.
        path: String,
    },
    /// The state that the server keeps: the engine is told in its environment where that is.
    Hosted,
    /// A server of somebody else that speaks the engines' protocol: a state per environment below an address.
    Http {
        /// `https://HOST/PATH`.
        address: String,
        /// Behind the address of a state: where its lock is.
        lock_path: Option<String>,
        /// Instead of `LOCK`.
        lock_method: Option<String>,
        /// Instead of `UNLOCK`.
        unlock_method: Option<String>,
    },
    /// A database: a schema per environment. Its address is in the environment of the runner (`PG_CONN_STR`).
    Pg {
        /// Begins the names of the schemas.
        schema_name: String,
    },
    /// A secret in the cluster of the runner.
    Kubernetes {
        /// Namespace of the secret.
        namespace: String,
    },
    /// An S3 bucket.
    S3 {
        /// Bucket.
        bucket: String,
        /// Before the key.
        path_prefix: Option<String>,
    },
    /// A Google Cloud Storage bucket.
    Gcs {
        /// Bucket.
        bucket: String,
        /// Before the prefix.
        path_prefix: Option<String>,
    },
    /// An Azure storage container.
    Azurerm {
        /// Resource group, where needed.
        resource_group_name: Option<String>,
        /// Account.
        storage_account_name: String,
        /// Container.
        container_name: String,
        /// Before the key.
        path_prefix: Option<String>,
    },
}

impl Backend {
    /// The state of local runners.
    pub(crate) fn local() -> Self {
        Self::Local {
            path: "state/terraform.tfstate".into(),
        }
    }
}

/// Files of one run: relative path to content, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// `main.tf`, `modules/ID/VERSION/…` and maybe the lock file.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// [`digest`] of the files.
    pub(crate) digest: String,
    /// `sha256:HEX` of the lock file, where there is one.
    pub(crate) lock_digest: Option<String>,
}

impl Bundle {
    /// Makes a bundle of its files.
    pub(crate) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            digest: digest(
                files
                    .iter()
                    .map(|(path, content)| (path.as_str(), content.as_slice())),
            ),
            lock_digest: files.get(LOCK_FILE).map(|lock| sha256(lock)),
            files,
        }
    }
}

/// `sha256:HEX` over a version line, then, per file in the order of its path's bytes, path and content,
/// each after its length as eight bytes, high first. The lock file is left out: it has a digest of its
/// own, so that the same code is the same bundle whatever providers were locked.
pub(crate) fn digest<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let files: BTreeMap<&str, &[u8]> = files.into_iter().collect();
    let mut hash = Sha256::new();
    hash.update(b"windlass bundle 1\n");
    for (path, content) in files.into_iter().filter(|(path, _)| *path != LOCK_FILE) {
        for part in [path.as_bytes(), content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    named(&hash.finalize())
}

/// `sha256:HEX` of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

fn named(hash: &[u8]) -> String {
    format!("sha256:{}", hex(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_every_byte_and_on_where_a_path_ends() {
        let of = |files: &[(&str, &str)]| digest(files.iter().map(|(p, c)| (*p, c.as_bytes())));
        let one = of(&[("main.tf", "a"), ("modules/m/1/main.tf", "b")]);
        assert_eq!(
            one,
            of(&[("modules/m/1/main.tf", "b"), ("main.tf", "a")]),
            "order means nothing"
        );
        assert_ne!(one, of(&[("main.tf", "b"), ("modules/m/1/main.tf", "a")]));
        assert_ne!(of(&[("ab", "c")]), of(&[("a", "bc")]));
        assert_eq!(
            one,
            of(&[
                ("main.tf", "a"),
                ("modules/m/1/main.tf", "b"),
                (LOCK_FILE, "x")
            ])
        );
        assert_eq!(
            of(&[]),
            "sha256:8408155bd0d2d51baf28f2f912556d1a6444938ec50c06ba8a66606aa26c87a0"
        );
    }
}
