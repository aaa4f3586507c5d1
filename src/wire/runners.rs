//! Runners and runner rules. Both configurations of a runner are unions on `type`; they travel as
//! JSON maps, because the set of types is open (v1's five, and our `docker`, `process` and `agent`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::objects::ObjectExtras;
use super::shapes::{RunnerConfiguration, StateStorageConfiguration};
use super::words::Engine;

/// The reserved runner that is always there: the local Docker daemon.
pub(crate) const LOCAL: &str = "local";
/// The reserved runner without a container engine.
pub(crate) const PROCESS: &str = "process";

/// A runner; in lists both configurations are reduced to their `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Runner {
    pub(crate) id: String,
    pub(crate) org_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[schema(value_type = RunnerConfiguration)]
    pub(crate) runner_configuration: Map<String, Value>,
    #[schema(value_type = StateStorageConfiguration)]
    pub(crate) state_storage_configuration: Map<String, Value>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `runner_configuration` of type `docker`, without its `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerConfiguration {
    /// Image reference; absent: the default image, built on first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    /// `opentofu` or `terraform`; absent: what is installed, OpenTofu first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Engine>)]
    pub(crate) engine: Option<String>,
    /// `bridge` (default), `none`, `host` or the name of a Docker network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    /// Memory limit; default 2 GiB. Swap is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<i64>,
    /// CPU limit; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub(crate) cpus: Option<CpuCount>,
    /// Process limit; default 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pids: Option<i64>,
    /// Read-only bind mounts: host path to container path. Each host path must be in the allow list of the host's settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) mounts: BTreeMap<String, String>,
    /// What the engine's environment holds beside the fixed few.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) environment: BTreeMap<String, EnvironmentValue>,
    /// How long a started container waits for the next deployment; 0 switches standby off; default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) standby_secs: Option<u32>,
    /// What runs save themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shortcuts: Option<Shortcuts>,
    /// How long runs may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadlines: Option<Deadlines>,
}

/// How long a run may take, in seconds, phase by phase: 1 to 604800. What is left out is as the next one says: a
/// deployment, its runner, the settings of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deadlines {
    /// `init`; by default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) init: Option<u64>,
    /// Planning; by default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) plan: Option<u64>,
    /// Applying; by default 7200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) apply: Option<u64>,
    /// Destroying; by default 7200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) destroy: Option<u64>,
    /// Reading outputs and saving results; by default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) finish: Option<u64>,
    /// Between the first interrupt of an engine that changes things and the second; by default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) grace: Option<u64>,
}

impl Deadlines {
    /// The longest one: a week.
    pub(crate) const MOST: u64 = 7 * 24 * 3600;

    /// Each with its name.
    pub(crate) fn each(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("init", self.init),
            ("plan", self.plan),
            ("apply", self.apply),
            ("destroy", self.destroy),
            ("finish", self.finish),
            ("grace", self.grace),
        ]
    }

    /// Names of those that are no deadlines.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = &'static str> {
        let each = self.each().into_iter();
        each.filter(|(_, secs)| secs.is_some_and(|secs| !(1..=Self::MOST).contains(&secs)))
            .map(|(name, _)| name)
    }
}

/// What a run saves itself, each with a switch. All of them are on where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shortcuts {
    /// What `init` would leave is prepared without it.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    pub(crate) skip_init: bool,
    /// Providers that were checked when they were seen in the mirror are not hashed again by every engine process.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    pub(crate) trust_mirror: bool,
    /// A deploy plans and applies in one engine process.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    pub(crate) one_process: bool,
    /// Outputs are taken from the state file or the engine's stream instead of asking an engine process for them.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    pub(crate) read_outputs: bool,
    /// The engine collects its garbage less often, as far as the memory allows.
    #[serde(default = "on", skip_serializing_if = "is_on")]
    pub(crate) use_memory: bool,
}

impl Default for Shortcuts {
    fn default() -> Self {
        Self {
            skip_init: true,
            trust_mirror: true,
            one_process: true,
            read_outputs: true,
            use_memory: true,
        }
    }
}

impl Shortcuts {
    /// Those that both allow.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            skip_init: self.skip_init && other.skip_init,
            trust_mirror: self.trust_mirror && other.trust_mirror,
            one_process: self.one_process && other.one_process,
            read_outputs: self.read_outputs && other.read_outputs,
            use_memory: self.use_memory && other.use_memory,
        }
    }
}

fn on() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_on(flag: &bool) -> bool {
    #[cfg(feature = "fuzz")]
    if crate::model::planted::is_planted("wire") {
        return true;
    }
    *flag
}

/// A number of CPUs in thousandths, written as a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuCount {
    /// Thousandths of a CPU.
    pub(crate) milli: u32,
}

impl Serialize for CpuCount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.milli) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for CpuCount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cpus = f64::deserialize(deserializer)?;
        if !(0.01..=1024.0).contains(&cpus) {
            return Err(serde::de::Error::custom(
                "cpus must be between 0.01 and 1024",
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        Ok(Self {
            milli: (cpus * 1000.0).round() as u32,
        })
    }
}

/// `runner_configuration` of type `process`, without its `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessConfiguration {
    /// See [`DockerConfiguration::engine`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Engine>)]
    pub(crate) engine: Option<String>,
    /// See [`DockerConfiguration::environment`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) environment: BTreeMap<String, EnvironmentValue>,
    /// See [`DockerConfiguration::shortcuts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shortcuts: Option<Shortcuts>,
    /// See [`DockerConfiguration::deadlines`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadlines: Option<Deadlines>,
}

/// The value of an environment variable of the engine: a text, or where the runner's host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvironmentValue {
    /// As written.
    Literal(String),
    /// `{"from_env": NAME}`: a variable of the process that launches the run.
    FromEnv(String),
    /// `{"from_file": PATH}`: the content of a file on the runner's host, one trailing newline removed.
    FromFile(String),
}

impl Serialize for EnvironmentValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Literal(text) => serializer.serialize_str(text),
            Self::FromEnv(name) => BTreeMap::from([("from_env", name)]).serialize(serializer),
            Self::FromFile(path) => BTreeMap::from([("from_file", path)]).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for EnvironmentValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = || {
            serde::de::Error::custom(
                "expected a text, {\"from_env\": NAME} or {\"from_file\": PATH}",
            )
        };
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Literal(text)),
            Value::Object(map) if map.len() == 1 => match map.iter().next() {
                Some((key, Value::String(text))) if key == "from_env" => {
                    Ok(Self::FromEnv(text.clone()))
                }
                Some((key, Value::String(text))) if key == "from_file" => {
                    Ok(Self::FromFile(text.clone()))
                }
                _ => Err(expected()),
            },
            _ => Err(expected()),
        }
    }
}

/// `POST /orgs/{o}/runner-rules`; an empty text is the same as an absent one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunnerRuleCreate {
    pub(crate) runner_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_type_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A rule that picks a runner; unset scopes are `""`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RunnerRule {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) runner_id: String,
    pub(crate) project_id: String,
    pub(crate) env_type_id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}
