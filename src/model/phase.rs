//! The life of a deployment: a state and one pure transition.
//!
//! ```text
//! Queued --claimed--> Running --ended--> Ended
//!    \------------------ended-------------^      (cancelled, lost or refused before a run)
//! Running --released--> Queued                   (the attempt never accepted its job; try again)
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a deployment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Apply the manifest.
    Deploy,
    /// Only plan it.
    PlanOnly,
    /// Apply an earlier deployment again.
    Rollback,
    /// Only plan that.
    RollbackPlan,
    /// Destroy everything.
    Destroy,
    /// Take into the state what a killed run made and could not record.
    StateImport,
    /// Only show what the next plan would make of that.
    StateImportPlan,
    /// Forget what a killed run left open, by name.
    StateDismiss,
    /// Take the state to another storage.
    StateMove,
}

impl Mode {
    /// Whether the deployment may change infrastructure.
    pub(crate) fn changes_state(self) -> bool {
        matches!(self, Self::Deploy | Self::Rollback | Self::Destroy)
    }

    /// The text stored and filtered by (`by_mode`).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::PlanOnly => "plan_only",
            Self::Rollback => "rollback",
            Self::RollbackPlan => "rollback_plan",
            Self::Destroy => "destroy",
            Self::StateImport => "state_import",
            Self::StateImportPlan => "state_import_plan",
            Self::StateDismiss => "state_dismiss",
            Self::StateMove => "state_move",
        }
    }

    /// Whether it replays the bundle of the last deployment as it was.
    pub(crate) fn replays(self) -> bool {
        matches!(
            self,
            Self::Destroy
                | Self::StateImport
                | Self::StateImportPlan
                | Self::StateDismiss
                | Self::StateMove
        )
    }

    /// Reads [`Mode::as_str`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [
            Self::Deploy,
            Self::PlanOnly,
            Self::Rollback,
            Self::RollbackPlan,
            Self::Destroy,
            Self::StateImport,
            Self::StateImportPlan,
            Self::StateDismiss,
            Self::StateMove,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
    }

    /// `mode` and `plan_only` as v1 shows them.
    pub(crate) fn on_the_wire(self) -> (&'static str, bool) {
        match self {
            Self::Deploy => ("deploy", false),
            Self::PlanOnly => ("deploy", true),
            Self::Rollback => ("rollback", false),
            Self::RollbackPlan => ("rollback", true),
            Self::Destroy => ("destroy", false),
            Self::StateImport => ("state_import", false),
            Self::StateImportPlan => ("state_import", true),
            Self::StateDismiss => ("state_dismiss", false),
            Self::StateMove => ("state_move", false),
        }
    }
}

/// Where a deployment stands, as told to people (`windlass.phase`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Waiting for the environment or for a worker.
    Queued,
    /// The image is built or fetched and the container starts.
    Starting,
    /// The engine fetches providers.
    Init,
    /// The engine plans.
    Planning,
    /// The engine changes infrastructure.
    Applying,
    /// Outputs and results are stored.
    Saving,
    /// Over.
    Ended,
}

/// How a deployment ended (`windlass.outcome`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Infrastructure is as asked.
    Applied,
    /// There was nothing to change.
    Unchanged,
    /// A plan was made.
    Planned,
    /// Everything is gone.
    Destroyed,
    /// It failed; see the failure class.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The runner vanished without a result.
    Lost,
}

impl Outcome {
    /// Whether v1 calls it `succeeded`.
    pub(crate) fn is_success(self) -> bool {
        matches!(
            self,
            Self::Applied | Self::Unchanged | Self::Planned | Self::Destroyed
        )
    }
}

