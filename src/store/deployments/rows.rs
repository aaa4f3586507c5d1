//! The row of a deployment.

use std::collections::BTreeSet;

use super::Connection;
use crate::model::phase::{FailureClass, Mode, Outcome, Phase, Step};
use crate::store::StoreError;
use crate::store::identity::grants::keep_only;
use crate::store::sql::{self, Builder, Row};
use crate::wire::deployments::{Progress, RecipientSpec};

/// A deployment as it is stored, without its documents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) env_id: String,
    pub(crate) env_uuid: String,
    /// The order of acceptance; drawn from the counter `queue`.
    pub(crate) sequence: i64,
    pub(crate) created_us: i64,
    pub(crate) created_by: String,
    pub(crate) mode: Mode,
    pub(crate) rollback_to: Option<String>,
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) failure_class: Option<FailureClass>,
    pub(crate) status_message: String,
    /// SHA-256 of the idempotency key.
    pub(crate) idempotency: Option<String>,
    pub(crate) runner_id: String,
    pub(crate) log_level: String,
    pub(crate) log_recipients: Vec<RecipientSpec>,
    pub(crate) output_recipients: Vec<RecipientSpec>,
    pub(crate) workloads: u64,
    pub(crate) nodes: u64,
    pub(crate) counts: Option<Counts>,
    pub(crate) progress: Option<Progress>,
    pub(crate) bundle_digest: Option<String>,
    pub(crate) run: String,
    /// The current attempt; 0 before the first.
    pub(crate) attempt: u32,
    /// Attempts that never began.
    pub(crate) failures: u32,
    pub(crate) not_before_us: i64,
    pub(crate) cancel: bool,
    /// Its environment is removed.
    pub(crate) gone: bool,
    /// Whose agents carry it, `ORG/RUNNER`; empty where servers do.
    pub(crate) served_by: String,
}

/// What the engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) added: u64,
    pub(crate) changed: u64,
    pub(crate) removed: u64,
}

const COLUMNS: &str = "id, org_id, project_id, env_id, env_uuid, sequence, created_us, created_by, completed_us, \
    mode, rollback_to, phase, step, outcome, failure_class, status_message, idempotency, runner_id, log_level, \
    log_recipients, output_recipients, workloads, nodes, total, added, changed, removed, progress_done, \
    progress_total, bundle_digest, run, attempt, failures, not_before_us, cancel, gone, served_by";

/// The text of an enum that serde writes as one word.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Reads [`word`].
fn from_word<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: String,
) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|source| StoreError::document(what, source))
}

