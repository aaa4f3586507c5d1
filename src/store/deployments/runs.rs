//! Attempts of runs: who was let run, what was started for it, how much of what it said is stored.

use super::{Connection, rows::column};
use crate::store::sql;
use crate::store::{StoreError, clock};

/// An attempt. Handles are JSON that only the runner room understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) run: String,
    pub(crate) attempt: u32,
    pub(crate) deployment: String,
    pub(crate) handle: Option<String>,
    /// Number of the last event stored; 0 for none.
    pub(crate) last_seq: u64,
    pub(crate) claimed_us: i64,
    pub(crate) ended_us: Option<i64>,
    /// The server that has it, and which of its workers.
    pub(crate) holder: String,
    pub(crate) epoch: i64,
}

type Columns = (
    String,
    i64,
    String,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    String,
    i64,
);

fn read(row: Columns) -> Attempt {
    Attempt {
        run: row.0,
        attempt: u32::try_from(row.1).unwrap_or(0),
        deployment: row.2,
        handle: row.3,
        last_seq: u64::try_from(row.4).unwrap_or(0),
        claimed_us: row.5,
        ended_us: row.6,
        holder: row.7,
        epoch: row.8,
    }
}

/// Begins an attempt.
pub(crate) async fn begin(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
    deployment: &str,
    (holder, epoch): (&str, i64),
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO attempts (run, attempt, deployment, last_seq, claimed_us, holder, epoch) \
         VALUES ($1, $2, $3, 0, $4, $5, $6)",
    )
    .bind(run)
    .bind(i64::from(attempt))
    .bind(deployment)
    .bind(clock::now_us())
    .bind(holder)
    .bind(epoch)
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt.
pub(crate) async fn find(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
) -> Result<Option<Attempt>, StoreError> {
    let row: Option<Columns> = sql::query(
        "SELECT run, attempt, deployment, handle, last_seq, claimed_us, ended_us, holder, epoch FROM attempts \
         WHERE run = $1 AND attempt = $2",
    )
    .bind(run)
    .bind(i64::from(attempt))
    .fetch_optional(connection)
    .await?;
    Ok(row.map(read))
}

/// Attempts of a worker that are not over, oldest first.
pub(crate) async fn open(
    connection: &mut Connection,
    (holder, epoch): (&str, i64),
) -> Result<Vec<Attempt>, StoreError> {
    let rows: Vec<Columns> = sql::query(
        "SELECT run, attempt, deployment, handle, last_seq, claimed_us, ended_us, holder, epoch FROM attempts \
         WHERE ended_us IS NULL AND holder = $1 AND epoch = $2 ORDER BY claimed_us, run",
    )
    .bind(holder)
    .bind(epoch)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Whether any attempt of this server is not over.
pub(crate) async fn is_any_open(
    connection: &mut Connection,
    holder: &str,
) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sql::query("SELECT 1 FROM attempts WHERE ended_us IS NULL AND holder = $1 LIMIT 1")
            .bind(holder)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Attempts of every worker that ever went by this name which are not over, oldest first.
pub(crate) async fn open_of(
    connection: &mut Connection,
    holder: &str,
) -> Result<Vec<Attempt>, StoreError> {
    let rows: Vec<Columns> = sql::query(
        "SELECT run, attempt, deployment, handle, last_seq, claimed_us, ended_us, holder, epoch FROM attempts \
         WHERE ended_us IS NULL AND holder = $1 ORDER BY claimed_us, run",
    )
    .bind(holder)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(read).collect())
}

/// Records what was started, if the attempt is not over.
pub(crate) async fn set_handle(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
    handle: &str,
) -> Result<bool, StoreError> {
    let changed = sql::query(
        "UPDATE attempts SET handle = $3 WHERE run = $1 AND attempt = $2 AND ended_us IS NULL",
    )
    .bind(run)
    .bind(i64::from(attempt))
    .bind(handle)
    .execute(connection)
    .await?;
    Ok(changed == 1)
}

/// Records the number of the last event stored, and that the run was heard of now.
pub(crate) async fn heard(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
    last_seq: u64,
) -> Result<(), StoreError> {
    sql::query("UPDATE attempts SET last_seq = $3, heard_us = $4 WHERE run = $1 AND attempt = $2")
        .bind(run)
        .bind(i64::from(attempt))
        .bind(column(last_seq))
        .bind(clock::now_us())
        .execute(connection)
        .await?;
    Ok(())
}

/// When a run that goes on was last heard of, in microseconds since 1970; `None` before its first word.
pub(crate) async fn heard_us(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
) -> Result<Option<i64>, StoreError> {
    let heard: Option<Option<i64>> =
        sql::query("SELECT heard_us FROM attempts WHERE run = $1 AND attempt = $2")
            .bind(run)
            .bind(i64::from(attempt))
            .fetch_optional(connection)
            .await?;
    Ok(heard.flatten())
}

/// Ends an attempt.
pub(crate) async fn end(
    connection: &mut Connection,
    run: &str,
    attempt: u32,
) -> Result<(), StoreError> {
    sql::query("UPDATE attempts SET ended_us = $3 WHERE run = $1 AND attempt = $2")
        .bind(run)
        .bind(i64::from(attempt))
        .bind(clock::now_us())
        .execute(connection)
        .await?;
    Ok(())
}
