//! Rotation of the key ring: a new first key, every sealed value sealed again, then the old keys go.
//!
//! Why nobody else may have the directory open meanwhile: a process keeps the ring that it read when it began. One that
//! still sealed under the old key when that key goes would write what nobody can open again. So every process shares a
//! lock on the directory for as long as it has the store open, and a rotation wants it alone; beside it, no server of
//! the same database may be alive.
//!
//! Keys that engines encrypt states with are sealed again like everything else, and each environment gets one more, so
//! that no state is written under a key that was ever sealed under an old one.
//!
//! It may be killed at any moment. The new key is in the file before anything is sealed under it, the old ones go when
//! nothing is left under them, and a ring of several keys is a rotation that was not finished: it is carried on.

use std::fs::File;

use rustix::fs::FlockOperation;

use super::deployments::documents;
use super::objects::{providers, runners};
use super::sql::{self, Connection};
use super::{Store, StoreConfig, StoreError, place, shared, state_keys, states};
use crate::seal::ring::Keyring;

/// The file that is locked.
const LOCK: &str = "keyring.lock";
/// Rows that are sealed again in one transaction.
const STEP: i64 = 50;

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Values that were sealed again.
    pub(crate) values: u64,
    /// Whether an earlier rotation was carried on.
    pub(crate) is_continued: bool,
    /// Whether other servers have copies of the ring.
    pub(crate) is_shared: bool,
}

/// Takes part in the use of a directory, for as long as the file is open.
pub(super) fn share(root: &std::path::Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let file = place::open_private(&path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Unfit {
            place: format!("`{}`", root.display()),
            why: "its key ring is being rotated; wait until `windlass keyring rotate` is done"
                .to_owned(),
        }),
        Err(errno) => Err(StoreError::file(&path, "locked", errno.into())),
    }
}

/// Rotates the key ring of a store that nobody else has open.
pub(crate) async fn rotate(config: &StoreConfig) -> Result<Rotated, StoreError> {
    let store = super::open(config).await?;
    let root = store.place().root();
    let file = &store.inner.in_use;
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::Unfit {
                place: format!("the key ring of `{}`", root.display()),
                why: "a server or a command has the directory open; stop it, then rotate (runs go on meanwhile, and the \
                      next server adopts them)"
                    .to_owned(),
            });
        }
        Err(errno) => return Err(StoreError::file(&root.join(LOCK), "locked", errno.into())),
    }
    let is_shared = store.is_shared();
    if is_shared {
        nobody_is_alive(&store).await?;
    }
    let path = place::keyring_file(config, root);
    let read = || place::read_keyring(&path);
    let mut ring = read()?;
    let is_continued = ring.len() > 1;
    if !is_continued {
        ring.rotate();
        place::write_whole(&path, ring.expose_secret().as_bytes())?;
    }
    let mut values = 0;
    loop {
        let done = step(&store, &ring).await?;
        values += done;
        if done == 0 {
            break;
        }
    }
    let mut writing = store.writing().await?;
    state_keys::renew(&mut writing, &ring).await?;
    writing.commit().await?;
    ring.drop_old();
    place::write_whole(&path, ring.expose_secret().as_bytes())?;
    Ok(Rotated {
        values,
        is_continued,
        is_shared,
    })
}

