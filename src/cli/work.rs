//! `work`: the process that carries deployments on. Started by commands that leave work, in a session
//! of its own; ends when nothing is queued, running or standing by.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::exit::Exit;
use super::{Session, local};
use crate::deploy;

/// Carry on what is queued, until nothing is left
#[derive(Debug, clap::Args)]
pub(crate) struct Work {
    /// Leave the terminal first
    #[arg(long)]
    detached: bool,
}

impl Work {
    /// Works. Being told to stop leaves the runs alone: the next worker adopts them.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        if self.detached {
            // Fails only for a process that leads a group already, and then there is nothing to leave.
            let _ = rustix::process::setsid();
        }
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let settings = &session.settings;
        let opened = session.local().await?;
        let stop = CancellationToken::new();
        let told = stop.clone();
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("could not listen for signals")?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            told.cancel();
        });
        let service = deploy::Service::new(opened.store.clone(), local::service_settings(settings));
        deploy::worker::run(service, local::host_settings(settings, &opened.store), stop).await?;
        Ok(Exit::OK)
    }
}
