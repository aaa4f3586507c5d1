//! `logs`: the sealed log of a deployment, opened here.

use super::client::CallError;
use super::deploy::follow::{self, End, Watch};
use super::exit::{Advised, Exit};
use super::keys::{self, KeyStore};
use super::sealed::{Reader, SealedError};
use super::{Session, get, print, sealed};
use crate::seal::key::Identity;
use crate::wire::deployments::{Deployment, StreamName};

/// Print the log of a deployment
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The deployment
    #[arg(value_name = "DEPLOYMENT")]
    id: String,
    /// Stay until the deployment ends
    #[arg(short, long)]
    follow: bool,
    /// The key, as @FILE, - for standard input, or the text itself; without it, the key kept here
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Logs {
    /// Opens and prints.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let deployment = get::find_deployment(session, &self.id, None).await?;
        let key = match &self.key {
            Some(text) => keys::from_argument(text)?,
            None => kept_key(session, &deployment)?,
        };
        if self.follow && deployment.status == "executing" {
            let watch = Watch {
                log_key: Some(&key),
                show_logs: true,
            };
            return Ok(
                match follow::follow(session, &deployment.id, watch).await? {
                    End::Detached => Exit::INTERRUPTED,
                    End::Over(over) if over.deployment.status == "succeeded" => Exit::OK,
                    End::Over(over) => {
                        print::say(super::deploy::report::failure(&over.deployment));
                        Exit::FAILED
                    }
                },
            );
        }
        let text = whole(session, &deployment, &key).await?;
        show(&text)?;
        Ok(Exit::OK)
    }
}

/// Prints a log to standard output; what a terminal would obey is removed when one reads.
pub(crate) fn show(text: &[u8]) -> std::io::Result<()> {
    use std::io::IsTerminal as _;
    if std::io::stdout().is_terminal() {
        print::data(&print::harmless(&String::from_utf8_lossy(text)))
    } else {
        print::bytes(text)
    }
}

/// The key that this machine kept for the log.
fn kept_key(session: &Session, deployment: &Deployment) -> anyhow::Result<Identity> {
    let readers = deployment
        .windlass
        .as_ref()
        .map(|extras| extras.log_recipients.as_slice())
        .unwrap_or_default();
    if let Some(key) = KeyStore::new(&session.settings.data_dir).first(readers)? {
        return Ok(key);
    }
    Err(if readers.is_empty() {
        Advised::new(
            format!(
                "deployment {} was made without a reader for its log: none was kept",
                deployment.id
            ),
            ["deploy again without --skip-logs"],
        )
    } else {
        Advised::new(
            "no key for this log is kept on this machine",
            [format!("windlass logs {} --key @FILE", deployment.id)],
        )
    }
    .into())
}

/// The whole log so far.
pub(crate) async fn whole(
    session: &Session,
    deployment: &Deployment,
    key: &Identity,
) -> anyhow::Result<Vec<u8>> {
    let client = session.client().await?;
    let mut reader = Reader::new(client, &deployment.id, StreamName::Logs, key);
    let nothing_yet = || {
        Advised::new(
            format!("deployment {} has no log yet", deployment.id),
            [format!("windlass logs {} --follow", deployment.id)],
        )
    };
    match reader.more().await {
        Ok(text) if reader.has_begun() => {
            if deployment.status != "executing" && !reader.is_complete() {
                print::warning(
                    "the log ends early: the run was killed before it sealed the rest, or something was cut off",
                );
            }
            Ok(text)
        }
        Ok(_) => age_file(client, deployment, key)
            .await?
            .ok_or_else(|| nothing_yet().into()),
        Err(SealedError::Call(CallError::Refused(refusal))) if refusal.status == 404 => {
            age_file(client, deployment, key)
                .await?
                .ok_or_else(|| nothing_yet().into())
        }
        Err(error @ SealedError::Open { .. }) => match age_file(client, deployment, key).await {
            Ok(Some(text)) => Ok(text),
            Ok(None) | Err(_) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

async fn age_file(
    client: &super::client::Client,
    deployment: &Deployment,
    key: &Identity,
) -> anyhow::Result<Option<Vec<u8>>> {
    match sealed::log_file(client, &deployment.id, key).await {
        Ok(text) => Ok(Some(text)),
        Err(SealedError::Call(error)) if error.refused(404).is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
