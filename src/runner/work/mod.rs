//! The worker: claims runs from a [`Desk`], has [`Launcher`]s carry them, and leaves what they say at the desk.
//!
//! Knows neither a database nor a container engine. Start at [`run`]; [`mod@carry`] is the life of one run, [`end`]
//! decides how a run that said nothing more has ended.
//!
//! Never starts a second carrier for an attempt, never ends a run that it cannot prove to be over, and never
//! drops one: whatever kills this process, what was claimed is found again by `Desk::running` and adopted.
//!
//! Why one task per run and one loop that owns the list: the loop alone claims, so nothing is claimed twice, and
//! the loop alone looks for runs that no task follows any more, so a task that panicked costs a few seconds.
//!
//! Why something may stand by in two cases only: where nothing waits, what deployed last may deploy again soon; where no
//! place is free, whoever is next finds its carrier started, which takes as long as a small plan and leaves the processor
//! idle most of the time. In between it would be in the way of those who wait.
mod carry;
mod end;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::carry::{Carried, carry};
use super::docker::DockerLauncher;
use super::kubernetes::KubernetesLauncher;
use super::process::ProcessLauncher;
use super::{Adoptable, Awaited, Desk, DeskError, HostSettings, Launch, Launcher, RunKey};

/// How often the worker looks for work although nobody said that something changed.
const LOOK: Duration = Duration::from_secs(1);
/// Least time between two looks while runs are going on, whose own events wake the loop.
const REST: Duration = Duration::from_millis(10);
/// How often what nobody owns is removed, and runs that no task follows are looked for.
const SWEEP: Duration = Duration::from_secs(600);
const RECONCILE: Duration = Duration::from_secs(30);
/// Of how many environments it is known that they deployed last.
const REMEMBERED: usize = 2;
/// How often in a row the desk may fail while nothing is going on.
const DESK_FAILURES: u32 = 20;

/// Why a worker gave up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// The desk failed again and again while nothing was going on.
    #[error("no run could be claimed")]
    Desk(#[source] DeskError),
}

/// Works until nothing is queued, running or standing by, or until `stop`.
///
/// When it is stopped the runs go on; the next worker adopts them.
pub(crate) async fn run<D: Desk + 'static>(
    desk: Arc<D>,
    host: HostSettings,
    stop: CancellationToken,
) -> Result<(), WorkError> {
    let parallel = host.parallel.max(1);
    let launchers = Launchers {
        docker: Arc::new(DockerLauncher::new(host.clone())),
        process: Arc::new(ProcessLauncher::new(host.clone())),
        kubernetes: Arc::new(KubernetesLauncher::new(host)),
    };
    run_with(desk, launchers, parallel, stop).await
}

/// One launcher for each kind of place.
pub(crate) struct Launchers<C, P, K> {
    /// Containers of this host.
    pub(crate) docker: Arc<C>,
    /// Processes of this host.
    pub(crate) process: Arc<P>,
    /// Jobs of clusters.
    pub(crate) kubernetes: Arc<K>,
}

/// [`run`] with any launchers.
pub(crate) async fn run_with<D, C, P, K>(
    desk: Arc<D>,
    launchers: Launchers<C, P, K>,
    parallel: usize,
    stop: CancellationToken,
) -> Result<(), WorkError>
where
    D: Desk + 'static,
    C: Launcher + 'static,
    P: Launcher + 'static,
    K: Launcher + 'static,
{
    let mut worker = Worker {
        desk,
        launchers,
        parallel,
        active: Arc::default(),
        tasks: JoinSet::new(),
        aside: JoinSet::new(),
        freed: Arc::default(),
        succeeded: VecDeque::new(),
        ahead: None,
        reconciled: None,
        swept: None,
        failures: 0,
    };
    loop {
        if stop.is_cancelled() {
            return Ok(());
        }
        let looked = Instant::now();
        let idle = worker.look().await?;
        if idle {
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(ended) = worker.tasks.join_next() => worker.remember(ended.ok().flatten()),
            Some(_) = worker.aside.join_next() => {}
            () = worker.freed.notified() => {}
            () = worker.desk.changed(LOOK) => {}
        }
        if let Some(rest) = REST.checked_sub(looked.elapsed()) {
            tokio::time::sleep(rest).await;
        }
    }
}

