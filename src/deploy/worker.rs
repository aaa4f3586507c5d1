//! The worker of this data directory: one process at a time claims, launches and records.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Service;
use super::queue::LocalDesk;
use crate::runner::{HostSettings, work};
use crate::store::deployments::{rows, runs};
use crate::store::place::WorkerLock;
use crate::store::{StoreError, clock};

/// How long the destroy run of a removed environment can still be read, in microseconds.
const KEPT_US: i64 = 30 * 24 * 3600 * 1_000_000;

/// How long it waits at most before it looks again at what has to wait.
const LOOK: Duration = Duration::from_secs(1);

/// How often the lock is tried, and how long after each refusal.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(3);

/// Why the worker ended before its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The lock or the database.
    #[error("the data directory could not be used")]
    Store(#[source] StoreError),
    /// The loop.
    #[error("the worker stopped")]
    Work(#[source] work::WorkError),
    /// Another worker has this one's name.
    #[error(
        "another worker goes by the name of this server; its data directory may be a copy of another one that is in use"
    )]
    Fenced,
}

/// Works until nothing is queued, running or standing by. Returns at once when another process is the worker.
///
/// After the lock is released it looks once more: whoever queued something meanwhile saw a worker and started none.
pub(crate) async fn run(
    service: Service,
    host: HostSettings,
    stop: CancellationToken,
) -> Result<(), WorkerError> {
    loop {
        let Some(lock) = take_lock(&service).await.map_err(WorkerError::Store)? else {
            return Ok(());
        };
        purge(&service).await.map_err(WorkerError::Store)?;
        let mut watch = service.store.watch();
        let desk = Arc::new(LocalDesk::new(service.clone()));
        let mut is_outdated = false;
        let worked = tokio::select! {
            worked = work::run(Arc::clone(&desk), host.clone(), stop.clone()) => {
                worked.map_err(WorkerError::Work)
            }
            // Dropped with all that it carried: none of it may be touched any more.
            () = keep(&service, &desk) => Err(WorkerError::Fenced),
            // What stands by ends by itself; a worker of the newer program is waiting for the lock.
            () = outdated(&service) => {
                is_outdated = true;
                Ok(())
            }
        };
        if service.store.is_shared() && worked.is_ok() {
            desk.release().await;
        }
        drop(lock);
        worked?;
        if is_outdated {
            tracing::info!("a newer program changed the database; this worker ends");
            return Ok(());
        }
        if stop.is_cancelled() || service.is_idle().await.map_err(WorkerError::Store)? {
            return Ok(());
        }
        // What is left has to wait: for another server, or for its next attempt.
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed(LOOK) => {}
        }
    }
}

/// Returns once a newer program has changed the database and no run of this worker goes on any more. A database that is
/// away says nothing about that.
async fn outdated(service: &Service) {
    let is_over = async || -> Result<bool, StoreError> {
        if service.store.is_current().await? {
            return Ok(false);
        }
        let mut reading = service.store.reading().await?;
        Ok(!runs::is_any_open(&mut reading, service.store.instance()).await?)
    };
    while !is_over().await.unwrap_or(false) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Keeps the lease where others could take it; with SQLite the lock of the directory is enough.
async fn keep(service: &Service, desk: &LocalDesk) {
    match service.store.is_shared() {
        true => desk.keep().await,
        false => std::future::pending().await,
    }
}

/// The lock, if no other worker has it. A command that looks whether there is a worker holds it for an instant, so
/// one refusal proves nothing.
async fn take_lock(service: &Service) -> Result<Option<WorkerLock>, StoreError> {
    for _ in 0..TRIES {
        if let Some(mut lock) = service.store.place().worker_lock()? {
            lock.sign();
            return Ok(Some(lock));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// Writes only where there is something to remove: a server looks for work every second, and a write wakes all others.
async fn purge(service: &Service) -> Result<(), StoreError> {
    let before = clock::now_us() - KEPT_US;
    let mut reading = service.store.reading().await?;
    if !rows::is_anything_to_purge(&mut reading, before).await? {
        return Ok(());
    }
    drop(reading);
    let mut writing = service.store.writing().await?;
    rows::purge(&mut writing, before).await?;
    writing.commit().await
}
