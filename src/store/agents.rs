//! Agents, their keys and what enrols them.
//!
//! What an agent holds is a lease as servers have one (`deployments/leases.rs`), under the same name as here. A token
//! enrols once and is kept as a hash; of a key only the public half ever arrives.

use serde::{Deserialize, Serialize};

use super::deployments::leases;
use super::identity::tokens::{self, Secret};
use super::objects::{Listed, ObjectError, Paging, organization_known};
use super::sql::{self, Connection, Row};
use super::{Store, StoreError, Writing, audit, clock};
use crate::wire::agents::About;

/// At most so many keys hold at once: the one in use and the one that follows it.
const KEYS: i64 = 2;

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agent {
    /// That of its data directory.
    pub(crate) instance: String,
    pub(crate) org_id: String,
    /// The runner whose runs it carries.
    pub(crate) runner_id: String,
    pub(crate) about: About,
    pub(crate) created_us: i64,
    pub(crate) created_by: String,
    /// 0 for never.
    pub(crate) seen_us: i64,
}

impl Agent {
    /// What it serves, as in `deployments.served_by`.
    pub(crate) fn serves(&self) -> String {
        serves(&self.org_id, &self.runner_id)
    }
}

/// The name of what the agents of a runner serve.
pub(crate) fn serves(org: &str, runner: &str) -> String {
    format!("{org}/{runner}")
}

/// A token that enrols, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enrolment {
    pub(crate) org_id: String,
    pub(crate) runner_id: String,
    pub(crate) created_by: String,
}

fn read(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        instance: row.get("instance")?,
        org_id: row.get("org_id")?,
        runner_id: row.get("runner_id")?,
        about: serde_json::from_str(row.text("about")?)
            .map_err(|source| StoreError::document("what an agent says of itself", source))?,
        created_us: row.get("created_us")?,
        created_by: row.get("created_by")?,
        seen_us: row.get("seen_us")?,
    })
}

const COLUMNS: &str =
    "a.instance, a.org_id, a.runner_id, a.about, a.created_us, a.created_by, a.seen_us";

