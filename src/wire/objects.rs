//! Projects, environments and the catalogue, as v1 has them. `XCreate` is a request, `XUpdate` a
//! PATCH (absent and `null` both mean: leave alone), `X` an answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::Diagnostic;

/// Our fields on any catalogue object; the whole object is absent when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectExtras {
    /// Who applied it (`windlass apply --owner`); what `--prune` goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
}

/// An organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) uuid: String,
    pub(crate) created_at: String,
    pub(crate) created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<String>,
    pub(crate) status: String,
    pub(crate) plan: String,
}

/// `POST /orgs/{o}/projects`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectCreate {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a project, an environment or an environment type.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisplayNameUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) uuid: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `POST /orgs/{o}/env-types`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeCreate {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// Our fields on an environment type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeExtras {
    /// See [`ObjectExtras`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Break-glass recipients (`age1…`) added to the log stream of every run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
    /// Whether the break-glass recipients can also open outputs.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) recipients_open_outputs: bool,
}

/// `PATCH` of an environment type.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// An environment type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvironmentType {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) uuid: String,
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// `POST /orgs/{o}/projects/{p}/envs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentCreate {
    pub(crate) id: String,
    pub(crate) env_type_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// An environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) project_uuid: String,
    pub(crate) uuid: String,
    pub(crate) env_type_id: String,
    pub(crate) display_name: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    /// `active`, `deleting` or `delete_failed`.
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `DELETE` of an environment may carry this body: recipients of the destroy run's streams.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentDelete {
    /// Recipients of the log stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<super::deployments::RecipientSpec>,
}

/// `POST /orgs/{o}/resource-types`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceTypeCreate {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// A JSON Schema object; required.
    pub(crate) output_schema: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_developer_accessible: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a resource type.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceTypeUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output_schema: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_developer_accessible: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A resource type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceType {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) output_schema: Map<String, Value>,
    pub(crate) is_developer_accessible: bool,
    pub(crate) created_at: String,
    pub(crate) built_in: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `POST /orgs/{o}/module-providers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderCreate {
    pub(crate) provider_type: String,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) source: String,
    pub(crate) version_constraint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version_constraint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A provider. In lists `version_constraint` and `configuration` are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Provider {
    pub(crate) org_id: String,
    pub(crate) provider_type: String,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version_constraint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Map<String, Value>>,
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// The declared type of a module param.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleParam {
    #[serde(rename = "type")]
    pub(crate) param_type: ParamType,
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) is_optional: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// A private resource that a module depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
}

/// A resource that comes along with a module's resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coprovisioned {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) is_dependent_on_current: bool,
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub(crate) copy_dependents_from_current: bool,
}

/// Our fields on a module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleExtras {
    /// See [`ObjectExtras`].
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub(crate) module_params: BTreeMap<String, ModuleParam>,
    #[serde(default)]
    pub(crate) module_inputs: Map<String, Value>,
    #[serde(default)]
    pub(crate) provider_mapping: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    #[serde(default)]
    pub(crate) coprovisioned: Vec<Coprovisioned>,
    /// UUID text, new for every version.
    pub(crate) version_id: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// A module in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModuleSummary {
    pub(crate) id: String,
    pub(crate) org_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    pub(crate) provider_mapping: BTreeMap<String, String>,
    pub(crate) version_id: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// `POST /orgs/{o}/module-rules`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleRuleCreate {
    pub(crate) module_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_type_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A rule that picks a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModuleRule {
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
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A resource type that an environment offers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AvailableResourceType {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) output_schema: Map<String, Value>,
    pub(crate) options: Vec<AvailableOption>,
}

/// One way to get a resource of that type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AvailableOption {
    pub(crate) resource_class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<String>,
    pub(crate) rule_id: String,
    pub(crate) module_id: String,
    pub(crate) module_params: BTreeMap<String, ModuleParam>,
}

/// One version of a module in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModuleVersionSummary {
    pub(crate) version_id: String,
    pub(crate) resource_type: String,
    pub(crate) module_source: String,
    pub(crate) provider_mapping: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// When the version was made.
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// One version of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ModuleExtras>,
}

/// The answer to `refresh_runner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshedRunner {
    pub(crate) runner_id: String,
    /// Whether it was stored.
    pub(crate) updated: bool,
}

/// `POST /orgs/{o}/metadata-keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataKeyCreate {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) schema: MetadataKeySchema,
}

/// `PATCH` of a metadata key; fields of the schema replace one by one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataKeyUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<MetadataKeySchema>,
}

/// What values of a metadata key look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetadataKeySchema {
    /// `string`.
    #[serde(rename = "type")]
    pub(crate) value_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pattern: Option<String>,
}

/// A metadata key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MetadataKey {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) schema: MetadataKeySchema,
    pub(crate) created_at: String,
}
