//! Keys of published metadata.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::words::MetadataType;

/// `POST /orgs/{o}/metadata-keys`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataKeyCreate {
    #[schema(pattern = "^[A-Z][a-zA-Z0-9]*(-[A-Z0-9][a-zA-Z0-9]*)*$")]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) schema: MetadataKeySchema,
}

/// `PATCH` of a metadata key; fields of the schema replace one by one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetadataKeyUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<MetadataKeySchema>,
}

/// What values of a metadata key look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MetadataKeySchema {
    /// `string`.
    #[serde(rename = "type")]
    #[schema(value_type = MetadataType)]
    pub(crate) value_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pattern: Option<String>,
}

/// A metadata key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MetadataKey {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) schema: MetadataKeySchema,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}
