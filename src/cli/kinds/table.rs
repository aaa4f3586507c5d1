//! The entries. Texts of `about` are half sentences for help and for "missing field".

use super::{
    Kind,
    schema::{Field, Shape},
};
use crate::cli::print::table::Column;

/// In the order in which references allow creation; deletion goes backwards.
pub(crate) const ALL: &[&Kind] = &[
    &ENVIRONMENT_TYPE,
    &PROJECT,
    &RESOURCE_TYPE,
    &PROVIDER,
    &RUNNER,
    &MODULE,
    &ENVIRONMENT,
    &MODULE_RULE,
    &RUNNER_RULE,
];

const fn need(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        name,
        shape,
        required: true,
        about,
    }
}

const fn may(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        name,
        shape,
        required: false,
        about,
    }
}

const fn col(title: &'static str, paths: &'static [&'static str]) -> Column {
    Column { title, paths }
}

const OWNER: Field = may("owner", Shape::Text, "who applied it, what --prune goes by");
const EXTRAS: Field = may("windlass", Shape::Record(&[OWNER]), "our own fields");
const DISPLAY_NAME: Field = may(
    "display_name",
    Shape::Text,
    "for people, 2 to 60 characters",
);
const DESCRIPTION: Field = may("description", Shape::Text, "up to 200 characters");
const CREATED: Column = col("CreatedAt", &["created_at"]);
const ID: Column = col("Id", &["id"]);
const DISPLAY: Column = col("DisplayName", &["display_name"]);
const ABOUT: Column = col("Description", &["description"]);

/// `environment-type`.
pub(crate) const ENVIRONMENT_TYPE: Kind = Kind {
    name: "environment-type",
    title: "Environment type",
    ids: &["id"],
    conflict_key: &[],
    segment: "env-types",
    fields: &[
        need("id", Shape::Text, "the id, for example `development`"),
        DISPLAY_NAME,
        may(
            "windlass",
            Shape::Record(&[
                OWNER,
                may(
                    "recipients",
                    Shape::List(&Shape::Text),
                    "age recipients added to every log",
                ),
                may(
                    "recipients_open_outputs",
                    Shape::Flag,
                    "whether they read outputs, too",
                ),
            ]),
            "our own fields",
        ),
    ],
    fixed: &[],
    columns: &[ID, DISPLAY, CREATED],
    list_columns: &[ID, DISPLAY, CREATED],
    lists_are_short: false,
};

/// `project`.
pub(crate) const PROJECT: Kind = Kind {
    name: "project",
    title: "Project",
    ids: &["id"],
    conflict_key: &[],
    segment: "projects",
    fields: &[
        need("id", Shape::Text, "the id, for example `shop`"),
        DISPLAY_NAME,
        EXTRAS,
    ],
    fixed: &[],
    columns: &[ID, DISPLAY, col("Uuid", &["uuid"]), CREATED],
    list_columns: &[ID, DISPLAY, col("Uuid", &["uuid"]), CREATED],
    lists_are_short: false,
};

const ENVIRONMENT_COLUMNS: &[Column] = &[
    ID,
    DISPLAY,
    col("EnvTypeId", &["env_type_id"]),
    col("Status", &["status"]),
    CREATED,
];

/// `environment`.
pub(crate) const ENVIRONMENT: Kind = Kind {
    name: "environment",
    title: "Environment",
    ids: &["project_id", "id"],
    conflict_key: &[],
    segment: "envs",
    fields: &[
        need("project_id", Shape::Text, "the project it belongs to"),
        need("id", Shape::Text, "the id, for example `staging`"),
        need("env_type_id", Shape::Text, "its environment type"),
        DISPLAY_NAME,
        EXTRAS,
    ],
    fixed: &["env_type_id"],
    columns: ENVIRONMENT_COLUMNS,
    list_columns: ENVIRONMENT_COLUMNS,
    lists_are_short: false,
};

const RESOURCE_TYPE_COLUMNS: &[Column] = &[
    ID,
    col("BuiltIn", &["built_in"]),
    ABOUT,
    col("IsDeveloperAccessible", &["is_developer_accessible"]),
    CREATED,
];

/// `resource-type`.
pub(crate) const RESOURCE_TYPE: Kind = Kind {
    name: "resource-type",
    title: "Resource type",
    ids: &["id"],
    conflict_key: &[],
    segment: "resource-types",
    fields: &[
        need("id", Shape::Text, "the id, for example `postgres`"),
        DESCRIPTION,
        need("output_schema", Shape::Free, "JSON Schema of the outputs"),
        may(
            "is_developer_accessible",
            Shape::Flag,
            "whether manifests may ask for it; true unless set",
        ),
        EXTRAS,
    ],
    fixed: &[],
    columns: RESOURCE_TYPE_COLUMNS,
    list_columns: RESOURCE_TYPE_COLUMNS,
    lists_are_short: false,
};

/// `provider`.
pub(crate) const PROVIDER: Kind = Kind {
    name: "provider",
    title: "Provider",
    ids: &["provider_type", "id"],
    conflict_key: &[],
    segment: "module-providers",
    fields: &[
        need(
            "provider_type",
            Shape::Text,
            "the local name, for example `kubernetes`",
        ),
        need("id", Shape::Text, "the id, for example `default`"),
        DESCRIPTION,
        need("source", Shape::Text, "(hostname/)namespace/type"),
        need("version_constraint", Shape::Text, "for example `~> 2.38`"),
        may(
            "configuration",
            Shape::Free,
            "arguments of the provider block",
        ),
        EXTRAS,
    ],
    fixed: &[],
    columns: &[
        ID,
        ABOUT,
        col("ProviderType", &["provider_type"]),
        col("Source", &["source"]),
        col("VersionConstraint", &["version_constraint"]),
        col("Configuration", &["configuration"]),
        CREATED,
    ],
    list_columns: &[
        ID,
        ABOUT,
        col("ProviderType", &["provider_type"]),
        col("Source", &["source"]),
        CREATED,
    ],
    lists_are_short: true,
};

const PARAM: Shape = Shape::Record(&[
    need(
        "type",
        Shape::OneOf(&["string", "number", "bool", "list", "map", "any"]),
        "the type",
    ),
    may("is_optional", Shape::Flag, "whether it may be left out"),
    DESCRIPTION,
]);

const DEPENDENCY: Shape = Shape::Record(&[
    need("type", Shape::Text, "the resource type"),
    may("class", Shape::Text, "the class"),
    may(
        "id",
        Shape::Text,
        "a fixed id, shared with whoever asks for the same",
    ),
    may("params", Shape::Free, "params"),
]);

const COPROVISIONED: Shape = Shape::Record(&[
    need("type", Shape::Text, "the resource type"),
    may("class", Shape::Text, "the class"),
    may("id", Shape::Text, "a fixed id"),
    may("params", Shape::Free, "params"),
    may(
        "is_dependent_on_current",
        Shape::Flag,
        "whether it comes after this resource",
    ),
    may(
        "copy_dependents_from_current",
        Shape::Flag,
        "whether dependents wait for it, too",
    ),
]);

/// `module`.
pub(crate) const MODULE: Kind = Kind {
    name: "module",
    title: "Module",
    ids: &["id"],
    conflict_key: &[],
    segment: "modules",
    fields: &[
        need("id", Shape::Text, "the id, for example `postgres-local`"),
        DESCRIPTION,
        need(
            "resource_type",
            Shape::Text,
            "the resource type it provides",
        ),
        need(
            "module_source",
            Shape::Text,
            "`inline`, `./DIR` (in apply files), `/path` in the image, `git::https://…` or a registry source",
        ),
        may(
            "module_source_code",
            Shape::Text,
            "the code, when the source is `inline`",
        ),
        may(
            "module_params",
            Shape::Map(&PARAM),
            "what manifests may set",
        ),
        may(
            "module_inputs",
            Shape::Free,
            "what the platform sets; placeholders allowed",
        ),
        may(
            "provider_mapping",
            Shape::Map(&Shape::Text),
            "local provider name to TYPE.ID",
        ),
        may(
            "dependencies",
            Shape::Map(&DEPENDENCY),
            "resources that it needs, by alias",
        ),
        may(
            "coprovisioned",
            Shape::List(&COPROVISIONED),
            "resources that come along",
        ),
        may(
            "windlass",
            Shape::Record(&[
                OWNER,
                may(
                    "digest",
                    Shape::Text,
                    "digest of its code; set by the server",
                ),
            ]),
            "our own fields",
        ),
    ],
    fixed: &["resource_type"],
    columns: &[
        ID,
        ABOUT,
        col("OrgId", &["org_id"]),
        col("ResourceType", &["resource_type"]),
        col("ModuleSource", &["module_source"]),
        col("ModuleParams", &["module_params"]),
        col("ModuleInputs", &["module_inputs"]),
        col("ProviderMapping", &["provider_mapping"]),
        col("Dependencies", &["dependencies"]),
        col("Coprovisioned", &["coprovisioned"]),
        col("UpdatedAt", &["updated_at"]),
        col("VersionId", &["version_id"]),
        CREATED,
    ],
    list_columns: &[
        ID,
        ABOUT,
        col("ResourceType", &["resource_type"]),
        col("ModuleSource", &["module_source"]),
        col("VersionId", &["version_id"]),
        CREATED,
    ],
    lists_are_short: true,
};

const MODULE_RULE_COLUMNS: &[Column] = &[
    ID,
    col("ResourceType", &["resource_type"]),
    col("ResourceClass", &["resource_class"]),
    col("ResourceId", &["resource_id"]),
    col("ModuleId", &["module_id"]),
    col("ProjectId", &["project_id"]),
    col("EnvId", &["env_id"]),
    col("EnvTypeId", &["env_type_id"]),
    CREATED,
];

/// `module-rule`.
pub(crate) const MODULE_RULE: Kind = Kind {
    name: "module-rule",
    title: "Module rule",
    ids: &[],
    conflict_key: &[
        "resource_type",
        "resource_class",
        "resource_id",
        "project_id",
        "env_id",
        "env_type_id",
    ],
    segment: "module-rules",
    fields: &[
        need("module_id", Shape::Text, "the module it picks"),
        may(
            "resource_class",
            Shape::Text,
            "for resources of this class; `default` unless set",
        ),
        may(
            "resource_id",
            Shape::Text,
            "only for the resource of this id",
        ),
        may("project_id", Shape::Text, "only in this project"),
        may(
            "env_id",
            Shape::Text,
            "only in this environment of the project",
        ),
        may(
            "env_type_id",
            Shape::Text,
            "only in environments of this type",
        ),
        EXTRAS,
    ],
    fixed: &[],
    columns: MODULE_RULE_COLUMNS,
    list_columns: MODULE_RULE_COLUMNS,
    lists_are_short: false,
};

/// `runner`.
pub(crate) const RUNNER: Kind = Kind {
    name: "runner",
    title: "Runner",
    ids: &["id"],
    conflict_key: &[],
    segment: "runners",
    fields: &[
        need("id", Shape::Text, "the id"),
        may("description", Shape::Text, "for people"),
        need(
            "runner_configuration",
            Shape::Free,
            "`type` (`docker`, `process`, `agent`, …) and what it needs",
        ),
        need(
            "state_storage_configuration",
            Shape::Free,
            "`type` (`local`, `s3`, …) and what it needs",
        ),
        EXTRAS,
    ],
    fixed: &[],
    columns: &[
        ID,
        ABOUT,
        col("OrgId", &["org_id"]),
        col("RunnerType", &["runner_configuration.type"]),
        col("StateType", &["state_storage_configuration.type"]),
        CREATED,
    ],
    list_columns: &[
        ID,
        ABOUT,
        col("RunnerType", &["runner_configuration.type"]),
        CREATED,
    ],
    lists_are_short: true,
};

const RUNNER_RULE_COLUMNS: &[Column] = &[
    ID,
    col("RunnerId", &["runner_id"]),
    col("ProjectId", &["project_id"]),
    col("EnvTypeId", &["env_type_id"]),
    CREATED,
];

/// `runner-rule`.
pub(crate) const RUNNER_RULE: Kind = Kind {
    name: "runner-rule",
    title: "Runner rule",
    ids: &[],
    conflict_key: &["project_id", "env_type_id"],
    segment: "runner-rules",
    fields: &[
        need("runner_id", Shape::Text, "the runner it picks"),
        may("project_id", Shape::Text, "only for this project"),
        may(
            "env_type_id",
            Shape::Text,
            "only for environments of this type",
        ),
        EXTRAS,
    ],
    fixed: &[],
    columns: RUNNER_RULE_COLUMNS,
    list_columns: RUNNER_RULE_COLUMNS,
    lists_are_short: false,
};

/// Available resource types.
pub(crate) const AVAILABLE_COLUMNS: &[Column] = &[ID, ABOUT, col("Options", &["options_text"])];

/// One deployment.
pub(crate) const DEPLOYMENT_COLUMNS: &[Column] = &[
    ID,
    col("ProjectId", &["project_id"]),
    col("EnvId", &["env_id"]),
    col("Status", &["status"]),
    col("Mode", &["mode"]),
    col("PlanOnly", &["plan_only"]),
    col("Outcome", &["windlass.outcome", "windlass.phase"]),
    CREATED,
    col("CompletedAt", &["completed_at"]),
    col("RunnerId", &["runner_id", "windlass.runner_id"]),
];

/// A list of deployments.
pub(crate) const DEPLOYMENT_LIST_COLUMNS: &[Column] = &[
    ID,
    col("ProjectId", &["project_id"]),
    col("EnvId", &["env_id"]),
    col("Status", &["status"]),
    col("Mode", &["mode"]),
    col("PlanOnly", &["plan_only"]),
    col("Outcome", &["windlass.outcome", "windlass.phase"]),
    CREATED,
    col("CompletedAt", &["completed_at"]),
];

/// Nodes of an active graph.
pub(crate) const NODE_COLUMNS: &[Column] = &[
    ID,
    col("ResourceType", &["resource_type"]),
    col("ResourceClass", &["resource_class"]),
    col("ResourceId", &["resource_id"]),
    col("ModuleId", &["module_id"]),
    col("ModuleVersion", &["module_version"]),
];

/// Contexts of the settings file.
pub(crate) const CONTEXT_COLUMNS: &[Column] = &[
    col("Current", &["current_text"]),
    col("Name", &["name"]),
    col("ApiUrl", &["api_url"]),
    col("DefaultOrgId", &["default_org_id"]),
    col("Token", &["token"]),
];

/// Who is asking.
pub(crate) const USER_COLUMNS: &[Column] = &[
    ID,
    DISPLAY,
    CREATED,
    col("OrganizationMemberships", &["organization_memberships"]),
];

/// People, a row for each role.
pub(crate) const MEMBERSHIP_COLUMNS: &[Column] = &[
    col("UserId", &["user_id"]),
    col("Name", &["user_display_name"]),
    col("Email", &["user_primary_email_address"]),
    col("Role", &["role"]),
    col("Scope", &["scope"]),
    CREATED,
];

/// Who is invited.
pub(crate) const INVITATION_COLUMNS: &[Column] = &[
    ID,
    col("Email", &["email_address"]),
    col("Role", &["role"]),
    col("Scope", &["windlass.scope"]),
    col("InvitedBy", &["created_by_display_name"]),
    col("Expires", &["expires_at"]),
];

/// Service users.
pub(crate) const SERVICE_USER_COLUMNS: &[Column] = &[
    ID,
    DISPLAY,
    col("Roles", &["options_text"]),
    col("Generated", &["generated_at"]),
    col("TokenExpires", &["current_token_expires_at"]),
    col("LastUsed", &["windlass.last_used_at"]),
];

/// Roles.
pub(crate) const ROLE_COLUMNS: &[Column] = &[ID, DISPLAY, col("Permissions", &["permissions"])];

/// Trust rules.
pub(crate) const TRUST_RULE_COLUMNS: &[Column] = &[
    ID,
    DISPLAY,
    col("Issuer", &["issuer"]),
    col("Audience", &["audience"]),
    col("Claims", &["claims"]),
    col("Roles", &["options_text"]),
    col("Minutes", &["minutes"]),
];

/// Agents.
pub(crate) const AGENT_COLUMNS: &[Column] = &[
    ID,
    col("Runner", &["runner_id"]),
    col("Host", &["about.host"]),
    col("Version", &["about.version"]),
    col("Runs", &["runs"]),
    col("Capacity", &["about.capacity"]),
    col("Launchers", &["about.launchers"]),
    col("Connected", &["connected"]),
    col("SeenAt", &["seen_at"]),
];
