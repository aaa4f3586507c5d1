//! Sealed streams as they were made: header, frames, age file. Nothing here can be read without a reader's key.

use super::{Connection, rows::column};
use crate::store::StoreError;
use crate::store::sql;
use crate::wire::deployments::StreamName;

/// One attempt's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) run: String,
    pub(crate) attempt: u32,
    pub(crate) header: Option<Vec<u8>>,
    /// Number of the last frame.
    pub(crate) last: u64,
    pub(crate) complete: bool,
}

/// Which stream of which attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) deployment: &'a str,
    pub(crate) run: &'a str,
    pub(crate) attempt: u32,
    pub(crate) stream: StreamName,
}

async fn ensure(connection: &mut Connection, of: &Of<'_>) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO streams (run, attempt, stream, deployment, last, complete) VALUES ($1, $2, $3, $4, 0, 0) \
         ON CONFLICT (run, attempt, stream) DO NOTHING",
    )
    .bind(of.run)
    .bind(i64::from(of.attempt))
    .bind(of.stream.as_str())
    .bind(of.deployment)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the header.
pub(crate) async fn set_header(
    connection: &mut Connection,
    of: &Of<'_>,
    bytes: &[u8],
) -> Result<(), StoreError> {
    ensure(connection, of).await?;
    sql::query("UPDATE streams SET header = $4 WHERE run = $1 AND attempt = $2 AND stream = $3")
        .bind(of.run)
        .bind(i64::from(of.attempt))
        .bind(of.stream.as_str())
        .bind(bytes)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores a frame; one that is there already stays.
pub(crate) async fn add_frame(
    connection: &mut Connection,
    of: &Of<'_>,
    number: u64,
    last: bool,
    bytes: &[u8],
) -> Result<(), StoreError> {
    ensure(connection, of).await?;
    sql::query(
        "INSERT INTO frames (run, attempt, stream, number, bytes) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (run, attempt, stream, number) DO NOTHING",
    )
    .bind(of.run)
    .bind(i64::from(of.attempt))
    .bind(of.stream.as_str())
    .bind(column(number))
    .bind(bytes)
    .execute(&mut *connection)
    .await?;
    sql::query(
        "UPDATE streams SET last = $4, complete = $5 \
         WHERE run = $1 AND attempt = $2 AND stream = $3 AND last < $4",
    )
    .bind(of.run)
    .bind(i64::from(of.attempt))
    .bind(of.stream.as_str())
    .bind(column(number))
    .bind(i64::from(last))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the whole age file in place of the one before.
pub(crate) async fn set_age_file(
    connection: &mut Connection,
    of: &Of<'_>,
    bytes: &[u8],
) -> Result<(), StoreError> {
    ensure(connection, of).await?;
    sql::query(
        "INSERT INTO age_files (run, attempt, stream, bytes) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (run, attempt, stream) DO UPDATE SET bytes = excluded.bytes",
    )
    .bind(of.run)
    .bind(i64::from(of.attempt))
    .bind(of.stream.as_str())
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The stream of the wanted attempt, or of the newest one that has any.
pub(crate) async fn find(
    connection: &mut Connection,
    deployment: &str,
    stream: StreamName,
    attempt: Option<u32>,
) -> Result<Option<Stream>, StoreError> {
    /// Run, attempt, header, last frame, whether complete.
    type Row = (String, i64, Option<Vec<u8>>, i64, i64);
    let row: Option<Row> = sql::query(
        "SELECT run, attempt, header, last, complete FROM streams WHERE deployment = $1 AND stream = $2 \
         AND ($3 IS NULL OR attempt = $3) ORDER BY attempt DESC LIMIT 1",
    )
    .bind(deployment)
    .bind(stream.as_str())
    .bind(attempt.map(i64::from))
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(run, attempt, header, last, complete)| Stream {
        run,
        attempt: u32::try_from(attempt).unwrap_or(0),
        header,
        last: u64::try_from(last).unwrap_or(0),
        complete: complete != 0,
    }))
}

/// Frames after a number, in order, of 4 MiB at most beside the first.
pub(crate) async fn frames(
    connection: &mut Connection,
    found: &Stream,
    stream: StreamName,
    after: u64,
) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let mut frames: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut size = 0;
    let mut after = column(after);
    loop {
        let rows: Vec<(i64, Vec<u8>)> = sql::query(
            "SELECT number, bytes FROM frames WHERE run = $1 AND attempt = $2 AND stream = $3 AND number > $4 \
             ORDER BY number LIMIT 64",
        )
        .bind(&found.run)
        .bind(i64::from(found.attempt))
        .bind(stream.as_str())
        .bind(after)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            return Ok(frames);
        }
        for (number, bytes) in rows {
            size += bytes.len();
            if size > 4 << 20 && !frames.is_empty() {
                return Ok(frames);
            }
            after = number;
            frames.push((u64::try_from(number).unwrap_or(0), bytes));
        }
    }
}

/// The newest age file of a stream.
pub(crate) async fn age_file(
    connection: &mut Connection,
    deployment: &str,
    stream: StreamName,
) -> Result<Option<Vec<u8>>, StoreError> {
    let bytes: Option<Vec<u8>> = sql::query(
        "SELECT file.bytes FROM age_files file JOIN streams stream ON stream.run = file.run \
         AND stream.attempt = file.attempt AND stream.stream = file.stream \
         WHERE stream.deployment = $1 AND stream.stream = $2 ORDER BY file.attempt DESC LIMIT 1",
    )
    .bind(deployment)
    .bind(stream.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(bytes)
}
