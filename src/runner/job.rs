//! The one JSON document that a runner gets over its standard input, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::deployments::RecipientSpec;
use crate::wire::runners::{self as wire, Shortcuts};
use crate::wire::state::Open;

/// Version of [`Job`] and of the events; the supervisor accepts this one and the one before.
pub(crate) const PROTOCOL: u32 = 1;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Plan and apply.
    Deploy,
    /// Plan, show, change nothing.
    Plan,
    /// Destroy everything in the state.
    Destroy,
    /// Take into the state what killed runs made and could not record.
    Import,
    /// Only plan that.
    ImportPlan,
    /// Forget what killed runs left open.
    Dismiss,
    /// Take the state to where [`Job::move_to`] says.
    Move,
}

impl Action {
    /// Whether the engine may change the state.
    pub(crate) fn applies(self) -> bool {
        matches!(self, Self::Deploy | Self::Destroy)
    }
}

/// One run, complete: no other input reaches the supervisor.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// [`PROTOCOL`]; first, so that any reader can refuse early.
    pub(crate) version: u32,
    /// UUIDv7 of the run.
    pub(crate) run: String,
    /// The attempt, from 1.
    pub(crate) attempt: u32,
    /// Deployment it belongs to, for the log.
    pub(crate) deployment: String,
    /// What to do.
    pub(crate) action: Action,
    /// Relative path to base64 content: `main.tf`, `modules/ID/VERSION/…`, `.terraform.lock.hcl`. Checked for `..` and links again inside.
    pub(crate) files: BTreeMap<String, String>,
    /// `sha256:HEX` of the bundle (design 5.11); verified before anything runs.
    pub(crate) bundle_digest: String,
    /// Label of each module block in `main.tf` to what it stands for, so that diagnostics can name it.
    pub(crate) labels: BTreeMap<String, Label>,
    /// Engine: `opentofu`, `terraform`, or `None` for what is found, OpenTofu first.
    pub(crate) engine: Option<String>,
    /// Whether state lies in the run's `state` directory (local) or where the backend block says.
    pub(crate) local_state: bool,
    /// How the engine reaches a state that the server keeps; absent for every other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<HostedState>,
    /// With which keys the engine encrypts state and plans; absent where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<Encryption>,
    /// Where the state goes; only of a move. Everything else says where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) move_to: Option<MoveTo>,
    /// What killed runs left open, as the server knows it; only where the state is not local.
    #[serde(default, skip_serializing_if = "Open::is_empty")]
    pub(crate) left_open: Open,
    /// Variables of the engine beside the fixed few: resolved values, secret.
    pub(crate) environment: BTreeMap<String, String>,
    /// Whether `init` may download providers that the mirror lacks.
    pub(crate) allow_downloads: bool,
    /// Readers of the log stream; empty: no log is kept.
    pub(crate) log_recipients: Vec<RecipientSpec>,
    /// Readers of the outputs; empty: outputs are not read.
    pub(crate) output_recipients: Vec<RecipientSpec>,
    /// What is imported (empty: all that can be) or dismissed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
    /// Ids that a person looked up, by address; secret like every id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ids: BTreeMap<String, String>,
    /// `debug`, `info`, `warn` or `error`: what of the engine's stream goes into the log.
    pub(crate) log_level: String,
    /// Seconds per phase: `init`, `plan`, `apply`, `destroy`, `finish`; and `grace` between two interrupts.
    pub(crate) deadlines: Deadlines,
    /// What the run may save itself.
    #[serde(default)]
    pub(crate) shortcuts: Shortcuts,
    /// Packages of the provider mirror that this host has checked.
    #[serde(default)]
    pub(crate) packages: Vec<Package>,
    /// A run that has nothing to say says after so long that it is alive.
    #[serde(default = "heartbeat_ms")]
    pub(crate) heartbeat_ms: u64,
    /// Where packages are had that the mirror of the launching host lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network_mirror: Option<NetworkMirror>,
    /// Digest of the engine's binary or of the image; empty where it is not known.
    #[serde(default)]
    pub(crate) engine_digest: String,
    /// Seal nothing: only for the control run of the tests. Set by `WINDLASS_TEST_UNSEALED`, never over the API.
    #[serde(default)]
    pub(crate) unsealed: bool,
}

/// Long enough that a quiet run of hours writes little, short enough that somebody who looks is told the truth.
pub(crate) const fn heartbeat_ms() -> u64 {
    20_000
}

