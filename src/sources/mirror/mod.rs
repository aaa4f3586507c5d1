//! The provider mirror, seen from whoever fills it: a directory in the layout that both engines read.
//!
//! ```text
//! HOST/NAMESPACE/TYPE/VERSION/OS_ARCH   a link to a package of ours, or a directory that somebody else put there
//! .packages/sha256-HEX/package.zip      what the registry published, named by its digest
//!                      content/         what is in it
//!                      package.json     hashes, and what was verified
//! ```
//!
//! A package is written beside, checked and synced, then named by one rename; the link that makes it visible is another.
//! So whoever is killed leaves the mirror as it was, several may add at once, and a run that reads meanwhile sees a
//! package whole or not at all. What a killed one left is swept by the next that finds itself alone.
//!
//! Never downloads ([`registry`] does) and never decides which version is wanted. Start at [`Mirror`].

mod address;
mod archive;
mod crc;
mod hash;
pub(crate) mod registry;
mod signature;
mod staging;
mod zip;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use self::address::{Provider, Wanted, is_version};
pub(crate) use self::archive::Archive;
pub(crate) use self::staging::Added;
pub(crate) use self::zip::ZipError;

/// Where packages lie by digest.
const PACKAGES: &str = ".packages";
const RECORD: &str = "package.json";
const ZIP: &str = "package.zip";
const CONTENT: &str = "content";
/// Of [`Record`].
const VERSION: u32 = 1;

/// Why something was not done with a mirror.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorError {
    /// A file or directory of it.
    #[error("`{path}` of the provider mirror cannot be used")]
    File {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The archive is refused.
    #[error("the package of {what} was not taken")]
    Zip {
        what: String,
        #[source]
        source: ZipError,
    },
    /// Another digest than was promised.
    #[error(
        "the package of {what} has the digest sha256:{found}, and sha256:{wanted} was promised; nothing was kept"
    )]
    Digest {
        what: String,
        wanted: String,
        found: String,
    },
    /// No program in it.
    #[error("the package of {what} holds no `{program}…`; it is a package of something else")]
    NoProgram { what: String, program: String },
    /// Somebody put one there by hand.
    #[error(
        "`{0}` is a directory that was not made by `windlass mirror`; remove it, and do the same again"
    )]
    ByHand(String),
    /// There is another one.
    #[error(
        "{what} is there as sha256:{there}, and this one is sha256:{new}; a version never changes, so one of them is wrong. Remove it with `windlass mirror remove`, if that is the wrong one"
    )]
    Another {
        what: String,
        there: String,
        new: String,
    },
    /// Others are at it.
    #[error("another command adds to the mirror; wait for it, and do the same again")]
    Busy,
}

impl MirrorError {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            source,
        }
    }
}

/// What is known of a package of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// SHA-256 of the archive in hexadecimal.
    pub(crate) sha256: String,
    /// `h1:…` of what is in it.
    pub(crate) hash: String,
    /// Where it came from, and what was verified of it, in words.
    pub(crate) verified: String,
}

/// A package as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) wanted: Wanted,
    /// Its files.
    pub(crate) content: PathBuf,
    /// Of one of ours.
    pub(crate) record: Option<Record>,
}

/// A mirror.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    root: PathBuf,
}

impl Mirror {
    /// At a directory, which need not exist.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every package, sorted.
    pub(crate) fn packages(&self) -> Vec<Package> {
        let mut found = Vec::new();
        for (host, path) in children(&self.root) {
            for (namespace, path) in children(&path) {
                for (kind, path) in children(&path) {
                    let address = format!("{host}/{namespace}/{kind}");
                    let Ok(provider) = Provider::parse(&address, "") else {
                        continue;
                    };
                    for (version, path) in children(&path) {
                        for (platform, path) in children(&path) {
                            let wanted = Wanted::new(provider.clone(), &version, &platform);
                            found.extend(wanted.ok().and_then(|wanted| read(wanted, &path)));
                        }
                    }
                }
            }
        }
        found.sort_by(|a, b| a.wanted.cmp(&b.wanted));
        found
    }

    /// One package.
    pub(crate) fn package(&self, wanted: &Wanted) -> Option<Package> {
        read(wanted.clone(), &self.root.join(wanted.path()))
    }

    /// Takes a package out of sight, and its files away where nothing else shows them. Returns whether it was there.
    pub(crate) fn remove(&self, wanted: &Wanted) -> Result<bool, MirrorError> {
        let path = self.root.join(wanted.path());
        let wrong = |source| MirrorError::file(&path, source);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(wrong(error)),
            Ok(metadata) if metadata.is_symlink() => fs::remove_file(&path).map_err(wrong)?,
            Ok(_) => fs::remove_dir_all(&path).map_err(wrong)?,
        }
        // Directories that are empty now say nothing any more.
        for parent in path.ancestors().skip(1).take(4) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        staging::sweep(&self.root)?;
        Ok(true)
    }

    /// Compares every package of ours with its record; says what is wrong, in words.
    pub(crate) fn verify(&self) -> Vec<(Package, Result<(), String>)> {
        let check = |package: &Package| {
            let Some(record) = &package.record else {
                return hash::of_directory(&package.content)
                    .map(|_| ())
                    .map_err(|error| error.to_string());
            };
            let found = hash::of_directory(&package.content).map_err(|error| error.to_string())?;
            if found != record.hash {
                return Err(format!(
                    "its files have the hash {found}, and came with {}",
                    record.hash
                ));
            }
            let zip = package.content.join("..").join(ZIP);
            let digest = fs::File::open(zip)
                .and_then(hash::of_reader)
                .map_err(|error| format!("its archive cannot be read: {error}"))?;
            if digest != record.sha256 {
                return Err(format!(
                    "its archive has the digest sha256:{digest}, and came with sha256:{}",
                    record.sha256
                ));
            }
            Ok(())
        };
        self.packages()
            .into_iter()
            .map(|package| {
                let checked = check(&package);
                (package, checked)
            })
            .collect()
    }
}

impl Package {
    /// Hashes as lock files have them.
    pub(crate) fn hashes(&self) -> io::Result<Vec<String>> {
        match &self.record {
            Some(record) => Ok(vec![record.hash.clone(), format!("zh:{}", record.sha256)]),
            None => Ok(vec![hash::of_directory(&self.content)?]),
        }
    }

    /// As one archive: that of the registry, or one made of its files.
    pub(crate) fn archive(&self) -> io::Result<Archive> {
        match &self.record {
            Some(_) => Archive::of_file(&self.content.join("..").join(ZIP)),
            None => Archive::of_directory(&self.content),
        }
    }

    /// Bytes of its files.
    pub(crate) fn size(&self) -> u64 {
        let sizes = hash::list(&self.content).unwrap_or_default();
        sizes
            .iter()
            .filter_map(|(_, path)| fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}

fn read(wanted: Wanted, path: &Path) -> Option<Package> {
    let content = fs::canonicalize(path).ok().filter(|path| path.is_dir())?;
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let record = is_link
        .then(|| fs::read(content.parent()?.join(RECORD)).ok())
        .flatten()
        .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
        .filter(|record| record.version == VERSION);
    Some(Package {
        wanted,
        content,
        record,
    })
}

/// Directories below one, links to directories among them, without those that begin with a dot.
fn children(path: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            (!name.starts_with('.') && path.is_dir()).then_some((name, path))
        })
        .collect()
}

#[cfg(test)]
mod tests;
