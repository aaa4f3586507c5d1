//! Fields of params that the chosen module does not honour: the engine drops what the type of a variable leaves out, and
//! says nothing. A warning, because another environment's module for the same manifest may well honour it.

use super::Code;
use crate::graph::{self, ResourceGraph};
use crate::hcl::Shape;
use crate::model::{Diagnostic, Place};

/// Warnings for everything in the manifest that goes nowhere, in the order of the nodes.
pub(super) fn warnings(graph: &ResourceGraph, code: &Code<'_>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for node in graph.nodes().filter(|node| !node.leaving) {
        let (Some(module), Some(params)) = (&node.module, &node.params) else {
            continue;
        };
        let Some(facts) = code.facts(module) else {
            continue;
        };
        for (name, value) in params {
            let shape = facts.types.get(name);
            let Some(shape) = shape.filter(|shape| !shape.keeps(value)) else {
                continue;
            };
            let Some(at) = graph::asked_in_manifest(graph, node) else {
                continue;
            };
            let mut dropped = Vec::new();
            Shape::dropped(shape, value, &format!("{at}/params/{name}"), &mut dropped);
            warnings.extend(dropped.into_iter().map(|pointer| {
                let field = pointer.rsplit('/').next().unwrap_or_default().to_owned();
                Diagnostic::warning(
                    "Not honoured",
                    format!(
                        "The module `{}`, which makes `{}`, has no use for `{field}`: it will be left out.",
                        module.id, node.key
                    ),
                    Place::manifest(pointer),
                )
            }));
        }
    }
    warnings
}
