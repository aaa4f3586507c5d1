//! A connection in a transaction: what every query runs on.

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{SqlSafeStr, SqlStr, Sqlite, SqliteConnection, Transaction};

use super::session::Session;
use super::value::{Value, arguments};
use super::{Error, Row};

/// A transaction in progress. Dropped without [`Connection::commit`], it never happened.
pub(crate) struct Connection {
    held: Held,
}

enum Held {
    Sqlite(Transaction<'static, Sqlite>),
    /// Without a transaction.
    Glance(PoolConnection<Sqlite>),
    Postgres(Session),
}

impl Connection {
    pub(super) fn sqlite(transaction: Transaction<'static, Sqlite>) -> Self {
        Self {
            held: Held::Sqlite(transaction),
        }
    }

    /// For reads without a transaction.
    pub(super) fn glance(connection: PoolConnection<Sqlite>) -> Self {
        Self {
            held: Held::Glance(connection),
        }
    }

    pub(super) fn postgres(session: Session) -> Self {
        Self {
            held: Held::Postgres(session),
        }
    }

    /// Makes everything durable that was done on it.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        match self.held {
            Held::Sqlite(transaction) => transaction.commit().await,
            Held::Glance(_) => Ok(()),
            Held::Postgres(session) => session.commit().await,
        }
    }

    pub(super) async fn execute(
        &mut self,
        text: SqlStr,
        values: &[Value<'_>],
    ) -> Result<u64, Error> {
        match &mut self.held {
            Held::Sqlite(held) => execute(held, text, values).await,
            Held::Glance(held) => execute(held, text, values).await,
            Held::Postgres(session) => session.execute(text, arguments(values)?).await,
        }
    }

    pub(super) async fn first(
        &mut self,
        text: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, Error> {
        match &mut self.held {
            Held::Sqlite(held) => first(held, text, values).await,
            Held::Glance(held) => first(held, text, values).await,
            Held::Postgres(session) => {
                let row = session.first(text, arguments(values)?).await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    pub(super) async fn all(
        &mut self,
        text: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Error> {
        match &mut self.held {
            Held::Sqlite(held) => all(held, text, values).await,
            Held::Glance(held) => all(held, text, values).await,
            Held::Postgres(session) => {
                let rows = session.all(text, arguments(values)?).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Runs statements of the program without values, several at once.
    pub(in crate::store) async fn script(&mut self, text: &'static str) -> Result<(), Error> {
        self.run(text.into_sql_str()).await
    }

    /// Runs any statement, for tests that damage what is stored.
    #[cfg(test)]
    pub(in crate::store) async fn script_of_test(&mut self, text: String) -> Result<(), Error> {
        self.run(sqlx::AssertSqlSafe(text).into_sql_str()).await
    }

    async fn run(&mut self, text: SqlStr) -> Result<(), Error> {
        match &mut self.held {
            Held::Sqlite(held) => {
                sqlx::raw_sql(text).execute(&mut **held).await?;
                Ok(())
            }
            Held::Glance(held) => {
                sqlx::raw_sql(text).execute(&mut **held).await?;
                Ok(())
            }
            Held::Postgres(session) => session.script(text).await,
        }
    }

    /// Which database it is, for the few things that only one of them has.
    pub(in crate::store) fn is_postgres(&self) -> bool {
        match &self.held {
            Held::Sqlite(_) | Held::Glance(_) => false,
            Held::Postgres(_) => true,
        }
    }

    /// Names of all tables, for tests.
    #[cfg(test)]
    pub(in crate::store) async fn tables(&mut self) -> Result<Vec<String>, Error> {
        let text = match &self.held {
            Held::Sqlite(_) | Held::Glance(_) => {
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            }
            Held::Postgres(_) => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
            }
        };
        super::query(text).fetch_all(self).await
    }

    /// How many rows a table has, for tests.
    #[cfg(test)]
    pub(in crate::store) async fn count(&mut self, table: &str) -> Result<i64, Error> {
        let text = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{table}\""));
        let row = self.first(text.into_sql_str(), &[]).await?;
        row.ok_or(Error::RowNotFound)?.get(0)
    }
}

async fn execute(
    held: &mut SqliteConnection,
    text: SqlStr,
    values: &[Value<'_>],
) -> Result<u64, Error> {
    let query = sqlx::query_with(text, arguments::<SqliteArguments>(values)?);
    Ok(query.execute(held).await?.rows_affected())
}

async fn first(
    held: &mut SqliteConnection,
    text: SqlStr,
    values: &[Value<'_>],
) -> Result<Option<Row>, Error> {
    let query = sqlx::query_with(text, arguments::<SqliteArguments>(values)?);
    Ok(query.fetch_optional(held).await?.map(Row::Sqlite))
}

async fn all(
    held: &mut SqliteConnection,
    text: SqlStr,
    values: &[Value<'_>],
) -> Result<Vec<Row>, Error> {
    let query = sqlx::query_with(text, arguments::<SqliteArguments>(values)?);
    let rows = query.fetch_all(held).await?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}
