-- Who asked for what, in one chain per organisation; `org_id` is '' for requests below none. `entry` is the canonical
-- JSON that `hash` is taken over, together with the hash of the row before.
CREATE TABLE audit (
    org_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (org_id, number)
) STRICT;

-- The last number of each chain; drawn in the transaction that appends, which makes writers take turns.
CREATE TABLE audit_heads (
    org_id TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

-- Programs that wait for a person to let them in. `state`: pending, accepted, rejected.
CREATE TABLE device_logins (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    polling_hash TEXT NOT NULL,
    state TEXT NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    user_agent TEXT NOT NULL,
    client_ip TEXT,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX device_logins_by_code ON device_logins (code);

-- How a session was opened (`link`, `device`, the name of an issuer), and from where.
ALTER TABLE tokens ADD COLUMN provider TEXT;
ALTER TABLE tokens ADD COLUMN client_ip TEXT;

-- Whom an organisation trusts: tokens that an issuer signs for a program, such as a job of a build system, are changed
-- into short tokens of the rule's own service user, which goes with the rule.
CREATE TABLE trust_rules (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX trust_rules_by_organization ON trust_rules (org_id, issuer);
