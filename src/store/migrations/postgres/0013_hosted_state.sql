-- States that this server keeps for engines: which version counts, and who may write the next one.
CREATE TABLE hosted_states (
    env_uuid TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL,
    -- Whether the version is there for engines, or was deleted by one.
    present BIGINT NOT NULL,
    lock_id TEXT COLLATE "C",
    lock_info BYTEA,
    lock_run TEXT COLLATE "C",
    lock_attempt BIGINT,
    -- Which engine process of that attempt: a later one proves that this one has ended.
    lock_process BIGINT,
    locked_us BIGINT,
    -- The lock that was let go of last: letting go of it again is no error.
    released_id TEXT COLLATE "C"
);
CREATE INDEX hosted_states_by_lock ON hosted_states (lock_run, lock_attempt);

-- Every version that is kept, sealed under the key ring.
CREATE TABLE hosted_versions (
    env_uuid TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    serial BIGINT NOT NULL,
    lineage TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    -- The run that wrote it, or the person who restored it.
    run TEXT COLLATE "C",
    written_by TEXT COLLATE "C",
    created_us BIGINT NOT NULL,
    PRIMARY KEY (env_uuid, version)
);

-- What an attempt of a run proves itself with: only its hash.
CREATE TABLE hosted_credentials (
    hash TEXT COLLATE "C" PRIMARY KEY,
    env_uuid TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    created_us BIGINT NOT NULL
);
CREATE INDEX hosted_credentials_by_run ON hosted_credentials (run, attempt);
