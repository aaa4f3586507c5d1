//! The provider mirror, seen from the host: which packages a run may need, and their hashes, each worked out once.
//!
//! The engine would hash each package in every one of its processes. Here a package is hashed when it is first seen, and the
//! hash is kept in the data directory beside a stamp of every file in it: size, times, inode. The stamp is compared before
//! every run, so a file that was written to is hashed anew, and the run's lock file says whether that is the package it
//! wants. A change that leaves the stamp as it was (the disk itself, another machine's mount) is found by hashing
//! anyway, after the machine has started and once a day.
//!
//! Hashes are those of lock files (`h1:`): SHA-256 over the sorted list of files, each with its own SHA-256.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::job::{Job, Package};
use crate::model::hex;

/// In the data directory.
const FILE: &str = "mirror-checked.json";
/// A package is hashed again after so many seconds.
const DAY: u64 = 24 * 3600;
/// The owner of a provider whose source does not say one.
const NAMESPACE: &str = "hashicorp";

/// What was checked, and when.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checked {
    version: u32,
    /// Of the kernel: another one, and the machine was started since.
    boot: String,
    /// By absolute path.
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    stamp: Vec<Stamp>,
    hash: String,
    /// Seconds since 1970.
    at: u64,
}

/// What of a file changes when somebody writes to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: String,
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
    device: u64,
}

/// Fills in what the host knows: packages of the mirror that the job may need, and the digest of the engine.
///
/// Never fails: what cannot be read is left out, and the engine looks at it itself.
pub(crate) fn inform(job: &mut Job, data_dir: &Path, mirror: Option<&Path>, engine: Option<&Path>) {
    let mut memory = Memory::open(data_dir);
    if let Some(mirror) = mirror.and_then(|path| fs::canonicalize(path).ok()) {
        let code = Code::of(job);
        job.packages = packages(&mirror, &super::inside::platform())
            .into_iter()
            .filter(|(package, _)| code.may_need(package))
            .filter_map(|(package, path)| {
                let hash = memory.hash(&path, DAY, package_hash)?;
                Some(Package { hash, ..package })
            })
            .collect();
    }
    if let Some(engine) = engine.and_then(|path| fs::canonicalize(path).ok())
        && let Some(digest) = memory.hash(&engine, u64::MAX, |files| {
            let file = files.first().ok_or(io::ErrorKind::NotFound)?;
            Ok(format!("sha256:{}", hex(&sha256(&file.1)?)))
        })
    {
        job.engine_digest = digest;
    }
    memory.keep();
}

/// Unpacked packages for this platform, and where they lie; their hashes are still empty.
fn packages(mirror: &Path, platform: &str) -> Vec<(Package, PathBuf)> {
    let mut level = vec![(Vec::<String>::new(), mirror.to_owned())];
    for _ in 0..4 {
        level = level
            .into_iter()
            .flat_map(|(names, path)| {
                children(&path).into_iter().map(move |(name, child)| {
                    let mut names = names.clone();
                    names.push(name);
                    (names, child)
                })
            })
            .collect();
    }
    level
        .into_iter()
        .filter_map(|(names, path)| {
            let path = path.join(platform);
            let (version, provider) = names.split_last()?;
            path.is_dir().then(|| {
                let package = Package {
                    provider: provider.join("/"),
                    version: version.clone(),
                    platform: platform.to_owned(),
                    hash: String::new(),
                };
                (package, path)
            })
        })
        .collect()
}

