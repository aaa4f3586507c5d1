//! The catalogue as a deployment sees it: taken at acceptance, kept with the deployment, and enough to compile it
//! again after a module, provider or rule has left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::runners::RunnerOffer;
use super::{Error, Service};
use crate::model::diag::Document;
use crate::model::{Context, Diagnostic, Place};
use crate::sources::{Code, Source, git};
use crate::store::objects::catalogue::CatalogueSlice;
use crate::wire::deployments::Graph;
use crate::wire::objects::{Module, ModuleRule, Provider, ResourceType};
use crate::wire::runners::Deadlines;

/// Version of the stored form.
const VERSION: u32 = 1;

/// What a deployment is compiled with. May hold secrets of providers and runners; stored encrypted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Offer {
    version: u32,
    pub(super) context: Context,
    pub(super) types: Vec<ResourceType>,
    pub(super) modules: Vec<Module>,
    pub(super) rules: Vec<ModuleRule>,
    pub(super) providers: Vec<Provider>,
    pub(super) runner: RunnerOffer,
    /// Of this one deployment, where it named any.
    #[serde(default)]
    pub(super) deadlines: Option<Deadlines>,
}

/// Code of modules by digest.
pub(super) type Sources = BTreeMap<String, Arc<BTreeMap<String, Vec<u8>>>>;

impl Offer {
    /// Of the catalogue as it is now.
    pub(super) fn new(org: &str, slice: CatalogueSlice, runner: RunnerOffer) -> Self {
        let used: BTreeSet<&String> = slice.rules.iter().map(|rule| &rule.module_id).collect();
        let environment = slice.environment;
        Self {
            version: VERSION,
            context: Context {
                org_id: org.to_owned(),
                project_id: environment.project_id,
                env_id: environment.id,
                env_type_id: environment.env_type_id,
                env_uuid: environment.uuid,
            },
            types: slice.resource_types,
            modules: slice
                .modules
                .iter()
                .filter(|module| used.contains(&module.id))
                .cloned()
                .collect(),
            providers: slice.providers,
            rules: slice.rules,
            runner,
            deadlines: None,
        }
    }

    /// Only what this graph uses: the slice that makes it reproducible.
    pub(super) fn trimmed(&self, graph: &Graph) -> Self {
        let used: BTreeSet<(&str, &str)> = graph
            .nodes
            .iter()
            .filter(|node| !node.leaving)
            .filter_map(|node| Some((node.module_id.as_deref()?, node.module_version.as_deref()?)))
            .collect();
        let types: BTreeSet<&str> = graph
            .nodes
            .iter()
            .map(|node| node.key.type_name.as_str())
            .collect();
        let modules: Vec<Module> = self
            .modules
            .iter()
            .filter(|module| used.contains(&(module.id.as_str(), module.version_id.as_str())))
            .cloned()
            .collect();
        let providers: BTreeSet<&String> = modules
            .iter()
            .flat_map(|module| module.provider_mapping.values())
            .collect();
        Self {
            version: VERSION,
            context: self.context.clone(),
            types: self
                .types
                .iter()
                .filter(|known| types.contains(known.id.as_str()))
                .cloned()
                .collect(),
            providers: self
                .providers
                .iter()
                .filter(|provider| {
                    providers.contains(&format!("{}.{}", provider.provider_type, provider.id))
                })
                .cloned()
                .collect(),
            rules: self
                .rules
                .iter()
                .filter(|rule| used.iter().any(|(module, _)| *module == rule.module_id))
                .cloned()
                .collect(),
            runner: self.runner.clone(),
            deadlines: None,
            modules,
        }
    }

    /// The same modules and providers, for the environment and runner of another offer.
    pub(super) fn placed_as(mut self, other: &Self) -> Self {
        self.context = other.context.clone();
        self.runner = other.runner.clone();
        self
    }

    /// Providers that modules of this offer map to and that are not in it, sorted.
    pub(super) fn missing_providers(&self) -> Vec<String> {
        let known: BTreeSet<String> = self
            .providers
            .iter()
            .map(|provider| format!("{}.{}", provider.provider_type, provider.id))
            .collect();
        let missing: BTreeSet<&String> = self
            .modules
            .iter()
            .flat_map(|module| module.provider_mapping.values())
            .filter(|provider| !known.contains(*provider))
            .collect();
        missing.into_iter().cloned().collect()
    }

    /// A warning for each module of this graph that only the engine can get, in the run.
    pub(super) fn downloads(&self, graph: &Graph) -> Vec<Diagnostic> {
        let used: BTreeSet<&str> = graph
            .nodes
            .iter()
            .filter(|node| !node.leaving)
            .filter_map(|node| node.module_version.as_deref())
            .collect();
        self.modules
            .iter()
            .filter(|module| used.contains(module.version_id.as_str()))
            .filter(|module| Source::parse(&module.module_source) == Some(Source::Registry))
            .map(|module| {
                Diagnostic::warning(
                    "Module downloaded in the run",
                    format!(
                        "The code of the module `{}` comes from a registry: the engine downloads it in every run, and \
                         what it gets can change. Use a git source, or upload the code.",
                        module.id
                    ),
                    Place::at(
                        Document::Module {
                            id: module.id.clone(),
                            version: module.version_id.clone(),
                        },
                        "/module_source",
                    ),
                )
            })
            .collect()
    }
}

