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
//! holds that very object; a resource created anew at the same address does not close it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::spool::{Syncer, now_us};
use crate::runner::engine::document::State;
use crate::runner::engine::stream::Change;

/// Names in the state directory.
const STATE: &str = "terraform.tfstate";
const COPY: &str = "terraform.tfstate.windlass";
const JOURNAL: &str = "journal.jsonl";

/// Why the state cannot be used; in clear.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// Neither the file nor our copy can be read.
    #[error(
        "the state file `{STATE}` is empty or damaged and there is no valid copy beside it; put a valid one there (the engine's own backup is `{STATE}.backup`) and deploy again"
    )]
    Damaged,
    /// Something about the directory.
    #[error("could not {what} in the state directory: {}", .error.kind())]
    Io {
        what: &'static str,
        error: io::Error,
    },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> GuardError {
    move |error| GuardError::Io { what, error }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    v: u32,
    run: String,
    attempt: u32,
    at_us: i64,
    what: What,
    address: String,
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// A change began.
    Start,
    /// It is done.
    Complete,
    /// It failed: the object may exist.
    Errored,
    /// Left open by an earlier kill: exists, and the state does not hold it.
    Unrecorded,
    /// Left open by an earlier kill: may exist.
    InFlight,
}

impl Entry {
    fn id(&self) -> Option<(&str, &str)> {
        Some((self.id_key.as_deref()?, self.id.as_deref()?))
    }
}

/// What is open after a run: addresses only, fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) unrecorded: Vec<String>,
    pub(crate) in_flight: Vec<String>,
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
    /// Whether a line of this run could not be written.
    broken: bool,
    /// The state as last copied, so that an unchanged one is not copied again.
    copied: Option<Vec<u8>>,
    /// What was put right at the beginning, for the log.
    pub(crate) notes: Vec<String>,
}

impl Guard {
    /// Prepares the state directory: seeds or repairs the state, and works out what earlier kills left open.
    pub(crate) fn begin(dir: &Path, run: &str, attempt: u32) -> Result<Self, GuardError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_error("make a place"))?;
        let mut notes = Vec::new();
        let state = settle_state(dir, &mut notes)?;
        let old = read_journal(dir)?;
        let earlier = still_open(&old, &state);
        if !earlier.is_empty() {
            notes.push(format!(
                "{} resources are left open by an earlier run that was killed; see the deployment's `unrecorded` and `in_flight`",
                earlier.len()
            ));
        }
        write_journal(dir, &earlier)?;
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
            broken: false,
            copied: None,
            notes,
        })
    }

    /// Before each engine start: the state is valid, and a copy of it is on the disk.
    pub(crate) fn before_engine(&mut self) -> Result<(), GuardError> {
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
        if change.action == "read" {
            return;
        }
        let entry = Entry {
            v: 1,
            run: self.run.clone(),
            attempt: self.attempt,
            at_us: now_us(),
            what,
            address: change.address.clone(),
            action: change.action.clone(),
            id_key: change.id.as_ref().map(|(key, _)| key.clone()),
            id: change.id.as_ref().map(|(_, value)| value.clone()),
        };
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        self.ours.push(entry);
        // On a full disk the lines that are missing are those of `ours`, which the end still knows.
        self.broken |= (&*self.journal).write_all(&line).is_err();
        self.syncer.ask();
    }

    /// After the engine: what is open now, written down for the runs to come. `clean` says that the engine ended by itself
    /// and wrote its state; then what this run noted is settled.
    pub(crate) fn end(&mut self, clean: bool) -> Result<Open, GuardError> {
        let state = read_state(&self.dir);
        let mut all = self.earlier.clone();
        let settled = clean && state.is_some();
        if !settled {
            all.extend(self.ours.iter().cloned());
        }
        // A torn file will be replaced by the copy before the next start, so the copy is what counts.
        let state = state.or_else(|| State::read(&fs::read(self.dir.join(COPY)).ok()?));
        let open = still_open(&all, &state.unwrap_or_default());
        if settled || self.broken {
            write_journal(&self.dir, &open)?;
        }
        Ok(shown(&open))
    }

    /// What the state holds now; `None` when it cannot be read.
    pub(crate) fn state(&self) -> Option<State> {
        read_state(&self.dir)
    }

    /// Keeps a state that the engine could not write to its place.
    pub(crate) fn rescue(&self, errored: &Path) -> io::Result<String> {
        let name = format!("errored-{}-{}.tfstate", self.run, self.attempt);
        let bytes = fs::read(errored)?;
        replace(&self.dir, &name, &bytes)?;
        Ok(name)
    }
}

