//! One run from its beginning to what is told about it. [`ready`](super::ready) makes the work directory ready, then come
//! [`apply`](super::apply) or [`plan`](super::plan), then [`outputs`](super::outputs).
//!
//! A deploy is one engine process (`apply -auto-approve`) wherever that is possible. A plan never touches the state
//! directory: it works on a copy in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use super::call::{Called, Ear, Limits};
use super::child::Word;
use super::encryption;
use super::guard::{self, Guard};
use super::log::Log;
use super::place::{self, Place};
use super::prepare::{self, Prepared};
use super::spool::Spool;
use super::verdict::{Failure, cancelled};
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::stream::Level;
use crate::runner::engine::{Command, Kind as EngineKind};
use crate::runner::event::{Finished, Kind};
use crate::runner::host::advice;
use crate::runner::job::{Action, Job};
use crate::runner::memory_setting;
use crate::wire::deployments::RunRecord;
use crate::wire::state::Open;

/// Patience with an engine that changes nothing.
const SHORT_GRACE: u64 = 60;

/// One run, going on.
pub(crate) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) spool: &'a mut Spool,
    pub(super) log: Log,
    pub(super) guard: Option<Guard>,
    pub(super) place: Place,
    pub(super) program: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    /// The same for a state that is not with the server; only of a move, which reaches two.
    pub(super) environment_elsewhere: BTreeMap<String, String>,
    /// Whether the engine works on the state that is with the server, where there is one.
    pub(super) asks_server: bool,
    /// Where states lie on this host.
    pub(super) state_dir: PathBuf,
    pub(super) words: &'a Receiver<Word>,
    pub(super) sender: SyncSender<Word>,
    /// Somebody asked to stop.
    pub(super) stop: bool,
    /// Engine processes started.
    pub(super) processes: u32,
    /// When the first one was.
    pub(super) started: Option<Instant>,
    pub(super) kind: EngineKind,
    /// The bundle.
    pub(super) files: &'a BTreeMap<String, Vec<u8>>,
    /// Providers that the state named at the beginning.
    pub(super) in_state: BTreeSet<String>,
    /// What was prepared instead of `init`, as long as it stands.
    pub(super) prepared: Option<Prepared>,
    /// The root module, plans, and the state that a plan looks at, in memory.
    pub(super) memory: Vec<OwnedFd>,
    /// How often the memory limit had killed something before, and what raises the limit.
    pub(super) memory_kills: u64,
    pub(super) memory_setting: &'static str,
    pub(super) facts: Facts,
}

/// What is told at the end.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) init: String,
    pub(super) outputs_changed: bool,
    pub(super) counts: (u64, u64, u64),
    pub(super) metadata: BTreeMap<String, serde_json::Map<String, serde_json::Value>>,
    pub(super) lock_file: Option<String>,
    pub(super) state_empty: bool,
    pub(super) total: Option<u64>,
    pub(super) open: Open,
    /// Whether every engine that may change the state ended by itself.
    pub(super) clean: bool,
    /// What was saved and what was not.
    shortcuts: BTreeMap<String, String>,
    /// Key of the preparation.
    pub(super) prepared: String,
    /// How often one was refused.
    pub(super) refusals: u32,
}

