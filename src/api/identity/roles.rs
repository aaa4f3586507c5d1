//! Roles: three, in every organisation, never stored. Their ids follow from the organisation's.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api::App;
use crate::api::auth::Caller;
use crate::api::body::{Fields, Problems, Text};
use crate::api::error::Refusal;
use crate::api::query::{Paged, Params, page};
use crate::model::access::{Level, Role, Scope};
use crate::store::identity::grants::Granted;
use crate::store::objects::Listed;
use crate::wire::Page;
use crate::wire::identity::{GrantedRole, RoleObject};
use crate::wire::objects::Organization;

/// The roles of an organisation.
pub(crate) struct Roles(Organization);

impl Roles {
    /// Those of `org`.
    pub(crate) async fn of(app: &App, org: &str) -> Result<Self, Refusal> {
        Ok(Self(app.store.organization_get(org).await?))
    }

    /// The id of a role: the same for ever, and of no other organisation.
    pub(crate) fn id(&self, role: Role) -> String {
        let digest = Sha256::digest(format!("windlass role 1\n{}\n{}", self.0.uuid, role.name()));
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes)
            .into_uuid()
            .to_string()
    }

    /// The role of an id.
    pub(crate) fn find(&self, id: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| self.id(*role) == id)
    }

    fn object(&self, role: Role) -> RoleObject {
        let permission = match role.level() {
            Level::Read => "read_all",
            Level::Write => "write_all",
            Level::Manage => "manage_all",
        };
        RoleObject {
            id: self.id(role),
            display_name: role.name().to_owned(),
            created_at: self.0.created_at.clone(),
            created_by: self.0.created_by.clone(),
            permissions: vec![permission.to_owned()],
        }
    }

    /// What was granted, for an answer.
    pub(crate) fn shown(&self, roles: &[Granted]) -> Vec<GrantedRole> {
        let mut shown: Vec<GrantedRole> = roles
            .iter()
            .map(|granted| GrantedRole {
                id: self.id(granted.role),
                scope: granted.scope.text(),
            })
            .collect();
        shown.sort_by(|a, b| (&a.scope, &a.id).cmp(&(&b.scope, &b.id)));
        shown
    }

    /// Reads a list of roles with scopes. `None` where the field is not there.
    pub(crate) fn read(
        &self,
        fields: &mut Fields,
        found: &mut Problems,
    ) -> Result<Option<Vec<Granted>>, Refusal> {
        let at = fields.at("roles");
        let Some(list) = fields.list(found, "roles") else {
            return Ok(None);
        };
        let granted = self.each(list, &at, found, |inside, found| {
            inside.required_text(found, "id", Text::up_to(usize::MAX))
        })?;
        Ok(Some(granted))
    }

    /// Reads the objects of a list: `role` finds the id of the role, the scope is in `scope`.
    pub(crate) fn each(
        &self,
        list: Vec<Value>,
        at: &str,
        found: &mut Problems,
        role: impl Fn(&mut Fields, &mut Problems) -> String,
    ) -> Result<Vec<Granted>, Refusal> {
        let mut granted = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            let at = format!("{at}/{index}");
            let Value::Object(map) = value else {
                found.invalid(&at, format!("\"{at}\": value must be an object"));
                continue;
            };
            let mut inside = Fields::new(&at, map);
            let id = role(&mut inside, found);
            let scope = inside.text(found, "scope", Text::up_to(usize::MAX));
            let scope = match Scope::parse(scope.as_deref().unwrap_or_default()) {
                Ok(scope) => scope,
                Err(problem) => {
                    found.invalid(inside.at("scope"), problem);
                    continue;
                }
            };
            if !found.is_empty() {
                continue;
            }
            let Some(role) = self.find(&id) else {
                return Err(Refusal::conflict("role not found in the organization"));
            };
            granted.push(Granted { scope, role });
        }
        Ok(granted)
    }
}

/// Lists the roles of an organisation.
#[utoipa::path(
    get,
    path = "/roles",
    params(Paged),
    responses(
        (status = 200, body = Page<RoleObject>, description = "Roles"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> Result<Json<Page<RoleObject>>, Refusal> {
    let paging = params.paging()?;
    let after = paging.after.and_then(|key| key.into_iter().next());
    let roles = Roles::of(&app, &org).await?;
    let mut items: Vec<RoleObject> = Role::ALL
        .into_iter()
        .map(|role| roles.object(role))
        .filter(|role| after.as_ref().is_none_or(|after| role.id > *after))
        .collect();
    items.sort_by(|a, b| a.id.cmp(&b.id));
    let more = items.len() > paging.limit;
    items.truncate(paging.limit);
    let next = items.last().filter(|_| more);
    let next = next.map(|role| vec![role.id.clone()]);
    Ok(page(Listed { items, next }, |role| role))
}

/// Reads a role.
#[utoipa::path(
    get,
    path = "/roles/{id}",
    responses(
        (status = 200, body = RoleObject, description = "A role"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Json<RoleObject>, Refusal> {
    let roles = Roles::of(&app, &org).await?;
    match roles.find(&id) {
        Some(role) => Ok(Json(roles.object(role))),
        None => Err(Refusal::missing("role not found")),
    }
}
