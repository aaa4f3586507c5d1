//! Modules and their versions. A version is never changed and never removed.

use std::collections::BTreeSet;

use super::{
    Listed, ObjectError, Paging, listed, new_id, owner_column, pack, providers,
    require_listed_organization, require_organization, resource_types, unpack, unpack_optional,
};
use crate::store::deployments::resources;
use crate::store::sql::{self, Builder, Connection};
use crate::store::{Store, StoreError};
use crate::wire::objects::Module;

/// Finds a module in its current version.
pub(crate) async fn find(
    connection: &mut Connection,
    org: &str,
    id: &str,
) -> Result<Option<Module>, StoreError> {
    let body: Option<String> = sql::query(
        "SELECT v.body FROM modules m JOIN module_versions v \
         ON v.org_id = m.org_id AND v.version_id = m.version_id WHERE m.org_id = $1 AND m.id = $2",
    )
    .bind(org)
    .bind(id)
    .fetch_optional(connection)
    .await?;
    unpack_optional(body)
}

/// A query of the current versions of all modules, to be narrowed further.
pub(crate) fn current(org: &str) -> Builder<'static> {
    let mut query = Builder::new(
        "SELECT v.body AS body FROM modules m JOIN module_versions v \
         ON v.org_id = m.org_id AND v.version_id = m.version_id WHERE m.org_id = ",
    );
    query.push_bind(org.to_owned());
    query
}

/// What a module refers to and the organisation does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnknownReferences {
    /// Resource types, sorted.
    pub(crate) resource_types: Vec<String>,
    /// Providers as `TYPE.ID`, sorted.
    pub(crate) providers: Vec<String>,
}

impl UnknownReferences {
    /// v1's answer to the first of them.
    pub(crate) fn refusal(&self) -> Option<ObjectError> {
        if !self.resource_types.is_empty() {
            return Some(ObjectError::Conflict(self.types_text()));
        }
        self.providers.first().map(|provider| ObjectError::Invalid {
            pointer: "/provider_mapping",
            message: Self::provider_text(provider),
        })
    }

    /// v1's words for unknown resource types.
    pub(crate) fn types_text(&self) -> String {
        format!(
            "the following types referenced by the module do not exist as builtin or custom types: [{}]",
            self.resource_types.join(" ")
        )
    }

    /// v1's words for an unknown provider, given as `TYPE.ID`.
    pub(crate) fn provider_text(provider: &str) -> String {
        let (kind, id) = provider.split_once('.').unwrap_or((provider, ""));
        format!("invalid provider mapping: no provider exists with type {kind} and id {id}")
    }
}

async fn unknown_references(
    connection: &mut Connection,
    org: &str,
    types: &BTreeSet<String>,
    mapped: &BTreeSet<String>,
) -> Result<UnknownReferences, StoreError> {
    let known = providers::names(connection, org).await?;
    Ok(UnknownReferences {
        resource_types: resource_types::unknown(connection, org, types).await?,
        providers: mapped.difference(&known).cloned().collect(),
    })
}

impl Store {
    /// What of these the organisation does not have.
    pub(crate) async fn module_unknown_references(
        &self,
        org: &str,
        types: &BTreeSet<String>,
        mapped: &BTreeSet<String>,
    ) -> Result<UnknownReferences, ObjectError> {
        let mut connection = self.reading().await?;
        Ok(unknown_references(&mut connection, org, types, mapped).await?)
    }

    /// Stores a new module in its first version. `types` are the resource types that it names.
    pub(crate) async fn module_create(
        &self,
        module: Module,
        types: &BTreeSet<String>,
    ) -> Result<Module, ObjectError> {
        let mut transaction = self.writing().await?;
        let org = module.org_id.clone();
        let mapped: BTreeSet<String> = module.provider_mapping.values().cloned().collect();
        let unknown = unknown_references(&mut transaction, &org, types, &mapped).await?;
        if let Some(refusal) = unknown.refusal() {
            return Err(refusal);
        }
        require_organization(&mut transaction, &org).await?;
        if find(&mut transaction, &org, &module.id).await?.is_some() {
            return Err(ObjectError::conflict(format!(
                "module definition with id {} already exists",
                module.id
            )));
        }
        let uuid = new_id();
        sql::query(
            "INSERT INTO modules (org_id, id, uuid, resource_type, version_id, owner) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&org)
        .bind(&module.id)
        .bind(&uuid)
        .bind(&module.resource_type)
        .bind(&module.version_id)
        .bind(owner(&module))
        .execute(&mut transaction)
        .await?;
        insert_version(&mut transaction, &uuid, 1, &module).await?;
        transaction.commit().await?;
        Ok(module)
    }

    /// One module in its current version.
    pub(crate) async fn module_get(&self, org: &str, id: &str) -> Result<Module, ObjectError> {
        let mut connection = self.reading().await?;
        find(&mut connection, org, id).await?.ok_or_else(missing)
    }

    /// Modules by id, in their current versions.
    pub(crate) async fn module_list(
        &self,
        org: &str,
        resource_type: Option<&str>,
        paging: &Paging,
    ) -> Result<Listed<Module>, ObjectError> {
        let mut connection = self.reading().await?;
        require_listed_organization(&mut connection, org).await?;
        let mut query = current(org);
        if let Some(kind) = resource_type {
            query
                .push(" AND m.resource_type = ")
                .push_bind(kind.to_owned());
        }
        let key = |item: &Module| vec![item.id.clone()];
        Ok(listed(&mut connection, query, &["m.id"], paging, key).await?)
    }

    /// Replaces what may change without a new version (the owner), or adds `next` as the new current version.
    /// Returns `None` when the current version is no longer `expected`: the caller begins again.
    pub(crate) async fn module_update(
        &self,
        expected: &str,
        next: Module,
        types: &BTreeSet<String>,
        mapped: &BTreeSet<String>,
    ) -> Result<Option<Module>, ObjectError> {
        let mut transaction = self.writing().await?;
        let org = next.org_id.clone();
        let row: Option<(String, String)> =
            sql::query("SELECT uuid, version_id FROM modules WHERE org_id = $1 AND id = $2")
                .bind(&org)
                .bind(&next.id)
                .fetch_optional(&mut transaction)
                .await?;
        let (uuid, current) = row.ok_or_else(missing)?;
        if current != expected {
            return Ok(None);
        }
        let unknown = unknown_references(&mut transaction, &org, types, mapped).await?;
        if let Some(refusal) = unknown.refusal() {
            return Err(refusal);
        }
        if next.version_id == expected {
            sql::query(
                "UPDATE module_versions SET body = $3 WHERE org_id = $1 AND version_id = $2",
            )
            .bind(&org)
            .bind(expected)
            .bind(pack(&next)?)
            .execute(&mut transaction)
            .await?;
        } else {
            let last: i64 = sql::query(
                "SELECT COALESCE(MAX(sequence), 0) FROM module_versions WHERE module_uuid = $1",
            )
            .bind(&uuid)
            .fetch_one(&mut transaction)
            .await?;
            insert_version(&mut transaction, &uuid, last + 1, &next).await?;
        }
        sql::query("UPDATE modules SET version_id = $3, owner = $4 WHERE org_id = $1 AND id = $2")
            .bind(&org)
            .bind(&next.id)
            .bind(&next.version_id)
            .bind(owner(&next))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(next))
    }

