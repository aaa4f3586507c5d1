//! Memberships: what people may do in an organisation.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::roles::Roles;
use super::sessions::{is_self, providers};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Fields, Problems, Text};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::access::Role;
use crate::store::clock::stamp;
use crate::store::identity::memberships::{Membership, Of};
use crate::store::objects::Listed;
use crate::wire::identity::{OrgMembership, UserMembership};
use crate::wire::identity_requests::UserMemberships;
use crate::wire::{ErrorBody, Page};

/// What a membership is of; there are no others in v1 but the group of owners, which means the role Admin.
pub(super) const SUBJECT_ROLE: &str = "role";
const SUBJECT_GROUP: &str = "virtual-group";
const OWNERS: &str = "owners";

fn seen_by_organization(roles: &Roles, membership: Membership) -> OrgMembership {
    OrgMembership {
        subject: roles.id(membership.role),
        id: membership.id,
        created_at: stamp(membership.created_us),
        user_id: membership.user,
        user_display_name: membership.name,
        user_primary_email_address: membership.email,
        subject_type: SUBJECT_ROLE.to_owned(),
        scope: membership.scope.text(),
        identity_providers: None,
    }
}

pub(super) fn seen_by_person(roles: &Roles, membership: Membership) -> UserMembership {
    UserMembership {
        subject: roles.id(membership.role),
        id: membership.id,
        created_at: stamp(membership.created_us),
        org_id: membership.org,
        subject_type: SUBJECT_ROLE.to_owned(),
        scope: membership.scope.text(),
    }
}

/// The id of the role that a membership is of, from the fields of these names.
pub(super) fn subject(
    roles: &Roles,
    fields: &mut Fields,
    found: &mut Problems,
    (kind, subject): (&'static str, &'static str),
) -> String {
    let at = fields.at(kind);
    let is_there = fields.has(kind);
    let word = fields.one_of(found, kind, &[SUBJECT_ROLE, SUBJECT_GROUP]);
    let subject = fields.required_text(found, subject, Text::up_to(usize::MAX));
    if !is_there {
        found.invalid(&at, format!("\"{at}\": property \"{kind}\" is missing"));
    }
    match word.as_deref() {
        Some(SUBJECT_GROUP) if subject == OWNERS => roles.id(Role::Admin),
        Some(SUBJECT_GROUP) => String::new(),
        Some(_) | None => subject,
    }
}

/// Lists what people may do in an organisation.
#[utoipa::path(
    get,
    path = "/memberships",
    params(Paged, ("userId" = Option<Uuid>, Query, description = "Only of this person")),
    responses(
        (status = 200, body = Page<OrgMembership>, description = "Memberships"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<OrgMembership>>, Refusal> {
    let (roles, listed) = of_organization(&app, &org, &params).await?;
    Ok(page(listed, |it| seen_by_organization(&roles, it)))
}

/// Lists what people may do in an organisation, with how they may log in.
#[utoipa::path(
    get,
    path = "/members",
    params(Paged, ("userId" = Option<Uuid>, Query, description = "Only of this person")),
    responses(
        (status = 200, body = Page<OrgMembership>, description = "Memberships"),
    )
)]
pub(crate) async fn members(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<OrgMembership>>, Refusal> {
    let (roles, listed) = of_organization(&app, &org, &params).await?;
    Ok(page(listed, |it| OrgMembership {
        identity_providers: Some(providers(it.signs_on)),
        ..seen_by_organization(&roles, it)
    }))
}

async fn of_organization(
    app: &App,
    org: &str,
    params: &Params,
) -> Result<(Roles, Listed<Membership>), Refusal> {
    let roles = Roles::of(app, org).await?;
    let of = Of::Organization(org, params.one("userId"));
    let listed = app.store.membership_list(of, &params.paging()?).await?;
    Ok((roles, listed))
}

/// Replaces what a person may do in an organisation.
#[utoipa::path(
    put,
    path = "/users/{user}/memberships",
    request_body = UserMemberships,
    responses(
        (status = 200, body = Page<UserMembership>, description = "Changed"),
        (status = 409, body = ErrorBody, description = "A role is not there or given twice, it is the caller, or nobody would administer"),
    )
)]
pub(crate) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path((org, user)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<Page<UserMembership>>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let at = fields.at("memberships");
    let has = fields.has("memberships");
    let list = fields.list(&mut found, "memberships").unwrap_or_default();
    if !has {
        found.invalid(
            &at,
            format!("\"{at}\": property \"memberships\" is missing"),
        );
    } else if list.is_empty() && found.is_empty() {
        found.invalid(&at, format!("\"{at}\": minimum number of items is 1"));
    }
    let granted = roles.each(list, &at, &mut found, |inside, found| {
        subject(&roles, inside, found, ("subject_type", "subject"))
    })?;
    found.check()?;
    let changed = app
        .store
        .membership_replace(&org, &user, &granted, &caller.user)
        .await?;
    Ok(page(changed, |it| seen_by_person(&roles, it)))
}

/// Takes a role of a person away.
#[utoipa::path(
    delete,
    path = "/memberships/{id}",
    responses(
        (status = 204, description = "Taken away"),
        (status = 409, body = ErrorBody, description = "Nobody would administer the organisation"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.membership_delete(&org, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists one's own memberships.
#[utoipa::path(
    get,
    path = "/users/{user}/memberships",
    params(Paged, ("orgId" = Option<String>, Query, description = "Only in this organisation")),
    responses(
        (status = 200, body = Page<UserMembership>, description = "Memberships"),
    )
)]
pub(crate) async fn of_user(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<String>,
    params: Params,
) -> Result<Json<Page<UserMembership>>, Refusal> {
    let paging = params.paging()?;
    is_self(&caller, &user)?;
    let of = Of::Person(&user, params.one("orgId"));
    let listed = app.store.membership_list(of, &paging).await?;
    let mut items = Vec::with_capacity(listed.items.len());
    for membership in listed.items {
        let roles = Roles::of(&app, &membership.org).await?;
        items.push(seen_by_person(&roles, membership));
    }
    let listed = Listed {
        items,
        next: listed.next,
    };
    Ok(page(listed, |it| it))
}
