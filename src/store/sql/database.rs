//! The connections of this process.
//!
//! Writers take turns. On SQLite a write is `BEGIN IMMEDIATE` on the one writing connection of its process, and other
//! processes wait for the file's lock. On PostgreSQL a write begins by taking one advisory lock, which it holds until
//! it ends; statements after it see what was committed before (READ COMMITTED). Either way there is one writer in
//! the world: what it draws from `counters` is in the order of commits, and two writers cannot block each other.
//! Readers see one moment (a snapshot of SQLite's log, REPEATABLE READ) and wait for nobody.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, PgPool, Postgres, Sqlite, SqlitePool};

use super::location::name_of;
use super::session::{PATIENCE, Session};
use super::{Connection, Error};

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;

/// The same on PostgreSQL, where the server shares them among many processes.
const POSTGRES_READERS: u32 = 12;
/// Connections that write or wait for their turn there.
const POSTGRES_WRITERS: u32 = 4;
/// How long a free connection is waited for, and a server that is being restarted.
const ACQUIRE: Duration = Duration::from_secs(10);
/// A connection that was not used so long is asked whether it still is one.
const STALE: Duration = Duration::from_secs(1);
/// How long that is waited for.
const STALE_ANSWER: Duration = Duration::from_secs(3);
/// How long a migration may take, and the one of another server be waited for.
const MIGRATION: Duration = Duration::from_secs(3600);

/// What every session is told. A client that hangs in the middle of a write is thrown out, so that it holds
/// nobody up.
const SESSION: &str = "SET lock_timeout = '10s'; SET statement_timeout = '25s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = 'warning'";

/// The turn of writers: any number that nobody else uses ("windlass" in ASCII).
const TURN: i64 = 0x7769_6e64_6c61_7373;

/// The channel on which PostgreSQL tells of writes.
pub(in crate::store) const CHANNEL: &str = "windlass";

/// Connections to one database.
pub(in crate::store) enum Database {
    /// A file.
    Sqlite {
        options: SqliteConnectOptions,
        writer: SqlitePool,
        readers: SqlitePool,
    },
    /// A server.
    Postgres {
        /// For the connection that listens.
        listeners: PgPool,
        writers: PgPool,
        readers: PgPool,
        /// What this process says on [`CHANNEL`], to know its own words.
        voice: String,
        name: String,
    },
}

impl Database {
    /// Opens a file, which is made when it is missing.
    pub(in crate::store) async fn sqlite(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A deployment that was accepted survives the machine, not only the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = |connections| {
            PoolOptions::<Sqlite>::new()
                .max_connections(connections)
                .test_before_acquire(false)
                .acquire_timeout(Duration::from_secs(30))
        };
        Ok(Self::Sqlite {
            writer: pool(1).connect_with(options.clone()).await?,
            readers: pool(READERS).connect_lazy_with(options.clone()),
            options,
        })
    }

    /// Connects to a server when first needed.
    pub(in crate::store) fn postgres(options: &PgConnectOptions) -> Self {
        let pool = |connections| {
            PoolOptions::<Postgres>::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .test_before_acquire(false)
                .before_acquire(|connection, seen| {
                    Box::pin(async move {
                        if seen.idle_for < STALE {
                            return Ok(true);
                        }
                        let answer = tokio::time::timeout(STALE_ANSWER, connection.ping()).await;
                        Ok(matches!(answer, Ok(Ok(()))))
                    })
                })
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        connection.execute(sqlx::raw_sql(SESSION)).await?;
                        Ok(())
                    })
                })
        };
        Self::Postgres {
            listeners: PoolOptions::<Postgres>::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(ACQUIRE)
                .connect_lazy_with(options.clone()),
            writers: pool(POSTGRES_WRITERS).connect_lazy_with(options.clone()),
            readers: pool(POSTGRES_READERS).connect_lazy_with(options.clone()),
            voice: uuid::Uuid::new_v4().to_string(),
            name: name_of(options),
        }
    }

    /// How it is called where people read it.
    pub(in crate::store) fn name(&self) -> String {
        match self {
            Self::Sqlite { options, .. } => options.get_filename().display().to_string(),
            Self::Postgres { name, .. } => name.clone(),
        }
    }

    /// Begins a write. Nobody else writes until it ends.
    pub(in crate::store) async fn writing(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { writer, .. } => {
                let begin = || writer.begin_with("BEGIN IMMEDIATE");
                let transaction = match begin().await {
                    // A full disk makes SQLite itself take a transaction back; its connection then still counts as
                    // being in one, and would for ever.
                    Err(Error::InvalidSavePointStatement) => {
                        writer.acquire().await?.close().await?;
                        begin().await?
                    }
                    begun => begun?,
                };
                Ok(Connection::sqlite(transaction))
            }
            Self::Postgres { writers, voice, .. } => {
                // One round trip. The notice is given when the write is committed, never otherwise.
                let how = format!(
                    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                     SELECT pg_advisory_xact_lock({TURN}); NOTIFY {CHANNEL}, '{voice}'"
                );
                let session = Session::begin(writers.acquire().await?, how, PATIENCE).await?;
                Ok(Connection::postgres(session))
            }
        }
    }

    /// Begins a write that may take as long as migrations take.
    pub(in crate::store) async fn migrating(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { .. } => self.writing().await,
            Self::Postgres { writers, .. } => {
                let how = format!(
                    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                     SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; \
                     SELECT pg_advisory_xact_lock({TURN})"
                );
                let session = Session::begin(writers.acquire().await?, how, MIGRATION).await?;
                Ok(Connection::postgres(session))
            }
        }
    }

    /// Begins a read of one moment.
    pub(in crate::store) async fn reading(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Connection::sqlite(readers.begin().await?)),
            Self::Postgres { readers, .. } => {
                let how = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned();
                let session = Session::begin(readers.acquire().await?, how, PATIENCE).await?;
                Ok(Connection::postgres(session))
            }
        }
    }

    /// A connection for reads that need not be of one moment.
    pub(in crate::store) async fn glance(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Connection::glance(readers.acquire().await?)),
            Self::Postgres { readers, .. } => Ok(Connection::postgres(Session::glance(
                readers.acquire().await?,
                PATIENCE,
            ))),
        }
    }

    /// Copies a file as of one moment into a file that is empty or not there; `false`: this is no file.
    pub(in crate::store) async fn copy_to(&self, path: &Path) -> Result<bool, Error> {
        match self {
            Self::Sqlite { readers, .. } => {
                sqlx::query("VACUUM INTO $1")
                    .bind(path.display().to_string())
                    .execute(readers)
                    .await?;
                Ok(true)
            }
            Self::Postgres { .. } => Ok(false),
        }
    }

    /// Ends all connections, for tests.
    #[cfg(test)]
    pub(in crate::store) async fn close(&self) {
        match self {
            Self::Sqlite {
                writer, readers, ..
            } => {
                writer.close().await;
                readers.close().await;
            }
            Self::Postgres {
                listeners,
                writers,
                readers,
                ..
            } => {
                listeners.close().await;
                writers.close().await;
                readers.close().await;
            }
        }
    }
}
