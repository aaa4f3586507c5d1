-- Who asked for what, in one chain per organisation; `org_id` is '' for requests below none. `entry` is the canonical
-- JSON that `hash` is taken over, together with the hash of the row before.
CREATE TABLE audit (
    org_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    entry TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, number)
);

-- The last number of each chain; drawn in the transaction that appends, which makes writers take turns.
CREATE TABLE audit_heads (
    org_id TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT NOT NULL
);

-- Programs that wait for a person to let them in. `state`: pending, accepted, rejected.
CREATE TABLE device_logins (
    id TEXT COLLATE "C" PRIMARY KEY,
    code TEXT COLLATE "C" NOT NULL,
    polling_hash TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" REFERENCES users (id) ON DELETE CASCADE,
    user_agent TEXT COLLATE "C" NOT NULL,
    client_ip TEXT COLLATE "C",
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX device_logins_by_code ON device_logins (code);

-- How a session was opened (`link`, `device`, the name of an issuer), and from where.
ALTER TABLE tokens ADD COLUMN provider TEXT COLLATE "C";
ALTER TABLE tokens ADD COLUMN client_ip TEXT COLLATE "C";

-- Whom an organisation trusts: tokens that an issuer signs for a program, such as a job of a build system, are changed
-- into short tokens of the rule's own service user, which goes with the rule.
CREATE TABLE trust_rules (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL
);
CREATE INDEX trust_rules_by_organization ON trust_rules (org_id, issuer);