fn children(path: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            // What begins with a dot is no part of the layout.
            (!name.starts_with('.')).then(|| (name, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// The text of a bundle, to see which providers it speaks of: a large mirror is not hashed for a run that needs one.
struct Code(String);

impl Code {
    fn of(job: &Job) -> Self {
        let mut text = String::new();
        for (path, content) in &job.files {
            let is_code = [".tf", ".tf.json", ".tofu", ".hcl"];
            if is_code.iter().any(|end| path.ends_with(end))
                && let Ok(bytes) = BASE64_STANDARD.decode(content)
            {
                text.push_str(&String::from_utf8_lossy(&bytes).to_ascii_lowercase());
            }
        }
        Self(text)
    }

    fn may_need(&self, package: &Package) -> bool {
        let mut parts = package.provider.rsplit('/');
        let (kind, namespace) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        self.0.contains(&format!("{namespace}/{kind}\""))
            || (namespace == NAMESPACE
                && (self.0.contains(&format!("\"{kind}_"))
                    || self.0.contains(&format!("\"{kind}\""))))
    }
}

/// Files of a package: names below it and paths, sorted.
type Listed = Vec<(String, PathBuf)>;

/// What was hashed before.
struct Memory {
    file: PathBuf,
    checked: Checked,
    is_changed: bool,
    now: u64,
}

impl Memory {
    fn open(data_dir: &Path) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_at(data_dir, boot.trim(), now())
    }

    fn open_at(data_dir: &Path, boot: &str, now: u64) -> Self {
        let file = data_dir.join(FILE);
        let checked: Option<Checked> = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let checked = checked
            .filter(|checked: &Checked| checked.version == 1 && checked.boot == boot)
            .unwrap_or(Checked {
                version: 1,
                boot: boot.to_owned(),
                entries: BTreeMap::new(),
            });
        Self {
            file,
            checked,
            is_changed: false,
            now,
        }
    }

    /// The hash of what lies at `path`: as remembered for `lasts` seconds, else worked out. `None` where it cannot be read whole.
    fn hash(
        &mut self,
        path: &Path,
        lasts: u64,
        work_out: impl Fn(&Listed) -> io::Result<String>,
    ) -> Option<String> {
        let files = list(path).ok()?;
        let stamp = stamp(&files).ok()?;
        let known = self.checked.entries.get(path).filter(|entry| {
            // A clock that went back makes nothing fresh.
            entry.stamp == stamp && entry.at <= self.now && self.now - entry.at < lasts
        });
        if let Some(known) = known {
            return Some(known.hash.clone());
        }
        let hash = work_out(&files).ok()?;
        // What was written meanwhile is not what was hashed.
        if self::stamp(&list(path).ok()?).ok()? != stamp {
            return None;
        }
        if let Some(before) = self.checked.entries.get(path)
            && before.hash != hash
        {
            tracing::warn!(path = %path.display(), "a file of the provider mirror or the engine is not what it was");
        }
        self.is_changed = true;
        self.checked.entries.insert(
            path.to_owned(),
            Entry {
                stamp,
                hash: hash.clone(),
                at: self.now,
            },
        );
        Some(hash)
    }

    /// Writes it down, whole or not at all. That it cannot be is no harm: the next run hashes again.
    fn keep(mut self) {
        if !self.is_changed {
            return;
        }
        self.checked.entries.retain(|path, _| path.exists());
        let write = || -> io::Result<()> {
            let directory = self.file.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::Builder::new()
                .prefix(".new-")
                .tempfile_in(directory)?;
            file.write_all(&serde_json::to_vec(&self.checked)?)?;
            file.persist(&self.file).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "what was checked of the mirror was not kept");
        }
    }
}

/// Regular files at or below `path`. Anything else in a package, a link for example, is not read.
fn list(path: &Path) -> io::Result<Listed> {
    let mut files = Vec::new();
    if path.is_file() {
        files.push((String::new(), path.to_owned()));
        return Ok(files);
    }
    let mut left = vec![(String::new(), path.to_owned())];
    while let Some((prefix, directory)) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| io::ErrorKind::InvalidData)?;
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push((format!("{name}/"), entry.path()));
            } else if kind.is_file() && !name.contains('\n') {
                files.push((name, entry.path()));
            } else {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn stamp(files: &Listed) -> io::Result<Vec<Stamp>> {
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    files
        .iter()
        .map(|(name, path)| {
            let metadata = fs::symlink_metadata(path)?;
            Ok(Stamp {
                path: name.clone(),
                size: metadata.size(),
                modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                inode: metadata.ino(),
                device: metadata.dev(),
            })
        })
        .collect()
}

/// `h1:…` of a package.
fn package_hash(files: &Listed) -> io::Result<String> {
    let digests = files
        .iter()
        .map(|(_, path)| Ok(hex(&sha256(path)?)))
        .collect::<io::Result<Vec<String>>>()?;
    let names = files.iter().map(|(name, _)| name.as_str());
    Ok(crate::hcl::package_hash(
        names.zip(digests.iter().map(String::as_str)),
    ))
}

fn sha256(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&chunk[..count]),
        }
    }
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A mirror with one package; its only file has this content.
    fn mirror(content: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().expect("a directory");
        let package = root.path().join("r.example/hashicorp/time/1.0.0/linux_x");
        fs::create_dir_all(&package).expect("made");
        fs::write(package.join("terraform-provider-time_v1.0.0"), content).expect("written");
        (root, package)
    }

    #[test]
    fn a_package_is_hashed_once_until_it_changes_the_machine_starts_or_a_day_is_over() {
        let data = tempfile::tempdir().expect("a directory");
        let (_root, package) = mirror("one");
        let times = Cell::new(0);
        let ask = |boot: &str, now: u64| {
            let mut memory = Memory::open_at(data.path(), boot, now);
            let hash = memory.hash(&package, DAY, |files| {
                times.set(times.get() + 1);
                package_hash(files)
            });
            memory.keep();
            hash.expect("it can be read")
        };
        let one = ask("a", 1000);
        assert_eq!(ask("a", 1000 + DAY - 1), one);
        assert_eq!(times.get(), 1, "remembered");
        ask("a", 1000 + DAY);
        assert_eq!(times.get(), 2, "a day is over");
        ask("a", 10);
        assert_eq!(times.get(), 3, "the clock went back");
        ask("b", 20);
        assert_eq!(times.get(), 4, "the machine was started");
        // One byte, in place, same length.
        fs::write(package.join("terraform-provider-time_v1.0.0"), "onf").expect("written");
        assert_ne!(ask("b", 30), one, "the changed byte is found");
        assert_eq!(times.get(), 5);
        fs::write(package.join("README"), "").expect("written");
        ask("b", 30);
        assert_eq!(times.get(), 6, "another file belongs to it");
    }

    #[test]
    fn a_byte_that_changed_without_a_trace_is_found_when_it_is_due() {
        let data = tempfile::tempdir().expect("a directory");
        let (_root, package) = mirror("one");
        let ask = |content: &str, now: u64| {
            let mut memory = Memory::open_at(data.path(), "a", now);
            let hash = memory.hash(&package, DAY, |_| Ok(content.to_owned()));
            memory.keep();
            hash.expect("read")
        };
        assert_eq!(ask("what is there", 1000), "what is there");
        assert_eq!(
            ask("something else", 2000),
            "what is there",
            "nothing shows it"
        );
        assert_eq!(ask("something else", 1000 + DAY), "something else");
    }

    #[test]
    fn hashes_are_those_of_lock_files() {
        let (_root, package) = mirror("one");
        fs::create_dir(package.join("docs")).expect("made");
        fs::write(package.join("docs/a"), "two").expect("written");
        let files = list(&package).expect("read");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["docs/a", "terraform-provider-time_v1.0.0"]);
        // By hand: base64 of SHA-256 over the two lines.
        let lines = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  docs/a\n7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  terraform-provider-time_v1.0.0\n";
        let expected = BASE64_STANDARD.encode(Sha256::digest(lines));
        assert_eq!(
            package_hash(&files).expect("hashed"),
            format!("h1:{expected}")
        );
        std::os::unix::fs::symlink("/etc/passwd", package.join("link")).expect("linked");
        assert!(list(&package).is_err(), "a link is nothing to trust");
    }

    #[test]
    fn only_what_the_code_speaks_of_is_hashed() {
        let package = |provider: &str| Package {
            provider: provider.to_owned(),
            version: "1.0.0".to_owned(),
            platform: "linux_x".to_owned(),
            hash: String::new(),
        };
        let code = Code(
            "source = \"corp/db\"\nresource \"time_sleep\" \"x\" {}\nprovider \"dns\" {}"
                .to_owned(),
        );
        assert!(code.may_need(&package("r/corp/db")));
        assert!(code.may_need(&package("r/hashicorp/time")));
        assert!(code.may_need(&package("r/hashicorp/dns")));
        assert!(!code.may_need(&package("r/corp/time")));
        assert!(!code.may_need(&package("r/hashicorp/aws")));
    }
}
