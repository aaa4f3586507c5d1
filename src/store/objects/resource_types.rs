//! Resource types.

use std::collections::BTreeSet;

use super::{
    Listed, ObjectError, Paging, listed, now_us, organization_known, owner_column, pack, stamp,
    unpack_optional,
};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{ResourceType, ResourceTypeCreate, ResourceTypeUpdate};

/// Finds a resource type.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<Option<ResourceType>, StoreError> {
    let body: Option<String> =
        sql::query("SELECT body FROM resource_types WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .fetch_optional(connection)
            .await?;
    unpack_optional(body)
}

/// The names in `wanted` that are no resource types, sorted.
pub(crate) async fn unknown(
    connection: &mut Connection,
    org: &str,
    wanted: &BTreeSet<String>,
) -> Result<Vec<String>, StoreError> {
    let known = names(connection, org).await?;
    Ok(wanted.difference(&known).cloned().collect())
}

async fn names(connection: &mut Connection, org: &str) -> Result<BTreeSet<String>, StoreError> {
    let known: Vec<String> = sql::query("SELECT id FROM resource_types WHERE org_id = $1")
        .bind(org)
        .fetch_all(connection)
        .await?;
    Ok(known.into_iter().collect())
}

impl Store {
    /// Makes a resource type.
    pub(crate) async fn resource_type_create(
        &self,
        org: &str,
        create: ResourceTypeCreate,
    ) -> Result<ResourceType, ObjectError> {
        let mut transaction = self.writing().await?;
        if !organization_known(&mut transaction, org).await? {
            return Err(ObjectError::Invalid {
                pointer: "",
                message: "organization not found".to_owned(),
            });
        }
        if find(&mut transaction, org, &create.id).await?.is_some() {
            return Err(ObjectError::conflict("resource type already exists"));
        }
        let made = ResourceType {
            id: create.id,
            description: create.description,
            output_schema: create.output_schema,
            is_developer_accessible: create.is_developer_accessible.unwrap_or(true),
            created_at: stamp(now_us()),
            built_in: false,
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        sql::query("INSERT INTO resource_types (org_id, id, owner, body) VALUES ($1, $2, $3, $4)")
            .bind(org)
            .bind(&made.id)
            .bind(owner(&made))
            .bind(pack(&made)?)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One resource type.
    pub(crate) async fn resource_type_get(
        &self,
        org: &str,
        id: &str,
    ) -> Result<ResourceType, ObjectError> {
        let mut connection = self.reading().await?;
        find(&mut connection, org, id).await?.ok_or_else(missing)
    }

    /// Resource types by id; an unknown organisation has none.
    pub(crate) async fn resource_type_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<ResourceType>, ObjectError> {
        let mut connection = self.reading().await?;
        let mut query = Builder::new("SELECT body FROM resource_types WHERE org_id = ");
        query.push_bind(org.to_owned());
        let key = |item: &ResourceType| vec![item.id.clone()];
        Ok(listed(&mut connection, query, &["id"], paging, key).await?)
    }

    /// Changes a resource type; an empty description removes it.
    pub(crate) async fn resource_type_update(
        &self,
        org: &str,
        id: &str,
        update: ResourceTypeUpdate,
    ) -> Result<ResourceType, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        if let Some(description) = update.description {
            found.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(schema) = update.output_schema {
            found.output_schema = schema;
        }
        if let Some(accessible) = update.is_developer_accessible {
            found.is_developer_accessible = accessible;
        }
        if let Some(extras) = update.windlass {
            found.windlass = Some(extras).filter(|extras| *extras != Default::default());
        }
        sql::query("UPDATE resource_types SET owner = $3, body = $4 WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .bind(owner(&found))
            .bind(pack(&found)?)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Removes a resource type that no module has.
    pub(crate) async fn resource_type_delete(
        &self,
        org: &str,
        id: &str,
    ) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        let user: Option<i64> =
            sql::query("SELECT 1 FROM modules WHERE org_id = $1 AND resource_type = $2 LIMIT 1")
                .bind(org)
                .bind(id)
                .fetch_optional(&mut transaction)
                .await?;
        if user.is_some() {
            return Err(ObjectError::conflict(
                "modules are still using this resource type",
            ));
        }
        sql::query("DELETE FROM resource_types WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn owner(item: &ResourceType) -> &str {
    owner_column(
        item.windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("resource type not found")
}
