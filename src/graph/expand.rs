//! Seed and expand: what the manifest asks for, and what the chosen modules ask for in turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef as _;
use serde_json::{Map, Value};

use super::collect::{Problems, error, node_places, places};
use super::{Declared, Node, ResourceGraph, Uses};
use crate::catalog::{Catalogue, Miss, Module};
use crate::manifest::{Manifest, Resource};
use crate::model::diag::nearest;
use crate::model::{Context, DEFAULT_CLASS, ResourceKey};

/// A graph on its way.
pub(super) struct Expansion<'a> {
    graph: ResourceGraph,
    catalogue: &'a Catalogue,
    queue: VecDeque<NodeIndex>,
    /// Co-provisioned nodes that take over the dependents of others: target to sources.
    copies: BTreeMap<ResourceKey, (NodeIndex, Vec<NodeIndex>)>,
    /// Nodes whose params two declarations disagree on.
    clashes: Vec<(NodeIndex, Declared)>,
    /// Nodes that several declarations give the same params, whose placeholders might differ.
    repeats: Vec<(NodeIndex, Declared)>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(context: Context, catalogue: &'a Catalogue) -> Self {
        Self {
            graph: ResourceGraph::empty(context),
            catalogue,
            queue: VecDeque::new(),
            copies: BTreeMap::new(),
            clashes: Vec::new(),
            repeats: Vec::new(),
        }
    }

    /// Nodes for shared resources, workloads and their resources, in the order of their names.
    pub(super) fn seed(&mut self, manifest: Manifest) {
        for (alias, resource) in manifest.shared {
            let key = seeded(&resource, || format!("shared.{alias}"));
            let index = self.declare(key, resource.params, Declared::Shared(alias.clone()));
            self.graph.shared.insert(alias, index);
        }
        for (name, workload) in manifest.workloads {
            let index = self.graph.add(Node::new(
                ResourceKey::workload(&name),
                Some(workload.outputs),
                Declared::Workload {
                    says_variables: workload.says_variables,
                },
            ));
            self.graph.at_mut(index).params_of = Some(index);
            for (alias, resource) in workload.resources {
                let key = seeded(&resource, || ["workloads", &name, &alias].join("."));
                let declared = Declared::Resource(index, alias.clone());
                let target = self.declare(key, resource.params, declared);
                self.graph.connect(index, target, alias);
            }
        }
    }

    /// Chooses modules and follows what they ask for, first come first.
    pub(super) fn expand(&mut self, problems: &mut Problems) {
        while let Some(index) = self.queue.pop_front() {
            let (module, why) = match self.catalogue.choose(&self.graph.at(index).key) {
                Ok(selection) => (Arc::clone(&selection.module), Arc::clone(&selection.why)),
                Err(miss) => {
                    problems.push(self.no_module(index, &miss));
                    continue;
                }
            };
            let node = self.graph.at_mut(index);
            node.module = Some(Arc::clone(&module));
            node.why = Some(why);
            self.dependencies(index, &module, problems);
            self.coprovisioned(index, &module, problems);
        }
    }

    fn dependencies(&mut self, index: NodeIndex, module: &Module, problems: &mut Problems) {
        for (alias, dependency) in &module.dependencies {
            let key = self.inner_key(
                index,
                &dependency.type_name,
                dependency.class.as_deref(),
                dependency.id.as_deref(),
            );
            let declared = Declared::Dependency(index, alias.clone());
            if key.is_workload() {
                problems.push(reserved(&self.graph, &declared));
                continue;
            }
            let target = self.declare(key, dependency.params.clone(), declared);
            self.graph.reconnect(index, target, alias.clone());
        }
    }

    fn coprovisioned(&mut self, index: NodeIndex, module: &Module, problems: &mut Problems) {
        for (position, item) in module.coprovisioned.iter().enumerate() {
            let key = self.inner_key(
                index,
                &item.type_name,
                item.class.as_deref(),
                item.id.as_deref(),
            );
            let declared = Declared::Coprovisioned(index, position);
            if key.is_workload() {
                problems.push(reserved(&self.graph, &declared));
                continue;
            }
            let target = self.declare(key.clone(), item.params.clone(), declared);
            if item.is_dependent_on_current {
                self.graph.depend(target, index, Uses::DECLARED);
            }
            if item.copy_dependents_from_current {
                let entry = self
                    .copies
                    .entry(key)
                    .or_insert_with(|| (target, Vec::new()));
                entry.1.push(index);
            }
        }
    }

    /// The key of something that a node's module asks for.
    fn inner_key(
        &self,
        index: NodeIndex,
        type_name: &str,
        class: Option<&str>,
        id: Option<&str>,
    ) -> ResourceKey {
        let by = &self.graph.at(index).key;
        ResourceKey::new(
            type_name,
            class.map_or_else(
                || DEFAULT_CLASS.to_owned(),
                |text| text.replace('@', &by.class),
            ),
            id.map_or_else(|| by.id.clone(), |text| text.replace('@', &by.id)),
        )
    }

    /// Makes the node of a key, or merges into it.
    fn declare(
        &mut self,
        key: ResourceKey,
        params: Option<Map<String, Value>>,
        declared: Declared,
    ) -> NodeIndex {
        let Some(index) = self.graph.index.get(&key).copied() else {
            let params_of = declared.by();
            let index = self.graph.add(Node {
                params_of,
                ..Node::new(key, params, declared)
            });
            self.queue.push_back(index);
            return index;
        };
        let node = self.graph.at_mut(index);
        match (&node.params, params) {
            (_, None) => {}
            (None, Some(params)) => {
                node.params = Some(params);
                node.params_of = declared.by();
                node.params_from = node.declared.len();
            }
            (Some(old), Some(new)) if *old == new => {
                if node.params_of != declared.by() {
                    self.repeats.push((index, declared.clone()));
                }
            }
            (Some(_), Some(_)) => self.clashes.push((index, declared.clone())),
        }
        node.declared.push(declared);
        index
    }

    /// Copies dependents, tells clashes, and gives the graph away.
    pub(super) fn finish(mut self, problems: &mut Problems) -> ResourceGraph {
        for (target, sources) in self.copies.into_values() {
            let mut dependents: Vec<NodeIndex> = sources
                .iter()
                .flat_map(|source| {
                    self.graph
                        .graph
                        .edges_directed(*source, Direction::Incoming)
                })
                .map(|edge| edge.source())
                .filter(|dependent| *dependent != target)
                .collect();
            dependents.sort_unstable();
            dependents.dedup();
            for dependent in dependents {
                self.graph.depend(dependent, target, Uses::DECLARED);
            }
        }
        for (index, declared) in self.clashes {
            problems.push(clash(&self.graph, index, &declared));
        }
        self.graph.repeats = self.repeats;
        self.graph
    }

    fn no_module(&self, index: NodeIndex, miss: &Miss) -> crate::model::Diagnostic {
        let node = self.graph.at(index);
        let key = &node.key;
        let (summary, at, detail) = explain(key, miss);
        let mut at = at;
        // What is not written has no place of its own.
        let says_class = key.class != DEFAULT_CLASS;
        if at == "/class" && !says_class {
            at = "/type";
        }
        error(
            summary,
            detail,
            node_places(&self.graph, index, at),
            format!("{key}: no module definition matches this resource"),
        )
    }
}

