//! A graph as people and pages see it.

use std::collections::BTreeMap;

use super::{Declared, Node, ResourceGraph, node_hash};
use crate::model::diag::pointer;
use crate::wire::deployments::{Choice, Graph, GraphNode};

/// All nodes sorted by key. `label` and `resolved` are left for `hcl`, which knows them.
pub(crate) fn view(graph: &ResourceGraph) -> Graph {
    let hash = |key| node_hash(&graph.context.env_uuid, key);
    let nodes = graph
        .nodes()
        .map(|node| GraphNode {
            id: hash(&node.key),
            key: node.key.clone(),
            module_id: node.module.as_ref().map(|module| module.id.clone()),
            module_version: node.module.as_ref().map(|m| m.version_id.clone()),
            label: None,
            why: node.why.as_ref().map(|why| Choice {
                rule_id: why.rule_id.clone(),
                scope: why.scope.clone(),
                lost: why.lost.clone(),
            }),
            declared_by: declared_by(graph, node.declared.first(), &node.key.id),
            params: node.params.clone(),
            resolved: BTreeMap::new(),
            edges: graph
                .edges(&node.key)
                .into_iter()
                .map(|(alias, target)| (alias.to_owned(), hash(target)))
                .collect(),
            leaving: node.leaving,
        })
        .collect();
    Graph { nodes }
}

/// The pointer of where the manifest gives a node its params, if it does.
pub(crate) fn asked_in_manifest(graph: &ResourceGraph, node: &Node) -> Option<String> {
    let declared = node.declared.get(node.params_from)?;
    let is_asked = matches!(declared, Declared::Shared(_) | Declared::Resource(..));
    is_asked.then(|| declared_by(graph, Some(declared), &node.key.id))
}

/// A pointer into the manifest, or the key of the node whose module asked for it.
fn declared_by(graph: &ResourceGraph, declared: Option<&Declared>, id: &str) -> String {
    match declared {
        Some(Declared::Workload { .. }) => pointer("/workloads", id),
        Some(Declared::Shared(alias)) => pointer("/shared", alias),
        Some(Declared::Resource(workload, alias)) => {
            let at = pointer("/workloads", &graph.at(*workload).key.id);
            pointer(&format!("{at}/resources"), alias)
        }
        Some(Declared::Dependency(by, _) | Declared::Coprovisioned(by, _)) => {
            graph.at(*by).key.to_string()
        }
        Some(Declared::Earlier) | None => "an earlier deployment".into(),
    }
}
