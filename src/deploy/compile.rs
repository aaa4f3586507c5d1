//! The compiler as one pure function: manifest + catalogue → graph → bundle.
//!
//! No clock, no randomness, no I/O: the same input gives the same bytes. Every problem comes back at
//! once. Start at [`compile`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::catalog::Catalogue;
use crate::graph::ResourceGraph;
use crate::hcl::{Backend, Bundle};
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

pub(crate) use crate::graph::Previous;

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
    Graph::default()
}

/// Compiles. All errors are collected, in the order of the manifest.
pub(crate) fn compile(input: &Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    Err(vec![Diagnostic::error(
        "Not built yet",
        "The compiler is being built.",
        Place::manifest(""),
    )])
}

/// The one line (or list) that v1 answers with for these problems.
pub(crate) fn v1_message(problems: &[Diagnostic]) -> String {
    problems
        .iter()
        .find(|problem| problem.is_error())
        .map_or_else(String::new, |first| {
            first.v1.clone().unwrap_or_else(|| first.detail.clone())
        })
}
