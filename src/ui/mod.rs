//! Pictures and pages: a resource graph as SVG, mermaid or a page that needs no network.
//!
//! Pure: no files, no clock. Everything that comes from users is escaped, by the templates or by
//! [`svg`]. Start at [`Picture`]; the page of the demo is [`page::demo`], the pages of a server are in [`console`].
//!
//! Why the layout is made here and not in a browser: the picture is the same on every machine, in a
//! pull request and in the console, and no script library has to be trusted or shipped.

pub(crate) mod console;
pub(crate) mod layout;
pub(crate) mod mermaid;
pub(crate) mod page;
pub(crate) mod svg;

use std::collections::BTreeMap;

use crate::wire::deployments::{ActiveNode, Diff, Graph};

/// What is drawn: nodes in the order given, edges by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Boxes.
    pub(crate) nodes: Vec<Node>,
    /// Arrows, from what needs to what is needed.
    pub(crate) edges: Vec<Edge>,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Hash of the node; what [`Diff`] and metadata go by.
    pub(crate) id: String,
    /// First line: the resource id, or the workload.
    pub(crate) name: String,
    /// Second line: type, with the class where it is not `default`.
    pub(crate) kind: String,
    /// Third line: module and version.
    pub(crate) module: Option<String>,
    /// Why this module, in one sentence.
    pub(crate) why: Option<String>,
    /// What happens to it.
    pub(crate) mark: Mark,
    /// Whether it stands for a workload.
    pub(crate) is_workload: bool,
}

/// An arrow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// Index of the node that needs.
    pub(crate) from: usize,
    /// Index of the node that is needed.
    pub(crate) to: usize,
    /// The alias, where it has one.
    pub(crate) alias: Option<String>,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing.
    Same,
    /// It is new.
    Added,
    /// Its module or params change.
    Changed,
    /// It goes away.
    Removed,
}

impl Mark {
    /// The word shown and used as a class.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Same => "unchanged",
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Picture {
    /// A graph, with what `diff` says about its nodes.
    pub(crate) fn of(graph: &Graph, diff: Option<&Diff>) -> Self {
        let marks: BTreeMap<&str, Mark> = diff
            .into_iter()
            .flat_map(|diff| &diff.changes)
            .map(|change| {
                let mark = match change.kind.as_str() {
                    "added" => Mark::Added,
                    "removed" => Mark::Removed,
                    _ => Mark::Changed,
                };
                (change.id.as_str(), mark)
            })
            .collect();
        let index: BTreeMap<&str, usize> = graph
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| (node.id.as_str(), at))
            .collect();
        let nodes = graph
            .nodes
            .iter()
            .map(|node| Node {
                id: node.id.clone(),
                name: node.key.id.clone(),
                kind: kind(&node.key.type_name, &node.key.class),
                module: node
                    .module_id
                    .as_ref()
                    .map(|module| match &node.module_version {
                        Some(version) => format!("{module}@{}", short(version)),
                        None => module.clone(),
                    }),
                why: node.why.as_ref().map(|why| why.scope.clone()),
                mark: if node.leaving {
                    Mark::Removed
                } else {
                    marks.get(node.id.as_str()).copied().unwrap_or(Mark::Same)
                },
                is_workload: node.key.is_workload(),
            })
            .collect();
        let edges = graph
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(from, node)| {
                let index = &index;
                node.edges.iter().filter_map(move |(alias, to)| {
                    Some(Edge {
                        from,
                        to: *index.get(to.as_str())?,
                        alias: named(alias),
                    })
                })
            })
            .collect();
        Self { nodes, edges }
    }

    /// What exists in an environment.
    pub(crate) fn of_active(active: &[ActiveNode]) -> Self {
        let index: BTreeMap<&str, usize> = active
            .iter()
            .enumerate()
            .map(|(at, node)| (node.id.as_str(), at))
            .collect();
        let nodes = active
            .iter()
            .map(|node| Node {
                id: node.id.clone(),
                name: node.resource_id.clone(),
                kind: kind(&node.resource_type, &node.resource_class),
                module: (!node.module_id.is_empty())
                    .then(|| format!("{}@{}", node.module_id, short(&node.module_version))),
                why: None,
                mark: Mark::Same,
                is_workload: node.resource_type == crate::model::WORKLOAD_TYPE,
            })
            .collect();
        let edges = active
            .iter()
            .enumerate()
            .flat_map(|(from, node)| {
                let index = &index;
                node.edges.iter().filter_map(move |(alias, to)| {
                    Some(Edge {
                        from,
                        to: *index.get(to.as_str())?,
                        alias: named(alias),
                    })
                })
            })
            .collect();
        Self { nodes, edges }
    }
}

fn kind(type_name: &str, class: &str) -> String {
    if type_name == crate::model::WORKLOAD_TYPE {
        "workload".to_owned()
    } else if class == crate::model::DEFAULT_CLASS {
        type_name.to_owned()
    } else {
        format!("{type_name}.{class}")
    }
}

/// An alias that a person wrote; anonymous edges have a base64 one of 43 or 44 characters.
fn named(alias: &str) -> Option<String> {
    let hash = alias.len() >= 43
        && alias.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
        });
    (!hash).then(|| alias.to_owned())
}

/// The last part of a version that is a UUID, else the version.
pub(crate) fn short(version: &str) -> &str {
    if version.len() == 36 && version.bytes().filter(|byte| *byte == b'-').count() == 4 {
        &version[28..]
    } else {
        version
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A workload that needs two resources, one of which needs the other.
    pub(crate) fn picture() -> Picture {
        let node = |name: &str, kind: &str, module: Option<&str>, mark| Node {
            id: format!("hash-{name}"),
            name: name.into(),
            kind: kind.into(),
            module: module.map(str::to_owned),
            why: module.map(|_| "environment type development".into()),
            mark,
            is_workload: module.is_none(),
        };
        let edge = |from, to, alias: &str| Edge {
            from,
            to,
            alias: Some(alias.into()),
        };
        Picture {
            nodes: vec![
                node("web", "workload", None, Mark::Same),
                node(
                    "workloads.web.app",
                    "score-workload",
                    Some("app@1"),
                    Mark::Changed,
                ),
                node("shared.db", "postgres.<large>", Some("pg@2"), Mark::Added),
            ],
            edges: vec![edge(0, 1, "app"), edge(0, 2, "db"), edge(1, 2, "db")],
        }
    }

    #[test]
    fn a_version_that_is_a_uuid_is_shown_by_its_end() {
        assert_eq!(short("0190f3a2-1111-7222-8333-44445555aaaa"), "5555aaaa");
        assert_eq!(short("v1.2.3"), "v1.2.3");
    }

    #[test]
    fn anonymous_edges_have_no_label() {
        assert_eq!(named("db"), Some("db".into()));
        assert_eq!(named("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"), None);
    }
}
