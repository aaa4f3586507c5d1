//! Letting people and programs in: users, invitations, service users, trust rules.

use axum::http::Method;
use serde_json::json;

use super::names::role;
use super::{Grant, send};
use crate::cli::Session;
use crate::cli::exit::{Advised, Exit};
use crate::cli::print::{self, value::Markup};
use crate::wire::identity::{Invitation, ServiceUserWithToken, TrustRule, UserWithLink};

/// A person who is let in.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateUser {
    /// Their name
    name: String,
    /// Their e-mail address: whoever signs in with it is this person
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    grant: Grant,
    /// Print a link that opens their first session, once, within a day; without it they need single sign-on and --email
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

/// Somebody who may join.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateInvitation {
    /// Their e-mail address; whoever signs in with it joins, and so does whoever opens the link that is printed
    #[arg(value_name = "EMAIL")]
    email: String,
    #[command(flatten)]
    grant: Grant,
    /// How long it is open
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    days: u32,
    /// Print the whole object
    #[arg(short, long, value_enum)]
    out: Option<Markup>,
}

impl CreateUser {
    /// Lets somebody in.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let body = json!({
            "display_name": self.name,
            "email_address": self.email,
            "roles": [role(client, &self.grant).await?],
        });
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
            print::note(if self.email.is_some() {
                "They log in by single sign-on. For a one-time link: windlass regenerate user NAME"
            } else {
                "They need a one-time link to log in: windlass regenerate user NAME"
            });
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

impl CreateInvitation {
    /// Invites an address.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let granted = role(client, &self.grant).await?;
        let body = json!({
            "email_address": self.email,
            "membership_subject_type": "role",
            "membership_subject": granted["id"],
            "expiry_in_days": self.days,
            "windlass": {"scope": granted["scope"]},
        });
        let made: Invitation = send(client, Method::POST, "invitations", body).await?;
        print::success(format!(
            "{} is invited into organization {} as {}.",
            made.email_address,
            client.org(),
            self.grant.role
        ));
        print::note(format!(
            "No mail is sent. They sign in with that address, or open this link once, until {}:",
            made.expires_at
        ));
        match self.out {
            Some(out) => print::value::print(&serde_json::to_value(made)?, out.into(), &[])?,
            None => {
                let link = made.windlass.and_then(|extras| extras.link);
                print::data(&format!("{}\n", link.unwrap_or_default()))?;
            }
        }
        Ok(Exit::OK)
    }
}

pub(super) fn print_token(made: &ServiceUserWithToken, out: Option<Markup>) -> anyhow::Result<()> {
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

pub(super) fn print_link(made: &UserWithLink) -> anyhow::Result<()> {
    print::note(format!(
        "The link opens a session once, until {}. Whoever has it is {}:",
        made.link_expires_at, made.user.display_name
    ));
    print::data(&format!("{}\n", made.link))?;
    Ok(())
}
