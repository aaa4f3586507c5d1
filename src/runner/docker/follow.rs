//! Follows a container to its end: events from the attached stream, gaps from the spool, the end from the daemon.

use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::WaitContainerOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::attach::{self, Output};
use super::container;
use super::daemon::{Daemon, failed, status};
use super::spool::{self, Reading};
use crate::runner::event::{Event, Kind};
use crate::runner::{Exit, LaunchError};

/// After this long without an event the spool is looked at, in case the last one was dropped on its way.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a stream may stay open after its container ended, and the other way round.
const DRAIN: Duration = Duration::from_secs(10);
/// Events sent at once.
const BATCH: usize = 128;

const GONE: Exit = Exit {
    code: None,
    out_of_memory: false,
    vanished: true,
    reason: None,
};

/// Sends every event above `after` and returns when the container has ended and all were sent.
///
/// `output` is the stream that was attached before the container had its job; without it the container is another
/// process's: it is attached to, and its input ended. If it had its job that changes nothing; if it had none, it ends.
pub(super) async fn follow(
    daemon: &Daemon,
    id: &str,
    after: u64,
    output: Option<Output>,
    events: &mpsc::Sender<Vec<Event>>,
) -> Result<Exit, LaunchError> {
    let mut tail = Tail {
        daemon,
        id,
        last: after,
        finished: false,
        events,
    };
    let output = match output {
        Some(output) => Some(output),
        None => {
            let Some(seen) = container::look(daemon, id).await? else {
                return Ok(GONE);
            };
            if seen.fresh {
                return Ok(exit(&seen));
            }
            let attached = match seen.running {
                true => attach::attach(daemon, id).await?,
                false => None,
            };
            let output = match attached {
                Some((input, output)) => {
                    input.end().await;
                    Some(output)
                }
                None => None,
            };
            tail.fill().await?;
            output
        }
    };
    let words = match output {
        Some(mut output) => {
            tail.live(&mut output).await?;
            output.words()
        }
        None => String::new(),
    };
    let Some(seen) = container::look(daemon, id).await? else {
        return Ok(GONE);
    };
    if !tail.finished {
        tail.fill().await?;
    }
    if tail.last == 0 && !words.is_empty() {
        tracing::warn!(container = id, words, "it ended before it accepted its job");
    }
    Ok(exit(&seen))
}

fn exit(seen: &container::Seen) -> Exit {
    Exit {
        code: seen.exit_code,
        out_of_memory: seen.out_of_memory,
        vanished: false,
        reason: None,
    }
}

struct Tail<'a> {
    daemon: &'a Daemon,
    id: &'a str,
    /// Number of the last event that was sent.
    last: u64,
    /// Whether that was the last one of the run.
    finished: bool,
    events: &'a mpsc::Sender<Vec<Event>>,
}

impl Tail<'_> {
    /// Reads the attached stream until the container ends.
    async fn live(&mut self, output: &mut Output) -> Result<(), LaunchError> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let mut wait = Box::pin(self.daemon.docker.wait_container(self.id, Some(options)));
        let mut open = true;
        let mut ended = false;
        while open || !ended {
            let patience = if open && !ended { SILENCE } else { DRAIN };
            tokio::select! {
                biased;
                event = output.events.recv(), if open => match event {
                    Some(event) => self.send(event, output).await?,
                    None => open = false,
                },
                end = wait.next(), if !ended => match end {
                    Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => ended = true,
                    Some(Err(error)) if status(&error) == Some(404) => ended = true,
                    Some(Err(error)) => return Err(failed(self.daemon, "wait for the container", &error)),
                    None => return Err(self.broken()),
                },
                () = tokio::time::sleep(patience) => {
                    if ended {
                        // Something that the container left behind holds its output open; the spool has it all.
                        return Ok(());
                    }
                    if !open {
                        return Err(self.broken());
                    }
                    self.fill().await?;
                }
            }
        }
        Ok(())
    }

    fn broken(&self) -> LaunchError {
        LaunchError {
            class: crate::model::phase::FailureClass::RunnerUnreachable,
            message: format!(
                "the stream from the container broke; the Docker daemon at `{}` was stopped or restarted",
                self.daemon.address
            ),
            transient: true,
        }
    }

    /// Sends an event and those that wait behind it; fills the gap before them, if there is one.
    async fn send(&mut self, first: Event, output: &mut Output) -> Result<(), LaunchError> {
        let mut batch = Vec::new();
        let mut gap = false;
        let mut next = Some(first);
        while let Some(event) = next {
            let expected = self.last + 1;
            if event.seq == expected {
                self.last = expected;
                self.finished = matches!(event.kind, Kind::Finished(_));
                batch.push(event);
            } else if event.seq > expected {
                gap = true;
                break;
            }
            if batch.len() >= BATCH {
                break;
            }
            next = output.events.try_recv().ok();
        }
        if !batch.is_empty() && self.events.send(batch).await.is_err() {
            // Nobody wants more. What is left is in the spool.
            self.finished = true;
        }
        if gap {
            self.fill().await?;
        }
        Ok(())
    }

    /// Sends what the spool has and the stream did not bring.
    async fn fill(&mut self) -> Result<(), LaunchError> {
        match spool::read(self.daemon, self.id, self.last, self.events).await? {
            Reading::Until(last) => self.last = last,
            Reading::Vanished => {}
        }
        Ok(())
    }
}
