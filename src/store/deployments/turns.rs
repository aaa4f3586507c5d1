//! Whose turn it is among the deployments that wait.
//!
//! An environment's own come in the order of their acceptance, one at a time. Between environments and projects
//! the order is a fair one: a project that has less going on comes first, then the one that was served longest ago, then
//! the environment of it that was served longest ago. So a project that queues thousands takes what places are free, and
//! whoever comes after it waits for one run and not for thousands.
//!
//! Why `places` knows the first in line (kept by triggers of the database, so that no way into or out of the line can
//! forget it): a look then reads one index over environments that are ready, whatever waits behind them.

use super::Connection;
use super::places::EnvironmentPlace;
use super::rows::{self, Deployment};
use crate::store::StoreError;
use crate::store::sql;

/// Environments of a project looked at in one go.
const PAGE: i64 = 16;
/// No pause before an attempt is longer.
const LONGEST_PAUSE_US: i64 = 60_000_000;
/// Everybody up to this place in line is told when the line moves.
const NEAR: i64 = 10;
/// Of those behind, whoever comes to one of these places: a long line that moves costs what a short one does.
const FAR: [i64; 9] = [20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Environments that nobody holds, that somebody waits for whose runs are `$2`'s, and whose state is within reach of `$1`.
const READY: &str = "first_in_line IS NOT NULL AND lease_run IS NULL AND state_instance IN ('', $1) AND first_served_by = $2";

/// At least `least` queued deployments that a worker may claim at `now_us`, if there are so many; whose turn it is comes
/// first. `serves` is as in `deployments.served_by`.
pub(crate) async fn next(
    connection: &mut Connection,
    (instance, serves): (&str, &str),
    now_us: i64,
    least: usize,
) -> Result<Vec<Deployment>, StoreError> {
    let mut query = sql::Builder::new(
        "SELECT ready.org_id, ready.project_id FROM (SELECT org_id, project_id, MIN(first_in_line) AS first FROM places \
         WHERE ",
    );
    query.push(READY).push(
        " GROUP BY org_id, project_id) ready LEFT JOIN turns ON turns.org_id = ready.org_id \
         AND turns.project_id = ready.project_id LEFT JOIN (SELECT org_id, project_id, COUNT(*) AS runs FROM places \
         WHERE lease_run IS NOT NULL GROUP BY org_id, project_id) busy ON busy.org_id = ready.org_id \
         AND busy.project_id = ready.project_id \
         ORDER BY COALESCE(busy.runs, 0), COALESCE(turns.turn_us, 0), ready.first",
    );
    let projects: Vec<(String, String)> = query
        .build()
        .bind(instance)
        .bind(serves)
        .fetch_all(connection)
        .await?;
    let mut found = Vec::new();
    for (org, project) in projects {
        for page in 0.. {
            let mut query = sql::Builder::new("SELECT first_in_line FROM places WHERE ");
            query.push(READY).push(
                " AND org_id = $3 AND project_id = $4 ORDER BY turn_us, first_in_line LIMIT $5 OFFSET $6",
            );
            let firsts: Vec<i64> = query
                .build()
                .bind(instance)
                .bind(serves)
                .bind(&org)
                .bind(&project)
                .bind(PAGE)
                .bind(page * PAGE)
                .fetch_all(connection)
                .await?;
            let before = found.len();
            // A pause that lies far ahead was set before the clock was turned back; nobody waits for it.
            let is_due = |row: &Deployment| {
                row.not_before_us <= now_us || row.not_before_us > now_us + LONGEST_PAUSE_US
            };
            let rows = rows::queued(connection, &firsts).await?;
            found.extend(rows.into_iter().filter(is_due));
            let is_last = firsts.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            if is_last || found.len() > before {
                break;
            }
        }
        if found.len() >= least {
            break;
        }
    }
    Ok(found)
}

/// Records that an environment had its turn.
pub(crate) async fn taken(
    connection: &mut Connection,
    place: &EnvironmentPlace,
    now_us: i64,
) -> Result<(), StoreError> {
    sql::query("UPDATE places SET turn_us = $2 WHERE env_uuid = $1")
        .bind(&place.env_uuid)
        .bind(now_us)
        .execute(connection)
        .await?;
    sql::query(
        "INSERT INTO turns (org_id, project_id, turn_us) VALUES ($1, $2, $3) \
         ON CONFLICT (org_id, project_id) DO UPDATE SET turn_us = excluded.turn_us",
    )
    .bind(&place.org_id)
    .bind(&place.project_id)
    .bind(now_us)
    .execute(connection)
    .await?;
    Ok(())
}

/// Who is to be told where he stands, of those who wait for an environment: place from 1, and id.
pub(crate) async fn line(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Vec<(u64, String)>, StoreError> {
    let near: Vec<String> = at(connection, env_uuid, 1, NEAR).await?;
    let mut told: Vec<(u64, String)> = (1..).zip(near).collect();
    if told.len() < usize::try_from(NEAR).unwrap_or(usize::MAX) {
        return Ok(told);
    }
    for place in FAR {
        let Some(id) = at(connection, env_uuid, place, 1).await?.pop() else {
            break;
        };
        told.push((u64::try_from(place).unwrap_or(0), id));
    }
    Ok(told)
}

async fn at(
    connection: &mut Connection,
    env_uuid: &str,
    place: i64,
    count: i64,
) -> Result<Vec<String>, StoreError> {
    Ok(sql::query(
        "SELECT id FROM deployments WHERE env_uuid = $1 AND phase = 'queued' ORDER BY sequence LIMIT $2 OFFSET $3",
    )
    .bind(env_uuid)
    .bind(count)
    .bind(place - 1)
    .fetch_all(connection)
    .await?)
}
