//! `state versions|pull|restore|unlock`: a state that the server keeps, as people handle it.

use std::path::PathBuf;

use anyhow::Context as _;
use axum::http::Method;

use super::{Target, ask, kinds, print};
use crate::cli::client::{CallError, Content};
use crate::cli::create::{Doing, explain};
use crate::cli::exit::{Advised, Exit};
use crate::cli::get::Out;
use crate::cli::{Session, files};
use crate::wire::state::{StateVersion, StateVersions};

/// Which environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Versions {
    /// The project
    project: String,
    /// The environment
    env: String,
    #[command(flatten)]
    out: Out,
}

/// Which version, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// The version, as `state versions` lists it; the current one if none
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
    /// Write it to this file, which only you may read
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
}

/// Which version.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// The version, as `state versions` lists it
    version: i64,
    /// Do not ask
    #[arg(long)]
    no_prompt: bool,
}

/// Whose lock.
#[derive(Debug, clap::Args)]
pub(crate) struct Unlock {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Do not ask
    #[arg(long)]
    no_prompt: bool,
}

async fn asked(session: &Session, target: &Target) -> anyhow::Result<StateVersions> {
    let client = session.client().await?;
    let found = client.get(&target.path("/versions")).await;
    told(session, target, found).await
}

/// An answer, or the refusal with the words of an environment.
async fn told<T>(
    session: &Session,
    target: &Target,
    answer: Result<T, CallError>,
) -> anyhow::Result<T> {
    let client = session.client().await?;
    answer.map_err(|error| match error.refused(404) {
        // The environment is there, the version is not.
        Some(refusal) if refusal.message.starts_with("version ") => {
            Advised::new(refusal.message.clone(), [target.command("versions")]).into()
        }
        Some(_) | None => explain(
            error,
            &kinds::ENVIRONMENT,
            &target.ids,
            client.org(),
            Doing::Get,
        ),
    })
}

pub(super) async fn list(session: &Session, it: Versions) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    let found = asked(session, &target).await?;
    if it.out.out != print::value::Format::Table {
        print::value::print(&serde_json::to_value(&found)?, it.out.out, &[])?;
        return Ok(Exit::OK);
    }
    if found.items.is_empty() {
        print::note(format!("The server keeps no state of {}.", target.name()));
    } else {
        let rows: Vec<Vec<String>> = found.items.iter().map(row).collect();
        let titles = ["Version", "Serial", "Bytes", "Written by", "At"];
        print::data(&print::table::lines(&titles, &rows))?;
    }
    if let Some(lock) = &found.lock {
        let holder = lock
            .deployment
            .as_deref()
            .unwrap_or("a deployment that is forgotten");
        let state = if lock.is_live {
            "is going on"
        } else {
            "is over"
        };
        print::note(format!(
            "Locked since {} by {holder}, which {state} ({}, {}).",
            lock.created_at,
            print::harmless(&lock.who),
            print::harmless(&lock.operation)
        ));
        if !lock.is_live {
            print::suggestions(&[target.command("unlock")]);
        }
    }
    Ok(Exit::OK)
}

fn row(version: &StateVersion) -> Vec<String> {
    let current = if version.current { " (current)" } else { "" };
    let by = match (&version.deployment, &version.restored_by) {
        (Some(deployment), _) => deployment.clone(),
        (None, Some(user)) => format!("restored by {user}"),
        (None, None) => String::new(),
    };
    vec![
        format!("{}{current}", version.version),
        version.serial.to_string(),
        version.size.to_string(),
        by,
        version.created_at.clone(),
    ]
}

pub(super) async fn pull(session: &Session, it: Pull) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    let version = match it.version {
        Some(version) => version,
        None => {
            let found = asked(session, &target).await?;
            let current = found.items.iter().find(|version| version.current);
            let Some(current) = current else {
                anyhow::bail!("the server keeps no state of {}", target.name());
            };
            current.version
        }
    };
    let client = session.client().await?;
    let path = target.path(&format!("/versions/{version}/actions/pull"));
    let answer = client.call(Method::POST, &path, Content::Empty, &[]).await;
    let state = told(session, &target, answer).await?.text();
    match &it.result {
        None => print::data(&state)?,
        Some(file) => {
            files::write_private(file, state.as_bytes())
                .with_context(|| format!("could not write `{}`", file.display()))?;
            print::success(format!("Wrote version {version} to {}.", file.display()));
        }
    }
    Ok(Exit::OK)
}

pub(super) async fn restore(session: &Session, it: Restore) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    if !it.no_prompt {
        let question = format!(
            "Make version {} the newest state of {}? What was made since is then not known any more; the next deploy may make it again.",
            it.version,
            target.name()
        );
        ask::enter(&question, "--no-prompt").await?;
    }
    let client = session.client().await?;
    let path = target.path(&format!("/versions/{}/actions/restore", it.version));
    let answer = client.call(Method::POST, &path, Content::Empty, &[]).await;
    let restored: StateVersion = told(session, &target, answer).await?.json()?;
    print::success(format!(
        "Version {} of {} holds what version {} held.",
        restored.version,
        target.name(),
        it.version
    ));
    print::suggestions(&[format!(
        "windlass deploy {} {} deployment://HEAD --plan-only    shows what the engine makes of it",
        target.ids[0], target.ids[1]
    )]);
    Ok(Exit::OK)
}

pub(super) async fn unlock(session: &Session, it: Unlock) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    if !it.no_prompt {
        let question = format!(
            "Let go of the lock on the state of {}? Its run is over and could not write what it made.",
            target.name()
        );
        ask::enter(&question, "--no-prompt").await?;
    }
    let client = session.client().await?;
    let path = target.path("/actions/unlock");
    let answer = client.call(Method::POST, &path, Content::Empty, &[]).await;
    told(session, &target, answer).await?;
    print::success(format!("The state of {} is not locked.", target.name()));
    Ok(Exit::OK)
}
