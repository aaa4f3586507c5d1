//! Decides how a run has ended, from what it said and how its carrier ended. Pure.

use crate::model::phase::{FailureClass, Outcome};
use crate::runner::inside::{NO_SPACE, UNUSABLE};
use crate::runner::{Exit, Launch, LaunchError, RunEnd, event::Event, event::Kind, memory_setting};

/// After this many attempts that never began, the deployment fails.
pub(crate) const ATTEMPTS: u32 = 5;

/// What a run has said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// Number of the last event that is durable at the desk.
    pub(crate) last_seq: u64,
    /// Whether it accepted its job.
    pub(crate) accepted: bool,
    /// How it ended by its own word.
    pub(crate) finished: Option<Outcome>,
}

impl Said {
    /// What the desk already has, but for the last event: it is heard once more, because it may be the end, which
    /// was stored and not yet acted upon. The desk skips what it has.
    pub(crate) fn until(last_seq: u64) -> Self {
        Self {
            last_seq: last_seq.saturating_sub(1),
            // `accepted` is always number 1.
            accepted: last_seq > 0,
            finished: None,
        }
    }

    /// Takes note of an event.
    pub(crate) fn hear(&mut self, event: &Event) {
        self.last_seq = self.last_seq.max(event.seq);
        self.accepted = true;
        if let Kind::Finished(finished) = &event.kind {
            self.finished = Some(finished.outcome);
        }
    }
}

/// The end of a run whose carrier has ended and whose events are all delivered.
///
/// `unable` is why the job could not be written, if it could not; `asked` whether somebody asked to cancel.
pub(crate) fn of(
    said: &Said,
    exit: &Exit,
    unable: Option<LaunchError>,
    asked: bool,
    attempt: u32,
    launch: &Launch,
) -> RunEnd {
    if said.finished.is_some() {
        return RunEnd::Finished;
    }
    if !said.accepted {
        return never_began(exit, unable, asked, attempt, launch);
    }
    let goes_on = "what it had finished is in the state or named as unrecorded; the next deploy goes on from there";
    let failed = if asked {
        Outcome::Cancelled
    } else {
        Outcome::Failed
    };
    let what = carrier(launch);
    if let Some(reason) = exit.reason.clone() {
        let outcome = match (asked, reason.class) {
            (true, _) => Outcome::Cancelled,
            (false, FailureClass::Lost) => Outcome::Lost,
            (false, _) => Outcome::Failed,
        };
        return RunEnd::Died {
            outcome,
            failure_class: reason.class,
            message: format!("{}; {goes_on}", reason.message),
        };
    }
    if exit.out_of_memory {
        return RunEnd::Died {
            outcome: failed,
            failure_class: FailureClass::OutOfMemory,
            message: format!(
                "the {what} hit its memory limit{} and was killed before it could report; {goes_on}. Raise {} of the runner",
                limit(launch),
                memory_setting(launch.launcher())
            ),
        };
    }
    if exit.vanished {
        return RunEnd::Died {
            outcome: if asked {
                Outcome::Cancelled
            } else {
                Outcome::Lost
            },
            failure_class: FailureClass::Lost,
            message: format!(
                "the {what} is gone and left no result: somebody or something removed it; {goes_on}"
            ),
        };
    }
    RunEnd::Died {
        outcome: failed,
        failure_class: FailureClass::Killed,
        message: format!(
            "the {what} ended{} before it could report; {goes_on}",
            code(exit, launch)
        ),
    }
}

fn never_began(
    exit: &Exit,
    unable: Option<LaunchError>,
    asked: bool,
    attempt: u32,
    launch: &Launch,
) -> RunEnd {
    if asked {
        return cancelled();
    }
    let what = carrier(launch);
    // What the place knows says more than what came of writing to it.
    let unable = exit
        .reason
        .clone()
        .map(LaunchError::from)
        .map(|reason| LaunchError {
            // An eviction or a lost node hits the next attempt only by chance.
            transient: matches!(reason.class, FailureClass::Killed | FailureClass::Lost),
            ..reason
        })
        .or(unable);
    let (message, class, final_) = match unable {
        Some(error) => (error.message, error.class, !error.transient),
        None => (
            format!(
                "the {what} ended{} before it accepted its job",
                code(exit, launch)
            ),
            FailureClass::StartFailed,
            false,
        ),
    };
    if final_ || attempt >= ATTEMPTS {
        RunEnd::Died {
            outcome: Outcome::Failed,
            failure_class: class,
            message,
        }
    } else {
        RunEnd::NeverBegan { message }
    }
}

