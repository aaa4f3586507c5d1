//! What the caller may do, asked for in bulk.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::Value;

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{self, Fields, Problems, Text};
use crate::api::error::Refusal;
use crate::model::access::{Access, Level, Scope};
use crate::wire::identity::{PermissionAnswer, PermissionAnswers, PermissionCheck};

/// Most checks of one request.
const MOST: usize = 1000;

/// Tells what the caller may do.
#[utoipa::path(
    post,
    path = "/auth/check-permissions",
    request_body = Vec<PermissionCheck>,
    responses(
        (status = 200, body = PermissionAnswers, description = "In the order of the checks"),
    )
)]
pub(crate) async fn check(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Json<PermissionAnswers>, Refusal> {
    let (headers, bytes) = body::bytes(request).await?;
    body::is_json(&headers)?;
    let checks = read(serde_json::from_slice(&bytes).unwrap_or_default())?;
    let mut items = Vec::with_capacity(checks.len());
    for (level, permission_check) in checks {
        items.push(PermissionAnswer {
            allowed: is_allowed(&app, &caller, level, &permission_check.resource).await?,
            permission_check,
        });
    }
    Ok(Json(PermissionAnswers { items }))
}

fn read(value: Value) -> Result<Vec<(Level, PermissionCheck)>, Refusal> {
    let list = match value {
        Value::Array(list) if (1..=MOST).contains(&list.len()) => list,
        _ => {
            return Err(Refusal::bad(format!(
                "the request body must be a list of 1 to {MOST} permission checks"
            )));
        }
    };
    let mut found = Problems::default();
    let mut checks = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        let at = format!("/{index}");
        let Value::Object(map) = value else {
            found.invalid(&at, format!("\"{at}\": value must be an object"));
            continue;
        };
        let mut fields = Fields::new(&at, map);
        let resource = Text::form(is_resource, usize::MAX, "resource must be KIND:ID");
        let resource = fields.required_text(&mut found, "resource", resource);
        let any = Text::up_to(usize::MAX);
        let permission = fields.required_text(&mut found, "permission", any);
        match Level::parse(&permission) {
            Some(level) => checks.push((
                level,
                PermissionCheck {
                    resource,
                    permission,
                },
            )),
            None => found.invalid(
                fields.at("permission"),
                "permission must be read, write or manage",
            ),
        }
    }
    found.check()?;
    Ok(checks)
}

/// `^(organization|project|env):[a-zA-Z0-9/_|\-=+]+$`.
fn is_resource(text: &str) -> bool {
    let Some((kind, id)) = text.split_once(':') else {
        return false;
    };
    ["organization", "project", "env"].contains(&kind)
        && !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_|-=+".contains(&byte))
}

async fn is_allowed(
    app: &App,
    caller: &Caller,
    level: Level,
    resource: &str,
) -> Result<bool, Refusal> {
    let Some(everywhere) = caller.everywhere() else {
        return Ok(true);
    };
    if let Some(org) = resource.strip_prefix("organization:") {
        let has = everywhere.get(org).and_then(Access::organization);
        return Ok(has >= Some(level));
    }
    let Ok(scope) = Scope::parse(resource) else {
        return Ok(false);
    };
    let Some((org, project)) = app.store.place_of(&scope).await? else {
        return Ok(false);
    };
    let Some(access) = everywhere.get(&org) else {
        return Ok(false);
    };
    let has = match scope {
        Scope::Organization => access.organization(),
        Scope::Project(uuid) => access.project(&uuid),
        Scope::Environment(uuid) => access.environment(&project, &uuid),
    };
    Ok(has >= Some(level))
}
