//! Environments. `deploy` moves their status; here are the writes that it composes.

use super::{
    Listed, ObjectError, Paging, environment_types, later_than, listed, new_id, now_us,
    owner_column, pack, projects, require_listed_organization, runner_rules, runners, stamp,
    unpack_optional,
};
use crate::store::identity::grants::{Seen, keep_only};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{DisplayNameUpdate, Environment, EnvironmentCreate};

/// Finds an environment.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    project: &str,
    id: &str,
) -> Result<Option<Environment>, StoreError> {
    let body: Option<String> = sql::query(
        "SELECT body FROM environments WHERE org_id = $1 AND project_id = $2 AND id = $3",
    )
    .bind(org)
    .bind(project)
    .bind(id)
    .fetch_optional(connection)
    .await?;
    unpack_optional(body)
}

/// Finds an environment by its immutable identity, with its organisation.
pub(crate) async fn find_by_uuid(
    connection: &mut Connection,
    uuid: &str,
) -> Result<Option<(String, Environment)>, StoreError> {
    let row: Option<(String, String)> =
        sql::query("SELECT org_id, body FROM environments WHERE uuid = $1")
            .bind(uuid)
            .fetch_optional(connection)
            .await?;
    row.map(|(org, body)| Ok((org, super::unpack(&body)?)))
        .transpose()
}

