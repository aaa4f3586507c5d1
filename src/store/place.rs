//! The data directory: what lies where, and whose it is.
//!
//! ```text
//! format       {"version":1,"instance":UUID}
//! keyring      keys for what is encrypted in the database; 0600
//! windlass.db  the database
//! blobs/sha256 bytes by digest
//! state/ENV    the engine's state, one directory per environment (design: on the runner's host)
//! spool/RUN-N  what a run without a container has said
//! mirror       providers; keys: what the client keeps
//! engines      those that a kit brought; kit-keys: whose kits are taken
//! keyring.lock shared by all who have the key ring in use; a rotation wants it alone
//! worker.lock  held by the one worker; while it works, on which host
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{StoreConfig, StoreError, host, keyring};
use crate::seal::ring::Keyring;

/// Version of the directory's layout.
const FORMAT: i64 = 1;

/// What the file `format` says.
#[derive(Serialize, Deserialize)]
struct Format {
    version: i64,
    instance: String,
}

/// A data directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
    instance: String,
}

impl Place {
    /// Makes what is missing and reads the rest. The file says that the key ring is in use, for as long as it is open.
    pub(super) fn prepare(config: &StoreConfig) -> Result<(Self, File, Keyring), StoreError> {
        let root = &config.data_dir;
        make_directory(root)?;
        let root = fs::canonicalize(root).map_err(|error| StoreError::file(root, "read", error))?;
        host::check(&root)?;
        for name in ["blobs/sha256", "state", "spool", "mirror", "keys"] {
            make_directory(&root.join(name))?;
        }
        // Two first commands at once: one makes the files, the other waits and reads them.
        let _turn = lock(&root.join(".making"))?;
        let format = read_or_make(&root.join("format"), || {
            let format = Format {
                version: FORMAT,
                instance: uuid::Uuid::new_v4().to_string(),
            };
            serde_json::to_string(&format).unwrap_or_default() + "\n"
        })?;
        let path = root.join("format");
        let format: Format =
            serde_json::from_str(&format).map_err(|error| StoreError::Damaged {
                path: path.clone(),
                why: error.to_string(),
            })?;
        if format.version > FORMAT {
            return Err(StoreError::Newer {
                place: path.display().to_string(),
                what: "data directory",
                found: format.version,
                known: FORMAT,
            });
        }
        // Before the ring is read: it must not change afterwards.
        let in_use = keyring::share(&root)?;
        let path = keyring_file(config, &root);
        read_or_make(&path, || Keyring::new().expose_secret().to_string())?;
        let keyring = read_keyring(&path)?;
        let instance = format.instance;
        Ok((Self { root, instance }, in_use, keyring))
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// UUID of this installation.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("windlass.db")
    }

    /// The provider mirror.
    pub(crate) fn mirror(&self) -> PathBuf {
        self.root.join("mirror")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    /// Takes the lock that makes its holder the worker of this directory; `None` when another holds it.
    pub(crate) fn worker_lock(&self) -> Result<Option<WorkerLock>, StoreError> {
        let path = self.root.join(host::LOCK);
        let file = open_private(&path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(WorkerLock {
                file,
                signed: false,
            })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(StoreError::file(&path, "locked", errno.into())),
        }
    }
}

/// Proof that this process is the one worker of its data directory; the lock goes when it is dropped.
pub(crate) struct WorkerLock {
    file: File,
    signed: bool,
}

impl WorkerLock {
    /// Says in the file on which host the worker runs, until it ends.
    pub(crate) fn sign(&mut self) {
        self.signed = true;
        if let Err(error) = host::sign(&self.file) {
            // A full disk: the lock holds all the same.
            tracing::warn!(%error, "which host works here could not be written down");
        }
    }
}

impl Drop for WorkerLock {
    fn drop(&mut self) {
        if self.signed {
            let _ = self.file.set_len(0);
        }
    }
}

/// Where the key ring lies.
pub(super) fn keyring_file(config: &StoreConfig, root: &Path) -> PathBuf {
    config
        .keyring_file
        .clone()
        .unwrap_or_else(|| root.join("keyring"))
}

/// The key ring of a file.
pub(super) fn read_keyring(path: &Path) -> Result<Keyring, StoreError> {
    let text = fs::read_to_string(path).map_err(|error| StoreError::file(path, "read", error))?;
    Keyring::parse(&text).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::file(path, "created", error))
}

pub(super) fn open_private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::file(path, "created", error))
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let file = open_private(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| StoreError::file(path, "locked", errno.into()))?;
    Ok(file)
}

/// Reads a small file, or makes it whole: written beside, synced, renamed.
fn read_or_make(path: &Path, make: impl FnOnce() -> String) -> Result<String, StoreError> {
    match File::open(path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(|error| StoreError::file(path, "read", error))?;
            Ok(text)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = make();
            write_whole(path, text.as_bytes())?;
            Ok(text)
        }
        Err(error) => Err(StoreError::file(path, "read", error)),
    }
}

/// Writes a file so that it is there whole or not at all, also after the machine died.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let wrong = |error| StoreError::file(path, "written", error);
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(wrong)?;
    file.write_all(bytes).map_err(wrong)?;
    file.as_file().sync_all().map_err(wrong)?;
    file.persist(path).map_err(|error| wrong(error.error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(wrong)
}
