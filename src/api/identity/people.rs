//! People of an organisation: let in with a link that opens their first session, and shown where they may do what.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::roles::Roles;
use super::service_users::NAME;
use super::{LINK_US, addresses, over_after, sessions};
use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Body, Problems};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, invalid, page};
use crate::store::audit;
use crate::store::clock::stamp;
use crate::store::identity::Kind;
use crate::store::identity::tokens::{Kind as TokenKind, Secret};
use crate::store::identity::users::{NewUser, Person};
use crate::store::objects::Listed;
use crate::wire::identity::{UserKind, UserWithLink, UserWithRole};
use crate::wire::identity_requests::UserCreate;
use crate::wire::{ErrorBody, Page};

/// Lets somebody in, with a link that opens their first session and is shown once.
#[utoipa::path(
    post,
    path = "/users",
    request_body = UserCreate,
    responses(
        (status = 201, body = UserWithLink, description = "Let in"),
        (status = 409, body = ErrorBody, description = "A role is not there, or given twice, or somebody has the address"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(org): Path<String>,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<UserWithLink>), Refusal> {
    let roles = Roles::of(&app, &org).await?;
    let mut found = Problems::default();
    let name = fields.required_text(&mut found, "display_name", NAME);
    let email = addresses::optional(&mut fields, &mut found);
    let at = fields.at("roles");
    let granted = roles.read(&mut fields, &mut found)?.unwrap_or_default();
    if granted.is_empty() && found.is_empty() {
        found.invalid(
            &at,
            "roles must name one role at least: without any, nobody is a member",
        );
    }
    found.check()?;
    audit::note(|draft| draft.object = format!("user {name}"));
    let (secret, expires_us) = new_link();
    let person = NewUser {
        kind: Kind::Person,
        name: &name,
        email: email.as_deref(),
        by: &caller.user,
    };
    let made = app
        .store
        .person_create(&org, &person, &granted, (&secret, expires_us))
        .await?;
    let answer = with_link(&app, made, &secret, expires_us);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Makes another link for a person; those before are over.
#[utoipa::path(
    post,
    path = "/users/{user}/actions/link",
    responses(
        (status = 200, body = UserWithLink, description = "Made"),
        (status = 409, body = ErrorBody, description = "The person is in other organisations, too"),
    )
)]
pub(crate) async fn link(
    State(app): State<App>,
    caller: Caller,
    Path((org, user)): Path<(String, String)>,
) -> Result<Json<UserWithLink>, Refusal> {
    let (secret, expires_us) = new_link();
    let person = app
        .store
        .person_link(&org, &user, &caller.user, (&secret, expires_us))
        .await?;
    Ok(Json(with_link(&app, person, &secret, expires_us)))
}

/// Takes all roles of a person away.
#[utoipa::path(
    delete,
    path = "/users/{user}",
    responses(
        (status = 204, description = "Taken away"),
        (status = 409, body = ErrorBody, description = "Nobody would administer the organisation"),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    _caller: Caller,
    Path((org, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    app.store.member_delete(&org, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn new_link() -> (Secret, i64) {
    (Secret::new(TokenKind::Link), over_after(LINK_US))
}

fn with_link(app: &App, person: Person, secret: &Secret, expires_us: i64) -> UserWithLink {
    UserWithLink {
        user: sessions::shown(person),
        link: super::link(&app.settings.public_url, secret),
        link_expires_at: stamp(expires_us),
    }
}

/// Lists who may do anything in a project.
#[utoipa::path(
    get,
    path = "/projects/{project}/users",
    params(Paged, ("type" = Option<UserKind>, Query, description = "Only people, or only programs")),
    responses(
        (status = 200, body = Page<UserWithRole>, description = "Users with their highest role"),
    )
)]
pub(crate) async fn of_project(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Page<UserWithRole>>, Refusal> {
    let project = app.store.project_get(&org, &project).await?;
    users(&app, &org, &project.uuid, None, &params).await
}

/// Lists who may do anything in an environment.
#[utoipa::path(
    get,
    path = "/projects/{project}/envs/{env}/users",
    params(Paged, ("type" = Option<UserKind>, Query, description = "Only people, or only programs")),
    responses(
        (status = 200, body = Page<UserWithRole>, description = "Users with their highest role"),
    )
)]
pub(crate) async fn of_environment(
    State(app): State<App>,
    _caller: Caller,
    Path((org, project, env)): Path<(String, String, String)>,
    params: Params,
) -> Result<Json<Page<UserWithRole>>, Refusal> {
    let found = app.store.environment_get(&org, &project, &env).await?;
    users(&app, &org, &found.project_uuid, Some(&found.uuid), &params).await
}

async fn users(
    app: &App,
    org: &str,
    project_uuid: &str,
    env_uuid: Option<&str>,
    params: &Params,
) -> Result<Json<Page<UserWithRole>>, Refusal> {
    let wanted = match params.one("type") {
        None => None,
        Some("user") => Some(Kind::Person),
        Some("service-user") => Some(Kind::Service),
        Some(other) => {
            return Err(invalid(
                "type",
                &format!("`{other}` is neither `user` nor `service-user`"),
            ));
        }
    };
    let paging = params.paging()?;
    let after = paging.after.and_then(|key| key.into_iter().next());
    let roles = Roles::of(app, org).await?;
    let all = app.store.users_of(org, project_uuid, env_uuid).await?;
    let mut items: Vec<UserWithRole> = all
        .into_iter()
        .filter(|(_, kind, _)| wanted.is_none_or(|wanted| wanted == *kind))
        .filter(|(id, ..)| after.as_ref().is_none_or(|after| id > after))
        .map(|(id, kind, role)| UserWithRole {
            id,
            kind: match kind {
                Kind::Person => "user".to_owned(),
                Kind::Service => "service-user".to_owned(),
            },
            subject_type: "role".to_owned(),
            subject_id: roles.id(role),
        })
        .collect();
    let more = items.len() > paging.limit;
    items.truncate(paging.limit);
    let next = items.last().filter(|_| more);
    let next = next.map(|user| vec![user.id.clone()]);
    Ok(page(Listed { items, next }, |user| user))
}
