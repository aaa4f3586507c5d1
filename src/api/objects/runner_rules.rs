//! Runner rules. They never change; another rule is another object. An empty scope is an unset one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Problems, Text};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::store::objects::runner_rules::RunnerRuleFilter;
use crate::wire::runners::{RunnerRule, RunnerRuleCreate};
use crate::wire::{ErrorBody, Page};

/// Lists runner rules.
#[utoipa::path(
    get,
    path = "/runner-rules",
    params(Paged, ("byProjectId" = Option<String>, Query, description = "Those that apply to this project"), ("byEnvTypeId" = Option<String>, Query, description = "Those that apply to this environment type"), ("byRunnerId" = Option<String>, Query, description = "Only of this runner")),
    responses(
        (status = 200, body = Page<RunnerRule>, description = "Runner rules"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<RunnerRule>>, Refusal> {
    let text = |name| params.one(name).map(str::to_owned);
    let filter = RunnerRuleFilter {
        project: text("byProjectId"),
        environment_type: text("byEnvTypeId"),
        runner: text("byRunnerId"),
    };
    let listed = app
        .store
        .runner_rule_list(&org, &filter, caller.seen(), &params.paging()?)
        .await?;
    Ok(page(listed, |item| item))
}

/// Makes a runner rule.
#[utoipa::path(
    post,
    path = "/runner-rules",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = RunnerRuleCreate,
    responses(
        (status = 201, body = RunnerRule, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "Another rule says the same"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<RunnerRule>), Refusal> {
    let mut found = Problems::default();
    let any = Text::up_to(usize::MAX);
    let create = RunnerRuleCreate {
        runner_id: fields
            .text(&mut found, "runner_id", any)
            .unwrap_or_default(),
        project_id: fields.text(&mut found, "project_id", any),
        env_type_id: fields.text(&mut found, "env_type_id", any),
        windlass: fields.extras(&mut found),
    };
    if create.runner_id.is_empty() && found.is_empty() {
        found.invalid(
            "/runner_id",
            "runner_id is mandatory to create a runner rule",
        );
    }
    found.check()?;
    let made = app.store.runner_rule_create(&org, create).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a runner rule.
#[utoipa::path(
    get,
    path = "/runner-rules/{id}",
    responses(
        (status = 200, body = RunnerRule, description = "A runner rule"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<RunnerRule>, Refusal> {
    let found = app.store.runner_rule_get(&org, &id, caller.seen());
    Ok(Json(found.await?))
}

/// Deletes a runner rule.
#[utoipa::path(
    delete,
    path = "/runner-rules/{id}",
    responses(
        (status = 204, description = "Gone"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.runner_rule_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
