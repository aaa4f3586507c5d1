//! Planted bugs: what each fuzz target must find, asleep until its name is given. Only with the feature `fuzz`.

use std::sync::OnceLock;

static PLANTED: OnceLock<String> = OnceLock::new();

/// Wakes one, for the rest of the process.
pub(crate) fn plant(target: &str) {
    let _ = PLANTED.set(target.to_owned());
}

/// Whether the bug of this target is awake.
pub(crate) fn is_planted(target: &str) -> bool {
    PLANTED.get().is_some_and(|planted| planted == target)
}
