//! The compiler as one pure function: manifest + catalogue → graph → bundle.
//!
//! No clock, no randomness, no I/O: the same input gives the same bytes. Every problem comes back at
//! once. Start at [`compile`].

mod honoured;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::{Catalogue, Module};
pub(crate) use crate::graph::Previous;
use crate::graph::{self, Build, ResourceGraph};
use crate::hcl::{self, Backend, Bundle, Sources};
use crate::manifest;
use crate::model::diag::Document;
use crate::model::phase::Mode;
use crate::model::{Context, Diagnostic, Place};
use crate::runner::job::Label;
use crate::wire::deployments::{Diff, Graph, Metrics};

/// Everything a compilation depends on.
pub(crate) struct Input<'a> {
    /// Where it is deployed.
    pub(crate) context: Context,
    /// What for. Rollback and destroy take modules, versions and providers from `target`, not from rules.
    pub(crate) mode: Mode,
    /// The manifest after all operations; of rollback and destroy: that of the target deployment.
    pub(crate) manifest: &'a Value,
    /// Whether unknown keys are errors.
    pub(crate) strict: bool,
    /// What the environment offers.
    pub(crate) catalogue: &'a Catalogue,
    /// The last state-changing deployment of the environment.
    pub(crate) previous: Option<Previous<'a>>,
    /// Rollback: the graph to go back to. Destroy: the graph to destroy (the last one).
    pub(crate) target: Option<&'a ResourceGraph>,
    /// Where the state is.
    pub(crate) backend: &'a Backend,
    /// Files of module directories by digest (`sha256:HEX`), for all modules that have one.
    pub(crate) sources: &'a BTreeMap<String, Arc<BTreeMap<String, Vec<u8>>>>,
    /// The environment's dependency lock file.
    pub(crate) lock_file: Option<&'a str>,
}

/// What comes out.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    /// The normal form of the manifest, to be stored.
    pub(crate) manifest: Value,
    /// The graph, to be stored.
    pub(crate) graph: ResourceGraph,
    /// What the runner gets.
    pub(crate) bundle: Bundle,
    /// Label of each module block to what it stands for.
    pub(crate) labels: BTreeMap<String, Label>,
    /// Against `previous`. Ids of deployments are the caller's to fill.
    pub(crate) diff: Diff,
    /// Workloads and resources.
    pub(crate) metrics: Metrics,
    /// What does not stop it.
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Compiled {
    /// The graph as people and pages see it. Made on demand: most compilations are not looked at.
    pub(crate) fn view(&self) -> Graph {
        view(&self.graph)
    }
}

/// A graph (a fresh or a stored one) as people and pages see it.
pub(crate) fn view(graph: &ResourceGraph) -> Graph {
    let mut shown = graph::view(graph);
    let mut words = hcl::resolved(graph);
    for node in &mut shown.nodes {
        node.resolved = words.remove(&node.key).unwrap_or_default();
        if node.module_id.is_some() && !node.leaving {
            node.label = Some(hcl::module_label(&node.key));
        }
    }
    shown
}

/// Compiles. All errors are collected, in the order of the manifest.
pub(crate) fn compile(input: &Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    compile_with(input).map_err(|problems| in_order(input.manifest, problems))
}