/// Refuses while a server of the database is alive that has the old ring.
async fn nobody_is_alive(store: &Store) -> Result<(), StoreError> {
    let mut reading = store.reading().await?;
    let alive: Option<String> = sql::query(
        "SELECT place FROM servers WHERE until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    )
    .fetch_optional(&mut reading)
    .await?;
    match alive {
        None => Ok(()),
        Some(_) => Err(StoreError::Unfit {
            place: "the key ring of this database".to_owned(),
            why: "a server works at the database and holds the old ring; stop every server, then rotate (runs go on \
                  meanwhile)"
                .to_owned(),
        }),
    }
}

/// A value, what it is sealed for, and the query that puts another in its place.
struct Sealed {
    place: String,
    sealed: Vec<u8>,
    keys: Vec<String>,
}

/// A table with sealed values.
struct Shelf {
    what: &'static str,
    /// `$1` is the id of the first key, `$2` how many. The keys come first, the value last.
    select: Select,
    /// `$1` is the value, the keys follow.
    update: &'static str,
}

enum Select {
    Two(&'static str, fn(&str, &str) -> String),
    Three(&'static str, fn(&str, &str, &str) -> String),
    /// A text and a number.
    Numbered(&'static str, fn(&str) -> String),
}

const SHELVES: &[Shelf] = &[
    Shelf {
        what: "a document",
        select: Select::Two(
            "SELECT deployment, kind, content FROM documents WHERE sealed <> 0 AND substr(content, 2, 8) <> $1 LIMIT $2",
            documents::sealed_place,
        ),
        update: "UPDATE documents SET content = $1 WHERE deployment = $2 AND kind = $3",
    },
    Shelf {
        what: "a runner",
        select: Select::Two(
            "SELECT org_id, id, sealed FROM runners WHERE substr(sealed, 2, 8) <> $1 LIMIT $2",
            runners::place,
        ),
        update: "UPDATE runners SET sealed = $1 WHERE org_id = $2 AND id = $3",
    },
    Shelf {
        what: "a provider",
        select: Select::Three(
            "SELECT org_id, provider_type, id, sealed FROM providers WHERE substr(sealed, 2, 8) <> $1 LIMIT $2",
            providers::place,
        ),
        update: "UPDATE providers SET sealed = $1 WHERE org_id = $2 AND provider_type = $3 AND id = $4",
    },
    Shelf {
        what: "a hosted state",
        select: Select::Numbered(
            "SELECT env_uuid, version, sealed FROM hosted_versions WHERE substr(sealed, 2, 8) <> $1 LIMIT $2",
            states::place,
        ),
        update: "UPDATE hosted_versions SET sealed = $1 WHERE env_uuid = $2 AND version = CAST($3 AS BIGINT)",
    },
    Shelf {
        what: "the key of a state",
        select: Select::Numbered(
            "SELECT env_uuid, number, sealed FROM state_keys WHERE substr(sealed, 2, 8) <> $1 LIMIT $2",
            state_keys::place,
        ),
        update: "UPDATE state_keys SET sealed = $1 WHERE env_uuid = $2 AND number = CAST($3 AS BIGINT)",
    },
];

impl Select {
    async fn from(
        &self,
        connection: &mut Connection,
        key: &[u8],
    ) -> Result<Vec<Sealed>, StoreError> {
        Ok(match self {
            Self::Two(text, place) => {
                let query = sql::query(text).bind(key).bind(STEP);
                let rows: Vec<(String, String, Vec<u8>)> = query.fetch_all(connection).await?;
                rows.into_iter()
                    .map(|(one, two, sealed)| Sealed {
                        place: place(&one, &two),
                        sealed,
                        keys: vec![one, two],
                    })
                    .collect()
            }
            Self::Three(text, place) => {
                let query = sql::query(text).bind(key).bind(STEP);
                let rows: Vec<(String, String, String, Vec<u8>)> =
                    query.fetch_all(connection).await?;
                rows.into_iter()
                    .map(|(one, two, three, sealed)| Sealed {
                        place: place(&one, &two, &three),
                        sealed,
                        keys: vec![one, two, three],
                    })
                    .collect()
            }
            Self::Numbered(text, place) => {
                let query = sql::query(text).bind(key).bind(STEP);
                let rows: Vec<(String, i64, Vec<u8>)> = query.fetch_all(connection).await?;
                rows.into_iter()
                    .map(|(one, number, sealed)| Sealed {
                        place: place(&one),
                        sealed,
                        keys: vec![one, number.to_string()],
                    })
                    .collect()
            }
        })
    }
}

/// Seals some values again; returns how many.
pub(super) async fn step(store: &Store, ring: &Keyring) -> Result<u64, StoreError> {
    let mut done = 0;
    let mut writing = store.writing().await?;
    for shelf in SHELVES {
        for value in shelf.select.from(&mut writing, &ring.first_id()).await? {
            let plain =
                ring.open(&value.place, &value.sealed)
                    .map_err(|source| StoreError::Locked {
                        what: shelf.what,
                        source,
                    })?;
            let mut query = sql::query(shelf.update).bind(ring.seal(&value.place, &plain));
            for key in value.keys {
                query = query.bind(key);
            }
            done += query.execute(&mut writing).await?;
        }
        if done > 0 {
            break;
        }
    }
    if done == 0 && store.is_shared() {
        done += shared::prove_again(&mut writing, ring).await?;
    }
    writing.commit().await?;
    Ok(done)
}
