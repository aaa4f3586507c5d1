//! Agents: how one is enrolled, and what is known of each. What an agent and its server say to each other about runs
//! has a format of its own, in `deploy`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct About {
    /// Name of its host.
    pub(crate) host: String,
    /// Its version.
    pub(crate) version: String,
    /// For example `linux_amd64`.
    pub(crate) platform: String,
    /// Runs at once.
    pub(crate) capacity: u64,
    /// What carries runs there: `docker`, `process`.
    pub(crate) launchers: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
}

/// `POST /orgs/{o}/agent-tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentTokenCreate {
    /// The runner that the agent will serve.
    pub(crate) runner_id: String,
    /// How long the token enrols; by default 60, a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1440)]
    pub(crate) minutes: Option<u64>,
}

/// A token that enrols one agent, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentToken {
    /// Shown this once.
    pub(crate) token: String,
    pub(crate) runner_id: String,
    #[schema(format = DateTime)]
    pub(crate) expires_at: String,
}

/// `POST /agents/enrol`; the token is the bearer token of the request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentEnrol {
    /// UUID of the agent's data directory.
    #[schema(format = Uuid)]
    pub(crate) instance: String,
    /// Its public key: 32 bytes of Ed25519, base64url without padding.
    pub(crate) public_key: String,
    pub(crate) about: About,
}

/// `POST /agents/self/keys`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentKey {
    /// Its next public key; the one before holds until the next change.
    pub(crate) public_key: String,
}

/// What an enrolled agent has to know.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AgentEnrolled {
    /// UUID of the agent.
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) runner_id: String,
    /// For whom it signs its tokens.
    pub(crate) audience: String,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Agent {
    /// UUID of its data directory.
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) runner_id: String,
    pub(crate) about: About,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    /// When it last said anything; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) seen_at: Option<String>,
    /// Whether its lease holds.
    pub(crate) connected: bool,
    /// Runs that it carries.
    pub(crate) runs: u64,
}
