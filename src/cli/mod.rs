//! The terminal door, and the wiring: every command, and the process that carries deployments on.
//!
//! Each command is a file with its arguments and `run`. Commands speak `wire` types through
//! [`client::Client`], also in local mode; only [`mod@print`] prints; [`exit`] knows the exit codes.
//! Start at [`Command`], the table of contents.

mod agent;
mod apply;
mod ask;
mod audit;
mod backup;
mod cancel;
mod client;
mod config;
mod create;
mod delete;
mod demo;
mod deploy;
mod exit;
mod explain;
mod files;
mod get;
mod graph;
mod identity;
mod image;
mod input;
mod keyring;
mod keys;
mod kinds;
mod kit;
mod local;
mod login;
mod logs;
mod mirror;
mod outputs;
mod print;
mod remote;
mod rollback;
mod score;
mod sealed;
mod serve;
mod settings;
mod state;
mod trouble;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tokio::sync::OnceCell;

use self::client::Client;
use self::exit::{Advised, Exit, Findings, Told};
use self::settings::{Flags, Settings};

/// Manifests to applied infrastructure, sealed end to end
///
/// Windlass expands a manifest into a resource graph, picks a module for every resource by rules,
/// compiles the graph for OpenTofu or Terraform, and applies it in an isolated runner. Outputs and
/// logs can be read by nobody but you.
#[derive(Debug, clap::Parser)]
#[command(
    name = "windlass",
    bin_name = "windlass",
    version,
    disable_version_flag = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Start here:\n  windlass demo                                          see it work\n  windlass apply -f DIR                                  say what the platform offers\n  windlass deploy PROJECT ENV manifest.yaml --dry-run    see what a manifest becomes\n\nExit codes: 0 done; 1 any error; 130 interrupted; with --detailed-exitcode: 0 nothing to change, 2 changes."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// Say what happens inside
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    debug: bool,
    /// The server and organisation of this name (windlass config contexts) [env: WINDLASS_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere")]
    context: Option<String>,
    /// The organisation
    #[arg(long, global = true, value_name = "ID", help_heading = "Everywhere")]
    org: Option<String>,
    /// Where local mode keeps everything
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    data_dir: Option<PathBuf>,
    /// Print results, warnings and errors only
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    quiet: bool,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

/// Everything Windlass does.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Apply(apply::Apply),
    Deploy(Box<deploy::Deploy>),
    Rollback(Box<rollback::Rollback>),
    /// Deploy Score files
    #[command(subcommand)]
    Score(score::Score),
    Logs(logs::Logs),
    Cancel(cancel::Cancel),
    Explain(explain::Explain),
    /// Show an object, a list, a graph, outputs
    #[command(subcommand)]
    Get(get::Get),
    /// Create an object
    #[command(subcommand)]
    Create(create::Create),
    /// Change an object
    #[command(subcommand)]
    Update(create::Update),
    /// Remove an object; an environment with everything in it
    #[command(subcommand)]
    Delete(delete::Delete),
    /// The state of an environment: look at it, settle what a killed run left open, go back to an older version
    #[command(subcommand)]
    State(state::State),
    RenderActiveResourceGraph(graph::Render),
    Demo(demo::Demo),
    /// The image that runs are made of
    #[command(subcommand)]
    RunnerImage(image::RunnerImage),
    /// Providers that runs get without a download
    #[command(subcommand)]
    Mirror(mirror::MirrorCommand),
    /// One signed file with engine, providers and module code, for where there is no network
    #[command(subcommand, visible_alias = "bundle")]
    Kit(kit::Kit),
    Serve(Box<serve::Serve>),
    Agent(agent::Agent),
    #[command(hide = true)]
    Work(work::Work),
    /// Settings of this client
    #[command(subcommand)]
    Config(config::Config),
    Login(login::Login),
    Logout(login::Logout),
    /// Make another token or one-time link
    #[command(subcommand)]
    Regenerate(identity::Regenerate),
    /// Who asked for what: export the audit log, check that nobody changed it
    #[command(subcommand)]
    Audit(audit::Audit),
    Backup(backup::Backup),
    /// The keys that stored secrets and states are encrypted under
    #[command(subcommand)]
    Keyring(keyring::Keyring),
    /// Print a script that completes commands in your shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

