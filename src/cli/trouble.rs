//! What to do when the surroundings deny the data directory: a full disk, one that takes no writes, a user that may not, a
//! database that somebody else keeps locked.
//!
//! Why here: the store tells them apart, but only the terminal knows what the directory is called for this user.

use std::path::Path;

use super::client::CallError;
use super::settings::Settings;
use crate::store::{StoreError, Trouble};

/// Below this much free space nothing of a run can be recorded.
const LOW_KIB: u64 = 128;

/// What can be done about an error, where the surroundings are to blame.
pub(crate) fn advice(error: &anyhow::Error, settings: &Settings) -> Option<String> {
    let directory = settings.data_dir.display();
    let of_data_directory = error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return Trouble::of(error);
        }
        match cause.downcast_ref::<CallError>()? {
            // Of a server it is the server's directory, which its people look after.
            CallError::Refused(refusal) if settings.url.is_none() => {
                Trouble::of_code(&refusal.code)
            }
            CallError::Refused(_)
            | CallError::Unreached(_)
            | CallError::Cut { .. }
            | CallError::Unreadable { .. } => None,
        }
    });
    let elsewhere = || {
        error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .find_map(Trouble::of_file)
            .filter(|trouble| *trouble == Trouble::Full)
            .map(|_| "Free some space on that disk, then run the command again".to_owned())
    };
    let Some(trouble) = of_data_directory else {
        return elsewhere();
    };
    Some(match trouble {
        Trouble::Full => format!(
            "Free some space on the disk of `{directory}` ({}; a deployment needs a few MiB), then run the command again: what was recorded before is safe, and what was going on is carried on",
            match free_kib(&settings.data_dir) {
                Some(free) => format!("{free} KiB are free"),
                None => "how much is free is not known".to_owned(),
            }
        ),
        Trouble::ReadOnly => format!(
            "Every command writes there, also one that only looks: make `{directory}` writable, or name another directory with `--data-dir` or WINDLASS_DATA_DIR (a copy of it will do to look at what it holds)"
        ),
        Trouble::Denied => format!(
            "`{directory}` belongs to {}, and this command runs as {}: run it as that user, or name a directory of your own with `--data-dir` or WINDLASS_DATA_DIR",
            owner(&settings.data_dir),
            user(rustix::process::geteuid().as_raw())
        ),
        Trouble::Away => "Look whether the database server runs and is reached from here (`database_url`); when it is back, run the command again".to_owned(),
        Trouble::Busy => format!(
            "Look who holds it with `fuser {}`: a backup or a database shell; when it is done, run the command again",
            settings.data_dir.join("windlass.db").display()
        ),
    })
}

/// What a command that waits says, once, while there is no space to record anything.
pub(crate) fn no_space(data_dir: &Path) -> Option<String> {
    let free = free_kib(data_dir).filter(|free| *free < LOW_KIB)?;
    Some(format!(
        "the disk of `{}` is full ({free} KiB are free): runs go on, but nothing can be recorded until you free some space; then everything is carried on",
        data_dir.display()
    ))
}

fn free_kib(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let facts = rustix::fs::statvfs(there).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize) / 1024)
}

fn owner(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let there = path
        .ancestors()
        .find_map(|path| std::fs::metadata(path).ok());
    there.map_or_else(|| "somebody else".to_owned(), |there| user(there.uid()))
}

fn user(uid: u32) -> String {
    format!("user {uid}")
}
