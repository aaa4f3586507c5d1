//! SHA-256 of large programs, remembered by path, size, modification time and inode.
//!
//! The memory is a file in the data directory and only saves time: when it is missing, damaged or cannot be written,
//! programs are hashed again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Program;
use super::elf::{self, NotForImage};
use crate::model::hex;

/// Why a program could not be read or may not go into the image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// It could not run there.
    #[error(transparent)]
    NotForImage(NotForImage),
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mtime_ns: i64,
    mtime: i64,
    ctime_ns: i64,
    ctime: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    /// Hexadecimal.
    sha256: String,
}

/// Digests known from earlier.
#[derive(Debug)]
pub(crate) struct Hashes {
    file: PathBuf,
    known: BTreeMap<String, Known>,
    changed: bool,
}

/// Version of the file, before its entries.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    known: BTreeMap<String, Known>,
}

impl Hashes {
    /// Reads what is known in this data directory.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let file = data_dir.join("program-digests.json");
        let known = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok())
            .filter(|stored| stored.version == 1)
            .map(|stored| stored.known)
            .unwrap_or_default();
        Self {
            file,
            known,
            changed: false,
        }
    }

    /// Checks that the file is a program for the image and digests it.
    pub(crate) fn program(&mut self, name: &str, path: &Path) -> Result<Program, ProgramError> {
        let mut file = File::open(path).map_err(ProgramError::Read)?;
        let stamp = stamp(&file).map_err(ProgramError::Read)?;
        let mut head = Vec::new();
        (&mut file)
            .take(elf::HEAD as u64)
            .read_to_end(&mut head)
            .map_err(ProgramError::Read)?;
        elf::check(&head).map_err(ProgramError::NotForImage)?;
        let key = path.display().to_string();
        let known = self.known.get(&key).filter(|known| known.stamp == stamp);
        let digest = match known.and_then(|known| unhex(&known.sha256)) {
            Some(digest) => digest,
            None => {
                let mut hash = Sha256::new();
                hash.update(&head);
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let read = file.read(&mut buffer).map_err(ProgramError::Read)?;
                    if read == 0 {
                        break;
                    }
                    hash.update(&buffer[..read]);
                }
                let digest: [u8; 32] = hash.finalize().into();
                self.known.insert(
                    key,
                    Known {
                        stamp: stamp.clone(),
                        sha256: hex(&digest),
                    },
                );
                self.changed = true;
                digest
            }
        };
        Ok(Program {
            name: name.to_owned(),
            path: path.to_owned(),
            size: stamp.size,
            digest,
        })
    }

    /// Writes what is new; failing to is no harm.
    pub(crate) fn save(&self) {
        if !self.changed {
            return;
        }
        let stored = Stored {
            version: 1,
            known: self.known.clone(),
        };
        let written = || -> std::io::Result<()> {
            let directory = self.file.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(&serde_json::to_vec(&stored)?)?;
            file.persist(&self.file).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = written() {
            tracing::debug!(%error, "digests of programs were not kept");
        }
    }
}

fn stamp(file: &File) -> std::io::Result<Stamp> {
    let metadata = file.metadata()?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        mtime_ns: metadata.mtime_nsec(),
        mtime: metadata.mtime(),
        ctime_ns: metadata.ctime_nsec(),
        ctime: metadata.ctime(),
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the running test, which is a static program.
    fn program(directory: &Path) -> PathBuf {
        let file = directory.join("program");
        std::fs::copy("/proc/self/exe", &file).expect("copied");
        file
    }

    #[test]
    fn a_known_program_is_not_read_again_and_a_changed_one_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = program(directory.path());
        let mut hashes = Hashes::open(directory.path());
        let first = hashes.program("p", &file).expect("a program");
        hashes.save();

        let mut again = Hashes::open(directory.path());
        assert_eq!(again.program("p", &file).expect("a program"), first);
        assert!(!again.changed, "it was read again");

        let mut appended = std::fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .expect("opened");
        appended.write_all(b"x").expect("written");
        drop(appended);
        assert_ne!(
            again.program("p", &file).expect("a program").digest,
            first.digest
        );
    }

    #[test]
    fn a_damaged_memory_is_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("program-digests.json"), "{").expect("written");
        assert!(Hashes::open(directory.path()).known.is_empty());
    }

    #[test]
    fn a_script_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("script");
        std::fs::write(&file, "#!/bin/sh\n").expect("written");
        let error = Hashes::open(directory.path())
            .program("p", &file)
            .expect_err("refused");
        assert!(matches!(
            error,
            ProgramError::NotForImage(NotForImage::NotElf)
        ));
    }
}
