//! What a call of the engine came to, in clear: a class, and a sentence without words of the engine.

use std::path::Path;

use super::call::Called;
use super::child::Exit;
use super::ear::Heard;
use super::guard;
use super::place;
use super::run::Run;
use crate::model::phase::{FailureClass, Outcome};

/// Why a run did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) class: Option<FailureClass>,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            class: Some(class),
            message: message.into(),
        }
    }
}

impl From<guard::GuardError> for Failure {
    fn from(error: guard::GuardError) -> Self {
        Self::new(FailureClass::StateWriteFailed, error.to_string())
    }
}

impl Run<'_> {
    /// Whether a call went well, and else why not.
    pub(super) fn judge(
        &self,
        called: &Called,
        heard: &Heard,
        class: FailureClass,
        name: &str,
        good: &[i32],
    ) -> Result<(), Failure> {
        if let Exit::Code(code) = called.exit
            && good.contains(&code)
            && !called.forced
        {
            return match heard.foreign {
                Some(major) => Err(Failure::new(
                    class,
                    format!(
                        "the engine speaks version {major} of its JSON stream, which this Windlass does not know"
                    ),
                )),
                None => Ok(()),
            };
        }
        if called.timed_out {
            return Err(Failure::new(
                FailureClass::Timeout,
                format!(
                    "`{name}` took longer than the {} s it is allowed and was stopped{}",
                    called.allowed.as_secs(),
                    if called.forced { ", by force" } else { "" }
                ),
            ));
        }
        let starved = place::memory_kills().unwrap_or(0) > self.memory_kills;
        if starved {
            let limit = place::memory_limit()
                .map_or_else(String::new, |limit| format!(" of {} MiB", limit >> 20));
            let peak = place::memory_peak()
                .map_or_else(String::new, |peak| format!(" (peak: {} MiB)", peak >> 20));
            return Err(Failure::new(
                FailureClass::OutOfMemory,
                format!(
                    "the memory limit{limit} was hit during `{name}`{peak}; raise {} of the runner",
                    self.memory_setting
                ),
            ));
        }
        if self.stop {
            return Err(cancelled(called.forced));
        }
        match called.exit {
            Exit::Signal(signal) => Err(Failure::new(
                FailureClass::Killed,
                format!("the engine was killed by signal {signal} during `{name}`"),
            )),
            Exit::Code(code) => Err(match &heard.lock {
                Some(holder) => Failure::new(
                    FailureClass::LockHeld,
                    format!("{holder}; wait for it, or find out why it did not let go"),
                ),
                None if heard.stale => Failure::new(
                    FailureClass::StalePlan,
                    "somebody changed the state between the plan and its apply, so nothing was applied; deploy again",
                ),
                None if heard.local_exec && !Path::new("/bin/sh").exists() => Failure::new(
                    class,
                    format!(
                        "`{name}` failed: a module uses `local-exec`, and this runner has no `/bin/sh`; install a static shell (Debian: `busybox-static`) where the image is built, and build it again with `windlass runner-image build`"
                    ),
                ),
                None if heard.errors > 0 => Failure::new(
                    class,
                    format!(
                        "`{name}` failed with {} error{}; the log has the engine's words",
                        heard.errors,
                        if heard.errors == 1 { "" } else { "s" }
                    ),
                ),
                None => Failure::new(
                    class,
                    format!("`{name}` ended with exit code {code}; the log has the engine's words"),
                ),
            }),
        }
    }
}

pub(super) fn cancelled(forced: bool) -> Failure {
    Failure {
        outcome: Outcome::Cancelled,
        class: None,
        message: if forced {
            "stopped on request; the engine did not end in time and was made to".to_owned()
        } else {
            "stopped on request".to_owned()
        },
    }
}
