//! What a killed run left open is settled: taken into the state, or forgotten by name.
//!
//! An import is a plan with `import` blocks; what the engine found goes from the plan's own state into ours, and nothing
//! else does. An id is the one that the engine said before it was killed, or one that a person looked up and names. So an import changes no infrastructure whatever the plan says, and what the plan says is what the next
//! deploy of the same would do.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::{COPY, STATE, replace, valid_state};
use super::journal::{Entry, What, write_journal};
use super::{Guard, GuardError, io_error};
use crate::hcl;
use crate::runner::engine::state_file::{Object, StateFile};

/// Why nothing was settled; in clear.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// The directory.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// What was asked for is not there.
    #[error("{0}")]
    Refused(String),
}

/// What was imported.
pub(crate) struct Imported(Vec<Entry>);

/// What is to be imported.
#[derive(Debug)]
pub(crate) struct Import {
    entries: Vec<Entry>,
    /// The state to plan on: without the objects whose places are taken.
    file: StateFile,
    /// Objects that were set aside, by address: the next apply removes them.
    aside: Vec<(String, Object)>,
}

impl Import {
    /// `import` blocks, with ids.
    pub(crate) fn blocks(&self) -> String {
        let block = |entry: &Entry| {
            let id = hcl::quoted(entry.id.as_deref().unwrap_or_default());
            format!("import {{\n  to = {}\n  id = {id}\n}}\n", entry.address)
        };
        self.entries.iter().map(block).collect()
    }

    /// The state to plan on.
    pub(crate) fn state(&self) -> Option<Vec<u8>> {
        self.file.successor()
    }

    /// Whether what the plan found can be taken into the state.
    pub(crate) fn check(&self, planned: &[u8]) -> Result<(), SettleError> {
        self.found(&StateFile::read(planned).ok_or_else(foreign)?)
            .map(drop)
    }

    /// The state with what the plan found in it.
    pub(crate) fn merged(mut self, planned: &[u8]) -> Result<(Vec<u8>, Imported), SettleError> {
        let found = self.found(&StateFile::read(planned).ok_or_else(foreign)?)?;
        found.into_iter().for_each(|object| self.file.put(object));
        let bytes = self.file.successor().ok_or_else(foreign)?;
        Ok((bytes, Imported(self.entries)))
    }

    /// What the plan found, in the order of the entries.
    fn found(&self, planned: &StateFile) -> Result<Vec<Object>, SettleError> {
        let found = |entry: &Entry| {
            let address = &entry.address;
            let object = planned.object(address).ok_or_else(|| {
                SettleError::Refused(format!(
                    "the engine's plan does not hold `{address}` after the import; nothing was changed"
                ))
            })?;
            // Set aside and taken in again, it would be removed by the next apply.
            let is_held = |(place, other): &(String, Object)| place == address && object.is(other);
            if self.aside.iter().any(is_held) {
                return Err(SettleError::Refused(format!(
                    "the state holds this very object at `{address}` already, so there is nothing to import; nothing was changed. Dismiss the address: what its provisioners were to do may be undone"
                )));
            }
            Ok(object)
        };
        self.entries.iter().map(found).collect()
    }
}

