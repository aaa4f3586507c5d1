//! A copy of a data directory in one file, made while others work in it.
//!
//! Why an archive and not the database alone: a database without its key ring, its blobs and the states beside it
//! brings nothing back. It is a tar archive, so that nothing of ours is needed to unpack it.
//!
//! In this order: the database as of one moment, then the blobs, which are written before a row names them and never
//! changed, then the states. A state that an engine writes at that instant may be of that run's middle; so are its
//! journal and its copy beside it, from which the next run goes on.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::{Store, StoreError, place};

/// What belongs to an installation, in the order in which it is copied; the database comes before all of it.
const PARTS: [&str; 5] = ["format", "keyring", "blobs/sha256", "state", "keys"];

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// PostgreSQL has tools for this.
    #[error("the database is PostgreSQL ({0}), which is copied by its own tools")]
    Postgres(String),
    /// Nothing is overwritten.
    #[error("`{0}` is there already, and a backup overwrites nothing")]
    Exists(PathBuf),
    /// The data directory or the database.
    #[error("the data directory could not be copied")]
    Store(#[source] StoreError),
}

impl Store {
    /// Writes everything that is needed to go on elsewhere into a new file, which only its owner may read; returns
    /// its size in bytes.
    pub(crate) async fn backup(&self, to: &Path) -> Result<u64, BackupError> {
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let root = self.inner.place.root();
        let made = tempfile::Builder::new().prefix(".backup-").tempdir_in(root);
        let made = made.map_err(|error| in_store(root, "written", error))?;
        let database = made.path().join("windlass.db");
        // SQLite makes the file; what it holds is nobody's business in the meantime either.
        place::open_private(&database).map_err(BackupError::Store)?;
        match self.inner.database.copy_to(&database).await {
            Ok(true) => {}
            Ok(false) => return Err(BackupError::Postgres(self.inner.database.name())),
            Err(error) => return Err(BackupError::Store(error.into())),
        }
        let beside = to.parent().filter(|path| !path.as_os_str().is_empty());
        let wrong = |error| in_store(to, "written", error);
        let file = tempfile::Builder::new()
            .prefix(".windlass-backup-")
            .tempfile_in(beside.unwrap_or(Path::new(".")))
            .map_err(wrong)?;
        archive(file.as_file(), root, &database).map_err(wrong)?;
        let size = file.as_file().metadata().map_err(wrong)?.len();
        file.persist_noclobber(to)
            .map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
                _ => wrong(error.error),
            })?;
        Ok(size)
    }
}

fn in_store(path: &Path, doing: &'static str, error: io::Error) -> BackupError {
    BackupError::Store(StoreError::file(path, doing, error))
}

fn archive(file: &File, root: &Path, database: &Path) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::new(file));
    // A link in a state directory is a link in the copy, and leads nowhere else.
    archive.follow_symlinks(false);
    archive.append_path_with_name(database, "windlass.db")?;
    for part in PARTS {
        append(&mut archive, root, Path::new(part))?;
    }
    archive.into_inner()?.flush()?;
    file.sync_all()
}

/// A file or a directory with all that is in it; what goes away meanwhile is left out.
fn append(
    archive: &mut tar::Builder<BufWriter<&File>>,
    root: &Path,
    part: &Path,
) -> io::Result<()> {
    let path = root.join(part);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        archive.append_dir(part, &path)?;
        let mut names = fs::read_dir(&path)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        return names
            .iter()
            .try_for_each(|name| append(archive, root, &part.join(name)));
    }
    if metadata.is_symlink() {
        return archive.append_path_with_name(&path, part);
    }
    if !metadata.is_file() {
        // A pipe of a module has nothing to copy.
        return Ok(());
    }
    // Its size is taken with its bytes: an engine may be writing to it.
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, part, bytes.as_slice())
}
