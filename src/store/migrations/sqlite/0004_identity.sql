-- Who asks: users, what they may do, and the tokens that prove it. A token is kept as its SHA-256 only.

-- People (`person`) and programs (`service`). A service user belongs to one organisation.
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    org_id TEXT REFERENCES organizations (id),
    name TEXT NOT NULL,
    email TEXT,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    logged_in_us INTEGER
) STRICT;
CREATE INDEX users_by_organization ON users (org_id, name);

-- A role of a user in an organisation; `scope` is '', `project:UUID` or `env:UUID`.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX grants_once ON grants (org_id, user_id, role, scope);
CREATE INDEX grants_by_user ON grants (user_id);

-- `kind`: session, service, link. A link is a token that opens a session, once.
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_us INTEGER NOT NULL,
    used_us INTEGER
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);
