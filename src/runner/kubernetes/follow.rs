//! Follows a pod to its end: events from its log, gaps from the supervisor's spool, the end from the pod's status.
//!
//! The log of the container is the transport: it is read live, again from any point of time, and after the end, until the pod is
//! removed. A node that rotates it may lose its beginning to a reader that comes late; then the supervisor is asked to print
//! once more what its spool has ([`input`]).
//!
//! Lists are the truth, and a watch only ends the waiting for the next one: what a watch misses costs seconds.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, WatchEvent, WatchParams};
use tokio::sync::mpsc;

use super::cluster::{Cluster, code};
use super::describe::MAIN;
use super::{fate, input};
use crate::runner::event::{self, Event, Kind};
use crate::runner::{Exit, LaunchError};

/// How often the pod is listed while nothing is heard.
const LOOK: Duration = Duration::from_secs(15);
/// How long a log may stay open after its container ended.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause before a log that ended is opened again.
const AGAIN: Duration = Duration::from_millis(200);
/// Events sent at once.
const BATCH: usize = 128;

/// The pod of a Job, and the version of the list that it was in.
pub(super) struct Seen {
    pub(super) pod: Option<Pod>,
    version: String,
}

/// Finds the pod of a Job: the first one. Should there ever be a second, it has no job.
pub(super) async fn look(cluster: &Cluster, uid: &str) -> Result<Seen, LaunchError> {
    let params = ListParams::default().labels(&selector(uid));
    let listed = cluster.ask("list pods", cluster.pods.list(&params)).await?;
    let version = listed.metadata.resource_version.clone().unwrap_or_default();
    let pod = listed
        .items
        .into_iter()
        .min_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|at| at.0));
    Ok(Seen { pod, version })
}

fn selector(uid: &str) -> String {
    format!("batch.kubernetes.io/controller-uid={uid}")
}

/// Returns when something happened to the pod since it was seen, or after `most`.
pub(super) async fn changed(cluster: &Cluster, uid: &str, seen: &Seen, most: Duration) {
    let watching = async {
        let params = WatchParams::default().labels(&selector(uid)).timeout(60);
        if let Ok(stream) = cluster.pods.watch(&params, &seen.version).await {
            let mut stream = std::pin::pin!(stream);
            if let Some(Ok(event)) = stream.next().await
                && !matches!(event, WatchEvent::Error(_))
            {
                return;
            }
        }
        // No watch, or one that is too old: the next list comes when it comes.
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(most, watching).await;
}

/// Sends every event above `after` and returns when the pod has ended and all were sent.
pub(super) async fn follow(
    cluster: &Cluster,
    uid: &str,
    after: u64,
    events: &mpsc::Sender<Vec<Event>>,
) -> Result<Exit, LaunchError> {
    let mut tail = Tail {
        cluster,
        last: after,
        since: None,
        finished: false,
        asked: None,
        torn: false,
        events,
    };
    let mut known: Option<Pod> = None;
    loop {
        let seen = look(cluster, uid).await?;
        let Some(pod) = &seen.pod else {
            return Ok(Exit {
                code: None,
                out_of_memory: false,
                vanished: true,
                reason: known.as_ref().and_then(fate::disrupted),
            });
        };
        known = Some(pod.clone());
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if let Some(exit) = fate::end(pod) {
            if !tail.finished {
                tail.rest(name).await?;
            }
            return Ok(exit);
        }
        if fate::given_up(pod, jiff::Timestamp::now()) {
            return Ok(Exit {
                code: None,
                out_of_memory: false,
                vanished: true,
                reason: fate::disrupted(pod),
            });
        }
        match tail.open(name, true).await? {
            Some(log) => tail.live(log, uid, &seen, name).await?,
            None => changed(cluster, uid, &seen, LOOK).await,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

type Log = Pin<Box<dyn AsyncBufRead + Send>>;

struct Tail<'a> {
    cluster: &'a Cluster,
    /// Number of the last event that was sent.
    last: u64,
    /// When that one was said, by the clock of the node.
    since: Option<i64>,
    /// Whether it was the last one of the run.
    finished: bool,
    /// What the supervisor was last asked to print again from.
    asked: Option<u64>,
    /// Whether a gap cannot be filled any more.
    torn: bool,
    events: &'a mpsc::Sender<Vec<Event>>,
}

impl Tail<'_> {
    /// The log; `None`: there is none yet, or none any more.
    async fn open(&self, pod: &str, follow: bool) -> Result<Option<Log>, LaunchError> {
        let params = LogParams {
            container: Some(MAIN.to_owned()),
            follow,
            // Seconds are what it is precise to.
            since_time: self
                .since
                .and_then(|at_us| jiff::Timestamp::from_microsecond(at_us - 2_000_000).ok()),
            ..LogParams::default()
        };
        let opened = tokio::time::timeout(
            super::cluster::REQUEST,
            self.cluster.pods.log_stream(pod, &params),
        );
        match opened.await {
            Ok(Ok(log)) => Ok(Some(Box::pin(log))),
            Ok(Err(error)) if matches!(code(&error), Some(400 | 404 | 500)) => {
                tracing::debug!(pod, %error, "no log");
                Ok(None)
            }
            Ok(Err(error)) => Err(self.cluster.failed("read the pod's log", &error)),
            Err(_) => Err(self.cluster.silent("read the pod's log")),
        }
    }

    /// Reads a log that grows until it ends or its pod does.
    async fn live(
        &mut self,
        mut log: Log,
        uid: &str,
        seen: &Seen,
        pod: &str,
    ) -> Result<(), LaunchError> {
        let mut line = Vec::new();
        let watch = changed(self.cluster, uid, seen, LOOK);
        let mut watch: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(watch);
        let mut until: Option<tokio::time::Instant> = None;
        loop {
            let wait = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = log.read_until(b'\n', &mut line) => match read {
                    Ok(read) if read > 0 && line.ends_with(b"\n") => {
                        let first = std::mem::take(&mut line);
                        self.take(pod, vec![first]).await?;
                    }
                    // The end, perhaps in the middle of a line.
                    _ => return Ok(()),
                },
                () = &mut watch, if until.is_none() => {
                    let again = look(self.cluster, uid).await?;
                    let over = again.pod.as_ref().is_none_or(|pod| fate::end(pod).is_some() || fate::given_up(pod, jiff::Timestamp::now()));
                    match over {
                        true => until = Some(tokio::time::Instant::now() + DRAIN),
                        false => watch = Box::pin(changed_owned(self.cluster, uid, again)),
                    }
                }
                () = wait => return Ok(()),
            }
        }
    }

    /// Reads what the log of an ended container has.
    async fn rest(&mut self, pod: &str) -> Result<(), LaunchError> {
        let Some(mut log) = self.open(pod, false).await? else {
            return Ok(());
        };
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read =
                tokio::time::timeout(super::cluster::REQUEST, log.read_until(b'\n', &mut line));
            match read.await {
                Err(_) => return Err(self.cluster.silent("read the pod's log")),
                Ok(Ok(read)) if read > 0 => {
                    lines.push(line);
                    if lines.len() >= BATCH {
                        self.take(pod, std::mem::take(&mut lines)).await?;
                    }
                }
                Ok(_) => break,
            }
        }
        self.take(pod, lines).await
    }

    /// Sends the events of these lines that follow on what was sent; asks for what is missing before them.
    async fn take(&mut self, pod: &str, lines: Vec<Vec<u8>>) -> Result<(), LaunchError> {
        let mut batch = Vec::new();
        for line in lines {
            if event::seq_of(&line).is_some_and(|seq| seq <= self.last) {
                continue;
            }
            let Ok(mut event) = serde_json::from_slice::<Event>(&line) else {
                continue;
            };
            if event.seq > self.last + 1 && !self.torn {
                self.ask_again(pod).await?;
            }
            if !follows(&mut event, self.last, self.torn) {
                continue;
            }
            self.last = event.seq;
            self.since = Some(event.at_us);
            self.finished = matches!(event.kind, Kind::Finished(_));
            batch.push(event);
        }
        if !batch.is_empty() && self.events.send(batch).await.is_err() {
            // Nobody wants more.
            self.finished = true;
        }
        Ok(())
    }

    /// Has the supervisor print again what the log does not have any more.
    async fn ask_again(&mut self, pod: &str) -> Result<(), LaunchError> {
        if self.asked == Some(self.last) {
            return Ok(());
        }
        self.asked = Some(self.last);
        let line = format!("from {}", self.last);
        if !input::send(self.cluster, pod, line.as_bytes()).await? {
            tracing::warn!(
                pod,
                after = self.last,
                "a part of the log is lost: the node had rotated it before it was read"
            );
            self.torn = true;
        }
        Ok(())
    }
}

