//! Roles, scopes and users by their names, as the ids that the API takes.

use serde_json::{Value, json};

use super::Grant;
use crate::cli::client::Client;
use crate::cli::exit::Advised;
use crate::cli::kinds;
use crate::wire::identity::{OrgMembership, RoleObject, ServiceUser};

/// The role of a grant as the API takes it.
pub(super) async fn role(client: &Client, grant: &Grant) -> anyhow::Result<Value> {
    let roles: Vec<RoleObject> = client.list("roles").await?;
    let Some(role) = roles
        .iter()
        .find(|role| role.display_name.eq_ignore_ascii_case(&grant.role))
    else {
        let names: Vec<&str> = roles
            .iter()
            .map(|role| role.display_name.as_str())
            .collect();
        return Err(Advised::new(
            format!("there is no role `{}`", grant.role),
            [format!("roles are: {}", names.join(", "))],
        )
        .into());
    };
    let scope = match &grant.scope {
        Some(text) => scope(client, text).await?,
        None => String::new(),
    };
    Ok(json!({"id": role.id, "scope": scope}))
}

/// A scope with UUIDs for names.
async fn scope(client: &Client, text: &str) -> anyhow::Result<String> {
    let is_uuid = |text: &str| uuid::Uuid::try_parse(text).is_ok();
    let (kind, name) = text.split_once(':').unwrap_or(("", text));
    let (kind, path) = match (kind, name.split_once('/')) {
        ("project" | "env", _) if is_uuid(name) => return Ok(text.to_owned()),
        ("project", None) if !name.is_empty() => {
            ("project", kinds::PROJECT.item(&[name.to_owned()]))
        }
        ("env", Some((project, env))) => (
            "env",
            kinds::ENVIRONMENT.item(&[project.to_owned(), env.to_owned()]),
        ),
        _ => {
            return Err(Advised::new(
                format!("`{text}` is no scope"),
                ["use project:PROJECT or env:PROJECT/ENV, or no scope for the whole organisation"],
            )
            .into());
        }
    };
    let found: Option<Value> = client.find(&path).await?;
    match found.as_ref().and_then(|found| found["uuid"].as_str()) {
        Some(uuid) => Ok(format!("{kind}:{uuid}")),
        None => Err(Advised::new(
            format!(
                "the scope `{text}` names nothing in organization {}",
                client.org()
            ),
            ["windlass get projects", "windlass get environments"],
        )
        .into()),
    }
}

/// The id of a person.
pub(super) async fn person(client: &Client, named: &str) -> anyhow::Result<String> {
    let all: Vec<OrgMembership> = client.list("memberships").await?;
    let mut ids: Vec<&str> = all
        .iter()
        .filter(|it| it.user_id == named || it.user_display_name == named)
        .map(|it| it.user_id.as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    only(&ids, named, "user", "windlass get users")
}

/// The id of a service user.
pub(super) async fn service_user(client: &Client, named: &str) -> anyhow::Result<String> {
    let all: Vec<ServiceUser> = client.list("service-users").await?;
    let ids: Vec<&str> = all
        .iter()
        .filter(|it| it.id == named || it.display_name == named)
        .map(|it| it.id.as_str())
        .collect();
    only(&ids, named, "service user", "windlass get service-users")
}

/// The one id that a name fits.
pub(super) fn only(ids: &[&str], named: &str, what: &str, look: &str) -> anyhow::Result<String> {
    match ids {
        [one] => Ok((*one).to_owned()),
        [] => Err(Advised::new(format!("there is no {what} `{named}`"), [look]).into()),
        several => Err(Advised::new(
            format!("`{named}` is the name of more than one {what}; use the id"),
            several.iter().copied(),
        )
        .into()),
    }
}
