//! Runners. Both configurations lie sealed, because v1's hold credentials and ours variables; they leave
//! the store masked, except through [`Store::runner_open`], which is for launching.
//!
//! The reserved runners are always there and never stored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Listed, ObjectError, Paging, owner_column, pack, require_listed_organization,
    require_organization, unpack,
};
use crate::store::sql::{self, Connection};
use crate::store::{Store, StoreError, agents};
use crate::wire::runners::{LOCAL, PROCESS, Runner};

/// What stands in answers where a credential is stored.
pub(crate) const MASK: &str = "SECRET";

/// Where v1's runners hold credentials: `cluster.auth.*`.
const SECRETS: [&str; 3] = [
    "client_certificate_data",
    "client_key_data",
    "service_account_token",
];

/// Both configurations, as sealed.
#[derive(Serialize, Deserialize)]
struct Configurations {
    runner: Map<String, Value>,
    state: Map<String, Value>,
}

/// Whether `id` names a reserved runner.
pub(crate) fn is_reserved(id: &str) -> bool {
    [LOCAL, PROCESS].contains(&id)
}

/// The reserved runners, made with the organisation.
fn reserved(org: &str, since: &str) -> [Runner; 2] {
    [
        (
            LOCAL,
            "docker",
            "Containers of the Docker daemon on this host (reserved)",
        ),
        (
            PROCESS,
            "process",
            "Processes on this host, without a container (reserved)",
        ),
    ]
    .map(|(id, kind, description)| Runner {
        id: id.to_owned(),
        org_id: org.to_owned(),
        description: Some(description.to_owned()),
        runner_configuration: Map::from_iter([("type".to_owned(), json!(kind))]),
        state_storage_configuration: Map::from_iter([("type".to_owned(), json!("local"))]),
        created_at: since.to_owned(),
        updated_at: since.to_owned(),
        windlass: None,
    })
}

/// Hides every credential.
fn mask(mut runner: Runner) -> Runner {
    let auth = auth_mut(&mut runner.runner_configuration);
    for (key, value) in auth.into_iter().flatten() {
        if SECRETS.contains(&key.as_str()) {
            *value = json!(MASK);
        }
    }
    runner
}

/// Where a runner has its credentials, or what carries the runs of its agents has them.
fn auth(configuration: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let launcher = configuration.get("launcher").and_then(Value::as_object);
    let of = launcher.unwrap_or(configuration);
    of.get("cluster")?.get("auth")?.as_object()
}

/// The same, to be changed.
fn auth_mut(configuration: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    let is_inside = configuration.get("launcher").is_some_and(Value::is_object);
    let of = match is_inside {
        true => configuration.get_mut("launcher")?.as_object_mut()?,
        false => configuration,
    };
    of.get_mut("cluster")?.get_mut("auth")?.as_object_mut()
}

/// Puts stored credentials back where a request only repeats their mask.
pub(crate) fn unmask(wanted: &mut Map<String, Value>, stored: &Map<String, Value>) {
    let stored = auth(stored);
    for (key, value) in auth_mut(wanted).into_iter().flatten() {
        if SECRETS.contains(&key.as_str())
            && *value == MASK
            && let Some(before) = stored.and_then(|auth| auth.get(key))
        {
            *value = before.clone();
        }
    }
}

