//! `--dry-run`: the whole graph with what goes into every module and why that module was chosen.

use std::fmt::Write as _;

use super::source::Request;
use super::{RunFlags, Summary, changes};
use crate::cli::exit::Exit;
use crate::cli::print;
use crate::wire::deployments::{DryRun, Graph};

/// Prints the answer to a dry run.
pub(crate) fn show(request: &Request, preview: &DryRun, flags: &RunFlags) -> anyhow::Result<Exit> {
    match (flags.summary, flags.out) {
        (Some(Summary::Markdown), _) => {
            print::data(&super::report::markdown_of_preview(request, preview))?
        }
        (None, Some(markup)) => {
            print::value::print(&serde_json::to_value(preview)?, markup.into(), &[])?;
        }
        (None, None) => print::data(&text(preview))?,
    }
    print::success("Dry-run deployment is valid.");
    Ok(
        if flags.detailed_exitcode && !preview.diff.changes.is_empty() {
            Exit::CHANGES
        } else {
            Exit::OK
        },
    )
}

/// The answer in words.
fn text(preview: &DryRun) -> String {
    let mut text = String::new();
    if let Some(extras) = &preview.windlass {
        text.push_str(&graph(&extras.graph));
        text.push('\n');
    }
    text.push_str(&changes::graph_diff(&preview.diff));
    let _ = writeln!(text, "Runner: {}", preview.runner_id);
    text
}

/// A graph as a list: every node, its module, why, and its inputs.
pub(crate) fn graph(graph: &Graph) -> String {
    let workloads = graph
        .nodes
        .iter()
        .filter(|node| node.key.is_workload())
        .count();
    let mut text = print::paint(
        print::BOLD,
        format!(
            "{} resources of {workloads} workloads",
            graph.nodes.len() - workloads
        ),
    );
    text.push('\n');
    for node in &graph.nodes {
        let name = if node.key.is_workload() {
            format!("workload {}", node.key.id)
        } else {
            node.key.short()
        };
        let _ = write!(text, "\n{}", print::paint(print::BOLD, name));
        if let Some(module) = &node.module_id {
            let version = node.module_version.as_deref().unwrap_or_default();
            let _ = write!(text, "  module {module}@{version}");
        }
        if node.leaving {
            text.push_str(&print::paint(print::BAD, "  leaving"));
        }
        text.push('\n');
        if let Some(why) = &node.why {
            let _ = writeln!(text, "  why: {}", why.scope);
            for lost in &why.lost {
                let _ = writeln!(
                    text,
                    "{}",
                    print::paint(print::DIM, format!("       not {lost}"))
                );
            }
        }
        if !node.declared_by.is_empty() {
            let _ = writeln!(
                text,
                "{}",
                print::paint(print::DIM, format!("  declared by {}", node.declared_by))
            );
        }
        for (name, value) in &node.resolved {
            let _ = writeln!(
                text,
                "  {} = {}",
                print::harmless(name),
                print::harmless(value)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceKey;
    use crate::wire::deployments::{Choice, GraphNode};
    use std::collections::BTreeMap;

    #[test]
    fn every_node_says_its_module_its_inputs_and_why() {
        let node = GraphNode {
            id: "h".into(),
            key: ResourceKey::new("postgres", "default", "shared.db"),
            module_id: Some("pg-local".into()),
            module_version: Some("v2".into()),
            label: Some("l".into()),
            why: Some(Choice {
                rule_id: "r".into(),
                scope: "environment type development".into(),
                lost: vec!["pg-big (everywhere)".into()],
            }),
            declared_by: "/shared/db".into(),
            params: None,
            resolved: BTreeMap::from([("size".into(), "\"small\"".into())]),
            edges: BTreeMap::new(),
            leaving: false,
        };
        let text = graph(&Graph { nodes: vec![node] });
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r#"
        1 resources of 0 workloads

        postgres.default@shared.db  module pg-local@v2
          why: environment type development
               not pg-big (everywhere)
          declared by /shared/db
          size = "small"
        "#);
    }
}
