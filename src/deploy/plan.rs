//! From an offer and a manifest to what is stored and run: calls the compiler and shapes its result.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::offer::{Keep, Offer, Sources};
use super::{Error, Service, compile, runners};
use crate::catalog::Catalogue;
use crate::graph::{self, ResourceGraph};
use crate::hcl::{self, Backend, Bundle, LOCK_FILE};
use crate::model::Diagnostic;
use crate::model::phase::{Mode, Outcome, Phase};
use crate::runner::job::Label;
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{Connection, rows};
use crate::wire::deployments::{Diff, Graph, Metrics};

/// Version of the stored form.
const VERSION: u32 = 1;
/// The root module.
const MAIN: &str = "main.tf";

/// A bundle as it is stored and as a job carries it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredBundle {
    version: u32,
    /// Path to base64 content.
    pub(super) files: BTreeMap<String, String>,
    /// `sha256:HEX`.
    pub(super) digest: String,
    /// Label of each module block to what it stands for.
    pub(super) labels: BTreeMap<String, Label>,
}

impl StoredBundle {
    pub(super) fn new(
        files: &BTreeMap<String, Vec<u8>>,
        digest: String,
        labels: BTreeMap<String, Label>,
    ) -> Self {
        Self {
            version: VERSION,
            files: files
                .iter()
                .map(|(path, content)| (path.clone(), BASE64_STANDARD.encode(content)))
                .collect(),
            digest,
            labels,
        }
    }

    /// The same code for a state that lies there; it is another bundle only where the state was moved since.
    fn placed(mut self, backend: &Backend, uuid: &str) -> Result<Self, Error> {
        let Some(main) = self.text(MAIN) else {
            return Ok(self);
        };
        let unread = || {
            Error::Internal(
                "the bundle of the last deployment does not say where its state lies".to_owned(),
            )
        };
        let placed = hcl::with_backend(&main, backend, uuid).ok_or_else(unread)?;
        if placed == main {
            return Ok(self);
        }
        self.files
            .insert(MAIN.to_owned(), BASE64_STANDARD.encode(placed));
        let files = self
            .files
            .iter()
            .map(|(path, content)| Ok((path.clone(), BASE64_STANDARD.decode(content)?)))
            .collect::<Result<BTreeMap<String, Vec<u8>>, base64::DecodeError>>()
            .map_err(|_| unread())?;
        let digest = Bundle::new(files).digest;
        Ok(Self { digest, ..self })
    }

    /// One file as text.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = BASE64_STANDARD.decode(self.files.get(path)?).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// An earlier deployment that another one is compared with, goes back to, or destroys.
#[derive(Clone)]
pub(super) struct Baseline {
    pub(super) id: String,
    /// Whether it is known that it did all it was to do.
    pub(super) is_complete: bool,
    pub(super) manifest: Value,
    pub(super) graph: ResourceGraph,
    pub(super) view: Graph,
    pub(super) slice: Offer,
    pub(super) bundle: Option<StoredBundle>,
}

/// What is to be compiled.
pub(super) struct Ask<'a> {
    pub(super) mode: Mode,
    /// Whether unknown keys of the manifest are errors.
    pub(super) strict: bool,
    pub(super) manifest: &'a Value,
    /// What the state was made by.
    pub(super) previous: Option<&'a Baseline>,
    /// What a rollback goes back to.
    pub(super) target: Option<&'a Baseline>,
    /// The environment's lock file of providers.
    pub(super) lock_file: Option<&'a str>,
}

/// What came of it.
pub(super) struct Plan {
    /// The manifest in its normal form.
    pub(super) manifest: Value,
    pub(super) graph: ResourceGraph,
    pub(super) view: Graph,
    pub(super) diff: Diff,
    pub(super) metrics: Metrics,
    pub(super) bundle: StoredBundle,
    pub(super) warnings: Vec<Diagnostic>,
    /// The offer, reduced to what the graph uses.
    pub(super) slice: Offer,
}

impl Service {
    /// Reads an earlier deployment; `None` when it has no graph (it never compiled) or left nothing behind.
    pub(super) async fn baseline(
        &self,
        connection: &mut Connection,
        id: &str,
    ) -> Result<Option<Baseline>, Error> {
        let Some(row) = rows::by_id(connection, id).await? else {
            return Ok(None);
        };
        let is_complete = match &row.phase {
            Phase::Ended { outcome, .. } => outcome.is_success(),
            Phase::Queued | Phase::Running { .. } => false,
        };
        let graph = self.store.document(connection, id, Kind::Graph).await?;
        let slice = self.store.document(connection, id, Kind::Offer).await?;
        let view = self.store.document(connection, id, Kind::View).await?;
        let manifest = self.store.document(connection, id, Kind::Manifest).await?;
        let (Some(graph), Some(slice), Some(view)) = (graph, slice, view) else {
            return Ok(None);
        };
        Ok(Some(Baseline {
            id: row.id,
            is_complete,
            manifest: manifest.unwrap_or_else(empty_manifest),
            graph,
            view,
            slice,
            bundle: self.store.document(connection, id, Kind::Bundle).await?,
        }))
    }

