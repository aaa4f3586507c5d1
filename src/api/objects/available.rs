//! What an environment offers: the resource types with the rules that would win in it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::store::objects::catalogue::CatalogueSlice;
use crate::store::objects::{Listed, Paging};
use crate::wire::Page;
use crate::wire::objects::{AvailableOption, AvailableResourceType, ModuleRule};

/// Lists the resource types that an environment offers.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs/{env}/available-resource-types",
    params(Paged, ("type_id" = Option<String>, Query, description = "Only this type"), ("include_non_developer_accessible" = Option<bool>, Query, description = "Also types that are not for developers")),
    responses(
        (status = 200, body = Page<AvailableResourceType>, description = "Types"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<Page<AvailableResourceType>>, Refusal> {
    let paging = params.paging()?;
    let hidden_too = params.flag("include_non_developer_accessible")?;
    let slice = app.store.catalogue_for(&org, &project, &env).await?;
    let mut items = available(slice);
    items.retain(|(accessible, item)| {
        (hidden_too || *accessible) && params.one("type_id").is_none_or(|wanted| wanted == item.id)
    });
    Ok(page(cut(items, &paging), |(_, item)| item))
}

/// The types with at least one applicable rule, by id, and whether developers may see them.
fn available(slice: CatalogueSlice) -> Vec<(bool, AvailableResourceType)> {
    let mut winners: BTreeMap<(String, String, String), ModuleRule> = BTreeMap::new();
    for rule in slice.rules {
        let key = (
            rule.resource_type.clone(),
            rule.resource_class.clone(),
            rule.resource_id.clone().unwrap_or_default(),
        );
        let stronger = winners
            .get(&key)
            .is_none_or(|there| weight(&rule) > weight(there));
        if stronger {
            winners.insert(key, rule);
        }
    }
    let mut options: BTreeMap<String, Vec<AvailableOption>> = BTreeMap::new();
    for ((kind, class, id), rule) in winners {
        let Some(module) = slice
            .modules
            .iter()
            .find(|module| module.id == rule.module_id)
        else {
            continue;
        };
        options.entry(kind).or_default().push(AvailableOption {
            resource_class: class,
            resource_id: Some(id).filter(|id| !id.is_empty()),
            rule_id: rule.id,
            module_id: rule.module_id,
            module_params: module.module_params.clone(),
        });
    }
    slice
        .resource_types
        .into_iter()
        .filter_map(|kind| {
            let options = options.remove(&kind.id)?;
            let item = AvailableResourceType {
                id: kind.id,
                description: kind.description,
                output_schema: kind.output_schema,
                options,
            };
            Some((kind.is_developer_accessible, item))
        })
        .collect()
}

/// How specific a rule is: environment before project before environment type.
fn weight(rule: &ModuleRule) -> u8 {
    u8::from(rule.env_id.is_some()) * 4
        + u8::from(rule.project_id.is_some()) * 2
        + u8::from(rule.env_type_id.is_some())
}

/// Cuts a page out of a whole list.
fn cut(
    mut items: Vec<(bool, AvailableResourceType)>,
    paging: &Paging,
) -> Listed<(bool, AvailableResourceType)> {
    if let Some(after) = paging.after.as_ref().and_then(|key| key.first()) {
        items.retain(|(_, item)| item.id > *after);
    }
    let more = items.len() > paging.limit;
    items.truncate(paging.limit);
    Listed {
        next: items
            .last()
            .filter(|_| more)
            .map(|(_, item)| vec![item.id.clone()]),
        items,
    }
}
