//! The passes that make a graph, in order. Each collects its problems; none stops the others unless
//! they could only repeat what was said.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::collect::Problems;
use super::expand::Expansion;
use super::{ResourceGraph, cycle, leaving, providers, resolve, validate};
use crate::catalog::{Catalogue, Module};
use crate::manifest::Manifest;
use crate::model::{Context, Diagnostic};

/// The last state-changing deployment of the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Previous<'a> {
    /// Its graph.
    pub(crate) graph: &'a ResourceGraph,
    /// Whether it failed: then what it was to remove may still be there.
    pub(crate) failed: bool,
}

/// What a graph is made of.
pub(crate) struct Build<'a> {
    /// Where.
    pub(crate) context: Context,
    /// What was asked.
    pub(crate) manifest: Manifest,
    /// What is offered.
    pub(crate) catalogue: &'a Catalogue,
    /// What was there before, whose remains must be destroyed.
    pub(crate) previous: Option<Previous<'a>>,
    /// The outputs that a module's code declares, where the code can be read.
    pub(crate) known_outputs: &'a dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
}

/// Builds the graph. Warnings come back beside it; errors are all that were found.
pub(crate) fn build(build: Build<'_>) -> Result<(ResourceGraph, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut expansion = Expansion::new(build.context, build.catalogue);
    expansion.seed(build.manifest);
    expansion.expand(&mut problems);
    let mut graph = expansion.finish(&mut problems);
    validate::params(&graph, &mut problems);
    if let Some(previous) = build.previous {
        leaving::add(&mut graph, previous);
    }
    providers::define(&mut graph, build.catalogue, build.previous);
    resolve::params(&mut graph, build.known_outputs, &mut problems);
    providers::assign(&mut graph, build.known_outputs, &mut problems);
    resolve::inputs(&mut graph, build.known_outputs, &mut problems);
    cycle::find(&graph, &mut problems);
    problems.finish().map(|warnings| (graph, warnings))
}
