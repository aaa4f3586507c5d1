//! The phases of one run: `init`, then what the job asks for, then what is told about it.
//!
//! A deploy is one engine process (`apply -auto-approve`), and one more where somebody asks for outputs. A plan never
//! touches the state directory: it works on a copy in memory.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use super::call::{Called, Ear, Limits};
use super::child::{Exit, Word};
use super::ear::Heard;
use super::guard::{self, Guard, Open};
use super::log::{self, Log};
use super::place::{self, Place};
use super::spool::Spool;
use crate::hcl::LOCK_FILE;
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::stream::Level;
use crate::runner::engine::{Command, Kind as EngineKind, document};
use crate::runner::event::{Finished, Kind};
use crate::runner::job::{Action, Job};
use crate::wire::deployments::{RunRecord, StreamName};

/// Patience with an engine that changes nothing.
const SHORT_GRACE: u64 = 60;
/// A lock file is no longer than this.
const MAX_LOCK_FILE: u64 = 4 * 1024 * 1024;

/// One run, going on.
pub(crate) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) spool: &'a mut Spool,
    pub(super) log: Log,
    pub(super) guard: Option<Guard>,
    pub(super) place: Place,
    pub(super) program: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) words: &'a Receiver<Word>,
    pub(super) sender: SyncSender<Word>,
    /// Somebody asked to stop.
    pub(super) stop: bool,
    /// Engine processes started.
    pub(super) processes: u32,
    /// When the first one was.
    pub(super) started: Option<Instant>,
    kind: EngineKind,
    /// Plans and the state that a plan looks at, in memory.
    memory: Vec<OwnedFd>,
    /// How often the memory limit had killed something before.
    memory_kills: u64,
    facts: Facts,
}

/// What is told at the end.
#[derive(Default)]
struct Facts {
    version: String,
    init: String,
    outputs_changed: bool,
    counts: (u64, u64, u64),
    metadata: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    lock_file: Option<String>,
    state_empty: bool,
    total: Option<u64>,
    open: Open,
    /// Whether every engine that may change the state ended by itself.
    clean: bool,
}

/// Why a run did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) class: Option<FailureClass>,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            class: Some(class),
            message: message.into(),
        }
    }
}

impl From<guard::GuardError> for Failure {
    fn from(error: guard::GuardError) -> Self {
        Self::new(FailureClass::StateWriteFailed, error.to_string())
    }
}

/// What a run is made of.
pub(crate) struct Parts<'a> {
    pub(crate) job: &'a Job,
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) spool: &'a mut Spool,
    pub(crate) options: &'a super::Options,
    pub(crate) words: &'a Receiver<Word>,
    pub(crate) sender: SyncSender<Word>,
    pub(crate) accepted: Instant,
}

/// Carries a run out and says its end, but for `Finished` itself.
pub(crate) fn carry_out(parts: Parts<'_>) -> Finished {
    let accepted = parts.accepted;
    let launcher = parts.options.launcher.clone();
    let finished =
        |facts: Facts, kind: Option<EngineKind>, result, processes, started: Option<Instant>| {
            let (outcome, class, message) = match result {
                Ok(outcome) => (outcome, None, String::new()),
                Err(Failure {
                    outcome,
                    class,
                    message,
                }) => (outcome, class, message),
            };
            let millis = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            Finished {
                outcome,
                failure_class: class,
                message,
                total: facts.total,
                added: facts.counts.0,
                changed: facts.counts.1,
                removed: facts.counts.2,
                metadata: facts.metadata,
                lock_file: facts.lock_file,
                state_empty: facts.state_empty,
                unrecorded: facts.open.unrecorded,
                in_flight: facts.open.in_flight,
                record: RunRecord {
                    engine: kind.map_or_else(String::new, |kind| kind.as_str().to_owned()),
                    engine_version: facts.version,
                    engine_processes: processes,
                    init: facts.init,
                    outputs_changed: facts.outputs_changed,
                    started_ms: started.map_or(0, |at| millis(at - accepted)),
                    total_ms: millis(accepted.elapsed()),
                    launcher,
                },
            }
        };
    let mut run = match Run::begin(parts) {
        Ok(run) => run,
        Err(failure) => return finished(Facts::default(), None, Err(failure), 0, None),
    };
    let result = run.phases();
    let result = run.settle(result);
    if let Err(failure) = &result
        && !failure.message.is_empty()
    {
        let line = format!("windlass: {}", failure.message);
        run.log.line(run.spool, Level::Error, &line);
    }
    run.place.leave();
    let Run {
        log,
        spool,
        facts,
        kind,
        processes,
        started,
        ..
    } = run;
    log.finish(spool);
    finished(facts, Some(kind), result, processes, started)
}