/// Writes a changed environment; its identity decides which.
pub(crate) async fn save(
    connection: &mut Connection,
    environment: &Environment,
) -> Result<(), StoreError> {
    sql::query(
        "UPDATE environments SET status = $2, runner_id = $3, owner = $4, body = $5 WHERE uuid = $1",
    )
    .bind(&environment.uuid)
    .bind(&environment.status)
    .bind(&environment.runner_id)
    .bind(owner(environment))
    .bind(pack(environment)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves an environment to a status. Without a message the old one goes when the status changes.
/// Returns `None` when the environment has gone.
pub(crate) async fn set_status(
    connection: &mut Connection,
    uuid: &str,
    status: &str,
    message: Option<String>,
) -> Result<Option<Environment>, StoreError> {
    let Some((_, mut environment)) = find_by_uuid(connection, uuid).await? else {
        return Ok(None);
    };
    if message.is_some() || environment.status != status {
        environment.status_message = message;
    }
    environment.status = status.to_owned();
    environment.updated_at = later_than(&environment.updated_at);
    save(connection, &environment).await?;
    Ok(Some(environment))
}

/// Removes an environment, and on request the module rules with exactly its project and id.
pub(crate) async fn remove(
    connection: &mut Connection,
    uuid: &str,
    rules: RulesOfEnvironment,
) -> Result<(), StoreError> {
    let Some((org, environment)) = find_by_uuid(connection, uuid).await? else {
        return Ok(());
    };
    if rules == RulesOfEnvironment::Remove {
        sql::query(
            "DELETE FROM module_rules WHERE org_id = $1 AND project_id = $2 AND env_id = $3",
        )
        .bind(&org)
        .bind(&environment.project_id)
        .bind(&environment.id)
        .execute(&mut *connection)
        .await?;
    }
    sql::query("DELETE FROM environments WHERE uuid = $1")
        .bind(uuid)
        .execute(connection)
        .await?;
    Ok(())
}

/// What happens to the module rules of a removed environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RulesOfEnvironment {
    /// They stay.
    Keep,
    /// They go.
    Remove,
}

impl Store {
    /// Makes an environment.
    pub(crate) async fn environment_create(
        &self,
        org: &str,
        project: &str,
        create: EnvironmentCreate,
    ) -> Result<Environment, ObjectError> {
        let mut transaction = self.writing().await?;
        let parent = projects::find(&mut transaction, org, project)
            .await?
            .ok_or_else(|| ObjectError::missing("project not found"))?;
        if environment_types::find(&mut transaction, org, &create.env_type_id)
            .await?
            .is_none()
        {
            return Err(ObjectError::conflict(
                "not found: environment type not found",
            ));
        }
        if find(&mut transaction, org, project, &create.id)
            .await?
            .is_some()
        {
            return Err(ObjectError::conflict("environment already exists"));
        }
        let now = stamp(now_us());
        let made = Environment {
            display_name: create.display_name.unwrap_or_else(|| create.id.clone()),
            id: create.id,
            project_id: parent.id,
            project_uuid: parent.uuid,
            uuid: new_id(),
            env_type_id: create.env_type_id,
            created_at: now.clone(),
            updated_at: now,
            status: "active".to_owned(),
            status_message: None,
            runner_id: None,
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        sql::query(
            "INSERT INTO environments (org_id, project_id, id, uuid, env_type_id, status, owner, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(org)
        .bind(project)
        .bind(&made.id)
        .bind(&made.uuid)
        .bind(&made.env_type_id)
        .bind(&made.status)
        .bind(owner(&made))
        .bind(pack(&made)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One environment.
    pub(crate) async fn environment_get(
        &self,
        org: &str,
        project: &str,
        id: &str,
    ) -> Result<Environment, ObjectError> {
        let mut connection = self.reading().await?;
        find(&mut connection, org, project, id)
            .await?
            .ok_or_else(missing)
    }

    /// Environments of one project, or of all, by project and id; `seen` and `types` keep some.
    pub(crate) async fn environment_list(
        &self,
        org: &str,
        project: Option<&str>,
        seen: Option<&Seen>,
        types: &[String],
        paging: &Paging,
    ) -> Result<Listed<Environment>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM environments WHERE org_id = ");
        query.push_bind(org.to_owned());
        if let Some(project) = project {
            let found = projects::find(&mut connection, org, project).await?;
            if !found
                .is_some_and(|found| seen.is_none_or(|seen| seen.projects.contains(&found.uuid)))
            {
                return Err(ObjectError::missing(format!("project {project} not found")));
            }
            query
                .push(" AND project_id = ")
                .push_bind(project.to_owned());
        }
        keep_only(&mut query, "uuid", seen.map(|seen| &seen.environments));
        if !types.is_empty() {
            query.push(" AND env_type_id IN (");
            query.push_values(types.iter().cloned()).push(")");
        }
        let key = |item: &Environment| vec![item.project_id.clone(), item.id.clone()];
        Ok(listed(&mut connection, query, &["project_id", "id"], paging, key).await?)
    }

    /// Changes the display name.
    pub(crate) async fn environment_update(
        &self,
        org: &str,
        project: &str,
        id: &str,
        update: DisplayNameUpdate,
    ) -> Result<Environment, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = find(&mut transaction, org, project, id)
            .await?
            .ok_or_else(missing)?;
        found.updated_at = later_than(&found.updated_at);
        if let Some(name) = update.display_name {
            found.display_name = name;
        }
        if let Some(extras) = update.windlass {
            found.windlass = Some(extras).filter(|extras| *extras != Default::default());
        }
        save(&mut transaction, &found).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Looks up the runner of an environment again: that of the most specific rule is kept with it; where none
    /// matches, none is, and `fallback` serves. Returns the runner and whether what is kept was stored.
    pub(crate) async fn environment_refresh_runner(
        &self,
        org: &str,
        project: &str,
        id: &str,
        fallback: Option<&str>,
        dry: Dry,
    ) -> Result<(String, bool), ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = find(&mut transaction, org, project, id)
            .await?
            .ok_or_else(missing)?;
        let of_rule = runner_rules::best(&mut transaction, org, project, &found.env_type_id)
            .await?
            .filter(|runner| !runners::is_reserved(runner));
        let runner = of_rule
            .clone()
            .or_else(|| fallback.map(str::to_owned))
            .ok_or_else(|| {
                ObjectError::conflict("no matching runner found for the supplied environment")
            })?;
        let stored = dry == Dry::No && (of_rule.is_some() || found.runner_id.is_some());
        if stored {
            found.updated_at = later_than(&found.updated_at);
            found.runner_id = of_rule;
            save(&mut transaction, &found).await?;
            transaction.commit().await?;
        }
        Ok((runner, stored))
    }
}

/// Whether only the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dry {
    /// Do it.
    No,
    /// Only say what would be done.
    Yes,
}

fn owner(item: &Environment) -> &str {
    owner_column(
        item.windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("environment not found")
}
