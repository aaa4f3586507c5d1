//! What placeholders mean: context node, alias, target; and the edges that follow from it.
//!
//! [`Resolver`] answers for one placeholder, on a graph that is being built as well as on a finished or
//! stored one, and gives the same answer in all of them: selectors see only edges that were declared or
//! come from plain placeholders in params, never those that other selectors, inputs or providers added.

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::Direction as Edges;
use petgraph::stable_graph::NodeIndex;
use serde_json::Value;

use super::collect::{Problems, module_places, node_places, param_places};
use super::validate::output_problem;
use super::{ResourceGraph, Uses};
use crate::catalog::Module;
use crate::model::diag::{nearest, pointer};
use crate::model::{Diagnostic, Place};
use crate::placeholder::{
    Direction, OutputPath, Part, Placeholder, Site, Step, SyntaxError, is_plain, split,
};

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A text that is known now.
    Text(&'a str),
    /// A variable of the engine.
    Variable(&'a str),
    /// An output of a module block.
    Output(NodeIndex, OutputPath<'a>),
    /// The same output of several blocks, as a list; sorted by key.
    Selected(Vec<NodeIndex>, OutputPath<'a>),
}

/// Why a placeholder stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The same words for the same problem.
    pub(super) summary: &'static str,
    /// For people.
    pub(super) detail: String,
    /// v1's reason, complete but for the node and the field.
    pub(super) v1: String,
}

/// Looks placeholders up in a graph.
pub(crate) struct Resolver<'a> {
    graph: &'a ResourceGraph,
}

impl<'a> Resolver<'a> {
    /// A resolver for `graph`.
    pub(crate) fn new(graph: &'a ResourceGraph) -> Self {
        Self { graph }
    }

    /// Resolves a placeholder that stands at a site of a node.
    pub(crate) fn resolve<'p>(
        &self,
        node: NodeIndex,
        site: Site,
        placeholder: &Placeholder<'p>,
    ) -> Result<Target<'p>, Refusal>
    where
        'a: 'p,
    {
        let context_node = match site {
            Site::Input | Site::Provider | Site::Output => node,
            Site::Param => self.graph.at(node).params_of.unwrap_or(node),
        };
        self.resolve_in(context_node, node, site, placeholder)
    }

    /// The same with the node whose aliases count given.
    pub(super) fn resolve_in<'p>(
        &self,
        context_node: NodeIndex,
        node: NodeIndex,
        site: Site,
        placeholder: &Placeholder<'p>,
    ) -> Result<Target<'p>, Refusal>
    where
        'a: 'p,
    {
        site.check(placeholder).map_err(|v1| Refusal {
            summary: "Placeholder not allowed here",
            detail: not_allowed(site, placeholder),
            v1,
        })?;
        let found = |to: NodeIndex, path: &OutputPath<'p>| {
            self.usable(to, placeholder)?;
            Ok(Target::Output(to, path.clone()))
        };
        match placeholder {
            Placeholder::Context(key) => Ok(Target::Text(self.context(node, key))),
            Placeholder::Variable(key) => Ok(Target::Variable(key)),
            Placeholder::Own(path) => found(context_node, path),
            Placeholder::Resource { alias, path } => {
                match self.graph.by_alias(context_node, alias) {
                    Some(to) => found(to, path),
                    None => Err(self.unknown_alias(context_node, alias, placeholder)),
                }
            }
            Placeholder::Shared { alias, path } => {
                if !self.graph.at(context_node).key.is_workload() {
                    return Err(wrapped(
                        placeholder,
                        "Placeholder not allowed here",
                        "`shared` names shared resources of the manifest, which only workloads and their resources see. Modules declare what they need as a dependency and name it by `resources`.".into(),
                        "shared resource placeholders can only be used in a workload context",
                    ));
                }
                match self.graph.shared.get(*alias) {
                    Some(to) => found(*to, path),
                    None => Err(wrapped(
                        placeholder,
                        "Unknown resource in placeholder",
                        format!(
                            "There is no shared resource `{alias}`. {}",
                            instead(alias, self.graph.shared.keys().map(String::as_str))
                        ),
                        &format!("no shared resource with alias '{alias}' exists"),
                    )),
                }
            }
            Placeholder::Select { steps, path } => {
                let nodes = self.select(context_node, steps);
                if let Some(workload) = nodes.iter().find(|n| self.graph.at(**n).key.is_workload())
                {
                    self.usable(*workload, placeholder)?;
                }
                Ok(Target::Selected(nodes, path.clone()))
            }
        }
    }

    /// Follows the steps of a selector; sorted by key, each node once, leaving ones left out.
    fn select(&self, from: NodeIndex, steps: &[Step<'_>]) -> Vec<NodeIndex> {
        let mut set = vec![from];
        for step in steps {
            let direction = match step.direction {
                Direction::Dependencies => Edges::Outgoing,
                Direction::Consumers => Edges::Incoming,
            };
            let mut next = Vec::new();
            for member in set {
                let at = &self.graph.at(member).key;
                next.extend(self.graph.neighbours(member, direction).into_iter().filter(
                    |neighbour| {
                        let node = self.graph.at(*neighbour);
                        let key = (
                            node.key.type_name.as_str(),
                            node.key.class.as_str(),
                            node.key.id.as_str(),
                        );
                        !node.leaving && step.filter.fits(key, (&at.class, &at.id))
                    },
                ));
            }
            next.sort_unstable_by(|a, b| self.graph.at(*a).key.cmp(&self.graph.at(*b).key));
            next.dedup();
            set = next;
        }
        set
    }

    /// Refuses targets without a module block.
    fn usable(&self, to: NodeIndex, placeholder: &Placeholder<'_>) -> Result<(), Refusal> {
        let target = self.graph.at(to);
        if target.key.is_workload() {
            return Err(wrapped(
                placeholder,
                "Placeholder names a workload",
                format!(
                    "This means the workload `{}` itself, and workloads have no outputs that placeholders can read. Name a resource.",
                    target.key.id
                ),
                "workloads have no outputs",
            ));
        }
        if target.leaving {
            return Err(Refusal {
                summary: "Placeholder names a resource that is leaving",
                detail: format!(
                    "`{}` is no longer asked for, but is still needed to remove what was made with it. Keep it in the manifest for one more deployment, then remove it.",
                    target.key.short()
                ),
                v1: format!(
                    "placeholder '${{{placeholder}}}' resolves to a deleted node '{}' which must be anchored in the graph",
                    target.key
                ),
            });
        }
        Ok(())
    }

    fn context(&self, node: NodeIndex, key: &str) -> &'a str {
        let context = &self.graph.context;
        let own = &self.graph.at(node).key;
        match key {
            "org_id" => &context.org_id,
            "project_id" => &context.project_id,
            "env_id" => &context.env_id,
            "env_type_id" => &context.env_type_id,
            "res_type" => &own.type_name,
            "res_class" => &own.class,
            _ => &own.id,
        }
    }

    fn unknown_alias(
        &self,
        context_node: NodeIndex,
        alias: &str,
        placeholder: &Placeholder<'_>,
    ) -> Refusal {
        let node = self.graph.at(context_node);
        let whose = if node.key.is_workload() {
            format!("The workload `{}`", node.key.id)
        } else {
            format!("`{}`", node.key.short())
        };
        let mut known: Vec<&str> = self
            .graph
            .aliases
            .get(&context_node)
            .into_iter()
            .flat_map(|aliases| aliases.keys().map(String::as_str))
            .collect();
        known.sort_unstable();
        let mut detail = format!(
            "{whose} has no resource `{alias}`. {}",
            instead(alias, known)
        );
        if self.graph.shared.contains_key(alias) && node.key.is_workload() {
            detail += &format!(
                " There is a shared resource of that name: `${{shared.{alias}.outputs.…}}`."
            );
        }
        wrapped(
            placeholder,
            "Unknown resource in placeholder",
            detail,
            &format!("no resource dependency with alias '{alias}' exists"),
        )
    }
}

