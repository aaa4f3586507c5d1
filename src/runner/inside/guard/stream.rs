//! What the engine says while it changes things, kept by a file instead of a pipe.
//!
//! A pipe dies with its reader: when the supervisor or its container is killed, lines that the engine had written and nobody
//! had read are gone, and with them the only trace of what they told. A file keeps them. It lies beside the state, because
//! the lines hold what the state holds, and it is emptied behind the reader, line by line once the journal has them: what
//! outlives a kill is what nobody had read.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::journal::{Entry, What};
use crate::runner::engine::stream::{self, Said};

/// Names of such files: `stream.RUN.ATTEMPT`.
const PREFIX: &str = "stream.";
/// Room that is kept before the engine's next line, so that a disk that fills up does not silence it at once.
const ROOM: u64 = 1024 * 1024;

/// The file of one engine process.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    /// Bytes that were read.
    read: u64,
    /// Bytes before here are emptied.
    emptied: u64,
}

/// Its two ends: the engine's, and the reader's.
pub(crate) struct Ends {
    pub(crate) write: File,
    pub(crate) read: File,
}

impl Stream {
    /// A new file, and its ends.
    pub(super) fn create(dir: &Path, run: &str, attempt: u32) -> io::Result<(Self, Ends)> {
        let path = path(dir, run, attempt);
        let open = |append: bool| {
            let mut options = File::options();
            options.mode(0o600).create(true);
            // Only an appending writer and a punching reader can share a file without a lock.
            if append {
                options.append(true);
            } else {
                options.read(true).write(true).truncate(true);
            }
            options.open(&path)
        };
        let file = open(false)?;
        keep_room(&file, ROOM)?;
        let ends = Ends {
            write: open(true)?,
            read: File::open(&path)?,
        };
        let stream = Self {
            file,
            read: 0,
            emptied: 0,
        };
        Ok((stream, ends))
    }

    /// These bytes, the next ones, are read, and what their lines say is in the journal.
    pub(crate) fn done(&mut self, bytes: &[u8]) {
        let before = self.read;
        self.read += bytes.len() as u64;
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let upto = before + last as u64 + 1;
        self.empty(upto);
    }

    fn empty(&mut self, upto: u64) {
        let (from, length) = (self.emptied, upto - self.emptied);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.file, flags, from, length).is_err() {
            // Not every file system can. Only what was just read is written over.
            let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
            let _ = self.file.write_all_at(&zeros, from);
        }
        self.emptied = upto;
        let _ = rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, upto, ROOM);
    }
}

/// Keeps room for so many bytes behind what a file holds, and leaves its length alone. Fails on a full disk; that a
/// file system cannot do it is no failure.
pub(super) fn keep_room(file: &File, bytes: u64) -> io::Result<()> {
    let end = file.metadata()?.len();
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, end, bytes) {
        Err(errno @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => Err(errno.into()),
        _ => Ok(()),
    }
}

fn path(dir: &Path, run: &str, attempt: u32) -> PathBuf {
    dir.join(format!("{PREFIX}{run}.{attempt}"))
}

/// Files that runs left here.
fn left(dir: &Path) -> Vec<(PathBuf, String, u32)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut left: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (run, attempt) = name.strip_prefix(PREFIX)?.rsplit_once('.')?;
            Some((entry.path(), run.to_owned(), attempt.parse().ok()?))
        })
        .collect();
    left.sort();
    left
}

/// What killed runs left unread, as entries of the journal, which may have some of them.
pub(super) fn unread(dir: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, run, attempt) in left(dir) {
        let bytes = fs::read(path).unwrap_or_default();
        for line in bytes.split(|byte| *byte == b'\n') {
            // What is emptied reads as zeros.
            let start = line
                .iter()
                .position(|byte| *byte != 0)
                .unwrap_or(line.len());
            let (what, change) = match stream::read(&line[start..]).said {
                Said::Started(change) => (What::Start, change),
                Said::Done(change) => (What::Complete, change),
                Said::Errored(change) => (What::Errored, change),
                _ => continue,
            };
            entries.extend(Entry::of(&run, attempt, what, &change));
        }
    }
    entries
}

/// Removes what killed runs left, once the journal has it.
pub(super) fn remove_unread(dir: &Path) {
    for (path, ..) in left(dir) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_was_read_is_emptied_and_the_rest_outlives_a_kill() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut stream, mut ends) = Stream::create(dir.path(), "r-1", 2).expect("made");
        let line = |address: &str| {
            format!(
                "{{\"@level\":\"info\",\"@message\":\"m\",\"type\":\"apply_start\",\"hook\":{{\"resource\":{{\"addr\":\"{address}\"}},\"action\":\"create\"}}}}\n"
            )
        };
        let (first, second) = (line("t.first"), line("t.second"));
        ends.write.write_all(first.as_bytes()).expect("written");
        ends.write.write_all(second.as_bytes()).expect("written");
        stream.done(first.as_bytes());
        stream.done(&second.as_bytes()[..9]);
        let left = unread(dir.path());
        assert_eq!(left.len(), 1);
        assert_eq!((&*left[0].address, left[0].attempt), ("t.second", 2));
        let raw = fs::read(path(dir.path(), "r-1", 2)).expect("there");
        assert!(!String::from_utf8_lossy(&raw).contains("t.first"));
        remove_unread(dir.path());
        assert!(unread(dir.path()).is_empty());
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
    }
}
