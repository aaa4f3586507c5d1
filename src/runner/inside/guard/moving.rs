//! A state directory that a state is taken from, or put into.

use std::path::Path;

use super::files::{COPY, STATE, read, replace};
use super::journal::write_journal;
use super::{Found, GuardError, io_error, look, make, stream};

/// What lies in a state directory, as [`look()`] says it; `None` where no state was ever put there. Nothing is written.
pub(crate) fn taken(dir: &Path) -> Result<Option<Found>, GuardError> {
    if read(dir, STATE)?.is_none() && read(dir, COPY)?.is_none() {
        return Ok(None);
    }
    look(dir).map(Some)
}

/// Puts a state that was elsewhere into a state directory: whole or not at all. One that lies there stays beside it, by a
/// name of this run. Nothing is open beside the state that comes, so what the journal says of another one goes.
pub(crate) fn put(dir: &Path, run: &str, bytes: &[u8]) -> Result<(), GuardError> {
    make(dir)?;
    if let Some(old) = read(dir, STATE)?.filter(|old| old != bytes) {
        replace(dir, &format!("before-{run}.tfstate"), &old)
            .map_err(io_error("keep the state that lies there"))?;
    }
    write_journal(dir, &[])?;
    stream::remove_unread(dir);
    // In this order: what takes the place of a torn file is never another state than the one that was torn.
    replace(dir, COPY, bytes).map_err(io_error("keep a copy of the state"))?;
    replace(dir, STATE, bytes).map_err(io_error("write the state"))
}
