//! Where a manifest comes from: a file, standard input, an earlier deployment, another environment;
//! and the edits on top. The result is a base and operations, which the server applies, twice.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cli::Session;
use crate::cli::exit::{Advised, Findings};
use crate::cli::{get, print};
use crate::manifest::edit::Operation;
use crate::score::Converted;
use crate::text::{self, Document};
use crate::wire::deployments::Base;

/// Edits on top of the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edits {
    /// Keep what is deployed.
    pub(crate) merge: bool,
    /// Workloads to remove.
    pub(crate) drop_workloads: Vec<String>,
    /// Shared resources to remove.
    pub(crate) drop_shared: Vec<String>,
    /// `PATH=VALUE`.
    pub(crate) set: Vec<String>,
}

/// What to deploy where.
pub(crate) struct Request {
    /// Project.
    pub(crate) project: String,
    /// Environment.
    pub(crate) env: String,
    /// What the operations start from.
    pub(crate) base: Base,
    /// Applied in order.
    pub(crate) operations: Vec<Operation>,
    /// Go back to this deployment instead; there are no operations then.
    pub(crate) rollback_to: Option<String>,
    /// Whether unknown keys are errors.
    pub(crate) strict: bool,
    /// The texts that the user gave, for places in answers.
    pub(crate) texts: Vec<SourceText>,
    /// Where the operations were made of Score files: knows what came from where.
    pub(crate) score: Option<Converted>,
}

/// A text that the user gave, as it was parsed.
pub(crate) struct SourceText {
    /// The file as the user named it, or `standard input`.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: std::sync::Arc<str>,
    /// Its places.
    pub(crate) document: Document,
    /// Where the document stands in the manifest, as a JSON pointer: empty for a whole manifest.
    pub(crate) mounted_at: String,
}

impl Request {
    /// For the question.
    pub(crate) fn verb(&self) -> &'static str {
        if self.rollback_to.is_some() {
            "Roll back"
        } else {
            "Deploy to"
        }
    }
}

/// Reads the source and puts the edits on top.
pub(crate) async fn load(
    session: &Session,
    project: String,
    env: String,
    source: &str,
    edits: Edits,
) -> anyhow::Result<Request> {
    let mut request = Request {
        project,
        env,
        base: Base::Empty,
        operations: Vec::new(),
        rollback_to: None,
        strict: false,
        texts: Vec::new(),
        score: None,
    };
    match parse_source(source)? {
        Source::Text { name, bytes } => {
            let text = read_document(&name, &bytes)?;
            let manifest = text.document.value.clone();
            request.strict = true;
            request.texts.push(text);
            if edits.merge {
                request.base = Base::Last;
                request.operations.push(Operation::Merge(manifest));
            } else {
                request.operations.push(Operation::Replace(manifest));
            }
            print::note("Loaded manifest.");
        }
        Source::Stored(base) if edits.merge && base != Base::Last => {
            let manifest = stored(session, &request.project, &base).await?;
            request.base = Base::Last;
            request.operations.push(Operation::Merge(manifest));
        }
        Source::Stored(base) => request.base = base,
    }
    request.operations.extend(
        edits
            .drop_workloads
            .into_iter()
            .map(Operation::DropWorkload),
    );
    request
        .operations
        .extend(edits.drop_shared.into_iter().map(Operation::DropShared));
    for pair in edits.set {
        let Some((path, value)) = pair.split_once('=') else {
            bail!("invalid --set path `{pair}`: write --set PATH=VALUE");
        };
        request.operations.push(Operation::Set {
            path: path.to_owned(),
            value: value.to_owned(),
        });
    }
    Ok(request)
}

/// Parses a text with every limit and a place for every value.
pub(crate) fn read_document(name: &str, bytes: &[u8]) -> anyhow::Result<SourceText> {
    let lossy: std::sync::Arc<str> = String::from_utf8_lossy(bytes).into();
    match text::read(name, bytes, text::Limits::DEFAULT) {
        Ok(document) => Ok(SourceText {
            name: name.to_owned(),
            text: lossy,
            document,
            mounted_at: String::new(),
        }),
        Err(found) => Err(Findings(
            found
                .into_iter()
                .map(|diagnostic| super::place::in_text(name, &lossy, diagnostic))
                .collect(),
        )
        .into()),
    }
}

/// A source, read from this machine or named on the server.
#[derive(Debug)]
enum Source {
    Text { name: String, bytes: Vec<u8> },
    Stored(Base),
}

fn parse_source(source: &str) -> anyhow::Result<Source> {
    if source == "-" {
        if std::io::stdin().is_terminal() {
            return Err(Advised::new(
                "`-` reads the manifest from standard input, and that is a terminal",
                ["windlass deploy PROJECT ENV - < manifest.yaml"],
            )
            .into());
        }
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("could not read standard input")?;
        return Ok(Source::Text {
            name: "standard input".into(),
            bytes,
        });
    }
    if let Some((scheme, rest)) = source.split_once("://") {
        return match (scheme, rest) {
            (_, "") => bail!("`{source}` names nothing after `://`"),
            ("deployment", "HEAD") => Ok(Source::Stored(Base::Last)),
            ("deployment", id) => Ok(Source::Stored(Base::Deployment(id.to_owned()))),
            ("environment", env) => Ok(Source::Stored(Base::Environment(env.to_owned()))),
            _ => Err(Advised::new(
                format!("`{scheme}://` is not a manifest source"),
                ["use a file, -, deployment://ID, deployment://HEAD or environment://ENV"],
            )
            .into()),
        };
    }
    let bytes = std::fs::read(source).map_err(|error| {
        let advice = if std::path::Path::new(source).is_dir() {
            vec![format!("name the file: {source}/manifest.yaml")]
        } else {
            Vec::new()
        };
        Advised::new(
            format!("could not read the manifest `{source}`: {error}"),
            advice,
        )
    })?;
    Ok(Source::Text {
        name: source.to_owned(),
        bytes,
    })
}

/// The manifest that a base stands for now.
async fn stored(session: &Session, project: &str, base: &Base) -> anyhow::Result<Value> {
    let found = match base {
        Base::Deployment(id) => get::find_deployment(session, id, None).await?,
        Base::Environment(env) => get::find_deployment(session, project, Some(env)).await?,
        Base::Empty | Base::Last => return Ok(Value::Null),
    };
    found
        .manifest
        .with_context(|| format!("deployment {} has no manifest", found.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(source: &str) -> Base {
        match parse_source(source).expect("parses") {
            Source::Stored(base) => base,
            Source::Text { name, .. } => panic!("`{source}` was read as the file `{name}`"),
        }
    }

    #[test]
    fn stored_sources_become_bases() {
        assert_eq!(base("deployment://HEAD"), Base::Last);
        assert_eq!(base("deployment://abc"), Base::Deployment("abc".into()));
        assert_eq!(
            base("environment://staging"),
            Base::Environment("staging".into())
        );
    }

    #[test]
    fn other_schemes_and_missing_files_are_refused() {
        for source in ["https://x/y", "deployment://", "./no-such-file.yaml"] {
            assert!(parse_source(source).is_err(), "{source}");
        }
    }
}
