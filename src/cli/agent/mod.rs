//! `agent`: carries the runs of a runner on a host that no server reaches. It comes and asks; nothing comes to it.
//!
//! [`desk`] is the server's desk as this host sees it, [`journal`] what it was given, [`identity`] its key, [`link`] the
//! way to the server. The worker is the one that servers have.
//!
//! Losing the server never ends a run, and losing the agent does not either: what was begun goes on, and the next agent
//! of the same data directory takes it over.

mod desk;
mod identity;
mod journal;
mod link;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::desk::AgentDesk;
use self::identity::Identity;
use self::journal::Journal;
use self::link::Link;
use self::vault::Vault;
use super::exit::{Advised, Exit};
use super::{Session, input, local, print};
use crate::runner::work;
use crate::store::{self, Store, StoreConfig};
use crate::wire::agents::About;

/// How long the worker rests before it begins again when it had nothing to do.
const REST: Duration = Duration::from_secs(25);

/// Carry runs of a runner on this host, for a server that cannot reach it
#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    /// The server [env: WINDLASS_URL]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Become an agent: with the token that `windlass create agent-token` prints, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN")]
    enrol: Option<String>,
    /// What may carry runs here
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "docker",
        value_parser = ["docker", "process", "kubernetes"]
    )]
    launchers: Vec<String>,
    /// Runs at once; what the settings say, where nothing is said
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    capacity: Option<u32>,
    /// Something for people to tell agents apart by
    #[arg(long = "label", value_name = "NAME=TEXT")]
    labels: Vec<String>,
    /// Change the key when it is so old; 0 is at once
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    key_days: u32,
    /// Speak to the server without encryption, although it is another machine
    #[arg(long)]
    allow_http: bool,
}

impl Agent {
    /// Works until SIGTERM or Ctrl-C. What runs goes on.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let settings = &session.settings;
        let store = store::open(&StoreConfig {
            keyring_file: local::store_config(settings).keyring_file,
            ..StoreConfig::at(&settings.data_dir)
        })
        .await
        .with_context(|| {
            format!(
                "could not open the data directory `{}`",
                settings.data_dir.display()
            )
        })?;
        let Some(mut worker) = store.place().worker_lock()? else {
            return Err(Advised::new(
                format!(
                    "another process works in the data directory `{}`: an agent, a server or `windlass work`",
                    settings.data_dir.display()
                ),
                ["give this agent a directory of its own: windlass agent --data-dir DIR …"],
            )
            .into());
        };
        worker.sign();
        let mut host = local::host_settings(settings, &store);
        // What a runner may read here is this host's to say.
        host.environment_allow.get_or_insert_default();
        if let Some(capacity) = self.capacity {
            host.parallel = usize::try_from(capacity).unwrap_or(1);
        }
        let about = self.about(host.parallel, &store)?;
        let vault = Vault::open(&store, "self")?;
        let identity = self
            .identity(&vault, &store, settings.url.as_deref(), &about)
            .await?;
        let enrolled = identity.enrolled();
        print::success(format!(
            "The agent {} carries runs of runner {} in organization {}, for {}.",
            enrolled.id,
            enrolled.runner_id,
            enrolled.org_id,
            identity.server()
        ));
        let stop = super::serve::stopped_by_signals()?;
        let journal = Journal::open(Vault::open(&store, "runs")?)?;
        let desk = Arc::new(AgentDesk::new(
            Link::new(identity),
            journal,
            store.seat(),
            about,
            self.key_days,
            stop.clone(),
        ));
        let keeper = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move { desk.keep().await }
        });
        while !stop.is_cancelled() {
            use crate::runner::Desk as _;
            if let Err(error) = work::run(Arc::clone(&desk), host.clone(), stop.clone()).await {
                tracing::error!("{:#}", anyhow::Error::from(error));
            }
            if desk.is_idle() && !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = desk.changed(REST) => {}
                }
            }
        }
        keeper.await.context("the agent panicked")?;
        drop(worker);
        if let Some(why) = desk.fenced() {
            bail!(why);
        }
        Ok(Exit::OK)
    }

    /// Who this agent is; enrols it where that is asked for.
    async fn identity(
        &self,
        vault: &Vault,
        store: &Store,
        set: Option<&str>,
        about: &About,
    ) -> anyhow::Result<Identity> {
        let server = self.server.as_deref().or(set);
        let server = server.map(|url| self.checked(url)).transpose()?;
        if let Some(token) = &self.enrol {
            let Some(server) = server else {
                return Err(Advised::new(
                    "which server?",
                    ["windlass agent --server URL --enrol TOKEN"],
                )
                .into());
            };
            let token = zeroize::Zeroizing::new(input::content(token, "--enrol")?);
            let instance = store.place().instance();
            return Identity::enrol(vault, &server, token.trim(), instance, about).await;
        }
        let Some(mut identity) = Identity::load(vault)? else {
            return Err(Advised::new(
                format!(
                    "the data directory `{}` is no agent's yet",
                    store.place().root().display()
                ),
                [
                    "where the server is set: windlass create agent-token RUNNER",
                    "here:                    windlass agent --server URL --enrol TOKEN",
                ],
            )
            .into());
        };
        match server {
            Some(server) if server != identity.server() => identity.moved(&server)?,
            Some(_) => {}
            None => {
                self.checked(identity.server())?;
            }
        }
        Ok(identity)
    }

    /// The URL of a server that secrets may be fetched from.
    fn checked(&self, url: &str) -> anyhow::Result<String> {
        let url = url.trim_end_matches('/');
        let parsed = reqwest::Url::parse(url).ok().filter(reqwest::Url::has_host);
        let Some(parsed) = parsed.filter(|url| ["http", "https"].contains(&url.scheme())) else {
            return Err(Advised::new(
                format!("`{url}` is no URL of a server"),
                ["windlass agent --server https://windlass.example.com …"],
            )
            .into());
        };
        let host = parsed
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let is_here = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if parsed.scheme() == "http" && !is_here && !self.allow_http {
            return Err(Advised::new(
                format!("`{url}` is not encrypted, and what a run is given holds secrets"),
                [
                    "use https",
                    "where the way to the server is safe: windlass agent --allow-http …",
                ],
            )
            .into());
        }
        Ok(url.to_owned())
    }

    /// What it says of itself.
    fn about(&self, capacity: usize, store: &Store) -> anyhow::Result<About> {
        let mut about = About {
            host: store.seat().host().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: format!("{}_{}", std::env::consts::OS, architecture()),
            capacity: capacity.try_into().unwrap_or(u64::MAX),
            launchers: self.launchers.clone(),
            labels: std::collections::BTreeMap::new(),
        };
        for label in &self.labels {
            let Some((name, text)) = label.split_once('=') else {
                return Err(Advised::new(
                    format!("`{label}` is no label"),
                    ["for example: --label site=berlin"],
                )
                .into());
            };
            about.labels.insert(name.to_owned(), text.to_owned());
        }
        Ok(about)
    }
}

/// As in the names of providers' packages.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
