-- Keys under which engines encrypt the state of an environment, each sealed under the key ring; the greatest number counts.

CREATE TABLE state_keys (
    env_uuid TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (env_uuid, number)
);