fn wrapped(
    placeholder: &Placeholder<'_>,
    summary: &'static str,
    detail: String,
    reason: &str,
) -> Refusal {
    Refusal {
        summary,
        detail,
        v1: format!("invalid placeholder '${{{placeholder}}}': {reason}"),
    }
}

fn instead<'n>(word: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "There are none.".into();
    }
    let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let listed = format!("There are: {}.", listed.join(", "));
    match nearest(word, known.iter().copied()).first() {
        Some(near) => format!("Did you mean `{near}`? {listed}"),
        None => listed,
    }
}

fn not_allowed(site: Site, placeholder: &Placeholder<'_>) -> String {
    let place = match site {
        Site::Input => "module inputs",
        Site::Param => "params",
        Site::Output => "outputs of a workload",
        Site::Provider => "the configuration of a provider",
    };
    match placeholder {
        Placeholder::Context(key) => format!(
            "`context.{key}` is not known in {place}. {}",
            instead(key, site.context_keys().iter().copied())
        ),
        _ => format!(
            "`{}` cannot be used in {place}; there, placeholders start with {}.",
            placeholder.kind(),
            site.kinds().join(", ")
        ),
    }
}

/// Collects the edges of one pass.
pub(super) struct Pass<'a> {
    pub(super) graph: &'a ResourceGraph,
    pub(super) known_outputs: &'a dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
    pub(super) edges: Vec<(NodeIndex, NodeIndex, Uses)>,
    pub(super) found: Vec<Diagnostic>,
}

