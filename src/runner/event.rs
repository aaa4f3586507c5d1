//! What a run says, in order: each event is written to the spool before it is sent, numbered from 1
//! without gaps, so that `(run, attempt, sequence)` makes delivery exactly once over any transport.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::phase::{FailureClass, Outcome, Step};
use crate::wire::deployments::{Progress, ResourceEvent, RunDiagnostic, RunRecord, StreamName};

/// One event; one line of JSON in the spool and on the transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Protocol version, first.
    pub(crate) v: u32,
    /// Run.
    pub(crate) run: String,
    /// Attempt.
    pub(crate) attempt: u32,
    /// From 1, no gaps.
    pub(crate) seq: u64,
    /// Microseconds since 1970, by the runner's clock; information only, never order.
    pub(crate) at_us: i64,
    /// What happened.
    pub(crate) kind: Kind,
}

/// The number of the event in a line, without parsing all of it; `None`: not found that quickly.
pub(crate) fn seq_of(line: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"seq\":";
    let head = line.get(..200.min(line.len()))?;
    let at = head.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let digits: Vec<u8> = head[at..]
        .iter()
        .copied()
        .take_while(u8::is_ascii_digit)
        .collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Always number 1: the job was read whole and verified. Without it, an attempt never began.
    Accepted {
        /// Digest of the bundle that was verified.
        bundle_digest: String,
    },
    /// A new step.
    Step(Step),
    /// Changes done and planned.
    Progress(Progress),
    /// A resource was planned, started, finished or failed.
    Resource(ResourceEvent),
    /// The header of a sealed stream (wrapped keys), base64; before its first frame.
    Header {
        /// Which stream.
        stream: StreamName,
        /// Base64.
        bytes: String,
    },
    /// A sealed frame, base64.
    Frame {
        /// Which stream.
        stream: StreamName,
        /// From 1, no gaps, per stream.
        number: u64,
        /// Whether it is the final frame.
        last: bool,
        /// Base64.
        bytes: String,
    },
    /// The stream so far as a whole age file, base64; replaces the one before.
    AgeFile {
        /// Which stream.
        stream: StreamName,
        /// Base64.
        bytes: String,
    },
    /// Nothing else was said for a while, and the run goes on.
    Alive,
    /// What is in clear about a diagnostic of the engine.
    Diagnostic(RunDiagnostic),
    /// Always the last one: the supervisor is done.
    Finished(Box<Finished>),
}

/// How a run ended, as its supervisor saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// How.
    pub(crate) outcome: Outcome,
    /// Why not, in clear.
    pub(crate) failure_class: Option<FailureClass>,
    /// In clear and without words of the engine: for example which binary is missing, who holds the lock.
    pub(crate) message: String,
    /// Resources in the state after the run, where known.
    pub(crate) total: Option<u64>,
    /// Resources added, changed and removed (planned ones for a plan).
    pub(crate) added: u64,
    pub(crate) changed: u64,
    pub(crate) removed: u64,
    /// Node hash to the module's published metadata.
    pub(crate) metadata: BTreeMap<String, Map<String, Value>>,
    /// `.terraform.lock.hcl` after `init`, kept for the environment.
    pub(crate) lock_file: Option<String>,
    /// Whether the state holds no resource any more (after destroy).
    pub(crate) state_empty: bool,
    /// Addresses that the journal has finished and the state lacks.
    pub(crate) unrecorded: Vec<String>,
    /// Addresses that the journal has started and not finished.
    pub(crate) in_flight: Vec<String>,
    /// Facts for the run record.
    pub(crate) record: RunRecord,
}
