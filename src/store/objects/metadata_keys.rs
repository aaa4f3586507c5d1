//! Metadata keys: names that modules may publish with their resources. Declarative only.

use super::{
    Listed, ObjectError, Paging, listed, now_us, organization_known, pack,
    require_listed_organization, stamp, unpack_optional,
};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{MetadataKey, MetadataKeyCreate, MetadataKeyUpdate};

async fn find(
    connection: &mut Connection,
    org: &str,
    name: &str,
) -> Result<Option<MetadataKey>, StoreError> {
    let body: Option<String> =
        sql::query("SELECT body FROM metadata_keys WHERE org_id = $1 AND name = $2")
            .bind(org)
            .bind(name)
            .fetch_optional(connection)
            .await?;
    unpack_optional(body)
}

impl Store {
    /// Declares a key.
    pub(crate) async fn metadata_key_create(
        &self,
        org: &str,
        create: MetadataKeyCreate,
    ) -> Result<MetadataKey, ObjectError> {
        let mut transaction = self.writing().await?;
        if !organization_known(&mut transaction, org).await? {
            return Err(ObjectError::missing("organization not found"));
        }
        if find(&mut transaction, org, &create.name).await?.is_some() {
            return Err(ObjectError::conflict(format!(
                "metadata_keys with name {} already exists",
                create.name
            )));
        }
        let made = MetadataKey {
            name: create.name,
            description: create.description,
            schema: create.schema,
            created_at: stamp(now_us()),
        };
        sql::query("INSERT INTO metadata_keys (org_id, name, body) VALUES ($1, $2, $3)")
            .bind(org)
            .bind(&made.name)
            .bind(pack(&made)?)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One key.
    pub(crate) async fn metadata_key_get(
        &self,
        org: &str,
        name: &str,
    ) -> Result<MetadataKey, ObjectError> {
        let mut connection = self.reading().await?;
        find(&mut connection, org, name).await?.ok_or_else(missing)
    }

    /// Keys by name.
    pub(crate) async fn metadata_key_list(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<MetadataKey>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM metadata_keys WHERE org_id = ");
        query.push_bind(org.to_owned());
        let key = |item: &MetadataKey| vec![item.name.clone()];
        Ok(listed(&mut connection, query, &["name"], paging, key).await?)
    }

    /// Changes a key: description and single fields of the schema.
    pub(crate) async fn metadata_key_update(
        &self,
        org: &str,
        name: &str,
        update: MetadataKeyUpdate,
    ) -> Result<MetadataKey, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = find(&mut transaction, org, name)
            .await?
            .ok_or_else(missing)?;
        if let Some(description) = update.description {
            found.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(schema) = update.schema {
            found.schema.format = schema.format.or(found.schema.format);
            found.schema.pattern = schema.pattern.or(found.schema.pattern);
        }
        sql::query("UPDATE metadata_keys SET body = $3 WHERE org_id = $1 AND name = $2")
            .bind(org)
            .bind(name)
            .bind(pack(&found)?)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Removes a key, whether it is there or not.
    pub(crate) async fn metadata_key_delete(
        &self,
        org: &str,
        name: &str,
    ) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        sql::query("DELETE FROM metadata_keys WHERE org_id = $1 AND name = $2")
            .bind(org)
            .bind(name)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn missing() -> ObjectError {
    ObjectError::missing("metadata key not found")
}