/// A string somewhere in a field of a node.
pub(super) struct Field<'a> {
    pub(super) node: NodeIndex,
    pub(super) site: Site,
    /// Name of param, input, output, or of the provider.
    pub(super) name: &'a str,
    /// Makes the places of a pointer below the field.
    pub(super) places: &'a dyn Fn(&str) -> Vec<Place>,
}

/// One step into a value.
#[derive(Clone, Copy)]
pub(super) enum Into<'a> {
    Key(&'a str),
    Item(usize),
}

/// Calls `visit` with every string that may hold placeholders, and the way to it.
pub(super) fn strings<'a>(
    value: &'a Value,
    way: &mut Vec<Into<'a>>,
    visit: &mut dyn FnMut(&'a str, &[Into<'a>]),
) {
    match value {
        Value::String(text) => {
            if !is_plain(text) {
                visit(text, way);
            }
        }
        Value::Array(list) => {
            for (position, item) in list.iter().enumerate() {
                way.push(Into::Item(position));
                strings(item, way, visit);
                way.pop();
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                way.push(Into::Key(key));
                strings(item, way, visit);
                way.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn way_pointer(way: &[Into<'_>]) -> String {
    way.iter().fold(String::new(), |at, step| match step {
        Into::Key(key) => pointer(&at, key),
        Into::Item(position) => format!("{at}/{position}"),
    })
}

fn way_v1(way: &[Into<'_>]) -> String {
    way.iter()
        .map(|step| match step {
            Into::Key(key) => format!("{key}: "),
            Into::Item(position) => format!("[{position}]: "),
        })
        .collect()
}

impl Pass<'_> {
    /// Resolves all placeholders of a value of which `wanted` is true; `uses` says what for. Answers whether there were
    /// others.
    pub(super) fn value(
        &mut self,
        field: &Field<'_>,
        value: &Value,
        wanted: impl Fn(&Placeholder<'_>) -> bool,
        uses: Uses,
        tell: bool,
    ) -> bool {
        let resolver = Resolver::new(self.graph);
        let mut edges = Vec::new();
        let mut found = Vec::new();
        let mut has_others = false;
        strings(value, &mut Vec::new(), &mut |text, way| {
            let parts = match split(text) {
                Ok(parts) => parts,
                Err(error) => {
                    if tell {
                        found.push(self.syntax(field, &error, way));
                    }
                    return;
                }
            };
            let is_mixed = parts.len() > 1;
            for part in parts {
                let Part::Placeholder(_, placeholder) = part else {
                    continue;
                };
                if !wanted(&placeholder) {
                    has_others = true;
                    continue;
                }
                if is_mixed && matches!(placeholder, Placeholder::Select { .. }) {
                    found.push(Diagnostic {
                        places: (field.places)(&way_pointer(way)),
                        ..Diagnostic::error(
                            "List inside text",
                            "A `select` placeholder stands for a list, which cannot be part of a text. Let it be the whole value.",
                            Place::manifest(""),
                        )
                    });
                    continue;
                }
                match resolver.resolve(field.node, field.site, &placeholder) {
                    Ok(Target::Text(_) | Target::Variable(_)) => {}
                    Ok(Target::Output(to, path)) => {
                        edges.push((field.node, to, uses));
                        found.extend(self.output(field, way, to, &path));
                    }
                    Ok(Target::Selected(nodes, path)) => {
                        for to in nodes {
                            edges.push((field.node, to, uses));
                            found.extend(self.output(field, way, to, &path));
                        }
                    }
                    Err(refusal) => found.push(self.refused(field, &refusal, way)),
                }
            }
        });
        self.edges.extend(edges);
        self.found.extend(found);
        has_others
    }

    /// Resolves the plain placeholders of a param or output, or else its selectors. Answers whether it has others.
    fn param(&mut self, node: NodeIndex, name: &str, value: &Value, selectors: bool) -> bool {
        let graph = self.graph;
        let at = graph.at(node);
        let site = if at.key.is_workload() {
            Site::Output
        } else {
            Site::Param
        };
        let module = at.module.as_ref();
        let is_hidden = module.is_some_and(|m| m.module_inputs.contains_key(name));
        let places = |below: &str| {
            let at = format!("{}{below}", pointer("/params", name));
            match site {
                Site::Output => node_places(graph, node, &at),
                Site::Input | Site::Param | Site::Provider => param_places(graph, node, &at),
            }
        };
        let field = Field {
            node,
            site,
            name,
            places: &places,
        };
        let uses = match (is_hidden, selectors) {
            (true, _) => Uses::HIDDEN,
            (false, false) => Uses::PARAM,
            (false, true) => Uses::SELECTED,
        };
        let is_select = |p: &Placeholder<'_>| matches!(p, Placeholder::Select { .. });
        self.value(
            &field,
            value,
            |p| is_select(p) == selectors,
            uses,
            !selectors,
        )
    }

    fn output(
        &self,
        field: &Field<'_>,
        way: &[Into<'_>],
        to: NodeIndex,
        path: &OutputPath<'_>,
    ) -> Option<Diagnostic> {
        let (summary, detail) = output_problem(self.graph, to, path, self.known_outputs)?;
        Some(Diagnostic {
            places: (field.places)(&way_pointer(way)),
            ..Diagnostic::error(summary, detail, Place::manifest(""))
        })
    }

    fn syntax(&self, field: &Field<'_>, error: &SyntaxError, way: &[Into<'_>]) -> Diagnostic {
        let hint = if error.after_dollar {
            " To write `${` as text, put `$\\{`; `$$` is no escape."
        } else {
            " To write `${` as text, put `$\\{`."
        };
        let said = error.to_string();
        let (_, reason) = said.split_once("': ").unwrap_or(("", &said));
        Diagnostic {
            places: (field.places)(&way_pointer(way)),
            v1: Some(self.v1(field, "parse placeholders", &way_v1(way), &said)),
            ..Diagnostic::error(
                "Placeholder not understood",
                format!(
                    "`${{{}}}` cannot be read: {reason} (counted from after `${{`).{hint}",
                    error.inner
                ),
                Place::manifest(""),
            )
        }
    }

    fn refused(&self, field: &Field<'_>, refusal: &Refusal, way: &[Into<'_>]) -> Diagnostic {
        Diagnostic {
            places: (field.places)(&way_pointer(way)),
            v1: Some(self.v1(field, "resolve placeholders", "", &refusal.v1)),
            ..Diagnostic::error(refusal.summary, refusal.detail.clone(), Place::manifest(""))
        }
    }

    /// The wrapping of v1 around a reason.
    fn v1(&self, field: &Field<'_>, doing: &str, way: &str, reason: &str) -> String {
        let node = self.graph.at(field.node);
        let name = field.name;
        let what = match field.site {
            Site::Input => "module input",
            Site::Param => "param",
            Site::Output => "variable",
            Site::Provider => {
                return if doing == "parse placeholders" {
                    format!(
                        "failed to parse placeholders for provider configuration for provider '{name}': {way}{reason}"
                    )
                } else {
                    let module = node
                        .module
                        .as_ref()
                        .map_or_else(String::new, |m| m.full_id());
                    format!(
                        "provider '{name}' for module '{module}' in context of node '{}': failed to resolve placeholders: {reason}",
                        node.key
                    )
                };
            }
        };
        format!(
            "node '{}': failed to {doing} for {what} '{name}': {way}{reason}",
            node.key
        )
    }
}

/// Placeholders in params and outputs: first the plain ones, whose edges selectors see, then selectors.
pub(super) fn params(
    graph: &mut ResourceGraph,
    known_outputs: &dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
    problems: &mut Problems,
) {
    let mut pass = Pass {
        graph,
        known_outputs,
        edges: Vec::new(),
        found: Vec::new(),
    };
    let mut selecting = Vec::new();
    for node in graph.sorted().iter().copied() {
        for (name, value) in graph.at(node).params.iter().flatten() {
            if pass.param(node, name, value, false) {
                selecting.push((node, name.clone()));
            }
        }
    }
    let (edges, found) = (pass.edges, pass.found);
    apply(graph, edges, found, problems);
    let mut pass = Pass {
        graph,
        known_outputs,
        edges: Vec::new(),
        found: Vec::new(),
    };
    for (node, name) in &selecting {
        let params = graph.at(*node).params.as_ref();
        if let Some(value) = params.and_then(|params| params.get(name)) {
            pass.param(*node, name, value, true);
        }
    }
    let (edges, found) = (pass.edges, pass.found);
    apply(graph, edges, found, problems);
    let mut clashes = Vec::new();
    for (node, declared) in &graph.repeats {
        if means_something_else(graph, *node, declared.by().unwrap_or(*node)) {
            clashes.push(super::expand::clash(graph, *node, declared));
        }
    }
    for clash in clashes {
        problems.push(clash);
    }
}

/// Whether a node's params would mean something else in the words of another node.
fn means_something_else(graph: &ResourceGraph, node: NodeIndex, other: NodeIndex) -> bool {
    let own = graph.at(node).params_of.unwrap_or(node);
    let resolver = Resolver::new(graph);
    let mut differs = false;
    for value in graph.at(node).params.iter().flat_map(|all| all.values()) {
        strings(value, &mut Vec::new(), &mut |text, _| {
            for part in split(text).unwrap_or_default() {
                if let Part::Placeholder(_, placeholder) = part {
                    let here = resolver.resolve_in(own, node, Site::Param, &placeholder);
                    let there = resolver.resolve_in(other, node, Site::Param, &placeholder);
                    differs |= here.is_ok() && here != there;
                }
            }
        });
    }
    differs
}

/// Placeholders in the inputs of modules.
pub(super) fn inputs(
    graph: &mut ResourceGraph,
    known_outputs: &dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
    problems: &mut Problems,
) {
    let mut pass = Pass {
        graph,
        known_outputs,
        edges: Vec::new(),
        found: Vec::new(),
    };
    for node in graph.sorted().iter().copied() {
        let at = graph.at(node);
        let Some(module) = at.module.as_ref().filter(|_| !at.leaving) else {
            continue;
        };
        for (name, value) in &module.module_inputs {
            let places = |below: &str| {
                let at = format!("{}{below}", pointer("/module_inputs", name));
                module_places(graph, node, &at)
            };
            let field = Field {
                node,
                site: Site::Input,
                name,
                places: &places,
            };
            pass.value(&field, value, |_| true, Uses::INPUT, true);
        }
    }
    apply(graph, pass.edges, pass.found, problems);
}

/// Adds what a pass found.
pub(super) fn apply(
    graph: &mut ResourceGraph,
    edges: Vec<(NodeIndex, NodeIndex, Uses)>,
    found: Vec<Diagnostic>,
    problems: &mut Problems,
) {
    for (from, to, uses) in edges {
        graph.depend(from, to, uses);
    }
    for problem in found {
        problems.push(problem);
    }
}
