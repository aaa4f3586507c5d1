//! Modules and their versions.
//!
//! A module is checked whole before it is stored, and git code is fetched then, so that a deployment finds
//! it by digest. A source that cannot be reached now is stored with a warning in `windlass.warnings` and
//! fetched when it is deployed.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::module_check::{self, types_of};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DESCRIPTION, Fields, Problems, Text, is_check, is_std_id};
use crate::api::error::{Problem, Refusal};
use crate::api::query::{Paged, Params, page};
use crate::hcl;
use crate::model::{Diagnostic, Place, diag::Document};
use crate::placeholder::Site;
use crate::sources::{Code, Source};
use crate::store::clock::{new_id, now_us, stamp};
use crate::store::objects::later_than;
use crate::store::objects::modules::UnknownReferences;
use crate::wire::objects::{
    Module, ModuleExtras, ModuleSummary, ModuleUpdate, ModuleVersion, ModuleVersionSummary,
};
use crate::wire::shapes::ModuleCreate;
use crate::wire::{ErrorBody, Page};

/// How often an update begins again when somebody else was faster.
const TRIES: usize = 5;

const SOURCE: Text = Text {
    min: 2,
    ..Text::up_to(200)
};
const CODE: Text = Text::up_to(usize::MAX);

/// Lists modules.
#[utoipa::path(
    get,
    path = "/modules",
    params(Paged, ("byResourceType" = Option<String>, Query, description = "Only of this resource type")),
    responses(
        (status = 200, body = Page<ModuleSummary>, description = "Modules"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<ModuleSummary>>, Refusal> {
    let kind = params.one("byResourceType");
    let listed = app.store.module_list(&org, kind, &params.paging()?).await?;
    Ok(page(listed, |module| ModuleSummary {
        id: module.id,
        org_id: module.org_id,
        description: module.description,
        resource_type: module.resource_type,
        module_source: module.module_source,
        provider_mapping: module.provider_mapping,
        version_id: module.version_id,
        created_at: module.created_at,
        updated_at: module.updated_at,
        windlass: module.windlass,
    }))
}

/// Reads a module.
#[utoipa::path(
    get,
    path = "/modules/{id}",
    responses(
        (status = 200, body = Module, description = "A module"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Module>, Refusal> {
    Ok(Json(app.store.module_get(&org, &id).await?))
}

/// Makes a module.
#[utoipa::path(
    post,
    path = "/modules",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ModuleCreate,
    responses(
        (status = 201, body = Module, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already, or a type that it names is not"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Module>), Refusal> {
    let mut found = Problems::default();
    let now = stamp(now_us());
    let id = fields.required_text(
        &mut found,
        "id",
        Text::form(
            is_std_id,
            100,
            "module id must be a valid identifier of alphanumerics and hyphens",
        ),
    );
    let resource_type = fields.required_text(
        &mut found,
        "resource_type",
        Text {
            min: 2,
            ..Text::up_to(usize::MAX)
        },
    );
    let named = fields.has("module_source");
    let module_source = fields.required_text(&mut found, "module_source", SOURCE);
    let mut module = Module {
        id,
        org_id: org.clone(),
        description: fields.text(&mut found, "description", DESCRIPTION),
        resource_type,
        module_source,
        module_source_code: fields.text(&mut found, "module_source_code", CODE),
        module_params: module_check::params(&mut found, &mut fields).unwrap_or_default(),
        module_inputs: fields.map(&mut found, "module_inputs").unwrap_or_default(),
        provider_mapping: module_check::mapping(&mut found, &mut fields).unwrap_or_default(),
        dependencies: module_check::dependencies(&mut found, &mut fields).unwrap_or_default(),
        coprovisioned: module_check::coprovisioned(&mut found, &mut fields).unwrap_or_default(),
        version_id: new_id(),
        created_at: now.clone(),
        updated_at: now,
        windlass: extras(&mut found, &mut fields),
    };
    if named {
        module_check::source_and_code(
            &mut found,
            &module.module_source,
            module.module_source_code.as_deref(),
        );
    }
    check_names(&mut found, &module);
    let types = types_of(
        Some(&module.resource_type),
        &module.dependencies,
        &module.coprovisioned,
    );
    let types = types.into_iter().filter(|name| !name.is_empty()).collect();
    let mapped = module.provider_mapping.values().cloned().collect();
    note_unknown(&app, &mut found, &org, &types, &mapped).await?;
    found.check()?;
    let mut warnings = fetch(&app, &mut module).await?;
    warnings.extend(look_inside(&app, &module).await?);
    let made = app.store.module_create(module, &types).await?;
    Ok((StatusCode::CREATED, Json(with_warnings(made, warnings))))
}

/// Changes a module.
#[utoipa::path(
    patch,
    path = "/modules/{id}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ModuleUpdate,
    responses(
        (status = 200, body = Module, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<Module>, Refusal> {
    let mut found = Problems::default();
    let nothing = fields.is_empty();
    let change = ModuleUpdate {
        description: fields.text(&mut found, "description", DESCRIPTION),
        module_source: fields.text(&mut found, "module_source", SOURCE),
        module_source_code: fields.text(&mut found, "module_source_code", CODE),
        module_params: module_check::params(&mut found, &mut fields),
        module_inputs: fields.map(&mut found, "module_inputs"),
        provider_mapping: module_check::mapping(&mut found, &mut fields),
        dependencies: module_check::dependencies(&mut found, &mut fields),
        coprovisioned: module_check::coprovisioned(&mut found, &mut fields),
        windlass: extras(&mut found, &mut fields),
    };
    if nothing {
        return Ok(Json(app.store.module_get(&org, &id).await?));
    }
    for _ in 0..TRIES {
        let mut found = found.clone();
        let current = app.store.module_get(&org, &id).await?;
        let mut next = merged(&mut found, &current, &change);
        check_names(&mut found, &next);
        let types = types_of(
            None,
            change.dependencies.as_ref().unwrap_or(&Default::default()),
            change.coprovisioned.as_deref().unwrap_or_default(),
        );
        let mapped = change
            .provider_mapping
            .iter()
            .flatten()
            .map(|(_, to)| to.clone())
            .collect();
        note_unknown(&app, &mut found, &org, &types, &mapped).await?;
        found.check()?;
        let mut warnings = match &change.module_source {
            Some(_) => fetch(&app, &mut next).await?,
            None => Vec::new(),
        };
        warnings.extend(look_inside(&app, &next).await?);
        if let Some(stored) = app
            .store
            .module_update(&current.version_id, next, &types, &mapped)
            .await?
        {
            return Ok(Json(with_warnings(stored, warnings)));
        }
    }
    Err(Refusal::conflict(format!(
        "module {id} is being changed by others, try again"
    )))
}

/// Deletes a module.
#[utoipa::path(
    delete,
    path = "/modules/{id}",
    responses(
        (status = 204, description = "Gone"),
        (status = 409, body = ErrorBody, description = "An environment uses it"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.module_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists versions of a module, newest first.
#[utoipa::path(
    get,
    path = "/modules/{id}/versions",
    params(Paged),
    responses(
        (status = 200, body = Page<ModuleVersionSummary>, description = "Versions"),
    )
)]
pub(crate) async fn versions(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Page<ModuleVersionSummary>>, Refusal> {
    let listed = app
        .store
        .module_version_list(&org, &id, &params.paging()?)
        .await?;
    Ok(page(listed, |module| ModuleVersionSummary {
        version_id: module.version_id,
        resource_type: module.resource_type,
        module_source: module.module_source,
        provider_mapping: module.provider_mapping,
        description: module.description,
        created_at: module.updated_at,
        windlass: module.windlass,
    }))
}

/// Reads a version of a module.
#[utoipa::path(
    get,
    path = "/modules/{id}/versions/{version}",
    responses(
        (status = 200, body = ModuleVersion, description = "The version"),
    )
)]
pub(crate) async fn version(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id, version)): Path<(String, String, String)>,
) -> Result<Json<ModuleVersion>, Refusal> {
    let module = app.store.module_version_get(&org, &id, &version).await?;
    Ok(Json(ModuleVersion {
        version_id: module.version_id,
        resource_type: module.resource_type,
        module_source: module.module_source,
        module_source_code: module.module_source_code,
        module_params: module.module_params,
        module_inputs: module.module_inputs,
        provider_mapping: module.provider_mapping,
        dependencies: module.dependencies,
        coprovisioned: module.coprovisioned,
        description: module.description,
        created_at: module.updated_at,
        windlass: module.windlass,
    }))
}

/// The module after a change: a new version, unless only our own fields change.
fn merged(found: &mut Problems, current: &Module, change: &ModuleUpdate) -> Module {
    let mut next = current.clone();
    if let Some(description) = &change.description {
        next.description = Some(description.clone()).filter(|text| !text.is_empty());
    }
    match (&change.module_source, &change.module_source_code) {
        (Some(source), code) => {
            next.module_source.clone_from(source);
            next.module_source_code.clone_from(code);
            module_check::source_and_code(found, source, code.as_deref());
        }
        (None, Some(code)) if current.module_source == module_check::INLINE => {
            next.module_source_code = Some(code.clone());
            module_check::source_and_code(found, &current.module_source, Some(code));
        }
        (None, Some(_)) => found.invalid(
            "/module_source_code",
            "/module_source_code: cannot be set without module_source",
        ),
        (None, None) => {}
    }
    if let Some(params) = &change.module_params {
        next.module_params.clone_from(params);
    }
    if let Some(inputs) = &change.module_inputs {
        next.module_inputs.clone_from(inputs);
    }
    if let Some(mapping) = &change.provider_mapping {
        next.provider_mapping.clone_from(mapping);
    }
    if let Some(dependencies) = &change.dependencies {
        next.dependencies.clone_from(dependencies);
    }
    if let Some(coprovisioned) = &change.coprovisioned {
        next.coprovisioned.clone_from(coprovisioned);
    }
    if let Some(extras) = &change.windlass {
        let digest = next
            .windlass
            .as_ref()
            .and_then(|extras| extras.digest.clone());
        next.windlass = Some(ModuleExtras {
            digest,
            ..extras.clone()
        });
    }
    next.windlass = next
        .windlass
        .filter(|extras| *extras != ModuleExtras::default());
    let only_ours = ModuleUpdate {
        windlass: None,
        ..change.clone()
    };
    let says_nothing = only_ours.description.is_none()
        && only_ours.module_source.is_none()
        && only_ours.module_source_code.is_none()
        && only_ours.module_params.is_none()
        && only_ours.module_inputs.is_none()
        && only_ours.provider_mapping.is_none()
        && only_ours.dependencies.is_none()
        && only_ours.coprovisioned.is_none();
    if !says_nothing {
        next.version_id = new_id();
        next.updated_at = later_than(&current.updated_at);
    }
    next
}

/// Our fields of a request. Digest and warnings are ours to say, so what a client sends back is dropped.
fn extras(found: &mut Problems, fields: &mut Fields) -> Option<ModuleExtras> {
    let extras: ModuleExtras = fields.extras(found)?;
    Some(ModuleExtras {
        owner: extras.owner,
        digest: None,
        warnings: Vec::new(),
    })
}

fn check_names(found: &mut Problems, module: &Module) {
    module_check::names(
        found,
        &module.module_inputs,
        &module.module_params,
        &module.provider_mapping,
    );
    let inputs = serde_json::Value::Object(module.module_inputs.clone());
    module_check::placeholders(found, "/module_inputs", &inputs, Site::Input);
}

/// Notes resource types and providers that do not exist.
async fn note_unknown(
    app: &App,
    found: &mut Problems,
    org: &str,
    types: &BTreeSet<String>,
    mapped: &BTreeSet<String>,
) -> Result<(), Refusal> {
    if is_check() {
        return Ok(());
    }
    let unknown = app
        .store
        .module_unknown_references(org, types, mapped)
        .await?;
    if !unknown.resource_types.is_empty() {
        found.push(Problem::conflict("", unknown.types_text()));
    }
    for provider in &unknown.providers {
        if provider.contains('.') {
            found.invalid(
                "/provider_mapping",
                UnknownReferences::provider_text(provider),
            );
        }
    }
    Ok(())
}

/// Fetches the code of a module that is saved, and warns where that has to wait.
async fn fetch(app: &App, module: &mut Module) -> Result<Vec<Diagnostic>, Refusal> {
    let prepared = app
        .service
        .prepare_source(&module.org_id, &module.module_source)
        .await?;
    let mut extras = module.windlass.take().unwrap_or_default();
    extras.digest = prepared.digest;
    module.windlass = Some(extras).filter(|extras| *extras != ModuleExtras::default());
    // What the engine itself downloads is no surprise to v1's clients; only a failed fetch is news.
    let is_git = matches!(Source::parse(&module.module_source), Some(Source::Git(_)));
    let warning = prepared.warning.filter(|_| is_git).map(|warning| {
        Diagnostic::warning(
            "Module source not reachable",
            format!("Saved all the same: {warning}."),
            Place::at(Document::Request, "/module_source"),
        )
    });
    Ok(warning.into_iter().collect())
}

/// Compares a module with its code, as far as that is here. Code that is no HCL is refused.
async fn look_inside(app: &App, module: &Module) -> Result<Vec<Diagnostic>, Refusal> {
    let mut warnings = module_check::param_warnings(module);
    let digest = module
        .windlass
        .as_ref()
        .and_then(|extras| extras.digest.as_ref());
    let files = match (&module.module_source_code, digest) {
        (Some(code), _) if code.trim().is_empty() => return Ok(warnings),
        (Some(code), _) => BTreeMap::from([("main.tf".to_owned(), code.clone().into_bytes())]),
        (None, Some(digest)) => {
            let packed = app.store.blob_get(digest).await?;
            Code::unpack(&packed)
                .map_err(|error| Refusal::internal(&error))?
                .into_files()
        }
        (None, None) => return Ok(warnings),
    };
    let facts = hcl::check_module_files(&files).map_err(|problems| {
        Refusal::found(
            problems
                .into_iter()
                .map(|problem| {
                    Problem::invalid(
                        "/module_source",
                        format!("/module_source: {}", problem.detail),
                    )
                })
                .collect(),
        )
    })?;
    if let Some(facts) = facts {
        let kind = app
            .store
            .resource_type_get(&module.org_id, &module.resource_type)
            .await
            .ok();
        let schema = kind.as_ref().map(|kind| &kind.output_schema);
        warnings.extend(module_check::code_warnings(module, &facts, schema));
    }
    Ok(warnings)
}

/// The answer to a save.
fn with_warnings(mut module: Module, warnings: Vec<Diagnostic>) -> Module {
    if !warnings.is_empty() {
        module.windlass.get_or_insert_default().warnings = warnings;
    }
    module
}
