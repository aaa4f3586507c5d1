//! `cancel`: asks a deployment to stop, and stays until it has.
//!
//! A deployment that waits in line ends at once. One that runs is asked through its engine, which finishes what it is
//! at, saves the state and lets go of its lock; what it has not begun is left for the next deploy. That may take as
//! long as the slowest resource at hand, so the command follows it to the end unless it is told not to.

use axum::http::Method;

use super::client::Content;
use super::deploy::follow::{self, End, OnInterrupt, Watch};
use super::deploy::report;
use super::exit::{Advised, Exit, Told};
use super::keys::KeyStore;
use super::{Session, get, kinds, print};
use crate::model::phase::Outcome;
use crate::wire::deployments::Deployment;

/// Stop a deployment: its engine finishes what it is at and saves the state
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The deployment
    #[arg(value_name = "DEPLOYMENT")]
    id: String,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

impl Cancel {
    /// Asks, and follows.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let deployment = get::find_deployment(session, &self.id, None).await?;
        ask(session, &deployment.id).await?;
        session.ensure_worker()?;
        let asked = get::find_deployment(session, &deployment.id, None).await?;
        if asked.status != "executing" {
            return ended(&asked);
        }
        if self.no_wait {
            print::say(format!(
                "Asked it to stop. Follow it: windlass logs {} --follow",
                deployment.id
            ));
            return Ok(Exit::OK);
        }
        let readers = deployment
            .windlass
            .as_ref()
            .map(|extras| extras.log_recipients.as_slice())
            .unwrap_or_default();
        let key = KeyStore::new(&session.settings.data_dir).first(readers)?;
        let watch = Watch {
            log_key: key.as_ref(),
            show_logs: false,
            on_interrupt: OnInterrupt::Detach,
        };
        match follow::follow(session, &deployment.id, watch).await? {
            End::Detached => {
                print::say(format!(
                    "Detached; it still stops. Follow it: windlass logs {} --follow",
                    deployment.id
                ));
                Ok(Exit::INTERRUPTED)
            }
            End::Over(over) => ended(&over.deployment),
        }
    }
}

/// Asks for a deployment to stop.
pub(crate) async fn ask(session: &Session, id: &str) -> anyhow::Result<()> {
    let client = session.client().await?;
    let path = format!("deployments/{}/actions/cancel", kinds::segment(id));
    match client.call(Method::POST, &path, Content::Empty, &[]).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.refused(409) {
            Some(refusal) => Advised::new(
                refusal.message.clone(),
                [format!("windlass get deployment {id}")],
            )
            .into(),
            None => error.into(),
        }),
    }
}

/// What was asked for is that it stops: one that went to its end before it heard is told as such.
fn ended(deployment: &Deployment) -> anyhow::Result<Exit> {
    let outcome = deployment.windlass.as_ref().and_then(|it| it.outcome);
    if outcome == Some(Outcome::Cancelled) {
        print::success(report::stopped(deployment));
        return Ok(Exit::OK);
    }
    if deployment.status == "succeeded" {
        return Err(Advised::new(
            format!(
                "deployment {} had finished before it could be stopped",
                deployment.id
            ),
            [format!(
                "windlass rollback {} {}    goes back to the one before",
                deployment.project_id, deployment.env_id
            )],
        )
        .into());
    }
    print::say(report::failure(deployment));
    Err(Told.into())
}
