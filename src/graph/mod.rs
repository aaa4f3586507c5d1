//! What must exist, and after what: a checked manifest and a catalogue become a [`ResourceGraph`].
//!
//! Pure: no files, no network, no clock, no randomness, and near-linear in nodes and edges. Start at
//! [`mod@build`]. Never writes HCL; it hands `hcl` resolved targets and the order of blocks.
//!
//! Why edges carry [`Uses`]: v1 decides three things at three moments of its pipeline, each with the
//! edges there were by then (what selectors see, the order of blocks, `depends_on`). We build all edges
//! and remember which moment each is from, so that the results are the same and a stored graph can be
//! rendered again.

mod build;
mod collect;
mod cycle;
mod diff;
mod expand;
mod leaving;
mod node;
mod providers;
mod resolve;
mod stored;
mod validate;
mod view;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use petgraph::Direction;
pub(crate) use petgraph::stable_graph::NodeIndex;
use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::EdgeRef as _;

pub(crate) use self::build::{Build, Previous, build};
pub(crate) use self::diff::{diff, removal};
pub(crate) use self::node::{Declared, Edge, Node, ProviderUse, Uses, anonymous_alias, node_hash};
pub(crate) use self::resolve::{Resolver, Target};
pub(crate) use self::view::{asked_in_manifest, view};
use crate::catalog::{Catalogue, Provider, ResourceType, Selection};
use crate::model::{Context, ResourceKey};

/// Nodes and edges of one environment, with everything of the catalogue that they need.
///
/// Serialised (stable, versioned) it is what rollback and destroy start from: modules with source,
/// digest, version and params, and provider definitions, are in it.
#[derive(Debug, Clone)]
pub(crate) struct ResourceGraph {
    context: Context,
    graph: StableDiGraph<Node, Edge>,
    index: HashMap<ResourceKey, NodeIndex>,
    /// All indexes by key; sorted when first asked for after a node was added.
    order: OnceLock<Vec<NodeIndex>>,
    /// First edge between two nodes.
    between: HashMap<(NodeIndex, NodeIndex), petgraph::stable_graph::EdgeIndex>,
    /// Named edges by node and alias.
    aliases: HashMap<NodeIndex, HashMap<String, NodeIndex>>,
    shared: BTreeMap<String, NodeIndex>,
    providers: BTreeMap<String, Arc<Provider>>,
    types: BTreeMap<String, ResourceType>,
    /// Declarations that repeat a node's params in other words' context; of the build only.
    repeats: Vec<(NodeIndex, Declared)>,
}

impl ResourceGraph {
    fn empty(context: Context) -> Self {
        Self {
            context,
            graph: StableDiGraph::new(),
            index: HashMap::new(),
            order: OnceLock::new(),
            between: HashMap::new(),
            aliases: HashMap::new(),
            shared: BTreeMap::new(),
            providers: BTreeMap::new(),
            types: BTreeMap::new(),
            repeats: Vec::new(),
        }
    }

    /// Where it is deployed.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The node of a key.
    pub(crate) fn node(&self, key: &ResourceKey) -> Option<&Node> {
        self.index.get(key).map(|index| &self.graph[*index])
    }

    /// The node at an index.
    pub(crate) fn at(&self, index: NodeIndex) -> &Node {
        &self.graph[index]
    }