fn compile_with(input: &Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    let mut checked = manifest::check_whole(input.manifest, input.strict);
    let has_errors = checked.found.iter().any(Diagnostic::is_error);
    if has_errors && !checked.is_whole {
        return Err(checked.found);
    }
    let normal = checked.manifest.to_value();
    let workloads = checked.manifest.workloads.len();
    let slice;
    let (catalogue, previous) = match (input.mode, input.target) {
        (Mode::Deploy | Mode::PlanOnly, _) => (input.catalogue, input.previous),
        (_, None) => return Err(vec![no_target()]),
        (Mode::Rollback | Mode::RollbackPlan, Some(target)) => {
            slice = target.slice();
            (&slice, input.previous)
        }
        // These replay the bundle as it was, so that nobody asks for them here; they would be compiled alike.
        (
            Mode::Destroy
            | Mode::StateImport
            | Mode::StateImportPlan
            | Mode::StateDismiss
            | Mode::StateMove,
            Some(target),
        ) => {
            slice = target.slice();
            // What was leaving already goes with the rest.
            let remains = Previous {
                graph: target,
                failed: true,
            };
            (&slice, Some(remains))
        }
    };
    let code = Code::new(input.sources);
    let built = graph::build(Build {
        context: input.context.clone(),
        manifest: checked.manifest,
        catalogue,
        previous,
        known_outputs: &|module| Some(Arc::clone(&code.facts(module)?.outputs)),
    });
    let graph = match built {
        Ok((graph, warnings)) => {
            checked.found.extend(warnings);
            graph
        }
        Err(problems) => {
            checked.found.extend(problems);
            return Err(checked.found);
        }
    };
    if has_errors {
        return Err(checked.found);
    }
    checked.found.extend(honoured::warnings(&graph, &code));
    let rendered = hcl::render(&graph, input.backend, input.sources, input.lock_file)?;
    let labels = rendered
        .labels
        .into_iter()
        .filter_map(|(label, index)| {
            let node = graph.at(index);
            let module = node.module.as_ref()?;
            let label_of = Label {
                module_id: module.id.clone(),
                module_version: module.version_id.clone(),
                resource: node.key.clone(),
            };
            Some((label, label_of))
        })
        .collect();
    let (diff, metrics) = match (input.mode, input.target) {
        (Mode::Destroy, Some(target)) => (graph::removal(target), Metrics::default()),
        _ => (
            graph::diff(input.previous.map(|previous| previous.graph), &graph),
            Metrics {
                num_workloads: workloads as u64,
                num_resource_nodes: graph.resource_count() as u64,
                ..Metrics::default()
            },
        ),
    };
    Ok(Compiled {
        manifest: normal,
        graph,
        bundle: rendered.bundle,
        labels,
        diff,
        metrics,
        warnings: checked.found,
    })
}

fn no_target() -> Diagnostic {
    Diagnostic::error(
        "No earlier deployment",
        "There is no deployment whose resources are known. Deploy a manifest instead.",
        Place::manifest(""),
    )
}

/// Code of modules, read when it is asked for, each once.
struct Code<'a> {
    sources: &'a Sources,
    /// By id of the module.
    read: RefCell<BTreeMap<String, Versions>>,
}

/// Of one module, by id of the version.
type Versions = BTreeMap<String, Option<Arc<Facts>>>;

/// What a module's code says about itself.
struct Facts {
    outputs: Arc<BTreeSet<String>>,
    types: BTreeMap<String, hcl::Shape>,
}

impl<'a> Code<'a> {
    fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            read: RefCell::default(),
        }
    }

    /// What the code says about itself, where it can be read.
    fn facts(&self, module: &Module) -> Option<Arc<Facts>> {
        let read = self.read.borrow();
        let known = read
            .get(&module.id)
            .and_then(|versions| versions.get(&module.version_id));
        if let Some(known) = known {
            return known.clone();
        }
        drop(read);
        let facts = match (&module.module_source_code, &module.digest) {
            (Some(code), _) => hcl::check_module(code).ok(),
            (None, Some(digest)) => self
                .sources
                .get(digest)
                .and_then(|files| hcl::check_module_files(files).ok().flatten()),
            (None, None) => None,
        };
        let facts = facts.map(|facts| {
            Arc::new(Facts {
                outputs: Arc::new(facts.outputs),
                types: facts.types,
            })
        });
        self.read
            .borrow_mut()
            .entry(module.id.clone())
            .or_default()
            .insert(module.version_id.clone(), facts.clone());
        facts
    }
}

/// Sorts by the place in the manifest; what has none comes last.
fn in_order(manifest: &Value, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_cached_key(|problem| {
        let place = problem.places.first();
        let place = place.filter(|place| place.document == Document::Manifest);
        place.map_or(vec![usize::MAX], |place| position(manifest, &place.pointer))
    });
    problems
}

/// The way of a pointer in positions, so that order is that of the text.
fn position(value: &Value, pointer: &str) -> Vec<usize> {
    let mut way = Vec::new();
    let mut value = value;
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let (at, inner) = match value {
            Value::Object(map) => {
                let at = map.keys().position(|key| *key == segment);
                (at, map.get(&segment))
            }
            Value::Array(list) => {
                let at = segment.parse::<usize>().ok();
                (at, at.and_then(|at| list.get(at)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (None, None),
        };
        way.push(at.unwrap_or(usize::MAX));
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    way
}

/// v1's list of the nodes of a graph that have errors, if there are any.
pub(crate) fn graph_message(problems: &[Diagnostic]) -> Option<String> {
    let lines: BTreeSet<&str> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .filter_map(|problem| problem.v1.as_deref())
        .filter(|v1| v1.starts_with("type="))
        .flat_map(|v1| v1.split("\n\t"))
        .collect();
    let head = format!("graph contains {} errors:", lines.len());
    (!lines.is_empty()).then(|| lines.iter().fold(head, |text, line| text + "\n\t" + line) + "\n")
}

#[cfg(test)]
mod tests;
