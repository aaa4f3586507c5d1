//! The desk of an agent: the server's, over HTTP, with the journal between.
//!
//! Which runs there are is answered from the journal, so that a server which is away keeps nothing from being adopted.
//! What must be decided by the server (what to begin, and that something was begun) waits for it; what is to be told to
//! it (events, ends) is kept by whoever says it until it was taken. So nothing that a run does depends on the server.
//!
//! A thing that the server will never take is named, written to the log and left out; what is behind it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::link::{Link, Trouble};
use crate::deploy::agents::protocol::{Reply, Say};
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::event::{Event, Kind};
use crate::runner::{Adoptable, Assignment, Desk, DeskError, Handle, RunEnd, RunKey};
use crate::store::host::Seat;
use crate::wire::agents::About;
use crate::wire::state::Open;

/// How often a server may fail at one and the same thing before that thing is to blame.
const FAILURES: u32 = 8;
/// How much is sent at once, roughly, in bytes.
const AT_ONCE: usize = 4 << 20;
/// How often what the server knows of runs is looked at.
const COMPARE: Duration = Duration::from_secs(60);
/// Longest pause before a server that is away is asked again: what runs here is carried on within seconds of its return.
const PAUSE: Duration = Duration::from_secs(2);
/// Least time between two questions while there is work that nobody takes.
const REST: Duration = Duration::from_millis(200);

/// The desk.
pub(super) struct AgentDesk {
    link: Link,
    journal: Journal,
    seat: Seat,
    about: About,
    /// Days after which the key is changed.
    key_days: u32,
    /// 0 until the lease is held.
    epoch: AtomicI64,
    has_work: AtomicBool,
    cancelled: Mutex<BTreeSet<RunKey>>,
    failures: Mutex<BTreeMap<RunKey, u32>>,
    /// Something may have changed for the worker.
    news: Notify,
    /// Something changed for the server: another run, or one less.
    changed: Notify,
    /// The server answers again.
    back: Notify,
    /// Why the agent must stop, once it must.
    fenced: Mutex<Option<String>>,
    stop: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn desk(error: anyhow::Error) -> DeskError {
    DeskError(error.into())
}

/// What became of something that was sent.
enum Sent {
    /// The server has it.
    Taken,
    /// The server will never have it.
    Poisoned(String),
}

impl AgentDesk {
    /// A desk; `stop` is cancelled when the agent must stop.
    pub(super) fn new(
        link: Link,
        journal: Journal,
        seat: Seat,
        about: About,
        key_days: u32,
        stop: CancellationToken,
    ) -> Self {
        Self {
            link,
            journal,
            seat,
            about,
            key_days,
            epoch: AtomicI64::new(0),
            has_work: AtomicBool::new(false),
            cancelled: Mutex::default(),
            failures: Mutex::default(),
            news: Notify::new(),
            changed: Notify::new(),
            back: Notify::new(),
            fenced: Mutex::default(),
            stop,
        }
    }

    /// Why the agent had to stop.
    pub(super) fn fenced(&self) -> Option<String> {
        lock(&self.fenced).clone()
    }

    fn fence(&self, why: String) {
        lock(&self.fenced).get_or_insert(why);
        self.stop.cancel();
    }

    /// Whether nothing is carried.
    pub(super) fn is_idle(&self) -> bool {
        self.journal.keys().is_empty()
    }

    /// Sends one message; fails where it has to be sent again.
    async fn say(&self, say: Say) -> Result<Reply, Trouble> {
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch == 0 && !matches!(say, Say::Hello { .. }) {
            return Err(Trouble::Away(
                "it was not reached since the agent began".to_owned(),
            ));
        }
        let answer = self.link.ask(epoch, say).await;
        match answer {
            // We ourselves: what was said under the lease before, and came late.
            Err(Trouble::Fenced(_)) if epoch != self.epoch.load(Ordering::Acquire) => Err(
                Trouble::Away("it has given a new lease meanwhile".to_owned()),
            ),
            Err(Trouble::Fenced(why)) => {
                self.fence(why.clone());
                Err(Trouble::Fenced(why))
            }
            other => other,
        }
    }