impl Guard {
    /// Chooses what to import: these addresses, or all that can be. `ids`: by address, ids that a person named; they come
    /// before those that the engine said, because not every provider imports by what it calls the id.
    pub(crate) fn choose(
        &self,
        addresses: &[String],
        ids: &BTreeMap<String, String>,
    ) -> Result<Import, SettleError> {
        let mut addresses = addresses.to_vec();
        addresses.extend(ids.keys().cloned());
        self.all_known(&addresses)?;
        let wanted = |entry: &&Entry| addresses.is_empty() || addresses.contains(&entry.address);
        let mut entries: Vec<Entry> = Vec::new();
        let mut without = Vec::new();
        for entry in self.earlier.iter().filter(wanted) {
            let said = entry.id.as_ref().filter(|_| entry.what == What::Unrecorded);
            if let Some(id) = ids.get(&entry.address).or(said) {
                entries.retain(|other| other.address != entry.address);
                entries.push(Entry {
                    id: Some(id.clone()),
                    ..entry.clone()
                });
            } else {
                without.push(&entry.address);
            }
        }
        without.retain(|address| !entries.iter().any(|entry| entry.address == **address));
        if !without.is_empty() && !addresses.is_empty() {
            return Err(SettleError::Refused(format!(
                "of {} no id is known, because the run was killed before the engine said it: look whether it exists; import it as ADDRESS=ID, or dismiss it",
                listed(without.iter().map(|address| address.as_str()))
            )));
        }
        if entries.is_empty() {
            return Err(SettleError::Refused(
                match without.is_empty() {
                    true => "nothing is left open here, so there is nothing to import",
                    false => "of what is left open no id is known: look whether it exists; import it as ADDRESS=ID, or dismiss it",
                }
                .to_owned(),
            ));
        }
        let bytes = match self.elsewhere {
            true => self.pulled.clone().unwrap_or_default(),
            false => valid_state(&self.dir)?.0,
        };
        let mut file = StateFile::read(&bytes).ok_or_else(foreign)?;
        let mut aside = Vec::new();
        for entry in &entries {
            // An object that holds the place was replaced: it is gone, or it has yet to go.
            if entry.gone.is_some() {
                file.forget(&entry.address);
            } else {
                aside.extend(
                    file.object(&entry.address)
                        .map(|object| (entry.address.clone(), object)),
                );
                let key = uuid::Uuid::new_v4().simple().to_string();
                file.depose(&entry.address, &key[..8]);
            }
        }
        Ok(Import {
            entries,
            file,
            aside,
        })
    }

    /// Puts what the plan found into the state: whole or not at all.
    pub(crate) fn adopt(&mut self, import: Import, planned: &[u8]) -> Result<(), SettleError> {
        let (bytes, entries) = import.merged(planned)?;
        let keep = |dir: &Path| {
            let (before, _) = valid_state(dir)?;
            replace(dir, COPY, &before).map_err(io_error("keep a copy of the state"))?;
            replace(dir, STATE, &bytes).map_err(io_error("write the state"))
        };
        keep(&self.dir)?;
        self.copied = None;
        self.adopted(&entries)
    }

    /// The state holds these now, so they are open no more.
    pub(crate) fn adopted(&mut self, entries: &Imported) -> Result<(), SettleError> {
        self.earlier.retain(|entry| {
            !entries.0.iter().any(|done| {
                done.address == entry.address
                    && (entry.what == What::Unrecorded || done.what != What::Unrecorded)
            })
        });
        Ok(write_journal(&self.dir, &self.earlier)?)
    }

    /// Forgets these addresses: all of them or none.
    pub(crate) fn dismiss(&mut self, addresses: &[String]) -> Result<(), SettleError> {
        self.all_known(addresses)?;
        self.earlier
            .retain(|entry| !addresses.contains(&entry.address));
        Ok(write_journal(&self.dir, &self.earlier)?)
    }

    fn all_known(&self, addresses: &[String]) -> Result<(), SettleError> {
        let known =
            |address: &&String| self.earlier.iter().any(|entry| entry.address == ***address);
        let unknown: Vec<&str> = addresses
            .iter()
            .filter(|address| !known(address))
            .map(String::as_str)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let open = listed(self.earlier.iter().map(|entry| entry.address.as_str()));
        Err(SettleError::Refused(format!(
            "{} is not left open here; open is {open}",
            listed(unknown.into_iter())
        )))
    }
}

fn foreign() -> SettleError {
    SettleError::Refused(
        "the state has a format that this Windlass does not know, so nothing is put into it"
            .to_owned(),
    )
}

fn listed<'a>(addresses: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = addresses.map(|address| format!("`{address}`")).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
