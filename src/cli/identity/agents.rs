//! Agents: the token that enrols one, and how it is removed.

use axum::http::Method;
use serde_json::json;

use super::send;
use crate::cli::Session;
use crate::cli::client::Content;
use crate::cli::exit::Exit;
use crate::cli::kinds::segment;
use crate::cli::print::{self, value::Markup};
use crate::wire::agents::AgentToken;

/// Which agent is to come.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateAgentToken {
    /// The runner, of type `agent`
    runner: String,
    /// How long the token serves, a day at most
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Print the whole object
    #[arg(short, long, value_enum)]
    out: Option<Markup>,
}

impl CreateAgentToken {
    /// Makes the token and prints it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = session.client().await?;
        let body = json!({"runner_id": self.runner, "minutes": self.minutes});
        let made: AgentToken = send(client, Method::POST, "agent-tokens", body).await?;
        print::note(format!(
            "The token enrols one agent of runner {}, once, until {}. On the agent's host: windlass agent --server URL --enrol -",
            made.runner_id, made.expires_at
        ));
        match self.out {
            Some(out) => print::value::print(&serde_json::to_value(made)?, out.into(), &[])?,
            None => print::data(&format!("{}\n", made.token))?,
        }
        Ok(Exit::OK)
    }
}

/// Removes an agent.
pub(crate) async fn delete_agent(session: &Session, id: &str) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let path = format!("agents/{}", segment(id));
    client
        .call(Method::DELETE, &path, Content::Empty, &[])
        .await?;
    print::success(format!(
        "Agent {id} removed from organization {}; its keys are over.",
        client.org()
    ));
    Ok(Exit::OK)
}