    fn at_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.graph[index]
    }

    /// All nodes, sorted by key; workloads and leaving ones included.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.sorted().iter().map(|index| &self.graph[*index])
    }

    /// All indexes, in no order that means anything.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.graph.node_indices()
    }

    /// All indexes, sorted by key.
    pub(crate) fn sorted(&self) -> &[NodeIndex] {
        self.order.get_or_init(|| {
            let mut all: Vec<NodeIndex> = self.graph.node_indices().collect();
            let by_key = |a: &NodeIndex, b: &NodeIndex| self.graph[*a].key.cmp(&self.graph[*b].key);
            // Most graphs are put together in about this order, which the stable sort makes use of.
            all.sort_by(by_key);
            all
        })
    }

    /// What a node depends on: alias and target, sorted by alias.
    pub(crate) fn edges(&self, key: &ResourceKey) -> Vec<(&str, &ResourceKey)> {
        let Some(index) = self.index.get(key) else {
            return Vec::new();
        };
        let mut edges: Vec<(&str, &ResourceKey)> = self
            .graph
            .edges(*index)
            .map(|edge| {
                let key = &self.graph[edge.target()].key;
                (edge.weight().alias.as_str(), key)
            })
            .collect();
        edges.sort_unstable();
        edges
    }

    /// Targets of a node, with what each edge is used for; sorted by key.
    pub(crate) fn targets(&self, index: NodeIndex) -> Vec<(NodeIndex, Uses)> {
        let mut targets: Vec<(NodeIndex, Uses)> = self
            .graph
            .edges(index)
            .map(|edge| (edge.target(), edge.weight().uses))
            .collect();
        targets.sort_unstable_by(|a, b| self.graph[a.0].key.cmp(&self.graph[b.0].key));
        targets
    }

    /// A provider definition by `TYPE.ID`.
    pub(crate) fn provider(&self, full_id: &str) -> Option<&Arc<Provider>> {
        self.providers.get(full_id)
    }

    /// The slice of the catalogue that this graph was made with: every resource has the module it had.
    pub(crate) fn slice(&self) -> Catalogue {
        let modules = self.graph.node_weights().filter(|node| !node.leaving);
        let modules = modules.filter_map(|node| {
            let selection = Selection {
                module: Arc::clone(node.module.as_ref()?),
                why: node.why.clone().unwrap_or_default(),
            };
            Some((node.key.clone(), selection))
        });
        Catalogue::pinned(
            self.types.values().cloned().collect(),
            modules.collect(),
            self.providers
                .values()
                .map(|provider| Provider::clone(provider))
                .collect(),
        )
    }

    /// How many nodes are no workloads; leaving ones count.
    pub(crate) fn resource_count(&self) -> usize {
        self.graph
            .node_weights()
            .filter(|node| !node.key.is_workload())
            .count()
    }

    /// Adds a node; its key must be new.
    fn add(&mut self, node: Node) -> NodeIndex {
        let key = node.key.clone();
        self.order.take();
        let index = self.graph.add_node(node);
        self.index.insert(key, index);
        index
    }

    /// Adds an edge that has a name in a manifest or a module.
    fn connect(&mut self, from: NodeIndex, to: NodeIndex, alias: String) {
        let uses = Uses::DECLARED;
        self.name(from, to, &alias);
        let edge = self.graph.add_edge(from, to, Edge { alias, uses });
        self.between.entry((from, to)).or_insert(edge);
    }

    /// Adds a named edge where at most one may lead from here to there: an existing one is renamed.
    fn reconnect(&mut self, from: NodeIndex, to: NodeIndex, alias: String) {
        match self.between.get(&(from, to)) {
            Some(edge) => {
                let weight = &mut self.graph[*edge];
                weight.alias.clone_from(&alias);
                weight.uses = weight.uses | Uses::DECLARED;
                self.name(from, to, &alias);
            }
            None => self.connect(from, to, alias),
        }
    }

    /// Makes sure that there is an edge, and notes what it is used for.
    fn depend(&mut self, from: NodeIndex, to: NodeIndex, uses: Uses) {
        if let Some(edge) = self.between.get(&(from, to)) {
            let weight = &mut self.graph[*edge];
            weight.uses = weight.uses | uses;
            return;
        }
        let alias = anonymous_alias(&self.graph[to].key);
        let edge = self.graph.add_edge(from, to, Edge { alias, uses });
        self.between.insert((from, to), edge);
    }

    /// The target of a named edge.
    fn by_alias(&self, from: NodeIndex, alias: &str) -> Option<NodeIndex> {
        self.aliases.get(&from)?.get(alias).copied()
    }

    fn name(&mut self, from: NodeIndex, to: NodeIndex, alias: &str) {
        self.aliases
            .entry(from)
            .or_default()
            .insert(alias.to_owned(), to);
    }

    /// Direct neighbours over edges that selectors see, sorted by key, each once.
    fn neighbours(&self, index: NodeIndex, direction: Direction) -> Vec<NodeIndex> {
        let mut found: Vec<NodeIndex> = self
            .graph
            .edges_directed(index, direction)
            .filter(|edge| {
                edge.weight()
                    .uses
                    .has(Uses::DECLARED | Uses::PARAM | Uses::HIDDEN)
            })
            .map(|edge| match direction {
                Direction::Outgoing => edge.target(),
                Direction::Incoming => edge.source(),
            })
            .collect();
        found.sort_unstable_by(|a, b| self.graph[*a].key.cmp(&self.graph[*b].key));
        found.dedup();
        found
    }
}
