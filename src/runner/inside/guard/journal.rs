//! The journal: what engines said that they began and finished; and what of it is open, given the state.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{JOURNAL, read, replace};
use super::{GuardError, io_error, stream};
use crate::runner::engine::document::State;
use crate::runner::engine::stream::Change;
use crate::runner::inside::spool::now_us;
use crate::wire::state::Open;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) v: u32,
    pub(super) run: String,
    pub(super) attempt: u32,
    pub(super) at_us: i64,
    pub(super) what: What,
    pub(super) address: String,
    pub(super) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// The object that stood at this address before and was deleted by the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// A change began.
    Start,
    /// It is done.
    Complete,
    /// It failed: the object may exist.
    Errored,
    /// The engine ended by itself and wrote its state: what this run noted before is settled.
    Ended,
    /// Left open by an earlier kill: exists, and the state does not hold it.
    Unrecorded,
    /// Left open by an earlier kill: may exist.
    InFlight,
}

impl Entry {
    /// What a line of the engine says; a read changes nothing.
    pub(super) fn of(run: &str, attempt: u32, what: What, change: &Change) -> Option<Self> {
        (change.action != "read").then(|| Self {
            v: 1,
            run: run.to_owned(),
            attempt,
            at_us: now_us(),
            what,
            address: change.address.clone(),
            action: change.action.clone(),
            id_key: change.id.as_ref().map(|(key, _)| key.clone()),
            id: change.id.as_ref().map(|(_, value)| value.clone()),
            gone: None,
        })
    }

    pub(super) fn id(&self) -> Option<(&str, &str)> {
        Some((self.id_key.as_deref()?, self.id.as_deref()?))
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.run, self.attempt) == (&other.run, other.attempt)
    }
}

/// Addresses, fit to be shown.
pub(super) fn shown(open: &[Entry]) -> Open {
    let mut shown = Open::default();
    for entry in open {
        let list = match entry.what {
            What::Unrecorded => &mut shown.unrecorded,
            _ => &mut shown.in_flight,
        };
        if !list.contains(&entry.address) {
            list.push(entry.address.clone());
        }
    }
    shown
}

/// What is open of `open`, with what the journal of this host knows of it. An address that the journal lacks was noted on
/// another host, and has no id here.
pub(super) fn of_open(open: &Open, journal: &[Entry], run: &str, attempt: u32) -> Vec<Entry> {
    let nothing = State::default();
    let known = still_open(journal, &nothing, &nothing);
    let mut entries = Vec::new();
    for (addresses, what) in [
        (&open.unrecorded, What::Unrecorded),
        (&open.in_flight, What::InFlight),
    ] {
        for address in addresses {
            let before = entries.len();
            entries.extend(
                known
                    .iter()
                    .filter(|entry| entry.address == *address && entry.what == what)
                    .cloned(),
            );
            if entries.len() == before {
                let change = Change {
                    address: address.clone(),
                    action: "create".to_owned(),
                    ..Change::default()
                };
                entries.extend(Entry::of(run, attempt, what, &change));
            }
        }
    }
    entries
}

/// The journal, and what killed runs left unread.
pub(super) fn read_journal(dir: &Path) -> Result<Vec<Entry>, GuardError> {
    let bytes = read(dir, JOURNAL)?.unwrap_or_default();
    // Only the last line can be torn; one that cannot be read says nothing that could be used.
    let mut entries: Vec<Entry> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    entries.extend(stream::unread(dir));
    Ok(entries)
}

pub(super) fn write_journal(dir: &Path, entries: &[Entry]) -> Result<(), GuardError> {
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

/// Entries, oldest first → what of them is open, given the state, and the copy from before the engine that noted them.
pub(super) fn still_open(entries: &[Entry], state: &State, before: &State) -> Vec<Entry> {
    let mut open: Vec<Entry> = Vec::new();
    // What was deleted, by run and address.
    let mut deleted: BTreeMap<(&str, u32, &str), &Entry> = BTreeMap::new();
    for entry in entries {
        let same = |other: &Entry| other.address == entry.address;
        let place = (&*entry.run, entry.attempt, &*entry.address);
        let gone = || deleted.get(&place).and_then(|other| other.id.clone());
        match entry.what {
            What::Unrecorded | What::InFlight => open.push(entry.clone()),
            What::Start => open.push(Entry {
                what: What::InFlight,
                gone: gone(),
                ..entry.clone()
            }),
            What::Complete => {
                open.retain(|other| {
                    !(same(other)
                        && other.what == What::InFlight
                        && other.is_of(entry)
                        && other.action == entry.action)
                });
                if entry.action == "delete" {
                    open.retain(|other| {
                        !(same(other) && (entry.id.is_none() || other.id == entry.id))
                    });
                    deleted.insert(place, entry);
                } else {
                    open.push(Entry {
                        what: What::Unrecorded,
                        gone: gone(),
                        ..entry.clone()
                    });
                }
            }
            What::Errored => {}
            What::Ended => {
                // Those of earlier runs stay: an object made anew at their address is another one.
                open.retain(|other| !other.is_of(entry));
            }
        }
    }
    open.retain(|entry| {
        let held = state.holds(&entry.address, entry.id());
        match (entry.what, entry.action.as_str()) {
            // What was being deleted or changed is in the state still: the next refresh finds out.
            (What::InFlight, "delete" | "update") => !held,
            // An object that is there without its end having been said may lack what its provisioners were to do; both
            // engines record such a one as whole while they write others down. One that they call half made they replace.
            (What::InFlight, _) if entry.id().is_none() => {
                !state.is_half_made(&entry.address)
                    || entries.contains(entry)
                    || state.agrees(before, &entry.address)
            }
            _ => !held,
        }
    });
    open
}
