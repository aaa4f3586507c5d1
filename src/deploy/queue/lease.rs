//! What this worker holds at the desk: its lease, and the proof that every write of a run needs.
//!
//! One lease for each worker, taken when there is something to carry and renewed while the worker works. A worker that
//! finds a later one under its name has been fenced out: it stops at once, writes nothing and removes nothing, because
//! what it carried is carried by the other now.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deploy::{Error, Service};
use crate::store::deployments::leases;
use crate::store::{Store, StoreError, Writing};

/// How often a lease is renewed within its length.
const RENEWALS: u32 = 3;
/// No lease is renewed more often.
const LEAST: Duration = Duration::from_millis(10);
/// How long giving it back may take: a server that stops waits for no database.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a database that is away is waited for before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The lease of one worker.
pub(super) struct Lease {
    store: Store,
    length: Duration,
    /// 0 until it is taken; epochs begin at 1.
    epoch: AtomicI64,
    lost: CancellationToken,
}

/// Who may write about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) instance: String,
    pub(super) epoch: i64,
}

impl Held {
    /// As columns.
    pub(super) fn columns(&self) -> (&str, i64) {
        (&self.instance, self.epoch)
    }
}

impl Lease {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            store: service.store.clone(),
            length: service.settings.lease,
            epoch: AtomicI64::new(0),
            lost: CancellationToken::new(),
        }
    }

    fn length_us(&self) -> i64 {
        i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX / 4)
    }

    /// Proves inside a write that this worker is the one that counts, and makes its lease longer; takes it where it is not
    /// held yet, so that a command's only run costs no write of its own. Whoever commits the write says so by
    /// [`written`](Self::written).
    pub(super) async fn hold(&self, writing: &mut Writing) -> Result<Held, Error> {
        let instance = self.store.instance().to_owned();
        let length = self.length_us();
        let epoch = match self.epoch.load(Ordering::Acquire) {
            0 => leases::take(writing, &instance, &self.store.seat(), length).await?,
            epoch => leases::renew(writing, &instance, epoch, length)
                .await?
                .then_some(epoch),
        };
        match epoch {
            Some(epoch) => Ok(Held { instance, epoch }),
            None => Err(self.fence()),
        }
    }

    /// The write in which `held` was taken is durable.
    pub(super) fn written(&self, held: &Held) {
        self.epoch.store(held.epoch, Ordering::Release);
    }

    /// What is held, if anything is.
    pub(super) fn held(&self) -> Option<Held> {
        let epoch = self.epoch.load(Ordering::Acquire);
        (epoch > 0).then(|| Held {
            instance: self.store.instance().to_owned(),
            epoch,
        })
    }

    /// Stops this worker.
    pub(super) fn fence(&self) -> Error {
        self.lost.cancel();
        Error::Internal(format!(
            "another worker goes by the name of this server ({}); is its data directory a copy of another one that is in use?",
            self.store.instance()
        ))
    }

    /// Renews the lease for as long as it is held; returns once it is lost.
    pub(super) async fn keep(&self) {
        let work = async {
            loop {
                tokio::time::sleep((self.length / RENEWALS).max(LEAST)).await;
                let Some(held) = self.held() else {
                    continue;
                };
                while let Err(error) = self.renew(&held).await {
                    tracing::warn!(%error, "the lease of this server was not renewed");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = self.lost.cancelled() => {}
        }
    }

    async fn renew(&self, held: &Held) -> Result<(), StoreError> {
        let mut writing = self.store.writing().await?;
        let (instance, epoch) = held.columns();
        if !leases::renew(&mut writing, instance, epoch, self.length_us()).await? {
            self.lost.cancel();
        }
        writing.commit().await
    }

    /// Gives the lease back: what was claimed and not started may be had by others at once.
    pub(super) async fn release(&self) {
        let Some(held) = self.held() else {
            return;
        };
        let work = async {
            let mut writing = self.store.writing().await?;
            let (instance, epoch) = held.columns();
            leases::release(&mut writing, instance, epoch).await?;
            writing.commit().await
        };
        let released: Result<Result<(), StoreError>, _> =
            tokio::time::timeout(FAREWELL, work).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!("the lease of this server was not given back; it ends by itself");
        }
    }
}