/// Both configurations reduced to their types, as in lists and in the stored body.
fn summary(runner: &Runner) -> Runner {
    let only_type = |map: &Map<String, Value>| {
        map.iter()
            .filter(|(key, _)| *key == "type")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    Runner {
        runner_configuration: only_type(&runner.runner_configuration),
        state_storage_configuration: only_type(&runner.state_storage_configuration),
        ..runner.clone()
    }
}

impl Store {
    /// Stores a new runner and returns it masked.
    pub(crate) async fn runner_create(&self, runner: Runner) -> Result<Runner, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, &runner.org_id).await?;
        let there = self
            .runner_find(&mut transaction, &runner.org_id, &runner.id)
            .await?;
        if there.is_some() || is_reserved(&runner.id) {
            return Err(ObjectError::conflict(format!(
                "runner with id {} already exists",
                runner.id
            )));
        }
        let sealed = self.runner_seal(&runner)?;
        sql::query(
            "INSERT INTO runners (org_id, id, owner, body, sealed) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&runner.org_id)
        .bind(&runner.id)
        .bind(owner(&runner))
        .bind(pack(&summary(&runner))?)
        .bind(sealed)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(mask(runner))
    }

    /// One runner, masked.
    pub(crate) async fn runner_get(&self, org: &str, id: &str) -> Result<Runner, ObjectError> {
        Ok(mask(self.runner_open(org, id).await?))
    }

    /// One runner with its credentials.
    pub(crate) async fn runner_open(&self, org: &str, id: &str) -> Result<Runner, ObjectError> {
        if is_reserved(id) {
            let since = self.organization_get(org).await?.created_at;
            return reserved(org, &since)
                .into_iter()
                .find(|runner| runner.id == id)
                .ok_or_else(missing);
        }
        let mut connection = self.reading().await?;
        self.runner_find(&mut connection, org, id)
            .await?
            .ok_or_else(missing)
    }

    /// Runners by id, the reserved ones among them, reduced to their types.
    pub(crate) async fn runner_list(
        &self,
        org: &str,
        kind: Option<&str>,
        paging: &Paging,
    ) -> Result<Listed<Runner>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let bodies: Vec<String> = sql::query("SELECT body FROM runners WHERE org_id = $1")
            .bind(org)
            .fetch_all(&mut connection)
            .await?;
        drop(connection);
        let since = self.organization_get(org).await?.created_at;
        let mut all = bodies
            .iter()
            .map(|body| unpack::<Runner>(body))
            .collect::<Result<Vec<_>, _>>()?;
        all.extend(reserved(org, &since));
        if let Some(kind) = kind {
            all.retain(|runner| {
                runner
                    .runner_configuration
                    .get("type")
                    .and_then(serde_json::Value::as_str)
                    == Some(kind)
            });
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(after) = paging.after.as_ref().and_then(|key| key.first()) {
            all.retain(|runner| runner.id > *after);
        }
        let more = all.len() > paging.limit;
        all.truncate(paging.limit);
        Ok(Listed {
            next: all
                .last()
                .filter(|_| more)
                .map(|runner| vec![runner.id.clone()]),
            items: all,
        })
    }

    /// Stores a changed runner and returns it masked. `None`: it was changed since `expected` (its
    /// `updated_at` then); the caller begins again.
    pub(crate) async fn runner_update(
        &self,
        expected: &str,
        runner: Runner,
    ) -> Result<Option<Runner>, ObjectError> {
        let mut transaction = self.writing().await?;
        let found = self
            .runner_find(&mut transaction, &runner.org_id, &runner.id)
            .await?
            .ok_or_else(missing)?;
        if found.updated_at != expected {
            return Ok(None);
        }
        let runner = Runner {
            updated_at: super::later_than(expected),
            ..runner
        };
        let sealed = self.runner_seal(&runner)?;
        sql::query(
            "UPDATE runners SET owner = $3, body = $4, sealed = $5 WHERE org_id = $1 AND id = $2",
        )
        .bind(&runner.org_id)
        .bind(&runner.id)
        .bind(owner(&runner))
        .bind(pack(&summary(&runner))?)
        .bind(sealed)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(mask(runner)))
    }

    /// Removes a runner that no environment has, with its rules.
    pub(crate) async fn runner_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        if is_reserved(id) {
            return Err(reserved_refusal(id));
        }
        let mut transaction = self.writing().await?;
        self.runner_find(&mut transaction, org, id)
            .await?
            .ok_or_else(missing)?;
        let users: Vec<(String, String)> = sql::query(
            "SELECT project_id, id FROM environments WHERE org_id = $1 AND runner_id = $2 \
             ORDER BY project_id, id",
        )
        .bind(org)
        .bind(id)
        .fetch_all(&mut transaction)
        .await?;
        if !users.is_empty() {
            let users: Vec<String> = users
                .into_iter()
                .map(|(project, environment)| format!("{project}/{environment}"))
                .collect();
            return Err(ObjectError::conflict(format!(
                "runner {id} is in use by the environments: {}",
                users.join(", ")
            )));
        }
        for sql in [
            "DELETE FROM runner_rules WHERE org_id = $1 AND runner_id = $2",
            "DELETE FROM runners WHERE org_id = $1 AND id = $2",
        ] {
            sql::query(sql)
                .bind(org)
                .bind(id)
                .execute(&mut transaction)
                .await?;
        }
        agents::remove_of_runner(&mut transaction, org, id).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Finds a stored runner, with its credentials.
    async fn runner_find(
        &self,
        connection: &mut Connection,
        org: &str,
        id: &str,
    ) -> Result<Option<Runner>, StoreError> {
        let row: Option<(String, Vec<u8>)> =
            sql::query("SELECT body, sealed FROM runners WHERE org_id = $1 AND id = $2")
                .bind(org)
                .bind(id)
                .fetch_optional(connection)
                .await?;
        let Some((body, sealed)) = row else {
            return Ok(None);
        };
        let configurations: Configurations = self.unseal_json(&place(org, id), &sealed)?;
        Ok(Some(Runner {
            runner_configuration: configurations.runner,
            state_storage_configuration: configurations.state,
            ..unpack(&body)?
        }))
    }

    fn runner_seal(&self, runner: &Runner) -> Result<Vec<u8>, StoreError> {
        self.seal_json(
            &place(&runner.org_id, &runner.id),
            &Configurations {
                runner: runner.runner_configuration.clone(),
                state: runner.state_storage_configuration.clone(),
            },
        )
    }
}

/// The answer to a change of a reserved runner.
pub(crate) fn reserved_refusal(id: &str) -> ObjectError {
    ObjectError::conflict(format!(
        "runner {id} is reserved: it is always there and cannot be changed or deleted"
    ))
}

/// What the sealed configurations of a runner are bound to.
pub(in crate::store) fn place(org: &str, id: &str) -> String {
    format!("runner/{org}/{id}")
}

fn owner(runner: &Runner) -> &str {
    owner_column(
        runner
            .windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("runner not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_set_credentials_are_masked_and_a_repeated_mask_keeps_them() {
        let configuration =
            json!({"type": "kubernetes", "cluster": {"auth": {"client_key_data": "k"}}});
        let stored = configuration.as_object().expect("object").clone();
        let [mut runner, _] = reserved("o", "t");
        runner.runner_configuration = stored.clone();
        let masked = mask(runner).runner_configuration;
        assert_eq!(
            Value::Object(masked.clone()),
            json!({"type": "kubernetes", "cluster": {"auth": {"client_key_data": "SECRET"}}})
        );
        let mut wanted = masked;
        unmask(&mut wanted, &stored);
        assert_eq!(wanted, stored);
        let inside = json!({"type": "agent", "launcher": configuration});
        let [mut runner, _] = reserved("o", "t");
        runner.runner_configuration = inside.as_object().expect("object").clone();
        let mut wanted = mask(runner).runner_configuration;
        assert!(!Value::Object(wanted.clone()).to_string().contains("\"k\""));
        unmask(&mut wanted, inside.as_object().expect("object"));
        assert_eq!(Value::Object(wanted), inside);
    }
}
