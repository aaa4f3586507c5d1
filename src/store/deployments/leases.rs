//! Servers and what they hold: a lease for each, with an epoch that rises with every new worker.
//!
//! Why a lease for the server and not for each attempt: to stay alive then costs one write in a while, however many
//! runs there are. An attempt names its holder and the epoch; what a worker writes is compared with both inside the
//! writing transaction, so one that was thought dead and wakes up changes nothing.
//!
//! Why no row is locked where work is looked for: writers take turns (`sql/database.rs`), so there is never another's
//! row to skip. What would be done twice is the work before the write, the compilation; [`alone`] lets one server
//! at a time do that for an environment, and the others pass on to the next.
//!
//! Times are those of the database's clock, because servers may disagree about theirs.

use super::Connection;
use crate::store::host::Seat;
use crate::store::sql;
use crate::store::{StoreError, clock};

/// A server that held something once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Name of its host.
    pub(crate) host: String,
    /// Until when its lease runs, or ran; 0 when it gave it back.
    pub(crate) until_us: i64,
    /// Whether that is in the future.
    pub(crate) is_alive: bool,
    /// Whose runs it carries as an agent; empty for a server.
    pub(crate) serves: String,
}

/// The clock of the database.
async fn now_us(connection: &mut Connection) -> Result<i64, StoreError> {
    if !connection.is_postgres() {
        return Ok(clock::now_us());
    }
    let now = sql::query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
    Ok(now.fetch_one(connection).await?)
}

/// Makes the worker of `instance` at `seat` the one that counts; returns its epoch. `serves` is as in
/// `deployments.served_by`. `None`: another seat has the same
/// name and its lease runs still, so one of them is a copy.
///
/// The caller holds the lock of the data directory, so a worker that had this seat before is gone.
pub(crate) async fn take(
    connection: &mut Connection,
    (instance, serves): (&str, &str),
    seat: &Seat,
    length_us: i64,
) -> Result<Option<i64>, StoreError> {
    let wrong = |source| StoreError::document("the place of a server", source);
    let now = now_us(connection).await?;
    let before: Option<(String, i64, i64)> =
        sql::query("SELECT place, epoch, until_us FROM servers WHERE instance = $1")
            .bind(instance)
            .fetch_optional(connection)
            .await?;
    let epoch = match before {
        None => 1,
        Some((place, epoch, until)) => {
            let place: Seat = serde_json::from_str(&place).map_err(wrong)?;
            // One file has one host, and the lock of its directory decides there. The lock of an agent is elsewhere.
            let may_be_two = connection.is_postgres() || !serves.is_empty();
            if may_be_two && until > now && !place.is_same(seat) {
                return Ok(None);
            }
            epoch + 1
        }
    };
    sql::query(
        "INSERT INTO servers (instance, place, epoch, until_us, serves) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (instance) DO UPDATE SET place = excluded.place, epoch = excluded.epoch, \
         until_us = excluded.until_us, serves = excluded.serves",
    )
    .bind(instance)
    .bind(serde_json::to_string(seat).map_err(wrong)?)
    .bind(epoch)
    .bind(now + length_us)
    .bind(serves)
    .execute(connection)
    .await?;
    Ok(Some(epoch))
}

/// Makes the lease longer; `false`: there is a later worker of this name.
pub(crate) async fn renew(
    connection: &mut Connection,
    instance: &str,
    epoch: i64,
    length_us: i64,
) -> Result<bool, StoreError> {
    let now = now_us(connection).await?;
    set_until(connection, instance, epoch, now + length_us).await
}

/// Gives the lease back.
pub(crate) async fn release(
    connection: &mut Connection,
    instance: &str,
    epoch: i64,
) -> Result<bool, StoreError> {
    set_until(connection, instance, epoch, 0).await
}

async fn set_until(
    connection: &mut Connection,
    instance: &str,
    epoch: i64,
    until_us: i64,
) -> Result<bool, StoreError> {
    let changed = sql::query("UPDATE servers SET until_us = $3 WHERE instance = $1 AND epoch = $2")
        .bind(instance)
        .bind(epoch)
        .bind(until_us)
        .execute(connection)
        .await?;
    Ok(changed == 1)
}

/// What is known of a server.
pub(crate) async fn find(
    connection: &mut Connection,
    instance: &str,
) -> Result<Option<Server>, StoreError> {
    let row: Option<(String, i64, String)> =
        sql::query("SELECT place, until_us, serves FROM servers WHERE instance = $1")
            .bind(instance)
            .fetch_optional(connection)
            .await?;
    let Some((place, until_us, serves)) = row else {
        return Ok(None);
    };
    let place: Seat = serde_json::from_str(&place)
        .map_err(|source| StoreError::document("the place of a server", source))?;
    Ok(Some(Server {
        host: place.host().to_owned(),
        until_us,
        is_alive: until_us > now_us(connection).await?,
        serves,
    }))
}

/// Which open attempts a worker may carry on: its own; and of the deployments that it serves those of nobody, and what
/// one that is gone had claimed and not started. A run that was started goes on where it was started, and is nobody else's.
const ADOPTABLE: &str = "ended_us IS NULL AND (holder = $1 OR ((holder = '' OR (handle IS NULL AND \
    NOT EXISTS (SELECT 1 FROM servers s WHERE s.instance = attempts.holder AND s.until_us > $2))) AND \
    EXISTS (SELECT 1 FROM deployments d WHERE d.id = attempts.deployment AND d.served_by = $3)))";

/// Whether there is anything for [`adopt`]; `serves` is as in `deployments.served_by`.
pub(crate) async fn is_anything_adoptable(
    connection: &mut Connection,
    (instance, serves): (&str, &str),
) -> Result<bool, StoreError> {
    let now = now_us(connection).await?;
    let mut query = sql::Builder::new("SELECT COUNT(*) FROM attempts WHERE ");
    query.push(ADOPTABLE);
    let count: i64 = query
        .build()
        .bind(instance)
        .bind(now)
        .bind(serves)
        .fetch_one(connection)
        .await?;
    Ok(count > 0)
}

/// Makes every attempt that this worker may carry on its own.
pub(crate) async fn adopt(
    connection: &mut Connection,
    (instance, serves): (&str, &str),
    epoch: i64,
) -> Result<u64, StoreError> {
    let now = now_us(connection).await?;
    let mut query = sql::Builder::new(
        "UPDATE attempts SET holder = $1, epoch = $4 WHERE NOT (holder = $1 AND epoch = $4) AND ",
    );
    query.push(ADOPTABLE);
    let query = query
        .build()
        .bind(instance)
        .bind(now)
        .bind(serves)
        .bind(epoch);
    Ok(query.execute(connection).await?)
}

/// Whether this reader, until it ends, is the only one that looks at `what`. Only PostgreSQL has several to ask.
pub(crate) async fn alone(connection: &mut Connection, what: &str) -> Result<bool, StoreError> {
    let alone: i64 = sql::query(
        "SELECT (CASE WHEN pg_try_advisory_xact_lock(hashtextextended($1, 7)) THEN 1 ELSE 0 END)::bigint",
    )
    .bind(what)
    .fetch_one(connection)
    .await?;
    Ok(alone != 0)
}