/// For a plan: the state as an engine may see it, and what is open; nothing is written.
pub(crate) fn look(dir: &Path) -> Result<(Vec<u8>, Open), GuardError> {
    let read = |name| match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read the state")(error)),
    };
    let found = read(STATE)?;
    let there = found.is_some();
    let valid =
        |bytes: Option<Vec<u8>>| bytes.and_then(|b| State::read(&b).map(|state| (b, state)));
    let (bytes, state) = match valid(found) {
        Some(valid) => valid,
        None => match valid(read(COPY)?) {
            Some(valid) => valid,
            None if there => return Err(GuardError::Damaged),
            None => (seed(), State::default()),
        },
    };
    let open = shown(&still_open(&read_journal(dir)?, &state));
    Ok((bytes, open))
}

/// A valid state that holds nothing.
fn seed() -> Vec<u8> {
    serde_json::json!({
        "version": 4, "serial": 1, "lineage": uuid::Uuid::new_v4().to_string(),
        "outputs": {}, "resources": [],
    })
    .to_string()
    .into_bytes()
}

fn shown(open: &[Entry]) -> Open {
    let mut shown = Open::default();
    for entry in open {
        let list = match entry.what {
            What::Unrecorded => &mut shown.unrecorded,
            What::Start | What::Complete | What::Errored | What::InFlight => &mut shown.in_flight,
        };
        if !list.contains(&entry.address) {
            list.push(entry.address.clone());
        }
    }
    shown
}

fn read_state(dir: &Path) -> Option<State> {
    State::read(&fs::read(dir.join(STATE)).ok()?)
}

/// Makes sure that there is a valid state file; returns what it holds.
fn settle_state(dir: &Path, notes: &mut Vec<String>) -> Result<State, GuardError> {
    let found = match fs::read(dir.join(STATE)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("read the state")(error)),
    };
    if let Some(state) = found.as_deref().and_then(State::read) {
        return Ok(state);
    }
    let copy = fs::read(dir.join(COPY)).ok();
    if let Some((bytes, state)) =
        copy.and_then(|bytes| State::read(&bytes).map(|state| (bytes, state)))
    {
        replace(dir, STATE, &bytes).map_err(io_error("put the copy of the state back"))?;
        notes.push(match found {
            Some(_) => "the state file was empty or torn: it is replaced by the copy that was kept before the last engine start".to_owned(),
            None => "the state file was gone: the copy that was kept before the last engine start is put back".to_owned(),
        });
        return Ok(state);
    }
    if found.is_some() {
        return Err(GuardError::Damaged);
    }
    replace(dir, STATE, &seed()).map_err(io_error("put an empty state"))?;
    Ok(State::default())
}

/// Writes a file whole or not at all, and has it on the disk.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn read_journal(dir: &Path) -> Result<Vec<Entry>, GuardError> {
    let bytes = match fs::read(dir.join(JOURNAL)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read the journal")(error)),
    };
    // Only the last line can be torn; one that cannot be read says nothing that could be used.
    Ok(bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

fn write_journal(dir: &Path, entries: &[Entry]) -> Result<(), GuardError> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(serde_json::to_vec(entry).unwrap_or_default());
        bytes.push(b'\n');
    }
    if bytes.is_empty() && !dir.join(JOURNAL).exists() {
        return Ok(());
    }
    replace(dir, JOURNAL, &bytes).map_err(io_error("write the journal"))
}

/// Entries, oldest first → what of them is open, given the state.
fn still_open(entries: &[Entry], state: &State) -> Vec<Entry> {
    let mut open: Vec<Entry> = Vec::new();
    for entry in entries {
        let same = |other: &Entry| other.address == entry.address;
        match entry.what {
            What::Unrecorded | What::InFlight => open.push(entry.clone()),
            What::Start => open.push(Entry {
                what: What::InFlight,
                ..entry.clone()
            }),
            What::Complete => {
                open.retain(|other| {
                    !(same(other)
                        && other.what == What::InFlight
                        && (&other.run, other.attempt) == (&entry.run, entry.attempt)
                        && other.action == entry.action)
                });
                if entry.action == "delete" {
                    open.retain(|other| {
                        !(same(other) && (entry.id.is_none() || other.id == entry.id))
                    });
                } else {
                    open.push(Entry {
                        what: What::Unrecorded,
                        ..entry.clone()
                    });
                }
            }
            What::Errored => {}
        }
    }
    open.retain(|entry| match (entry.what, entry.action.as_str()) {
        // What was being deleted or changed is in the state still: the next refresh finds out.
        (What::InFlight, "delete" | "update") => !state.holds(&entry.address, entry.id()),
        // The address says nothing about an object whose id we do not know and that an earlier run began to make.
        (What::InFlight, _) => match entry.id() {
            Some(id) => !state.holds(&entry.address, Some(id)),
            None => !state.holds(&entry.address, None) || was_open_before(entries, entry),
        },
        _ => !state.holds(&entry.address, entry.id()),
    });
    open
}

