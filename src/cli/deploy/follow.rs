//! Follows a deployment to its end: events over the API, progress on the terminal, log lines opened
//! as they come. Being interrupted only detaches.

use std::time::Duration;

use crate::cli::client::{CallError, Client};
use crate::cli::print::{self, progress::Progress};
use crate::cli::sealed::Reader;
use crate::cli::{Session, kinds};
use crate::model::phase::Step;
use crate::seal::key::Identity;
use crate::wire::deployments::{Deployment, ResourceEvent, StreamName, What};

/// How long to wait before the feed is opened again.
const REST: Duration = Duration::from_millis(300);

/// What to show.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// Opens the log; without it there is none to show.
    pub(crate) log_key: Option<&'a Identity>,
    /// Whether to show it while it is written.
    pub(crate) show_logs: bool,
}

/// How following ended.
pub(crate) enum End {
    /// The user interrupted; the deployment goes on.
    Detached,
    /// It is over.
    Over(Box<Over>),
}

/// A deployment that is over.
pub(crate) struct Over {
    /// As it ended.
    pub(crate) deployment: Deployment,
    /// Its log, where the key is at hand.
    pub(crate) log: Vec<u8>,
    /// Resources that were changed, in order.
    pub(crate) resources: Vec<ResourceEvent>,
    /// What the engine planned.
    pub(crate) planned: Vec<ResourceEvent>,
    /// How long we watched.
    pub(crate) took: Duration,
}

/// Follows until the end or until Ctrl-C.
pub(crate) async fn follow(session: &Session, id: &str, watch: Watch<'_>) -> anyhow::Result<End> {
    let client = session.client().await?;
    let mut tracker = Tracker {
        progress: Progress::start("waiting for a worker"),
        reader: watch
            .log_key
            .map(|key| Reader::new(client, id, StreamName::Logs, key)),
        show_logs: watch.show_logs,
        log: Vec::new(),
        resources: Vec::new(),
        planned: Vec::new(),
        step: None,
        position: 0,
        is_over: false,
    };
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(End::Detached),
            result = tracker.feed(client, id) => result?,
        }
        let deployment: Deployment = client
            .get(&format!("deployments/{}", kinds::segment(id)))
            .await?;
        if deployment.status != "executing" {
            tracker.read_log(None).await;
            let took = tracker.progress.elapsed();
            let Tracker {
                progress,
                log,
                resources,
                planned,
                ..
            } = tracker;
            progress.finish();
            return Ok(End::Over(Box::new(Over {
                deployment,
                log,
                resources,
                planned,
                took,
            })));
        }
        tokio::select! {
            _ = &mut interrupted => return Ok(End::Detached),
            () = tokio::time::sleep(REST) => {}
        }
    }
}

struct Tracker<'a> {
    progress: Progress,
    reader: Option<Reader<'a>>,
    show_logs: bool,
    log: Vec<u8>,
    resources: Vec<ResourceEvent>,
    planned: Vec<ResourceEvent>,
    step: Option<Step>,
    position: i64,
    is_over: bool,
}

impl Tracker<'_> {
    /// Reads the feed until it ends.
    async fn feed(&mut self, client: &Client, id: &str) -> Result<(), CallError> {
        let mut events = client.events(id, self.position).await?;
        while let Some(event) = events.next().await? {
            self.position = event.position;
            self.take(event.what).await;
            if self.is_over {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take(&mut self, what: What) {
        match what {
            What::Queued(position) => self.progress.say(&match position {
                0 | 1 => "queued, next in line".to_owned(),
                n => format!("queued, number {n} in line"),
            }),
            What::Step(step) => {
                self.step = Some(step);
                if step != Step::Ended {
                    self.progress.say(words(step));
                }
            }
            What::Progress(progress) => {
                let step = words(self.step.unwrap_or(Step::Applying));
                self.progress
                    .tick(&format!("{step} {}/{}", progress.done, progress.total));
            }
            What::Resource(resource) => self.resource(resource),
            What::Sealed {
                stream: StreamName::Logs,
                attempt,
                ..
            } if self.show_logs => self.read_log(Some(attempt)).await,
            What::Sealed { .. } => {}
            What::Retry(why) => {
                self.progress.line(&print::paint(
                    print::CHANGED,
                    format!("Trying again: {}", print::harmless(&why)),
                ));
            }
            What::Ended(_) => self.is_over = true,
        }
    }

    fn resource(&mut self, resource: ResourceEvent) {
        let line = format!("{} {}", resource.action, print::harmless(&resource.address));
        match resource.state.as_str() {
            "failed" => self
                .progress
                .line(&print::paint(print::BAD, format!("  failed: {line}"))),
            "done" if !self.show_logs => self
                .progress
                .line(&print::paint(print::DIM, format!("  {line}"))),
            _ => {}
        }
        match resource.state.as_str() {
            "done" | "failed" => self.resources.push(resource),
            "planned" => self.planned.push(resource),
            _ => {}
        }
    }

    /// Opens what is new in the log. A log that cannot be read must not end the following.
    async fn read_log(&mut self, attempt: Option<u32>) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        if let (Some(new), Some(old)) = (attempt, reader.attempt())
            && new > old
        {
            reader.restart();
        }
        match reader.more().await {
            Ok(bytes) => {
                if self.show_logs && !bytes.is_empty() {
                    print::log(&String::from_utf8_lossy(&bytes));
                }
                self.log.extend_from_slice(&bytes);
            }
            Err(error) => tracing::debug!(%error, "the log could not be read"),
        }
    }
}

/// A step as shown.
pub(crate) fn words(step: Step) -> &'static str {
    match step {
        Step::Queued => "queued",
        Step::Starting => "starting the runner",
        Step::Init => "init",
        Step::Planning => "planning",
        Step::Applying => "applying",
        Step::Saving => "saving outputs and results",
        Step::Ended => "ended",
    }
}
