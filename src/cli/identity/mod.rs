//! People, service users and their roles, as `create`, `get`, `update`, `delete` and `regenerate` know them.
//!
//! A token or a link is printed once, alone on standard output, so that a script can keep it; `-o` prints the whole
//! object. A user is named by id or by name, a role by name, a scope by names.

use axum::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Session;
use super::client::{CallError, Client, Content};
use super::exit::{Advised, Exit};
use super::kinds::{self, segment};
use super::print::{self, value::Markup};
use crate::wire::identity::{
    OrgMembership, RoleObject, ServiceUser, ServiceUserWithToken, TrustRule, UserWithLink,
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

/// A person who is let in.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateUser {
    /// Their name
    name: String,
    #[command(flatten)]
    grant: Grant,
    /// Print a link that opens their first session, once, within a day; without it they need single sign-on
    #[arg(long)]
    link: bool,
    /// Print the whole object
    #[arg(short, long, value_enum)]
    out: Option<Markup>,
}

/// A program that is let in.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateServiceUser {
    /// Its name
    name: String,
    #[command(flatten)]
    grant: Grant,
    /// How long its token serves
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    days: u32,
    /// Print the whole object
    #[arg(short, long, value_enum)]
    out: Option<Markup>,
}

/// Whom to trust.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateTrustRule {
    /// Its name
    name: String,
    /// Who signs: the https URL of an issuer
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// For whom a token must be made; the server's public URL where nothing is said
    #[arg(long)]
    audience: Option<String>,
    /// What a claim must be, `sub=repo:acme/shop:*`; `*` stands for any text
    #[arg(long = "claim", value_name = "NAME=TEXT", required = true)]
    claims: Vec<String>,
    #[command(flatten)]
    grant: Grant,
    /// How long a token serves, 60 at most
    #[arg(long, default_value_t = 15)]
    minutes: u32,
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

impl CreateUser {
    /// Lets somebody in.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let body = json!({"display_name": self.name, "roles": [role(client, &self.grant).await?]});
        let made: UserWithLink = send(client, Method::POST, "users", body).await?;
        print::success(format!(
            "User {} may act in organization {} as {}.",
            self.name,
            client.org(),
            self.grant.role
        ));
        if let Some(out) = self.out {
            print::value::print(&serde_json::to_value(&made)?, out.into(), &[])?;
        } else if self.link {
            print_link(&made)?;
        } else {
            print::note(
                "They log in by single sign-on. For a one-time link: windlass regenerate user NAME",
            );
        }
        Ok(Exit::OK)
    }
}

impl CreateServiceUser {
    /// Lets a program in.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let body = json!({
            "display_name": self.name,
            "expiry_in_days": self.days,
            "roles": [role(client, &self.grant).await?],
        });
        let made: ServiceUserWithToken = send(client, Method::POST, "service-users", body).await?;
        print::success(format!(
            "Service user {} created in organization {} as {}.",
            self.name,
            client.org(),
            self.grant.role
        ));
        print_token(&made, self.out)?;
        Ok(Exit::OK)
    }
}

impl CreateTrustRule {
    /// Trusts an issuer.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let mut claims = serde_json::Map::new();
        for claim in &self.claims {
            let Some((name, pattern)) = claim.split_once('=') else {
                return Err(Advised::new(
                    format!("`{claim}` is no claim"),
                    ["for example: --claim 'sub=repo:acme/shop:*'"],
                )
                .into());
            };
            claims.insert(name.to_owned(), pattern.into());
        }
        let body = json!({
            "display_name": self.name,
            "issuer": self.issuer,
            "audience": self.audience,
            "claims": claims,
            "roles": [role(client, &self.grant).await?],
            "minutes": self.minutes,
        });
        let made: TrustRule = send(client, Method::POST, "trust-rules", body).await?;
        print::success(format!(
            "Trust rule {} created: whom {} signs for as said acts in organization {} as {}. Tokens must be made for {}.",
            self.name,
            made.issuer,
            client.org(),
            self.grant.role,
            made.audience
        ));
        Ok(Exit::OK)
    }
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

fn print_token(made: &ServiceUserWithToken, out: Option<Markup>) -> anyhow::Result<()> {
    print::note(format!(
        "The token is shown this once and serves until {}:",
        made.user.current_token_expires_at
    ));
    match out {
        Some(out) => print::value::print(&serde_json::to_value(made)?, out.into(), &[])?,
        None => print::data(&format!("{}\n", made.token))?,
    }
    Ok(())
}

fn print_link(made: &UserWithLink) -> anyhow::Result<()> {
    print::note(format!(
        "The link opens a session once, until {}. Whoever has it is {}:",
        made.link_expires_at, made.user.display_name
    ));
    print::data(&format!("{}\n", made.link))?;
    Ok(())
}

/// The role of a grant as the API takes it.
async fn role(client: &Client, grant: &Grant) -> anyhow::Result<Value> {
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
async fn person(client: &Client, named: &str) -> anyhow::Result<String> {
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
async fn service_user(client: &Client, named: &str) -> anyhow::Result<String> {
    let all: Vec<ServiceUser> = client.list("service-users").await?;
    let ids: Vec<&str> = all
        .iter()
        .filter(|it| it.id == named || it.display_name == named)
        .map(|it| it.id.as_str())
        .collect();
    only(&ids, named, "service user", "windlass get service-users")
}

fn only(ids: &[&str], named: &str, what: &str, look: &str) -> anyhow::Result<String> {
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
        if item.get("subject").is_some() {
            item["role"] = name(&item["subject"]);
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
