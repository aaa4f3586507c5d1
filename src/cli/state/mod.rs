//! `state`: what lies in the state of an environment, how what a killed run left open is settled, and how a state is moved.
//!
//! All three ways are runs of the environment, in its history and its line: the ids that an import needs never leave the
//! state directory.

mod moving;
mod named;
mod versions;

use std::time::SystemTime;

use axum::http::Method;
use serde_json::Value;

use super::client::Content;
use super::create::{Doing, explain};
use super::deploy::follow::{self, End, Over, Watch};
use super::deploy::report;
use super::exit::{Advised, Exit, Told};
use super::get::Out;
use super::keys::KeyStore;
use super::{Session, ask, kinds, print};
use crate::seal::key::Identity;
use crate::wire::deployments::{Deployment, RecipientSpec};
use crate::wire::state::{StateSettle, StateView};

/// What can be done with a state.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum State {
    /// List what is recorded, and what a killed run left open
    #[command(visible_alias = "show")]
    List(List),
    /// Take into the state what a killed run made and could not record
    Import(Import),
    /// Forget what a killed run left open: it does not exist, or you look after it yourself
    Dismiss(Dismiss),
    /// Take a state to where the environment's runner keeps its states now; it is left where it was as well
    Move(moving::Move),
    /// List the versions of a state that the server keeps, and who holds its lock
    Versions(versions::Versions),
    /// Print a state that the server keeps, as its engine wrote it; it holds values in clear
    Pull(versions::Pull),
    /// Make an older version of a state that the server keeps the newest one again
    Restore(versions::Restore),
    /// Let go of the lock of a run that is over
    Unlock(versions::Unlock),
}

/// Which environment.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The project
    project: String,
    /// The environment
    env: String,
    #[command(flatten)]
    out: Out,
}

/// What to import.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Addresses as `state list` prints them, with the id where you looked it up; everything that can be imported if none
    #[arg(value_name = "ADDRESS[=ID]")]
    address: Vec<String>,
    /// Import nothing; only show what the next deploy would make of it
    #[arg(long, alias = "dry-run")]
    plan_only: bool,
    #[command(flatten)]
    how: How,
}

/// What to dismiss.
#[derive(Debug, clap::Args)]
pub(crate) struct Dismiss {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Addresses as `state list` prints them
    #[arg(required = true)]
    address: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// How to run it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct How {
    /// Do not ask
    #[arg(long)]
    no_prompt: bool,
    /// Runner for this alone; else the one of the last deployment
    #[arg(long, value_name = "ID")]
    runner: Option<String>,
    /// Show the log while it is written
    #[arg(long)]
    show_logs: bool,
}

/// An environment, in paths and in words.
struct Target {
    ids: [String; 2],
}

impl Target {
    fn new(project: String, env: String) -> Self {
        Self {
            ids: [project, env],
        }
    }

    fn path(&self, below: &str) -> String {
        format!("{}/state{below}", kinds::ENVIRONMENT.item(&self.ids))
    }

    fn name(&self) -> String {
        self.ids.join("/")
    }

    fn command(&self, verb: &str) -> String {
        format!("windlass state {verb} {} {}", self.ids[0], self.ids[1])
    }
}

impl State {
    /// Does it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::List(it) => list(session, it).await,
            Self::Import(it) => import(session, it).await,
            Self::Dismiss(it) => dismiss(session, it).await,
            Self::Move(it) => moving::run(session, it).await,
            Self::Versions(it) => versions::list(session, it).await,
            Self::Pull(it) => versions::pull(session, it).await,
            Self::Restore(it) => versions::restore(session, it).await,
            Self::Unlock(it) => versions::unlock(session, it).await,
        }
    }
}

async fn view(session: &Session, target: &Target) -> anyhow::Result<StateView> {
    let client = session.client().await?;
    client.get(&target.path("")).await.map_err(|error| {
        explain(
            error,
            &kinds::ENVIRONMENT,
            &target.ids,
            client.org(),
            Doing::Get,
        )
    })
}

async fn list(session: &Session, it: List) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    let found = view(session, &target).await?;
    if it.out.out != print::value::Format::Table {
        print::value::print(&serde_json::to_value(&found)?, it.out.out, &[])?;
        return Ok(Exit::OK);
    }
    if found.storage.is_none() {
        print::note(format!("Nothing was ever applied to {}.", target.name()));
        return Ok(Exit::OK);
    }
    let rows = rows(&found);
    print::data(&print::table::lines(&["Address", "State"], &rows))?;
    if found.recorded.is_none() {
        print::note("The state does not lie on this host, so only what is left open is listed.");
    }
    if found.storage.as_deref() == Some("windlass") {
        print::note(format!(
            "The server keeps this state and its versions: {}",
            target.command("versions")
        ));
    }
    if !found.open.is_empty() {
        print::suggestions(&[
            format!(
                "{}    takes those that exist into the state",
                target.command("import")
            ),
            format!(
                "{} ADDRESS=ID    takes one in flight that you found, by the id that its provider imports by",
                target.command("import")
            ),
            format!(
                "{} ADDRESS...    forgets them by name",
                target.command("dismiss")
            ),
        ]);
    }
    Ok(Exit::OK)
}

fn rows(found: &StateView) -> Vec<Vec<String>> {
    let all = [
        (found.recorded.as_deref().unwrap_or_default(), "recorded"),
        (
            &found.open.unrecorded,
            "unrecorded: exists, and the state does not hold it",
        ),
        (
            &found.open.in_flight,
            "in flight: was being changed, may exist",
        ),
    ];
    all.into_iter()
        .flat_map(|(addresses, what)| {
            addresses
                .iter()
                .map(move |address| vec![print::harmless(address), what.to_owned()])
        })
        .collect()
}

