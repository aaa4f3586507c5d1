//! What a killed run left open, and how it is settled; ours, beside v1.
//!
//! Addresses only: ids stay in the state directory, but for those that a person looked up and names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deployments::RecipientSpec;

/// Addresses told in one sentence before the rest is only counted.
const TOLD: usize = 20;

/// What killed runs left open in an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Open {
    /// These exist, and the state does not hold them.
    #[serde(default)]
    pub(crate) unrecorded: Vec<String>,
    /// These were being changed, and may exist.
    #[serde(default)]
    pub(crate) in_flight: Vec<String>,
}

impl Open {
    /// Whether nothing is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.unrecorded.is_empty() && self.in_flight.is_empty()
    }

    /// Why nothing is deployed to this environment, what each list means, and the commands that settle it.
    pub(crate) fn refusal(&self, project: &str, env: &str) -> String {
        let mut text =
            "an earlier run was killed and left open what the state does not hold:".to_owned();
        for (addresses, meaning) in [
            (
                &self.unrecorded,
                "exist and are recorded nowhere (unrecorded)",
            ),
            (&self.in_flight, "were being made and may exist (in flight)"),
        ] {
            if addresses.is_empty() {
                continue;
            }
            let names: Vec<String> = addresses
                .iter()
                .take(TOLD)
                .map(|address| format!("`{address}`"))
                .collect();
            let _ = write!(text, " {}", names.join(", "));
            if addresses.len() > TOLD {
                let _ = write!(text, " and {} more", addresses.len() - TOLD);
            }
            let _ = write!(text, " {meaning};");
        }
        let _ = write!(
            text,
            " a plan would make all of them again, so nothing is planned before each is settled: `windlass state \
             import {project} {env}` takes those that exist into the state (give `ADDRESS=ID` for one in flight that you \
             found), `windlass state dismiss {project} {env} \
             ADDRESS...` says of one that it does not exist or that you look after it yourself; `windlass state \
             list {project} {env}` shows them"
        );
        text
    }
}

/// `GET …/envs/{env}/state`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateView {
    /// Type of the state storage; absent before the first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<String>,
    /// The installation whose host has it; absent where any host reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// Where exactly it lies, in words; absent before the first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// Addresses in the state; absent where it cannot be looked at from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<Vec<String>>,
    /// What killed runs left open.
    #[serde(flatten)]
    pub(crate) open: Open,
}

/// `GET …/envs/{env}/state/versions`: the versions of a state that the server keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateVersions {
    /// Newest first.
    pub(crate) items: Vec<StateVersion>,
    /// Who may write; absent when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<StateLock>,
}

/// A version of a state, without what is in it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateVersion {
    /// From 1, in the order of writes.
    pub(crate) version: i64,
    /// Whether engines are given this one.
    pub(crate) current: bool,
    /// The engine's own number.
    pub(crate) serial: i64,
    /// Bytes.
    pub(crate) size: i64,
    /// The deployment that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<String>,
    /// Who made it the newest again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restored_by: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}

/// The lock on a state that the server keeps.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateLock {
    /// The engine chose it.
    pub(crate) id: String,
    /// Whose engine it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<String>,
    /// As the engine says it.
    pub(crate) who: String,
    /// As the engine says it.
    pub(crate) operation: String,
    /// Whether that deployment is still going on.
    pub(crate) is_live: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}

/// `POST …/envs/{env}/state/actions/import` and `…/dismiss`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateSettle {
    /// Which; empty for all that can be imported. Never empty for a dismissal.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// What is to be imported by an id that no run said, or by another one: address to id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ids: BTreeMap<String, String>,
    /// Import nothing, show what the next plan would make of it.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) plan_only: bool,
    /// Runner for this alone; else the one of the last deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner: Option<String>,
    /// Readers of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<RecipientSpec>,
}

/// `POST …/envs/{env}/state/actions/move`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct StateMove {
    /// Runner to whose state storage it is moved; else the runner that serves the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner: Option<String>,
    /// Readers of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<RecipientSpec>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_addresses_meanings_and_both_commands() {
        let open = Open {
            unrecorded: (0..22).map(|n| format!("t.a{n}")).collect(),
            in_flight: vec!["t.b".into()],
        };
        let text = open.refusal("shop", "dev");
        for part in [
            "`t.a19` and 2 more exist",
            "`t.b` were being made and may exist",
            "`windlass state import shop dev`",
            "`windlass state dismiss shop dev ADDRESS...`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