/// Whether the entry was carried over, rather than noted by the run whose end is being worked out.
fn was_open_before(entries: &[Entry], entry: &Entry) -> bool {
    entries
        .iter()
        .any(|other| other.what == What::InFlight && other == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(address: &str, action: &str, id: Option<&str>) -> Change {
        Change {
            address: address.into(),
            action: action.into(),
            id: id.map(|id| ("id".into(), id.into())),
        }
    }

    fn put_state(dir: &Path, objects: &[(&str, &str)]) {
        let resources: Vec<_> = objects
            .iter()
            .map(|(name, id)| {
                serde_json::json!({"mode": "managed", "type": "t", "name": name,
                    "instances": [{"attributes": {"id": id}}]})
            })
            .collect();
        let state = serde_json::json!({"version": 4, "serial": 2, "lineage": "l", "outputs": {}, "resources": resources});
        fs::write(dir.join(STATE), state.to_string()).expect("written");
    }

    fn begin(dir: &Path, attempt: u32) -> Guard {
        Guard::begin(dir, "run", attempt).expect("a guard")
    }

    #[test]
    fn an_empty_state_is_put_before_the_first_apply() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut guard = begin(dir.path(), 1);
        guard.before_engine().expect("copied");
        let state = fs::read(dir.path().join(STATE)).expect("seeded");
        assert!(State::read(&state).is_some());
        assert_eq!(fs::read(dir.path().join(COPY)).expect("copied"), state);
    }

    #[test]
    fn an_empty_or_torn_state_is_replaced_by_the_copy() {
        let dir = tempfile::tempdir().expect("a directory");
        put_state(dir.path(), &[("a", "1")]);
        let whole = fs::read(dir.path().join(STATE)).expect("there");
        begin(dir.path(), 1).before_engine().expect("copied");
        for torn in [&b""[..], &whole[..20]] {
            fs::write(dir.path().join(STATE), torn).expect("torn");
            let guard = begin(dir.path(), 2);
            assert_eq!(guard.notes.len(), 1);
            assert_eq!(fs::read(dir.path().join(STATE)).expect("there"), whole);
        }
    }

    #[test]
    fn a_damaged_state_without_a_copy_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(STATE), "").expect("written");
        assert!(matches!(
            Guard::begin(dir.path(), "run", 1),
            Err(GuardError::Damaged)
        ));
    }

    #[test]
    fn after_a_kill_journal_minus_state_is_open_and_stays_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut guard = begin(dir.path(), 1);
        for (name, id) in [("t.a", "1"), ("t.b", "2")] {
            guard.started(&change(name, "create", None));
            guard.done(&change(name, "create", Some(id)));
        }
        guard.started(&change("t.c", "create", None));
        put_state(dir.path(), &[("a", "1")]);
        let expected = Open {
            unrecorded: vec!["t.b".into()],
            in_flight: vec!["t.c".into()],
        };
        assert_eq!(guard.end(false).expect("worked out"), expected);
        drop(guard);

        // The next run makes both anew: the objects of the first one are still nobody's.
        let mut guard = begin(dir.path(), 2);
        put_state(dir.path(), &[("a", "1"), ("b", "8"), ("c", "9")]);
        assert_eq!(guard.end(true).expect("worked out"), expected);
        drop(guard);

        // Imported: the state holds that very object.
        put_state(dir.path(), &[("a", "1"), ("b", "2")]);
        let open = begin(dir.path(), 3).end(true).expect("worked out");
        assert_eq!(open.unrecorded, Vec::<String>::new());
    }

    #[test]
    fn a_supervisor_that_died_with_its_engine_is_worked_out_by_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut guard = begin(dir.path(), 1);
        guard.started(&change("t.a", "create", None));
        guard.done(&change("t.a", "create", Some("1")));
        guard.started(&change("t.b", "delete", Some("5")));
        drop(guard);
        let open = begin(dir.path(), 2).end(true).expect("worked out");
        assert_eq!(open.unrecorded, ["t.a"]);
    }

    #[test]
    fn a_clean_end_settles_everything() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut guard = begin(dir.path(), 1);
        guard.started(&change("t.a", "create", None));
        guard.errored(&change("t.a", "create", None));
        assert_eq!(guard.end(true).expect("worked out"), Open::default());
        assert_eq!(fs::read(dir.path().join(JOURNAL)).expect("there"), b"");
    }

    #[test]
    fn a_replacement_that_was_killed_between_its_halves_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        put_state(dir.path(), &[("a", "1")]);
        let mut guard = begin(dir.path(), 1);
        guard.started(&change("t.a", "delete", Some("1")));
        guard.done(&change("t.a", "delete", Some("1")));
        guard.started(&change("t.a", "create", None));
        guard.done(&change("t.a", "create", Some("2")));
        let open = guard.end(false).expect("worked out");
        assert_eq!(open.unrecorded, ["t.a"]);
    }
}
