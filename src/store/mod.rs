//! What outlives the process: one database, of SQLite or of a PostgreSQL server, and a directory beside it.
//!
//! Queries only: nothing is decided, compiled, launched or fetched here, and graphs, bundles and sealed logs are
//! bytes that this room does not understand. Start at [`Store`]; [`place`] is the data directory, [`deployments`]
//! what runs and ran, `objects` what the platform team says.
//!
//! Why it looks so plain: the same SQL runs on both databases, so every query goes through [`sql`], columns are TEXT,
//! INTEGER and BLOB (on PostgreSQL BIGINT, BYTEA, and TEXT in the order of bytes), times are microseconds since 1970,
//! and every order that matters is a number drawn from `counters` inside the writing transaction, which makes it the
//! order of commits: writers take turns, readers see a snapshot and wait for nobody (`sql/database.rs` says how).
//!
//! With SQLite the directory and the database belong together, and whoever has the directory has everything. Several
//! servers may share a PostgreSQL database; then what all must see lies in it, blobs too, and each server has a
//! directory of its own with the states and spools of its runs, and a copy of the one key ring (`shared.rs`).

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod blobs;
mod changes;
pub(crate) mod clock;
pub(crate) mod deployments;
pub(crate) mod host;
pub(crate) mod identity;
pub(crate) mod keyring;
mod migrate;
pub(crate) mod objects;
pub(crate) mod place;
mod shared;
pub(crate) mod sql;
mod state_keys;
pub(crate) mod states;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trouble;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::changes::Changes;
pub(crate) use self::changes::Watch;
use self::place::Place;
pub(crate) use self::sql::Location;
use self::sql::{Connection, Database};
pub(crate) use self::trouble::Trouble;
use crate::seal::ring::{Keyring, UnlockError};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database.
    #[error("the database could not be read or written")]
    Database(#[source] sql::Error),
    /// The database is away; the same request may succeed when it is back.
    #[error("the database does not answer")]
    NoAnswer(#[source] sql::Error),
    /// Others write; the same request may succeed later.
    #[error("the database is busy: others wrote for longer than this request may wait")]
    Busy(#[source] sql::Error),
    /// A PostgreSQL server that cannot be used.
    #[error("{place} cannot be used: {why}")]
    Unfit {
        /// Which, without its password.
        place: String,
        /// In words.
        why: String,
    },
    /// A file of the data directory.
    #[error("`{path}` could not be {doing}")]
    File {
        /// Which.
        path: PathBuf,
        /// `read`, `written`, `created`, `locked`.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Written by a newer program.
    #[error(
        "`{place}` was written by a newer Windlass (version {found} of its {what}, this program knows {known}); use that program, or another {what}"
    )]
    Newer {
        /// Which.
        place: String,
        /// `database` or `data directory`.
        what: &'static str,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The `format` file or the key ring is not what it should be.
    #[error("`{path}` is damaged: {why}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// On a file system that other hosts see.
    #[error(
        "`{path}` lies on a network file system ({kind}), where another host could write at the same time; name a directory of this host with `--data-dir` or WINDLASS_DATA_DIR"
    )]
    Network {
        /// The data directory.
        path: PathBuf,
        /// As the kernel calls it.
        kind: String,
    },
    /// A worker of another host uses it.
    #[error(
        "`{path}` is used by host `{host}` (a worker with process id {pid}), and one host at a time may; wait until that worker is done, or run the command there. If that host is gone for good, or this is a copy of its directory, remove `{lock}` and run the command again"
    )]
    OtherHost {
        /// The data directory.
        path: PathBuf,
        /// Its name.
        host: String,
        /// On that host.
        pid: u32,
        /// What says so.
        lock: PathBuf,
    },
    /// A stored document that does not read back.
    #[error("a stored document ({what}) is damaged")]
    Document {
        /// Which kind.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A value under the key ring that does not open.
    #[error("a stored value ({what}) cannot be opened with this key ring")]
    Locked {
        /// Which kind.
        what: &'static str,
        /// Why.
        #[source]
        source: UnlockError,
    },
    /// A blob that is missing or altered.
    #[error("the stored bytes `{digest}` are {what}")]
    Blob {
        /// Its digest.
        digest: String,
        /// `missing` or `altered`.
        what: &'static str,
    },
}

impl StoreError {
    /// A stored document that does not read back, or one that cannot be written.
    pub(crate) fn document(what: &'static str, source: serde_json::Error) -> Self {
        Self::Document { what, source }
    }

    pub(crate) fn file(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            doing,
            source,
        }
    }
}

/// Every query of this room fails for the same few reasons, and the operation around it says what was being done.
impl From<sql::Error> for StoreError {
    fn from(error: sql::Error) -> Self {
        match Trouble::of_database(&error) {
            Some(Trouble::Away) => Self::NoAnswer(error),
            Some(Trouble::Busy) => Self::Busy(error),
            Some(Trouble::Full | Trouble::ReadOnly | Trouble::Denied) | None => {
                Self::Database(error)
            }
        }
    }
}

/// Where a store lies.
#[derive(Debug, Clone)]
pub(crate) struct StoreConfig {
    /// The data directory; made when it is missing.
    pub(crate) data_dir: PathBuf,
    /// Where the key ring lies, if not in the data directory (`WINDLASS_KEYRING_FILE`).
    pub(crate) keyring_file: Option<PathBuf>,
    /// Where the database is.
    pub(crate) database: Location,
}

