//! The connections of this process.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};

use super::{Connection, Error};

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;

/// Connections to one database.
pub(in crate::store) enum Database {
    /// A file.
    Sqlite {
        options: SqliteConnectOptions,
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

impl Database {
    /// Opens a file, which is made when it is missing. Writes at once, reads when [`Database::reading`] is called.
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
        }
    }

    /// Begins a read of one moment.
    pub(in crate::store) async fn reading(&self) -> Result<Connection, Error> {
        match self {
            Self::Sqlite { readers, .. } => Ok(Connection::sqlite(readers.begin().await?)),
        }
    }
}
