//! Follows a deployment to its end: events over the API, progress on the terminal, log lines opened
//! as they come.
//!
//! A server that goes away, or a connection that is lost, ends nothing: the feed is opened again where it broke off, by
//! the last event that came.
//!
//! Being interrupted detaches: a deployment does not end because nobody looks. On a terminal the first Ctrl-C asks
//! whether it should be stopped as well; the second one detaches without a question.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log_end::LogEnd;
use crate::cli::ask::{self, Choice};
use crate::cli::client::{CallError, Client};
use crate::cli::exit::Advised;
use crate::cli::print::{self, progress::Progress};
use crate::cli::sealed::{Reader, SealedError};
use crate::cli::{Session, cancel, kinds};
use crate::model::phase::Step;
use crate::seal::key::Identity;
use crate::wire::deployments::{Deployment, ResourceEvent, StreamName, What};

/// How long to wait before the feed is opened again.
const REST: Duration = Duration::from_millis(300);
/// For how long the server may be away before following is given up.
const AWAY: Duration = Duration::from_secs(10 * 60);
/// Frames that are opened at most for the end of a log that was not shown; 64 MiB at the worst.
const LAST_FRAMES: u64 = 1000;

/// What to show.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// Opens the log; without it there is none to show.
    pub(crate) log_key: Option<&'a Identity>,
    /// Whether to show it while it is written.
    pub(crate) show_logs: bool,
    /// What Ctrl-C means.
    pub(crate) on_interrupt: OnInterrupt,
}

/// What Ctrl-C means while a deployment is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnInterrupt {
    /// Ask; without a terminal to ask on, leave it running
    #[default]
    Ask,
    /// Leave it running
    Detach,
    /// Stop it, and stay until it has
    Cancel,
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
    /// What its log ends with, where it failed and the key is at hand.
    pub(crate) log: LogEnd,
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
        printer: print::LogPrinter::default(),
        log: LogEnd::default(),
        sealed: (0, 0),
        resources: Vec::new(),
        planned: Vec::new(),
        step: None,
        position: 0,
        is_over: false,
    };
    let mut on_interrupt = watch.on_interrupt;
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut away = Away::default();
    loop {
        let before = tracker.position;
        let looked = tokio::select! {
            biased;
            _ = interrupts.recv() => None,
            looked = tracker.look(client, id) => Some(looked),
        };
        if tracker.position > before {
            away = Away::default();
        }
        let Some(looked) = looked else {
            match interruption(on_interrupt, &mut interrupts).await {
                Interruption::Detach => return Ok(End::Detached),
                Interruption::GoOn => continue,
                Interruption::Cancel => {
                    on_interrupt = OnInterrupt::Detach;
                    // It may have ended meanwhile; how, is seen below.
                    if let Err(error) = cancel::ask(session, id).await {
                        print::warning(format!("{error:#}"));
                    }
                    continue;
                }
            }
        };
        let deployment = match looked {
            Ok(deployment) => deployment,
            Err(error) if client.is_remote() && error.may_pass() => {
                away.lasts(error, id)?;
                tracker.progress.say("the connection is lost, trying again");
                // An interruption meanwhile is heard at the top.
                tokio::time::sleep(REST).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = Away::default();
        if deployment.status != "executing" {
            tracker.end_log(&deployment).await;
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
        // An interruption meanwhile is heard at the top.
        tokio::time::sleep(REST).await;
    }
}

/// A server that does not answer, and since when.
#[derive(Default)]
struct Away {
    since: Option<Instant>,
}

impl Away {
    /// Notes one more failure; an error when there were failures only for too long.
    fn lasts(&mut self, error: CallError, id: &str) -> anyhow::Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        tracing::debug!(%error, "the feed is opened again");
        if since.elapsed() < AWAY {
            return Ok(());
        }
        let why = anyhow::Error::from(error);
        Err(Advised::new(
            format!("{why:#}, for ten minutes; the deployment goes on without this command"),
            [format!("windlass logs {id} --follow")],
        )
        .into())
    }
}

/// What is done about an interruption.
enum Interruption {
    Detach,
    Cancel,
    GoOn,
}

/// Finds out what an interruption means; another one while the question stands detaches.
async fn interruption(meaning: OnInterrupt, again: &mut Signal) -> Interruption {
    match meaning {
        OnInterrupt::Detach => return Interruption::Detach,
        OnInterrupt::Cancel => return Interruption::Cancel,
        OnInterrupt::Ask if !ask::can_ask() => return Interruption::Detach,
        OnInterrupt::Ask => {}
    }
    let question = "Interrupted. The deployment goes on without this command; stop it as well?";
    let choices = [
        Choice {
            letter: 'd',
            words: "detach",
        },
        Choice {
            letter: 'c',
            words: "cancel the deployment",
        },
        Choice {
            letter: 'w',
            words: "go on watching",
        },
    ];
    tokio::select! {
        _ = again.recv() => Interruption::Detach,
        said = ask::choose(question, &choices) => match said {
            Some('c') => Interruption::Cancel,
            Some('w') => Interruption::GoOn,
            Some(_) | None => Interruption::Detach,
        }
    }
}

struct Tracker<'a> {
    progress: Progress,
    reader: Option<Reader<'a>>,
    show_logs: bool,
    printer: print::LogPrinter,
    log: LogEnd,
    /// The newest attempt that sealed log, and the number of its last frame.
    sealed: (u32, u64),
    resources: Vec<ResourceEvent>,
    planned: Vec<ResourceEvent>,
    step: Option<Step>,
    position: i64,
    is_over: bool,
}

