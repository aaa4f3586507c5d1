//! The desk of this host: who may run next, what runs say, how they end.
//!
//! Implements [`Desk`] over the store. [`claim`] picks and compiles, [`said`] stores what a run says, [`end`] is the
//! only place where a deployment ends. Launches nothing.
//!
//! Why every write of a run asks for the [`lease`]: several servers may work at one database, and one that was thought
//! dead may wake up. It then changes nothing.
//!
//! Why the deployment ends with the supervisor's last event and the lease only with `complete`: whoever waits is told
//! at once, and nobody else gets the environment before what carried the run is known to be over.

mod claim;
mod end;
mod heard;
pub(super) mod lease;
mod said;

use std::time::Duration;

use tokio::sync::Mutex;

use self::lease::Lease;
use super::{Error, Service};
use crate::model::phase::{Phase, Step};
use crate::runner::event::Event;
use crate::runner::{
    Adoptable, Assignment, Awaited, Desk, DeskError, Handle, RunEnd, RunKey, WAITING,
};
use crate::store::deployments::{feed, rows, runs};
use crate::store::{StoreError, Watch};
use crate::wire::deployments::What;
use crate::wire::state::Open;

/// The desk over the store of this process.
pub(crate) struct LocalDesk {
    service: Service,
    watch: Mutex<Watch>,
    lease: Lease,
}

impl LocalDesk {
    /// A desk over the store of `service`.
    pub(crate) fn new(service: Service) -> Self {
        let watch = Mutex::new(service.store.watch());
        let lease = Lease::new(&service);
        Self {
            service,
            watch,
            lease,
        }
    }

    /// A desk for one message of an agent, which says what it holds.
    pub(super) fn for_agent(service: Service, lease: Lease) -> Self {
        let watch = Mutex::new(service.store.watch());
        Self {
            service,
            watch,
            lease,
        }
    }

    /// What is held, or said to be.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Keeps what is held; returns when another worker has this one's place. Never, where no other server can be.
    pub(crate) async fn keep(&self) {
        self.lease.keep().await;
    }

    /// Gives back what is held: another server need not wait until it is over.
    pub(crate) async fn release(&self) {
        self.lease.release().await;
    }
}

fn desk(error: impl Into<Error>) -> DeskError {
    DeskError(Box::new(error.into()))
}

/// The deployment of an attempt, if the attempt is the current one, not over, and not another server's.
///
/// Fails where a later worker of this server has it: the caller is to stop, not to go on as if it were over.
async fn current(
    connection: &mut crate::store::deployments::Connection,
    lease: &Lease,
    key: &RunKey,
) -> Result<Option<(rows::Deployment, runs::Attempt)>, Error> {
    let Some(attempt) = runs::find(connection, &key.run, key.attempt).await? else {
        return Ok(None);
    };
    let Some(row) = rows::by_run(connection, &key.run).await? else {
        return Ok(None);
    };
    if attempt.ended_us.is_some() || row.attempt != key.attempt {
        return Ok(None);
    }
    match lease.held() {
        Some(held) if held.columns() == (&attempt.holder, attempt.epoch) => {
            Ok(Some((row, attempt)))
        }
        Some(held) if held.instance != attempt.holder => Ok(None),
        Some(_) | None => Err(lease.fence()),
    }
}

impl Desk for LocalDesk {
    async fn claim(&self) -> Result<Option<Assignment>, DeskError> {
        self.service.claim(&self.lease).await.map_err(desk)
    }

    async fn ahead(&self) -> Result<Vec<Awaited>, DeskError> {
        self.service.ahead(&self.lease).await.map_err(desk)
    }

    async fn running(&self) -> Result<Vec<Adoptable>, DeskError> {
        self.service.running(&self.lease).await.map_err(desk)
    }

    async fn held(&self) -> Result<Vec<RunKey>, DeskError> {
        let work = async {
            let mut reading = self.service.store.reading().await?;
            let open = runs::open_of(&mut reading, self.lease.instance()).await?;
            let keys = open.into_iter().map(|attempt| RunKey {
                run: attempt.run,
                attempt: attempt.attempt,
            });
            Ok::<_, StoreError>(keys.collect())
        };
        work.await.map_err(desk)
    }

    async fn launched(&self, key: &RunKey, handle: &Handle) -> Result<bool, DeskError> {
        let work = async {
            let mut writing = self.service.store.writing().await?;
            if current(&mut writing, &self.lease, key).await?.is_none() {
                return Ok(false);
            }
            let handle = serde_json::to_string(handle)
                .map_err(|source| StoreError::document("a handle", source))?;
            let is_current = runs::set_handle(&mut writing, &key.run, key.attempt, &handle).await?;
            writing.commit().await?;
            Ok::<bool, Error>(is_current)
        };
        work.await.map_err(desk)
    }

    async fn preparing(&self, key: &RunKey, what: &str) -> Result<(), DeskError> {
        let work = async {
            let mut writing = self.service.store.writing().await?;
            let Some((mut row, _)) = current(&mut writing, &self.lease, key).await? else {
                return Ok(());
            };
            if !matches!(row.phase, Phase::Running { .. }) {
                return Ok(());
            }
            if let Some(why) = what.strip_prefix(WAITING) {
                feed::append(&mut writing, &row.id, &What::Waiting(why.to_owned())).await?;
                writing.commit().await?;
                return Ok(());
            }
            if row.step == Step::Starting {
                return Ok(());
            }
            row.step = Step::Starting;
            rows::save(&mut writing, &row).await?;
            feed::append(&mut writing, &row.id, &What::Step(Step::Starting)).await?;
            writing.commit().await?;
            Ok::<(), Error>(())
        };
        work.await.map_err(desk)
    }

    async fn events(&self, key: &RunKey, events: Vec<Event>) -> Result<(), DeskError> {
        self.service
            .said(&self.lease, key, events)
            .await
            .map_err(desk)
    }

    async fn state(&self, key: &RunKey) -> Result<Option<Vec<u8>>, DeskError> {
        let work = async {
            let mut reading = self.service.store.reading().await?;
            match current(&mut reading, &self.lease, key).await? {
                Some((row, _)) => self.service.hosted_clear(&mut reading, &row.env_uuid).await,
                None => Ok(None),
            }
        };
        work.await.map_err(desk)
    }

    async fn left_open(&self, key: &RunKey, open: Open) -> Result<(), DeskError> {
        self.service
            .left_open(&self.lease, key, &open)
            .await
            .map_err(desk)
    }

    async fn complete(&self, key: &RunKey, end: RunEnd) -> Result<(), DeskError> {
        self.service
            .complete(&self.lease, key, end)
            .await
            .map_err(desk)
    }

    async fn cancelled(&self, keys: &[RunKey]) -> Result<Vec<RunKey>, DeskError> {
        let work = async {
            let mut reading = self.service.store.reading().await?;
            let mut cancelled = Vec::new();
            for key in keys {
                // A run whose environment was removed by force has no record any more: it is stopped too.
                let goes_on = rows::by_run(&mut reading, &key.run)
                    .await?
                    .is_some_and(|row| row.attempt == key.attempt && !row.cancel);
                if !goes_on {
                    cancelled.push(key.clone());
                }
            }
            Ok::<_, StoreError>(cancelled)
        };
        work.await.map_err(desk)
    }

    async fn changed(&self, max: Duration) {
        self.watch.lock().await.changed(max).await;
    }
}
