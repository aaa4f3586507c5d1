//! Service users: programs of an organisation. A token is shown when it is made, and never again.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::roles::Roles;
use super::{DAY_US, over_after};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text, is_display_name};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::access::{Role, Scope};
use crate::store::audit;
use crate::store::clock::stamp;
use crate::store::identity::grants::Granted;
use crate::store::identity::service_users::ServiceUser as Stored;
use crate::store::identity::{Kind, tokens};
use crate::wire::identity::{ServiceUser, ServiceUserWithToken, TokenExtras};
use crate::wire::identity_requests::{ServiceUserCreate, ServiceUserRegenerate, ServiceUserRoles};
use crate::wire::{ErrorBody, Page};

/// A name of a user.
pub(super) const NAME: Text = Text {
    min: 2,
    max: 200,
    fits: is_display_name,
    text: "display_name contains invalid characters",
};

/// Most days that a token serves.
const MOST_DAYS: i64 = 3660;

fn shown(roles: &Roles, user: Stored) -> ServiceUser {
    ServiceUser {
        roles: roles.shown(&user.roles),
        id: user.id,
        display_name: user.name,
        generated_at: stamp(user.generated_us),
        generated_by: user.generated_by,
        current_token_expires_at: stamp(user.expires_us),
        windlass: user.used_us.map(|used| TokenExtras {
            last_used_at: Some(stamp(used)),
        }),
    }
}

/// Lists service users.
#[utoipa::path(
    get,
    path = "/service-users",
    params(Paged),
    responses(
        (status = 200, body = Page<ServiceUser>, description = "Service users"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<ServiceUser>>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let listed = app.store.service_user_list(&org, &params.paging()?).await?;
    Ok(page(listed, |user| shown(&roles, user)))
}

/// Makes a service user and its token, which is shown once.
#[utoipa::path(
    post,
    path = "/service-users",
    request_body = ServiceUserCreate,
    responses(
        (status = 201, body = ServiceUserWithToken, description = "Made"),
        (status = 409, body = ErrorBody, description = "A role is not there, or given twice"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<ServiceUserWithToken>), Refusal> {
    if caller.kind == Some(Kind::Service) {
        return Err(Refusal::bad("service users may not create service users"));
    }
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let name = fields.required_text(&mut found, "display_name", NAME);
    let expires_us = expiry(&mut fields, &mut found);
    let granted = roles.read(&mut fields, &mut found)?.unwrap_or_else(|| {
        vec![Granted {
            scope: Scope::Organization,
            role: Role::Admin,
        }]
    });
    found.check()?;
    audit::note(|draft| draft.object = format!("service user {name}"));
    let secret = tokens::Secret::new(tokens::Kind::Service);
    let made = app
        .store
        .service_user_create(&org, &name, &granted, &caller.user, (&secret, expires_us))
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(ServiceUserWithToken {
            user: shown(&roles, made),
            token: secret.expose().to_owned(),
        }),
    ))
}

/// Replaces the roles of a service user.
#[utoipa::path(
    put,
    path = "/service-users/{id}",
    request_body = ServiceUserRoles,
    responses(
        (status = 200, body = ServiceUser, description = "Changed"),
        (status = 409, body = ErrorBody, description = "A role is not there, or given twice"),
    )
)]
pub(crate) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<ServiceUser>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let granted = required_roles(&roles, &mut fields, &mut found)?;
    found.check()?;
    let changed = app
        .store
        .service_user_roles(&org, &id, &granted, &caller.user)
        .await?;
    Ok(Json(shown(&roles, changed)))
}

/// Makes another token, which is shown once; the one before is over.
#[utoipa::path(
    post,
    path = "/service-users/{id}/actions/regenerate",
    request_body = ServiceUserRegenerate,
    responses(
        (status = 200, body = ServiceUserWithToken, description = "Made"),
    )
)]
pub(crate) async fn regenerate(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<ServiceUserWithToken>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let expires_us = expiry(&mut fields, &mut found);
    found.check()?;
    let secret = tokens::Secret::new(tokens::Kind::Service);
    let changed = app
        .store
        .service_user_regenerate(&org, &id, &caller.user, (&secret, expires_us))
        .await?;
    Ok(Json(ServiceUserWithToken {
        user: shown(&roles, changed),
        token: secret.expose().to_owned(),
    }))
}

/// Removes a service user; its token is over.
#[utoipa::path(
    delete,
    path = "/service-users/{id}",
    responses(
        (status = 204, description = "Removed"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.service_user_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Roles that must be there, one at least.
fn required_roles(
    roles: &Roles,
    fields: &mut Fields,
    found: &mut Problems,
) -> Result<Vec<Granted>, Refusal> {
    let at = fields.at("roles");
    match roles.read(fields, found)? {
        Some(granted) if granted.is_empty() && found.is_empty() => {
            found.invalid(&at, format!("\"{at}\": minimum number of items is 1"));
            Ok(granted)
        }
        Some(granted) => Ok(granted),
        None => {
            if found.is_empty() {
                found.invalid(&at, format!("\"{at}\": property \"roles\" is missing"));
            }
            Ok(Vec::new())
        }
    }
}

/// When a token is over: `expiry_in_days`, which must be there.
pub(super) fn expiry(fields: &mut Fields, found: &mut Problems) -> i64 {
    let at = fields.at("expiry_in_days");
    let days = match fields.value("expiry_in_days") {
        None => {
            found.invalid(
                &at,
                format!("\"{at}\": property \"expiry_in_days\" is missing"),
            );
            return 0;
        }
        Some(value) => value.as_i64(),
    };
    match days {
        Some(days) if days < 1 => {
            found.invalid(&at, format!("\"{at}\": number must be at least 1"))
        }
        Some(days) if days > MOST_DAYS => {
            found.invalid(&at, format!("\"{at}\": number must be at most {MOST_DAYS}"));
        }
        Some(days) => return over_after(days * DAY_US),
        None => found.invalid(&at, format!("\"{at}\": value must be an integer")),
    }
    0
}
