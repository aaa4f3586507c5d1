-- Servers beside each other: who there is, who holds which attempt, and who alone has a state.

-- One row for each data directory whose worker ever held something. `epoch` counts its workers; what a worker does is
-- refused once there is a later one.
CREATE TABLE servers (
    instance TEXT PRIMARY KEY,
    place TEXT NOT NULL,          -- JSON: host and directory of the worker
    epoch INTEGER NOT NULL,
    until_us INTEGER NOT NULL         -- by the clock of the database; 0 when it gave back what it held
) STRICT;

-- Empty for attempts from before; they belong to whoever comes first.
ALTER TABLE attempts ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- `instance` of `state_place`, empty where every server reaches the state.
ALTER TABLE places ADD COLUMN state_instance TEXT NOT NULL DEFAULT '';
UPDATE places SET state_instance = COALESCE(json_extract(state_place, '$.instance'), '') WHERE state_place IS NOT NULL;
