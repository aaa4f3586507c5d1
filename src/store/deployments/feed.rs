//! The feed of events. A position is drawn in the writing transaction, so a reader that goes on after the last
//! position it saw never skips a commit that came late.
//!
//! Why [`Tail`]: every commit wakes everybody who waits for news, thousands perhaps, and nearly all of it is no news
//! for them. One of them reads whom it concerns; the others look that up in memory.

use std::collections::BTreeMap;

use tokio::sync::{Mutex, MutexGuard};

use super::{Connection, rows};
use crate::store::sql;
use crate::store::{Store, StoreError, clock};
use crate::wire::deployments::{DeploymentEvent, What};

/// Appends an event of a deployment.
pub(crate) async fn append(
    connection: &mut Connection,
    deployment: &str,
    what: &What,
) -> Result<(), StoreError> {
    let text =
        serde_json::to_string(what).map_err(|source| StoreError::document("an event", source))?;
    let position = rows::draw(connection, "event").await?;
    sql::query("INSERT INTO events (position, deployment, at_us, what) VALUES ($1, $2, $3, $4)")
        .bind(position)
        .bind(deployment)
        .bind(clock::now_us())
        .bind(text)
        .execute(connection)
        .await?;
    Ok(())
}

/// Events of a deployment after a position, oldest first, at most 1000.
pub(crate) async fn after(
    connection: &mut Connection,
    deployment: &str,
    position: i64,
) -> Result<Vec<DeploymentEvent>, StoreError> {
    let rows: Vec<(i64, i64, String)> = sql::query(
        "SELECT position, at_us, what FROM events WHERE deployment = $1 AND position > $2 \
         ORDER BY position LIMIT 1000",
    )
    .bind(deployment)
    .bind(position)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(position, at_us, what)| {
            Ok(DeploymentEvent {
                position,
                at: clock::stamp(at_us),
                what: serde_json::from_str(&what)
                    .map_err(|source| StoreError::document("an event", source))?,
            })
        })
        .collect()
}

/// Deployments that a tail remembers; with more it begins anew.
const MOST: usize = 10_000;

/// The end of the feed as this process knows it.
#[derive(Default)]
pub(crate) struct Tail(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Which change was the last one when it was read.
    change: Option<u64>,
    /// The last position.
    last: i64,
    /// The last position of each deployment that is above `floor`.
    newest: BTreeMap<String, i64>,
    floor: i64,
}

impl Tail {
    /// As of now, or later.
    async fn now(&self, store: &Store) -> Result<MutexGuard<'_, Seen>, StoreError> {
        let change = store.change();
        let mut seen = self.0.lock().await;
        if seen.change.is_some_and(|known| known >= change) {
            return Ok(seen);
        }
        let change = store.change();
        let mut reading = store.reading().await?;
        if seen.change.is_none() {
            let last: Option<i64> = sql::query("SELECT MAX(position) FROM events")
                .fetch_one(&mut reading)
                .await?;
            seen.last = last.unwrap_or(0);
            seen.floor = seen.last;
        } else {
            let news: Vec<(String, i64)> = sql::query(
                "SELECT deployment, MAX(position) FROM events WHERE position > $1 GROUP BY deployment",
            )
            .bind(seen.last)
            .fetch_all(&mut reading)
            .await?;
            for (deployment, position) in news {
                seen.last = seen.last.max(position);
                seen.newest.insert(deployment, position);
            }
            if seen.newest.len() > MOST {
                seen.newest.clear();
                seen.floor = seen.last;
            }
        }
        seen.change = Some(change);
        Ok(seen)
    }
}

impl Store {
    /// The last position of the feed; what is read after this holds everything up to it.
    pub(crate) async fn feed_end(&self) -> Result<i64, StoreError> {
        Ok(self.tail().now(self).await?.last)
    }

    /// Whether a deployment may have events after this position.
    pub(crate) async fn has_news(&self, deployment: &str, after: i64) -> Result<bool, StoreError> {
        let seen = self.tail().now(self).await?;
        let newest = seen.newest.get(deployment);
        Ok(newest.map_or(after < seen.floor, |newest| *newest > after))
    }
}
