//! `deploy`, and what `rollback` and `score deploy` share with it: look, ask, submit, follow, report.
//!
//! The order matters: the preview is compiled before anything is asked, keys are stored before
//! anything is submitted, and once submitted nothing that happens to this client harms the run.
//! Start at [`carry_out`].

pub(crate) mod changes;
mod deadline;
pub(crate) mod dry;
pub(crate) mod follow;
mod log_end;
pub(crate) mod place;
pub(crate) mod report;
pub(crate) mod source;
pub(crate) mod submit;

use std::path::PathBuf;
use std::time::SystemTime;

use super::exit::{Advised, Exit};
use super::keys::{self, KeyStore};
use super::print::{self, value::Markup};
use super::{Session, ask};
use crate::wire::deployments::{Deployment, DryRun};

use self::deadline::Deadline;
use self::follow::{End, OnInterrupt, Watch};
use self::source::Request;

/// Compile a manifest and deploy it
#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// FILE, - for standard input, deployment://ID, deployment://HEAD or environment://ENV
    #[arg(value_name = "MANIFEST")]
    source: String,
    /// Keep what is deployed and overwrite only what this manifest names
    #[arg(long)]
    merge: bool,
    /// Remove a workload
    #[arg(long, value_name = "WORKLOAD")]
    drop_workload: Vec<String>,
    /// Remove a shared resource
    #[arg(long, value_name = "ALIAS")]
    drop_shared: Vec<String>,
    /// Set a value, for example workloads.web.outputs.url=…, shared.db.params.size=small
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    run: RunFlags,
}

/// How to look, run and report: the same for every command that deploys.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunFlags {
    /// Compile and show the whole graph; record and change nothing
    #[arg(long, help_heading = "What to do")]
    pub(crate) dry_run: bool,
    /// Let the engine plan; change nothing
    #[arg(long, conflicts_with = "dry_run", help_heading = "What to do")]
    pub(crate) plan_only: bool,
    /// Do not ask
    #[arg(long, help_heading = "What to do")]
    pub(crate) no_prompt: bool,
    /// Do not wait for the end
    #[arg(long, help_heading = "What to do", conflicts_with_all = ["result", "show_logs", "detailed_exitcode", "summary"])]
    pub(crate) no_wait: bool,
    /// What Ctrl-C does while it runs
    #[arg(
        long,
        value_enum,
        default_value = "ask",
        value_name = "WHAT",
        hide_possible_values = true,
        help = "What Ctrl-C does while it runs: ask, detach or cancel",
        help_heading = "What to do"
    )]
    pub(crate) on_interrupt: OnInterrupt,
    /// Runner for this deployment only, for example local or process
    #[arg(long, value_name = "ID", help_heading = "What to do")]
    pub(crate) runner: Option<String>,
    /// How long a phase may take: init, plan, apply, destroy, finish, or grace (before an interrupted engine is
    /// interrupted again); may be repeated
    #[arg(long, value_name = "PHASE=90s|30m|2h", value_parser = deadline::parse, help_heading = "What to do")]
    pub(crate) deadline: Vec<Deadline>,
    /// Write the outputs, opened, to a file (0600) or - for standard output
    #[arg(
        long,
        alias = "output",
        value_name = "FILE|-",
        help_heading = "Results"
    )]
    pub(crate) result: Option<String>,
    /// How to write outputs; with --dry-run: print the answer like this
    #[arg(short, long, alias = "format", value_enum, help_heading = "Results")]
    pub(crate) out: Option<Markup>,
    /// Do not ask for outputs at all (saves an engine process)
    #[arg(long, conflicts_with = "result", help_heading = "Results")]
    pub(crate) skip_outputs: bool,
    /// Exit with 0 if nothing changes, 2 if something does, 1 on errors
    #[arg(long, help_heading = "Results")]
    pub(crate) detailed_exitcode: bool,
    /// Print a summary to standard output
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Results")]
    pub(crate) summary: Option<Summary>,
    /// Show the log while it is written
    #[arg(long, help_heading = "Logs")]
    pub(crate) show_logs: bool,
    /// Keep no log
    #[arg(long, conflicts_with = "show_logs", help_heading = "Logs")]
    pub(crate) skip_logs: bool,
    /// What goes into the log
    #[arg(
        long,
        value_enum,
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Logs"
    )]
    pub(crate) runner_logs_level: Level,
    /// Another reader of the log (age1…); may be repeated
    #[arg(long, value_name = "AGE_RECIPIENT", value_parser = keys::recipient, help_heading = "Keys")]
    pub(crate) recipient: Vec<String>,
    /// Write the log's key to this file (0600) and do not print it
    #[arg(long, value_name = "FILE", help_heading = "Keys")]
    pub(crate) logs_key_file: Option<PathBuf>,
    /// Forget the keys when this command ends
    #[arg(long, help_heading = "Keys")]
    pub(crate) no_keep_key: bool,
}