impl Command {
    async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Apply(it) => it.run(session).await,
            Self::Deploy(it) => it.run(session).await,
            Self::Rollback(it) => it.run(session).await,
            Self::Score(it) => it.run(session).await,
            Self::Logs(it) => it.run(session).await,
            Self::Cancel(it) => it.run(session).await,
            Self::Explain(it) => it.run(session).await,
            Self::Get(it) => it.run(session).await,
            Self::Create(it) => it.run(session).await,
            Self::Update(it) => it.run(session).await,
            Self::Delete(it) => it.run(session).await,
            Self::State(it) => it.run(session).await,
            Self::RenderActiveResourceGraph(it) => it.run(session).await,
            Self::Demo(it) => it.run(session).await,
            Self::RunnerImage(it) => it.run(session).await,
            Self::Mirror(it) => it.run(session).await,
            Self::Kit(it) => it.run(session).await,
            Self::Serve(it) => it.run(session).await,
            Self::Agent(it) => it.run(session).await,
            Self::Work(it) => it.run(session).await,
            Self::Config(it) => it.run(session),
            Self::Login(it) => it.run(session).await,
            Self::Logout(it) => it.run(session).await,
            Self::Regenerate(it) => it.run(session).await,
            Self::Audit(it) => it.run(session).await,
            Self::Backup(it) => it.run(session).await,
            Self::Keyring(it) => it.run(session).await,
            Self::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "windlass", &mut script);
                print::bytes(&script)?;
                Ok(Exit::OK)
            }
        }
    }
}

/// How often a command looks whether somebody carries the work on.
const TEND: std::time::Duration = std::time::Duration::from_secs(1);

/// What a command works with: settings, and the API once it is needed.
pub(crate) struct Session {
    settings: Settings,
    local: OnceCell<local::Local>,
    remote: OnceCell<Client>,
}

impl Session {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            local: OnceCell::new(),
            remote: OnceCell::new(),
        }
    }

    /// The API: that of the server, or that of this process, which opens the store on first use.
    pub(crate) async fn client(&self) -> anyhow::Result<&Client> {
        match &self.settings.url {
            Some(url) => {
                self.remote
                    .get_or_try_init(async || remote::client(url, &self.settings))
                    .await
            }
            None => Ok(&self.local().await?.client),
        }
    }

    async fn local(&self) -> anyhow::Result<&local::Local> {
        self.local
            .get_or_try_init(|| local::open(&self.settings))
            .await
    }

    /// Sees to it that somebody carries on what this command leaves.
    pub(crate) fn ensure_worker(&self) -> anyhow::Result<()> {
        match self.local.get() {
            Some(local) => local::ensure_worker(local, &self.settings),
            None => Ok(()), // Nothing was opened, so nothing was left.
        }
    }

    /// Starts another worker whenever there is work and nobody does it: whoever killed the last one, every command
    /// that goes on meanwhile, and at the latest the next one, has the runs adopted.
    async fn tend(&self) -> std::convert::Infallible {
        let mut told = false;
        loop {
            tokio::time::sleep(TEND).await;
            self.see_to_work().await;
            let no_space = self
                .local
                .get()
                .and(trouble::no_space(&self.settings.data_dir));
            if let Some(words) = no_space.as_ref().filter(|_| !told) {
                print::warning(words);
            }
            told = no_space.is_some();
        }
    }

    async fn see_to_work(&self) {
        if let Some(local) = self.local.get()
            && let Err(error) = local::see_to_work(local, &self.settings).await
        {
            tracing::warn!("nobody may carry the work on: {error:#}");
        }
    }
}

/// The whole program: parses, runs, prints one error, returns the exit code.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // The supervisor of a run starts thousands of times; it does not pay for the command line.
    if args.get(1).is_some_and(|arg| arg == "inside") {
        return crate::runner::inside::main();
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(told) => return usage(&told).into(),
    };
    if cli.global.quiet {
        print::be_quiet();
    }
    // A server writes its log as its settings say.
    if !matches!(cli.command, Command::Serve(_)) {
        let works = matches!(cli.command, Command::Work(_) | Command::Agent(_));
        trace(cli.global.debug, works);
    }
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => tell(&failure).into(),
    }
}

