//! Organisations, projects, environment types and environments.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::words::{EnvironmentStatus, OrganizationStatus, ProjectStatus};

use super::ObjectExtras;

/// An organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Organization {
    pub(crate) id: String,
    #[schema(format = Uuid)]
    pub(crate) uuid: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = Uuid)]
    pub(crate) created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) updated_at: Option<String>,
    #[schema(value_type = OrganizationStatus)]
    pub(crate) status: String,
    pub(crate) plan: String,
}

/// `POST /orgs/{o}/projects`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 60)]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `PATCH` of a project, an environment or an environment type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisplayNameUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 60)]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) display_name: String,
    #[schema(format = Uuid)]
    pub(crate) uuid: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[schema(value_type = ProjectStatus)]
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `POST /orgs/{o}/env-types`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 60)]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// Our fields on an environment type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeExtras {
    /// See [`ObjectExtras`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// Break-glass recipients (`age1…`) added to the log stream of every run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
    /// Whether the break-glass recipients can also open outputs.
    #[serde(default, skip_serializing_if = "crate::wire::is_false")]
    pub(crate) recipients_open_outputs: bool,
}

/// `PATCH` of an environment type.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentTypeUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 60)]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// An environment type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct EnvironmentType {
    pub(crate) id: String,
    pub(crate) display_name: String,
    #[schema(format = Uuid)]
    pub(crate) uuid: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<EnvironmentTypeExtras>,
}

/// `POST /orgs/{o}/projects/{p}/envs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentCreate {
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) id: String,
    #[schema(pattern = "^[a-z](?:-?[a-z0-9]+)+$", max_length = 100)]
    pub(crate) env_type_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 60)]
    pub(crate) display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// An environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Environment {
    pub(crate) id: String,
    pub(crate) project_id: String,
    #[schema(format = Uuid)]
    pub(crate) project_uuid: String,
    #[schema(format = Uuid)]
    pub(crate) uuid: String,
    pub(crate) env_type_id: String,
    pub(crate) display_name: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    /// `active`, `deleting` or `delete_failed`.
    #[schema(value_type = EnvironmentStatus)]
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windlass: Option<ObjectExtras>,
}

/// `DELETE` of an environment may carry this body: recipients of the destroy run's streams.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentDelete {
    /// Recipients of the log stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_recipients: Vec<crate::wire::deployments::RecipientSpec>,
}

/// The answer to `refresh_runner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RefreshedRunner {
    pub(crate) runner_id: String,
    /// Whether it was stored.
    pub(crate) updated: bool,
}