async fn changed_owned(cluster: &Cluster, uid: &str, seen: Seen) {
    changed(cluster, uid, &seen, LOOK).await;
}

/// Whether an event is the one after `last`. Behind a gap that nothing fills any more only the last word counts, and it
/// takes the number that is expected: that a run ended, and how, is not lost with a part of what it said.
fn follows(event: &mut Event, last: u64, is_torn: bool) -> bool {
    if is_torn && event.seq > last && matches!(event.kind, Kind::Finished(_)) {
        event.seq = last + 1;
    }
    event.seq == last + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::phase::Outcome;
    use crate::runner::event::Finished;
    use crate::runner::job::PROTOCOL;
    use crate::wire::deployments::RunRecord;

    fn event(seq: u64, kind: Kind) -> Event {
        Event {
            v: PROTOCOL,
            run: "r".into(),
            attempt: 1,
            seq,
            at_us: 0,
            kind,
        }
    }

    fn finished() -> Kind {
        Kind::Finished(Box::new(Finished {
            outcome: Outcome::Applied,
            failure_class: None,
            message: String::new(),
            total: None,
            added: 0,
            changed: 0,
            removed: 0,
            metadata: std::collections::BTreeMap::new(),
            lock_file: None,
            state_empty: false,
            unrecorded: Vec::new(),
            in_flight: Vec::new(),
            record: RunRecord::default(),
        }))
    }

    #[test]
    fn the_end_of_a_run_is_taken_even_behind_a_gap() {
        assert!(follows(&mut event(5, Kind::Alive), 4, false));
        for (seq, is_torn) in [(4, false), (6, false), (4, true), (6, true)] {
            assert!(!follows(&mut event(seq, Kind::Alive), 4, is_torn), "{seq}");
        }
        assert!(
            !follows(&mut event(9, finished()), 4, false),
            "it may still be filled"
        );
        let mut end = event(9, finished());
        assert!(follows(&mut end, 4, true));
        assert_eq!(end.seq, 5);
    }
}
