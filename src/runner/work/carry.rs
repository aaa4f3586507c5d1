//! The life of one run: made, recorded, given its job, followed, completed, removed, in this order.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::chain;
use super::end::{self, ATTEMPTS, Said};
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::event::Event;
use crate::runner::job::Action;
use crate::runner::{
    Adoptable, Assignment, Desk, DeskError, Exit, Handle, LaunchError, Launcher, RunEnd, RunKey,
};

/// How often a launcher is asked again when it says that this may help.
const LAUNCH_TRIES: u32 = 3;
/// Longest pause between two tries of anything.
const PAUSE: Duration = Duration::from_secs(5);

/// Where a run comes from.
pub(crate) enum Carried {
    /// Just claimed: nothing was started.
    Claimed(Box<Assignment>),
    /// Claimed by an earlier worker.
    Adopted(Box<Adoptable>),
}

impl Carried {
    pub(crate) fn assignment(&self) -> &Assignment {
        match self {
            Self::Claimed(assignment) => assignment,
            Self::Adopted(adoptable) => &adoptable.assignment,
        }
    }
}

/// Carries a run to its end at the desk, says so by `over`, and removes what carried it. Returns whether it was a deploy
/// that succeeded.
///
/// May be dropped at any point: what it started goes on, and the next worker adopts it.
pub(crate) async fn carry<D: Desk, L: Launcher>(
    desk: &D,
    launcher: &L,
    carried: &Carried,
    cancel: &CancellationToken,
    over: impl FnOnce() + Send,
) -> bool {
    let assignment = carried.assignment();
    let key = &assignment.key;
    launcher.note(assignment);
    let run = Run {
        desk,
        launcher,
        assignment,
        cancel,
    };
    let (handle, end, outcome) = match carried {
        Carried::Claimed(_) => match run.begin().await {
            Begun::Started(handle, unable) => {
                let (end, outcome) = run.follow(&handle, Said::default(), unable).await;
                (Some(handle), end, outcome)
            }
            Begun::Not(end) => (None, end, None),
            Begun::Stale(handle) => {
                run.remove(Some(&handle)).await;
                return false;
            }
        },
        Carried::Adopted(adoptable) => match &adoptable.handle {
            Some(handle) => {
                let said = Said::until(adoptable.last_seq);
                let (end, outcome) = run.follow(handle, said, None).await;
                (Some(handle.clone()), end, outcome)
            }
            // The job is written only after the handle is recorded, so nothing can have begun.
            None => (None, run.give_back(), None),
        },
    };
    // What never began goes first, so that no later attempt can meet it. Failing to is no harm: it has no job.
    let begun = !matches!(end, RunEnd::NeverBegan { .. });
    if !begun {
        run.remove(handle.as_ref()).await;
    }
    let is_good = outcome.is_some_and(Outcome::is_success);
    let is_emptied = is_good && assignment.job.action == Action::Destroy;
    if is_emptied {
        run.forget_state().await;
    }
    // A move changes nothing that the journal could know of.
    let is_move = assignment.job.action == Action::Move;
    if begun && !is_move && matches!(end, RunEnd::Died { .. }) {
        let state = match assignment.job.local_state {
            true => None,
            false => persist(desk, key, || desk.state(key)).await,
        };
        if let Some(open) = launcher.left_open(assignment, state).await {
            persist(desk, key, || desk.left_open(key, open.clone())).await;
        }
    }
    persist(desk, key, || desk.complete(key, end.clone())).await;
    over();
    if begun {
        run.remove(handle.as_ref()).await;
    }
    if is_emptied {
        run.forget_state().await;
    }
    is_good && assignment.job.action == Action::Deploy
}

struct Run<'a, D, L> {
    desk: &'a D,
    launcher: &'a L,
    assignment: &'a Assignment,
    cancel: &'a CancellationToken,
}

/// What came of the first half of a run's life.
enum Begun {
    /// It exists and is recorded, and the job was written, or could not be for this reason.
    Started(Handle, Option<LaunchError>),
    /// Nothing was started.
    Not(RunEnd),
    /// Another attempt took its place.
    Stale(Handle),
}

