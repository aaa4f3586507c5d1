-- What the platform team says and the projects it serves: one table per noun.
--
-- `body` is the object as the API answers it, in an envelope that begins with its version; the columns
-- beside it are what SQL filters, orders and joins by. `sealed` is encrypted under the key ring. An unset
-- scope of a rule is '' (not NULL), so that one unique index can name its conflict key.

CREATE TABLE organizations (
    id TEXT COLLATE "C" PRIMARY KEY,
    body TEXT COLLATE "C" NOT NULL
);

CREATE TABLE environment_types (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE projects (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    id TEXT COLLATE "C" NOT NULL,
    uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE environments (
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    env_type_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    runner_id TEXT COLLATE "C",
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, project_id, id),
    FOREIGN KEY (org_id, project_id) REFERENCES projects (org_id, id),
    FOREIGN KEY (org_id, env_type_id) REFERENCES environment_types (org_id, id)
);
CREATE INDEX environments_by_type ON environments (org_id, env_type_id);

CREATE TABLE resource_types (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE providers (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    provider_type TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL, -- the configuration
    PRIMARY KEY (org_id, provider_type, id)
);

-- `uuid` tells a module from an earlier one with the same id; `version_id` is the current version.
CREATE TABLE modules (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    id TEXT COLLATE "C" NOT NULL,
    uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    resource_type TEXT COLLATE "C" NOT NULL,
    version_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- Kept for ever, also after the module has gone: a rollback or a destroy may need any of them.
CREATE TABLE module_versions (
    org_id TEXT COLLATE "C" NOT NULL,
    module_id TEXT COLLATE "C" NOT NULL,
    module_uuid TEXT COLLATE "C" NOT NULL,
    version_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, version_id),
    UNIQUE (module_uuid, sequence)
);

-- Which providers the current version of a module maps to.
CREATE TABLE module_providers (
    org_id TEXT COLLATE "C" NOT NULL,
    module_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL, -- TYPE.ID
    PRIMARY KEY (org_id, module_id, provider),
    FOREIGN KEY (org_id, module_id) REFERENCES modules (org_id, id) ON DELETE CASCADE
);
CREATE INDEX module_providers_by_provider ON module_providers (org_id, provider);

CREATE TABLE module_rules (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    module_id TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_class TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    env_id TEXT COLLATE "C" NOT NULL,
    env_type_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, module_id) REFERENCES modules (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX module_rules_conflict ON module_rules
    (org_id, resource_type, resource_class, resource_id, env_type_id, project_id, env_id);

CREATE TABLE runners (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL, -- with both configurations reduced to their type
    sealed BYTEA NOT NULL, -- both configurations, whole
    PRIMARY KEY (org_id, id)
);

CREATE TABLE runner_rules (
    org_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    runner_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    env_type_id TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX runner_rules_conflict ON runner_rules (org_id, project_id, env_type_id);

CREATE TABLE metadata_keys (
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    name TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, name)
);
