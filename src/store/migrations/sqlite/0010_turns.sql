-- Whose turn it is. A step of the queue costs what there are projects that wait, not what waits.

ALTER TABLE places ADD COLUMN first_in_line INTEGER;                -- `sequence` of its oldest queued deployment; kept by the triggers below
ALTER TABLE places ADD COLUMN turn_us INTEGER NOT NULL DEFAULT 0;   -- when one of its deployments was last claimed
UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
    WHERE deployments.env_uuid = places.env_uuid AND phase = 'queued');
CREATE INDEX places_ready ON places (org_id, project_id, turn_us, first_in_line, state_instance)
    WHERE first_in_line IS NOT NULL AND lease_run IS NULL;
CREATE INDEX places_busy ON places (org_id, project_id) WHERE lease_run IS NOT NULL;

-- When a deployment of a project was last claimed.
CREATE TABLE turns (
    org_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    turn_us INTEGER NOT NULL,
    PRIMARY KEY (org_id, project_id)
) STRICT;

CREATE TRIGGER place_is_new AFTER INSERT ON places BEGIN
    UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
        WHERE deployments.env_uuid = NEW.env_uuid AND phase = 'queued')
        WHERE env_uuid = NEW.env_uuid;
END;
CREATE TRIGGER deployment_is_new AFTER INSERT ON deployments WHEN NEW.phase = 'queued' BEGIN
    UPDATE places SET first_in_line = NEW.sequence
        WHERE env_uuid = NEW.env_uuid AND (first_in_line IS NULL OR first_in_line > NEW.sequence);
END;
CREATE TRIGGER deployment_is_moved AFTER UPDATE OF phase ON deployments
    WHEN OLD.phase <> NEW.phase AND (OLD.phase = 'queued' OR NEW.phase = 'queued') BEGIN
    UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
        WHERE deployments.env_uuid = NEW.env_uuid AND phase = 'queued')
        WHERE env_uuid = NEW.env_uuid;
END;
CREATE TRIGGER deployment_is_gone AFTER DELETE ON deployments WHEN OLD.phase = 'queued' BEGIN
    UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
        WHERE deployments.env_uuid = OLD.env_uuid AND phase = 'queued')
        WHERE env_uuid = OLD.env_uuid;
END;