fn damaged(what: &'static str) -> StoreError {
    StoreError::document(what, serde::de::Error::custom("a value that is not known"))
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// A count for a column.
pub(crate) fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<Deployment, StoreError> {
    let attempt = small(row.get("attempt")?);
    let mode: String = row.get("mode")?;
    let phase: String = row.get("phase")?;
    let outcome: Option<String> = row.get("outcome")?;
    let completed_us: Option<i64> = row.get("completed_us")?;
    let phase = match (phase.as_str(), outcome, completed_us) {
        ("queued", None, None) => Phase::Queued,
        ("running", None, None) => Phase::Running {
            attempt,
            since_us: 0,
        },
        ("ended", Some(outcome), Some(at_us)) => Phase::Ended {
            outcome: from_word::<Outcome>("an outcome", outcome)?,
            at_us,
        },
        _ => return Err(damaged("the phase of a deployment")),
    };
    let failure_class: Option<String> = row.get("failure_class")?;
    let failure_class = failure_class
        .map(|text| from_word("a failure class", text))
        .transpose()?;
    let recipients = |column: &'static str| -> Result<Vec<RecipientSpec>, StoreError> {
        serde_json::from_str(row.text(column)?)
            .map_err(|source| StoreError::document("recipients", source))
    };
    let total: Option<i64> = row.get("total")?;
    let counts = match total {
        Some(total) => Some(Counts {
            total: number(total),
            added: number(row.get::<Option<i64>>("added")?.unwrap_or(0)),
            changed: number(row.get::<Option<i64>>("changed")?.unwrap_or(0)),
            removed: number(row.get::<Option<i64>>("removed")?.unwrap_or(0)),
        }),
        None => None,
    };
    let progress: Option<i64> = row.get("progress_total")?;
    let progress = match progress {
        Some(total) => Some(Progress {
            done: number(row.get::<Option<i64>>("progress_done")?.unwrap_or(0)),
            total: number(total),
        }),
        None => None,
    };
    Ok(Deployment {
        id: row.get("id")?,
        org_id: row.get("org_id")?,
        project_id: row.get("project_id")?,
        env_id: row.get("env_id")?,
        env_uuid: row.get("env_uuid")?,
        sequence: row.get("sequence")?,
        created_us: row.get("created_us")?,
        created_by: row.get("created_by")?,
        mode: Mode::parse(&mode).ok_or_else(|| damaged("the mode of a deployment"))?,
        rollback_to: row.get("rollback_to")?,
        phase,
        step: from_word("a step", row.get("step")?)?,
        failure_class,
        status_message: row.get("status_message")?,
        idempotency: row.get("idempotency")?,
        runner_id: row.get("runner_id")?,
        log_level: row.get("log_level")?,
        log_recipients: recipients("log_recipients")?,
        output_recipients: recipients("output_recipients")?,
        workloads: number(row.get("workloads")?),
        nodes: number(row.get("nodes")?),
        counts,
        progress,
        bundle_digest: row.get("bundle_digest")?,
        run: row.get("run")?,
        attempt,
        failures: small(row.get("failures")?),
        not_before_us: row.get("not_before_us")?,
        cancel: row.get::<i64>("cancel")? != 0,
        gone: row.get::<i64>("gone")? != 0,
        served_by: row.get("served_by")?,
    })
}

/// Stores a new deployment or everything that changed of one.
pub(crate) async fn save(connection: &mut Connection, row: &Deployment) -> Result<(), StoreError> {
    let (phase, outcome, completed_us) = match &row.phase {
        Phase::Queued => ("queued", None, None),
        Phase::Running { .. } => ("running", None, None),
        Phase::Ended { outcome, at_us } => ("ended", Some(word(outcome)), Some(*at_us)),
    };
    let recipients = |list: &Vec<RecipientSpec>| {
        serde_json::to_string(list).map_err(|source| StoreError::document("recipients", source))
    };
    sql::query(
        "INSERT INTO deployments (id, org_id, project_id, env_id, env_uuid, sequence, created_us, created_by, \
         completed_us, mode, rollback_to, phase, step, outcome, failure_class, status_message, idempotency, \
         runner_id, log_level, log_recipients, output_recipients, workloads, nodes, total, added, changed, removed, \
         progress_done, progress_total, bundle_digest, run, attempt, failures, not_before_us, cancel, gone, \
         served_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37) \
         ON CONFLICT (id) DO UPDATE SET completed_us = excluded.completed_us, phase = excluded.phase, \
         step = excluded.step, outcome = excluded.outcome, failure_class = excluded.failure_class, \
         status_message = excluded.status_message, log_recipients = excluded.log_recipients, \
         workloads = excluded.workloads, nodes = excluded.nodes, total = excluded.total, added = excluded.added, \
         changed = excluded.changed, removed = excluded.removed, progress_done = excluded.progress_done, \
         progress_total = excluded.progress_total, bundle_digest = excluded.bundle_digest, \
         attempt = excluded.attempt, failures = excluded.failures, not_before_us = excluded.not_before_us, \
         cancel = excluded.cancel, gone = excluded.gone",
    )
    .bind(&row.id)
    .bind(&row.org_id)
    .bind(&row.project_id)
    .bind(&row.env_id)
    .bind(&row.env_uuid)
    .bind(row.sequence)
    .bind(row.created_us)
    .bind(&row.created_by)
    .bind(completed_us)
    .bind(row.mode.as_str())
    .bind(&row.rollback_to)
    .bind(phase)
    .bind(word(&row.step))
    .bind(outcome)
    .bind(row.failure_class.as_ref().map(word))
    .bind(&row.status_message)
    .bind(&row.idempotency)
    .bind(&row.runner_id)
    .bind(&row.log_level)
    .bind(recipients(&row.log_recipients)?)
    .bind(recipients(&row.output_recipients)?)
    .bind(column(row.workloads))
    .bind(column(row.nodes))
    .bind(row.counts.map(|counts| column(counts.total)))
    .bind(row.counts.map(|counts| column(counts.added)))
    .bind(row.counts.map(|counts| column(counts.changed)))
    .bind(row.counts.map(|counts| column(counts.removed)))
    .bind(row.progress.map(|progress| column(progress.done)))
    .bind(row.progress.map(|progress| column(progress.total)))
    .bind(&row.bundle_digest)
    .bind(&row.run)
    .bind(i64::from(row.attempt))
    .bind(i64::from(row.failures))
    .bind(row.not_before_us)
    .bind(i64::from(row.cancel))
    .bind(i64::from(row.gone))
    .bind(&row.served_by)
    .execute(connection)
    .await?;
    Ok(())
}