impl<D: Desk, L: Launcher> Run<'_, D, L> {
    /// That it could not be removed is no reason to keep an environment that has nothing any more.
    async fn forget_state(&self) {
        if let Err(error) = self.launcher.forget_state(self.assignment).await {
            tracing::warn!(run = %self.key(), %error, "the state of a destroyed environment could not be removed");
        }
    }

    fn key(&self) -> &RunKey {
        &self.assignment.key
    }

    async fn begin(&self) -> Begun {
        let handle = match self.ensure().await {
            Ok(handle) => handle,
            Err(end) => return Begun::Not(end),
        };
        let key = self.key();
        if !persist(self.desk, key, || self.desk.launched(key, &handle)).await {
            return Begun::Stale(handle);
        }
        if self.cancel.is_cancelled() {
            // It has no job yet, so it can go without asking it.
            self.remove(Some(&handle)).await;
            return Begun::Not(end::cancelled());
        }
        let given = self.launcher.give(self.assignment, &handle).await;
        Begun::Started(handle, given.err())
    }

    /// Has the launcher make the carrier, telling people what takes long.
    async fn ensure(&self) -> Result<Handle, RunEnd> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (said, mut heard) = mpsc::unbounded_channel::<String>();
            let say = move |what: &str| drop(said.send(what.to_owned()));
            let made = {
                let ensure = self.launcher.ensure(self.assignment, &say);
                tokio::pin!(ensure);
                loop {
                    tokio::select! {
                        made = &mut ensure => break made,
                        Some(what) = heard.recv() => {
                            if let Err(error) = self.desk.preparing(self.key(), &what).await {
                                tracing::debug!(error = %chain(&error), "progress was not recorded");
                            }
                        }
                        () = self.cancel.cancelled() => {
                            return Err(end::cancelled());
                        }
                    }
                }
            };
            match made {
                Ok(handle) => return Ok(handle),
                Err(error) if error.transient && tries < LAUNCH_TRIES => {
                    tracing::warn!(run = %self.key(), %error, "trying once more");
                    tokio::time::sleep(pause(tries)).await;
                }
                Err(error) => {
                    return Err(RunEnd::Died {
                        outcome: Outcome::Failed,
                        failure_class: error.class,
                        message: error.message,
                    });
                }
            }
        }
    }

    /// Follows a carrier until it has said its last word or is gone; returns how it ended.
    async fn follow(
        &self,
        handle: &Handle,
        mut said: Said,
        unable: Option<LaunchError>,
    ) -> (RunEnd, Option<Outcome>) {
        let mut asked = false;
        let mut failures = 0;
        let exit = loop {
            match self.observe(handle, &mut said, &mut asked).await {
                Ok(None) => return (RunEnd::Finished, said.finished),
                Ok(Some(exit)) => break exit,
                // Not seeing a run is no reason to end it.
                Err(error) => {
                    failures += 1;
                    tracing::warn!(run = %self.key(), %error, "looking again");
                    if failures % 10 == 1 {
                        let _ = self
                            .desk
                            .preparing(self.key(), "waiting for the runner's host to answer")
                            .await;
                    }
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        };
        let end = end::of(
            &said,
            &exit,
            unable,
            self.cancel.is_cancelled(),
            self.key().attempt,
            &self.assignment.launch,
        );
        (end, said.finished)
    }

    /// One observation; `None`: it has said its last word.
    async fn observe(
        &self,
        handle: &Handle,
        said: &mut Said,
        asked: &mut bool,
    ) -> Result<Option<Exit>, LaunchError> {
        let key = self.key();
        let (sender, mut events) = mpsc::channel::<Vec<Event>>(16);
        let observe = self.launcher.observe(key, handle, said.last_seq, sender);
        tokio::pin!(observe);
        let exit = loop {
            tokio::select! {
                biased;
                Some(batch) = events.recv() => {
                    if self.store(batch, said).await {
                        return Ok(None);
                    }
                }
                exit = &mut observe => break exit,
                () = self.cancel.cancelled(), if !*asked => {
                    match self.launcher.stop(key, handle).await {
                        Ok(()) => *asked = true,
                        Err(error) => {
                            tracing::warn!(run = %key, %error, "asking it to stop again");
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
            }
        };
        // What was sent before the observation ended.
        while let Ok(batch) = events.try_recv() {
            if self.store(batch, said).await {
                return Ok(None);
            }
        }
        exit.map(Some)
    }

    /// Stores events; returns whether the last one was among them.
    async fn store(&self, batch: Vec<Event>, said: &mut Said) -> bool {
        let key = self.key();
        let fresh: Vec<Event> = batch
            .into_iter()
            .filter(|event| event.seq > said.last_seq)
            .collect();
        if !fresh.is_empty() {
            persist(self.desk, key, || self.desk.events(key, fresh.clone())).await;
            fresh.iter().for_each(|event| said.hear(event));
        }
        said.finished.is_some()
    }

    /// The end of an attempt that was claimed and never recorded as started.
    fn give_back(&self) -> RunEnd {
        let message = "the worker ended before the runner was started".to_owned();
        if self.cancel.is_cancelled() {
            end::cancelled()
        } else if self.key().attempt >= ATTEMPTS {
            RunEnd::Died {
                outcome: Outcome::Failed,
                failure_class: FailureClass::StartFailed,
                message,
            }
        } else {
            RunEnd::NeverBegan { message }
        }
    }

    /// Removes the carrier; what stays after a few tries is left to the sweep.
    async fn remove(&self, handle: Option<&Handle>) {
        for tries in 1..=LAUNCH_TRIES {
            match self.launcher.remove(self.key(), handle).await {
                Ok(()) => return,
                Err(error) if tries == LAUNCH_TRIES || !error.transient => {
                    tracing::warn!(run = %self.key(), %error, "left for a later sweep");
                    return;
                }
                Err(_) => tokio::time::sleep(pause(tries)).await,
            }
        }
    }
}

/// Asks the desk until it answers: nothing that a run said may be dropped.
async fn persist<D, T, F, R>(desk: &D, key: &RunKey, mut ask: F) -> T
where
    D: Desk,
    F: FnMut() -> R,
    R: Future<Output = Result<T, DeskError>>,
{
    let mut failures = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                failures += 1;
                tracing::warn!(run = %key, error = %chain(&error), "asking the desk again");
                tokio::select! {
                    () = tokio::time::sleep(pause(failures)) => {}
                    () = desk.back() => {}
                }
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    Duration::from_millis(100)
        .saturating_mul(1 << failures.min(10))
        .min(PAUSE)
}
