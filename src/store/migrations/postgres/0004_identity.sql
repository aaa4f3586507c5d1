-- Who asks: users, what they may do, and the tokens that prove it. A token is kept as its SHA-256 only.

-- People (`person`) and programs (`service`). A service user belongs to one organisation.
CREATE TABLE users (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    org_id TEXT COLLATE "C" REFERENCES organizations (id),
    name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    logged_in_us BIGINT
);
CREATE INDEX users_by_organization ON users (org_id, name);

-- A role of a user in an organisation; `scope` is '', `project:UUID` or `env:UUID`.
CREATE TABLE grants (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX grants_once ON grants (org_id, user_id, role, scope);
CREATE INDEX grants_by_user ON grants (user_id);

-- `kind`: session, service, link. A link is a token that opens a session, once.
CREATE TABLE tokens (
    hash TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_us BIGINT NOT NULL,
    used_us BIGINT
);
CREATE INDEX tokens_by_user ON tokens (user_id);
