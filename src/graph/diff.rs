//! What changes between two graphs, in the order in which people think of it: workloads, then what they
//! need.
//!
//! Sees more than v1: params that were taken away, providers that changed, references that point
//! elsewhere. All of these are `params_changed`, the closest of v1's four kinds.

use petgraph::stable_graph::NodeIndex;

use super::{Node, ResourceGraph, node_hash};
use crate::catalog::Module;
use crate::model::ResourceKey;
use crate::wire::deployments::{Change, Diff};

/// The difference from `before` (nothing, for a first deployment) to `after`.
pub(crate) fn diff(before: Option<&ResourceGraph>, after: &ResourceGraph) -> Diff {
    let mut changes = Changes::new(after);
    for index in after.pre_order() {
        let node = after.at(index);
        if node.leaving {
            continue;
        }
        let old = before.and_then(|before| {
            let index = before.index.get(&node.key)?;
            Some((before, *index)).filter(|_| !before.at(*index).leaving)
        });
        match old {
            None => changes.add(&node.key, "added", added(after, node)),
            Some((before, old)) => {
                if let Some((kind, summary)) = changed(before, old, after, index) {
                    changes.add(&node.key, kind, summary);
                }
            }
        }
    }
    if let Some(before) = before {
        for index in before.pre_order() {
            let node = before.at(index);
            let now = after.node(&node.key);
            let goes_now = match now {
                None => !node.leaving,
                Some(now) => now.leaving,
            };
            if goes_now {
                changes.add(&node.key, "removed", removed(before, node));
            }
        }
    }
    changes.done
}

/// The difference from a graph to nothing: what destroying it means.
pub(crate) fn removal(before: &ResourceGraph) -> Diff {
    let mut changes = Changes::new(before);
    for index in before.pre_order() {
        let node = before.at(index);
        changes.add(&node.key, "removed", removed(before, node));
    }
    changes.done
}

struct Changes<'a> {
    graph: &'a ResourceGraph,
    done: Diff,
}

impl<'a> Changes<'a> {
    fn new(graph: &'a ResourceGraph) -> Self {
        Self {
            graph,
            done: Diff::default(),
        }
    }

    fn add(&mut self, key: &ResourceKey, kind: &str, summary: String) {
        match kind {
            "added" => self.done.num_added += 1,
            "removed" => self.done.num_removed += 1,
            _ => self.done.num_changed += 1,
        }
        self.done.changes.push(Change {
            id: node_hash(&self.graph.context.env_uuid, key),
            resource: key.short(),
            kind: kind.to_owned(),
            summary,
        });
    }
}

fn added(graph: &ResourceGraph, node: &Node) -> String {
    match &node.module {
        None => "workload added".into(),
        Some(module) => using("add", module, graph, node),
    }
}

fn removed(graph: &ResourceGraph, node: &Node) -> String {
    match &node.module {
        None => "workload removed".into(),
        Some(module) => using("remove", module, graph, node),
    }
}

/// What is done with a node's module, and who declared the node's params, as v1 shows it.
fn using(verb: &str, module: &Module, graph: &ResourceGraph, node: &Node) -> String {
    let (id, version) = (&module.id, &module.version_id);
    match node.params_of.map(|by| &graph.at(by).key) {
        None => format!("{verb} resource using module {id}@{version}"),
        Some(by) => format!(
            "{verb} resource using module {id}@{version} (dependency of {}.{}@{})",
            by.type_name, by.class, by.id
        ),
    }
}

fn changed(
    before: &ResourceGraph,
    old: NodeIndex,
    after: &ResourceGraph,
    new: NodeIndex,
) -> Option<(&'static str, String)> {
    let (was, is) = (before.at(old), after.at(new));
    let empty = serde_json::Map::new();
    let params_differ =
        was.params.as_ref().unwrap_or(&empty) != is.params.as_ref().unwrap_or(&empty);
    let (Some(old_module), Some(new_module)) = (&was.module, &is.module) else {
        return params_differ.then(|| {
            (
                "params_changed",
                "workload output variables changed".to_owned(),
            )
        });
    };
    if (&old_module.id, &old_module.version_id) != (&new_module.id, &new_module.version_id) {
        return Some((
            "module_changed",
            format!(
                "module changed from {} to {}",
                old_module.full_id(),
                new_module.full_id()
            ),
        ));
    }
    if params_differ {
        let by = is.params_of.map_or_else(String::new, |by| {
            format!(" by {}", after.at(by).key.short())
        });
        return Some(("params_changed", format!("resource params changed{by}")));
    }
    for provider in is.providers.values() {
        if before.provider(&provider.full_id) != after.provider(&provider.full_id) {
            return Some((
                "params_changed",
                format!("provider {} changed", provider.full_id),
            ));
        }
    }
    (references(before, old) != references(after, new))
        .then(|| ("params_changed", "resource references changed".to_owned()))
}

/// The resources whose outputs a block uses.
fn references(graph: &ResourceGraph, index: NodeIndex) -> Vec<&ResourceKey> {
    graph
        .targets(index)
        .into_iter()
        .filter(|(_, uses)| uses.is_reference())
        .map(|(target, _)| &graph.at(target).key)
        .collect()
}
