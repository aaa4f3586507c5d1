//! A package on its way into the mirror: written beside, checked, synced, and only then named.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{
    CONTENT, Mirror, MirrorError, PACKAGES, RECORD, Record, VERSION, Wanted, ZIP, hash, zip,
};

/// Held shared by whoever adds, alone by whoever sweeps.
const LOCK: &str = ".lock";
/// How what is being written begins.
const NEW: &str = ".new-";

/// A place for one package that is being added.
pub(crate) struct Staging {
    root: PathBuf,
    directory: tempfile::TempDir,
    _lock: File,
}

/// A package that is whole and that nothing shows yet. While it lives, nobody sweeps it away.
pub(crate) struct Prepared {
    staging: Staging,
    link: PathBuf,
    record: Record,
    is_shown: bool,
}

impl Prepared {
    /// Shows it under its name.
    pub(crate) fn show(self) -> Result<Added, MirrorError> {
        if self.is_shown {
            return Ok(Added::There);
        }
        let name = format!("sha256-{}", self.record.sha256);
        self.staging.show(&self.link, &name)?;
        Ok(Added::New(self.record))
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Added {
    /// It was not there before.
    New(Record),
    /// The same was there.
    There,
}

impl Mirror {
    /// Makes a place for one package.
    pub(crate) fn stage(&self) -> Result<Staging, MirrorError> {
        let packages = self.root.join(PACKAGES);
        readable(&self.root)?;
        readable(&packages)?;
        sweep(&self.root)?;
        let lock = lock(&packages, FlockOperation::LockShared)?.ok_or(MirrorError::Busy)?;
        let directory = tempfile::Builder::new()
            .prefix(NEW)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(&packages)
            .map_err(|source| MirrorError::file(&packages, source))?;
        Ok(Staging {
            root: self.root.clone(),
            directory,
            _lock: lock,
        })
    }
}

impl Staging {
    /// Where the archive is to be written.
    pub(crate) fn zip(&self) -> PathBuf {
        self.directory.path().join(ZIP)
    }

    /// Unpacks the archive, checks what is in it, and keeps it by its digest, where nothing shows it yet. `sha256` is what
    /// was promised; `verified` says what else is known of it.
    pub(crate) fn prepare(
        self,
        wanted: &Wanted,
        sha256: &str,
        verified: String,
    ) -> Result<Prepared, MirrorError> {
        let zip = self.zip();
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |source| MirrorError::file(&path, source)
        };
        let file = File::open(&zip).map_err(wrong(&zip))?;
        let found = hash::of_reader(&file).map_err(wrong(&zip))?;
        if found != sha256 {
            return Err(MirrorError::Digest {
                what: wanted.to_string(),
                wanted: sha256.to_owned(),
                found,
            });
        }
        file.set_permissions(fs::Permissions::from_mode(0o644))
            .and_then(|()| file.sync_all())
            .map_err(wrong(&zip))?;
        let link = self.root.join(wanted.path());
        let is_shown = is_shown(&link, wanted, sha256)?;
        let content = self.directory.path().join(CONTENT);
        readable(&content)?;
        let files = zip::unpack(&zip, &content).map_err(|source| MirrorError::Zip {
            what: wanted.to_string(),
            source,
        })?;
        let program = format!("terraform-provider-{}", wanted.provider.kind);
        if !files.iter().any(|(name, _)| name.starts_with(&program)) {
            return Err(MirrorError::NoProgram {
                what: wanted.to_string(),
                program,
            });
        }
        let record = Record {
            version: VERSION,
            sha256: found,
            hash: crate::hcl::package_hash(
                files
                    .iter()
                    .map(|(name, digest)| (name.as_str(), digest.as_str())),
            ),
            verified,
        };
        let path = self.directory.path().join(RECORD);
        let text = serde_json::to_vec(&record).unwrap_or_default();
        write(&path, &text).map_err(wrong(&path))?;
        zip::sync(self.directory.path()).map_err(wrong(self.directory.path()))?;
        let packages = self.root.join(PACKAGES);
        let target = packages.join(format!("sha256-{}", record.sha256));
        match fs::rename(self.directory.path(), &target) {
            Ok(()) => {}
            // Somebody else was first with the same bytes.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) => {}
            Err(error) => return Err(MirrorError::file(&target, error)),
        }
        zip::sync(&packages).map_err(wrong(&packages))?;
        Ok(Prepared {
            staging: self,
            link,
            record,
            is_shown,
        })
    }

    /// [`Staging::prepare`], and shown at once.
    pub(crate) fn add(
        self,
        wanted: &Wanted,
        sha256: &str,
        verified: String,
    ) -> Result<Added, MirrorError> {
        self.prepare(wanted, sha256, verified)?.show()
    }

    /// Links a package to its name: made beside, then renamed.
    fn show(&self, link: &Path, name: &str) -> Result<(), MirrorError> {
        let parent = link.parent().unwrap_or(&self.root);
        let inside = parent.strip_prefix(&self.root).unwrap_or(parent);
        let mut made = self.root.clone();
        for part in inside.components() {
            made.push(part);
            readable(&made)?;
        }
        let unique = self.directory.path().file_name().unwrap_or_default();
        let new = parent.join(unique);
        // HOST/NAMESPACE/TYPE/VERSION is four levels down.
        let target = format!("../../../../{PACKAGES}/{name}/{CONTENT}");
        symlink(target, &new)
            .and_then(|()| fs::rename(&new, link))
            .and_then(|()| zip::sync(parent))
            .map_err(|source| MirrorError::file(link, source))
    }
}

/// Whether the same package is shown already; refused is what would be replaced.
fn is_shown(link: &Path, wanted: &Wanted, sha256: &str) -> Result<bool, MirrorError> {
    let Ok(metadata) = fs::symlink_metadata(link) else {
        return Ok(false);
    };
    if !metadata.is_symlink() {
        return Err(MirrorError::ByHand(link.display().to_string()));
    }
    match super::read(wanted.clone(), link).and_then(|package| package.record) {
        Some(record) if record.sha256 == sha256 => Ok(true),
        Some(record) => Err(MirrorError::Another {
            what: wanted.to_string(),
            there: record.sha256,
            new: sha256.to_owned(),
        }),
        // It leads nowhere.
        None => Ok(false),
    }
}

/// Removes what killed ones left, and packages that nothing shows, unless somebody adds at this moment.
pub(super) fn sweep(root: &Path) -> Result<(), MirrorError> {
    let packages = root.join(PACKAGES);
    if !packages.is_dir() {
        return Ok(());
    }
    let Some(_lock) = lock(&packages, FlockOperation::NonBlockingLockExclusive)? else {
        return Ok(());
    };
    let shown: Vec<PathBuf> = Mirror::at(root)
        .packages()
        .into_iter()
        .filter_map(|package| Some(package.content.parent()?.to_owned()))
        .collect();
    let entries = fs::read_dir(&packages).map_err(|source| MirrorError::file(&packages, source))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if path.is_dir() && !shown.contains(&real) {
            fs::remove_dir_all(&path).map_err(|source| MirrorError::file(&path, source))?;
        }
    }
    Ok(())
}

fn lock(packages: &Path, how: FlockOperation) -> Result<Option<File>, MirrorError> {
    let path = packages.join(LOCK);
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| MirrorError::file(&path, source))?;
    match rustix::fs::flock(&file, how) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(MirrorError::file(&path, errno.into())),
    }
}

/// A directory that the user of a run may read, whatever the mask of this process is.
fn readable(path: &Path) -> Result<(), MirrorError> {
    let made = match fs::create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path).map_err(|source| MirrorError::file(path, source))?;
            true
        }
        Err(error) => return Err(MirrorError::file(path, error)),
    };
    // One that somebody else made and owns stays as it is.
    match fs::set_permissions(path, fs::Permissions::from_mode(0o755)) {
        Err(error) if made => Err(MirrorError::file(path, error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()
}
