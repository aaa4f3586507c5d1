//! Graphs as pictures: SVG, mermaid, or a page that stands alone.

use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;

use anyhow::Context as _;
use serde_json::Value;

use super::exit::Exit;
use super::get::{self, Out};
use super::{Session, files, kinds, print};
use crate::ui::{Picture, mermaid, page, svg};
use crate::wire::deployments::{ActiveNode, DeploymentGraph};

/// What `--graph` asks for: a form, printed; or a file, whose name says the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    format: PictureFormat,
    file: Option<PathBuf>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ending = text.rsplit_once('.').map(|(_, ending)| ending);
        let format = match ending.unwrap_or(text) {
            "svg" => PictureFormat::Svg,
            "html" => PictureFormat::Html,
            "mermaid" => PictureFormat::Mermaid,
            "mmd" if ending.is_some() => PictureFormat::Mermaid,
            _ => return Err(
                "say `svg`, `mermaid` or `html` to print it, or a file that ends in .svg, .mmd or .html"
                    .to_owned(),
            ),
        };
        Ok(Self {
            format,
            file: ending.map(|_| PathBuf::from(text)),
        })
    }
}

impl Wanted {
    /// Prints the picture, or writes it and prints where.
    pub(crate) fn give(&self, picture: &str) -> anyhow::Result<()> {
        match &self.file {
            None => Ok(print::data(picture)?),
            Some(path) => {
                files::write_public(path, picture.as_bytes())?;
                Ok(print::data(&path.display().to_string())?)
            }
        }
    }

    /// Its form.
    pub(crate) fn format(&self) -> PictureFormat {
        self.format
    }
}

/// Forms of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureFormat {
    /// A picture
    Svg,
    /// Text that pull requests and wikis draw
    Mermaid,
    /// A page that stands alone
    Html,
}

/// What exists in an environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Active {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// As a picture: `mermaid` (the default), `svg` or `html`, or a file that ends in .mmd, .svg or .html
    #[arg(long, value_name = "FORMAT|FILE", num_args = 0..=1, default_missing_value = "mermaid")]
    graph: Option<Wanted>,
    #[command(flatten)]
    out: Out,
}

/// Write the graph of an environment to a page and open it
#[derive(Debug, clap::Args)]
pub(crate) struct Render {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Write to this file, or - for standard output; a temporary file otherwise
    #[arg(long, alias = "output", value_name = "FILE|-")]
    result: Option<String>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
}

impl Active {
    /// Prints the graph.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let found = get::active_nodes(session, &self.project, &self.env).await?;
        let Some(wanted) = &self.graph else {
            print::value::print(&found["items"], self.out.out, kinds::NODE_COLUMNS)?;
            return Ok(Exit::OK);
        };
        let format = wanted.format();
        wanted.give(&active_picture(session, &found, &self.project, &self.env, format).await?)?;
        Ok(Exit::OK)
    }
}

impl Render {
    /// Writes the page and opens it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let found = get::active_nodes(session, &self.project, &self.env).await?;
        let page = active_picture(
            session,
            &found,
            &self.project,
            &self.env,
            PictureFormat::Html,
        )
        .await?;
        let path = match self.result.as_deref() {
            Some("-") => {
                print::data(&page)?;
                return Ok(Exit::OK);
            }
            Some(path) => PathBuf::from(path),
            None => {
                let file = tempfile::Builder::new()
                    .prefix(&format!("windlass-{}-{}-", self.project, self.env))
                    .suffix(".html")
                    .tempfile()
                    .context("could not make a temporary file")?;
                file.into_temp_path()
                    .keep()
                    .context("could not keep the temporary file")?
            }
        };
        files::write_public(&path, page.as_bytes())?;
        print::data(&path.display().to_string())?;
        if !self.no_open {
            open(&path);
        }
        Ok(Exit::OK)
    }
}

/// Asks the desktop to open a file; that there is none is not worth a word.
pub(crate) fn open(path: &std::path::Path) {
    if std::env::var_os("DISPLAY").is_none()
        && std::env::var_os("WAYLAND_DISPLAY").is_none()
        && !cfg!(target_os = "macos")
    {
        return;
    }
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = std::process::Command::new(opener)
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

/// What exists, with why it was chosen where the deployment that made it still says so.
async fn active_picture(
    session: &Session,
    found: &Value,
    project: &str,
    env: &str,
    format: PictureFormat,
) -> anyhow::Result<String> {
    let active: Vec<ActiveNode> = serde_json::from_value(found["items"].clone())?;
    let mut picture = Picture::of_active(&active);
    let graph: Option<DeploymentGraph> = match get::last_deployment(session, project, env).await? {
        Some(last) => {
            session
                .client()
                .await?
                .find(&format!("deployments/{}/graph", last.id))
                .await?
        }
        None => None,
    };
    if let Some(graph) = &graph {
        for node in &mut picture.nodes {
            node.why = graph
                .graph
                .nodes
                .iter()
                .find(|other| other.id == node.id)
                .and_then(|other| other.why.as_ref())
                .map(|why| why.scope.clone());
        }
    }
    render(
        &picture,
        graph.as_ref().map(|graph| &graph.graph),
        &format!("{project}/{env}"),
        "What exists now.",
        format,
    )
}

/// The graph of a deployment, with what it changed.
pub(crate) async fn of_deployment(
    session: &Session,
    id: &str,
    wanted: &Wanted,
) -> anyhow::Result<Exit> {
    let graph: DeploymentGraph = session
        .client()
        .await?
        .get(&format!("deployments/{}/graph", kinds::segment(id)))
        .await
        .map_err(|error| get::no_deployment(error, id, &session.settings.org))?;
    let picture = Picture::of(&graph.graph, Some(&graph.diff));
    let text = render(
        &picture,
        Some(&graph.graph),
        &format!("Deployment {id}"),
        "Green: added. Yellow: changed. Red: removed.",
        wanted.format(),
    )?;
    wanted.give(&text)?;
    Ok(Exit::OK)
}

fn render(
    picture: &Picture,
    graph: Option<&crate::wire::deployments::Graph>,
    title: &str,
    subtitle: &str,
    format: PictureFormat,
) -> anyhow::Result<String> {
    Ok(match format {
        PictureFormat::Svg => svg::render(picture, title, "g"),
        PictureFormat::Mermaid => mermaid::render(picture),
        PictureFormat::Html => page::graph(title, subtitle, picture, graph)?,
    })
}
