//! `login` and `logout`: a person lets this program in with a browser, which proves who they are; no password is typed
//! here. The session goes into the settings file, 0600.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::Method;
use serde_json::{Value, json};

use super::Session;
use super::client::{CallError, Client, Content};
use super::exit::{Advised, Exit};
use super::remote::Remote;
use super::settings::{Hidden, Token};
use super::{kinds, print};
use crate::wire::identity::{CurrentUser, DeviceLoginAccepted, DeviceLoginCreated, WorkloadToken};

/// How often it asks whether it is let in.
const LOOK: Duration = Duration::from_millis(500);

/// Log in to the server: shows a code, and waits until you let this client in with a browser
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Do not open a browser
    #[arg(long)]
    no_browser: bool,
    /// Log a build job in with the token that its issuer signed: a file, or - for standard input. A trust rule of the
    /// organisation decides; nobody is asked
    #[arg(long, value_name = "FILE")]
    oidc_token: Option<PathBuf>,
}

/// End the session of this client
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {}

impl Login {
    /// Asks, waits, and keeps the session.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let Some(url) = &session.settings.url else {
            // Scripts of the field begin with it.
            print::success("Local mode needs no login: this machine is the server.");
            return Ok(Exit::OK);
        };
        session.settings.may_keep_tokens_of(url)?;
        let client = Client::remote(Remote::new(url, None)?, session.settings.org.clone());
        if let Some(path) = &self.oidc_token {
            return exchange(session, &client, path).await;
        }
        let asked: DeviceLoginCreated = client
            .call_at(Method::POST, "/auth/device", Content::Json(json!({})), &[])
            .await?
            .json()?;
        print::say(format!(
            "Open this page and let the code {} in:\n  {}",
            asked.code, asked.approval_url
        ));
        if !self.no_browser {
            open_browser(&asked.approval_url);
        }
        let accepted = tokio::select! {
            accepted = wait(&client, &asked) => accepted?,
            _ = tokio::signal::ctrl_c() => {
                print::say("Nobody was logged in.");
                return Ok(Exit::INTERRUPTED);
            }
        };
        let token = Token::new(accepted.token);
        let client = Client::remote(
            Remote::new(url, Some(&token))?,
            session.settings.org.clone(),
        );
        let user: CurrentUser = client
            .call_at(Method::GET, "/current-user", Content::Empty, &[])
            .await?
            .json()?;
        let only = match user.organization_memberships.as_slice() {
            [only] => Some(only.id.clone()),
            _ => None,
        };
        session.settings.edit_context(|context| {
            context.token = Some(Hidden(token.expose().to_owned()));
            if only.is_some() {
                context.default_org_id.clone_from(&only);
            }
        })?;
        print::success(format!("Logged in as {}.", user.user.display_name));
        match &only {
            Some(org) => print::success(format!("Organization set to {org}.")),
            None if user.organization_memberships.is_empty() => {
                print::note("You are in no organisation yet; an administrator can let you in.");
            }
            None => print::note("You are in several organisations: windlass config set-org ORG"),
        }
        for name in ["WINDLASS_TOKEN", "PO_AUTH_TOKEN"] {
            if std::env::var(name).is_ok_and(|text| !text.is_empty()) {
                print::warning(format!("{name} is set and wins over this session"));
            }
        }
        Ok(Exit::OK)
    }
}

/// Changes a signed token into a short one, which is kept like a session.
async fn exchange(session: &Session, client: &Client, path: &Path) -> anyhow::Result<Exit> {
    let signed = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("could not read standard input")?
    } else {
        std::fs::read_to_string(path)
            .with_context(|| format!("could not read `{}`", path.display()))?
    };
    let body = json!({"organization": client.org(), "token": signed.trim()});
    let given: WorkloadToken = client
        .call_at(Method::POST, "/auth/oidc/token", Content::Json(body), &[])
        .await?
        .json()?;
    session.settings.edit_context(|context| {
        context.token = Some(Hidden(given.token.clone()));
    })?;
    print::success(format!(
        "Logged in to organization {} until {}.",
        client.org(),
        given.expires_at
    ));
    Ok(Exit::OK)
}

/// Asks until somebody decides or the code is over.
async fn wait(client: &Client, asked: &DeviceLoginCreated) -> anyhow::Result<DeviceLoginAccepted> {
    let path = format!(
        "/devicelogins/{}/actions/poll?pollingToken={}",
        kinds::segment(&asked.id),
        kinds::segment(&asked.polling_token)
    );
    loop {
        let again =
            |message: String| anyhow::Error::from(Advised::new(message, ["windlass login"]));
        match client
            .call_at(Method::POST, &path, Content::Empty, &[])
            .await
        {
            Ok(answer) if answer.body.is_empty() => {}
            Ok(answer) => return Ok(answer.json()?),
            Err(CallError::Refused(refusal)) if refusal.status == 404 => {
                return Err(again(
                    "nobody let this client in within ten minutes".to_owned(),
                ));
            }
            // A server that starts again, or is busy, answers later.
            Err(error) if error.may_pass() => {}
            Err(CallError::Refused(refusal)) => return Err(again(refusal.message)),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Opens a page, if this machine has a way to; the page was printed anyhow.
fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = std::process::Command::new(opener)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
}

impl Logout {
    /// Ends the session at the server and forgets it here.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let context = session.settings.file.context(&session.settings.context);
        let kept = context.and_then(|context| context.token);
        if let (Some(url), Some(token)) = (&session.settings.url, kept) {
            let token = Token::new(token.0);
            let client = Client::remote(
                Remote::new(url, Some(&token))?,
                session.settings.org.clone(),
            );
            let ended = client
                .call_at(Method::POST, "/auth/logout", Content::Empty, &[])
                .await;
            match ended {
                Ok(_) => {}
                // It was over already.
                Err(error) if error.refused(401).is_some() => {}
                Err(error) => {
                    return Err(error).context("the session may still be open, and is kept here");
                }
            }
        }
        session
            .settings
            .edit_context(|context| context.token = None)?;
        print::success("Logged out.");
        Ok(Exit::OK)
    }
}

/// Who is asking: told by the server, or whoever may read the data directory.
pub(crate) async fn current_user(session: &Session) -> anyhow::Result<Value> {
    let client = session.client().await?;
    let answer = client
        .call_at(Method::GET, "/current-user", Content::Empty, &[])
        .await;
    match answer {
        Ok(answer) => Ok(answer.json()?),
        Err(error) if error.refused(403).is_some() => Err(Advised::new(
            "the token is that of a service user; only people are told who they are",
            ["windlass get service-users"],
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}
