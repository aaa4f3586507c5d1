//! What the compiler needs of the catalogue for one environment, read at one instant.

use super::{ObjectError, Paging, environments, listed, module_rules, modules};
use crate::store::sql::{self, Builder};
use crate::store::{Store, StoreError};
use crate::wire::objects::{Environment, Module, ModuleRule, Provider, ResourceType};

/// The catalogue as one environment sees it. Which rule wins is decided by `catalog`.
#[derive(Debug, Clone)]
pub(crate) struct CatalogueSlice {
    /// The environment, as of the same instant.
    pub(crate) environment: Environment,
    /// All resource types, by id.
    pub(crate) resource_types: Vec<ResourceType>,
    /// Rules that apply to the environment, winners and losers.
    pub(crate) rules: Vec<ModuleRule>,
    /// All modules in their current versions, by id.
    pub(crate) modules: Vec<Module>,
    /// All providers, with their configurations, by type and id.
    pub(crate) providers: Vec<Provider>,
}

impl Store {
    /// Reads the catalogue for an environment.
    pub(crate) async fn catalogue_for(
        &self,
        org: &str,
        project: &str,
        environment: &str,
    ) -> Result<CatalogueSlice, ObjectError> {
        let mut snapshot = self.reading().await?;
        let environment = environments::find(&mut snapshot, org, project, environment)
            .await?
            .ok_or_else(|| ObjectError::missing("environment not found"))?;
        let rules = module_rules::applicable(
            &mut snapshot,
            org,
            project,
            &environment.id,
            &environment.env_type_id,
        )
        .await?;
        let mut types = Builder::new("SELECT body FROM resource_types WHERE org_id = ");
        types.push_bind(org.to_owned());
        let resource_types = listed(
            &mut snapshot,
            types,
            &["id"],
            &Paging::ALL,
            |_: &ResourceType| Vec::new(),
        )
        .await?
        .items;
        let modules = listed(
            &mut snapshot,
            modules::current(org),
            &["m.id"],
            &Paging::ALL,
            |_: &Module| Vec::new(),
        )
        .await?
        .items;
        let rows: Vec<(String, Vec<u8>)> = sql::query(
            "SELECT body, sealed FROM providers WHERE org_id = $1 ORDER BY provider_type, id",
        )
        .bind(org)
        .fetch_all(&mut snapshot)
        .await?;
        let providers = rows
            .iter()
            .map(|(body, sealed)| self.provider_read(org, body, sealed))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(CatalogueSlice {
            environment,
            resource_types,
            rules,
            modules,
            providers,
        })
    }
}
