//! Which provider each module gets. A provider whose configuration names outputs of resources becomes
//! one variant per set of resources it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::collect::{Problems, error, module_places};
use super::resolve::{Field, Pass, Resolver, Target, apply, strings};
use super::{Previous, ProviderUse, ResourceGraph, Uses};
use crate::catalog::{Catalogue, Module, Provider};
use crate::model::diag::{Document, nearest, pointer};
use crate::model::{Place, hex};
use crate::placeholder::{Part, Placeholder, Site, split};

/// Copies the providers and types that nodes need into the graph. Leaving nodes may use what only the
/// previous deployment knew.
pub(super) fn define(
    graph: &mut ResourceGraph,
    catalogue: &Catalogue,
    previous: Option<Previous<'_>>,
) {
    let mut providers = BTreeMap::new();
    let mut types = BTreeMap::new();
    for node in graph.graph.node_weights() {
        if let Some(found) = catalogue.resource_type(&node.key.type_name)
            && !types.contains_key(&node.key.type_name)
        {
            types.insert(node.key.type_name.clone(), found.clone());
        }
        for full_id in node.module.iter().flat_map(|m| m.provider_mapping.values()) {
            if providers.contains_key(full_id) {
                continue;
            }
            let earlier = previous
                .filter(|_| node.leaving)
                .and_then(|previous| previous.graph.provider(full_id));
            if let Some(found) = catalogue.provider(full_id).or(earlier) {
                providers.insert(full_id.clone(), Arc::clone(found));
            }
        }
    }
    graph.providers = providers;
    graph.types = types;
}

/// Gives each node its variants, adds the edges they need, and tells what is missing.
pub(super) fn assign(
    graph: &mut ResourceGraph,
    known_outputs: &dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
    problems: &mut Problems,
) {
    let placeholders: BTreeMap<String, Vec<Placeholder<'_>>> = graph
        .providers
        .iter()
        .map(|(full_id, provider)| (full_id.clone(), relevant(provider)))
        .collect();
    let mut pass = Pass {
        graph,
        known_outputs,
        edges: Vec::new(),
        found: Vec::new(),
    };
    let mut uses: Vec<(NodeIndex, BTreeMap<String, ProviderUse>)> = Vec::new();
    let mut fixed: BTreeMap<&str, String> = BTreeMap::new();
    for index in graph.post_order() {
        let node = graph.at(index);
        let Some(module) = &node.module else { continue };
        if module.provider_mapping.is_empty() {
            continue;
        }
        let mut of_node = BTreeMap::new();
        for (local, full_id) in &module.provider_mapping {
            let Some(provider) = graph.providers.get(full_id) else {
                pass.found
                    .push(unknown(graph, index, module, local, full_id));
                continue;
            };
            let placeholders = &placeholders[full_id];
            let variant = match fixed.get(full_id.as_str()) {
                Some(variant) => variant.clone(),
                None => variant(graph, index, provider, placeholders),
            };
            if placeholders.is_empty() {
                fixed.insert(full_id, variant.clone());
            }
            let places = |below: &str| {
                let mut places = module_places(graph, index, "");
                places.truncate(1);
                places.push(Place::at(
                    Document::Provider {
                        id: full_id.clone(),
                    },
                    format!("/configuration{below}"),
                ));
                places
            };
            let field = Field {
                node: index,
                site: Site::Provider,
                name: full_id,
                places: &places,
            };
            for (key, value) in &provider.configuration {
                let places = |below: &str| (field.places)(&format!("{}{below}", pointer("", key)));
                let field = Field {
                    places: &places,
                    ..field
                };
                pass.value(&field, value, |_| true, Uses::PROVIDER, true);
            }
            of_node.insert(
                local.clone(),
                ProviderUse {
                    full_id: full_id.clone(),
                    variant,
                },
            );
        }
        uses.push((index, of_node));
    }
    let (edges, found) = (pass.edges, pass.found);
    for (index, of_node) in uses {
        graph.at_mut(index).providers = of_node;
    }
    apply(graph, edges, found, problems);
}

/// The placeholders that make variants, by text, each once.
fn relevant(provider: &Provider) -> Vec<Placeholder<'_>> {
    let mut found = BTreeMap::new();
    for value in provider.configuration.values() {
        collect(value, &mut found);
    }
    found.into_values().collect()
}

fn collect<'a>(value: &'a Value, found: &mut BTreeMap<String, Placeholder<'a>>) {
    strings(value, &mut Vec::new(), &mut |text, _| {
        for part in split(text).unwrap_or_default() {
            if let Part::Placeholder(written, placeholder) = part
                && !matches!(
                    placeholder,
                    Placeholder::Context(_) | Placeholder::Variable(_)
                )
            {
                found.insert(format!("${{{written}}}"), placeholder);
            }
        }
    });
}

/// v1's hash over a provider and what its placeholders mean for a node. It reaches state: the first
/// eight digits are part of the provider's name.
fn variant(
    graph: &ResourceGraph,
    index: NodeIndex,
    provider: &Provider,
    placeholders: &[Placeholder<'_>],
) -> String {
    let resolver = Resolver::new(graph);
    let mut hash = Sha256::new();
    hash.update(provider.provider_type.as_bytes());
    hash.update(provider.id.as_bytes());
    let mut add = |text: &str| {
        hash.update(text.len().to_string().as_bytes());
        hash.update(text.as_bytes());
    };
    for placeholder in placeholders {
        // What cannot be resolved is an error anyway.
        if let Ok(Target::Output(to, _)) = resolver.resolve(index, Site::Provider, placeholder) {
            add(&format!("${{{placeholder}}}"));
            add(&graph.at(to).key.to_string());
        }
    }
    hex(&hash.finalize())
}

fn unknown(
    graph: &ResourceGraph,
    index: NodeIndex,
    module: &Module,
    local: &str,
    full_id: &str,
) -> crate::model::Diagnostic {
    let known = graph.providers.keys().map(String::as_str);
    let advice = match nearest(full_id, known).first() {
        Some(near) => format!("Did you mean `{near}`?"),
        None => "Create it, or change the module.".into(),
    };
    error(
        "Unknown provider",
        format!(
            "The module `{}` takes its provider `{local}` from `{full_id}`, which does not exist. {advice}",
            module.id
        ),
        module_places(graph, index, &pointer("/provider_mapping", local)),
        format!(
            "unknown provider '{full_id}' used by module definition {} for {}",
            module.full_id(),
            graph.at(index).key
        ),
    )
}