/// A query of whole rows, which begins after `FROM deployments`.
fn query(rest: &'static str) -> Builder<'static> {
    let mut query = Builder::new("SELECT ");
    query.push(COLUMNS).push(" FROM deployments ").push(rest);
    query
}

async fn one(
    connection: &mut Connection,
    query: Builder<'static>,
) -> Result<Option<Deployment>, StoreError> {
    let row: Option<Row> = query.build().fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

async fn many(
    connection: &mut Connection,
    query: Builder<'static>,
) -> Result<Vec<Deployment>, StoreError> {
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// A deployment of an organisation.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<Option<Deployment>, StoreError> {
    let mut query = query("WHERE id = ");
    query
        .push_bind(id.to_owned())
        .push(" AND org_id = ")
        .push_bind(org.to_owned());
    one(connection, query).await
}

/// A deployment by its id alone.
pub(crate) async fn by_id(
    connection: &mut Connection,
    id: &str,
) -> Result<Option<Deployment>, StoreError> {
    let mut query = query("WHERE id = ");
    query.push_bind(id.to_owned());
    one(connection, query).await
}

/// The deployment that a run belongs to.
pub(crate) async fn by_run(
    connection: &mut Connection,
    run: &str,
) -> Result<Option<Deployment>, StoreError> {
    let mut query = query("WHERE run = ");
    query.push_bind(run.to_owned());
    one(connection, query).await
}

/// The deployment of this environment that came with this idempotency key since `since_us`.
pub(crate) async fn by_key(
    connection: &mut Connection,
    env_uuid: &str,
    digest: &str,
    since_us: i64,
) -> Result<Option<Deployment>, StoreError> {
    let mut query = query("WHERE env_uuid = ");
    query
        .push_bind(env_uuid.to_owned())
        .push(" AND idempotency = ")
        .push_bind(digest.to_owned())
        .push(" AND created_us >= ")
        .push_bind(since_us)
        .push(" ORDER BY sequence DESC LIMIT 1");
    one(connection, query).await
}

/// Which deployments are wanted, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) project_id: Option<String>,
    pub(crate) env_id: Option<String>,
    pub(crate) env_uuid: Option<String>,
    /// Of these environments, by UUID; `None` for all.
    pub(crate) seen: Option<BTreeSet<String>>,
    /// Any of these; empty for all.
    pub(crate) modes: Vec<Mode>,
    /// Any of v1's `executing`, `succeeded`, `failed`; empty for all.
    pub(crate) statuses: Vec<String>,
    /// Older than this one (its sequence).
    pub(crate) before: Option<i64>,
    /// At most so many.
    pub(crate) limit: Option<i64>,
}

/// Deployments of an organisation, newest first.
pub(crate) async fn list(
    connection: &mut Connection,
    org: &str,
    wanted: &Wanted,
) -> Result<Vec<Deployment>, StoreError> {
    let mut query = query("WHERE gone = 0 AND org_id = ");
    query.push_bind(org.to_owned());
    for (text, value) in [
        (" AND project_id = ", &wanted.project_id),
        (" AND env_id = ", &wanted.env_id),
        (" AND env_uuid = ", &wanted.env_uuid),
    ] {
        if let Some(value) = value {
            query.push(text).push_bind(value.clone());
        }
    }
    keep_only(&mut query, "env_uuid", wanted.seen.as_ref());
    if !wanted.modes.is_empty() {
        query.push(" AND mode IN (");
        query
            .push_values(wanted.modes.iter().map(|mode| mode.as_str()))
            .push(")");
    }
    if !wanted.statuses.is_empty() {
        query.push(" AND (0 = 1");
        for status in &wanted.statuses {
            query.push(match status.as_str() {
                "executing" => " OR phase <> 'ended'",
                "succeeded" => " OR outcome IN ('applied', 'unchanged', 'planned', 'destroyed')",
                "failed" => " OR outcome IN ('failed', 'cancelled', 'lost')",
                _ => "",
            });
        }
        query.push(")");
    }
    if let Some(before) = wanted.before {
        query.push(" AND sequence < ").push_bind(before);
    }
    query.push(" ORDER BY sequence DESC");
    if let Some(limit) = wanted.limit {
        query.push(" LIMIT ").push_bind(limit);
    }
    many(connection, query).await
}

/// The newest deployment of each environment, by project and environment, after the pair `after`.
pub(crate) async fn last(
    connection: &mut Connection,
    org: &str,
    wanted: &Wanted,
    after: Option<(String, String)>,
) -> Result<Vec<Deployment>, StoreError> {
    let mut query = query("WHERE gone = 0 AND org_id = ");
    query.push_bind(org.to_owned());
    query.push(
        " AND sequence = (SELECT MAX(newest.sequence) FROM deployments newest \
         WHERE newest.gone = 0 AND newest.env_uuid = deployments.env_uuid",
    );
    if !wanted.modes.is_empty() {
        query.push(" AND newest.mode IN (");
        query
            .push_values(wanted.modes.iter().map(|mode| mode.as_str()))
            .push(")");
    }
    query.push(")");
    for (text, value) in [
        (" AND project_id = ", &wanted.project_id),
        (" AND env_id = ", &wanted.env_id),
    ] {
        if let Some(value) = value {
            query.push(text).push_bind(value.clone());
        }
    }
    keep_only(&mut query, "env_uuid", wanted.seen.as_ref());
    if let Some((project, env)) = after {
        query
            .push(" AND (project_id > ")
            .push_bind(project.clone())
            .push(" OR (project_id = ")
            .push_bind(project)
            .push(" AND env_id > ")
            .push_bind(env)
            .push("))");
    }
    query.push(" ORDER BY project_id, env_id");
    if let Some(limit) = wanted.limit {
        query.push(" LIMIT ").push_bind(limit);
    }
    many(connection, query).await
}

/// Deployments of an environment that are not over, oldest first.
pub(crate) async fn open(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Vec<Deployment>, StoreError> {
    let mut query = query("WHERE phase <> 'ended' AND env_uuid = ");
    query
        .push_bind(env_uuid.to_owned())
        .push(" ORDER BY sequence");
    many(connection, query).await
}

/// The newest deployment of an environment that is not over; however long the line is, one row is read.
pub(crate) async fn newest_open(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Option<Deployment>, StoreError> {
    let mut query = query("WHERE phase <> 'ended' AND env_uuid = ");
    query
        .push_bind(env_uuid.to_owned())
        .push(" ORDER BY sequence DESC LIMIT 1");
    one(connection, query).await
}

/// Deployments of these numbers that are queued, in the order of the numbers given.
pub(crate) async fn queued(
    connection: &mut Connection,
    sequences: &[i64],
) -> Result<Vec<Deployment>, StoreError> {
    if sequences.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = query("WHERE phase = 'queued' AND sequence IN (");
    for (number, sequence) in sequences.iter().enumerate() {
        if number > 0 {
            query.push(", ");
        }
        query.push_bind(*sequence);
    }
    query.push(")");
    let mut rows = many(connection, query).await?;
    let place = |row: &Deployment| sequences.iter().position(|it| *it == row.sequence);
    rows.sort_by_key(place);
    Ok(rows)
}

/// Queued deployments for agents of which none was seen since `since_us`, where nobody holds the environment: the first
/// of each. Those that were accepted after that wait still, if there is an agent that may come back.
pub(crate) async fn out_of_reach(
    connection: &mut Connection,
    since_us: i64,
) -> Result<Vec<Deployment>, StoreError> {
    let mut query = query(
        "WHERE phase = 'queued' AND served_by <> '' AND sequence IN (SELECT free.first_in_line \
         FROM places free WHERE free.first_in_line IS NOT NULL AND free.lease_run IS NULL) AND NOT EXISTS (SELECT 1 FROM agents a \
         WHERE a.org_id || '/' || a.runner_id = deployments.served_by AND (a.seen_us > ",
    );
    query
        .push_bind(since_us)
        .push(" OR deployments.created_us > ")
        .push_bind(since_us)
        .push(")) ORDER BY sequence LIMIT 16");
    many(connection, query).await
}

/// How many deployments wait in environments whose state this server reaches.
pub(crate) async fn waiting(
    connection: &mut Connection,
    instance: &str,
) -> Result<u64, StoreError> {
    let count: i64 = sql::query(
        "SELECT COUNT(*) FROM deployments WHERE phase = 'queued' AND env_uuid NOT IN \
         (SELECT far.env_uuid FROM places far WHERE far.state_instance NOT IN ('', $1))",
    )
    .bind(instance)
    .fetch_one(connection)
    .await?;
    Ok(number(count))
}

/// Whether [`purge`] would remove anything.
pub(crate) async fn is_anything_to_purge(
    connection: &mut Connection,
    before_us: i64,
) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sql::query("SELECT 1 FROM deployments WHERE gone = 1 AND completed_us < $1 LIMIT 1")
            .bind(before_us)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// How many deployments wait, and how many run.
pub(crate) async fn load(connection: &mut Connection) -> Result<(u64, u64), StoreError> {
    let (queued, running): (i64, i64) = sql::query(
        "SELECT (SELECT COUNT(*) FROM deployments WHERE phase = 'queued'), \
         (SELECT COUNT(*) FROM deployments WHERE phase = 'running')",
    )
    .fetch_one(connection)
    .await?;
    Ok((number(queued), number(running)))
}

/// How many deployments of the environment stand before this one, itself included, while it is queued.
pub(crate) async fn position_in_line(
    connection: &mut Connection,
    row: &Deployment,
) -> Result<u64, StoreError> {
    let count: i64 = sql::query(
        "SELECT COUNT(*) FROM deployments WHERE env_uuid = $1 AND phase = 'queued' AND sequence <= $2",
    )
    .bind(&row.env_uuid)
    .bind(row.sequence)
    .fetch_one(connection)
    .await?;
    Ok(number(count))
}

/// Removes what was kept of environments that were removed before this time.
pub(crate) async fn purge(connection: &mut Connection, before_us: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM events WHERE deployment IN \
         (SELECT id FROM deployments WHERE gone = 1 AND completed_us < $1)",
        "DELETE FROM deployments WHERE gone = 1 AND completed_us < $1",
    ] {
        sql::query(sql)
            .bind(before_us)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Draws the next number of a counter.
pub(crate) async fn draw(
    connection: &mut Connection,
    counter: &'static str,
) -> Result<i64, StoreError> {
    let value: i64 =
        sql::query("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
            .bind(counter)
            .fetch_one(connection)
            .await?;
    Ok(value)
}

/// Removes all deployments of an environment but `keep`, which is marked as gone.
pub(crate) async fn forget(
    connection: &mut Connection,
    env_uuid: &str,
    keep: Option<&str>,
) -> Result<(), StoreError> {
    let keep = keep.unwrap_or("");
    for sql in [
        "DELETE FROM events WHERE deployment IN (SELECT id FROM deployments WHERE env_uuid = $1 AND id <> $2)",
        "DELETE FROM deployments WHERE env_uuid = $1 AND id <> $2",
        "UPDATE deployments SET gone = 1 WHERE env_uuid = $1 AND id = $2",
    ] {
        sql::query(sql)
            .bind(env_uuid)
            .bind(keep)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