/// Runs that a task follows.
type Active = Arc<Mutex<BTreeMap<RunKey, Followed>>>;

/// A run that a task follows.
struct Followed {
    /// Tells that task that somebody asked to cancel.
    cancel: CancellationToken,
    /// Whether it is over and only what carried it is still to be removed: it takes no place any more.
    is_over: bool,
}

struct Worker<D, C, P, K> {
    desk: Arc<D>,
    launchers: Launchers<C, P, K>,
    parallel: usize,
    active: Active,
    /// What each carries; ends with the environment whose deploy succeeded.
    tasks: JoinSet<Option<Awaited>>,
    /// What no run waits for.
    aside: JoinSet<()>,
    /// A run is over, so that there is a place for another.
    freed: Arc<Notify>,
    /// Environments whose deploys succeeded last: what something may stand by for once nothing waits.
    succeeded: VecDeque<Awaited>,
    /// When it was last looked whose turn comes next.
    ahead: Option<Instant>,
    reconciled: Option<Instant>,
    swept: Option<Instant>,
    failures: u32,
}

/// Takes a run off the list however its task ends.
struct Entry {
    active: Active,
    key: RunKey,
}

impl Entry {
    /// The run is over; it is still this worker's to remove.
    fn over(&self) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = active.get_mut(&self.key) {
            followed.is_over = true;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.remove(&self.key);
    }
}

