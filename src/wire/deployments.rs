//! Deployments on the wire: v1's bodies, and ours in `windlass`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::runners::Deadlines;
use super::shapes::DeploymentManifest;
use super::words::{ChangeKind, CreateMode, DeploymentMode, DeploymentStatus, LogLevel};
use crate::manifest::edit::Operation;
use crate::model::{
    Diagnostic, ResourceKey,
    phase::{FailureClass, Outcome, Step},
};

/// `POST /orgs/{o}/deployments`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeploymentCreate {
    pub(crate) project_id: String,
    pub(crate) env_id: String,
    /// `deploy`, `plan_only` or `rollback`.
    #[schema(value_type = CreateMode)]
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan_only: Option<bool>,
    /// The whole manifest; absent for rollback, and where `windlass.operations` make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeploymentManifest>)]
    pub(crate) manifest: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    pub(crate) rollback_to_deployment_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, pattern = "^age[a-z0-9]+$")]
    pub(crate) encrypted_outputs_recipient: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, pattern = "^age[a-z0-9]+$")]
    pub(crate) encrypted_logs_recipient: Option<String>,
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) is_dry_run: bool,
    /// `debug`, `info` (default), `warn` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LogLevel>)]
    pub(crate) runner_log_level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<DeploymentCreateExtras>,
}

/// What our own client asks for beside v1.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeploymentCreateExtras {
    /// What to do while another deployment holds the environment; v1's answer is `refuse`.
    #[serde(default)]
    pub(crate) on_busy: OnBusy,
    /// Runner for this deployment only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner: Option<String>,
    /// What the operations start from.
    #[serde(default)]
    pub(crate) base: Base,
    /// Applied to the base in order, at acceptance to validate and again at claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) operations: Vec<Operation>,
    /// Readers of the log stream (and of the plan, which is part of it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<RecipientSpec>,
    /// Readers of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) output_recipients: Vec<RecipientSpec>,
    /// Whether unknown manifest keys are errors (the manifest came from a file).
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) strict: bool,
    /// How long this one may take; what is left out is as its runner says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadlines: Option<Deadlines>,
}

/// What to do while another deployment holds the environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnBusy {
    /// 409.
    #[default]
    Refuse,
    /// Wait in line.
    Queue,
}

/// What operations start from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Base {
    /// The empty manifest.
    #[default]
    Empty,
    /// The last state-changing deployment of the target environment, as of the claim.
    Last,
    /// The manifest of this deployment.
    Deployment(String),
    /// The last state-changing deployment of another environment of the project.
    Environment(String),
}

/// One reader of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientSpec {
    /// `age1…`.
    pub(crate) recipient: String,
    /// Whether the reader needs an age file beside the frames (existing clients, `age -d`).
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) age_file: bool,
}

/// Counts of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Metrics {
    pub(crate) num_workloads: u64,
    pub(crate) num_resource_nodes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_tf_resources: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_tf_resources_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_tf_resources_changed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) num_tf_resources_removed: Option<u64>,
}

/// A deployment; in lists `manifest` and `runner_id` are absent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Deployment {
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) env_id: String,
    #[schema(format = Uuid)]
    pub(crate) id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = Uuid)]
    pub(crate) created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) completed_at: Option<String>,
    /// `deploy`, `rollback`, `destroy`, and ours: `state_import`, `state_dismiss`, `state_move`.
    #[schema(value_type = DeploymentMode)]
    pub(crate) mode: String,
    pub(crate) plan_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollback_to_deployment_id: Option<String>,
    /// `executing`, `succeeded` or `failed`.
    #[schema(value_type = DeploymentStatus)]
    pub(crate) status: String,
    pub(crate) status_message: String,
    pub(crate) metrics: Metrics,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeploymentManifest>)]
    pub(crate) manifest: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<DeploymentExtras>,
}

