//! `score deploy`: Score files become workloads of the environment's manifest; the rest is `deploy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::deploy::source::{Request, SourceText, read_document};
use super::deploy::{self, RunFlags, place};
use super::exit::{Exit, Findings, Found};
use super::print::{self, value::Markup};
use super::{Session, files, get};
use crate::manifest::edit;
use crate::model::diag::Document as Where;
use crate::score::{self, Converted, Options};
use crate::wire::deployments::Base;

/// What `score` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Score {
    Deploy(Box<ScoreDeploy>),
}

/// Deploy Score files
///
/// Each file adds or replaces one workload; nothing that is deployed is removed.
#[derive(Debug, clap::Args)]
pub(crate) struct ScoreDeploy {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Score files
    #[arg(required = true, value_name = "SCORE_FILE")]
    score_files: Vec<PathBuf>,
    /// Image of containers whose image is `.`
    #[arg(long, value_name = "IMAGE")]
    default_image: Option<String>,
    /// Write the manifest that would be deployed and stop
    #[arg(long, value_name = "FILE|-")]
    print_manifest: Option<String>,
    #[command(flatten)]
    run: RunFlags,
}

impl Score {
    /// Deploys.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let Self::Deploy(it) = self;
        let texts = it
            .score_files
            .iter()
            .map(|path| {
                let bytes = std::fs::read(path).with_context(|| {
                    format!("could not read the Score file `{}`", path.display())
                })?;
                read_document(&path.display().to_string(), &bytes)
            })
            .collect::<anyhow::Result<Vec<SourceText>>>()?;
        let documents: Vec<_> = texts.iter().map(|text| text.document.clone()).collect();
        let options = Options {
            default_image: it.default_image,
            files: embedded(&documents, &it.score_files),
        };
        let converted = score::convert(&documents, &options)
            .map_err(|found| Findings(located(&texts, found)))?;
        print::diagnostic::all(&located(&texts, converted.warnings.clone()));
        if let Some(to) = &it.print_manifest {
            return print_manifest(session, &it.project, &it.env, &converted, to, it.run.out).await;
        }
        let request = Request {
            project: it.project,
            env: it.env,
            base: Base::Last,
            operations: converted.operations.clone(),
            rollback_to: None,
            strict: true,
            texts,
            score: Some(converted),
        };
        deploy::carry_out(session, request, it.run).await
    }
}

/// Files that Score files name, read from beside them.
fn embedded(
    documents: &[crate::text::Document],
    paths: &[PathBuf],
) -> BTreeMap<(usize, String), Result<Vec<u8>, String>> {
    score::files_needed(documents)
        .into_iter()
        .map(|needed| {
            let base = paths
                .get(needed.document)
                .and_then(|path| path.parent())
                .unwrap_or_else(|| Path::new(""));
            let read = std::fs::read(base.join(&needed.source)).map_err(|error| error.to_string());
            ((needed.document, needed.source), read)
        })
        .collect()
}

/// Problems of Score files at their places.
fn located(texts: &[SourceText], found: Vec<crate::model::Diagnostic>) -> Vec<Found> {
    found
        .into_iter()
        .map(|diagnostic| {
            let excerpt = diagnostic.places.first().and_then(|place| {
                let Where::File { name } = &place.document else {
                    return None;
                };
                let text = texts.iter().find(|text| text.name == *name)?;
                place::in_document(text, &place.pointer, &diagnostic)
            });
            Found {
                diagnostic,
                excerpt,
            }
        })
        .collect()
}

/// What would be deployed now: the last manifest with these workloads.
async fn print_manifest(
    session: &Session,
    project: &str,
    env: &str,
    converted: &Converted,
    to: &str,
    out: Option<Markup>,
) -> anyhow::Result<Exit> {
    let base = match get::last_deployment(session, project, env).await? {
        Some(last) => {
            get::find_deployment(session, &last.id, None)
                .await?
                .manifest
        }
        None => None,
    }
    .unwrap_or_else(|| json!({"workloads": {}}));
    let edited = edit::apply(&base, &converted.operations)
        .map_err(|found| Findings(found.into_iter().map(Into::into).collect()))?;
    let text = match out.unwrap_or(Markup::Yaml) {
        Markup::Yaml => print::value::yaml(&edited.manifest),
        Markup::Json => print::value::json(&edited.manifest),
    };
    if to == "-" {
        print::data(&text)?;
    } else {
        files::write_public(Path::new(to), text.as_bytes())?;
        print::note(format!("Manifest written to {to}."));
    }
    Ok(Exit::OK)
}