/// What is missing, where it was said, and what there is instead.
fn explain(key: &ResourceKey, miss: &Miss) -> (&'static str, &'static str, String) {
    let instead = |word: &str, available: &[String]| {
        if available.is_empty() {
            return "None is available here.".to_owned();
        }
        let names: Vec<String> = available.iter().map(|name| format!("`{name}`")).collect();
        match nearest(word, available.iter().map(String::as_str)).first() {
            Some(near) => format!(
                "Did you mean `{near}`? Available here: {}.",
                names.join(", ")
            ),
            None => format!("Available here: {}.", names.join(", ")),
        }
    };
    let ResourceKey {
        type_name,
        class,
        id,
    } = key;
    match miss {
        Miss::Type {
            is_known: false,
            available,
        } => (
            "Unknown resource type",
            "/type",
            format!(
                "There is no resource type `{type_name}`. {}",
                instead(type_name, available)
            ),
        ),
        Miss::Type {
            is_known: true,
            available,
        } => (
            "Resource type not available",
            "/type",
            format!(
                "The resource type `{type_name}` exists, but no module rule offers it in this environment. {} Else a module rule is needed.",
                instead(type_name, available)
            ),
        ),
        Miss::Class { available } => (
            "Unknown resource class",
            "/class",
            format!(
                "The resource type `{type_name}` has no class `{class}` in this environment. {}",
                instead(class, available)
            ),
        ),
        Miss::Id { available } => (
            "Resource id not available",
            "/id",
            format!(
                "Resources of type `{type_name}` and class `{class}` are offered for certain ids only, and `{id}` is none of them. {}",
                instead(id, available)
            ),
        ),
        Miss::Tie { rules } => (
            "Module rules tie",
            "/type",
            format!(
                "Several module rules are equally specific for `{}`: {}. Remove one of them or make it more specific.",
                key.short(),
                rules.join("; ")
            ),
        ),
        Miss::Module { rule, module } => (
            "Module missing",
            "/type",
            format!(
                "For `{}` the rule says {rule}, but there is no module `{module}`. Create it or change the rule.",
                key.short()
            ),
        ),
        Miss::Pin => (
            "Resource not in the earlier deployment",
            "/type",
            format!(
                "`{}` is not part of what the earlier deployment recorded, so its module is not known. Deploy its manifest instead.",
                key.short()
            ),
        ),
    }
}

fn reserved(graph: &ResourceGraph, declared: &Declared) -> crate::model::Diagnostic {
    error(
        "Reserved resource type",
        "A module cannot ask for the type `workload`; it stands for the workloads of a manifest."
            .into(),
        places(graph, declared, "/type"),
        "no module definition matches this resource".into(),
    )
}

/// Two declarations of one node want different params.
pub(super) fn clash(
    graph: &ResourceGraph,
    index: NodeIndex,
    second: &Declared,
) -> crate::model::Diagnostic {
    let node = graph.at(index);
    let mut at = places(graph, second, "/params");
    if let Some(first) = node.declared.get(node.params_from) {
        at.extend(places(graph, first, "/params"));
    }
    error(
        "Resource asked for with different params",
        format!(
            "`{}` is one resource that is asked for more than once, and the params differ. Give the same params everywhere, give them in one place only, or give the resources different ids.",
            node.key.short()
        ),
        at,
        format!(
            "{}: referenced multiple times in the graph with different resource parameters",
            node.key
        ),
    )
}

fn seeded(resource: &Resource, default_id: impl FnOnce() -> String) -> ResourceKey {
    ResourceKey::new(
        resource.type_name.clone(),
        resource
            .class
            .clone()
            .unwrap_or_else(|| DEFAULT_CLASS.to_owned()),
        resource.id.clone().unwrap_or_else(default_id),
    )
}