/// The truth beside v1's status.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeploymentExtras {
    pub(crate) phase: Step,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure_class: Option<FailureClass>,
    /// The runner that serves it (also in lists).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner_id: Option<String>,
    /// 1 for the next in line; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue_position: Option<u64>,
    /// Where it has to wait for another server: which, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
    /// The attempt, from 1; 0 while queued.
    pub(crate) attempt: u32,
    /// When something was last heard of its run, while that goes on. A run that has nothing to say says every 20 seconds
    /// that it is alive; one that is not heard of may still be alive, where its host cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heard_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
    /// What is in clear about failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) diagnostics: Vec<RunDiagnostic>,
    /// Recipients of the log stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<RecipientSpec>,
    /// Recipients of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) output_recipients: Vec<RecipientSpec>,
    /// Facts about the run, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunRecord>,
    /// `sha256:HEX` of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bundle_digest: Option<String>,
    /// Addresses that the engine finished but the state does not hold (design 5.6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unrecorded: Vec<String>,
    /// Addresses that were being changed when the engine died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) in_flight: Vec<String>,
}

/// What a deployment waits for that another server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Waiting {
    pub(crate) reason: WaitingFor,
    /// The installation of that server.
    pub(crate) instance: String,
    /// Name of its host, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The same in words, with what to do.
    pub(crate) message: String,
}

/// Why another server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitingFor {
    /// The state of the environment lies on its host.
    StateElsewhere,
    /// It carries the run and is not heard of.
    ServerAway,
    /// No agent of the runner is heard of.
    AgentAway,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Progress {
    /// Changes finished.
    pub(crate) done: u64,
    /// Changes planned.
    pub(crate) total: u64,
}

/// What is in clear about one diagnostic of the engine: never its words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RunDiagnostic {
    /// `error` or `warning`.
    pub(crate) severity: String,
    /// The resource it concerns, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) resource: Option<ResourceKey>,
    /// Module and version of that resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_version: Option<String>,
    /// Address of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// `main.tf` or `modules/ID/VERSION/FILE`, and the line in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Facts about a run that has ended; nothing secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RunRecord {
    /// `opentofu` or `terraform`.
    pub(crate) engine: String,
    /// Version of the engine.
    pub(crate) engine_version: String,
    /// How many engine processes were started.
    pub(crate) engine_processes: u32,
    /// `ran`, or why it was skipped; and whether providers were downloaded.
    pub(crate) init: String,
    /// What the run saved itself and why it did not: `init`, `providers`, `plan`, `outputs`, `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) shortcuts: BTreeMap<String, String>,
    /// Digest of everything that the preparation instead of `init` followed from; empty where `init` ran at once.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) prepared: String,
    /// How often an engine refused a preparation, and the real `init` followed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) refusals: u32,
    /// Whether any output would change or changed (also sensitive ones).
    pub(crate) outputs_changed: bool,
    /// Milliseconds from the job's acceptance to the start of the first engine process.
    pub(crate) started_ms: u64,
    /// Milliseconds from acceptance to the end.
    pub(crate) total_ms: u64,
    /// How it was launched: `docker` or `process`, and whether a standby container was used.
    pub(crate) launcher: String,
}

/// The answer to a dry run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DryRun {
    pub(crate) runner_id: String,
    pub(crate) diff: Diff,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<DryRunExtras>,
}

/// What our client shows of a dry run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DryRunExtras {
    /// The whole graph.
    pub(crate) graph: Graph,
    /// The manifest after all operations.
    #[schema(value_type = DeploymentManifest)]
    pub(crate) manifest: Value,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What changes between two graphs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Diff {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from_deployment_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to_deployment_id: Option<String>,
    pub(crate) changes: Vec<Change>,
    pub(crate) num_added: u64,
    pub(crate) num_changed: u64,
    pub(crate) num_removed: u64,
}

/// One changed node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Change {
    /// Node hash.
    pub(crate) id: String,
    /// `TYPE.CLASS@ID`.
    pub(crate) resource: String,
    /// `added`, `removed`, `module_changed` or `params_changed`.
    #[serde(rename = "type")]
    #[schema(value_type = ChangeKind)]
    pub(crate) kind: String,
    pub(crate) summary: String,
}

