//! Guards the local state of an environment against what a killed engine leaves.
//!
//! Both engines truncate the state file and write it anew in place, and both take an empty file for "no state", after which
//! they want to create everything again. OpenTofu also writes only every 20 s. Therefore:
//!
//! - a valid empty state is put in place before the first apply;
//! - before each engine start a copy is kept (`terraform.tfstate.windlass`), on the disk before the engine runs;
//! - a file that is empty or torn is replaced by that copy, so that no engine ever starts on it;
//! - starts and completions are written to `journal.jsonl` as the engine says them, so that after a kill the journal
//!   minus the state names what exists and is recorded nowhere, and what may exist.
//!
//! The journal holds ids and lies beside the state, under its protection. It stays short: once an engine has ended by
//! itself the state is the truth, and only what earlier kills left open is kept. An open entry stays until the state
//! holds that very object; a resource created anew at the same address does not close it. While an entry is open nothing
//! is applied ([`Guard::open`]), until it is imported or dismissed ([`settle`]).
//!
//! Where the state lies elsewhere (in a bucket, with the server) the first three are its keeper's work, and the journal is
//! kept here all the same, on the runner's host. Then the record of the server says what is open, for another host may
//! have settled it, and the journal only adds the ids; the state is asked of the engine where it is needed
//! ([`Guard::pulled`]).
//!
//! What the engine says reaches the journal also when we are killed before we have read it ([`stream`]).
//!
//! [`files`] is how the directory is read and written, [`journal`] what is open, [`mod@look`] the view from outside.

pub(super) mod files;
mod journal;
mod look;
pub(crate) mod moving;
pub(crate) mod settle;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::files::{COPY, JOURNAL, STATE, replace, settle_state, state_in};
use self::journal::{Entry, What, read_journal, shown, still_open, write_journal};
pub(crate) use self::look::{Found, look, look_elsewhere};
use self::stream::{Ends, Stream};
use super::spool::Syncer;
use crate::runner::engine::document::State;
use crate::runner::engine::stream::Change;
use crate::runner::host::advice;
use crate::seal::age::AgeFile;
use crate::seal::key::Recipient;
use crate::wire::deployments::RecipientSpec;
use crate::wire::state::Open;

/// Why the state cannot be used; in clear.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// Neither the file nor our copy can be read.
    #[error(
        "the state file `{STATE}` is empty or damaged and there is no valid copy beside it; put a valid one there (the engine's own backup is `{STATE}.backup`) and deploy again"
    )]
    Damaged,
    /// Something about the directory.
    #[error("could not {what} in the state directory: {}{}", .error.kind(), advice(.error))]
    Io {
        what: &'static str,
        error: io::Error,
    },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> GuardError {
    move |error| GuardError::Io { what, error }
}

/// Room that is kept for the journal while an engine changes things.
const JOURNAL_ROOM: u64 = 256 * 1024;

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn make(dir: &Path) -> Result<(), GuardError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_error("make a place"))
}

/// The guard of one run.
pub(crate) struct Guard {
    dir: PathBuf,
    run: String,
    attempt: u32,
    journal: Arc<File>,
    syncer: Syncer,
    /// Open entries of earlier runs.
    earlier: Vec<Entry>,
    /// Entries of this run.
    ours: Vec<Entry>,
    /// Whether the state lies elsewhere, and what it is, as far as it was asked for.
    elsewhere: bool,
    pulled: Option<Vec<u8>>,
    found: bool,
    /// Whether a line of this run could not be written.
    broken: bool,
    /// The state as last copied, so that an unchanged one is not copied again.
    copied: Option<Vec<u8>>,
    /// What the engine that runs writes to.
    stream: Option<Stream>,
    /// What was put right at the beginning, for the log.
    pub(crate) notes: Vec<String>,
}

impl Guard {
    /// Prepares the state directory: seeds or repairs the state, and works out what earlier kills left open.
    pub(crate) fn begin(dir: &Path, run: &str, attempt: u32) -> Result<Self, GuardError> {
        make(dir)?;
        let mut notes = Vec::new();
        let state = settle_state(dir, &mut notes)?;
        let old = read_journal(dir)?;
        let before = state_in(dir, COPY).unwrap_or_default();
        let earlier = still_open(&old, &state, &before);
        Self::with(dir, (run, attempt), earlier, notes)
    }

