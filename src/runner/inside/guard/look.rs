//! Looks at a state directory and changes nothing: for a plan, and for people.

use std::path::Path;

use super::GuardError;
use super::files::{COPY, state_in, valid_state};
use super::journal::{read_journal, shown, still_open};
use crate::runner::engine::document::State;
use crate::wire::state::Open;

/// What lies in a state directory.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The state as an engine may see it.
    pub(crate) bytes: Vec<u8>,
    /// What it holds.
    pub(crate) state: State,
    /// What killed runs left open.
    pub(crate) open: Open,
}

/// Looks. A directory that is not there is one that holds nothing.
pub(crate) fn look(dir: &Path) -> Result<Found, GuardError> {
    let (bytes, state) = valid_state(dir)?;
    let before = state_in(dir, COPY).unwrap_or_default();
    let open = shown(&still_open(&read_journal(dir)?, &state, &before));
    Ok(Found { bytes, state, open })
}

/// What is open beside a state that lies elsewhere. Without it nothing of the journal is known to be recorded.
pub(crate) fn look_elsewhere(dir: &Path, state: Option<&[u8]>) -> Result<Open, GuardError> {
    let state = state.and_then(State::read).unwrap_or_default();
    let open = still_open(&read_journal(dir)?, &state, &State::default());
    Ok(shown(&open))
}