/// Help and version are answers; everything else is a mistake in usage, and exits with 1 as all errors do.
fn usage(told: &clap::Error) -> Exit {
    let is_answer = !told.use_stderr();
    let _ = told.print();
    if is_answer { Exit::OK } else { Exit::FAILED }
}

/// Why a command failed, and what can be done where its surroundings are to blame.
struct Failure {
    error: anyhow::Error,
    advice: Option<String>,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            advice: None,
        }
    }
}

fn start(cli: Cli) -> Result<Exit, Failure> {
    let settings = settings::load(&Flags {
        context: cli.global.context,
        sets_contexts: matches!(cli.command, Command::Config(_)),
        org: cli.global.org,
        data_dir: cli.global.data_dir,
        database_url: match &cli.command {
            Command::Serve(serve) => serve.database_url().map(str::to_owned),
            _ => None,
        },
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let session = Session::new(settings);
    let result = runtime.block_on(async {
        if matches!(
            cli.command,
            Command::Work(_) | Command::Serve(_) | Command::Agent(_)
        ) {
            return cli.command.run(&session).await;
        }
        let result = tokio::select! {
            result = cli.command.run(&session) => result,
            never = session.tend() => match never {},
        };
        session.see_to_work().await;
        result
    });
    // A question that nobody answered still waits in a thread; nothing else may be left.
    runtime.shutdown_background();
    result.map_err(|error| Failure {
        advice: trouble::advice(&error, &session.settings),
        error,
    })
}

/// Prints why a command failed.
fn tell(Failure { error, advice }: &Failure) -> Exit {
    if is_broken_pipe(error) {
        return Exit::OK; // Who read has read enough.
    }
    if error.is::<Told>() {
        return Exit::FAILED;
    }
    if let Some(Findings(found)) = error.downcast_ref() {
        print::diagnostic::all(found);
        return Exit::FAILED;
    }
    print::error(error);
    if let Some(advised) = error.downcast_ref::<Advised>() {
        print::suggestions(&advised.suggestions);
    } else if let Some(client::CallError::Unreached(_)) = error.downcast_ref() {
        print::suggestions(&[
            "another server:  windlass config set-url URL".to_owned(),
            "this machine:    windlass config set-url local".to_owned(),
        ]);
    } else if let Some(advice) = advice {
        print::suggestions(std::slice::from_ref(advice));
    }
    Exit::FAILED
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Traces go to standard error: with `--debug` ours, with `WINDLASS_LOG` whatever it says.
fn trace(debug: bool, works: bool) {
    let wanted = ["WINDLASS_DEBUG", "PO_CLI_DEBUG"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value == "true"));
    let filter = match std::env::var("WINDLASS_LOG") {
        Ok(filter) => filter,
        Err(_) if debug || wanted => "windlass=debug".to_owned(),
        Err(_) if works => "windlass=info".to_owned(),
        Err(_) => "off".to_owned(),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn parses(line: &str) {
        let args = std::iter::once("windlass").chain(line.split_whitespace());
        if let Err(error) = Cli::try_parse_from(args) {
            panic!("`windlass {line}` does not parse: {error}");
        }
    }

    #[test]
    fn every_name_plural_and_short_form_of_the_field_works() {
        for line in [
            "login",
            "login --no-browser",
            "logout",
            "create user Ann --role Admin --scope project:shop --link",
            "create user Ann --email ann@acme.example --role Viewer",
            "create invitation ann@acme.example --role Deployer --days 3 -o yaml",
            "get invitations",
            "delete invitation ann@acme.example",
            "create service-user ci --role Deployer --days 30 -o json",
            "create su ci",
            "update user Ann --role Viewer",
            "update service-user ci --role Viewer --scope env:shop/dev",
            "get users",
            "get service-users",
            "get roles -o json",
            "create trust-rule jobs --issuer https://i.example --claim sub=repo:acme/shop:* --role Deployer",
            "get trust-rules",
            "delete trust-rule jobs",
            "login --oidc-token -",
            "delete user Ann",
            "delete service-user ci",
            "regenerate service-user ci --days 1",
            "regenerate user Ann",
            "audit export -o f",
            "audit verify f",
            "backup f",
            "create project p --set display_name=x",
            "create environment p e",
            "create env p e",
            "create environment-type t",
            "create et t",
            "create env-type t",
            "create envtype t",
            "create environmenttype t",
            "create resource-type r",
            "create rt r",
            "create resourcetype r",
            "create module m",
            "create mod m",
            "create provider aws d",
            "create mp aws d",
            "create module-rule --no-prompt",
            "create rule",
            "create rl",
            "create runner r --set-yaml @f",
            "create runner-rule",
            "create rrl",
            "update project p",
            "update env p e",
            "update et t",
            "update rt r",
            "update mod m",
            "update mp aws d",
            "update runner r",
            "get project p",
            "get projects -o json",
            "get environment p e",
            "get environments p",
            "get envs p",
            "get ets",
            "get env-types",
            "get envtypes",
            "get environmenttypes",
            "get rts",
            "get module m",
            "get mods --type postgres",
            "get mps --type aws",
            "get provider aws d",
            "get module-rule u",
            "get rules --type t --module m",
            "get rls",
            "get runner r",
            "get runners",
            "get runner-rule u",
            "get rrls --runner r",
            "get dep u",
            "get deps p e",
            "get deployments",
            "get manifest u",
            "get manifest p e",
            "get tf u -o x",
            "get active-resource-nodes p e",
            "get active-resources p e --graph svg",
            "get available-resource-types p e",
            "get available-resource-type p e t",
            "get current-user",
            "get outputs p e",
            "get deployment u --graph mermaid",
            "delete project p --delete-rules",
            "delete environment p e --force --no-wait --delete-rules --no-prompt",
            "delete env p e",
            "delete et t",
            "delete rt r",
            "delete mod m",
            "delete mp aws d",
            "delete rule u",
            "delete runner r",
            "delete rrl u",
            "config contexts -o json",
            "config list",
            "config use work",
            "config set-context work https://windlass.example.com acme",
            "config delete-context work",
            "--context work get projects",
            "get projects --context work",
            "config set-org o",
            "config set-url http://x",
            "config set-token t",
            "config set-version-check disabled",
            "config show -o json",
            "config get",
            "deploy p e m.yaml --no-prompt --result=- -o json",
            "deploy p e m.yaml --output=- --format json",
            "deploy p e deployment://HEAD --drop-workload old --set shared.db.params.size=small --no-prompt",
            "deploy p e - --merge --drop-shared x --dry-run",
            "deploy p e m --plan-only --skip-logs --runner-logs-level debug --runner process --detailed-exitcode --summary markdown",
            "deploy p e m --show-logs --logs-key-file k --no-keep-key -q",
            "rollback p e u --plan-only",
            "score deploy p e a.yaml b.yaml --default-image x:1 --print-manifest - --no-prompt --plan-only",
            "logs u --key=@f --follow",
            "explain p e db.default@shared.db -o json",
            "explain u shared.db",
            "state list p e -o json",
            "state show p e",
            "state import p e",
            "state import p e module.a.terraform_data.b[0] --plan-only --runner process",
            "state import p e module.a.terraform_data.b[0]=i-1 terraform_data.c",
            "state dismiss p e module.a.terraform_data.b[0] terraform_data.c --no-prompt",
            "state move p e --runner r --no-prompt --show-logs",
            "render-active-resource-graph p e --result - --no-open",
            "completion bash",
            "--org o get projects --data-dir /d -d",
        ] {
            parses(line);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "deploy p e m --dry-run --plan-only",
            "deploy p e m --show-logs --skip-logs",
            "deploy p e m --no-wait --result x",
            "deploy p e m --recipient age1broken",
            "create project p --set-json {} --set-yaml {}",
            "get projects -o xml",
            "state dismiss p e",
        ] {
            let args = std::iter::once("windlass").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(args).is_err(), "{line}");
        }
    }
}