/// A resource graph as people and pages see it; sorted by key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<GraphNode>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct GraphNode {
    /// Node hash.
    pub(crate) id: String,
    #[schema(value_type = String)]
    pub(crate) key: ResourceKey,
    /// Absent for workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_version: Option<String>,
    /// Label of the module block, absent for workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// Why this module: the rule that won and those that lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Choice>,
    /// Who declared it: a JSON pointer into the manifest, or the key of the declaring node.
    pub(crate) declared_by: String,
    /// Params as asked, placeholders unresolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    /// Every input and param as it goes to the module, in words: literals as JSON, `context` filled in,
    /// references as HCL. Of workloads: the outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) resolved: BTreeMap<String, String>,
    /// Outgoing edges: alias to node hash. Anonymous ones have a base64 alias.
    pub(crate) edges: BTreeMap<String, String>,
    /// Only kept so that its resources can be destroyed.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) leaving: bool,
}

/// Why a module was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Choice {
    /// The rule that won.
    pub(crate) rule_id: String,
    /// Its scope in words, for example `environment type development`.
    pub(crate) scope: String,
    /// Rules for the same class and id that lost, with their modules and scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost: Vec<String>,
}

/// A node of `active-resources` and of `deployments/{id}/resources`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ActiveNode {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) env_id: String,
    pub(crate) resource_type: String,
    pub(crate) resource_class: String,
    pub(crate) resource_id: String,
    #[schema(format = Uuid)]
    pub(crate) deployment_id: String,
    pub(crate) module_id: String,
    pub(crate) module_version: String,
    pub(crate) edges: BTreeMap<String, String>,
    pub(crate) metadata: Map<String, Value>,
}

/// `GET …/encrypted-outputs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct EncryptedOutputs {
    /// Standard padded base64 of an age file.
    pub(crate) raw: String,
}

/// The name of a sealed stream.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamName {
    /// What the engine prints; the human plan is part of it.
    Logs,
    /// Outputs of workloads as one JSON document.
    Outputs,
}

impl StreamName {
    /// As in paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Outputs => "outputs",
        }
    }
}

/// `GET …/deployments/{id}/streams/{stream}?attempt=&after=`: sealed bytes as they were made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SealedStream {
    /// The attempt these frames belong to (the newest one that has frames, unless asked for).
    pub(crate) attempt: u32,
    /// The run they belong to.
    pub(crate) run_id: String,
    /// Base64 of the stream's header; absent when nothing was sealed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// Base64 of the frames after `after`, in order.
    pub(crate) frames: Vec<String>,
    /// Number of the last frame here, counted from 1; 0 for none.
    pub(crate) last: u64,
    /// Whether the final frame is among those stored.
    pub(crate) complete: bool,
}

/// One event of `GET …/deployments/{id}/events` (server-sent events; the id is the position).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeploymentEvent {
    /// Position in the feed of all events, rising.
    pub(crate) position: i64,
    #[schema(format = DateTime)]
    pub(crate) at: String,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// The deployment is in this step now.
    Step(Step),
    /// Position in line changed.
    Queued(u64),
    /// Progress of the changes.
    Progress(Progress),
    /// A resource address and what happens to it.
    Resource(ResourceEvent),
    /// A sealed stream has this many frames now; fetch them.
    Sealed {
        /// Which stream.
        stream: StreamName,
        /// Of which attempt.
        attempt: u32,
        /// Number of the last frame stored.
        last: u64,
    },
    /// An attempt ended before it accepted its job; in clear, in words.
    Retry(String),
    /// What holds it up before it runs, and what to do about it; in clear, in words.
    Waiting(String),
    /// Somebody asked for it to stop: the user's UUID.
    Stopping(String),
    /// The end.
    Ended(Outcome),
}

/// What happens to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ResourceEvent {
    /// Address of the engine, for example `module.x.terraform_data.this[0]`.
    pub(crate) address: String,
    /// `create`, `update`, `delete`, `replace`, `read`, …
    pub(crate) action: String,
    /// `planned`, `started`, `done` or `failed`.
    pub(crate) state: String,
}

/// `GET …/deployments/{id}/graph`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeploymentGraph {
    pub(crate) graph: Graph,
    pub(crate) diff: Diff,
}
