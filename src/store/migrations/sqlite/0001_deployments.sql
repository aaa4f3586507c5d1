-- What runs and ran: deployments, their runs and attempts, what these said, and what each environment has.
-- Times are microseconds since 1970 (UTC). JSON is TEXT and begins with its version where it is read again.

-- Numbers whose order is the order of commits: `event`, `queue`.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters (name, value) VALUES ('event', 0), ('queue', 0);

-- The place where environments run: one row per environment that was ever deployed to or is being deleted.
-- The row is the lease: `lease_run` holds the environment, `epoch` counts holders.
CREATE TABLE places (
    env_uuid TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    env_id TEXT NOT NULL,
    lease_run TEXT,
    epoch INTEGER NOT NULL,
    state_deployment TEXT,      -- the last one that was let change the state: what the next is compared with
    state_place TEXT,           -- JSON; where the state lies, recorded when it is first written
    lock_file TEXT,             -- of providers, as the engine left it
    deletion TEXT               -- JSON while the environment is being deleted
) STRICT;

-- One row per deployment, small enough to list; what is big lies in `documents`.
CREATE TABLE deployments (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    env_id TEXT NOT NULL,
    env_uuid TEXT NOT NULL,
    sequence INTEGER NOT NULL UNIQUE,   -- the order of acceptance, and of the queue
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    completed_us INTEGER,
    mode TEXT NOT NULL,
    rollback_to TEXT,
    phase TEXT NOT NULL,                -- queued, running, ended
    step TEXT NOT NULL,
    outcome TEXT,
    failure_class TEXT,
    status_message TEXT NOT NULL,
    idempotency TEXT,                   -- SHA-256 of the key
    runner_id TEXT NOT NULL,
    log_level TEXT NOT NULL,
    log_recipients TEXT NOT NULL,       -- JSON
    output_recipients TEXT NOT NULL,    -- JSON
    workloads INTEGER NOT NULL,
    nodes INTEGER NOT NULL,
    total INTEGER,
    added INTEGER,
    changed INTEGER,
    removed INTEGER,
    progress_done INTEGER,
    progress_total INTEGER,
    bundle_digest TEXT,
    run TEXT NOT NULL UNIQUE,           -- id of its run
    attempt INTEGER NOT NULL,           -- the current one; 0 before the first
    failures INTEGER NOT NULL,          -- attempts that never began
    not_before_us INTEGER NOT NULL,     -- not claimed earlier
    cancel INTEGER NOT NULL,            -- 1 when somebody asked for it
    gone INTEGER NOT NULL               -- 1 when its environment is removed: found by id, never listed
) STRICT;
CREATE INDEX deployments_by_environment ON deployments (env_uuid, sequence);
CREATE INDEX deployments_by_place ON deployments (org_id, project_id, env_id, sequence);
CREATE INDEX deployments_queued ON deployments (phase, sequence);

-- What belongs to a deployment and is too big for its row, by kind. `sealed`: encrypted under the key ring.
CREATE TABLE documents (
    deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sealed INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (deployment, kind)
) STRICT;

-- Attempts that were claimed. An attempt without `ended_us` holds the lease of its environment.
CREATE TABLE attempts (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    handle TEXT,                        -- JSON; recorded before the job is written to it
    last_seq INTEGER NOT NULL,
    claimed_us INTEGER NOT NULL,
    ended_us INTEGER,
    PRIMARY KEY (run, attempt)
) STRICT;
CREATE INDEX attempts_open ON attempts (ended_us);
CREATE INDEX attempts_by_deployment ON attempts (deployment);

-- Sealed streams of an attempt: header, frames, and the same as one age file where a reader needs it.
CREATE TABLE streams (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    header BLOB,
    last INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    PRIMARY KEY (run, attempt, stream)
) STRICT;
CREATE INDEX streams_by_deployment ON streams (deployment);
CREATE TABLE frames (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (run, attempt, stream, number),
    FOREIGN KEY (run, attempt, stream) REFERENCES streams (run, attempt, stream) ON DELETE CASCADE
) STRICT;
CREATE TABLE age_files (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stream TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (run, attempt, stream),
    FOREIGN KEY (run, attempt, stream) REFERENCES streams (run, attempt, stream) ON DELETE CASCADE
) STRICT;

-- The feed: every change of a deployment, numbered in the order of commits.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    deployment TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    what TEXT NOT NULL                  -- JSON
) STRICT;
CREATE INDEX events_by_deployment ON events (deployment, position);

-- What an environment is meant to have.
CREATE TABLE resource_nodes (
    env_uuid TEXT NOT NULL,
    hash TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_class TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    deployment TEXT NOT NULL,
    module_id TEXT NOT NULL,
    module_version TEXT NOT NULL,
    metadata TEXT NOT NULL,             -- JSON
    PRIMARY KEY (env_uuid, hash)
) STRICT;
CREATE INDEX resource_nodes_by_module ON resource_nodes (module_id);
CREATE TABLE resource_edges (
    env_uuid TEXT NOT NULL,
    subject TEXT NOT NULL,
    alias TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (env_uuid, subject, alias),
    FOREIGN KEY (env_uuid, subject) REFERENCES resource_nodes (env_uuid, hash) ON DELETE CASCADE
) STRICT;

-- Code of module versions that was fetched after they were saved: version id to digest of the code.
CREATE TABLE module_code (
    version_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL
) STRICT;

-- Which organisation uploaded which code, so that none uses another's by its digest.
CREATE TABLE module_uploads (
    org_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (org_id, digest)
) STRICT;