    /// Removes a module that no environment has, with its rules. Its versions stay.
    pub(crate) async fn module_delete(&self, org: &str, id: &str) -> Result<(), ObjectError> {
        let mut transaction = self.writing().await?;
        find(&mut transaction, org, id).await?.ok_or_else(missing)?;
        let users = resources::users_of(&mut transaction, org, id, None).await?;
        if !users.is_empty() {
            let projects: Vec<String> = users.into_keys().collect();
            return Err(ObjectError::conflict(format!(
                "module is used by one or more projects: {}",
                projects.join(", ")
            )));
        }
        sql::query("DELETE FROM modules WHERE org_id = $1 AND id = $2")
            .bind(org)
            .bind(id)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Versions of a module, newest first; the key of an item is its number.
    pub(crate) async fn module_version_list(
        &self,
        org: &str,
        id: &str,
        paging: &Paging,
    ) -> Result<Listed<Module>, ObjectError> {
        let mut connection = self.reading().await?;
        let uuid: Option<String> =
            sql::query("SELECT uuid FROM modules WHERE org_id = $1 AND id = $2")
                .bind(org)
                .bind(id)
                .fetch_optional(&mut connection)
                .await?;
        let before = paging
            .after
            .as_ref()
            .and_then(|key| key.first()?.parse::<i64>().ok())
            .unwrap_or(i64::MAX);
        let rows: Vec<(i64, String)> = sql::query(
            "SELECT sequence, body FROM module_versions WHERE module_uuid = $1 AND sequence < $2 \
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(uuid.ok_or_else(missing)?)
        .bind(before)
        .bind(i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX))
        .fetch_all(&mut connection)
        .await?;
        let more = rows.len() > paging.limit;
        let mut next = None;
        let mut items = Vec::new();
        for (sequence, body) in rows.iter().take(paging.limit) {
            items.push(unpack(body)?);
            next = Some(vec![sequence.to_string()]);
        }
        Ok(Listed {
            items,
            next: next.filter(|_| more),
        })
    }

    /// One version of a module that is still in the catalogue.
    pub(crate) async fn module_version_get(
        &self,
        org: &str,
        id: &str,
        version: &str,
    ) -> Result<Module, ObjectError> {
        let mut connection = self.reading().await?;
        let body: Option<String> = sql::query(
            "SELECT v.body FROM modules m JOIN module_versions v ON v.module_uuid = m.uuid \
             WHERE m.org_id = $1 AND m.id = $2 AND v.version_id = $3",
        )
        .bind(org)
        .bind(id)
        .bind(version)
        .fetch_optional(&mut connection)
        .await?;
        unpack_optional(body)?.ok_or_else(|| ObjectError::missing("definition version not found"))
    }
}

/// Adds a version and makes its provider mapping the current one.
async fn insert_version(
    connection: &mut Connection,
    uuid: &str,
    sequence: i64,
    module: &Module,
) -> Result<(), StoreError> {
    sql::query(
        "INSERT INTO module_versions (org_id, module_id, module_uuid, version_id, sequence, body) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&module.org_id)
    .bind(&module.id)
    .bind(uuid)
    .bind(&module.version_id)
    .bind(sequence)
    .bind(pack(module)?)
    .execute(&mut *connection)
    .await?;
    sql::query("DELETE FROM module_providers WHERE org_id = $1 AND module_id = $2")
        .bind(&module.org_id)
        .bind(&module.id)
        .execute(&mut *connection)
        .await?;
    let mapped: BTreeSet<&String> = module.provider_mapping.values().collect();
    for provider in mapped {
        sql::query(
            "INSERT INTO module_providers (org_id, module_id, provider) VALUES ($1, $2, $3)",
        )
        .bind(&module.org_id)
        .bind(&module.id)
        .bind(provider)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn owner(module: &Module) -> &str {
    owner_column(
        module
            .windlass
            .as_ref()
            .and_then(|extras| extras.owner.as_ref()),
    )
}

fn missing() -> ObjectError {
    ObjectError::missing("module not found")
}
