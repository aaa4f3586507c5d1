//! What the agent was given and has not brought to its end: one sealed file for each attempt, durable before anything
//! is started. From here runs are adopted after the agent was killed, whether or not the server is there.
//!
//! What a run says is not in it: that is in the run's own spool until the server has it, and the spool goes only after
//! the end of the run is stored.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::vault::Vault;
use crate::runner::{Adoptable, RunKey};

/// One file.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: u32,
    run: Adoptable,
}

/// The journal.
pub(super) struct Journal {
    vault: Vault,
    entries: Mutex<BTreeMap<RunKey, Adoptable>>,
}

impl Journal {
    /// Reads what an earlier agent of this directory left. What cannot be read is set aside and named.
    pub(super) fn open(vault: Vault) -> anyhow::Result<Self> {
        let mut entries = BTreeMap::new();
        for name in vault.names()? {
            match vault.get::<Entry>(&name) {
                Ok(Some(entry)) => {
                    entries.insert(entry.run.assignment.key.clone(), entry.run);
                }
                Ok(None) => {}
                Err(error) => {
                    let to = vault.set_aside(&name).context(
                        "a file of the journal that cannot be read could not be set aside",
                    )?;
                    tracing::error!(
                        "the run {name} cannot be read from the journal and is left to the server: {error:#}; its file is `{}`",
                        to.display()
                    );
                }
            }
        }
        Ok(Self {
            vault,
            entries: Mutex::new(entries),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunKey, Adoptable>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every run in it.
    pub(super) fn runs(&self) -> Vec<Adoptable> {
        self.lock().values().cloned().collect()
    }

    /// The attempts in it.
    pub(super) fn keys(&self) -> Vec<RunKey> {
        self.lock().keys().cloned().collect()
    }

    /// Writes a run down.
    pub(super) fn put(&self, run: Adoptable) -> anyhow::Result<()> {
        let key = run.assignment.key.clone();
        let entry = Entry { version: 1, run };
        self.vault.put(&key.to_string(), &entry)?;
        self.lock().insert(key, entry.run);
        Ok(())
    }

    /// Writes down what changed of a run, if it is there.
    pub(super) fn change(
        &self,
        key: &RunKey,
        change: impl FnOnce(&mut Adoptable),
    ) -> anyhow::Result<()> {
        let run = self.lock().get(key).cloned();
        let Some(mut run) = run else {
            return Ok(());
        };
        change(&mut run);
        self.put(run)
    }

    /// Remembers, for as long as this process lives, up to where the server has what a run said.
    pub(super) fn heard(&self, key: &RunKey, seq: u64) {
        if let Some(run) = self.lock().get_mut(key) {
            run.last_seq = run.last_seq.max(seq);
        }
    }

    /// Forgets a run.
    pub(super) fn remove(&self, key: &RunKey) {
        self.lock().remove(key);
        if let Err(error) = self.vault.remove(&key.to_string()) {
            tracing::warn!(run = %key, %error, "a run that is over stays in the journal until the next start");
        }
    }
}
