//! Invitations, in v1's shape. No mail is sent: the answer holds the link, once, and whoever invites passes it on; a
//! person who signs in at the issuer with that address needs no link at all.
//!
//! Why two routes of an organisation let others than its members through: whoever is invited is none yet. Without the
//! right secret they get the answer that everybody gets who is no member.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::members::{SUBJECT_ROLE, seen_by_person, subject};
use super::roles::Roles;
use super::service_users::expiry;
use super::{DAY_US, addresses, over_after};
use crate::api::App;
use crate::api::auth::{self, Caller};
use crate::api::body::{Body, Problems};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::access::{Level, Scope};
use crate::store::audit;
use crate::store::clock::stamp;
use crate::store::identity::Kind;
use crate::store::identity::grants::Granted;
use crate::store::identity::invitations::{Invitation as Stored, NewInvitation};
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::wire::identity::{Invitation, InvitationExtras, UserMembership};
use crate::wire::identity_requests::InvitationCreate;
use crate::wire::{ErrorBody, Page};

/// How long an invitation is open when nobody says it.
const USUAL_DAYS: i64 = 7;

fn shown(roles: &Roles, invitation: Stored, link: Option<String>) -> Invitation {
    let scope = invitation.granted.scope.text();
    let extras = InvitationExtras {
        scope: (!scope.is_empty()).then_some(scope),
        link,
    };
    Invitation {
        membership_subject: roles.id(invitation.granted.role),
        membership_subject_type: SUBJECT_ROLE.to_owned(),
        id: invitation.id,
        created_at: stamp(invitation.created_us),
        expires_at: stamp(invitation.expires_us),
        created_by_display_name: invitation.creator.unwrap_or_else(|| "Windlass".to_owned()),
        created_by_primary_email_address: invitation.creator_email,
        created_by: invitation.created_by,
        email_address: invitation.email,
        windlass: (extras != InvitationExtras::default()).then_some(extras),
    }
}

/// Our own fields of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extras {
    scope: Option<String>,
}

/// Invites an address. The answer holds the link that takes it up, once.
#[utoipa::path(
    post,
    path = "/invitations",
    request_body = InvitationCreate,
    responses(
        (status = 201, body = Invitation, description = "Invited"),
        (status = 409, body = ErrorBody, description = "The role is not there"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Invitation>), Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let email = addresses::required(&mut fields, &mut found);
    let names = ("membership_subject_type", "membership_subject");
    let role = subject(&roles, &mut fields, &mut found, names);
    let expires_us = if fields.has("expiry_in_days") {
        expiry(&mut fields, &mut found)
    } else {
        over_after(USUAL_DAYS * DAY_US)
    };
    let extras: Option<Extras> = fields.extras(&mut found);
    let scope = extras.and_then(|extras| extras.scope).unwrap_or_default();
    let scope = Scope::parse(&scope).unwrap_or_else(|problem| {
        found.invalid("/windlass/scope", problem);
        Scope::Organization
    });
    found.check()?;
    let role = roles.find(&role);
    let role = role.ok_or_else(|| Refusal::conflict("role not found in the organization"))?;
    audit::note(|draft| draft.object = format!("invitation of {email}"));
    let secret = Secret::new(TokenKind::Link);
    let new = NewInvitation {
        email: &email,
        granted: &Granted { scope, role },
        by: &caller.user,
        secret: &secret,
        expires_us,
    };
    let made = app.store.invitation_create(&org, &new).await?;
    let link = format!(
        "{}/welcome#{org}/{}/{}",
        app.settings.public_url,
        made.id,
        secret.expose()
    );
    let answer = Json(shown(&roles, made, Some(link)));
    Ok((StatusCode::CREATED, answer))
}

/// Lists who is invited and has not come yet.
#[utoipa::path(
    get,
    path = "/invitations",
    params(Paged),
    responses(
        (status = 200, body = Page<Invitation>, description = "Invitations"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<Invitation>>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let listed = app.store.invitation_list(&org, &params.paging()?).await?;
    Ok(page(listed, |it| shown(&roles, it, None)))
}

/// Reads an invitation: for who may read the organisation, or has the secret.
#[utoipa::path(
    get,
    path = "/invitations/{id}",
    params(("redemptionToken" = Option<String>, Query, description = "The secret of the invitation")),
    responses(
        (status = 200, body = Invitation, description = "An invitation"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Invitation>, Refusal> {
    let secret = params.one("redemptionToken").map(Secret::sent);
    let secret = secret.filter(|_| !caller.sees_configuration());
    if secret.is_none() && !caller.sees_configuration() {
        return Err(nothing_there(&caller, &org));
    }
    let found = app.store.invitation_get(&org, &id, secret.as_ref()).await?;
    let found = found.ok_or_else(|| nothing_there(&caller, &org))?;
    let roles = Roles::of(&app, &org).await?;
    Ok(Json(shown(&roles, found, None)))
}

/// Takes an invitation back.
#[utoipa::path(
    delete,
    path = "/invitations/{id}",
    responses(
        (status = 204, description = "Taken back"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.invitation_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an invitation up, for whoever asks.
#[utoipa::path(
    post,
    path = "/invitations/{id}/actions/redeem",
    params(("redemptionToken" = String, Query, description = "The secret of the invitation")),
    responses(
        (status = 200, body = UserMembership, description = "Taken up"),
        (status = 409, body = ErrorBody, description = "The caller is that already"),
    )
)]
pub(crate) async fn redeem(
    State(app): State<App>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Json<UserMembership>, Refusal> {
    let secret = Secret::sent(params.one("redemptionToken").unwrap_or_default());
    let found = app.store.invitation_get(&org, &id, Some(&secret)).await?;
    let found = found.ok_or_else(|| nothing_there(&caller, &org))?;
    if caller.kind != Some(Kind::Person) {
        return Err(Refusal::bad("only a human user may take up an invitation"));
    }
    let kept = auth::token(&headers).map_or_else(String::new, |secret| secret.hash());
    let made = app
        .store
        .invitation_redeem(&org, &found, &caller.user, &kept)
        .await?;
    let roles = Roles::of(&app, &org).await?;
    Ok(Json(seen_by_person(&roles, made)))
}

/// What who is no member is told, invited or not; members learn that there is no such invitation.
fn nothing_there(caller: &Caller, org: &str) -> Refusal {
    if caller.is_member() {
        Refusal::missing("invitation not found")
    } else {
        Refusal::forbidden(Level::Read, format!("organization:{org}"))
    }
}
