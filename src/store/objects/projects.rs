//! Projects.

use super::{
    Listed, ObjectError, Paging, later_than, listed, new_id, now_us, owner_column, pack,
    require_listed_organization, require_organization, stamp, unpack_optional,
};
use crate::store::identity::grants::{Seen, keep_only};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{DisplayNameUpdate, Project, ProjectCreate};

/// Finds a project.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<Option<Project>, StoreError> {
    let body: Option<String> =
        sql::query("SELECT body FROM projects WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .fetch_optional(connection)
            .await?;
    unpack_optional(body)
}

impl Store {
    /// Makes a project.
    pub(crate) async fn project_create(
        &self,
        org: &str,
        create: ProjectCreate,
    ) -> Result<Project, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, org).await?;
        if find(&mut transaction, org, &create.id).await?.is_some() {
            return Err(ObjectError::conflict("project already exists"));
        }
        let now = stamp(now_us());
        let project = Project {
            display_name: create.display_name.unwrap_or_else(|| create.id.clone()),
            id: create.id,
            uuid: new_id(),
            created_at: now.clone(),
            updated_at: now,
            status: "active".to_owned(),
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        sql::query(
            "INSERT INTO projects (org_id, id, uuid, owner, body) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(org)
        .bind(&project.id)
        .bind(&project.uuid)
        .bind(owner(&project))
        .bind(pack(&project)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(project)
    }

    /// One project.
    pub(crate) async fn project_get(&self, org: &str, id: &str) -> Result<Project, ObjectError> {
        let mut connection = self.glance().await?;
        find(&mut connection, org, id).await?.ok_or_else(missing)
    }

    /// Projects by id; `seen` keeps some.
    pub(crate) async fn project_list(
        &self,
        org: &str,
        seen: Option<&Seen>,
        paging: &Paging,
    ) -> Result<Listed<Project>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM projects WHERE org_id = ");
        query.push_bind(org.to_owned());
        keep_only(&mut query, "uuid", seen.map(|seen| &seen.projects));
        let key = |project: &Project| vec![project.id.clone()];
        Ok(listed(&mut connection, query, &["id"], paging, key).await?)
    }

    /// Changes a project; an empty change only moves `updated_at`.
    pub(crate) async fn project_update(
        &self,
        org: &str,
        id: &str,
        update: DisplayNameUpdate,
    ) -> Result<Project, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut project = find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        project.updated_at = later_than(&project.updated_at);
        if let Some(name) = update.display_name {
            project.display_name = name;
        }
        if let Some(extras) = update.windlass {
            project.windlass = Some(extras).filter(|extras| *extras != Default::default());
        }
        sql::query("UPDATE projects SET owner = $3, body = $4 WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .bind(owner(&project))
            .bind(pack(&project)?)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(project)
    }

    /// Removes a project that has no environments, and on request the rules that name it.
    pub(crate) async fn project_delete(
        &self,
        org: &str,
        id: &str,
        rules: RulesOfProject,
    ) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        let environment: Option<i64> =
            sql::query("SELECT 1 FROM environments WHERE org_id = $1 AND project_id = $2 LIMIT 1")
                .bind(org)
                .bind(id)
                .fetch_optional(&mut transaction)
                .await?;
        if environment.is_some() {
            return Err(ObjectError::conflict("project contains environments"));
        }
        if rules == RulesOfProject::Remove {
            for sql in [
                "DELETE FROM module_rules WHERE org_id = $1 AND project_id = $2",
                "DELETE FROM runner_rules WHERE org_id = $1 AND project_id = $2",
            ] {
                sql::query(sql)
                    .bind(org)
                    .bind(id)
                    .execute(&mut transaction)
                    .await?;
            }
        }
        sql::query("DELETE FROM projects WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// What happens to the rules that name a removed project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RulesOfProject {
    /// They stay, and serve again when the id is used again.
    Keep,
    /// They go.
    Remove,
}

fn owner(project: &Project) -> &str {
    owner_column(
        project
            .windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("project not found")
}
