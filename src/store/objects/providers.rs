//! Providers. The configuration lies sealed beside the body and is never part of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Listed, ObjectError, Paging, listed, now_us, owner_column, pack, require_listed_organization,
    require_organization, stamp, unpack,
};
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::{Provider, ProviderCreate, ProviderUpdate};

/// What the sealed configuration of a provider is bound to.
pub(in crate::store) fn place(org: &str, provider_type: &str, id: &str) -> String {
    format!("provider/{org}/{provider_type}/{id}")
}

/// `TYPE.ID` of all providers.
pub(crate) async fn names(
    connection: &mut Connection,
    org: &str,
) -> Result<BTreeSet<String>, StoreError> {
    let known: Vec<(String, String)> =
        sql::query("SELECT provider_type, id FROM providers WHERE org_id = $1")
            .bind(org)
            .fetch_all(connection)
            .await?;
    Ok(known
        .into_iter()
        .map(|(kind, id)| format!("{kind}.{id}"))
        .collect())
}

impl Store {
    /// Makes a provider.
    pub(crate) async fn provider_create(
        &self,
        org: &str,
        create: ProviderCreate,
    ) -> Result<Provider, ObjectError> {
        let mut transaction = self.writing().await?;
        require_organization(&mut transaction, org).await?;
        let made = Provider {
            org_id: org.to_owned(),
            provider_type: create.provider_type,
            id: create.id,
            description: create.description,
            source: create.source,
            version_constraint: Some(create.version_constraint),
            configuration: Some(create.configuration.unwrap_or_default()),
            created_at: stamp(now_us()),
            windlass: create
                .windlass
                .filter(|extras| *extras != Default::default()),
        };
        let there = self
            .provider_find(&mut transaction, org, &made.provider_type, &made.id)
            .await?;
        if there.is_some() {
            return Err(ObjectError::conflict("provider already exists"));
        }
        let (body, sealed) = self.provider_columns(&made)?;
        sql::query(
            "INSERT INTO providers (org_id, provider_type, id, owner, body, sealed) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(org)
        .bind(&made.provider_type)
        .bind(&made.id)
        .bind(owner(&made))
        .bind(body)
        .bind(sealed)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// One provider, with its configuration.
    pub(crate) async fn provider_get(
        &self,
        org: &str,
        provider_type: &str,
        id: &str,
    ) -> Result<Provider, ObjectError> {
        let mut connection = self.reading().await?;
        self.provider_find(&mut connection, org, provider_type, id)
            .await?
            .ok_or_else(missing)
    }

    /// Providers by type and id, in byte order, without version constraint and configuration.
    pub(crate) async fn provider_list(
        &self,
        org: &str,
        provider_type: Option<&str>,
        paging: &Paging,
    ) -> Result<Listed<Provider>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = Builder::new("SELECT body FROM providers WHERE org_id = ");
        query.push_bind(org.to_owned());
        if let Some(kind) = provider_type {
            query
                .push(" AND provider_type = ")
                .push_bind(kind.to_owned());
        }
        let key = |item: &Provider| vec![item.provider_type.clone(), item.id.clone()];
        let mut found: Listed<Provider> = listed(
            &mut connection,
            query,
            &["provider_type", "id"],
            paging,
            key,
        )
        .await?;
        for item in &mut found.items {
            item.version_constraint = None;
        }
        Ok(found)
    }

    /// Changes a provider; an empty description removes it, a configuration replaces the whole.
    pub(crate) async fn provider_update(
        &self,
        org: &str,
        provider_type: &str,
        id: &str,
        update: ProviderUpdate,
    ) -> Result<Provider, ObjectError> {
        let mut transaction = self.writing().await?;
        let mut found = self
            .provider_find(&mut transaction, org, provider_type, id)
            .await?
            .ok_or_else(missing)?;
        if let Some(description) = update.description {
            found.description = Some(description).filter(|text| !text.is_empty());
        }
        if let Some(source) = update.source {
            found.source = source;
        }
        if let Some(constraint) = update.version_constraint {
            found.version_constraint = Some(constraint);
        }
        if let Some(configuration) = update.configuration {
            found.configuration = Some(configuration);
        }
        if let Some(extras) = update.windlass {
            found.windlass = Some(extras).filter(|extras| *extras != Default::default());
        }
        let (body, sealed) = self.provider_columns(&found)?;
        sql::query(
            "UPDATE providers SET owner = $4, body = $5, sealed = $6 \
             WHERE org_id = $1 AND provider_type = $2 AND id = $3",
        )
        .bind(org)
        .bind(provider_type)
        .bind(id)
        .bind(owner(&found))
        .bind(body)
        .bind(sealed)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Removes a provider that the current version of no module maps to.
    pub(crate) async fn provider_delete(
        &self,
        org: &str,
        provider_type: &str,
        id: &str,
    ) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        self.provider_find(&mut transaction, org, provider_type, id)
            .await?
            .ok_or_else(missing)?;
        let users: Vec<String> = sql::query(
            "SELECT module_id FROM module_providers WHERE org_id = $1 AND provider = $2 \
             ORDER BY module_id LIMIT 5",
        )
        .bind(org)
        .bind(format!("{provider_type}.{id}"))
        .fetch_all(&mut transaction)
        .await?;
        if !users.is_empty() {
            return Err(ObjectError::conflict(format!(
                "module versions are still using this provider: {}",
                users.join(", ")
            )));
        }
        sql::query("DELETE FROM providers WHERE org_id = $1 AND provider_type = $2 AND id = $3")
            .bind(org)
            .bind(provider_type)
            .bind(id)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Finds a provider and opens its configuration.
    pub(crate) async fn provider_find(
        &self,
        connection: &mut Connection,
        org: &str,
        provider_type: &str,
        id: &str,
    ) -> Result<Option<Provider>, StoreError> {
        let row: Option<(String, Vec<u8>)> = sql::query(
            "SELECT body, sealed FROM providers \
             WHERE org_id = $1 AND provider_type = $2 AND id = $3",
        )
        .bind(org)
        .bind(provider_type)
        .bind(id)
        .fetch_optional(connection)
        .await?;
        row.map(|(body, sealed)| self.provider_read(org, &body, &sealed))
            .transpose()
    }

    /// A provider from its columns.
    pub(crate) fn provider_read(
        &self,
        org: &str,
        body: &str,
        sealed: &[u8],
    ) -> Result<Provider, StoreError> {
        let mut provider: Provider = unpack(body)?;
        let place = place(org, &provider.provider_type, &provider.id);
        let configuration: Map<String, Value> = self.unseal_json(&place, sealed)?;
        provider.configuration = Some(configuration);
        Ok(provider)
    }

    /// Body and sealed configuration of a provider.
    fn provider_columns(&self, provider: &Provider) -> Result<(String, Vec<u8>), StoreError> {
        let place = place(&provider.org_id, &provider.provider_type, &provider.id);
        let configuration = provider.configuration.clone().unwrap_or_default();
        let sealed = self.seal_json(&place, &configuration)?;
        let body = pack(&Provider {
            configuration: None,
            ..provider.clone()
        })?;
        Ok((body, sealed))
    }
}

fn owner(item: &Provider) -> &str {
    owner_column(
        item.windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("provider not found")
}
