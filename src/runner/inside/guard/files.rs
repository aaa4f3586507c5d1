//! The files of a state directory: which there are, how one is written so that it is whole whenever anything dies.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{GuardError, io_error};
use crate::runner::engine::document::State;

/// The engine's file.
pub(super) const STATE: &str = "terraform.tfstate";
/// Our copy, from before the last engine start.
pub(super) const COPY: &str = "terraform.tfstate.windlass";
/// What engines said that they changed.
pub(super) const JOURNAL: &str = "journal.jsonl";

/// A valid state that holds nothing.
pub(in crate::runner::inside) fn seed() -> Vec<u8> {
    serde_json::json!({
        "version": 4, "serial": 1, "lineage": uuid::Uuid::new_v4().to_string(),
        "outputs": {}, "resources": [],
    })
    .to_string()
    .into_bytes()
}

/// A file, if it is there.
pub(super) fn read(dir: &Path, name: &str) -> Result<Option<Vec<u8>>, GuardError> {
    match fs::read(dir.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read the state")(error)),
    }
}

/// A file that is a whole state.
pub(super) fn state_in(dir: &Path, name: &str) -> Option<State> {
    State::read(&fs::read(dir.join(name)).ok()?)
}

/// The state as an engine may see it; nothing is written.
pub(super) fn valid_state(dir: &Path) -> Result<(Vec<u8>, State), GuardError> {
    let found = read(dir, STATE)?;
    let there = found.is_some();
    let valid =
        |bytes: Option<Vec<u8>>| bytes.and_then(|b| State::read(&b).map(|state| (b, state)));
    match valid(found) {
        Some(valid) => Ok(valid),
        None => match valid(read(dir, COPY)?) {
            Some(valid) => Ok(valid),
            None if there => Err(GuardError::Damaged),
            None => Ok((seed(), State::default())),
        },
    }
}

/// Makes sure that there is a valid state file; returns what it holds.
pub(super) fn settle_state(dir: &Path, notes: &mut Vec<String>) -> Result<State, GuardError> {
    let found = read(dir, STATE)?;
    if let Some(state) = found.as_deref().and_then(State::read) {
        return Ok(state);
    }
    let (bytes, state) = valid_state(dir)?;
    replace(dir, STATE, &bytes).map_err(io_error("put a valid state"))?;
    match (found, dir.join(COPY).exists()) {
        (Some(_), _) => notes.push("the state file was empty or torn: it is replaced by the copy that was kept before the last engine start".to_owned()),
        (None, true) => notes.push("the state file was gone: the copy that was kept before the last engine start is put back".to_owned()),
        (None, false) => {}
    }
    Ok(state)
}

/// Writes a file whole or not at all, and has it on the disk.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
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
