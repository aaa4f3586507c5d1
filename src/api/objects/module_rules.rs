//! Module rules. They never change; another rule is another object.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::module_check::{CLASS, RESOURCE_ID};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Problems, Text, is_std_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::store::objects::module_rules::ModuleRuleFilter;
use crate::wire::objects::{ModuleRule, ModuleRuleCreate};
use crate::wire::{ErrorBody, Page};

/// Lists module rules.
#[utoipa::path(
    get,
    path = "/module-rules",
    params(Paged, ("byResourceType" = Option<String>, Query, description = "Only of this resource type"), ("byModuleId" = Option<String>, Query, description = "Only of this module"), ("byProjectId" = Option<String>, Query, description = "Only of this project"), ("byEnvId" = Option<String>, Query, description = "Only of this environment; needs `byProjectId`")),
    responses(
        (status = 200, body = Page<ModuleRule>, description = "Module rules"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<ModuleRule>>, Refusal> {
    let text = |name| params.one(name).map(str::to_owned);
    let filter = ModuleRuleFilter {
        resource_type: text("byResourceType"),
        module: text("byModuleId"),
        project: text("byProjectId"),
        environment: text("byEnvId"),
    };
    if filter.environment.is_some() && filter.project.is_none() {
        return Err(Refusal::bad(
            "by_env_id: must be used together with by_project_id",
        ));
    }
    let listed = app
        .store
        .module_rule_list(&org, &filter, caller.seen(), &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes a module rule.
#[utoipa::path(
    post,
    path = "/module-rules",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = ModuleRuleCreate,
    responses(
        (status = 201, body = ModuleRule, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "Another rule says the same"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<ModuleRule>), Refusal> {
    let mut found = Problems::default();
    let id = |text| Text::form(is_std_id, 100, text);
    let create = ModuleRuleCreate {
        module_id: fields.required_text(
            &mut found,
            "module_id",
            id("module id must be a valid identifier of alphanumerics and hyphens"),
        ),
        resource_class: fields.text(&mut found, "resource_class", CLASS),
        resource_id: fields.text(&mut found, "resource_id", RESOURCE_ID),
        project_id: fields.text(
            &mut found,
            "project_id",
            id("project_id must be a valid identifier"),
        ),
        env_id: fields.text(
            &mut found,
            "env_id",
            id("env_id must be a valid identifier"),
        ),
        env_type_id: fields.text(
            &mut found,
            "env_type_id",
            id("env_type_id must be a valid identifier"),
        ),
        windlass: fields.extras(&mut found),
    };
    if create.env_id.is_some() && create.project_id.is_none() {
        found.invalid("/project_id", "project_id: must be set when env_id is set");
    }
    if create.env_id.is_some() && create.env_type_id.is_some() {
        found.invalid(
            "/env_type_id",
            "env_type_id: must not be set when env_id is set",
        );
    }
    found.check()?;
    let made = app.store.module_rule_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a module rule.
#[utoipa::path(
    get,
    path = "/module-rules/{id}",
    responses(
        (status = 200, body = ModuleRule, description = "A module rule"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<ModuleRule>, Refusal> {
    let found = app.store.module_rule_get(&org, &id, caller.seen());
    Ok(Json(found.await?))
}

/// Deletes a module rule.
#[utoipa::path(
    delete,
    path = "/module-rules/{id}",
    responses(
        (status = 204, description = "Gone"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.module_rule_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