    /// The same for a state that lies elsewhere: `open` is what the server says of earlier runs.
    pub(crate) fn begin_elsewhere(
        dir: &Path,
        run: &str,
        attempt: u32,
        open: &Open,
    ) -> Result<Self, GuardError> {
        make(dir)?;
        let mut earlier = journal::of_open(open, &read_journal(dir)?, run, attempt);
        earlier.dedup();
        Ok(Self {
            elsewhere: true,
            ..Self::with(dir, (run, attempt), earlier, Vec::new())?
        })
    }

    fn with(
        dir: &Path,
        (run, attempt): (&str, u32),
        earlier: Vec<Entry>,
        mut notes: Vec<String>,
    ) -> Result<Self, GuardError> {
        if !earlier.is_empty() {
            notes.push(format!(
                "{} resources are left open by an earlier run that was killed; `windlass state list` names them",
                earlier.len()
            ));
        }
        write_journal(dir, &earlier)?;
        stream::remove_unread(dir);
        let journal = Arc::new(
            File::options()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(dir.join(JOURNAL))
                .map_err(io_error("open the journal"))?,
        );
        Ok(Self {
            dir: dir.to_owned(),
            run: run.to_owned(),
            attempt,
            syncer: Syncer::start(Arc::clone(&journal)),
            journal,
            earlier,
            ours: Vec::new(),
            elsewhere: false,
            pulled: None,
            found: false,
            broken: false,
            copied: None,
            stream: None,
            notes,
        })
    }

    /// What earlier kills left open; nothing may be applied while there is anything.
    pub(crate) fn open(&self) -> Open {
        shown(&self.earlier)
    }

    /// Whether the state is no file here.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// The state that lies elsewhere, as the engine says that it is: what it holds is not open any more.
    pub(crate) fn pulled(&mut self, bytes: Vec<u8>) {
        // Before the first version there is none.
        let bytes = match bytes.trim_ascii().is_empty() {
            true => files::seed(),
            false => bytes,
        };
        let state = State::read(&bytes).unwrap_or_default();
        let was_open = !self.earlier.is_empty();
        self.earlier = still_open(&self.earlier, &state, &State::default());
        self.found = was_open && self.earlier.is_empty();
        self.pulled = Some(bytes);
    }

    /// Whether all that was open turned out to be in the state.
    pub(crate) fn is_found(&self) -> bool {
        self.found
    }

    /// Whether the end of this run cannot be told without the state: an engine was killed.
    pub(crate) fn needs_state(&self, clean: bool) -> bool {
        self.elsewhere && !clean && !self.ours.is_empty()
    }

    /// Before each engine start: the state is valid, and a copy of it is on the disk.
    pub(crate) fn before_engine(&mut self) -> Result<(), GuardError> {
        if self.elsewhere {
            return Ok(());
        }
        settle_state(&self.dir, &mut self.notes)?;
        let bytes = fs::read(self.dir.join(STATE)).map_err(io_error("read the state"))?;
        if self.copied.as_ref() == Some(&bytes) {
            return Ok(());
        }
        replace(&self.dir, COPY, &bytes).map_err(io_error("keep a copy of the state"))?;
        self.copied = Some(bytes);
        Ok(())
    }

    /// A change begins.
    pub(crate) fn started(&mut self, change: &Change) {
        self.note(What::Start, change);
    }

    /// A change is done.
    pub(crate) fn done(&mut self, change: &Change) {
        self.note(What::Complete, change);
    }

    /// A change failed.
    pub(crate) fn errored(&mut self, change: &Change) {
        self.note(What::Errored, change);
    }

    fn note(&mut self, what: What, change: &Change) {
        if let Some(entry) = Entry::of(&self.run, self.attempt, what, change) {
            self.write(entry);
        }
    }

