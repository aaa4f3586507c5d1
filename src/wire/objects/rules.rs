//! Rules that pick modules, and what they offer to an environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{ModuleParam, ObjectExtras};

/// `POST /orgs/{o}/module-rules`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleRuleCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) module_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    pub(crate) resource_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        max_length = 63,
        pattern = r"^[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*$"
    )]
    pub(crate) resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) env_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) env_type_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A rule that picks a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModuleRule {
    #[schema(format = Uuid)]
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) module_id: String,
    pub(crate) resource_type: String,
    pub(crate) resource_class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_type_id: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A resource type that an environment offers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AvailableResourceType {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) output_schema: Map<String, Value>,
    pub(crate) options: Vec<AvailableOption>,
}

/// One way to get a resource of that type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AvailableOption {
    pub(crate) resource_class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<String>,
    pub(crate) rule_id: String,
    pub(crate) module_id: String,
    pub(crate) module_params: BTreeMap<String, ModuleParam>,
}