/// Formats of `--summary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Summary {
    /// For pull requests and CI job pages
    Markdown,
}

/// What goes into the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    /// Everything
    Debug,
    /// What people read
    #[default]
    Info,
    /// Warnings and errors
    Warn,
    /// Errors
    Error,
}

impl Level {
    /// As on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Deploy {
    /// Deploys.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let edits = source::Edits {
            merge: self.merge,
            drop_workloads: self.drop_workload,
            drop_shared: self.drop_shared,
            set: self.set,
        };
        let request = source::load(session, self.project, self.env, &self.source, edits).await?;
        carry_out(session, request, self.run).await
    }
}

/// Everything from the preview to the exit code.
pub(crate) async fn carry_out(
    session: &Session,
    request: Request,
    flags: RunFlags,
) -> anyhow::Result<Exit> {
    if flags.result.as_deref() == Some("-") && flags.summary.is_some() {
        return Err(Advised::new(
            "--result - and --summary both want standard output",
            ["write the outputs to a file: --result outputs.yaml"],
        )
        .into());
    }
    submit::check_environment(session, &request).await?;
    let preview = submit::preview(session, &request, &flags).await?;
    warn(&request, &preview);
    if flags.dry_run {
        return dry::show(&request, &preview, &flags);
    }
    changes::show(session, &request, &preview).await?;
    if !flags.no_prompt {
        let what = if flags.plan_only {
            "Plan"
        } else {
            request.verb()
        };
        ask::enter(
            &format!("{what} {}/{}?", request.project, request.env),
            "--no-prompt",
        )
        .await?;
    }
    let store = KeyStore::new(&session.settings.data_dir);
    store.remove_old(session.settings.keep_keys_days(), SystemTime::now());
    let submitted = submit::submit(session, &request, &preview, &flags, &store).await?;
    session.ensure_worker()?;
    submit::announce(session, &submitted, &flags)?;
    if flags.no_wait {
        print::say(format!(
            "Not waiting. Follow it: windlass logs {} --follow",
            submitted.deployment.id
        ));
        return Ok(Exit::OK);
    }
    let watch = Watch {
        log_key: submitted.log_key.as_ref(),
        show_logs: flags.show_logs,
        on_interrupt: flags.on_interrupt,
    };
    match follow::follow(session, &submitted.deployment.id, watch).await? {
        End::Detached => {
            print::say(format!(
                "Detached; the deployment goes on. Follow it: windlass logs {} --follow",
                submitted.deployment.id
            ));
            Ok(Exit::INTERRUPTED)
        }
        End::Over(over) => {
            let outputs = fetch_outputs(session, &over.deployment, &submitted, &flags).await?;
            report::finish(session, &over, &preview, &flags)?;
            if let Some(outputs) = outputs {
                super::outputs::write(&outputs, flags.result.as_deref(), flags.out)?;
            } else if submitted.output_key.is_some()
                && succeeded(&over.deployment)
                && flags.result.is_none()
            {
                let command = match flags.plan_only {
                    true => format!("windlass get outputs {}", over.deployment.id),
                    false => format!("windlass get outputs {} {}", request.project, request.env),
                };
                print::note(format!("Outputs: {command}"));
            }
            Ok(report::exit(&over.deployment, &flags))
        }
    }
}

/// The outputs, when they were asked for and there are any.
async fn fetch_outputs(
    session: &Session,
    deployment: &Deployment,
    submitted: &submit::Submitted,
    flags: &RunFlags,
) -> anyhow::Result<Option<serde_json::Value>> {
    match (&flags.result, &submitted.output_key) {
        (Some(_), Some(key)) if succeeded(deployment) => {
            super::sealed::outputs(session, &deployment.id, key)
                .await
                .map(Some)
        }
        (Some(_), None) if succeeded(deployment) => Ok(Some(serde_json::json!({}))),
        _ => Ok(None),
    }
}

fn succeeded(deployment: &Deployment) -> bool {
    deployment.status == "succeeded"
}

/// Warnings of the compiler, with their places.
fn warn(request: &Request, preview: &DryRun) {
    let warnings = preview
        .windlass
        .as_ref()
        .map(|extras| extras.warnings.clone())
        .unwrap_or_default();
    print::diagnostic::all(&place::locate(request, warnings));
}
