-- The first in line of an environment, found by one look however many have ended before it and wait behind it.
CREATE INDEX deployments_in_line ON deployments (env_uuid, sequence) WHERE phase = 'queued';
