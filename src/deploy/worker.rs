//! The worker of this data directory: one process at a time claims, launches and records.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Service;
use super::queue::LocalDesk;
use crate::runner::{HostSettings, work};
use crate::store::deployments::rows;
use crate::store::place::WorkerLock;
use crate::store::{StoreError, clock};

/// How long the destroy run of a removed environment can still be read, in microseconds.
const KEPT_US: i64 = 30 * 24 * 3600 * 1_000_000;

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
        let desk = Arc::new(LocalDesk::new(service.clone()));
        let worked = work::run(Arc::clone(&desk), host.clone(), stop.clone()).await;
        drop(lock);
        worked.map_err(WorkerError::Work)?;
        if stop.is_cancelled() || service.is_idle().await.map_err(WorkerError::Store)? {
            return Ok(());
        }
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

async fn purge(service: &Service) -> Result<(), StoreError> {
    let mut writing = service.store.writing().await?;
    rows::purge(&mut writing, clock::now_us() - KEPT_US).await?;
    writing.commit().await
}
