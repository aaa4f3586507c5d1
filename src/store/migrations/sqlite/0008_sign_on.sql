-- Whoever signs in at an issuer: `subject` names them there for ever, whatever their address becomes.
CREATE TABLE sso_subjects (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE UNIQUE INDEX sso_subjects_by_user ON sso_subjects (user_id, issuer);

-- Sign-ins that worked, until they would be over anyhow: none works twice.
CREATE TABLE sso_used (
    hash TEXT PRIMARY KEY,
    expires_us INTEGER NOT NULL
) STRICT;

-- An address is one person's, in lower case.
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE email IS NOT NULL;

-- People who may join an organisation: with the secret of `hash`, or by signing in with that address.
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES organizations (id),
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    scope TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX invitations_by_hash ON invitations (hash);
CREATE INDEX invitations_by_organization ON invitations (org_id, id);
CREATE INDEX invitations_by_email ON invitations (email);
