//! What can be asked of a deployment beside its course: why a node is as it is, and what exactly was run.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::plan::StoredBundle;
use super::{Error, Service, read};
use crate::store::deployments::documents::Kind;
use crate::wire::deployments::{Graph, GraphNode};
use crate::wire::explain::{Explanation, Input, Origin};

impl Service {
    /// Why a node of a deployment's graph is as it is. The node is named by its hash, its key in either form, or its id
    /// where only one node has it.
    pub(crate) async fn explain(
        &self,
        org: &str,
        id: &str,
        node: &str,
    ) -> Result<Explanation, Error> {
        let graph = self.graph(org, id).await?.graph;
        let is_named = |found: &&GraphNode| {
            found.id == node || found.key.short() == node || found.key.to_string() == node
        };
        let found = graph.nodes.iter().find(is_named).or_else(|| {
            let mut same = graph.nodes.iter().filter(|found| found.key.id == node);
            same.next().filter(|_| same.next().is_none())
        });
        let Some(found) = found else {
            let there: Vec<String> = graph.nodes.iter().map(|node| node.key.short()).collect();
            let there = match there.is_empty() {
                true => "it has none".to_owned(),
                false => format!("there are: {}", there.join(", ")),
            };
            return Err(Error::NotFound(format!(
                "deployment '{id}' has no resource '{node}'; {there}"
            )));
        };
        Ok(explanation(&graph, found))
    }

    /// Everything that the engine was given for a deployment, as a tar archive of its files in the order of their paths.
    pub(crate) async fn bundle(&self, org: &str, id: &str) -> Result<Vec<u8>, Error> {
        let mut reading = self.store.reading().await?;
        read::required(&mut reading, org, id).await?;
        let bundle: Option<StoredBundle> =
            self.store.document(&mut reading, id, Kind::Bundle).await?;
        let bundle =
            bundle.ok_or_else(|| Error::NotFound(format!("deployment '{id}' has no bundle")))?;
        archive(&bundle).map_err(|error| Error::Internal(error.to_string()))
    }
}

fn explanation(graph: &Graph, node: &GraphNode) -> Explanation {
    let is_asked = |name: &str| {
        let params = node.params.as_ref();
        params.is_some_and(|params| params.contains_key(name))
    };
    let module = match (&node.module_id, &node.module_version) {
        (Some(id), Some(version)) => format!("module {id} version {version}"),
        _ => String::new(),
    };
    let inputs = node.resolved.iter().map(|(name, value)| {
        let (origin, at) = match node.module_id {
            None => (
                Origin::Output,
                format!("{}/outputs/{name}", node.declared_by),
            ),
            Some(_) if is_asked(name) => {
                (Origin::Param, format!("{}/params/{name}", node.declared_by))
            }
            Some(_) => (Origin::Module, format!("{module}, module_inputs/{name}")),
        };
        Input {
            name: name.clone(),
            value: value.clone(),
            origin,
            at,
            reads: read_by(graph, value),
        }
    });
    let uses = |other: &&GraphNode| other.edges.values().any(|to| *to == node.id);
    Explanation {
        inputs: inputs.collect(),
        used_by: graph
            .nodes
            .iter()
            .filter(uses)
            .map(|other| other.key.short())
            .collect(),
        node: node.clone(),
    }
}

/// The resources whose outputs stand in an expression.
fn read_by(graph: &Graph, expression: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let labels: Vec<&str> = expression
        .split("module.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !is_part(c)).next().unwrap_or_default())
        .collect();
    let is_read = |node: &&GraphNode| {
        let label = node.label.as_deref();
        label.is_some_and(|label| labels.contains(&label))
    };
    graph
        .nodes
        .iter()
        .filter(is_read)
        .map(|node| node.key.short())
        .collect()
}

fn archive(bundle: &StoredBundle) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in &bundle.files {
        let content = BASE64_STANDARD
            .decode(content)
            .map_err(std::io::Error::other)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceKey;

    #[test]
    fn an_expression_reads_the_modules_that_it_names_and_no_longer_ones() {
        let node = |id: &str, label: &str| GraphNode {
            id: id.to_owned(),
            key: ResourceKey::new("db", "default", id),
            module_id: None,
            module_version: None,
            label: Some(label.to_owned()),
            why: None,
            declared_by: String::new(),
            params: None,
            resolved: Default::default(),
            edges: Default::default(),
            leaving: false,
        };
        let graph = Graph {
            nodes: vec![node("one", "db_one_1"), node("two", "db_one_12")],
        };
        assert_eq!(
            read_by(&graph, "\"${module.db_one_12.host}:1\""),
            ["db.default@two"]
        );
        assert_eq!(
            read_by(&graph, "[module.db_one_1.a, module.db_one_12.a]").len(),
            2
        );
        assert!(read_by(&graph, "\"text\"").is_empty());
    }
}
