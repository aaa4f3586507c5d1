//! Diagnostics of a graph: collected, and placed in the documents that cause them.

use petgraph::stable_graph::NodeIndex;

use super::{Declared, ResourceGraph};
use crate::model::diag::{Document, pointer};
use crate::model::{Diagnostic, Place};

/// Everything found so far.
#[derive(Default)]
pub(super) struct Problems {
    all: Vec<Diagnostic>,
}

impl Problems {
    /// Adds one; the same problem at the same place is told once.
    pub(super) fn push(&mut self, problem: Diagnostic) {
        if !self.all.contains(&problem) {
            self.all.push(problem);
        }
    }

    /// Warnings, or everything if there is an error.
    pub(super) fn finish(self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        if self.all.iter().any(Diagnostic::is_error) {
            Err(self.all)
        } else {
            Ok(self.all)
        }
    }
}

/// An error at several places, the first being the main one.
pub(super) fn error(summary: &str, detail: String, places: Vec<Place>, v1: String) -> Diagnostic {
    Diagnostic {
        places,
        v1: Some(v1),
        ..Diagnostic::error(summary, detail, Place::manifest(""))
    }
}

/// Where a node was declared: the place in the manifest first, then, for what modules ask for, the
/// place in the module. `suffix` is a pointer below the declaration.
pub(super) fn places(graph: &ResourceGraph, declared: &Declared, suffix: &str) -> Vec<Place> {
    match declared {
        Declared::Workload { .. } | Declared::Earlier => vec![Place::manifest("")],
        Declared::Shared(alias) => {
            let at = pointer("/shared", alias);
            vec![Place::manifest(format!("{at}{suffix}"))]
        }
        Declared::Resource(workload, alias) => {
            let at = pointer("/workloads", &graph.at(*workload).key.id);
            let at = pointer(&format!("{at}/resources"), alias);
            vec![Place::manifest(format!("{at}{suffix}"))]
        }
        Declared::Dependency(by, alias) => {
            let at = pointer("/dependencies", alias);
            module_places(graph, *by, &format!("{at}{suffix}"))
        }
        Declared::Coprovisioned(by, position) => {
            module_places(graph, *by, &format!("/coprovisioned/{position}{suffix}"))
        }
    }
}

/// The first declaration of a node.
pub(super) fn node_places(graph: &ResourceGraph, index: NodeIndex, suffix: &str) -> Vec<Place> {
    let node = graph.at(index);
    match node.declared.first() {
        Some(Declared::Workload { says_variables }) => {
            let at = pointer("/workloads", &node.key.id);
            let suffix = suffix.strip_prefix("/params").map_or_else(
                || suffix.to_owned(),
                |rest| {
                    let field = if *says_variables {
                        "variables"
                    } else {
                        "outputs"
                    };
                    format!("/{field}{rest}")
                },
            );
            vec![Place::manifest(format!("{at}{suffix}"))]
        }
        Some(declared) => places(graph, declared, suffix),
        None => vec![Place::manifest("")],
    }
}

/// The declaration whose params a node has.
pub(super) fn param_places(graph: &ResourceGraph, index: NodeIndex, suffix: &str) -> Vec<Place> {
    let node = graph.at(index);
    match node.declared.get(node.params_from) {
        None | Some(Declared::Workload { .. }) => node_places(graph, index, suffix),
        Some(declared) => places(graph, declared, suffix),
    }
}

/// A place in the module of a node; the node itself, in the manifest, comes first.
pub(super) fn module_places(graph: &ResourceGraph, index: NodeIndex, at: &str) -> Vec<Place> {
    let mut places = vec![root(graph, index)];
    if let Some(module) = &graph.at(index).module {
        places.push(Place::at(
            Document::Module {
                id: module.id.clone(),
                version: module.version_id.clone(),
            },
            at,
        ));
    }
    places
}

/// The resource of the manifest that a node is there for. The first declarer of a node is always
/// older than the node, so this ends.
fn root(graph: &ResourceGraph, index: NodeIndex) -> Place {
    let mut index = index;
    for _ in 0..graph.index.len() {
        match graph.at(index).declared.first() {
            Some(Declared::Dependency(by, _) | Declared::Coprovisioned(by, _)) => index = *by,
            Some(_) | None => break,
        }
    }
    node_places(graph, index, "")
        .into_iter()
        .next()
        .unwrap_or_else(|| Place::manifest(""))
}
