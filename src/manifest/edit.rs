//! The operations of a request on a manifest: merge, set, drop. Applied to plain JSON, before the
//! manifest is checked, at acceptance and again at claim.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Replace everything by this manifest.
    Replace(Value),
    /// Union of workloads and of shared resources; those given here win, per key.
    Merge(Value),
    /// `PATH=VALUE` as `--set` takes them; the value is a string.
    Set {
        /// `workloads.W.outputs.K`, `workloads.W.resources.A.{type,class,id,params.K}` or `shared.A.{…}`.
        path: String,
        /// The new value.
        value: String,
    },
    /// Remove a workload.
    DropWorkload(String),
    /// Remove a shared resource.
    DropShared(String),
}