impl<D, C, P, K> Worker<D, C, P, K>
where
    D: Desk + 'static,
    C: Launcher + 'static,
    P: Launcher + 'static,
    K: Launcher + 'static,
{
    /// One look at everything; returns whether there is nothing left to wait for.
    async fn look(&mut self) -> Result<bool, WorkError> {
        let outcome = self.serve().await;
        let claimed = match outcome {
            Ok(claimed) => {
                self.failures = 0;
                claimed
            }
            Err(error) => {
                self.failures += 1;
                tracing::warn!(error = %chain(&error), "the desk did not answer");
                if self.keys().is_empty() && self.failures >= DESK_FAILURES {
                    return Err(WorkError::Desk(error));
                }
                tokio::time::sleep(Duration::from_millis(50 * u64::from(self.failures.min(20))))
                    .await;
                return Ok(false);
            }
        };
        if due(self.swept, SWEEP) && self.sweep().await {
            self.swept = Some(Instant::now());
        }
        let launchers = &self.launchers;
        let standing_by = launchers.docker.tend().await
            + launchers.process.tend().await
            + launchers.kubernetes.tend().await;
        let is_at_rest = self.keys().is_empty() && self.tasks.is_empty() && self.aside.is_empty();
        Ok(!claimed && standing_by == 0 && is_at_rest)
    }

    /// Adopts, cancels and claims; returns whether anything was claimed.
    async fn serve(&mut self) -> Result<bool, DeskError> {
        if due(self.reconciled, RECONCILE) {
            let running = self.desk.running().await?;
            self.reconciled = Some(Instant::now());
            for adoptable in running {
                self.adopt(adoptable);
            }
        }
        let keys = self.keys();
        if !keys.is_empty() {
            for key in self.desk.cancelled(&keys).await? {
                if let Some(followed) = self.lock().get(&key) {
                    followed.cancel.cancel();
                }
            }
        }
        let mut claimed = false;
        while self.taken() < self.parallel {
            let Some(assignment) = self.desk.claim().await? else {
                self.stand_by();
                return Ok(claimed);
            };
            claimed = true;
            self.ahead = None;
            self.start(Carried::Claimed(Box::new(assignment)), false);
        }
        self.look_ahead().await?;
        Ok(claimed)
    }

    /// Nothing waits: what deployed last may be deployed again soon.
    fn stand_by(&mut self) {
        let awaited: Vec<Awaited> = self.succeeded.drain(..).collect();
        self.make_ready(awaited);
    }

    /// No place is free: what takes the next one need not wait for its carrier as well.
    async fn look_ahead(&mut self) -> Result<(), DeskError> {
        if due(self.ahead, LOOK) {
            self.ahead = Some(Instant::now());
            let awaited = self.desk.ahead().await?;
            self.make_ready(awaited);
        }
        Ok(())
    }

    /// In the background. Only containers can wait for a job.
    fn make_ready(&mut self, awaited: Vec<Awaited>) {
        if !awaited.is_empty() {
            let docker = Arc::clone(&self.launchers.docker);
            self.aside
                .spawn(async move { docker.stand_by(&awaited).await });
        }
    }

    /// Keeps in mind what succeeded, the last of each environment.
    fn remember(&mut self, succeeded: Option<Awaited>) {
        let Some(succeeded) = succeeded else { return };
        self.succeeded
            .retain(|known| known.env_uuid != succeeded.env_uuid);
        self.succeeded.push_back(succeeded);
        if self.succeeded.len() > REMEMBERED {
            self.succeeded.pop_front();
        }
    }

    fn adopt(&mut self, adoptable: Adoptable) {
        if !self.lock().contains_key(&adoptable.assignment.key) {
            let cancel = adoptable.cancel;
            self.start(Carried::Adopted(Box::new(adoptable)), cancel);
        }
    }

    fn start(&mut self, carried: Carried, cancelled: bool) {
        let key = carried.assignment().key.clone();
        let cancel = CancellationToken::new();
        if cancelled {
            cancel.cancel();
        }
        let followed = Followed {
            cancel: cancel.clone(),
            is_over: false,
        };
        self.lock().insert(key.clone(), followed);
        let entry = Entry {
            active: Arc::clone(&self.active),
            key,
        };
        match carried.assignment().launch {
            Launch::Docker(_) => {
                let launcher = Arc::clone(&self.launchers.docker);
                self.spawn(launcher, carried, cancel, entry);
            }
            Launch::Process(_) => {
                let launcher = Arc::clone(&self.launchers.process);
                self.spawn(launcher, carried, cancel, entry);
            }
            Launch::Kubernetes(_) => {
                let launcher = Arc::clone(&self.launchers.kubernetes);
                self.spawn(launcher, carried, cancel, entry);
            }
        }
    }

    fn spawn<L: Launcher + 'static>(
        &mut self,
        launcher: Arc<L>,
        carried: Carried,
        cancel: CancellationToken,
        entry: Entry,
    ) {
        let (desk, freed) = (Arc::clone(&self.desk), Arc::clone(&self.freed));
        self.tasks.spawn(async move {
            let over = || {
                entry.over();
                freed.notify_one();
            };
            let is_good = carry(&*desk, &*launcher, &carried, &cancel, over).await;
            drop(entry);
            is_good.then(|| carried.assignment().again())
        });
    }

    /// Removes in the background what no run owns; `false`: who owns what is not known now.
    async fn sweep(&mut self) -> bool {
        let held = match self.desk.held().await {
            Ok(held) => held,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "nothing is swept");
                return false;
            }
        };
        let docker = Arc::clone(&self.launchers.docker);
        let process = Arc::clone(&self.launchers.process);
        let active = Arc::clone(&self.active);
        self.aside.spawn(async move {
            let owned = |key: &RunKey| {
                let active = active.lock().unwrap_or_else(PoisonError::into_inner);
                active.contains_key(key) || held.contains(key)
            };
            for outcome in [docker.sweep(&owned).await, process.sweep(&owned).await] {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "what nobody owns was not removed");
                }
            }
        });
        true
    }

    /// How many places for runs are taken.
    fn taken(&self) -> usize {
        let active = self.lock();
        active.values().filter(|followed| !followed.is_over).count()
    }

    fn keys(&self) -> Vec<RunKey> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunKey, Followed>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

/// An error with everything that caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
