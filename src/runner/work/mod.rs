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
mod carry;
mod end;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::carry::{Carried, carry};
use super::docker::DockerLauncher;
use super::kubernetes::KubernetesLauncher;
use super::process::ProcessLauncher;
use super::{Adoptable, Desk, DeskError, HostSettings, Launch, Launcher, RunKey};

/// How often the worker looks for work although nobody said that something changed.
const LOOK: Duration = Duration::from_secs(1);
/// Least time between two looks while runs are going on, whose own events wake the loop.
const REST: Duration = Duration::from_millis(10);
/// How often what nobody owns is removed, and runs that no task follows are looked for.
const SWEEP: Duration = Duration::from_secs(600);
const RECONCILE: Duration = Duration::from_secs(30);
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
        sweeping: JoinSet::new(),
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
            Some(_) = worker.tasks.join_next() => {}
            Some(_) = worker.sweeping.join_next() => {}
            () = worker.desk.changed(LOOK) => {}
        }
        if let Some(rest) = REST.checked_sub(looked.elapsed()) {
            tokio::time::sleep(rest).await;
        }
    }
}

/// Runs that a task follows, and how to tell that task that somebody asked to cancel.
type Active = Arc<Mutex<BTreeMap<RunKey, CancellationToken>>>;

struct Worker<D, C, P, K> {
    desk: Arc<D>,
    launchers: Launchers<C, P, K>,
    parallel: usize,
    active: Active,
    tasks: JoinSet<()>,
    sweeping: JoinSet<()>,
    reconciled: Option<Instant>,
    swept: Option<Instant>,
    failures: u32,
}

/// Takes a run off the list however its task ends.
struct Entry {
    active: Active,
    key: RunKey,
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
        if due(self.swept, SWEEP) {
            self.swept = Some(Instant::now());
            self.sweep();
        }
        let launchers = &self.launchers;
        let standing_by = launchers.docker.tend().await
            + launchers.process.tend().await
            + launchers.kubernetes.tend().await;
        Ok(!claimed && standing_by == 0 && self.keys().is_empty() && self.sweeping.is_empty())
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
                if let Some(token) = self.lock().get(&key) {
                    token.cancel();
                }
            }
        }
        let mut claimed = false;
        while self.keys().len() < self.parallel {
            let Some(assignment) = self.desk.claim().await? else {
                break;
            };
            claimed = true;
            self.start(Carried::Claimed(Box::new(assignment)), false);
        }
        Ok(claimed)
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
        self.lock().insert(key.clone(), cancel.clone());
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
        let desk = Arc::clone(&self.desk);
        self.tasks.spawn(async move {
            carry(&*desk, &*launcher, carried, &cancel).await;
            drop(entry);
        });
    }

    /// Removes in the background what no run owns.
    fn sweep(&mut self) {
        let docker = Arc::clone(&self.launchers.docker);
        let process = Arc::clone(&self.launchers.process);
        let active = Arc::clone(&self.active);
        self.sweeping.spawn(async move {
            let owned = |key: &RunKey| {
                let active = active.lock().unwrap_or_else(PoisonError::into_inner);
                active.contains_key(key)
            };
            for outcome in [docker.sweep(&owned).await, process.sweep(&owned).await] {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "what nobody owns was not removed");
                }
            }
        });
    }

    fn keys(&self) -> Vec<RunKey> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunKey, CancellationToken>> {
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
