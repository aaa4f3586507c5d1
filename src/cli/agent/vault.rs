//! Files of the agent below `agent` in its data directory: whole or not at all, durable, and sealed under the key ring.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::files;
use crate::store::Store;

/// A directory of such files.
#[derive(Clone)]
pub(super) struct Vault {
    store: Store,
    directory: PathBuf,
}

impl Vault {
    /// The directory `name` of the agent; made where it is not there.
    pub(super) fn open(store: &Store, name: &str) -> anyhow::Result<Self> {
        let directory = store.place().root().join("agent").join(name);
        files::private_dir(&directory)?;
        Ok(Self {
            store: store.clone(),
            directory,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What a file is bound to, so that none is read in another's place.
    fn bound(&self, name: &str) -> String {
        let directory = self.directory.file_name().unwrap_or_default();
        format!("agent/{}/{name}", directory.to_string_lossy())
    }

    /// Writes a file; when this returns it is there after the machine died, too.
    pub(super) fn put<T: Serialize>(&self, name: &str, content: &T) -> anyhow::Result<()> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(content)?);
        let sealed = self.store.seal(&self.bound(name), &plain);
        let path = self.path(name);
        files::write_private(&path, &sealed)
            .and_then(|()| sync(&self.directory))
            .with_context(|| format!("could not write `{}`", path.display()))
    }

    /// Reads a file, if it is there.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.path(name);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("could not read `{}`", path.display()));
            }
        };
        let plain = self
            .store
            .unseal("a file of the agent", &self.bound(name), &sealed)
            .with_context(|| format!("could not open `{}`", path.display()))?;
        let plain = zeroize::Zeroizing::new(plain);
        let content = serde_json::from_slice(&plain)
            .with_context(|| format!("`{}` is damaged", path.display()))?;
        Ok(Some(content))
    }

    /// Names of its files, sorted.
    pub(super) fn names(&self) -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.directory)
            .with_context(|| format!("could not read `{}`", self.directory.display()))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => sync(&self.directory),
        }
    }

    /// Puts a file that cannot be read out of the way.
    pub(super) fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let to = self.directory.join(format!(".unreadable-{name}"));
        std::fs::rename(self.path(name), &to)?;
        Ok(to)
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}