/// How the engine of one attempt reaches the state of its environment, which the server keeps.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostedState {
    /// Of the state, and of its lock.
    pub(crate) address: String,
    /// Names the attempt: `RUN-ATTEMPT`. Each engine process adds its own number.
    pub(crate) username: String,
    /// Secret; counts for this environment until the attempt is over.
    pub(crate) password: String,
}

/// How the engine encrypts; secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// In base64, oldest first.
    pub(crate) keys: Vec<String>,
    /// Whether what is written is encrypted; else what is encrypted is only read.
    pub(crate) writes: bool,
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encryption({} keys)", self.keys.len())
    }
}

/// The file of a bundle that says where a state is moved to; `main.tf` says where it comes from.
pub(crate) const MOVE_TO: &str = "to/main.tf";

/// Where a state is moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveTo {
    /// Into the run's `state` directory; else to where [`MOVE_TO`] says.
    pub(crate) local: bool,
    /// To the server: [`Job::state`] is how it is reached there, and not where the state comes from.
    pub(crate) hosted: bool,
}

/// How often an engine asks again: for about three minutes.
const RETRIES: &str = "20";

impl HostedState {
    /// Variables of the engine: what they say is written nowhere by it, unlike settings of the backend.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        [
            ("TF_HTTP_ADDRESS", &self.address),
            ("TF_HTTP_LOCK_ADDRESS", &self.address),
            ("TF_HTTP_UNLOCK_ADDRESS", &self.address),
            ("TF_HTTP_PASSWORD", &self.password),
        ]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
    }

    /// The variable that says which engine process of the attempt asks: a later one may take the lock of one that has
    /// ended and could not let go.
    pub(crate) fn username(&self, process: u32) -> (String, String) {
        let name = format!("{}-{process}", self.username);
        ("TF_HTTP_USERNAME".to_owned(), name)
    }

    /// How long an engine asks a server again that answers with a fault or not at all; a runner may say otherwise.
    pub(crate) fn patience() -> [(String, String); 3] {
        [
            ("TF_HTTP_RETRY_MAX", RETRIES),
            ("TF_HTTP_RETRY_WAIT_MIN", "1"),
            ("TF_HTTP_RETRY_WAIT_MAX", "10"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    /// What must not be readable in a log.
    pub(crate) fn secrets(&self) -> Vec<String> {
        vec![self.password.clone()]
    }
}

impl std::fmt::Debug for HostedState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostedState({})", self.address)
    }
}

/// Seconds; what is not said is as by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Deadlines {
    pub(crate) init: u64,
    pub(crate) plan: u64,
    pub(crate) apply: u64,
    pub(crate) destroy: u64,
    pub(crate) finish: u64,
    /// Between the first SIGINT and the second while applying or destroying.
    pub(crate) grace: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            init: 600,
            plan: 1800,
            apply: 7200,
            destroy: 7200,
            finish: 600,
            grace: 600,
        }
    }
}

impl Deadlines {
    /// These, but for what is said otherwise.
    pub(crate) fn but(self, said: Option<wire::Deadlines>) -> Self {
        let said = said.unwrap_or_default();
        Self {
            init: said.init.unwrap_or(self.init),
            plan: said.plan.unwrap_or(self.plan),
            apply: said.apply.unwrap_or(self.apply),
            destroy: said.destroy.unwrap_or(self.destroy),
            finish: said.finish.unwrap_or(self.finish),
            grace: said.grace.unwrap_or(self.grace),
        }
    }
}

/// A provider package as it lies in the mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    /// `HOST/NAMESPACE/TYPE`.
    pub(crate) provider: String,
    /// Its version.
    pub(crate) version: String,
    /// `linux_amd64`.
    pub(crate) platform: String,
    /// As in lock files: `h1:…`.
    pub(crate) hash: String,
}

/// A provider mirror that is reached over the network, by the engines' own protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkMirror {
    /// `https://…/`; with a ticket in it, so it is said in no error and no log.
    pub(crate) url: String,
    /// `HOST/NAMESPACE/TYPE` of what it has, sorted.
    pub(crate) providers: Vec<String>,
}

/// What a module block stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    /// The node.
    pub(crate) resource: crate::model::ResourceKey,
    /// Its module.
    pub(crate) module_id: String,
    /// And version.
    pub(crate) module_version: String,
}
