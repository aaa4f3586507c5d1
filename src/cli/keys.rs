//! Keys that this client keeps, so that a later command can read what a killed one asked for.
//!
//! One file per recipient in `DATA/keys`, named by the SHA-256 of the recipient, 0600, in the format
//! of `age-keygen`; removed after 30 days unless the settings say otherwise. Nothing here is printed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::files;
use crate::model::hex;
use crate::seal::key::{Identity, Recipient};
use crate::wire::deployments::RecipientSpec;

/// The keys of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore {
    dir: PathBuf,
}

impl KeyStore {
    /// The keys below a data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("keys"),
        }
    }

    fn path(&self, recipient: &str) -> PathBuf {
        self.dir.join(hex(&Sha256::digest(recipient.as_bytes())))
    }

    /// Keeps a key; durable when this returns.
    pub(crate) fn keep(&self, identity: &Identity) -> anyhow::Result<()> {
        files::private_dir(&self.dir)?;
        let recipient = identity.recipient().to_string();
        let text = zeroize::Zeroizing::new(format!(
            "# public key: {recipient}\n{}\n",
            identity.expose_secret().as_str()
        ));
        files::write_private(&self.path(&recipient), text.as_bytes())
            .context("could not keep the key; `--no-keep-key` deploys without")
    }

    /// The key of a recipient, if it is kept here.
    pub(crate) fn find(&self, recipient: &str) -> anyhow::Result<Option<Identity>> {
        let text = match std::fs::read_to_string(self.path(recipient)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("could not read a kept key"),
        };
        parse(&text).map(Some).context("a kept key is damaged")
    }

    /// The first key kept for any of these readers.
    pub(crate) fn first(&self, readers: &[RecipientSpec]) -> anyhow::Result<Option<Identity>> {
        for reader in readers {
            if let Some(identity) = self.find(&reader.recipient)? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }

    /// Removes keys that are older than `days`. What cannot be removed now is removed later.
    pub(crate) fn remove_old(&self, days: u32, now: SystemTime) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        let age = Duration::from_secs(u64::from(days) * 24 * 3600);
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|at| now.duration_since(at).ok())
                .is_some_and(|lived| lived > age);
            if old {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A key as `--key` takes it: `@FILE`, `-` for standard input, or the literal text.
pub(crate) fn from_argument(text: &str) -> anyhow::Result<Identity> {
    let content = if text == "-" {
        let mut all = String::new();
        std::io::Read::read_to_string(&mut std::io::stdin(), &mut all)
            .context("could not read the key from standard input")?;
        all
    } else if let Some(path) = text.strip_prefix('@') {
        std::fs::read_to_string(path)
            .with_context(|| format!("could not read the key from `{path}`"))?
    } else {
        super::print::warning(
            "a key on the command line can be seen by every user of this machine; prefer --key @FILE or --key -",
        );
        text.to_owned()
    };
    parse(&content).context("the private key could not be read")
}

/// The first key of an identity file.
fn parse(text: &str) -> anyhow::Result<Identity> {
    let mut keys = Identity::parse_file(text)?;
    Ok(keys.swap_remove(0))
}

/// Checks a recipient that the user named.
pub(crate) fn recipient(text: &str) -> Result<String, String> {
    text.parse::<Recipient>()
        .map(|recipient| recipient.to_string())
        .map_err(|error| format!("{error}; expected age1…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_kept_key_is_found_by_its_recipient_and_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyStore::new(dir.path());
        let identity = Identity::generate();
        keys.keep(&identity).expect("kept");
        let recipient = identity.recipient().to_string();
        let found = keys.find(&recipient).expect("reads").expect("is there");
        assert_eq!(found.recipient().to_string(), recipient);
        let mode = std::fs::metadata(keys.path(&recipient))
            .expect("exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(keys.find("age1other").expect("reads").is_none());
    }

    #[test]
    fn old_keys_are_removed_and_young_ones_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyStore::new(dir.path());
        let identity = Identity::generate();
        keys.keep(&identity).expect("kept");
        let day = Duration::from_secs(24 * 3600);
        let recipient = identity.recipient().to_string();
        keys.remove_old(30, SystemTime::now() + day * 29);
        assert!(keys.find(&recipient).expect("reads").is_some());
        keys.remove_old(30, SystemTime::now() + day * 31);
        assert!(keys.find(&recipient).expect("reads").is_none());
    }
}