impl StoreConfig {
    /// A store in `data_dir` with everything in it.
    pub(crate) fn at(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            keyring_file: None,
            database: Location::DataDirectory,
        }
    }
}

/// The store. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    keyring: Keyring,
    database: Database,
    changes: Arc<Changes>,
    tail: deployments::feed::Tail,
    /// Says that this process has the key ring in use.
    in_use: std::fs::File,
}

/// Opens the store, makes what is missing and brings an older database up to date.
///
/// Refuses a database or data directory of a newer program, and a server that it cannot work with.
pub(crate) async fn open(config: &StoreConfig) -> Result<Store, StoreError> {
    let (place, in_use, keyring) = Place::prepare(config)?;
    let database = match &config.database {
        Location::DataDirectory => sqlite(&place.database()).await?,
        Location::File(path) => sqlite(path).await?,
        Location::Postgres(server) => {
            let database = Database::postgres(&server.options);
            shared::check_server(&database).await?;
            database
        }
    };
    migrate::bring_up(&database).await?;
    if let Database::Postgres { .. } = database {
        shared::check_keyring(&database, &keyring).await?;
    }
    let changes = Changes::start(&database).await?;
    objects::organizations::ensure_default(&database).await?;
    Ok(Store {
        inner: Arc::new(Inner {
            place,
            keyring,
            database,
            changes,
            tail: deployments::feed::Tail::default(),
            in_use,
        }),
    })
}

async fn sqlite(path: &Path) -> Result<Database, StoreError> {
    // What SQLite makes beside the file has the rights of the file.
    place::open_private(path)?;
    Ok(Database::sqlite(path).await?)
}

impl Store {
    /// Begins a write. Nobody else writes until it ends; dropped without `commit`, it never happened.
    pub(crate) async fn writing(&self) -> Result<Writing, StoreError> {
        Ok(Writing {
            connection: self.inner.database.writing().await?,
            changes: Arc::clone(&self.inner.changes),
        })
    }

    /// For one query, or several that need not be of one moment: no transaction, so fewer words with the database.
    pub(crate) async fn glance(&self) -> Result<Reading, StoreError> {
        Ok(Reading {
            connection: self.inner.database.glance().await?,
        })
    }

    /// Begins a read of one moment.
    pub(crate) async fn reading(&self) -> Result<Reading, StoreError> {
        Ok(Reading {
            connection: self.inner.database.reading().await?,
        })
    }

    /// A watch on commits of any process. Take it first, then read, then wait.
    pub(crate) fn watch(&self) -> Watch {
        self.inner.changes.watch()
    }

    /// Number of the last change that was noticed.
    fn change(&self) -> u64 {
        self.inner.changes.number()
    }

    fn tail(&self) -> &deployments::feed::Tail {
        &self.inner.tail
    }

    /// The data directory and what lies in it.
    pub(crate) fn place(&self) -> &Place {
        &self.inner.place
    }

    /// UUID of this installation.
    pub(crate) fn instance(&self) -> &str {
        self.inner.place.instance()
    }

    /// Where the worker of this data directory sits.
    pub(crate) fn seat(&self) -> host::Seat {
        host::Seat::here(self.inner.place.root())
    }

    /// Whether other servers may work in the same database.
    pub(crate) fn is_shared(&self) -> bool {
        match self.inner.database {
            Database::Sqlite { .. } => false,
            Database::Postgres { .. } => true,
        }
    }

    /// Whether the database is still of the version that this program knows; a worker claims nothing otherwise.
    pub(crate) async fn is_current(&self) -> Result<bool, StoreError> {
        let mut reading = self.reading().await?;
        Ok(migrate::version(&mut reading).await? == migrate::known())
    }

    /// Encrypts a value under the key ring. `place` says what it is (`bundle/ID`) and must be given again to open it.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        self.inner.keyring.seal(place, plain)
    }

    /// Opens what [`Store::seal`] made.
    pub(crate) fn unseal(
        &self,
        what: &'static str,
        place: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        match self.inner.keyring.open(place, sealed) {
            Ok(plain) => Ok(plain.to_vec()),
            Err(source) => Err(StoreError::Locked { what, source }),
        }
    }
}

/// A write in progress; passes for a connection.
pub(crate) struct Writing {
    connection: Connection,
    changes: Arc<Changes>,
}

impl Writing {
    /// Makes it durable, with the row of the audit log that tells of it, and wakes whoever watches.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        audit::append_pending(&mut self.connection).await?;
        self.connection.commit().await?;
        audit::forget();
        self.changes.nudge();
        Ok(())
    }
}

impl Deref for Writing {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// A read of one moment; passes for a connection.
pub(crate) struct Reading {
    connection: Connection,
}

impl Deref for Reading {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Number of rows of every table, for tests that prove that nothing was written.
#[cfg(test)]
pub(crate) async fn table_counts(
    connection: &mut Connection,
) -> Result<std::collections::BTreeMap<String, i64>, StoreError> {
    let mut counts = std::collections::BTreeMap::new();
    for table in connection.tables().await? {
        let count = connection.count(&table).await?;
        counts.insert(table, count);
    }
    Ok(counts)
}

/// Runs any statement, for tests that damage what is stored.
#[cfg(test)]
pub(crate) async fn execute(connection: &mut Connection, sql: String) -> Result<(), StoreError> {
    Ok(connection.script_of_test(sql).await?)
}
