//! Local mode: the store in the data directory, the router over it, and the detached worker that
//! carries on what commands leave.
//!
//! Why a process of its own: a command may be killed at any instant, and a deployment must not care.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::exit::Advised;
use super::settings::Settings;
use crate::api;
use crate::deploy;
use crate::runner::HostSettings;
use crate::runner::engine::Kind;
use crate::store::{self, Location, Store, StoreConfig};

/// Everything that local mode opened.
pub(crate) struct Local {
    /// The API over it.
    pub(crate) client: Client,
    /// The store.
    pub(crate) store: Store,
    service: deploy::Service,
}

impl Local {
    /// The use cases over it.
    pub(crate) fn service(&self) -> &deploy::Service {
        &self.service
    }
}

/// Opens the store of the data directory and puts the router over it.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Local> {
    if let Some(url) = &settings.url {
        return Err(Advised::new(
            format!("this command works on this machine only, and the server {url} is set"),
            [
                "for one command: WINDLASS_URL=local windlass …",
                "for good: windlass config set-url local",
            ],
        )
        .into());
    }
    let store = store::open(&store_config(settings))
        .await
        .with_context(|| {
            format!(
                "could not open the data directory `{}`",
                settings.data_dir.display()
            )
        })?;
    let service = deploy::Service::new(store.clone(), service_settings(settings));
    let router = api::router(api::App {
        store: store.clone(),
        service: service.clone(),
        settings: api::Settings {
            public_url: public_url(settings),
            ..api::Settings::default()
        },
        stopping: CancellationToken::new(),
        metrics: None,
    });
    Ok(Local {
        client: Client::new(router, settings.org.clone()),
        store,
        service,
    })
}

/// Where people reach the server of this data directory, if one serves it: for links that are made beside it.
pub(crate) fn public_url(settings: &Settings) -> String {
    let usual = || api::Settings::default().public_url;
    let file = settings.file.serve.as_ref();
    let url = std::env::var("WINDLASS_PUBLIC_URL").ok();
    let url = url.or_else(|| file.and_then(|file| file.public_url.clone()));
    url.map_or_else(usual, |url| url.trim_end_matches('/').to_owned())
}

/// Where the store of these settings lies.
pub(crate) fn store_config(settings: &Settings) -> StoreConfig {
    StoreConfig {
        keyring_file: std::env::var_os("WINDLASS_KEYRING_FILE").map(Into::into),
        database: settings.database.clone(),
        ..StoreConfig::at(&settings.data_dir)
    }
}

/// Settings of the use cases.
pub(crate) fn service_settings(settings: &Settings) -> deploy::Settings {
    deploy::Settings {
        allow_downloads: settings.file.allow_downloads.unwrap_or(true),
        shortcuts: settings.file.shortcuts.unwrap_or_default(),
        deadlines: settings.file.deadlines.unwrap_or_default(),
        // The control run of the tests that look for a secret; a released binary has no such switch.
        unsealed: cfg!(debug_assertions) && std::env::var_os("WINDLASS_TEST_UNSEALED").is_some(),
        ..deploy::Settings::default()
    }
}

/// Engines by name: those of the settings, else those that a kit brought.
pub(crate) fn engines(settings: &Settings) -> BTreeMap<String, PathBuf> {
    let mut engines = settings.file.engines.clone();
    for kind in Kind::ALL {
        let own = own_engine(&settings.data_dir, kind);
        if own.is_file() {
            engines.entry(kind.as_str().to_owned()).or_insert(own);
        }
    }
    engines
}

/// Where an engine lies that a kit brought.
pub(crate) fn own_engine(data_dir: &Path, engine: Kind) -> PathBuf {
    data_dir.join("engines").join(engine.binary())
}

/// The provider mirror that was named; without one it lies in the data directory.
pub(crate) fn named_mirror(settings: &Settings) -> Option<PathBuf> {
    std::env::var_os("WINDLASS_MIRROR")
        .map(Into::into)
        .or_else(|| settings.file.mirror.clone())
}

/// Settings of this host's launchers.
pub(crate) fn host_settings(settings: &Settings, store: &Store) -> HostSettings {
    let place = store.place();
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    HostSettings {
        data_dir: place.root().to_owned(),
        instance: place.instance().to_owned(),
        mirror: Some(named_mirror(settings).unwrap_or_else(|| place.mirror())),
        docker_host: settings.file.docker_host.clone(),
        docker_network: std::env::var("WINDLASS_DOCKER_NETWORK")
            .ok()
            .or_else(|| settings.file.docker_network.clone()),
        binary: None,
        mount_allow: settings.file.mount_allow.clone(),
        environment_allow: settings.file.environment_allow.clone(),
        engines: engines(settings),
        parallel: settings
            .file
            .parallel_runs
            .unwrap_or((processors / 2).max(2)),
        runner_image: settings.file.runner_image.clone(),
    }
}

/// Starts a worker if there is work and nobody does it.
pub(crate) async fn see_to_work(local: &Local, settings: &Settings) -> anyhow::Result<()> {
    if !local.service.is_idle().await? {
        ensure_worker(local, settings)?;
    }
    Ok(())
}

/// Starts a worker unless one is there: this program again, in a session of its own, which nothing
/// that happens to this terminal reaches.
pub(crate) fn ensure_worker(local: &Local, settings: &Settings) -> anyhow::Result<()> {
    // Whoever holds the lock looks for work until there is none, and once more after giving it back.
    if local.store.place().worker_lock()?.is_none() {
        return Ok(());
    }
    let path = settings.data_dir.join("work.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("could not open `{}`", path.display()))?;
    let again = log
        .try_clone()
        .context("could not duplicate the worker's log")?;
    let program = std::env::current_exe().context("could not find this program itself")?;
    let mut command = Command::new(program);
    command
        .arg("work")
        .arg("--detached")
        .arg("--data-dir")
        .arg(&settings.data_dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(again);
    // It starts in another directory, so that it holds none.
    command.env("WINDLASS_CONFIG_FILE", absolute(&settings.config_file));
    // Any other address it finds where this process found it; no argument holds one, for everybody can read those.
    if let Location::File(path) = &settings.database {
        command.env(
            "WINDLASS_DATABASE_URL",
            format!("sqlite:{}", path.display()),
        );
    }
    for name in ["WINDLASS_MIRROR", "WINDLASS_KEYRING_FILE"] {
        if let Some(path) = std::env::var_os(name) {
            command.env(name, absolute(Path::new(&path)));
        }
    }
    command
        .spawn()
        .context("could not start the worker; the deployment waits until a command can")?;
    Ok(())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
