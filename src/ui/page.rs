//! Pages that stand alone: one file, no network, no script.

use askama::Template;

use super::{Picture, svg};
use crate::wire::deployments::{Diff, Graph};

/// A row of the list under a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    name: String,
    kind: String,
    module: String,
    why: String,
    lost: Vec<String>,
    needs: String,
    mark: &'static str,
}

/// Rows of a picture; rules that lost come from the graph where it is at hand.
pub(crate) fn rows(picture: &Picture, graph: Option<&Graph>) -> Vec<Row> {
    picture
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let needs: Vec<String> = picture
                .edges
                .iter()
                .filter(|edge| edge.from == index)
                .map(|edge| {
                    let to = &picture.nodes[edge.to].name;
                    match &edge.alias {
                        Some(alias) if !to.ends_with(alias.as_str()) => format!("{to} as {alias}"),
                        Some(_) | None => to.clone(),
                    }
                })
                .collect();
            let lost = graph
                .and_then(|graph| graph.nodes.iter().find(|other| other.id == node.id))
                .and_then(|node| node.why.as_ref())
                .map(|why| why.lost.clone())
                .unwrap_or_default();
            Row {
                name: node.name.clone(),
                kind: node.kind.clone(),
                module: node.module.clone().unwrap_or_else(|| "–".into()),
                why: match (&node.why, node.is_workload) {
                    (Some(why), _) => why.clone(),
                    (None, true) => "stands for the workload itself".into(),
                    (None, false) => "–".into(),
                },
                lost,
                needs: if needs.is_empty() {
                    "–".into()
                } else {
                    needs.join(", ")
                },
                mark: node.mark.word(),
            }
        })
        .collect()
}

#[derive(Template)]
#[template(path = "graph.html", config = "src/ui/askama.toml")]
struct GraphPage<'a> {
    title: &'a str,
    subtitle: &'a str,
    svg: String,
    rows: &'a [Row],
}

/// One graph as a page.
pub(crate) fn graph(
    title: &str,
    subtitle: &str,
    picture: &Picture,
    graph: Option<&Graph>,
) -> Result<String, askama::Error> {
    GraphPage {
        title,
        subtitle,
        svg: svg::render(picture, title, "g"),
        rows: &rows(picture, graph),
    }
    .render()
}

/// One environment of the demo.
pub(crate) struct DemoEnvironment {
    /// Anchor.
    pub(crate) id: String,
    /// Heading.
    pub(crate) title: String,
    /// Its type.
    pub(crate) environment_type: String,
    /// How the deployment ended.
    pub(crate) outcome: String,
    /// How long it took.
    pub(crate) took: String,
    /// The deployment.
    pub(crate) deployment: String,
    svg: String,
    rows: Vec<Row>,
    /// What was opened, as YAML.
    pub(crate) outputs: String,
    sealed_hex: String,
    sealed_bytes: usize,
    sealed_more: bool,
}

/// How much ciphertext is shown.
const SHOWN_BYTES: usize = 512;

impl DemoEnvironment {
    /// Fills in the graph and the sealed bytes.
    pub(crate) fn new(id: &str, title: &str, graph: &Graph, diff: &Diff, sealed: &[u8]) -> Self {
        let picture = Picture::of(graph, Some(diff));
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            environment_type: String::new(),
            outcome: String::new(),
            took: String::new(),
            deployment: String::new(),
            svg: svg::render(&picture, title, id),
            rows: rows(&picture, Some(graph)),
            outputs: String::new(),
            sealed_hex: hex_dump(&sealed[..sealed.len().min(SHOWN_BYTES)]),
            sealed_bytes: sealed.len(),
            sealed_more: sealed.len() > SHOWN_BYTES,
        }
    }
}

/// A command to try next.
pub(crate) struct Step {
    /// What it does.
    pub(crate) what: String,
    /// The command.
    pub(crate) command: String,
}

#[derive(Template)]
#[template(path = "demo.html", config = "src/ui/askama.toml")]
struct DemoPage<'a> {
    runner_words: &'a str,
    manifest: &'a str,
    environments: &'a [DemoEnvironment],
    steps: &'a [Step],
}

/// The page at the end of the demo; needs at least one environment.
pub(crate) fn demo(
    runner_words: &str,
    manifest: &str,
    environments: &[DemoEnvironment],
    steps: &[Step],
) -> Result<String, askama::Error> {
    DemoPage {
        runner_words,
        manifest,
        environments,
        steps,
    }
    .render()
}

/// Bytes as `0000  4a 5b …`, 24 a line.
fn hex_dump(bytes: &[u8]) -> String {
    bytes
        .chunks(24)
        .enumerate()
        .map(|(line, chunk)| {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:04x}  {}", line * 24, hex.join(" "))
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::tests::picture;

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_escapes_what_users_wrote() {
        let page = graph("shop <script>", "last deployment", &picture(), None).expect("renders");
        assert!(page.contains("shop &#60;script&#62;") || page.contains("shop &lt;script&gt;"));
        assert!(!page.contains("<script"));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
        assert!(
            page.contains("<td>postgres.&#60;large&#62;</td>")
                || page.contains("<td>postgres.&lt;large&gt;</td>")
        );
    }

    #[test]
    fn the_demo_page_shows_both_sides_of_the_seal() {
        let graph = Graph::default();
        let mut one =
            DemoEnvironment::new("dev", "shop/dev", &graph, &Diff::default(), &[0xab; 600]);
        one.outputs = "web:\n  url: http://x\n".into();
        let steps = [Step {
            what: "Change something".into(),
            command: "windlass deploy".into(),
        }];
        let page = demo("Runs in Docker.", "workloads: {}", &[one], &steps).expect("renders");
        assert!(page.contains("url: http://x"));
        assert!(page.contains("0000  ab ab"));
        assert!(page.contains("600 bytes"));
    }
}
