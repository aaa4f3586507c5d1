-- Whoever signs in at an issuer: `subject` names them there for ever, whatever their address becomes.
CREATE TABLE sso_subjects (
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX sso_subjects_by_user ON sso_subjects (user_id, issuer);

-- Sign-ins that worked, until they would be over anyhow: none works twice.
CREATE TABLE sso_used (
    hash TEXT COLLATE "C" PRIMARY KEY,
    expires_us BIGINT NOT NULL
);

-- An address is one person's, in lower case.
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE email IS NOT NULL;

-- People who may join an organisation: with the secret of `hash`, or by signing in with that address.
CREATE TABLE invitations (
    id TEXT COLLATE "C" PRIMARY KEY,
    org_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    email TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX invitations_by_hash ON invitations (hash);
CREATE INDEX invitations_by_organization ON invitations (org_id, id);
CREATE INDEX invitations_by_email ON invitations (email);
