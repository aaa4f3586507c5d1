//! The worker of this data directory: one process at a time claims, launches and records.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Service;
use super::queue::LocalDesk;
use crate::runner::{HostSettings, work};
use crate::store::deployments::rows;
use crate::store::{StoreError, clock};

/// How long the destroy run of a removed environment can still be read, in microseconds.
const KEPT_US: i64 = 30 * 24 * 3600 * 1_000_000;

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
        let lock = service
            .store
            .place()
            .worker_lock()
            .map_err(WorkerError::Store)?;
        let Some(lock) = lock else {
            return Ok(());
        };
        purge(&service).await.map_err(WorkerError::Store)?;
        let desk = Arc::new(LocalDesk::new(service.clone()));
        let worked = work::run(Arc::clone(&desk), host.clone(), stop.clone()).await;
        drop(lock);
        worked.map_err(WorkerError::Work)?;
        if stop.is_cancelled() || desk.is_idle().await.map_err(WorkerError::Store)? {
            return Ok(());
        }
    }
}

async fn purge(service: &Service) -> Result<(), StoreError> {
    let mut writing = service.store.writing().await?;
    rows::purge(&mut writing, clock::now_us() - KEPT_US).await?;
    writing.commit().await
}