    /// Sends something about a run; finds out what the server will never take.
    async fn tell(&self, key: &RunKey, say: Say) -> Result<Sent, DeskError> {
        match self.say(say).await {
            Ok(_) => {
                lock(&self.failures).remove(key);
                Ok(Sent::Taken)
            }
            Err(Trouble::Refused(why)) => Ok(Sent::Poisoned(why)),
            Err(Trouble::Failed(why)) => {
                let mut failures = lock(&self.failures);
                let count = failures.entry(key.clone()).or_default();
                *count += 1;
                if *count < FAILURES {
                    return Err(desk(Trouble::Failed(why).told()));
                }
                *count = 0;
                Ok(Sent::Poisoned(why))
            }
            Err(trouble @ (Trouble::Away(_) | Trouble::Denied(_) | Trouble::Fenced(_))) => {
                Err(desk(trouble.told()))
            }
        }
    }

    /// Tells events; where they are not taken, each by itself.
    async fn tell_events(&self, key: &RunKey, events: Vec<Event>) -> Result<(), DeskError> {
        let say = |events| Say::Events {
            key: key.clone(),
            events,
        };
        let why = match self.tell(key, say(events.clone())).await? {
            Sent::Taken => {
                if let Some(last) = events.last() {
                    self.journal.heard(key, last.seq);
                }
                return Ok(());
            }
            Sent::Poisoned(why) => why,
        };
        let one = match events.len() {
            0 => return Ok(()),
            1 => events[0].seq,
            _ => {
                for event in events {
                    Box::pin(self.tell_events(key, vec![event])).await?;
                }
                return Ok(());
            }
        };
        tracing::error!(run = %key, seq = one, why, "the server does not take this event, and it is left out");
        let skip = Say::Skip {
            key: key.clone(),
            seq: one,
        };
        if let Sent::Poisoned(why) = self.tell(key, skip).await? {
            tracing::error!(run = %key, seq = one, why, "nor does it go on without it");
        }
        self.journal.heard(key, one);
        Ok(())
    }

    /// Takes the lease and looks which runs the server thinks are here.
    async fn begin(&self) -> Result<Duration, Trouble> {
        let hello = Say::Hello {
            seat: self.seat.clone(),
            about: self.about.clone(),
        };
        let Reply::Held { epoch, lease_ms } = self.say(hello).await? else {
            return Err(unexpected());
        };
        self.epoch.store(epoch, Ordering::Release);
        if let Err(trouble) = self.compare(true).await {
            self.epoch.store(0, Ordering::Release);
            return Err(trouble);
        }
        tracing::info!(epoch, "the agent is connected");
        Ok(Duration::from_millis(lease_ms))
    }

    /// Brings the journal in line with what the server knows. `at_start`: what it does not know any more is over.
    async fn compare(&self, at_start: bool) -> Result<(), Trouble> {
        let Reply::Running(there) = self.say(Say::Running).await? else {
            return Err(unexpected());
        };
        let here = self.journal.keys();
        if at_start {
            let is_there = |key: &RunKey| there.iter().any(|run| run.assignment.key == *key);
            // What still runs of it is swept.
            for key in here.iter().filter(|key| !is_there(key)) {
                tracing::info!(run = %key, "the server knows how this run ended");
                self.journal.remove(key);
            }
        }
        for run in there {
            let key = run.assignment.key.clone();
            if run.cancel {
                lock(&self.cancelled).insert(key.clone());
            }
            let written = match here.contains(&key) {
                true => self.journal.change(&key, |known| {
                    known.last_seq = known.last_seq.max(run.last_seq);
                    known.handle = run.handle;
                    known.cancel |= run.cancel;
                }),
                false => self.journal.put(run),
            };
            written.map_err(|error| Trouble::Away(format!("{error:#}")))?;
        }
        Ok(())
    }

