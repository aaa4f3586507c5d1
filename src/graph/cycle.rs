//! Cycles on the final dependency graph, each told as a path.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::stable_graph::NodeIndex;

use super::ResourceGraph;
use super::collect::{Problems, error, node_places};

/// Tells every cycle. Uses the iterative algorithms only: chains may be long.
pub(super) fn find(graph: &ResourceGraph, problems: &mut Problems) {
    if toposort(&graph.graph, None).is_ok() {
        return;
    }
    let mut cycles: Vec<Vec<NodeIndex>> = kosaraju_scc(&graph.graph)
        .into_iter()
        .filter_map(|part| path(graph, &part))
        .collect();
    cycles.sort_by(|a, b| graph.at(a[0]).key.cmp(&graph.at(b[0]).key));
    for cycle in cycles {
        let names: Vec<String> = cycle
            .iter()
            .chain(cycle.first())
            .map(|index| format!("`{}`", graph.at(*index).key.short()))
            .collect();
        let detail = if cycle.len() == 1 {
            format!(
                "{} depends on itself. A module cannot use its own outputs as inputs.",
                names[0]
            )
        } else {
            format!(
                "These depend on each other: {}. Remove one of the references.",
                names.join(" → ")
            )
        };
        let mut lines: Vec<String> = cycle
            .iter()
            .map(|index| format!("{}: cycle detected", graph.at(*index).key))
            .collect();
        lines.sort();
        let mut at = Vec::new();
        for place in cycle
            .iter()
            .flat_map(|index| node_places(graph, *index, ""))
        {
            if !at.contains(&place) {
                at.push(place);
            }
        }
        problems.push(error("Dependency cycle", detail, at, lines.join("\n\t")));
    }
}

/// The shortest way from the first node of a strongly connected part back to itself.
fn path(graph: &ResourceGraph, part: &[NodeIndex]) -> Option<Vec<NodeIndex>> {
    let start = *part
        .iter()
        .min_by(|a, b| graph.at(**a).key.cmp(&graph.at(**b).key))?;
    let inside: HashSet<NodeIndex> = part.iter().copied().collect();
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for (next, _) in graph.targets(node) {
            if next == start {
                let mut way = vec![node];
                while way[way.len() - 1] != start {
                    let last = way[way.len() - 1];
                    way.push(*came_from.get(&last)?);
                }
                way.reverse();
                return Some(way);
            }
            if inside.contains(&next) && !came_from.contains_key(&next) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}