/// Whether what is fetched may be kept. A dry run leaves nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Store it.
    Yes,
    /// Use it and forget it.
    No,
}

/// The digest of a module's code, as far as the module itself says.
pub(super) fn own_digest(module: &Module) -> Option<String> {
    match Source::parse(&module.module_source)? {
        Source::Directory(digest) => Some(digest),
        Source::Git(_) => module.windlass.as_ref()?.digest.clone(),
        Source::Inline | Source::Image | Source::Registry => None,
    }
}

impl Service {
    /// Loads the code of all modules of an offer that is at hand, and tells each module its digest.
    /// What is missing is left out; the compiler says so if it is needed.
    pub(super) async fn code_at_hand(&self, offer: &mut Offer) -> Result<Sources, Error> {
        let mut sources = Sources::new();
        let mut reading = self.store.reading().await?;
        for module in &mut offer.modules {
            let digest = match own_digest(module) {
                Some(digest) => digest,
                None => {
                    match crate::store::deployments::code::digest_of(
                        &mut reading,
                        &module.version_id,
                    )
                    .await?
                    {
                        Some(digest) => digest,
                        None => continue,
                    }
                }
            };
            if !sources.contains_key(&digest) && self.store.blob_has(&digest).await? {
                let code = self.unpacked(&digest).await?;
                sources.insert(digest.clone(), Arc::new(code.into_files()));
            }
            if sources.contains_key(&digest) {
                module.windlass.get_or_insert_default().digest = Some(digest);
            }
        }
        Ok(sources)
    }

    pub(super) async fn unpacked(&self, digest: &str) -> Result<Code, Error> {
        let packed = self.store.blob_get(digest).await?;
        Code::unpack(&packed).map_err(|error| {
            Error::Internal(format!(
                "the stored module code `{digest}` cannot be read: {error}"
            ))
        })
    }

    /// Fetches the code that this graph needs and that is not at hand; returns whether anything came.
    pub(super) async fn fetch_missing(
        &self,
        offer: &mut Offer,
        graph: &Graph,
        sources: &mut Sources,
        keep: Keep,
    ) -> Result<bool, Error> {
        let needed: BTreeSet<(&str, &str)> = graph
            .nodes
            .iter()
            .filter(|node| !node.leaving)
            .filter_map(|node| Some((node.module_id.as_deref()?, node.module_version.as_deref()?)))
            .collect();
        let mut problems = Vec::new();
        let mut came = false;
        for module in &mut offer.modules {
            if !needed.contains(&(module.id.as_str(), module.version_id.as_str())) {
                continue;
            }
            let digest = module
                .windlass
                .as_ref()
                .and_then(|extras| extras.digest.clone());
            if digest.is_some_and(|digest| sources.contains_key(&digest)) {
                continue;
            }
            let place = Place::at(
                Document::Module {
                    id: module.id.clone(),
                    version: module.version_id.clone(),
                },
                "/module_source",
            );
            if module.module_source.starts_with("git::")
                && let Some(digest) = self.carried(&module.module_source).await?
            {
                let code = self.unpacked(&digest).await?;
                sources.insert(digest.clone(), Arc::new(code.into_files()));
                module.windlass.get_or_insert_default().digest = Some(digest);
                came = true;
                continue;
            }
            match Source::parse(&module.module_source) {
                Some(Source::Git(source)) => match git::fetch(&source, self.settings.git_timeout).await {
                    Ok(code) => {
                        let digest = code.digest();
                        if keep == Keep::Yes {
                            self.store.blob_put(&code.pack()).await?;
                            let mut writing = self.store.writing().await?;
                            crate::store::deployments::code::remember(
                                &mut writing,
                                &module.version_id,
                                &digest,
                            )
                            .await?;
                            writing.commit().await?;
                        }
                        sources.insert(digest.clone(), Arc::new(code.into_files()));
                        module.windlass.get_or_insert_default().digest = Some(digest);
                        came = true;
                    }
                    Err(error) => problems.push(Diagnostic::error(
                        "Module code not fetched",
                        format!(
                            "The code of the module `{}` is not at hand and could not be fetched: {error}. Make the \
                             repository reachable and try again, or upload the code as a directory.",
                            module.id
                        ),
                        place,
                    )),
                },
                Some(Source::Directory(digest)) => problems.push(Diagnostic::error(
                    "Module code missing",
                    format!(
                        "The code `{digest}` of the module `{}` was never uploaded here. Apply the module from its \
                         directory again.",
                        module.id
                    ),
                    place,
                )),
                None => problems.push(Diagnostic::error(
                    "Module source not supported",
                    format!(
                        "The module `{}` has the source `{}`, which cannot be fetched. Use `git::https://…` or \
                         `git::ssh://…`, with nothing but `?ref=` behind it.",
                        module.id, module.module_source
                    ),
                    place,
                )),
                Some(Source::Registry) if !self.settings.allow_downloads => {
                    problems.push(Diagnostic::error(
                        "Module source not supported",
                        format!(
                            "The module `{}` comes from a registry, which only the engine could download, and \
                             downloads in runs are switched off. Use a git source, or upload the code.",
                            module.id
                        ),
                        place,
                    ));
                }
                Some(Source::Inline | Source::Image | Source::Registry) => {}
            }
        }
        if problems.is_empty() {
            Ok(came)
        } else {
            Err(Error::Invalid(problems))
        }
    }
}
