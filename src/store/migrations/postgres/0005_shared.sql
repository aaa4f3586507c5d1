-- What lies in files beside SQLite and what all servers of one database share here.

-- Bytes by their digest; never changed.
CREATE TABLE blobs (
    digest TEXT COLLATE "C" PRIMARY KEY,
    bytes BYTEA NOT NULL
);

-- Something sealed under the key ring of the first server. Another one that cannot open it has the wrong ring.
CREATE TABLE keyring_proof (
    number BIGINT PRIMARY KEY,
    sealed BYTEA NOT NULL
);
