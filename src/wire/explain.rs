//! Why a node of a resource graph is as it is; ours, beside v1.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deployments::GraphNode;

/// `GET …/deployments/{id}/explain/{node}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Explanation {
    /// The node; `why` in it names the rule that won and those that lost.
    pub(crate) node: GraphNode,
    /// Everything that goes into its module; of a workload, its outputs.
    pub(crate) inputs: Vec<Input>,
    /// Who depends on it, as `TYPE.CLASS@ID`.
    pub(crate) used_by: Vec<String>,
}

/// One value that goes into a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Input {
    pub(crate) name: String,
    /// As the engine reads it.
    pub(crate) value: String,
    pub(crate) origin: Origin,
    /// Where it is written: a pointer into the manifest, or into who declared it, or into the module.
    pub(crate) at: String,
    /// Resources whose outputs it takes, as `TYPE.CLASS@ID`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reads: Vec<String>,
}

/// Who said a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Whoever asked for the resource.
    Param,
    /// The module.
    Module,
    /// The workload itself.
    Output,
}