    /// What the state of an environment was made by, unless nothing is left of it.
    pub(super) async fn state_baseline(
        &self,
        connection: &mut Connection,
        state_deployment: Option<&str>,
    ) -> Result<Option<Baseline>, Error> {
        let Some(id) = state_deployment else {
            return Ok(None);
        };
        if let Some(row) = rows::by_id(connection, id).await?
            && matches!(
                row.phase,
                Phase::Ended {
                    outcome: Outcome::Destroyed,
                    ..
                }
            )
        {
            return Ok(None);
        }
        self.baseline(connection, id).await
    }

    /// Compiles. Fetches module code that is needed and not at hand.
    pub(super) async fn plan(
        &self,
        offer: &Offer,
        ask: &Ask<'_>,
        keep: Keep,
    ) -> Result<Plan, Error> {
        if ask.mode.replays() {
            return replay(offer, ask);
        }
        let mut offer = match ask.target {
            // Going back: the modules and providers of then. What is needed to remove what came since is in the graph
            // of the last deployment.
            Some(target) => target.slice.trimmed(&target.view).placed_as(offer),
            None => offer.clone(),
        };
        // Only where the slice was not kept whole: it holds every provider that its modules need.
        if ask.target.is_some() {
            let missing = offer.missing_providers();
            if !missing.is_empty() {
                return Err(Error::MissingProviders(missing));
            }
        }
        let mut sources = self.code_at_hand(&mut offer).await?;
        let mut plan = compiled(&offer, ask, &sources)?;
        if self
            .fetch_missing(&mut offer, &plan.view, &mut sources, keep)
            .await?
        {
            plan = compiled(&offer, ask, &sources)?;
        }
        plan.warnings.extend(offer.downloads(&plan.view));
        Ok(plan)
    }
}

pub(super) fn empty_manifest() -> Value {
    serde_json::json!({ "workloads": {} })
}

/// Destroying and settling replay the last bundle as it was, with the newest lock file and the place where the state lies
/// now; nothing of the catalogue is asked.
fn replay(offer: &Offer, ask: &Ask<'_>) -> Result<Plan, Error> {
    let what = if ask.mode == Mode::Destroy {
        "destroy an environment"
    } else {
        "settle the state of an environment"
    };
    let nothing = || Error::Conflict(format!("cannot {what} that has never been deployed"));
    let previous = ask.previous.ok_or_else(nothing)?;
    let bundle = previous.bundle.clone().ok_or_else(nothing)?;
    let backend = runners::backend(&offer.runner)?;
    let mut bundle = bundle.placed(&backend, &offer.context.env_uuid)?;
    if let Some(lock_file) = ask.lock_file {
        // The lock file is no part of the digest.
        bundle
            .files
            .insert(LOCK_FILE.to_owned(), BASE64_STANDARD.encode(lock_file));
    }
    Ok(Plan {
        manifest: previous.manifest.clone(),
        graph: previous.graph.clone(),
        diff: if ask.mode == Mode::Destroy {
            graph::removal(&previous.graph)
        } else {
            Diff::default()
        },
        view: previous.view.clone(),
        metrics: Metrics::default(),
        bundle,
        warnings: Vec::new(),
        slice: previous.slice.clone().placed_as(offer),
    })
}

/// One call of the compiler.
fn compiled(offer: &Offer, ask: &Ask<'_>, sources: &Sources) -> Result<Plan, Error> {
    let catalogue = Catalogue::select(
        &offer.context,
        offer.types.iter().map(Into::into).collect(),
        offer.modules.iter().map(Into::into).collect(),
        offer.rules.iter().map(Into::into).collect(),
        offer.providers.iter().map(Into::into).collect(),
    );
    let backend = runners::backend(&offer.runner)?;
    let compiled = compile::compile(&compile::Input {
        context: offer.context.clone(),
        mode: ask.mode,
        manifest: ask.manifest,
        strict: ask.strict,
        catalogue: &catalogue,
        previous: ask.previous.map(|previous| compile::Previous {
            graph: &previous.graph,
            failed: !previous.is_complete,
        }),
        target: ask.target.map(|target| &target.graph),
        backend: &backend,
        sources,
        lock_file: ask.lock_file,
    })
    .map_err(Error::Invalid)?;
    let view = compiled.view();
    Ok(Plan {
        slice: offer.trimmed(&view),
        view,
        manifest: compiled.manifest,
        graph: compiled.graph,
        diff: compiled.diff,
        metrics: compiled.metrics,
        bundle: StoredBundle::new(
            &compiled.bundle.files,
            compiled.bundle.digest,
            compiled.labels,
        ),
        warnings: compiled.warnings,
    })
}
