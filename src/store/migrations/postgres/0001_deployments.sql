-- What runs and ran: deployments, their runs and attempts, what these said, and what each environment has.
-- Times are microseconds since 1970 (UTC). JSON is TEXT and begins with its version where it is read again.

-- Numbers whose order is the order of commits: `event`, `queue`.
CREATE TABLE counters (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('event', 0), ('queue', 0);

-- The place where environments run: one row per environment that was ever deployed to or is being deleted.
-- The row is the lease: `lease_run` holds the environment, `epoch` counts holders.
CREATE TABLE places (
    env_uuid TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    env_id TEXT COLLATE "C" NOT NULL,
    lease_run TEXT COLLATE "C",
    epoch BIGINT NOT NULL,
    state_deployment TEXT COLLATE "C",      -- the last one that was let change the state: what the next is compared with
    state_place TEXT COLLATE "C",           -- JSON; where the state lies, recorded when it is first written
    lock_file TEXT COLLATE "C",             -- of providers, as the engine left it
    deletion TEXT COLLATE "C"               -- JSON while the environment is being deleted
);

-- One row per deployment, small enough to list; what is big lies in `documents`.
CREATE TABLE deployments (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    env_id TEXT COLLATE "C" NOT NULL,
    env_uuid TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL UNIQUE,   -- the order of acceptance, and of the queue
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    completed_us BIGINT,
    mode TEXT COLLATE "C" NOT NULL,
    rollback_to TEXT COLLATE "C",
    phase TEXT COLLATE "C" NOT NULL,                -- queued, running, ended
    step TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C",
    failure_class TEXT COLLATE "C",
    status_message TEXT COLLATE "C" NOT NULL,
    idempotency TEXT COLLATE "C",                   -- SHA-256 of the key
    runner_id TEXT COLLATE "C" NOT NULL,
    log_level TEXT COLLATE "C" NOT NULL,
    log_recipients TEXT COLLATE "C" NOT NULL,       -- JSON
    output_recipients TEXT COLLATE "C" NOT NULL,    -- JSON
    workloads BIGINT NOT NULL,
    nodes BIGINT NOT NULL,
    total BIGINT,
    added BIGINT,
    changed BIGINT,
    removed BIGINT,
    progress_done BIGINT,
    progress_total BIGINT,
    bundle_digest TEXT COLLATE "C",
    run TEXT COLLATE "C" NOT NULL UNIQUE,           -- id of its run
    attempt BIGINT NOT NULL,           -- the current one; 0 before the first
    failures BIGINT NOT NULL,          -- attempts that never began
    not_before_us BIGINT NOT NULL,     -- not claimed earlier
    cancel BIGINT NOT NULL,            -- 1 when somebody asked for it
    gone BIGINT NOT NULL               -- 1 when its environment is removed: found by id, never listed
);
CREATE INDEX deployments_by_environment ON deployments (env_uuid, sequence);
CREATE INDEX deployments_by_place ON deployments (org_id, project_id, env_id, sequence);
CREATE INDEX deployments_queued ON deployments (phase, sequence);

-- What belongs to a deployment and is too big for its row, by kind. `sealed`: encrypted under the key ring.
CREATE TABLE documents (
    deployment TEXT COLLATE "C" NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    sealed BIGINT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (deployment, kind)
);

-- Attempts that were claimed. An attempt without `ended_us` holds the lease of its environment.
CREATE TABLE attempts (
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    handle TEXT COLLATE "C",                        -- JSON; recorded before the job is written to it
    last_seq BIGINT NOT NULL,
    claimed_us BIGINT NOT NULL,
    ended_us BIGINT,
    PRIMARY KEY (run, attempt)
);
CREATE INDEX attempts_open ON attempts (ended_us);
CREATE INDEX attempts_by_deployment ON attempts (deployment);

-- Sealed streams of an attempt: header, frames, and the same as one age file where a reader needs it.
CREATE TABLE streams (
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    header BYTEA,
    last BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    PRIMARY KEY (run, attempt, stream)
);
CREATE INDEX streams_by_deployment ON streams (deployment);
CREATE TABLE frames (
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (run, attempt, stream, number),
    FOREIGN KEY (run, attempt, stream) REFERENCES streams (run, attempt, stream) ON DELETE CASCADE
);
CREATE TABLE age_files (
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (run, attempt, stream),
    FOREIGN KEY (run, attempt, stream) REFERENCES streams (run, attempt, stream) ON DELETE CASCADE
);

-- The feed: every change of a deployment, numbered in the order of commits.
CREATE TABLE events (
    position BIGINT PRIMARY KEY,
    deployment TEXT COLLATE "C" NOT NULL,
    at_us BIGINT NOT NULL,
    what TEXT COLLATE "C" NOT NULL                  -- JSON
);
CREATE INDEX events_by_deployment ON events (deployment, position);

-- What an environment is meant to have.
CREATE TABLE resource_nodes (
    env_uuid TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_class TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    deployment TEXT COLLATE "C" NOT NULL,
    module_id TEXT COLLATE "C" NOT NULL,
    module_version TEXT COLLATE "C" NOT NULL,
    metadata TEXT COLLATE "C" NOT NULL,             -- JSON
    PRIMARY KEY (env_uuid, hash)
);
CREATE INDEX resource_nodes_by_module ON resource_nodes (module_id);
CREATE TABLE resource_edges (
    env_uuid TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    alias TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (env_uuid, subject, alias),
    FOREIGN KEY (env_uuid, subject) REFERENCES resource_nodes (env_uuid, hash) ON DELETE CASCADE
);

-- Code of module versions that was fetched after they were saved: version id to digest of the code.
CREATE TABLE module_code (
    version_id TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL
);

-- Which organisation uploaded which code, so that none uses another's by its digest.
CREATE TABLE module_uploads (
    org_id TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (org_id, digest)
);
