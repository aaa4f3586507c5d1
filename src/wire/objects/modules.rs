//! Modules and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::Diagnostic;

/// The declared type of a module param.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ParamType {
    String,
    Number,
    Bool,
    List,
    Map,
    Any,
}

/// A param that a resource of this module takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleParam {
    #[serde(rename = "type")]
    pub(crate) param_type: ParamType,
    #[serde(default, skip_serializing_if = "crate::wire::is_false")]
    pub(crate) is_optional: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// A private resource that a module depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    #[serde(rename = "type")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    pub(crate) type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    pub(crate) class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 63)]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
}

/// A resource that comes along with a module's resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coprovisioned {
    #[serde(rename = "type")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    pub(crate) type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$")]
    pub(crate) class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 63)]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "crate::wire::is_false")]
    pub(crate) is_dependent_on_current: bool,
    #[serde(default, skip_serializing_if = "crate::wire::is_false")]
    pub(crate) copy_dependents_from_current: bool,
}

/// Our fields on a module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleExtras {
    /// See [`super::ObjectExtras`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// The digest (`sha256:HEX`) of the fetched or uploaded code, once known. A directory given as
    /// `./DIR` in an apply file is uploaded first and its `module_source` becomes `dir::sha256:HEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// Only in the answer to a create or update: what went on with a warning. Ignored in requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Diagnostic>,
}

/// `PATCH` of a module: every supplied field replaces the stored one; makes a new version.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 200)]
    pub(crate) module_source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_source_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_params: Option<BTreeMap<String, ModuleParam>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_inputs: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider_mapping: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dependencies: Option<BTreeMap<String, Dependency>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coprovisioned: Option<Vec<Coprovisioned>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// A module in its current version (or one version of it). Maps and lists are never null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Module {
    pub(crate) id: String,
    pub(crate) org_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_source_code: Option<String>,
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) module_params: BTreeMap<String, ModuleParam>,
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) module_inputs: Map<String, Value>,
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) provider_mapping: BTreeMap<String, String>,
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    #[serde(default)]
    #[schema(required = true)]
    pub(crate) coprovisioned: Vec<Coprovisioned>,
    /// UUID text, new for every version.
    pub(crate) version_id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// A module in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModuleSummary {
    pub(crate) id: String,
    pub(crate) org_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    pub(crate) provider_mapping: BTreeMap<String, String>,
    pub(crate) version_id: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// One version of a module in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModuleVersionSummary {
    pub(crate) version_id: String,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    pub(crate) provider_mapping: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// When the version was made.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// One version of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ModuleVersion {
    pub(crate) version_id: String,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_source_code: Option<String>,
    pub(crate) module_params: BTreeMap<String, ModuleParam>,
    pub(crate) module_inputs: Map<String, Value>,
    pub(crate) provider_mapping: BTreeMap<String, String>,
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    pub(crate) coprovisioned: Vec<Coprovisioned>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// When the version was made.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}
