-- Servers beside each other: who there is, who holds which attempt, and who alone has a state.

-- One row for each data directory whose worker ever held something. `epoch` counts its workers; what a worker does is
-- refused once there is a later one.
CREATE TABLE servers (
    instance TEXT COLLATE "C" PRIMARY KEY,
    place TEXT COLLATE "C" NOT NULL,          -- JSON: host and directory of the worker
    epoch BIGINT NOT NULL,
    until_us BIGINT NOT NULL         -- by the clock of the database; 0 when it gave back what it held
);

-- Empty for attempts from before; they belong to whoever comes first.
ALTER TABLE attempts ADD COLUMN holder TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- `instance` of `state_place`, empty where every server reaches the state.
ALTER TABLE places ADD COLUMN state_instance TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE places SET state_instance = COALESCE(state_place::json ->> 'instance', '') WHERE state_place IS NOT NULL;