impl Tracker<'_> {
    /// Reads the feed until it ends, and then the deployment.
    async fn look(&mut self, client: &Client, id: &str) -> Result<Deployment, CallError> {
        self.feed(client, id).await?;
        let path = format!("deployments/{}", kinds::segment(id));
        client.get(&path).await
    }

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
                last,
            } => {
                self.sealed = (attempt, last);
                if self.show_logs {
                    self.read_log().await;
                }
            }
            What::Sealed { .. } => {}
            What::Retry(why) => {
                self.progress.line(&print::paint(
                    print::CHANGED,
                    format!("Trying again: {}", print::harmless(&why)),
                ));
            }
            What::Waiting(why) => self.progress.line(&print::paint(
                print::CHANGED,
                format!("Waiting: {}", print::harmless(&why)),
            )),
            What::Stopping(_) => self
                .progress
                .line("Asked to stop: the engine finishes what it is at and saves the state."),
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

    /// Reads what is left of the log; of one that was not shown, only the end, and only for a failure.
    async fn end_log(&mut self, deployment: &Deployment) {
        if !self.show_logs && deployment.status == "succeeded" {
            return;
        }
        if let Some(reader) = &mut self.reader
            && !reader.has_begun()
            && self.sealed.1 > LAST_FRAMES
        {
            reader.skip(self.sealed.1 - LAST_FRAMES);
            self.log.begin_later();
        }
        self.read_log().await;
        if let Some(reader) = &self.reader
            && reader.has_begun()
            && reader.must_be_complete(deployment)
        {
            print::warning("the log was cut off: its final frame is missing");
        }
    }

    /// Opens what is new in the log. A log that cannot be read must not end the following.
    async fn read_log(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        if reader
            .attempt()
            .is_some_and(|attempt| self.sealed.0 > attempt)
        {
            reader.restart();
        }
        loop {
            match reader.some().await {
                Ok(Some(bytes)) => {
                    if self.show_logs {
                        self.printer.beside(&bytes);
                    }
                    self.log.push(&bytes);
                }
                Ok(None) => return,
                // The API did not answer; it may at the next word.
                Err(error @ SealedError::Call(_)) => {
                    tracing::debug!(%error, "the log could not be read");
                    return;
                }
                Err(error) => {
                    let why = std::error::Error::source(&error).map(ToString::to_string);
                    print::warning(format!("{error}: {}", why.unwrap_or_default()));
                    self.reader = None;
                    return;
                }
            }
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