    /// Stays in touch with the server until the agent stops.
    pub(super) async fn keep(&self) {
        let mut failures = 0;
        let mut lease = None;
        let mut compared = tokio::time::Instant::now();
        while !self.stop.is_cancelled() {
            let outcome = match lease {
                None => self.begin().await.map(|length| {
                    lease = Some(length);
                    self.news.notify_waiters();
                    self.back.notify_waiters();
                }),
                Some(_) if compared.elapsed() > COMPARE => {
                    compared = tokio::time::Instant::now();
                    self.compare(false).await
                }
                // Whoever was away is asked for an answer at once: what was not told waits for it.
                Some(_) if failures > 0 => self.renew(Duration::ZERO).await,
                Some(length) => self.renew(length / 3).await,
            };
            match outcome {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!("the server answers again");
                        self.back.notify_waiters();
                    }
                    failures = 0;
                    self.link.tend_key(self.key_days).await;
                }
                Err(trouble) => {
                    failures += 1;
                    if failures == 1 || failures % 60 == 0 {
                        tracing::warn!("{trouble}; what runs goes on, and is told later");
                    }
                    let pause = Duration::from_millis(100) * (1 << failures.min(6));
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(pause.min(PAUSE)) => {}
                    }
                }
            }
        }
    }

    async fn renew(&self, wait: Duration) -> Result<(), Trouble> {
        let runs: Vec<RunKey> = {
            let cancelled = lock(&self.cancelled);
            let keys = self.journal.keys().into_iter();
            keys.filter(|key| !cancelled.contains(key)).collect()
        };
        let carried = self.journal.keys().len();
        let renew = Say::Renew {
            runs,
            is_free: u64::try_from(carried).is_ok_and(|carried| carried < self.about.capacity),
            wait_ms: wait.as_millis().try_into().unwrap_or(1000),
        };
        let answer = tokio::select! {
            answer = self.say(renew) => answer?,
            // It asks about runs of a moment ago: ask again.
            () = self.changed.notified() => return Ok(()),
            () = self.stop.cancelled() => return Ok(()),
        };
        let Reply::News {
            cancelled,
            has_work,
        } = answer
        else {
            return Err(unexpected());
        };
        if has_work || !cancelled.is_empty() {
            lock(&self.cancelled).extend(cancelled);
            self.has_work.store(has_work, Ordering::Release);
            self.news.notify_waiters();
            self.news.notify_one();
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(REST) => {}
            }
        }
        Ok(())
    }

    /// Refuses a run that this host is not to carry, whatever the server says.
    fn refusal(&self, assignment: &Assignment) -> Option<RunEnd> {
        let launcher = assignment.launch.launcher();
        let is_known = self.about.launchers.iter().any(|known| known == launcher);
        (!is_known).then(|| RunEnd::Died {
            outcome: Outcome::Failed,
            failure_class: FailureClass::RunnerUnreachable,
            message: format!(
                "the agent does not carry runs by `{launcher}`: start it with `--launchers {launcher}`, or change the runner"
            ),
        })
    }
}

fn unexpected() -> Trouble {
    Trouble::Away("its answer is not what was asked for; is it a newer server?".to_owned())
}

/// How much an event takes, roughly.
fn size(event: &Event) -> usize {
    512 + match &event.kind {
        Kind::Header { bytes, .. } | Kind::Frame { bytes, .. } | Kind::AgeFile { bytes, .. } => {
            bytes.len()
        }
        _ => 4096,
    }
}

impl Desk for AgentDesk {
    async fn claim(&self) -> Result<Option<Assignment>, DeskError> {
        if !self.has_work.load(Ordering::Acquire) || self.stop.is_cancelled() {
            return Ok(None);
        }
        let claim = Say::Claim {
            known: self.journal.keys(),
        };
        let claimed = match self.say(claim).await {
            Ok(Reply::Claimed(claimed)) => claimed,
            Ok(_) => None,
            // It is asked again as soon as it says that there is work.
            Err(trouble) => {
                tracing::debug!("nothing was claimed: {trouble}");
                None
            }
        };
        let Some(assignment) = claimed else {
            self.has_work.store(false, Ordering::Release);
            self.changed.notify_one();
            return Ok(None);
        };
        if let Some(end) = self.refusal(&assignment) {
            self.complete(&assignment.key, end).await?;
            return Ok(None);
        }
        // Before anything is started; if it cannot be written, the server gives the same run again.
        self.journal
            .put(Adoptable {
                assignment: (*assignment).clone(),
                handle: None,
                last_seq: 0,
                cancel: false,
            })
            .map_err(desk)?;
        self.changed.notify_one();
        Ok(Some(*assignment))
    }

