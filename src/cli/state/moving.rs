//! `state move`: the state of an environment goes to another storage.

use super::{How, Target, ask, carry_out_any, view};
use crate::cli::exit::Exit;
use crate::cli::{Session, print};

/// Which environment, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Do not ask
    #[arg(long)]
    no_prompt: bool,
    /// Runner to whose state storage it is moved; else the one that serves the environment
    #[arg(long, value_name = "ID")]
    runner: Option<String>,
    /// Show the log while it is written
    #[arg(long)]
    show_logs: bool,
}

pub(super) async fn run(session: &Session, it: Move) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    let before = view(session, &target).await?;
    let old = before.place.as_deref().map(print::harmless);
    if let (Some(old), false) = (&old, it.no_prompt) {
        let where_to = match &it.runner {
            Some(runner) => format!("the state storage of the runner `{runner}`"),
            None => "the state storage of its runner".to_owned(),
        };
        let question = format!(
            "Take the state of {} from {old} to {where_to}?",
            target.name()
        );
        ask::enter(&question, "--no-prompt").await?;
    }
    let how = How {
        no_prompt: it.no_prompt,
        runner: it.runner,
        show_logs: it.show_logs,
    };
    let body = serde_json::json!({});
    if carry_out_any(session, &target, "move", body, &how)
        .await?
        .is_none()
    {
        return Ok(Exit::INTERRUPTED);
    }
    let new = view(session, &target).await?.place.unwrap_or_default();
    print::success(format!(
        "The state of {} lies in {}.",
        target.name(),
        print::harmless(&new)
    ));
    if let Some(old) = old {
        print::note(format!(
            "What lies in {old} is left there as it was, and nothing reads it any more."
        ));
    }
    Ok(Exit::OK)
}