async fn import(session: &Session, it: Import) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    let named = named::read(&it.address)?;
    let asks = !it.plan_only && !it.how.no_prompt;
    if it.plan_only || asks {
        let wanted = StateSettle {
            addresses: named.addresses.clone(),
            ids: named.ids.clone(),
            plan_only: true,
            ..StateSettle::default()
        };
        let Some(over) = carry_out(session, &target, "import", wanted, &it.how).await? else {
            return Ok(Exit::INTERRUPTED);
        };
        print::say(preview(&over));
        if it.plan_only {
            return Ok(Exit::OK);
        }
        let question = format!("Take this into the state of {}?", target.name());
        ask::enter(&question, "--no-prompt").await?;
    }
    let wanted = StateSettle {
        addresses: named.addresses,
        ids: named.ids,
        ..StateSettle::default()
    };
    let Some(over) = carry_out(session, &target, "import", wanted, &it.how).await? else {
        return Ok(Exit::INTERRUPTED);
    };
    if !asks {
        print::say(preview(&over));
    }
    settled(session, &target, "imported into").await
}

async fn dismiss(session: &Session, it: Dismiss) -> anyhow::Result<Exit> {
    let target = Target::new(it.project, it.env);
    if !it.how.no_prompt {
        for address in &it.address {
            print::say(format!("  {}", print::harmless(address)));
        }
        let question = format!(
            "Forget this in {}? What of it exists goes on existing, and the next deploy may make it once more.",
            target.name()
        );
        ask::enter(&question, "--no-prompt").await?;
    }
    let wanted = StateSettle {
        addresses: it.address,
        ..StateSettle::default()
    };
    match carry_out(session, &target, "dismiss", wanted, &it.how).await? {
        Some(_) => settled(session, &target, "dismissed from").await,
        None => Ok(Exit::INTERRUPTED),
    }
}

/// Says that it is done, and what is still open.
async fn settled(session: &Session, target: &Target, done: &str) -> anyhow::Result<Exit> {
    let left = view(session, target).await?.open;
    print::success(format!("Done: {done} the state of {}.", target.name()));
    if left.is_empty() {
        print::note("Nothing is left open; the next deploy goes on.");
    } else {
        print::note("Still open:");
        for address in left.unrecorded.iter().chain(&left.in_flight) {
            print::note(format!("  {}", print::harmless(address)));
        }
        print::suggestions(&[target.command("list")]);
    }
    Ok(Exit::OK)
}

/// What the plan of an import says about the next deploy of the same.
fn preview(over: &Over) -> String {
    let mut text = String::new();
    for (action, words) in [
        ("import", "is taken as it is"),
        ("update", "would be changed in place"),
        ("replace", "WOULD BE REPLACED"),
        ("delete", "would be deleted"),
        ("create", "would be made"),
    ] {
        let of_this = over.planned.iter().filter(|event| event.action == action);
        for event in of_this {
            text.push_str(&format!("  {} {words}\n", print::harmless(&event.address)));
        }
    }
    if text.is_empty() {
        return "The next deploy of the same would change nothing.".to_owned();
    }
    format!(
        "What the next deploy of the same makes of it:\n{}",
        text.trim_end()
    )
}

/// Submits and follows. `None`: interrupted; it goes on.
async fn carry_out(
    session: &Session,
    target: &Target,
    action: &str,
    wanted: StateSettle,
    how: &How,
) -> anyhow::Result<Option<Over>> {
    carry_out_any(session, target, action, serde_json::to_value(wanted)?, how).await
}

/// The same for any body that has a runner and readers of the log.
async fn carry_out_any(
    session: &Session,
    target: &Target,
    action: &str,
    mut body: Value,
    how: &How,
) -> anyhow::Result<Option<Over>> {
    let store = KeyStore::new(&session.settings.data_dir);
    store.remove_old(session.settings.keep_keys_days(), SystemTime::now());
    let key = Identity::generate();
    store.keep(&key)?;
    if let Some(runner) = &how.runner {
        body["runner"] = Value::String(runner.clone());
    }
    body["log_recipients"] = serde_json::to_value([RecipientSpec {
        recipient: key.recipient().to_string(),
        age_file: false,
    }])?;
    let client = session.client().await?;
    let path = target.path(&format!("/actions/{action}"));
    let answer = client
        .call(Method::POST, &path, Content::Json(body), &[])
        .await
        .map_err(|error| match error.refused(409) {
            Some(refusal) => Advised::new(refusal.message.clone(), [target.command("list")]).into(),
            None => explain(
                error,
                &kinds::ENVIRONMENT,
                &target.ids,
                client.org(),
                Doing::Get,
            ),
        })?;
    let run: Deployment = answer.json()?;
    session.ensure_worker()?;
    print::note(format!("Run {}. Log: windlass logs {}", run.id, run.id));
    let watch = Watch {
        log_key: Some(&key),
        show_logs: how.show_logs,
        on_interrupt: follow::OnInterrupt::Ask,
    };
    match follow::follow(session, &run.id, watch).await? {
        End::Detached => {
            print::say(format!(
                "Detached; it goes on. Follow it: windlass logs {} --follow",
                run.id
            ));
            Ok(None)
        }
        End::Over(over) if over.deployment.status == "succeeded" => Ok(Some(*over)),
        End::Over(over) => {
            if !over.log.is_empty() && !how.show_logs {
                print::say(over.log.shown());
            }
            print::say(report::failure(&over.deployment));
            print::suggestions(&[target.command("list"), format!("windlass logs {}", run.id)]);
            Err(Told.into())
        }
    }
}
