//! People, service users and their roles, as `create`, `get`, `update`, `delete` and `regenerate` know them.
//!
//! A token or a link is printed once, alone on standard output, so that a script can keep it; `-o` prints the whole
//! object. A user is named by id or by name, a role by name, a scope by names.

mod agents;
mod create;
mod names;

use axum::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use self::agents::{CreateAgentToken, delete_agent};
pub(crate) use self::create::{CreateInvitation, CreateServiceUser, CreateTrustRule, CreateUser};
use self::create::{print_link, print_token};
use self::names::{only, person, role, service_user};
use super::Session;
use super::client::{CallError, Client, Content};
use super::exit::Exit;
use super::kinds::segment;
use super::print::{self, value::Markup};
use crate::wire::identity::{
    Invitation, RoleObject, ServiceUserWithToken, TrustRule, UserWithLink,
};

/// What somebody may do.
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    /// What they may do: Admin, Deployer or Viewer
    #[arg(long, value_name = "ROLE", default_value = "Viewer")]
    role: String,
    /// Where: `project:PROJECT` or `env:PROJECT/ENV`; the whole organisation where none is given
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
}

/// A user whose roles change.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateUser {
    /// The id or the name
    user: String,
    #[command(flatten)]
    grant: Grant,
}

/// A user.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The id or the name
    user: String,
}

/// What gets another secret.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Regenerate {
    /// Another token for a service user; the one before is over
    #[command(visible_alias = "su")]
    ServiceUser {
        /// The id or the name
        user: String,
        /// How long the token serves
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        days: u32,
        /// Print the whole object
        #[arg(short, long, value_enum)]
        out: Option<Markup>,
    },
    /// Another one-time link for a person; those before are over
    User {
        /// The id or the name
        user: String,
    },
}

impl UpdateUser {
    /// Replaces the roles of a person.
    pub(crate) async fn person(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let id = person(client, &self.user).await?;
        let granted = role(client, &self.grant).await?;
        let membership =
            json!({"subject_type": "role", "subject": granted["id"], "scope": granted["scope"]});
        let path = format!("users/{}/memberships", segment(&id));
        let body = json!({"memberships": [membership]});
        let _: Value = send(client, Method::PUT, &path, body).await?;
        self.say(client);
        Ok(Exit::OK)
    }

    /// Replaces the roles of a service user.
    pub(crate) async fn service(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let id = service_user(client, &self.user).await?;
        let path = format!("service-users/{}", segment(&id));
        let body = json!({"roles": [role(client, &self.grant).await?]});
        let _: Value = send(client, Method::PUT, &path, body).await?;
        self.say(client);
        Ok(Exit::OK)
    }

    fn say(&self, client: &Client) {
        print::success(format!(
            "{} is {} in organization {} now, and nothing else.",
            self.user,
            self.grant.role,
            client.org()
        ));
    }
}

impl One {
    /// Takes all roles of a person away.
    pub(crate) async fn delete_person(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let id = person(client, &self.user).await?;
        self.delete(client, &format!("users/{}", segment(&id)), "User")
            .await
    }

    /// Removes a service user.
    pub(crate) async fn delete_service(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let id = service_user(client, &self.user).await?;
        let path = format!("service-users/{}", segment(&id));
        self.delete(client, &path, "Service user").await
    }

    /// Removes a trust rule.
    pub(crate) async fn delete_trust_rule(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let all: Vec<TrustRule> = client.list("trust-rules").await?;
        let ids: Vec<&str> = all
            .iter()
            .filter(|it| it.id == self.user || it.display_name == self.user)
            .map(|it| it.id.as_str())
            .collect();
        let id = only(&ids, &self.user, "trust rule", "windlass get trust-rules")?;
        let path = format!("trust-rules/{}", segment(&id));
        self.delete(client, &path, "Trust rule").await
    }

    /// Takes an invitation back.
    pub(crate) async fn delete_invitation(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let all: Vec<Invitation> = client.list("invitations").await?;
        let ids: Vec<&str> = all
            .iter()
            .filter(|it| it.id == self.user || it.email_address == self.user.to_lowercase())
            .map(|it| it.id.as_str())
            .collect();
        let id = only(&ids, &self.user, "invitation", "windlass get invitations")?;
        let path = format!("invitations/{}", segment(&id));
        client
            .call(Method::DELETE, &path, Content::Empty, &[])
            .await?;
        print::success(format!(
            "{} is not invited into organization {} any more.",
            self.user,
            client.org()
        ));
        Ok(Exit::OK)
    }

    async fn delete(self, client: &Client, path: &str, title: &str) -> anyhow::Result<Exit> {
        client
            .call(Method::DELETE, path, Content::Empty, &[])
            .await?;
        print::success(format!(
            "{title} {} removed from organization {}; sessions and tokens are over.",
            self.user,
            client.org()
        ));
        Ok(Exit::OK)
    }
}

impl Regenerate {
    /// Makes another secret and prints it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        match self {
            Self::ServiceUser { user, days, out } => {
                let id = service_user(client, &user).await?;
                let path = format!("service-users/{}/actions/regenerate", segment(&id));
                let body = json!({"expiry_in_days": days});
                let made: ServiceUserWithToken = send(client, Method::POST, &path, body).await?;
                print::success(format!("The token of {user} before this one is over."));
                print_token(&made, out)?;
            }
            Self::User { user } => {
                let id = person(client, &user).await?;
                let path = format!("users/{}/actions/link", segment(&id));
                let made: UserWithLink = send(client, Method::POST, &path, json!({})).await?;
                print_link(&made)?;
            }
        }
        Ok(Exit::OK)
    }
}

async fn send<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    body: Value,
) -> anyhow::Result<T> {
    let answer = client.call(method, path, Content::Json(body), &[]).await;
    Ok(answer.map_err(told)?.json()?)
}

/// What is wrong with what was given, whole.
fn told(error: CallError) -> anyhow::Error {
    match error {
        CallError::Refused(refusal) if !refusal.diagnostics.is_empty() => {
            super::exit::Findings(refusal.diagnostics.into_iter().map(Into::into).collect()).into()
        }
        other => other.into(),
    }
}

/// Rows of people or service users, with names of roles for their ids.
pub(crate) async fn listed(session: &Session, path: &str) -> anyhow::Result<Value> {
    let client = session.client().await?;
    let roles: Vec<RoleObject> = client.list("roles").await?;
    let name = |id: &Value| {
        let found = roles.iter().find(|role| id == role.id.as_str());
        found.map_or_else(|| id.clone(), |role| role.display_name.clone().into())
    };
    let mut items: Vec<Value> = client.list(path).await?;
    for item in &mut items {
        for subject in ["subject", "membership_subject"] {
            if item.get(subject).is_some() {
                item["role"] = name(&item[subject]);
            }
        }
        if let Some(list) = item.get_mut("roles").and_then(Value::as_array_mut) {
            for role in list {
                role["name"] = name(&role["id"]);
            }
        }
        let words: Vec<String> = item["roles"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|role| {
                let scope = role["scope"].as_str().unwrap_or_default();
                let name = role["name"].as_str().unwrap_or_default();
                if scope.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name} on {scope}")
                }
            })
            .collect();
        if !words.is_empty() {
            item["options_text"] = words.join(", ").into();
        }
    }
    Ok(Value::Array(items))
}
