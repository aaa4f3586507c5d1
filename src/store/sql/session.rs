//! A transaction on PostgreSQL.
//!
//! Not the driver's own, for three reasons: a transaction begins in one round trip together with its lock; a server
//! that has gone silent does not hold a caller, or a place in the pool, longer than [`PATIENCE`]; and what PostgreSQL
//! makes of a transaction in which a statement failed (it rolls back and calls the commit a success) is an error.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Error, PgConnection, Postgres, SqlStr};

/// How long one statement is waited for. The server gives up earlier, if it is there at all.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of a dropped transaction is waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// A transaction in progress. Dropped without [`Session::commit`], it is rolled back.
pub(super) struct Session {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    state: State,
    /// What a statement that succeeds leaves behind: `Open`, or `Over` where there is no transaction.
    rest: State,
    patience: Duration,
}

/// What can be done with the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a transaction.
    Open,
    /// In a transaction that can only be rolled back.
    Failed,
    /// A statement is on its way, or nobody knows what became of it.
    Unknown,
    /// No transaction any more.
    Over,
}

impl Session {
    /// Begins a transaction; `how` is one or more statements, the first of them `BEGIN`.
    pub(super) async fn begin(
        connection: PoolConnection<Postgres>,
        how: String,
        patience: Duration,
    ) -> Result<Self, Error> {
        let mut session = Self {
            connection: Some(connection),
            state: State::Unknown,
            rest: State::Open,
            patience,
        };
        let statements = sqlx::raw_sql(AssertSqlSafe(how));
        bounded(patience, statements.execute(session.start()?)).await?;
        session.state = State::Open;
        Ok(session)
    }

    /// Without a transaction: every statement is one of its own.
    pub(super) fn glance(connection: PoolConnection<Postgres>, patience: Duration) -> Self {
        Self {
            connection: Some(connection),
            state: State::Over,
            rest: State::Over,
            patience,
        }
    }

    /// Makes durable what was done.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        if self.state != State::Open {
            return Err(Error::Protocol(
                "a statement of this transaction failed before".to_owned(),
            ));
        }
        let commit = sqlx::raw_sql("COMMIT");
        bounded(self.patience, commit.execute(self.start()?)).await?;
        self.state = State::Over;
        Ok(())
    }

    /// The connection, for one statement.
    fn start(&mut self) -> Result<&mut PgConnection, Error> {
        self.state = State::Unknown;
        match &mut self.connection {
            Some(connection) => Ok(connection),
            None => Err(Error::PoolClosed),
        }
    }

    /// What is known after the statement.
    fn settle<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.state = match &result {
            Ok(_) => self.rest,
            Err(Error::Database(_)) if self.rest == State::Over => State::Over,
            Err(Error::Database(_)) => State::Failed,
            Err(_) => State::Unknown,
        };
        result
    }

    pub(super) async fn execute(
        &mut self,
        text: SqlStr,
        values: PgArguments,
    ) -> Result<u64, Error> {
        let query = sqlx::query_with(text, values);
        let result = bounded(self.patience, query.execute(self.start()?)).await;
        Ok(self.settle(result)?.rows_affected())
    }

    pub(super) async fn first(
        &mut self,
        text: SqlStr,
        values: PgArguments,
    ) -> Result<Option<PgRow>, Error> {
        let query = sqlx::query_with(text, values);
        let result = bounded(self.patience, query.fetch_optional(self.start()?)).await;
        self.settle(result)
    }

    pub(super) async fn all(
        &mut self,
        text: SqlStr,
        values: PgArguments,
    ) -> Result<Vec<PgRow>, Error> {
        let query = sqlx::query_with(text, values);
        let result = bounded(self.patience, query.fetch_all(self.start()?)).await;
        self.settle(result)
    }

    pub(super) async fn script(&mut self, text: SqlStr) -> Result<(), Error> {
        let query = sqlx::raw_sql(text);
        let result = bounded(self.patience, query.execute(self.start()?)).await;
        self.settle(result).map(|_| ())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Nobody to do it: the server sees the connection end.
            drop(connection.detach());
            return;
        };
        match self.state {
            State::Over => {}
            State::Unknown => connection.close_on_drop(),
            State::Open | State::Failed => {
                runtime.spawn(async move {
                    let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut *connection);
                    if !matches!(tokio::time::timeout(FAREWELL, rollback).await, Ok(Ok(_))) {
                        connection.close_on_drop();
                    }
                });
            }
        }
    }
}

async fn bounded<T>(
    patience: Duration,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(patience, statement).await {
        Ok(result) => result,
        Err(_) => Err(Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer in {} s", patience.as_secs()),
        ))),
    }
}
