//! Resource types and providers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ObjectExtras;

/// `POST /orgs/{o}/resource-types`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceTypeCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) description: Option<String>,
    /// A JSON Schema object; required.
    pub(crate) output_schema: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_developer_accessible: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a resource type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceTypeUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output_schema: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_developer_accessible: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A resource type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ResourceType {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) output_schema: Map<String, Value>,
    pub(crate) is_developer_accessible: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    pub(crate) built_in: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `POST /orgs/{o}/module-providers`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderCreate {
    #[schema(pattern = "^[a-z][a-z0-9_-]+$", max_length = 100)]
    pub(crate) provider_type: String,
    #[schema(pattern = "^[a-z][a-z0-9_-]+$", max_length = 100)]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) description: Option<String>,
    #[schema(
        max_length = 100,
        pattern = "^([a-z0-9.-]+/)?([a-z][a-z0-9_-]+)/([a-z][a-z0-9_-]+)$"
    )]
    pub(crate) source: String,
    #[schema(
        max_length = 100,
        pattern = r"^(=|!=|>|>=|<|<=|~>) [0-9.]+(-.+)?(, (=|!=|>|>=|<|<=|~>) [0-9.]+(-.+)?)*$"
    )]
    pub(crate) version_constraint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        max_length = 100,
        pattern = "^([a-z0-9.-]+/)?([a-z][a-z0-9_-]+)/([a-z][a-z0-9_-]+)$"
    )]
    pub(crate) source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        max_length = 100,
        pattern = r"^(=|!=|>|>=|<|<=|~>) [0-9.]+(-.+)?(, (=|!=|>|>=|<|<=|~>) [0-9.]+(-.+)?)*$"
    )]
    pub(crate) version_constraint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A provider. In lists `version_constraint` and `configuration` are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}