    /// Where an engine that changes things is to say so, and how much room is kept for that. On a full disk no such engine
    /// starts: it could change things and neither say so nor write its state. `None` where no file can be made for another
    /// reason: then a pipe has to do.
    pub(crate) fn stream(&mut self) -> Result<Option<Ends>, GuardError> {
        let made = Stream::create(&self.dir, &self.run, self.attempt)
            .and_then(|made| stream::keep_room(&self.journal, JOURNAL_ROOM).map(|()| made));
        match made {
            Ok((stream, ends)) => {
                self.stream = Some(stream);
                Ok(Some(ends))
            }
            Err(error) if is_full(&error) => {
                Err(io_error("keep room for what the engine does")(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// These bytes of the engine are read, and what they say is noted.
    pub(crate) fn heard(&mut self, bytes: &[u8]) {
        // What the journal could not take stays where the engine wrote it.
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.broken) {
            stream.done(bytes);
        }
    }

    /// The engine ended by itself and wrote its state: should anything die from here on, the state is the truth.
    pub(crate) fn engine_ended(&mut self) {
        if self.elsewhere {
            if !self.ours.is_empty() {
                self.note(What::Ended, &Change::default());
            }
            return;
        }
        let Some(state) = self.state().filter(|_| !self.ours.is_empty()) else {
            return;
        };
        if self.unwritten(&state).is_empty() {
            self.note(What::Ended, &Change::default());
        }
    }

    /// What this run finished and the state does not hold, although its engine ended by itself: it could not write it.
    fn unwritten(&self, state: &State) -> Vec<Entry> {
        let before = state_in(&self.dir, COPY).unwrap_or_default();
        let mut open = still_open(&self.ours, state, &before);
        open.retain(|entry| entry.what == What::Unrecorded);
        open
    }

    fn write(&mut self, entry: Entry) {
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        self.ours.push(entry);
        // On a full disk the lines that are missing are those of `ours`, which the end still knows.
        self.broken |= (&*self.journal).write_all(&line).is_err();
        self.syncer.ask();
    }

    /// After the engine: what is open now, and whether it could be written down for the runs to come. `clean` says that the
    /// engine ended by itself and wrote its state; then what this run noted is settled, but for what the state lacks.
    pub(crate) fn end(&mut self, clean: bool) -> (Open, Result<(), GuardError>) {
        let state = self.state();
        let settled = clean && (self.elsewhere || state.is_some());
        // A torn file will be replaced by the copy before the next start, so the copy is what counts.
        let before = state_in(&self.dir, COPY).unwrap_or_default();
        let state = state.unwrap_or_else(|| before.clone());
        let open = if settled && self.elsewhere {
            self.earlier.clone()
        } else if settled {
            let mut open = still_open(&self.earlier, &state, &before);
            open.extend(self.unwritten(&state));
            open
        } else {
            let all: Vec<Entry> = self.earlier.iter().chain(&self.ours).cloned().collect();
            still_open(&all, &state, &before)
        };
        let written = match settled || self.broken {
            true => write_journal(&self.dir, &open),
            false => Ok(()),
        };
        // The engine has ended and all that it said is read, and in the journal; else what it said stays for the next run.
        self.stream = None;
        if written.is_ok() {
            stream::remove_unread(&self.dir);
        }
        (shown(&open), written)
    }

    /// What the state holds now; `None` when it cannot be read.
    pub(crate) fn state(&self) -> Option<State> {
        if self.elsewhere {
            return self.pulled.as_deref().and_then(State::read);
        }
        state_in(&self.dir, STATE)
    }

    /// Keeps a state that the engine could not write to its place. Where other states do not lie here, it is encrypted for
    /// the readers of the log.
    pub(crate) fn rescue(&self, errored: &Path, readers: &[RecipientSpec]) -> io::Result<String> {
        let mut name = format!("errored-{}-{}.tfstate", self.run, self.attempt);
        let mut bytes = fs::read(errored)?;
        let readers: Vec<Recipient> = readers
            .iter()
            .filter_map(|reader| reader.recipient.parse().ok())
            .collect();
        if self.elsewhere && !readers.is_empty() {
            let mut file = AgeFile::new(&readers, Vec::new())?;
            file.write_all(&bytes)?;
            bytes = file.finish()?;
            name.push_str(".age");
        }
        replace(&self.dir, &name, &bytes)?;
        Ok(name)
    }
}
