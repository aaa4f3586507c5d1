//! The feed of events. A position is drawn in the writing transaction, so a reader that goes on after the last
//! position it saw never skips a commit that came late.

use super::{Connection, rows};
use crate::store::sql;
use crate::store::{StoreError, clock};
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
