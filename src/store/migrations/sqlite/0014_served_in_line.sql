-- Whose runs the first in line is, so that a look reads no environment whose agents are away.

ALTER TABLE places ADD COLUMN first_served_by TEXT;   -- `served_by` of `first_in_line`; kept by the same triggers
UPDATE places SET first_served_by = (SELECT served_by FROM deployments WHERE sequence = places.first_in_line);
DROP INDEX places_ready;
CREATE INDEX places_ready ON places (first_served_by, org_id, project_id, turn_us, first_in_line, state_instance)
    WHERE first_in_line IS NOT NULL AND lease_run IS NULL;

DROP TRIGGER place_is_new;
DROP TRIGGER deployment_is_new;
DROP TRIGGER deployment_is_moved;
DROP TRIGGER deployment_is_gone;
CREATE TRIGGER place_is_new AFTER INSERT ON places BEGIN
    UPDATE places SET (first_in_line, first_served_by) = (SELECT sequence, served_by FROM deployments
        WHERE deployments.env_uuid = NEW.env_uuid AND phase = 'queued' ORDER BY sequence LIMIT 1)
        WHERE env_uuid = NEW.env_uuid;
END;
CREATE TRIGGER deployment_is_new AFTER INSERT ON deployments WHEN NEW.phase = 'queued' BEGIN
    UPDATE places SET first_in_line = NEW.sequence, first_served_by = NEW.served_by
        WHERE env_uuid = NEW.env_uuid AND (first_in_line IS NULL OR first_in_line > NEW.sequence);
END;
CREATE TRIGGER deployment_is_moved AFTER UPDATE OF phase ON deployments
    WHEN OLD.phase <> NEW.phase AND (OLD.phase = 'queued' OR NEW.phase = 'queued') BEGIN
    UPDATE places SET (first_in_line, first_served_by) = (SELECT sequence, served_by FROM deployments
        WHERE deployments.env_uuid = NEW.env_uuid AND phase = 'queued' ORDER BY sequence LIMIT 1)
        WHERE env_uuid = NEW.env_uuid;
END;
CREATE TRIGGER deployment_is_gone AFTER DELETE ON deployments WHEN OLD.phase = 'queued' BEGIN
    UPDATE places SET (first_in_line, first_served_by) = (SELECT sequence, served_by FROM deployments
        WHERE deployments.env_uuid = OLD.env_uuid AND phase = 'queued' ORDER BY sequence LIMIT 1)
        WHERE env_uuid = OLD.env_uuid;
END;
