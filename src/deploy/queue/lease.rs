//! What this worker holds at the desk: its lease, and the proof that every write of a run needs.
//!
//! One lease for each worker, taken when there is something to carry and renewed while the worker works. A worker that
//! finds a later one under its name has been fenced out: it stops at once, writes nothing and removes nothing, because
//! what it carried is carried by the other now.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deploy::runners::{self, RunnerOffer};
use crate::deploy::{Error, Service};
use crate::store::agents::Agent;
use crate::store::deployments::leases;
use crate::store::host::Seat;
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
pub(in crate::deploy) struct Lease {
    store: Store,
    /// The name of the worker: that of its data directory.
    instance: String,
    /// Whose runs it carries, as in `deployments.served_by`: empty for a server.
    serves: String,
    /// What carries runs there, where that is an agent's to say.
    launchers: Vec<String>,
    length: Duration,
    /// 0 until it is taken; epochs begin at 1.
    epoch: AtomicI64,
    lost: CancellationToken,
}

/// Who may write about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deploy) struct Held {
    pub(super) instance: String,
    pub(super) epoch: i64,
}

impl Held {
    /// As columns.
    pub(in crate::deploy) fn columns(&self) -> (&str, i64) {
        (&self.instance, self.epoch)
    }
}

impl Lease {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            store: service.store.clone(),
            instance: service.store.instance().to_owned(),
            serves: String::new(),
            launchers: Vec::new(),
            length: service.settings.lease,
            epoch: AtomicI64::new(0),
            lost: CancellationToken::new(),
        }
    }

    /// What an agent says that it holds; every write finds out whether it does.
    pub(in crate::deploy) fn of_agent(service: &Service, agent: &Agent, epoch: i64) -> Self {
        Self {
            store: service.store.clone(),
            instance: agent.instance.clone(),
            serves: agent.serves(),
            launchers: agent.about.launchers.clone(),
            length: service.settings.lease,
            epoch: AtomicI64::new(epoch),
            lost: CancellationToken::new(),
        }
    }

    /// The name of the worker.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Who it is and whose runs it carries.
    pub(in crate::deploy) fn who(&self) -> (&str, &str) {
        (&self.instance, &self.serves)
    }

    /// Whether it is an agent's.
    pub(super) fn is_of_agent(&self) -> bool {
        !self.serves.is_empty()
    }

    /// Why this worker cannot carry a run of a runner, if it cannot.
    pub(super) fn refusal(&self, runner: &RunnerOffer) -> Option<String> {
        if !self.is_of_agent() {
            return runners::out_of_reach(runner);
        }
        let launcher = match runners::launch(runner) {
            Ok(launch) => launch.launcher(),
            Err(error) => return Some(error.to_string()),
        };
        (!self.launchers.iter().any(|known| known == launcher)).then(|| {
            format!(
                "the agent {} of runner `{}` does not carry runs by `{launcher}`, only by {}; start it with \
                 `--launchers {launcher}`, or change the runner",
                self.instance,
                runner.id,
                self.launchers.join(", ")
            )
        })
    }

    /// Whether another worker was found to have its place.
    pub(in crate::deploy) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Takes the lease for an agent that sits at `seat`. `None`: another one goes by its name.
    pub(in crate::deploy) async fn take(
        &self,
        writing: &mut Writing,
        seat: &Seat,
    ) -> Result<Option<i64>, StoreError> {
        let epoch = leases::take(writing, self.who(), seat, self.length_us()).await?;
        self.epoch.store(epoch.unwrap_or(0), Ordering::Release);
        Ok(epoch)
    }

    fn length_us(&self) -> i64 {
        i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX / 4)
    }

    /// Proves inside a write that this worker is the one that counts, and makes its lease longer; takes it where it is not
    /// held yet, so that a command's only run costs no write of its own. Whoever commits the write says so by
    /// [`written`](Self::written).
    pub(in crate::deploy) async fn hold(&self, writing: &mut Writing) -> Result<Held, Error> {
        let instance = self.instance.clone();
        let length = self.length_us();
        let epoch = match self.epoch.load(Ordering::Acquire) {
            0 => leases::take(writing, self.who(), &self.store.seat(), length).await?,
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
    pub(in crate::deploy) fn held(&self) -> Option<Held> {
        let epoch = self.epoch.load(Ordering::Acquire);
        (epoch > 0).then(|| Held {
            instance: self.instance.clone(),
            epoch,
        })
    }

    /// Stops this worker.
    pub(super) fn fence(&self) -> Error {
        self.lost.cancel();
        Error::Internal(format!(
            "another worker goes by this one's name ({}); is its data directory a copy of another one that is in use?",
            self.instance
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

    pub(in crate::deploy) async fn renew(&self, held: &Held) -> Result<(), StoreError> {
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
