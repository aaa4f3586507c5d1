//! Module rules: which module makes a resource of a type and class, for whom.

use super::{
    Listed, ObjectError, Paging, environment_types, listed, new_id, now_us, owner_column, pack,
    require_listed_organization, require_organization, stamp, unpack_optional,
};
use crate::model::DEFAULT_CLASS;
use crate::store::identity::grants::{Seen, keep_only, keep_rules};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{ModuleRule, ModuleRuleCreate};

/// Which module rules are listed; all filters are exact.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModuleRuleFilter {
    pub(crate) resource_type: Option<String>,
    pub(crate) module: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) environment: Option<String>,
}

/// Rules that apply to one environment, before any of them wins.
pub(crate) async fn applicable(
    connection: &mut Connection,
    org: &str,
    project: &str,
    environment: &str,
    environment_type: &str,
) -> Result<Vec<ModuleRule>, StoreError> {
    let mut query = Builder::new("SELECT body FROM module_rules WHERE org_id = ");
    query.push_bind(org.to_owned());
    for (text, value) in [
        (" AND project_id IN ('', ", project),
        (" AND env_id IN ('', ", environment),
        (" AND env_type_id IN ('', ", environment_type),
    ] {
        query.push(text).push_bind(value.to_owned()).push(")");
    }
    Ok(listed(connection, query, ORDER, &Paging::ALL, key)
        .await?
        .items)
}

/// Keeps the rules of a query that name no environment, or one that is seen.
fn keep_environments(query: &mut Builder<'_>, org: &str, seen: Option<&Seen>) {
    let Some(seen) = seen else {
        return;
    };
    query.push(
        " AND (env_id = '' OR env_id IN (SELECT o.id FROM environments o \
         WHERE o.project_id = module_rules.project_id AND o.org_id = ",
    );
    query.push_bind(org.to_owned());
    keep_only(query, "o.uuid", Some(&seen.environments));
    query.push("))");
}

const ORDER: &[&str] = &["resource_type", "module_id", "resource_class", "id"];

fn key(item: &ModuleRule) -> Vec<String> {
    vec![
        item.resource_type.clone(),
        item.module_id.clone(),
        item.resource_class.clone(),
        item.id.clone(),
    ]
}

impl Store {
    /// Makes a module rule. Projects and environments that it names need not exist yet.
    pub(crate) async fn module_rule_create(
        &self,
        org: &str,
        create: ModuleRuleCreate,
    ) -> Result<ModuleRule, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, org).await?;
        let resource_type: Option<String> =
            sql::query("SELECT resource_type FROM modules WHERE org_id = $1 AND id = $2")
                .bind(org)
                .bind(&create.module_id)
                .fetch_optional(&mut transaction)
                .await?;
        let resource_type = resource_type.ok_or_else(|| ObjectError::Invalid {
            pointer: "/module_id",
            message: "module not found".to_owned(),
        })?;
        if let Some(kind) = &create.env_type_id
            && environment_types::find(&mut transaction, org, kind)
                .await?
                .is_none()
        {
            return Err(ObjectError::conflict("environment type not found"));
        }
        let made = ModuleRule {
            id: new_id(),
            org_id: org.to_owned(),
            module_id: create.module_id,
            resource_type,
            resource_class: create
                .resource_class
                .unwrap_or_else(|| DEFAULT_CLASS.to_owned()),
            resource_id: create.resource_id,
            project_id: create.project_id,
            env_id: create.env_id,
            env_type_id: create.env_type_id,
            created_at: stamp(now_us()),
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        let unset = |scope: &Option<String>| scope.clone().unwrap_or_default();
        let rival: Option<(String, String)> = sql::query(
            "SELECT id, module_id FROM module_rules WHERE org_id = $1 AND resource_type = $2 \
             AND resource_class = $3 AND resource_id = $4 AND env_type_id = $5 \
             AND project_id = $6 AND env_id = $7",
        )
        .bind(org)
        .bind(&made.resource_type)
        .bind(&made.resource_class)
        .bind(unset(&made.resource_id))
        .bind(unset(&made.env_type_id))
        .bind(unset(&made.project_id))
        .bind(unset(&made.env_id))
        .fetch_optional(&mut transaction)
        .await?;
        if let Some((id, module)) = rival {
            return Err(ObjectError::conflict(format!(
                "rule conflicts with existing rule '{id}' for definition '{module}'"
            )));
        }
        sql::query(
            "INSERT INTO module_rules (org_id, id, module_id, resource_type, resource_class, \
             resource_id, project_id, env_id, env_type_id, owner, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(org)
        .bind(&made.id)
        .bind(&made.module_id)
        .bind(&made.resource_type)
        .bind(&made.resource_class)
        .bind(unset(&made.resource_id))
        .bind(unset(&made.project_id))
        .bind(unset(&made.env_id))
        .bind(unset(&made.env_type_id))
        .bind(owner_column(
            made.windlass
                .as_ref()
                .and_then(|extras| extras.owner.as_ref()),
        ))
        .bind(pack(&made)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One module rule; one that names what is not seen is not there.
    pub(crate) async fn module_rule_get(
        &self,
        org: &str,
        id: &str,
        seen: Option<&Seen>,
    ) -> Result<ModuleRule, ObjectError> {
        let mut connection = self.reading().await?;
        let mut query = Builder::new("SELECT body FROM module_rules WHERE org_id = ");
        query.push_bind(org.to_owned());
        query.push(" AND id = ").push_bind(id.to_owned());
        keep_rules(&mut query, org, seen);
        keep_environments(&mut query, org, seen);
        let body: Option<String> = query.build().fetch_optional(&mut connection).await?;
        unpack_optional(body)?.ok_or_else(missing)
    }

    /// Module rules by resource type, module, class and id.
    pub(crate) async fn module_rule_list(
        &self,
        org: &str,
        filter: &ModuleRuleFilter,
        seen: Option<&Seen>,
        paging: &Paging,
    ) -> Result<Listed<ModuleRule>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM module_rules WHERE org_id = ");
        query.push_bind(org.to_owned());
        keep_rules(&mut query, org, seen);
        keep_environments(&mut query, org, seen);
        for (text, value) in [
            (" AND resource_type = ", &filter.resource_type),
            (" AND module_id = ", &filter.module),
            (" AND project_id = ", &filter.project),
            (" AND env_id = ", &filter.environment),
        ] {
            if let Some(value) = value {
                query.push(text).push_bind(value.clone());
            }
        }
        Ok(listed(&mut connection, query, ORDER, paging, key).await?)
    }

    /// Removes a module rule.
    pub(crate) async fn module_rule_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        let gone = sql::query("DELETE FROM module_rules WHERE org_id = $1 AND id = $2")
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
    ObjectError::missing("module rule not found")
}
