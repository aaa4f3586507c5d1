//! The stored form of a graph: one JSON document, stable and versioned, with the modules, providers and
//! types that its nodes need, each once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Declared, Edge, Node, ProviderUse, ResourceGraph, Uses};
use crate::catalog::{Module, Provider, ResourceType, Why};
use crate::model::{Context, ResourceKey};
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef as _;

/// The version written; this one and those before are read.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    context: Context,
    nodes: Vec<StoredNode>,
    shared: BTreeMap<String, ResourceKey>,
    modules: BTreeMap<String, Module>,
    providers: BTreeMap<String, Provider>,
    types: BTreeMap<String, ResourceType>,
}

#[derive(Serialize, Deserialize)]
struct StoredNode {
    key: ResourceKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params_of: Option<ResourceKey>,
    #[serde(default, skip_serializing_if = "is_zero")]
    params_from: usize,
    declared: Vec<StoredDeclared>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    providers: BTreeMap<String, StoredUse>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    edges: BTreeMap<String, StoredEdge>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredDeclared {
    Workload { says_variables: bool },
    Shared(String),
    Resource(ResourceKey, String),
    Dependency(ResourceKey, String),
    Coprovisioned(ResourceKey, usize),
    Earlier,
}

#[derive(Serialize, Deserialize)]
struct StoredUse {
    id: String,
    variant: String,
}

#[derive(Serialize, Deserialize)]
struct StoredEdge {
    to: ResourceKey,
    uses: u8,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Serialize for ResourceGraph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut modules = BTreeMap::new();
        let key = |index: NodeIndex| self.at(index).key.clone();
        let nodes = self
            .sorted()
            .iter()
            .map(|&index| {
                let node = self.at(index);
                if let Some(module) = &node.module {
                    modules.insert(module.full_id(), Module::clone(module));
                }
                StoredNode {
                    key: node.key.clone(),
                    params: node.params.clone(),
                    params_of: node.params_of.map(key),
                    params_from: node.params_from,
                    declared: node
                        .declared
                        .iter()
                        .map(|declared| match declared {
                            Declared::Workload { says_variables } => StoredDeclared::Workload {
                                says_variables: *says_variables,
                            },
                            Declared::Shared(alias) => StoredDeclared::Shared(alias.clone()),
                            Declared::Resource(by, alias) => {
                                StoredDeclared::Resource(key(*by), alias.clone())
                            }
                            Declared::Dependency(by, alias) => {
                                StoredDeclared::Dependency(key(*by), alias.clone())
                            }
                            Declared::Coprovisioned(by, position) => {
                                StoredDeclared::Coprovisioned(key(*by), *position)
                            }
                            Declared::Earlier => StoredDeclared::Earlier,
                        })
                        .collect(),
                    module: node.module.as_ref().map(|module| module.full_id()),
                    why: node.why.as_deref().cloned(),
                    providers: node
                        .providers
                        .iter()
                        .map(|(local, used)| {
                            let used = StoredUse {
                                id: used.full_id.clone(),
                                variant: used.variant.clone(),
                            };
                            (local.clone(), used)
                        })
                        .collect(),
                    leaving: node.leaving,
                    edges: self
                        .graph
                        .edges(index)
                        .map(|edge| {
                            let stored = StoredEdge {
                                to: key(edge.target()),
                                uses: edge.weight().uses.0,
                            };
                            (edge.weight().alias.clone(), stored)
                        })
                        .collect(),
                }
            })
            .collect();
        Stored {
            version: VERSION,
            context: self.context.clone(),
            nodes,
            shared: self
                .shared
                .iter()
                .map(|(alias, index)| (alias.clone(), key(*index)))
                .collect(),
            modules,
            providers: self
                .providers
                .iter()
                .map(|(id, provider)| (id.clone(), Provider::clone(provider)))
                .collect(),
            types: self.types.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ResourceGraph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        restore(stored).map_err(serde::de::Error::custom)
    }
}

fn restore(stored: Stored) -> Result<ResourceGraph, String> {
    if stored.version == 0 || stored.version > VERSION {
        return Err(format!(
            "the graph has version {}, and this program reads versions up to {VERSION}",
            stored.version
        ));
    }
    let mut graph = ResourceGraph::empty(stored.context);
    graph.providers = stored
        .providers
        .into_iter()
        .map(|(id, provider)| (id, Arc::new(provider)))
        .collect();
    let modules: BTreeMap<String, Arc<Module>> = stored
        .modules
        .into_iter()
        .map(|(id, module)| (id, Arc::new(module)))
        .collect();
    graph.types = stored.types;
    for node in &stored.nodes {
        graph.add(Node::new(node.key.clone(), None, Declared::Earlier));
    }
    let index: HashMap<ResourceKey, NodeIndex> = graph.index.clone();
    let find = |key: &ResourceKey| {
        index
            .get(key)
            .copied()
            .ok_or_else(|| format!("the graph has no node `{key}`, which it refers to"))
    };
    for node in stored.nodes {
        let at = find(&node.key)?;
        for (alias, edge) in node.edges {
            let (to, uses) = (find(&edge.to)?, Uses(edge.uses));
            if uses.has(Uses::DECLARED) {
                graph.connect(at, to, alias);
                graph.depend(at, to, uses);
            } else {
                let edge = graph.graph.add_edge(at, to, Edge { alias, uses });
                graph.between.entry((at, to)).or_insert(edge);
            }
        }
        let module = match &node.module {
            None => None,
            Some(id) => Some(Arc::clone(modules.get(id).ok_or_else(|| {
                format!("the graph has no module `{id}`, which it refers to")
            })?)),
        };
        let declared = node
            .declared
            .into_iter()
            .map(|declared| {
                Ok(match declared {
                    StoredDeclared::Workload { says_variables } => {
                        Declared::Workload { says_variables }
                    }
                    StoredDeclared::Shared(alias) => Declared::Shared(alias),
                    StoredDeclared::Resource(by, alias) => Declared::Resource(find(&by)?, alias),
                    StoredDeclared::Dependency(by, alias) => {
                        Declared::Dependency(find(&by)?, alias)
                    }
                    StoredDeclared::Coprovisioned(by, position) => {
                        Declared::Coprovisioned(find(&by)?, position)
                    }
                    StoredDeclared::Earlier => Declared::Earlier,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let params_of = node.params_of.as_ref().map(find).transpose()?;
        *graph.at_mut(at) = Node {
            key: node.key,
            params: node.params,
            params_of,
            declared,
            params_from: node.params_from,
            module,
            why: node.why.map(Arc::new),
            providers: node
                .providers
                .into_iter()
                .map(|(local, used)| {
                    let used = ProviderUse {
                        full_id: used.id,
                        variant: used.variant,
                    };
                    (local, used)
                })
                .collect(),
            leaving: node.leaving,
        };
    }
    for (alias, key) in &stored.shared {
        let at = find(key)?;
        graph.shared.insert(alias.clone(), at);
    }
    Ok(graph)
}
