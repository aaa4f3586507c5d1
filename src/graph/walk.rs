//! The two walks over a graph whose order is visible: of blocks (post) and of changes (pre).
//!
//! From nodes that nothing depends on, sorted, then from all others, sorted; along edges sorted by
//! alias. Iterative, because a chain of resources may be longer than a stack is deep.

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef as _;

use super::{ResourceGraph, Uses};

/// When a node is told: before or after what it depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

impl ResourceGraph {
    /// All nodes, each after what it depends on (but for cycles): the order of blocks.
    pub(crate) fn post_order(&self) -> Vec<NodeIndex> {
        self.walk(When::After)
    }

    /// All nodes, each before what it depends on: the order of changes.
    pub(crate) fn pre_order(&self) -> Vec<NodeIndex> {
        self.walk(When::Before)
    }

    fn walk(&self, when: When) -> Vec<NodeIndex> {
        let walked = Uses::DECLARED | Uses::PROVIDER;
        let all = self.sorted();
        let is_leaf = |index: &NodeIndex| {
            !self
                .graph
                .edges_directed(*index, Direction::Incoming)
                .any(|edge| edge.weight().uses.has(walked))
        };
        let (leafs, others): (Vec<NodeIndex>, Vec<NodeIndex>) =
            all.iter().partition(|n| is_leaf(n));
        let mut order = Vec::with_capacity(all.len());
        let mut visited = vec![false; all.iter().map(|n| n.index() + 1).max().unwrap_or(0)];
        let mut stack: Vec<(NodeIndex, Vec<NodeIndex>)> = Vec::new();
        for start in leafs.into_iter().chain(others) {
            if std::mem::replace(&mut visited[start.index()], true) {
                continue;
            }
            if when == When::Before {
                order.push(start);
            }
            stack.push((start, self.children(start, walked)));
            while let Some((node, children)) = stack.last_mut() {
                match children.pop() {
                    Some(child) => {
                        if !std::mem::replace(&mut visited[child.index()], true) {
                            if when == When::Before {
                                order.push(child);
                            }
                            let inner = self.children(child, walked);
                            stack.push((child, inner));
                        }
                    }
                    None => {
                        if when == When::After {
                            order.push(*node);
                        }
                        stack.pop();
                    }
                }
            }
        }
        order
    }

    /// What a node depends on, last alias first, so that a pop gives the next.
    fn children(&self, node: NodeIndex, walked: Uses) -> Vec<NodeIndex> {
        let mut edges: Vec<(&str, NodeIndex)> = self
            .graph
            .edges(node)
            .filter(|edge| edge.weight().uses.has(walked))
            .map(|edge| (edge.weight().alias.as_str(), edge.target()))
            .collect();
        edges.sort_unstable_by(|a, b| b.0.cmp(a.0));
        edges.into_iter().map(|(_, target)| target).collect()
    }
}
