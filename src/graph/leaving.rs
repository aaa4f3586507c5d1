//! Nodes of the last deployment that are no longer asked for: kept until they are destroyed, because
//! destroying needs their providers. For deploy, plan and rollback alike.

use petgraph::visit::EdgeRef as _;

use super::{Declared, Node, Previous, ResourceGraph, Uses};

/// Adds them. What was already leaving before is kept only if that deployment failed.
pub(super) fn add(graph: &mut ResourceGraph, previous: Previous<'_>) {
    let before = previous.graph;
    let mut added = Vec::new();
    for index in before.sorted().iter().copied() {
        let node = before.at(index);
        let is_gone = node.leaving && !previous.failed;
        if node.key.is_workload() || is_gone || graph.index.contains_key(&node.key) {
            continue;
        }
        let mut kept = Node::new(node.key.clone(), None, Declared::Earlier);
        kept.module.clone_from(&node.module);
        kept.leaving = true;
        added.push((index, graph.add(kept)));
    }
    for (old, new) in added {
        for edge in before.graph.edges(old) {
            let target = &before.at(edge.target()).key;
            if let Some(to) = graph.index.get(target).copied()
                && edge.weight().uses.has(Uses::DECLARED)
            {
                graph.connect(new, to, edge.weight().alias.clone());
            }
        }
    }
}