impl<'a> Run<'a> {
    fn begin(parts: Parts<'a>) -> Result<Self, Failure> {
        let Parts {
            job,
            files,
            spool,
            options,
            words,
            sender,
            ..
        } = parts;
        let log = Log::begin(spool, job)
            .map_err(|error| Failure::new(FailureClass::ConfigInvalid, error.to_string()))?;
        let (kind, program) = place::find(job.engine.as_deref(), &options.engines)
            .map_err(|message| Failure::new(FailureClass::EngineMissing, message))?;
        let broken = |what: &'static str| {
            move |error: std::io::Error| {
                Failure::new(
                    FailureClass::Internal,
                    format!("could not {what}: {}", error.kind()),
                )
            }
        };
        let mut memory = Vec::new();
        let linked = (job.local_state && job.action != Action::Plan).then_some(&*options.state);
        let place = Place::make(&options.spool, linked, options.mirror.as_deref(), job)
            .map_err(broken("make the work directory"))?;
        super::intake::unpack(&place.work, files).map_err(broken("unpack the bundle"))?;
        let mut guard = None;
        let mut open = Open::default();
        if job.local_state && job.action == Action::Plan {
            let (state, found) = guard::look(&options.state)?;
            open = found;
            memory.push(
                place
                    .state_in_memory(&state)
                    .map_err(broken("hold the state in memory"))?,
            );
        } else if job.local_state {
            guard = Some(Guard::begin(&options.state, &job.run, job.attempt)?);
        }
        let environment = place.environment(job, place::memory_limit());
        Ok(Self {
            job,
            spool,
            log,
            guard,
            place,
            program,
            environment,
            words,
            sender,
            stop: false,
            processes: 0,
            started: None,
            kind,
            memory,
            memory_kills: place::memory_kills().unwrap_or(0),
            facts: Facts {
                open,
                clean: true,
                ..Facts::default()
            },
        })
    }

    fn step(&mut self, step: Step) {
        self.spool.say(Kind::Step(step));
        self.spool.sync_soon();
    }

    fn phases(&mut self) -> Result<Outcome, Failure> {
        self.init()?;
        match self.job.action {
            Action::Deploy => self.deploy(),
            Action::Plan => self.plan(),
            Action::Destroy => self.destroy(),
        }
    }

    /// Starts the engine on a guarded state.
    fn engine(
        &mut self,
        command: &Command<'_>,
        ear: &mut Ear,
        limits: Limits,
    ) -> Result<Called, Failure> {
        self.heed();
        if self.stop {
            return Err(cancelled(false));
        }
        let guarded = self.guard.as_mut().map_or(Ok(()), Guard::before_engine);
        self.tell_notes();
        guarded?;
        self.call(command, ear, limits).map_err(|error| {
            Failure::new(
                FailureClass::EngineMissing,
                format!(
                    "the engine `{}` cannot be started: {}",
                    self.program.display(),
                    error.kind()
                ),
            )
        })
    }

    /// Takes note of a request that came between two engines.
    fn heed(&mut self) {
        while let Ok(word) = self.words.try_recv() {
            if matches!(word, Word::Stop) {
                self.stop = true;
            }
        }
    }

    fn tell_notes(&mut self) {
        let notes = self
            .guard
            .as_mut()
            .map(|guard| std::mem::take(&mut guard.notes))
            .unwrap_or_default();
        for note in notes {
            let line = format!("windlass: {note}");
            self.log.line(self.spool, Level::Warn, &line);
        }
    }

    /// Whether `init` runs, and why. It always does until preparing its results is proved to be equal.
    fn init_needed(&self) -> (bool, &'static str) {
        (true, "ran")
    }

    fn init(&mut self) -> Result<(), Failure> {
        let (needed, reason) = self.init_needed();
        self.facts.init = reason.to_owned();
        if !needed {
            return Ok(());
        }
        self.step(Step::Init);
        let limits = self.limits(self.job.deadlines.init, None);
        let mut ear = Ear::Stream(Box::new(Heard::new(false)));
        let mut called = self.engine(&Command::Init { json: true }, &mut ear, limits)?;
        if called.exit == Exit::Code(1)
            && let Ear::Stream(heard) = &ear
            && heard.too_old
        {
            ear = Ear::Stream(Box::new(Heard::new(false)));
            called = self.engine(&Command::Init { json: false }, &mut ear, limits)?;
        }
        let Ear::Stream(heard) = ear else {
            return Ok(());
        };
        if let Some(version) = &heard.version {
            self.facts.version.clone_from(version);
        }
        self.judge(&called, &heard, FailureClass::InitFailed, "init", &[0])
            .map_err(|mut failure| {
                if heard.provider_missing && failure.class == Some(FailureClass::InitFailed) {
                    failure.message = if self.job.allow_downloads {
                        "`init` failed: a provider that the bundle requires could not be had from the provider mirror or from its registry".to_owned()
                    } else {
                        "`init` failed: a provider that the bundle requires is not in the provider mirror, and downloads are not allowed here; add it to the mirror or allow downloads".to_owned()
                    };
                }
                failure
            })?;
        let (downloaded, linked) = self.place.downloaded();
        self.facts.init = match (downloaded.is_empty(), linked) {
            (true, 0) => format!("{reason}; no providers needed"),
            (true, 1) => format!("{reason}; 1 provider from the mirror"),
            (true, linked) => format!("{reason}; {linked} providers from the mirror"),
            (false, _) => format!(
                "{reason}; {linked} providers from the mirror; downloaded {}",
                downloaded.join(", ")
            ),
        };
        let lock = self.place.work.join(LOCK_FILE);
        if std::fs::metadata(&lock).is_ok_and(|metadata| metadata.len() <= MAX_LOCK_FILE) {
            self.facts.lock_file = std::fs::read_to_string(&lock).ok();
        }
        Ok(())
    }

    fn deploy(&mut self) -> Result<Outcome, Failure> {
        let (heard, result) = self.change(&Command::Apply, "apply", FailureClass::ApplyFailed)?;
        self.step(Step::Saving);
        let stopped = matches!(
            &result,
            Err(Failure {
                outcome: Outcome::Cancelled,
                ..
            })
        );
        // Also after a failed apply: what exists has outputs. Not where the plan already failed, and nothing changed.
        if !stopped && heard.planned.is_some() {
            if let Err(failure) = self.outputs()
                && result.is_ok()
            {
                return Err(failure);
            }
            if self.facts.metadata.is_empty()
                && let Some(metadata) = document::metadata_of_stream(&heard.outputs)
            {
                self.facts.metadata = metadata;
            }
        }
        result?;
        Ok(if heard.counts().is_empty() && !heard.outputs_changed {
            Outcome::Unchanged
        } else {
            Outcome::Applied
        })
    }

    /// Applies or destroys. Outer error: the engine never ran; inner one: it did.
    fn change(
        &mut self,
        command: &Command<'_>,
        name: &'static str,
        class: FailureClass,
    ) -> Result<(Box<Heard>, Result<(), Failure>), Failure> {
        self.step(Step::Planning);
        let mut ear = Ear::Stream(Box::new(Heard::new(true)));
        let deadlines = self.job.deadlines;
        let applying = match self.job.action {
            Action::Destroy => deadlines.destroy,
            Action::Deploy | Action::Plan => deadlines.apply,
        };
        let limits = Limits {
            grace: Duration::from_secs(deadlines.grace),
            ..self.limits(deadlines.plan, Some(applying))
        };
        let called = self.engine(command, &mut ear, limits)?;
        let Ear::Stream(heard) = ear else {
            return Err(Failure::new(FailureClass::Internal, "the stream was lost"));
        };
        if let Some(version) = &heard.version {
            self.facts.version.clone_from(version);
        }
        self.facts.outputs_changed = heard.outputs_changed;
        let counts = heard.counts();
        self.facts.counts = (counts.add, counts.change, counts.remove);
        let class = if heard.planned.is_none() && class == FailureClass::ApplyFailed {
            FailureClass::PlanFailed
        } else {
            class
        };
        let name = if class == FailureClass::PlanFailed {
            "plan"
        } else {
            name
        };
        self.facts.clean = matches!(called.exit, Exit::Code(0 | 1)) && !called.forced;
        let result = self.judge(&called, &heard, class, name, &[0]);
        let result = self.rescued(result);
        Ok((heard, result))
    }

    /// A state that the engine could not write to its place is kept, and named.
    fn rescued(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        let errored = self.place.work.join("errored.tfstate");
        if !errored.exists() {
            return result;
        }
        self.facts.clean = false;
        let kept = match &self.guard {
            Some(guard) => guard.rescue(&errored).map_or_else(
                |error| format!("it could not be kept: {}", error.kind()),
                |name| format!("it is kept as `{name}` in the state directory"),
            ),
            None => {
                "it is lost with the work directory; the log says what the engine did".to_owned()
            }
        };
        Err(Failure::new(
            FailureClass::StateWriteFailed,
            format!("the engine could not write the state; {kept}"),
        ))
    }

    fn plan(&mut self) -> Result<Outcome, Failure> {
        self.step(Step::Planning);
        let plan =
            rustix::fs::memfd_create("plan", rustix::fs::MemfdFlags::empty()).map_err(|error| {
                Failure::new(
                    FailureClass::Internal,
                    format!("could not hold the plan in memory: {error}"),
                )
            })?;
        let path = format!("/dev/fd/{}", plan.as_raw_fd());
        self.memory.push(plan);
        let limits = self.limits(self.job.deadlines.plan, None);
        let mut ear = Ear::Stream(Box::new(Heard::new(false)));
        let called = self.engine(&Command::Plan { out: &path }, &mut ear, limits)?;
        let Ear::Stream(heard) = ear else {
            return Err(Failure::new(FailureClass::Internal, "the stream was lost"));
        };
        if let Some(version) = &heard.version {
            self.facts.version.clone_from(version);
        }
        self.facts.outputs_changed = heard.outputs_changed;
        self.judge(&called, &heard, FailureClass::PlanFailed, "plan", &[0, 2])?;
        let counts = heard.planned.unwrap_or_default();
        self.facts.counts = (counts.add, counts.change, counts.remove);

        self.step(Step::Saving);
        let limits = self.limits(self.job.deadlines.finish, None);
        if !self.job.output_recipients.is_empty() {
            let document = self.document(&Command::ShowJson { plan: &path }, limits)?;
            let planned = document::planned(&document)
                .map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
            self.facts.outputs_changed |= planned.outputs_changed;
            self.seal_outputs(&planned.workloads)?;
        }
        if !self.job.log_recipients.is_empty() {
            self.log.line(self.spool, Level::Error, "");
            self.engine(&Command::ShowText { plan: &path }, &mut Ear::Text, limits)?;
        }
        Ok(Outcome::Planned)
    }

    fn destroy(&mut self) -> Result<Outcome, Failure> {
        let (_, result) = self.change(&Command::Destroy, "destroy", FailureClass::DestroyFailed)?;
        result?;
        self.step(Step::Saving);
        let left = if let Some(guard) = &self.guard {
            guard.state().map(|state| state.managed)
        } else {
            let limits = self.limits(self.job.deadlines.finish, None);
            let listed = self.document(&Command::StateList, limits)?;
            Some(
                String::from_utf8_lossy(&listed)
                    .lines()
                    .filter(|line| !line.trim().is_empty())
                    .count() as u64,
            )
        };
        match left {
            Some(0) => {
                self.facts.state_empty = true;
                Ok(Outcome::Destroyed)
            }
            Some(left) => Err(Failure::new(
                FailureClass::DestroyFailed,
                format!("`destroy` ended well, but the state still holds {left} resources"),
            )),
            None => Err(Failure::new(
                FailureClass::StateWriteFailed,
                "`destroy` ended well, but the state cannot be read afterwards",
            )),
        }
    }

    /// Reads outputs where somebody asked for them, and seals them.
    fn outputs(&mut self) -> Result<(), Failure> {
        if self.job.output_recipients.is_empty() {
            return Ok(());
        }
        let limits = self.limits(self.job.deadlines.finish, None);
        let document = self.document(&Command::Output, limits)?;
        let outputs = document::outputs(&document)
            .map_err(|error| Failure::new(FailureClass::ApplyFailed, error.to_string()))?;
        self.facts.metadata = outputs.metadata;
        self.seal_outputs(&outputs.workloads)
    }

    fn seal_outputs(
        &mut self,
        workloads: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Failure> {
        let document = serde_json::to_vec(workloads).unwrap_or_default();
        log::seal_whole(
            self.spool,
            self.job,
            StreamName::Outputs,
            &self.job.output_recipients,
            &document,
        )
        .map_err(|error| Failure::new(FailureClass::ConfigInvalid, error.to_string()))
    }

    fn document(&mut self, command: &Command<'_>, limits: Limits) -> Result<Vec<u8>, Failure> {
        let mut ear = Ear::Document(Vec::new());
        let called = self.engine(command, &mut ear, limits)?;
        let class = match self.job.action {
            Action::Deploy => FailureClass::ApplyFailed,
            Action::Plan => FailureClass::PlanFailed,
            Action::Destroy => FailureClass::DestroyFailed,
        };
        self.judge(&called, &Heard::new(false), class, command.name(), &[0])?;
        match ear {
            Ear::Document(document) => Ok(document),
            Ear::Stream(_) | Ear::Text => Ok(Vec::new()),
        }
    }

    fn limits(&self, deadline: u64, applying: Option<u64>) -> Limits {
        Limits {
            deadline: Duration::from_secs(deadline),
            applying: applying.map(Duration::from_secs),
            grace: Duration::from_secs(self.job.deadlines.grace.min(SHORT_GRACE)),
        }
    }

    /// Whether a call went well, and else why not.
    fn judge(
        &self,
        called: &Called,
        heard: &Heard,
        class: FailureClass,
        name: &str,
        good: &[i32],
    ) -> Result<(), Failure> {
        if let Exit::Code(code) = called.exit
            && good.contains(&code)
            && !called.forced
        {
            return match heard.foreign {
                Some(major) => Err(Failure::new(
                    class,
                    format!(
                        "the engine speaks version {major} of its JSON stream, which this Windlass does not know"
                    ),
                )),
                None => Ok(()),
            };
        }
        if called.timed_out {
            return Err(Failure::new(
                FailureClass::Timeout,
                format!(
                    "`{name}` took longer than the {} s it is allowed and was stopped{}",
                    called.allowed.as_secs(),
                    if called.forced { ", by force" } else { "" }
                ),
            ));
        }
        let starved = place::memory_kills().unwrap_or(0) > self.memory_kills;
        if starved {
            let limit = place::memory_limit()
                .map_or_else(String::new, |limit| format!(" of {} MiB", limit >> 20));
            return Err(Failure::new(
                FailureClass::OutOfMemory,
                format!(
                    "the memory limit{limit} was hit during `{name}`; raise `memory_bytes` of the runner"
                ),
            ));
        }
        if self.stop {
            return Err(cancelled(called.forced));
        }
        match called.exit {
            Exit::Signal(signal) => Err(Failure::new(
                FailureClass::Killed,
                format!("the engine was killed by signal {signal} during `{name}`"),
            )),
            Exit::Code(code) => Err(match &heard.lock {
                Some(holder) => Failure::new(
                    FailureClass::LockHeld,
                    format!("{holder}; wait for it, or find out why it did not let go"),
                ),
                None if heard.local_exec && !Path::new("/bin/sh").exists() => Failure::new(
                    class,
                    format!(
                        "`{name}` failed: a module uses `local-exec`, and this runner has no `/bin/sh`; install a static shell (Debian: `busybox-static`) where the image is built, and build it again with `windlass runner-image build`"
                    ),
                ),
                None if heard.errors > 0 => Failure::new(
                    class,
                    format!(
                        "`{name}` failed with {} error{}; the log has the engine's words",
                        heard.errors,
                        if heard.errors == 1 { "" } else { "s" }
                    ),
                ),
                None => Failure::new(
                    class,
                    format!("`{name}` ended with exit code {code}; the log has the engine's words"),
                ),
            }),
        }
    }

    /// Works out what is open and what the state holds, whatever happened.
    fn settle(&mut self, result: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
        let clean = self.facts.clean;
        let ended = self
            .guard
            .as_mut()
            .map(|guard| (guard.end(clean), guard.state()));
        self.tell_notes();
        let Some((open, state)) = ended else {
            return result;
        };
        self.facts.total = state.map(|state| state.managed);
        match open {
            Ok(open) => {
                self.facts.open = open;
                result
            }
            // What went wrong before says more.
            Err(error) => result.and_then(|_| Err(error.into())),
        }
    }
}

fn cancelled(forced: bool) -> Failure {
    Failure {
        outcome: Outcome::Cancelled,
        class: None,
        message: if forced {
            "stopped on request; the engine did not end in time and was made to".to_owned()
        } else {
            "stopped on request".to_owned()
        },
    }
}
