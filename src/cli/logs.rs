//! `logs`: the sealed log of a deployment, opened here.

use super::client::CallError;
use super::deploy::follow::{self, End, OnInterrupt, Watch};
use super::exit::{Advised, Exit};
use super::keys::{self, KeyStore};
use super::sealed::{Reader, SealedError};
use super::{Session, get, print, sealed};
use crate::seal::OpenError;
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
                on_interrupt: OnInterrupt::Ask,
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
        print_all(session, &deployment, &key).await?;
        Ok(Exit::OK)
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

/// Prints the log so far, piece by piece: it may be longer than memory.
async fn print_all(
    session: &Session,
    deployment: &Deployment,
    key: &Identity,
) -> anyhow::Result<()> {
    let client = session.client().await?;
    let mut reader = Reader::new(client, &deployment.id, StreamName::Logs, key);
    let mut printer = print::LogPrinter::default();
    let mut stranger = None;
    loop {
        match reader.some().await {
            Ok(Some(piece)) => printer.data(&piece)?,
            Ok(None) => break,
            Err(SealedError::Call(CallError::Refused(refusal))) if refusal.status == 404 => break,
            // A client of another make asked for an age file and nothing else. Whatever else is wrong is said:
            // the age file of a log that was altered is no answer.
            Err(
                error @ SealedError::Open {
                    source: OpenError::NotForThisKey(_),
                    ..
                },
            ) => {
                stranger = Some(error);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if reader.has_begun() {
        if reader.must_be_complete(deployment) {
            return Err(SealedError::Truncated { stream: "logs" }.into());
        }
        if deployment.status != "executing" && !reader.is_complete() {
            print::warning("the log ends early: the run was killed before it sealed the rest");
        }
        return Ok(());
    }
    match (age_file(client, deployment, key).await?, stranger) {
        (Some(text), _) => Ok(printer.data(&text)?),
        (None, Some(error)) => Err(error.into()),
        (None, None) if deployment.status == "executing" => Err(Advised::new(
            format!("deployment {} has no log yet", deployment.id),
            [format!("windlass logs {} --follow", deployment.id)],
        )
        .into()),
        (None, None) => Err(Advised::new(
            format!("deployment {} has no log", deployment.id),
            [format!("windlass get deployment {}", deployment.id)],
        )
        .into()),
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
