//! The attached streams of a container: the job goes in once, events come out.
//!
//! Each stream is drained by a task of its own that waits for nothing: a client that stops reading blocks the removal
//! of its container. What nobody takes in time is dropped; the spool has it.
//!
//! Never asks for old output (`logs`): with the log driver `none` that wedges the container.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::daemon::{Daemon, failed, status};
use super::spool::Lines;
use crate::model::phase::FailureClass;
use crate::runner::LaunchError;
use crate::runner::event::Event;

/// Events that wait for their reader; beyond it they are dropped.
const WAITING: usize = 512;
/// Bytes of standard error that are kept: the supervisor's own words before it accepts a job.
const WORDS: usize = 1000;
/// How long a container may take to read its job.
const WRITE: Duration = Duration::from_secs(120);

/// What comes out of a container.
#[derive(Debug)]
pub(super) struct Output {
    /// Events as they were printed; closed when the stream ends.
    pub(super) events: mpsc::Receiver<Event>,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    /// What it printed on standard error, on one line; empty: nothing.
    pub(super) fn words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = String::from_utf8_lossy(&words)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The way in.
pub(super) struct Input(std::pin::Pin<Box<dyn AsyncWrite + Send>>);

/// Attaches to a container. `None`: there is none, or it has ended.
pub(super) async fn attach(
    daemon: &Daemon,
    id: &str,
) -> Result<Option<(Input, Output)>, LaunchError> {
    let options = AttachContainerOptionsBuilder::default()
        .stream(true)
        .logs(false)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .build();
    let attached = match daemon.docker.attach_container(id, Some(options)).await {
        Ok(attached) => attached,
        Err(error) if matches!(status(&error), Some(404 | 409)) => return Ok(None),
        Err(error) => return Err(failed(daemon, "attach to the container", &error)),
    };
    let (sender, events) = mpsc::channel(WAITING);
    let words = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&words);
    let mut output = attached.output;
    // Goes on when the reader is gone, until the container is.
    tokio::spawn(async move {
        let mut lines = Lines::default();
        while let Some(Ok(piece)) = output.next().await {
            match piece {
                LogOutput::StdErr { message } => {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = WORDS.saturating_sub(kept.len()).min(message.len());
                    kept.extend_from_slice(&message[..room]);
                }
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    if !sender.is_closed() {
                        lines.take(&message, |line| {
                            if let Ok(event) = serde_json::from_slice::<Event>(line) {
                                let _ = sender.try_send(event);
                            }
                        });
                    }
                }
                LogOutput::StdIn { .. } => {}
            }
        }
    });
    Ok(Some((Input(attached.input), Output { events, words })))
}

impl Input {
    /// Writes the job, whole, and ends the input.
    pub(super) async fn give(mut self, job: &[u8]) -> Result<(), LaunchError> {
        let written = tokio::time::timeout(WRITE, async {
            self.0.write_all(job).await?;
            self.0.flush().await?;
            self.0.shutdown().await
        })
        .await;
        let why = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not read it within {} s", WRITE.as_secs()),
        };
        Err(LaunchError {
            class: FailureClass::StartFailed,
            message: format!("the job could not be written to the container: {why}"),
            transient: true,
        })
    }

    /// Ends the input of a container that has its job, or never gets one: then it ends by itself.
    pub(super) async fn end(mut self) {
        let _ = self.0.shutdown().await;
    }
}
