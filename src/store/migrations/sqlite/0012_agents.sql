-- Agents: who carries runs on hosts that no server reaches.

-- Whose agents serve a deployment, `ORG/RUNNER`; empty where the servers themselves do.
ALTER TABLE deployments ADD COLUMN served_by TEXT NOT NULL DEFAULT '';
CREATE INDEX deployments_for_agents ON deployments (served_by, sequence) WHERE phase = 'queued' AND served_by <> '';

-- Whose runs a worker carries, as in `deployments.served_by`: empty for a server.
ALTER TABLE servers ADD COLUMN serves TEXT NOT NULL DEFAULT '';

-- One row for each agent. `instance` is that of its data directory; what it holds is in `servers` under the same name.
CREATE TABLE agents (
    instance TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    runner_id TEXT NOT NULL,
    about TEXT NOT NULL,              -- JSON: what it says of itself
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    seen_us INTEGER NOT NULL          -- when it last said anything; 0 for never
) STRICT;
CREATE INDEX agents_by_runner ON agents (org_id, runner_id);

-- Its keys, two at most. `id` is the SHA-256 of the public key.
CREATE TABLE agent_keys (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL REFERENCES agents (instance) ON DELETE CASCADE,
    public TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX agent_keys_by_agent ON agent_keys (instance);

-- What enrols an agent, once; gone when it was used.
CREATE TABLE agent_tokens (
    hash TEXT PRIMARY KEY,
    org_id TEXT NOT NULL,
    runner_id TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
