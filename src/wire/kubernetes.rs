//! `runner_configuration` of type `kubernetes`: v1's fields, and at its top level ours, all optional.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::runners::{Deadlines, EnvironmentValue, Shortcuts};
use super::words::Engine;

/// A runner in a cluster that is reached with credentials, without its `type`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesConfiguration {
    pub(crate) job: KubernetesJob,
    pub(crate) cluster: KubernetesCluster,
    /// `opentofu` or `terraform`; absent: what the image holds, OpenTofu first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Engine>)]
    pub(crate) engine: Option<String>,
    /// What the engine's environment holds beside what the pod's does. It travels with the run and is never part of the Job.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) environment: BTreeMap<String, EnvironmentValue>,
    /// What runs save themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shortcuts: Option<Shortcuts>,
    /// How long runs may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadlines: Option<Deadlines>,
    /// How long a pod may take to be scheduled and to get its image, in seconds; default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub(crate) start_secs: Option<u64>,
    /// Whether the pod template may loosen what hardens the pod (its security contexts, host namespaces and paths).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_loosening: bool,
}

/// How jobs are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesJob {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    /// A pod template of Kubernetes, laid over the one of each job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod_template: Option<Map<String, Value>>,
}

/// A cluster and who to be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesCluster {
    pub(crate) cluster_data: KubernetesClusterData,
    pub(crate) auth: KubernetesAuth,
}

/// How a cluster is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesClusterData {
    pub(crate) certificate_authority_data: String,
    pub(crate) server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_url: Option<String>,
}

/// Credentials; answers say `SECRET` where one is set.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubernetesAuth {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service_account_token: Option<String>,
}

impl std::fmt::Debug for KubernetesAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubernetesAuth(SECRET)")
    }
}