/// Why a deployment failed (`windlass.failure_class`), in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureClass {
    /// The catalogue or the request no longer compiles.
    ConfigInvalid,
    /// The container engine does not answer.
    RunnerUnreachable,
    /// The runner image is missing or cannot be built.
    ImageMissing,
    /// The container could not be created or started.
    StartFailed,
    /// No usable engine binary.
    EngineMissing,
    /// The bundle is damaged or refused.
    BundleInvalid,
    /// `init` failed.
    InitFailed,
    /// `plan` failed.
    PlanFailed,
    /// `apply` failed.
    ApplyFailed,
    /// `destroy` failed.
    DestroyFailed,
    /// Somebody else holds the state lock.
    LockHeld,
    /// The state changed after the plan.
    StalePlan,
    /// The memory limit was hit.
    OutOfMemory,
    /// A phase took longer than its deadline.
    Timeout,
    /// The run was killed.
    Killed,
    /// The state could not be written.
    StateWriteFailed,
    /// The state could not be taken to another storage; it lies where it was.
    StateMoveFailed,
    /// An earlier run was killed, and what it left open is neither imported nor dismissed.
    Unsettled,
    /// The runner vanished and left no result.
    Lost,
    /// A fault of ours.
    Internal,
}

/// Where a deployment stands. A field exists only in the phase that has it. Times are microseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accepted, waiting.
    Queued,
    /// Claimed by a worker.
    Running {
        /// The attempt, from 1; also the lease epoch.
        attempt: u32,
        /// Since when.
        since_us: i64,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// When.
        at_us: i64,
    },
}

/// What happens to a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A worker took it.
    Claimed {
        /// The new attempt.
        attempt: u32,
        /// When.
        at_us: i64,
    },
    /// The attempt ended before the runner accepted its job.
    Released {
        /// The attempt given back.
        attempt: u32,
    },
    /// It is over.
    Ended {
        /// The attempt that says so; `None` for a deployment that was still queued.
        attempt: Option<u32>,
        /// How.
        outcome: Outcome,
        /// When.
        at_us: i64,
    },
}

/// Returns the phase after `event`, or `None` if the event is stale or came out of order.
pub(crate) fn after(phase: &Phase, event: &Event) -> Option<Phase> {
    match (phase, event) {
        (Phase::Queued, Event::Claimed { attempt, at_us }) => Some(Phase::Running {
            attempt: *attempt,
            since_us: *at_us,
        }),
        (
            Phase::Queued,
            Event::Ended {
                attempt: None,
                outcome,
                at_us,
            },
        ) => Some(Phase::Ended {
            outcome: *outcome,
            at_us: *at_us,
        }),
        (
            Phase::Running { attempt, .. },
            Event::Released {
                attempt: given_back,
            },
        ) => (attempt == given_back).then_some(Phase::Queued),
        (
            Phase::Running { attempt, .. },
            Event::Ended {
                attempt: Some(said_by),
                outcome,
                at_us,
            },
        ) => (attempt == said_by).then_some(Phase::Ended {
            outcome: *outcome,
            at_us: *at_us,
        }),
        (
            Phase::Queued,
            Event::Released { .. }
            | Event::Ended {
                attempt: Some(_), ..
            },
        )
        | (Phase::Running { .. }, Event::Claimed { .. } | Event::Ended { attempt: None, .. })
        | (Phase::Ended { .. }, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_an_older_attempt_is_refused() {
        let running = Phase::Running {
            attempt: 2,
            since_us: 0,
        };
        let ended = |attempt| Event::Ended {
            attempt: Some(attempt),
            outcome: Outcome::Applied,
            at_us: 1,
        };
        assert_eq!(after(&running, &ended(1)), None);
        assert_eq!(
            after(&running, &ended(2)),
            Some(Phase::Ended {
                outcome: Outcome::Applied,
                at_us: 1
            })
        );
    }

    #[test]
    fn nothing_follows_the_end() {
        let ended = Phase::Ended {
            outcome: Outcome::Lost,
            at_us: 1,
        };
        assert_eq!(
            after(
                &ended,
                &Event::Claimed {
                    attempt: 3,
                    at_us: 2
                }
            ),
            None
        );
        assert_eq!(
            after(
                &ended,
                &Event::Ended {
                    attempt: Some(1),
                    outcome: Outcome::Applied,
                    at_us: 2
                }
            ),
            None
        );
    }

    #[test]
    fn every_mode_reads_back() {
        for mode in [
            Mode::Deploy,
            Mode::PlanOnly,
            Mode::Rollback,
            Mode::RollbackPlan,
            Mode::Destroy,
            Mode::StateImport,
            Mode::StateImportPlan,
            Mode::StateDismiss,
            Mode::StateMove,
        ] {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
    }
}
