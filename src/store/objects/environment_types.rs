//! Environment types.

use super::{
    Listed, ObjectError, Paging, listed, new_id, now_us, owner_column, pack,
    require_listed_organization, require_organization, stamp, unpack_optional,
};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{EnvironmentType, EnvironmentTypeCreate, EnvironmentTypeUpdate};

/// Finds an environment type.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<Option<EnvironmentType>, StoreError> {
    let body: Option<String> =
        sql::query("SELECT body FROM environment_types WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .fetch_optional(connection)
            .await?;
    unpack_optional(body)
}

impl Store {
    /// Makes an environment type.
    pub(crate) async fn environment_type_create(
        &self,
        org: &str,
        create: EnvironmentTypeCreate,
    ) -> Result<EnvironmentType, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, org).await?;
        if find(&mut transaction, org, &create.id).await?.is_some() {
            return Err(ObjectError::conflict("environment type already exists"));
        }
        let made = EnvironmentType {
            display_name: create.display_name.unwrap_or_else(|| create.id.clone()),
            id: create.id,
            uuid: new_id(),
            created_at: stamp(now_us()),
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        sql::query(
            "INSERT INTO environment_types (org_id, id, owner, body) VALUES ($1, $2, $3, $4)",
        )
        .bind(org)
        .bind(&made.id)
        .bind(owner(&made))
        .bind(pack(&made)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One environment type.
    pub(crate) async fn environment_type_get(
        &self,
        org: &str,
        id: &str,
    ) -> Result<EnvironmentType, ObjectError> {
        let mut connection = self.reading().await?;
        find(&mut connection, org, id).await?.ok_or_else(missing)
    }

    /// Environment types by id.
    pub(crate) async fn environment_type_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<EnvironmentType>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM environment_types WHERE org_id = ");
        query.push_bind(org.to_owned());
        let key = |item: &EnvironmentType| vec![item.id.clone()];
        Ok(listed(&mut connection, query, &["id"], paging, key).await?)
    }

    /// Changes an environment type.
    pub(crate) async fn environment_type_update(
        &self,
        org: &str,
        id: &str,
        update: EnvironmentTypeUpdate,
    ) -> Result<EnvironmentType, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        if let Some(name) = update.display_name {
            found.display_name = name;
        }
        if let Some(extras) = update.windlass {
            found.windlass = Some(extras).filter(|extras| *extras != Default::default());
        }
        sql::query(
            "UPDATE environment_types SET owner = $3, body = $4 WHERE org_id = $1 AND id = $2",
        )
        .bind(org)
        .bind(id)
        .bind(owner(&found))
        .bind(pack(&found)?)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Removes an environment type that no environment has, with the rules that name it.
    pub(crate) async fn environment_type_delete(
        &self,
        org: &str,
        id: &str,
    ) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        let user: Option<(String, String)> = sql::query(
            "SELECT project_id, id FROM environments WHERE org_id = $1 AND env_type_id = $2 \
             ORDER BY project_id, id LIMIT 1",
        )
        .bind(org)
        .bind(id)
        .fetch_optional(&mut transaction)
        .await?;
        if let Some((project, environment)) = user {
            return Err(ObjectError::conflict(format!(
                "environment type is in use by app '{project}' env '{environment}'"
            )));
        }
        for sql in [
            "DELETE FROM module_rules WHERE org_id = $1 AND env_type_id = $2",
            "DELETE FROM runner_rules WHERE org_id = $1 AND env_type_id = $2",
            "DELETE FROM environment_types WHERE org_id = $1 AND id = $2",
        ] {
            sql::query(sql)
                .bind(org)
                .bind(id)
                .execute(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn owner(item: &EnvironmentType) -> &str {
    owner_column(
        item.windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("environment type not found")
}