impl Facts {
    /// Notes what became of a shortcut; the last word counts.
    pub(super) fn note(&mut self, shortcut: &str, what: impl Into<String>) {
        self.shortcuts.insert(shortcut.to_owned(), what.into());
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
                    shortcuts: facts.shortcuts,
                    prepared: facts.prepared,
                    refusals: facts.refusals,
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
                let todo = advice(&error);
                let class = match todo {
                    "" => FailureClass::Internal,
                    _ => FailureClass::StartFailed,
                };
                Failure::new(class, format!("could not {what}: {error}{todo}"))
            }
        };
        let mut memory = Vec::new();
        let linked = (job.local_state && job.action.applies()).then_some(&*options.state);
        let place = Place::make(&options.spool, linked, options.mirror.as_deref(), job)
            .map_err(broken("make the work directory"))?;
        super::intake::unpack(&place.work, files).map_err(broken("unpack the bundle"))?;
        if let Some(code) = files.get(place::ROOT) {
            memory.push(
                place
                    .root_in_memory(code)
                    .map_err(broken("hold the root module in memory"))?,
            );
        }
        let mut guard = None;
        let mut in_state = BTreeSet::new();
        let mut open = Open::default();
        if job.action == Action::Move {
            // Nothing is applied, so there is nothing to guard.
        } else if job.local_state && job.action == Action::Plan {
            let found = guard::look(&options.state)?;
            open = found.open;
            in_state = prepare::of_state(&found.bytes);
            memory.push(
                place
                    .state_in_memory(&found.bytes)
                    .map_err(broken("hold the state in memory"))?,
            );
        } else if job.local_state {
            guard = Some(Guard::begin(&options.state, &job.run, job.attempt)?);
            in_state = std::fs::read(place.state_file())
                .map(|state| prepare::of_state(&state))
                .unwrap_or_default();
        } else if job.action == Action::Plan {
            open = job.left_open.clone();
        } else {
            let begin =
                |dir: &Path| Guard::begin_elsewhere(dir, &job.run, job.attempt, &job.left_open);
            // In a pod there is no directory that outlives it.
            let made = begin(&options.state).or_else(|_| begin(&options.spool.join("journal")));
            guard = Some(made?);
        }
        let usable = place::Memory::found(job.shortcuts.use_memory);
        let inherited = match options.inherit {
            true => place::inherited(std::env::vars()),
            false => BTreeMap::new(),
        };
        let mut environment_elsewhere = match job.move_to {
            Some(_) => place.environment(job, None, &usable, inherited.clone()),
            None => BTreeMap::new(),
        };
        let mut environment = place.environment(job, job.state.as_ref(), &usable, inherited);
        if let Some((text, held)) = encryption::given(job, kind)? {
            for environment in [&mut environment, &mut environment_elsewhere] {
                environment.insert(encryption::VARIABLE.to_owned(), text.clone());
            }
            memory.extend(held);
        }
        let mut facts = Facts {
            open,
            clean: true,
            ..Facts::default()
        };
        facts.note("memory", usable.in_words());
        Ok(Self {
            job,
            spool,
            log,
            guard,
            place,
            program,
            environment,
            environment_elsewhere,
            asks_server: true,
            state_dir: options.state.clone(),
            words,
            sender,
            stop: false,
            processes: 0,
            started: None,
            kind,
            files,
            in_state,
            prepared: None,
            memory,
            memory_kills: place::memory_kills().unwrap_or(0),
            memory_setting: memory_setting(&options.launcher),
            facts,
        })
    }

    /// Asks the engine for a state that lies elsewhere.
    fn pull(&mut self) -> Result<(), Failure> {
        let limits = self.limits(self.job.deadlines.finish, None);
        let bytes = self.document(&Command::StatePull, limits)?;
        if let Some(guard) = &mut self.guard {
            guard.pulled(bytes);
        }
        Ok(())
    }

    pub(super) fn step(&mut self, step: Step) {
        self.spool.say(Kind::Step(step));
        self.spool.sync_soon();
    }

    fn phases(&mut self) -> Result<Outcome, Failure> {
        self.settled()?;
        match self.job.action {
            Action::Dismiss => return self.dismiss(),
            Action::Move => return self.move_state(),
            _ => {}
        }
        self.ready()?;
        if self.guard.as_ref().is_some_and(Guard::is_elsewhere)
            && matches!(self.job.action, Action::Import | Action::ImportPlan)
        {
            self.pull()?;
        }
        match self.job.action {
            Action::Deploy => self.deploy(),
            Action::Plan => self.plan(),
            Action::Destroy => self.destroy(),
            Action::Import | Action::ImportPlan => self.import(),
            Action::Dismiss => self.dismiss(),
            Action::Move => self.move_state(),
        }
    }

    /// Starts the engine on a guarded state.
    pub(super) fn engine(
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
        let applies = matches!(ear, Ear::Stream(heard) if heard.applies());
        let stream = match self.guard.as_mut().filter(|_| applies) {
            Some(guard) => guard.stream()?,
            None => None,
        };
        self.call(command, ear, limits, stream).map_err(|error| {
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

    pub(super) fn limits(&self, deadline: u64, applying: Option<u64>) -> Limits {
        Limits {
            deadline: Duration::from_secs(deadline),
            applying: applying.map(Duration::from_secs),
            grace: Duration::from_secs(self.job.deadlines.grace.min(SHORT_GRACE)),
        }
    }

    /// Works out what is open and what the state holds, whatever happened.
    fn settle(&mut self, result: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
        let clean = self.facts.clean;
        // What cannot be asked for stays open, and is looked at again when it is settled.
        if self
            .guard
            .as_ref()
            .is_some_and(|guard| guard.needs_state(clean))
        {
            let stop = std::mem::take(&mut self.stop);
            let _ = self.pull();
            self.stop |= stop;
        }
        let ended = self
            .guard
            .as_mut()
            .map(|guard| (guard.end(clean), guard.state()));
        self.tell_notes();
        let Some(((open, written), state)) = ended else {
            return result;
        };
        self.facts.total = state.map(|state| state.managed);
        self.facts.open = open;
        match written {
            // What went wrong before says more.
            Err(error) => result.and_then(|_| Err(error.into())),
            Ok(()) => result,
        }
    }
}
