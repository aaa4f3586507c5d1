-- States that this server keeps for engines: which version counts, and who may write the next one.
CREATE TABLE hosted_states (
    env_uuid TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    -- Whether the version is there for engines, or was deleted by one.
    present INTEGER NOT NULL,
    lock_id TEXT,
    lock_info BLOB,
    lock_run TEXT,
    lock_attempt INTEGER,
    -- Which engine process of that attempt: a later one proves that this one has ended.
    lock_process INTEGER,
    locked_us INTEGER,
    -- The lock that was let go of last: letting go of it again is no error.
    released_id TEXT
) STRICT;
CREATE INDEX hosted_states_by_lock ON hosted_states (lock_run, lock_attempt);

-- Every version that is kept, sealed under the key ring.
CREATE TABLE hosted_versions (
    env_uuid TEXT NOT NULL,
    version INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    lineage TEXT NOT NULL,
    size INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    -- The run that wrote it, or the person who restored it.
    run TEXT,
    written_by TEXT,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (env_uuid, version)
) STRICT;

-- What an attempt of a run proves itself with: only its hash.
CREATE TABLE hosted_credentials (
    hash TEXT PRIMARY KEY,
    env_uuid TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX hosted_credentials_by_run ON hosted_credentials (run, attempt);