    async fn running(&self) -> Result<Vec<Adoptable>, DeskError> {
        Ok(self.journal.runs())
    }

    async fn held(&self) -> Result<Vec<RunKey>, DeskError> {
        // What the journal lacks, the server may know of.
        match self.epoch.load(Ordering::Acquire) {
            0 => Err(desk(anyhow::anyhow!(
                "the server was not reached since the agent began"
            ))),
            _ => Ok(self.journal.keys()),
        }
    }

    async fn launched(&self, key: &RunKey, handle: &Handle) -> Result<bool, DeskError> {
        self.journal
            .change(key, |run| run.handle = Some(handle.clone()))
            .map_err(desk)?;
        let launched = Say::Launched {
            key: key.clone(),
            handle: handle.clone(),
        };
        // Only the server says whether it may begin, so there is nothing to leave out here.
        match self.say(launched).await {
            Ok(Reply::Launched(is_current)) => {
                if !is_current {
                    self.journal.remove(key);
                    self.changed.notify_one();
                }
                Ok(is_current)
            }
            Ok(_) => Err(desk(unexpected().told())),
            Err(trouble) => Err(desk(trouble.told())),
        }
    }

    async fn preparing(&self, key: &RunKey, what: &str) -> Result<(), DeskError> {
        let preparing = Say::Preparing {
            key: key.clone(),
            what: what.to_owned(),
        };
        match self.say(preparing).await {
            Ok(_) => Ok(()),
            Err(trouble) => Err(desk(trouble.told())),
        }
    }

    async fn events(&self, key: &RunKey, events: Vec<Event>) -> Result<(), DeskError> {
        let mut pile = Vec::new();
        let mut bytes = 0;
        for event in events {
            let more = size(&event);
            if bytes + more > AT_ONCE && !pile.is_empty() {
                self.tell_events(key, std::mem::take(&mut pile)).await?;
                bytes = 0;
            }
            bytes += more;
            pile.push(event);
        }
        self.tell_events(key, pile).await
    }

    async fn state(&self, key: &RunKey) -> Result<Option<Vec<u8>>, DeskError> {
        match self.say(Say::State { key: key.clone() }).await {
            Ok(Reply::State(state)) => state
                .map(|text| BASE64_STANDARD.decode(text))
                .transpose()
                .map_err(|error| desk(error.into())),
            // An older server does not know the question; then all that was noted counts as open.
            Ok(_) | Err(Trouble::Refused(_)) => Ok(None),
            Err(trouble) => Err(desk(trouble.told())),
        }
    }

    async fn left_open(&self, key: &RunKey, open: Open) -> Result<(), DeskError> {
        let say = Say::LeftOpen {
            key: key.clone(),
            open,
        };
        if let Sent::Poisoned(why) = self.tell(key, say).await? {
            tracing::error!(run = %key, why, "the server does not take what this run left open; its state directory says it");
        }
        Ok(())
    }

    async fn complete(&self, key: &RunKey, end: RunEnd) -> Result<(), DeskError> {
        let say = Say::Complete {
            key: key.clone(),
            end: end.clone(),
        };
        if let Sent::Poisoned(why) = self.tell(key, say).await? {
            tracing::error!(run = %key, ?end, why, "the server does not take how this run ended");
        }
        self.journal.remove(key);
        lock(&self.cancelled).remove(key);
        self.changed.notify_one();
        Ok(())
    }

    async fn cancelled(&self, keys: &[RunKey]) -> Result<Vec<RunKey>, DeskError> {
        let cancelled = lock(&self.cancelled);
        Ok(keys
            .iter()
            .filter(|key| cancelled.contains(key))
            .cloned()
            .collect())
    }

    async fn back(&self) {
        self.back.notified().await;
    }

    async fn changed(&self, max: Duration) {
        tokio::select! {
            () = self.news.notified() => {}
            () = tokio::time::sleep(max) => {}
        }
    }
}

#[cfg(test)]
mod tests;
