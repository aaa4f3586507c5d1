//! Runners. Every type of v1 and of ours is checked and stored, also one that cannot run yet here: a
//! deployment that needs it says so.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::runner_configuration::{self as configuration, type_of};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, DESCRIPTION, Problems, Text, is_tofu_id};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::store::clock::{now_us, stamp};
use crate::store::objects::runners::{is_reserved, reserved_refusal, unmask};
use crate::wire::objects::ObjectExtras;
use crate::wire::runners::Runner;
use crate::wire::shapes::{RunnerCreate, RunnerSummary, RunnerUpdate};
use crate::wire::{ErrorBody, Page};

/// How often an update begins again when somebody else was faster.
const TRIES: usize = 5;

/// Lists runners.
#[utoipa::path(
    get,
    path = "/runners",
    params(Paged, ("byRunnerType" = Option<String>, Query, description = "Only of this type")),
    responses(
        (status = 200, body = Page<RunnerSummary>, description = "Runners"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Runner>>, Refusal> {
    let kind = params.one("byRunnerType");
    let listed = app.store.runner_list(&org, kind, &params.paging()?).await?;
    Ok(page(listed, |item| item))
}

/// Makes a runner.
#[utoipa::path(
    post,
    path = "/runners",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = RunnerCreate,
    responses(
        (status = 201, body = Runner, description = "Made"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It is there already"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Runner>), Refusal> {
    let mut found = Problems::default();
    let now = stamp(now_us());
    let id = fields.required_text(
        &mut found,
        "id",
        Text::form(is_tofu_id, 100, "id must be a valid identifier"),
    );
    let runner = fields.required_map(&mut found, "runner_configuration");
    let ours = type_of(&runner).is_some_and(configuration::is_ours);
    let state = if ours && !fields.has("state_storage_configuration") {
        Map::from_iter([("type".to_owned(), json!("local"))])
    } else {
        fields.required_map(&mut found, "state_storage_configuration")
    };
    let runner = Runner {
        id,
        org_id: org,
        description: fields.text(&mut found, "description", DESCRIPTION),
        runner_configuration: configuration::runner(&mut found, runner),
        state_storage_configuration: configuration::state(&mut found, state),
        created_at: now.clone(),
        updated_at: now,
        windlass: extras(fields.extras(&mut found)),
    };
    configuration::fit_together(
        &mut found,
        &runner.runner_configuration,
        &runner.state_storage_configuration,
    );
    found.check()?;
    let made = app.store.runner_create(runner).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Reads a runner.
#[utoipa::path(
    get,
    path = "/runners/{id}",
    responses(
        (status = 200, body = Runner, description = "A runner"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<Runner>, Refusal> {
    let mut found = app.store.runner_get(&org, &id).await?;
    if !caller.sees_configuration() {
        // As in lists.
        found.runner_configuration.retain(|key, _| key == "type");
        found
            .state_storage_configuration
            .retain(|key, _| key == "type");
    }
    Ok(Json(found))
}

/// Changes a runner.
///
/// Top-level fields of the configuration replace one by one.
#[utoipa::path(
    patch,
    path = "/runners/{id}",
    params(("check" = Option<bool>, Query, description = "Only say whether it would be taken: 204 if so")),
    request_body = RunnerUpdate,
    responses(
        (status = 200, body = Runner, description = "Changed"),
        (status = 204, description = "With `check=true`: it would be taken"),
        (status = 409, body = ErrorBody, description = "It contradicts what is stored"),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<Runner>, Refusal> {
    let mut found = Problems::default();
    let description = fields.text(&mut found, "description", DESCRIPTION);
    let configuration = fields.map(&mut found, "runner_configuration");
    let state = fields.map(&mut found, "state_storage_configuration");
    let ours: Option<ObjectExtras> = fields.extras(&mut found);
    if is_reserved(&id) {
        return Err(reserved_refusal(&id).into());
    }
    for _ in 0..TRIES {
        let mut found = found.clone();
        let mut runner = app.store.runner_open(&org, &id).await?;
        let expected = runner.updated_at.clone();
        if let Some(text) = &description {
            runner.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        if let Some(wanted) = &configuration {
            runner.runner_configuration =
                changed(&mut found, &runner.runner_configuration, wanted.clone());
        }
        if let Some(wanted) = &state {
            runner.state_storage_configuration = configuration::state(&mut found, wanted.clone());
        }
        if let Some(ours) = &ours {
            runner.windlass = extras(Some(ours.clone()));
        }
        configuration::fit_together(
            &mut found,
            &runner.runner_configuration,
            &runner.state_storage_configuration,
        );
        found.check()?;
        if let Some(stored) = app.store.runner_update(&expected, runner).await? {
            return Ok(Json(stored));
        }
    }
    Err(Refusal::conflict(format!(
        "runner {id} is being changed by others, try again"
    )))
}

/// Deletes a runner.
#[utoipa::path(
    delete,
    path = "/runners/{id}",
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
    app.store.runner_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The stored configuration with the fields of a request in their places.
fn changed(
    found: &mut Problems,
    stored: &Map<String, Value>,
    mut wanted: Map<String, Value>,
) -> Map<String, Value> {
    let before = type_of(stored).unwrap_or_default();
    match wanted.get("type").and_then(Value::as_str) {
        Some(kind) if kind == before => {}
        Some(kind) => {
            found.invalid(
                "/runner_configuration/type",
                format!("runner type {kind} does not match existing runner type {before}"),
            );
            return stored.clone();
        }
        None => {
            let at = "/runner_configuration/type";
            found.invalid(at, format!("\"{at}\": property \"type\" is missing"));
            return stored.clone();
        }
    }
    unmask(&mut wanted, stored);
    let mut merged = stored.clone();
    for (key, value) in wanted {
        if !value.is_null() {
            merged.insert(key, value);
        }
    }
    configuration::runner(found, merged)
}

fn extras(extras: Option<ObjectExtras>) -> Option<ObjectExtras> {
    extras.filter(|extras| *extras != ObjectExtras::default())
}
