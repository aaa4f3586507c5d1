//! `serve`: the API, the pages, the worker and this host's runners in one process.
//!
//! Started in order (settings, address, store, first administrator, worker, listener) so that a mistake is told before
//! anything runs, and stopped in order: no new requests, those under way end, the worker lets go of its runs, which go
//! on and are adopted by the next server.

mod first;
mod settings;
mod sign_on;
mod telemetry;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use self::settings::{Flags, ServeSettings};
use self::telemetry::Telemetry;
use super::exit::Exit;
use super::{Session, local, print};
use crate::api::{self, Identification, listen};
use crate::deploy;
use crate::store;
use crate::ui::console;

/// Serve the API and carry runs, for a team
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// The database: `sqlite:`, `sqlite:PATH` or `postgres://USER@HOST/NAME`; a password goes into PGPASSWORD, or the whole address into [env: WINDLASS_DATABASE_URL] [default: sqlite:]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Print the settings in effect and where each came from, and serve nothing; secrets are masked
    #[arg(long)]
    print_settings: bool,
}

impl Serve {
    /// The address of the database, where the command line names one.
    pub(crate) fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Serves until SIGTERM or Ctrl-C.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let client = &session.settings;
        let env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let file = client.file.serve.clone().unwrap_or_default();
        let settings = settings::resolve(self.flags, env, &file)?;
        if self.print_settings {
            print::data(&settings.print(client))?;
            return Ok(Exit::OK);
        }
        let telemetry = Telemetry::start(settings.log_format(), env)?;
        let metrics = telemetry::count()?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        raise_file_limit();
        let tls = tls(&settings)?;
        let listener = listen::open(settings.listen())?;
        let at = listener.local_addr().context("the address is unknown")?;
        let url = settings.public_url(at);
        let store = store::open(&local::store_config(client))
            .await
            .with_context(|| {
                format!(
                    "could not open the data directory `{}`",
                    client.data_dir.display()
                )
            })?;
        if let Some(link) = first::administrator(&store, env, &url).await? {
            print::note(format!(
                "Nobody can log in yet. Open this link in a browser, once, within a day, to become the administrator:\n  {link}"
            ));
        }
        let sign_on = settings.sign_on.ready(&store, &url).await?;
        let service_settings = deploy::Settings {
            allow_local: settings.local_runner(),
            allow_process: settings.process_runner(),
            lease: settings.lease(),
            mirror: served_mirror(client, &store, &url),
            state_url: Some(settings.state_url(&url)),
            state_versions: settings.state_versions(),
            ..local::service_settings(client)
        };
        let service = deploy::Service::new(store.clone(), service_settings);
        let mut host = local::host_settings(client, &store);
        // Whoever administers one organisation here must not read what others' runners, or the database, use.
        host.environment_allow.get_or_insert_default();
        let stop = stopped_by_signals()?;
        let worker = tokio::spawn(carry_on(service.clone(), host, stop.clone()));
        let router = api::router(api::App {
            store,
            service,
            settings: api::Settings {
                allow_local: settings.local_runner(),
                identification: if settings.dev {
                    Identification::Dev
                } else {
                    Identification::Tokens
                },
                public_url: url.clone(),
                sign_on: sign_on.clone(),
                limits: settings.limits(),
            },
            stopping: stop.clone(),
            metrics: Some(metrics),
        });
        let router = console::with_pages(router, sign_on.map(|sign_on| sign_on.name));
        print::success(format!("Windlass serves {url} (listening on {at})."));
        tracing::info!(%at, %url, "serving");
        let served = listen::serve(router, listener, tls, stop.clone(), settings.grace()).await;
        stop.cancel();
        worker.await.context("the worker panicked")??;
        served?;
        telemetry.stop();
        tracing::info!("stopped; runs under way go on and are adopted by the next server");
        Ok(Exit::OK)
    }
}

/// The provider mirror for runs on other hosts. Engines speak to one by TLS only.
fn served_mirror(
    client: &super::settings::Settings,
    store: &store::Store,
    url: &str,
) -> Option<deploy::provider_mirror::ServedMirror> {
    let root = local::named_mirror(client).unwrap_or_else(|| store.place().mirror());
    url.starts_with("https://")
        .then(|| deploy::provider_mirror::ServedMirror {
            root,
            public_url: url.trim_end_matches('/').to_owned(),
        })
}

/// Lets this process have as many files as the system allows it: every connection is one, and the usual limit is small
/// for the sake of programs of another age.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays as it is");
    }
}

fn tls(settings: &ServeSettings) -> anyhow::Result<Option<std::sync::Arc<rustls::ServerConfig>>> {
    let Some((certificate, key)) = settings.tls() else {
        return Ok(None);
    };
    let pem = |name: &str, path: &std::path::PathBuf| -> anyhow::Result<listen::Pem> {
        Ok(listen::Pem {
            path: path.clone(),
            bytes: std::fs::read(path).with_context(|| {
                format!("could not read `{}`, the file of {name}", path.display())
            })?,
        })
    };
    let certificate = pem("--tls-certificate", certificate)?;
    let key = pem("--tls-key", key)?;
    Ok(Some(listen::tls(&certificate, &key)?))
}

/// A token that SIGTERM and Ctrl-C cancel.
pub(super) fn stopped_by_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for signals")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("told to stop");
        told.cancel();
    });
    Ok(stop)
}

/// How long the worker waits before it looks again although nothing changed here: what another process of this data
/// directory left, or the end of another worker, is found then.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Least time between two looks of a worker that found nothing: every write of every server of a database wakes it.
const REST: std::time::Duration = std::time::Duration::from_millis(20);

/// Works for as long as the server serves: a worker ends when nothing is left, and begins again with the next change.
async fn carry_on(
    service: deploy::Service,
    host: crate::runner::HostSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let began = std::time::Instant::now();
        let mut watch = service.watch();
        if let Err(error) = deploy::worker::run(service.clone(), host.clone(), stop.clone()).await {
            // A database that is away comes back; requests are refused meanwhile, and runs go on.
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the worker failed and begins again"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed_here(LOOK) => {}
        }
        if let Some(rest) = REST.checked_sub(began.elapsed()) {
            tokio::time::sleep(rest).await;
        }
    }
}
