//! Runner rules: which runner serves which project and environment type. An unset scope is `""`.

use super::{
    Listed, ObjectError, Paging, environment_types, listed, new_id, now_us, owner_column, pack,
    require_listed_organization, require_organization, stamp, unpack_optional,
};
use crate::store::identity::grants::{Seen, keep_rules};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::runners::{LOCAL, PROCESS, RunnerRule, RunnerRuleCreate};

/// The runner of the most specific rule: project counts more than environment type.
pub(crate) async fn best(
    connection: &mut Connection,
    org: &str,
    project: &str,
    environment_type: &str,
) -> Result<Option<String>, StoreError> {
    Ok(sql::query(
        "SELECT runner_id FROM runner_rules \
         WHERE org_id = $1 AND project_id IN ('', $2) AND env_type_id IN ('', $3) \
         ORDER BY project_id <> '' DESC, env_type_id <> '' DESC LIMIT 1",
    )
    .bind(org)
    .bind(project)
    .bind(environment_type)
    .fetch_optional(connection)
    .await?)
}

/// Which runner rules are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunnerRuleFilter {
    /// Rules that apply to this project.
    pub(crate) project: Option<String>,
    /// Rules that apply to this environment type.
    pub(crate) environment_type: Option<String>,
    /// Rules of exactly this runner.
    pub(crate) runner: Option<String>,
}

impl Store {
    /// Makes a runner rule.
    pub(crate) async fn runner_rule_create(
        &self,
        org: &str,
        create: RunnerRuleCreate,
    ) -> Result<RunnerRule, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, org).await?;
        let made = RunnerRule {
            id: new_id(),
            org_id: org.to_owned(),
            runner_id: create.runner_id,
            project_id: create.project_id.unwrap_or_default(),
            env_type_id: create.env_type_id.unwrap_or_default(),
            created_at: stamp(now_us()),
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        let known: Option<i64> = sql::query("SELECT 1 FROM runners WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(&made.runner_id)
            .fetch_optional(&mut transaction)
            .await?;
        if known.is_none() && ![LOCAL, PROCESS].contains(&made.runner_id.as_str()) {
            return Err(ObjectError::conflict(format!(
                "runner '{}' not found",
                made.runner_id
            )));
        }
        if !made.env_type_id.is_empty()
            && environment_types::find(&mut transaction, org, &made.env_type_id)
                .await?
                .is_none()
        {
            return Err(ObjectError::conflict(format!(
                "environment type '{}' not found",
                made.env_type_id
            )));
        }
        let rival: Option<(String, String)> = sql::query(
            "SELECT id, runner_id FROM runner_rules \
             WHERE org_id = $1 AND project_id = $2 AND env_type_id = $3",
        )
        .bind(org)
        .bind(&made.project_id)
        .bind(&made.env_type_id)
        .fetch_optional(&mut transaction)
        .await?;
        if let Some((id, runner)) = rival {
            return Err(ObjectError::conflict(format!(
                "runner rule conflicts with existing rule '{id}' for runner '{runner}'"
            )));
        }
        sql::query(
            "INSERT INTO runner_rules (org_id, id, runner_id, project_id, env_type_id, owner, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(org)
        .bind(&made.id)
        .bind(&made.runner_id)
        .bind(&made.project_id)
        .bind(&made.env_type_id)
        .bind(owner_column(made.windlass.as_ref().and_then(|extras| extras.owner.as_ref())))
        .bind(pack(&made)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One runner rule; one that names what is not seen is not there.
    pub(crate) async fn runner_rule_get(
        &self,
        org: &str,
        id: &str,
        seen: Option<&Seen>,
    ) -> Result<RunnerRule, ObjectError> {
        let mut connection = self.reading().await?;
        let mut query = Builder::new("SELECT body FROM runner_rules WHERE org_id = ");
        query.push_bind(org.to_owned());
        query.push(" AND id = ").push_bind(id.to_owned());
        keep_rules(&mut query, org, seen);
        let body: Option<String> = query.build().fetch_optional(&mut connection).await?;
        unpack_optional(body)?.ok_or_else(missing)
    }

    /// Runner rules by runner and id.
    pub(crate) async fn runner_rule_list(
        &self,
        org: &str,
        filter: &RunnerRuleFilter,
        seen: Option<&Seen>,
        paging: &Paging,
    ) -> Result<Listed<RunnerRule>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM runner_rules WHERE org_id = ");
        query.push_bind(org.to_owned());
        keep_rules(&mut query, org, seen);
        if let Some(project) = &filter.project {
            query
                .push(" AND project_id IN ('', ")
                .push_bind(project.clone())
                .push(")");
        }
        if let Some(kind) = &filter.environment_type {
            query
                .push(" AND env_type_id IN ('', ")
                .push_bind(kind.clone())
                .push(")");
        }
        if let Some(runner) = &filter.runner {
            query.push(" AND runner_id = ").push_bind(runner.clone());
        }
        let key = |item: &RunnerRule| vec![item.runner_id.clone(), item.id.clone()];
        Ok(listed(&mut connection, query, &["runner_id", "id"], paging, key).await?)
    }

    /// Removes a runner rule.
    pub(crate) async fn runner_rule_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        let gone = sql::query("DELETE FROM runner_rules WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .execute(&mut transaction)
            .await?;
        if gone == 0 {
            return Err(missing());
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn missing() -> ObjectError {
    ObjectError::missing("runner rule not found")
}
