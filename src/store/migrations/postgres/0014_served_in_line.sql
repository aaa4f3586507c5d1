-- Whose runs the first in line is, so that a look reads no environment whose agents are away.

ALTER TABLE places ADD COLUMN first_served_by TEXT COLLATE "C";   -- `served_by` of `first_in_line`; kept by the same triggers
UPDATE places SET first_served_by = (SELECT served_by FROM deployments WHERE sequence = places.first_in_line);
DROP INDEX places_ready;
CREATE INDEX places_ready ON places (first_served_by, org_id, project_id, turn_us, first_in_line, state_instance)
    WHERE first_in_line IS NOT NULL AND lease_run IS NULL;

CREATE OR REPLACE FUNCTION find_first_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    env TEXT := CASE WHEN TG_OP = 'DELETE' THEN OLD.env_uuid ELSE NEW.env_uuid END;
BEGIN
    UPDATE places SET (first_in_line, first_served_by) = (SELECT sequence, served_by FROM deployments
        WHERE deployments.env_uuid = env AND phase = 'queued' ORDER BY sequence LIMIT 1)
        WHERE places.env_uuid = env;
    RETURN NULL;
END $$;