/// The end of a run that somebody cancelled before it had its job.
pub(crate) fn cancelled() -> RunEnd {
    RunEnd::Died {
        outcome: Outcome::Cancelled,
        failure_class: FailureClass::Killed,
        message: "cancelled before anything was started".to_owned(),
    }
}

fn carrier(launch: &Launch) -> &'static str {
    match launch {
        Launch::Docker(_) => "container",
        Launch::Process(_) => "runner process",
        Launch::Kubernetes(_) => "pod",
    }
}

fn limit(launch: &Launch) -> String {
    match launch {
        Launch::Docker(wanted) => format!(
            " of {} MiB",
            wanted.memory_bytes.unwrap_or(2 << 30) / (1 << 20)
        ),
        Launch::Process(_) | Launch::Kubernetes(_) => String::new(),
    }
}

fn code(exit: &Exit, launch: &Launch) -> String {
    let spool = match launch {
        Launch::Docker(_) => "the disk of the Docker daemon",
        Launch::Process(_) => "the disk of the data directory",
        Launch::Kubernetes(_) => "the disk of the node",
    };
    match exit.code {
        Some(code) if code == i64::from(NO_SPACE) => {
            format!(" (there is no space left on {spool}: free some)")
        }
        Some(code) if code == i64::from(UNUSABLE) => {
            format!(" (it could not write its spool to {spool})")
        }
        Some(code @ 129..=159) => format!(" by signal {}", code - 128),
        Some(code) => format!(" with exit code {code}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::runners::DockerConfiguration;

    fn exit(code: i64) -> Exit {
        Exit {
            code: Some(code),
            out_of_memory: false,
            vanished: false,
            reason: None,
        }
    }

    fn judge(said: &Said, exit: &Exit, asked: bool, attempt: u32) -> RunEnd {
        let launch = Launch::Docker(DockerConfiguration::default());
        of(said, exit, None, asked, attempt, &launch)
    }

    #[test]
    fn its_own_word_counts_whatever_the_exit_code() {
        let said = Said {
            last_seq: 9,
            accepted: true,
            finished: Some(Outcome::Applied),
        };
        assert_eq!(judge(&said, &exit(137), true, 1), RunEnd::Finished);
    }

    #[test]
    fn an_attempt_without_accepted_is_given_back_until_it_failed_too_often() {
        let said = Said::default();
        assert!(matches!(
            judge(&said, &exit(1), false, 1),
            RunEnd::NeverBegan { .. }
        ));
        assert!(matches!(
            judge(&said, &exit(1), false, ATTEMPTS),
            RunEnd::Died {
                failure_class: FailureClass::StartFailed,
                ..
            }
        ));
        assert_eq!(judge(&said, &exit(1), true, 1), cancelled());
    }

    #[test]
    fn a_begun_run_without_a_result_is_lost_killed_or_out_of_memory() {
        let said = Said::until(3);
        let class = |exit: Exit| match judge(&said, &exit, false, 1) {
            RunEnd::Died {
                outcome,
                failure_class,
                message,
            } => (outcome, failure_class, message),
            other => panic!("{other:?}"),
        };
        let (outcome, failure, _) = class(Exit {
            code: None,
            out_of_memory: false,
            vanished: true,
            reason: None,
        });
        assert_eq!((outcome, failure), (Outcome::Lost, FailureClass::Lost));
        let (outcome, failure, message) = class(exit(137));
        assert_eq!((outcome, failure), (Outcome::Failed, FailureClass::Killed));
        assert!(message.contains("by signal 9"), "{message}");
        let (_, failure, message) = class(Exit {
            out_of_memory: true,
            ..exit(0)
        });
        assert_eq!(failure, FailureClass::OutOfMemory);
        assert!(message.contains("2048 MiB"), "{message}");
    }
}
