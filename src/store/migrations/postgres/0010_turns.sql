-- Whose turn it is. A step of the queue costs what there are projects that wait, not what waits.

ALTER TABLE places ADD COLUMN first_in_line BIGINT;                -- `sequence` of its oldest queued deployment; kept by the triggers below
ALTER TABLE places ADD COLUMN turn_us BIGINT NOT NULL DEFAULT 0;   -- when one of its deployments was last claimed
UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
    WHERE deployments.env_uuid = places.env_uuid AND phase = 'queued');
CREATE INDEX places_ready ON places (org_id, project_id, turn_us, first_in_line, state_instance)
    WHERE first_in_line IS NOT NULL AND lease_run IS NULL;
CREATE INDEX places_busy ON places (org_id, project_id) WHERE lease_run IS NOT NULL;

-- When a deployment of a project was last claimed.
CREATE TABLE turns (
    org_id TEXT COLLATE "C" NOT NULL,
    project_id TEXT COLLATE "C" NOT NULL,
    turn_us BIGINT NOT NULL,
    PRIMARY KEY (org_id, project_id)
);

CREATE FUNCTION find_first_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    env TEXT := CASE WHEN TG_OP = 'DELETE' THEN OLD.env_uuid ELSE NEW.env_uuid END;
BEGIN
    UPDATE places SET first_in_line = (SELECT MIN(sequence) FROM deployments
        WHERE deployments.env_uuid = env AND phase = 'queued')
        WHERE places.env_uuid = env;
    RETURN NULL;
END $$;
CREATE TRIGGER place_is_new AFTER INSERT ON places FOR EACH ROW EXECUTE FUNCTION find_first_in_line();
CREATE TRIGGER deployment_is_new AFTER INSERT ON deployments FOR EACH ROW
    WHEN (NEW.phase = 'queued') EXECUTE FUNCTION find_first_in_line();
CREATE TRIGGER deployment_is_moved AFTER UPDATE OF phase ON deployments FOR EACH ROW
    WHEN (OLD.phase <> NEW.phase AND (OLD.phase = 'queued' OR NEW.phase = 'queued')) EXECUTE FUNCTION find_first_in_line();
CREATE TRIGGER deployment_is_gone AFTER DELETE ON deployments FOR EACH ROW
    WHEN (OLD.phase = 'queued') EXECUTE FUNCTION find_first_in_line();