async fn one(
    connection: &mut Connection,
    rest: &'static str,
    value: &str,
) -> Result<Option<Agent>, StoreError> {
    let mut query = sql::Builder::new("SELECT ");
    query.push(COLUMNS).push(" FROM agents a ").push(rest);
    let row: Option<Row> = query.build().bind(value).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// An agent by its instance.
pub(crate) async fn find(
    connection: &mut Connection,
    instance: &str,
) -> Result<Option<Agent>, StoreError> {
    one(connection, "WHERE a.instance = $1", instance).await
}

/// Every agent of a runner.
pub(crate) async fn of_runner(
    connection: &mut Connection,
    serves: &str,
) -> Result<Vec<Agent>, StoreError> {
    let mut query = sql::Builder::new("SELECT ");
    query
        .push(COLUMNS)
        .push(" FROM agents a WHERE a.org_id || '/' || a.runner_id = ")
        .push_bind(serves)
        .push(" ORDER BY a.created_us, a.instance");
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// Notes that an agent said something now.
pub(crate) async fn seen(connection: &mut Connection, instance: &str) -> Result<(), StoreError> {
    sql::query("UPDATE agents SET seen_us = $2 WHERE instance = $1")
        .bind(instance)
        .bind(clock::now_us())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what an agent says of itself, and that it said so now.
pub(crate) async fn describe(
    connection: &mut Connection,
    instance: &str,
    about: &About,
) -> Result<(), StoreError> {
    sql::query("UPDATE agents SET about = $2, seen_us = $3 WHERE instance = $1")
        .bind(instance)
        .bind(text(about)?)
        .bind(clock::now_us())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets an agent with its keys.
pub(crate) async fn remove(connection: &mut Connection, instance: &str) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM agent_keys WHERE instance = $1",
        "DELETE FROM agents WHERE instance = $1",
    ] {
        sql::query(sql).bind(instance).execute(connection).await?;
    }
    Ok(())
}

/// Forgets the agents of a runner, and what would enrol others.
pub(crate) async fn remove_of_runner(
    connection: &mut Connection,
    org: &str,
    runner: &str,
) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM agent_keys WHERE instance IN \
         (SELECT a.instance FROM agents a WHERE a.org_id = $1 AND a.runner_id = $2)",
        "DELETE FROM agents WHERE org_id = $1 AND runner_id = $2",
        "DELETE FROM agent_tokens WHERE org_id = $1 AND runner_id = $2",
    ] {
        sql::query(sql)
            .bind(org)
            .bind(runner)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Takes another public key of an agent, and drops the oldest where there are too many.
pub(crate) async fn add_key(
    connection: &mut Connection,
    instance: &str,
    id: &str,
    public: &str,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO agent_keys (id, instance, public, created_us) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(instance)
    .bind(public)
    .bind(clock::now_us())
    .execute(connection)
    .await?;
    sql::query(
        "DELETE FROM agent_keys WHERE instance = $1 AND id NOT IN \
         (SELECT k.id FROM agent_keys k WHERE k.instance = $1 ORDER BY k.created_us DESC, k.id LIMIT $2)",
    )
    .bind(instance)
    .bind(KEYS)
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops every key of an agent but this one.
pub(crate) async fn keep_key(
    connection: &mut Connection,
    instance: &str,
    id: &str,
) -> Result<(), StoreError> {
    sql::query("DELETE FROM agent_keys WHERE instance = $1 AND id <> $2")
        .bind(instance)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

fn text(about: &About) -> Result<String, StoreError> {
    serde_json::to_string(about)
        .map_err(|source| StoreError::document("what an agent says of itself", source))
}

impl Store {
    /// Makes a token that enrols one agent of a runner; returns until when it serves.
    pub(crate) async fn agent_token_create(
        &self,
        secret: &Secret,
        enrolment: &Enrolment,
        life_us: i64,
    ) -> Result<i64, StoreError> {
        let now = clock::now_us();
        let mut writing = self.writing().await?;
        sql::query("DELETE FROM agent_tokens WHERE expires_us <= $1")
            .bind(now)
            .execute(&mut writing)
            .await?;
        sql::query(
            "INSERT INTO agent_tokens (hash, org_id, runner_id, created_us, created_by, expires_us) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(secret.hash())
        .bind(&enrolment.org_id)
        .bind(&enrolment.runner_id)
        .bind(now)
        .bind(&enrolment.created_by)
        .bind(now + life_us)
        .execute(&mut writing)
        .await?;
        writing.commit().await?;
        Ok(now + life_us)
    }

    /// Takes another key of an agent.
    pub(crate) async fn agent_key_add(
        &self,
        instance: &str,
        id: &str,
        public: &str,
    ) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        add_key(&mut writing, instance, id, public).await?;
        writing.commit().await
    }

    /// The agent that a key is of, and the key.
    pub(crate) async fn agent_of_key(
        &self,
        id: &str,
    ) -> Result<Option<(Agent, String)>, StoreError> {
        let mut reading = self.reading().await?;
        let public: Option<String> = sql::query("SELECT public FROM agent_keys WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut reading)
            .await?;
        let Some(public) = public else {
            return Ok(None);
        };
        let of_key = "WHERE a.instance = (SELECT k.instance FROM agent_keys k WHERE k.id = $1)";
        let agent = one(&mut reading, of_key, id).await?;
        Ok(agent.map(|agent| (agent, public)))
    }

    /// The agents of an organisation.
    pub(crate) async fn agent_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<Agent>, ObjectError> {
        let after = paging.after.as_ref().and_then(|key| key.first());
        let mut query = sql::Builder::new("SELECT ");
        query
            .push(COLUMNS)
            .push(" FROM agents a WHERE a.org_id = ")
            .push_bind(org)
            .push(" AND a.instance > ")
            .push_bind(after.map_or("", String::as_str))
            .push(" ORDER BY a.instance LIMIT ")
            .push_bind(i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX));
        let mut reading = self.reading().await?;
        if !organization_known(&mut reading, org).await? {
            return Err(ObjectError::missing("organization not found"));
        }
        let rows: Vec<Row> = query.build().fetch_all(&mut reading).await?;
        let mut items = rows
            .iter()
            .map(read)
            .collect::<Result<Vec<Agent>, StoreError>>()?;
        let more = items.len() > paging.limit;
        items.truncate(paging.limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| vec![last.instance.clone()]);
        Ok(Listed { items, next })
    }

    /// Spends a token: the directory `instance` is an agent of its runner from now on, with this key and no other.
    ///
    /// `None`: there is no such token, or it is over.
    pub(crate) async fn agent_enrol(
        &self,
        secret: &Secret,
        instance: &str,
        (key, public): (&str, &str),
        about: &About,
    ) -> Result<Option<Agent>, ObjectError> {
        let now = clock::now_us();
        let mut writing = self.writing().await?;
        let found: Option<(String, String, String)> = sql::query(
            "SELECT org_id, runner_id, created_by FROM agent_tokens WHERE hash = $1 AND expires_us > $2",
        )
        .bind(secret.hash())
        .bind(now)
        .fetch_optional(&mut writing)
        .await?;
        let Some((org_id, runner_id, created_by)) = found else {
            return Ok(None);
        };
        audit::note(|draft| {
            draft.organization.clone_from(&org_id);
            draft.object = format!("agent {instance} of runner {runner_id}");
        });
        self.is_free(&mut writing, instance, &serves(&org_id, &runner_id))
            .await?;
        let agent = Agent {
            instance: instance.to_owned(),
            org_id,
            runner_id,
            about: about.clone(),
            created_us: now,
            created_by,
            seen_us: 0,
        };
        sql::query("DELETE FROM agent_tokens WHERE hash = $1")
            .bind(secret.hash())
            .execute(&mut writing)
            .await?;
        sql::query(
            "INSERT INTO agents (instance, org_id, runner_id, about, created_us, created_by, seen_us) \
             VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (instance) DO UPDATE SET about = excluded.about, \
             created_us = excluded.created_us, created_by = excluded.created_by",
        )
        .bind(&agent.instance)
        .bind(&agent.org_id)
        .bind(&agent.runner_id)
        .bind(text(about)?)
        .bind(now)
        .bind(&agent.created_by)
        .execute(&mut writing)
        .await?;
        add_key(&mut writing, instance, key, public).await?;
        keep_key(&mut writing, instance, key).await?;
        writing.commit().await?;
        Ok(Some(agent))
    }

    /// Refuses a directory that is a server's, or an agent's of another runner: both would hold one lease.
    async fn is_free(
        &self,
        writing: &mut Writing,
        instance: &str,
        serves: &str,
    ) -> Result<(), ObjectError> {
        match find(writing, instance).await? {
            Some(agent) if agent.serves() == serves => return Ok(()),
            Some(agent) => {
                return Err(ObjectError::conflict(format!(
                    "this data directory is enrolled as an agent of runner `{}` already; name another one with \
                     `--data-dir`, or remove that agent: windlass delete agent {instance}",
                    agent.runner_id
                )));
            }
            None => {}
        }
        let before = leases::find(writing, instance).await?;
        let is_taken = before.is_some_and(|before| before.serves != serves);
        if is_taken || instance == self.instance() {
            return Err(ObjectError::conflict(
                "this data directory is a server's, or was an agent's of another runner; name another one with `--data-dir`",
            ));
        }
        Ok(())
    }
}

/// A new token that enrols.
pub(crate) fn new_token() -> Secret {
    Secret::new(tokens::Kind::Link)
}
