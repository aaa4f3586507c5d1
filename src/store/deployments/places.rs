//! What is kept of an environment that was deployed to: who holds it, its state's place, its lock file, its end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Connection;
use crate::store::StoreError;
use crate::store::sql;
use crate::wire::deployments::RecipientSpec;
use crate::wire::state::Open;

/// An environment as the queue sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EnvironmentPlace {
    pub(crate) env_uuid: String,
    pub(crate) org_id: String,
    pub(crate) project_id: String,
    pub(crate) env_id: String,
    /// The run that holds it.
    pub(crate) lease_run: Option<String>,
    /// How often it was held.
    pub(crate) epoch: i64,
    /// The last deployment that was let change the state.
    pub(crate) state_deployment: Option<String>,
    /// Where the state lies, once it was written.
    pub(crate) state: Option<StatePlace>,
    /// The engine's lock file of providers.
    pub(crate) lock_file: Option<String>,
    /// How it is being deleted.
    pub(crate) deletion: Option<Deletion>,
    /// What killed runs left open, as last heard.
    pub(crate) left_open: Open,
}

/// Where a state lies. Two that are equal are the same state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatePlace {
    /// Type of the state storage, for example `local`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its settings, without `type`.
    pub(crate) settings: Map<String, Value>,
    /// The installation whose host has it; empty where any host reaches it.
    pub(crate) instance: String,
}

/// A deletion in progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// Whether the module rules of exactly this environment go too.
    pub(crate) delete_rules: bool,
    /// Readers of the destroy run's log.
    pub(crate) log_recipients: Vec<RecipientSpec>,
    /// Who asked.
    pub(crate) by: String,
    /// The destroy run of this deletion, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destroy: Option<String>,
}

impl EnvironmentPlace {
    /// One that nothing was deployed to.
    pub(crate) fn new(env_uuid: &str, org: &str, project: &str, env: &str) -> Self {
        Self {
            env_uuid: env_uuid.to_owned(),
            org_id: org.to_owned(),
            project_id: project.to_owned(),
            env_id: env.to_owned(),
            lease_run: None,
            epoch: 0,
            state_deployment: None,
            state: None,
            lock_file: None,
            deletion: None,
            left_open: Open::default(),
        }
    }
}

type Columns = (
    String,
    String,
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// What is kept of an environment.
pub(crate) async fn find(
    connection: &mut Connection,
    env_uuid: &str,
) -> Result<Option<EnvironmentPlace>, StoreError> {
    let row: Option<Columns> = sql::query(
        "SELECT env_uuid, org_id, project_id, env_id, lease_run, epoch, state_deployment, state_place, lock_file, \
         deletion, left_open FROM places WHERE env_uuid = $1",
    )
    .bind(env_uuid)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let wrong = |source| StoreError::document("an environment's place", source);
    Ok(Some(EnvironmentPlace {
        env_uuid: row.0,
        org_id: row.1,
        project_id: row.2,
        env_id: row.3,
        lease_run: row.4,
        epoch: row.5,
        state_deployment: row.6,
        state: row
            .7
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(wrong)?,
        lock_file: row.8,
        deletion: row
            .9
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(wrong)?,
        left_open: row
            .10
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(wrong)?
            .unwrap_or_default(),
    }))
}

/// Stores it.
pub(crate) async fn save(
    connection: &mut Connection,
    place: &EnvironmentPlace,
) -> Result<(), StoreError> {
    let wrong = |source| StoreError::document("an environment's place", source);
    let state = place
        .state
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(wrong)?;
    let deletion = place
        .deletion
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(wrong)?;
    let left_open = (!place.left_open.is_empty())
        .then(|| serde_json::to_string(&place.left_open))
        .transpose()
        .map_err(wrong)?;
    sql::query(
        "INSERT INTO places (env_uuid, org_id, project_id, env_id, lease_run, epoch, state_deployment, state_place, \
         lock_file, deletion, left_open, state_instance) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (env_uuid) DO UPDATE SET lease_run = excluded.lease_run, epoch = excluded.epoch, \
         state_deployment = excluded.state_deployment, state_place = excluded.state_place, \
         lock_file = excluded.lock_file, deletion = excluded.deletion, left_open = excluded.left_open, \
         state_instance = excluded.state_instance",
    )
    .bind(&place.env_uuid)
    .bind(&place.org_id)
    .bind(&place.project_id)
    .bind(&place.env_id)
    .bind(&place.lease_run)
    .bind(place.epoch)
    .bind(&place.state_deployment)
    .bind(state)
    .bind(&place.lock_file)
    .bind(deletion)
    .bind(left_open)
    .bind(place.state.as_ref().map_or("", |state| &state.instance))
    .execute(connection)
    .await?;
    Ok(())
}

/// The lock files of an organisation's environments, each with `PROJECT/ENVIRONMENT`.
pub(crate) async fn lock_files(
    connection: &mut Connection,
    org: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows: Vec<(String, String, Option<String>)> = sql::query(
        "SELECT project_id, env_id, lock_file FROM places WHERE org_id = $1 ORDER BY project_id, env_id",
    )
    .bind(org)
    .fetch_all(connection)
    .await?;
    let named = rows
        .into_iter()
        .filter_map(|(project, env, text)| Some((format!("{project}/{env}"), text?)));
    Ok(named.collect())
}

/// Forgets it.
pub(crate) async fn remove(connection: &mut Connection, env_uuid: &str) -> Result<(), StoreError> {
    sql::query("DELETE FROM places WHERE env_uuid = $1")
        .bind(env_uuid)
        .execute(connection)
        .await?;
    Ok(())
}
