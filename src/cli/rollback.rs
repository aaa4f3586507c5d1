//! `rollback`: an earlier deployment again, with the modules it had then.

use super::deploy::source::Request;
use super::deploy::{self, RunFlags};
use super::exit::{Advised, Exit};
use super::{Session, get};
use crate::wire::deployments::Base;

/// Go back to an earlier deployment
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// The deployment to go back to
    #[arg(value_name = "DEPLOYMENT")]
    id: String,
    #[command(flatten)]
    run: RunFlags,
}

impl Rollback {
    /// Rolls back.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let target = get::find_deployment(session, &self.id, None).await?;
        if target.project_id != self.project || target.env_id != self.env {
            return Err(Advised::new(
                format!(
                    "deployment {} belongs to {}/{}, not to {}/{}",
                    target.id, target.project_id, target.env_id, self.project, self.env
                ),
                [
                    format!("windlass get deployments {} {}", self.project, self.env),
                    format!(
                        "to bring its manifest here: windlass deploy {} {} deployment://{}",
                        self.project, self.env, target.id
                    ),
                ],
            )
            .into());
        }
        let request = Request {
            project: self.project,
            env: self.env,
            base: Base::Empty,
            operations: Vec::new(),
            rollback_to: Some(target.id),
            strict: false,
            texts: Vec::new(),
            score: None,
        };
        deploy::carry_out(session, request, self.run).await
    }
}
