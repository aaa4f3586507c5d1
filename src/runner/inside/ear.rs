//! What the supervisor makes of an engine's stream: events in clear, words into the sealed log, entries of the journal.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::guard::Guard;
use super::log::Log;
use super::prepare;
use super::spool::Spool;
use crate::model::phase::Step;
use crate::runner::engine::stream::{self, Change, Level, Lines, Piece, Said, Summary};
use crate::runner::engine::{self, document, words};
use crate::runner::event::Kind;
use crate::runner::job::Label;
use crate::wire::deployments::{Progress, ResourceEvent, RunDiagnostic};

/// Diagnostics that are told in clear; the log has all of them.
const MAX_DIAGNOSTICS: u32 = 200;

/// Where what is heard goes.
pub(crate) struct Desk<'a> {
    pub(crate) spool: &'a mut Spool,
    pub(crate) log: &'a mut Log,
    pub(crate) guard: Option<&'a mut Guard>,
    pub(crate) labels: &'a BTreeMap<String, Label>,
}

/// What was heard of one command.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Version of the engine.
    pub(crate) version: Option<String>,
    /// The plan's counts: from here on the engine applies.
    pub(crate) planned: Option<Summary>,
    /// Counts of what was done.
    pub(crate) applied: Option<Summary>,
    /// Whether the plan changes an output.
    pub(crate) outputs_changed: bool,
    /// The last `outputs` line.
    pub(crate) outputs: Map<String, Value>,
    /// Who holds the state lock.
    pub(crate) lock: Option<String>,
    /// Whether the state is another one than that which was planned on.
    pub(crate) stale: bool,
    /// Errors.
    pub(crate) errors: u32,
    /// Whether a provider is in no place where it was looked for.
    pub(crate) provider_missing: bool,
    /// Whether a `local-exec` could not do its work.
    pub(crate) local_exec: bool,
    /// Whether the engine does not know `-json` here.
    pub(crate) too_old: bool,
    /// Whether the engine refuses what was prepared for it.
    pub(crate) refused: bool,
    /// A stream that we do not understand.
    pub(crate) foreign: Option<u32>,
    /// Changes that were done, by what they do; for when there is no summary.
    done: Summary,
    progress: Progress,
    said_progress: Progress,
    diagnostics: u32,
    lines: Lines,
    /// Whether changes are carried out by this command, so that its plan's end is the beginning of applying.
    applies: bool,
    /// Diagnostics that are told only when it is clear that the engine does not just refuse a preparation.
    held: Option<Vec<RunDiagnostic>>,
}

impl Heard {
    /// For a command that applies (or destroys), or one that does not.
    pub(crate) fn new(applies: bool) -> Self {
        Self {
            applies,
            ..Self::default()
        }
    }

    /// Tells no diagnostic until [`Heard::release`], or until the engine has a plan.
    pub(crate) fn holding_back(mut self) -> Self {
        self.held = Some(Vec::new());
        self
    }

    /// For a command that carries out what `plan` heard.
    pub(crate) fn carrying_out(plan: &Self) -> Self {
        Self {
            planned: plan.planned,
            outputs_changed: plan.outputs_changed,
            outputs: plan.outputs.clone(),
            progress: plan.progress,
            said_progress: plan.said_progress,
            ..Self::new(true)
        }
    }

    /// Tells what was held back.
    pub(crate) fn release(&mut self, spool: &mut Spool) {
        for diagnostic in self.held.take().unwrap_or_default() {
            spool.say(Kind::Diagnostic(diagnostic));
        }
    }

    /// Whether the command carries changes out.
    pub(crate) fn applies(&self) -> bool {
        self.applies
    }

    /// What was changed: as summed up by the engine, else as counted.
    pub(crate) fn counts(&self) -> Summary {
        self.applied.unwrap_or(self.done)
    }

    /// Takes bytes of the stream.
    pub(crate) fn bytes(&mut self, desk: &mut Desk<'_>, bytes: &[u8]) {
        let mut pieces = Vec::new();
        self.lines.push(bytes, &mut pieces);
        for piece in pieces {
            self.piece(desk, piece);
        }
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self, desk: &mut Desk<'_>) {
        if let Some(piece) = self.lines.finish() {
            self.piece(desk, piece);
        }
        self.say_progress(desk.spool);
    }

    /// Tells progress, if there is any.
    pub(crate) fn say_progress(&mut self, spool: &mut Spool) {
        if self.progress != self.said_progress {
            self.said_progress = self.progress;
            spool.say(Kind::Progress(self.progress));
        }
    }

    fn piece(&mut self, desk: &mut Desk<'_>, piece: Piece) {
        match piece {
            Piece::Line(line) => {
                let line = stream::read(&line);
                self.too_old |= line.said == Said::Text && engine::lacks_json(&line.words);
                self.said(desk, &line.said);
                let level = match &line.said {
                    // What a refresh does is of interest only to who looks for it.
                    Said::Other if line.words.contains(": Refresh") => Level::Debug,
                    _ => line.level,
                };
                desk.log.line(desk.spool, level, &line.words);
            }
            Piece::Part(bytes, ends) => {
                desk.log.text(desk.spool, Level::Info, &bytes);
                if ends {
                    desk.log.text(desk.spool, Level::Info, b"\n");
                }
            }
        }
    }

    fn said(&mut self, desk: &mut Desk<'_>, said: &Said) {
        match said {
            Said::Version { ui_major, engine } => {
                self.version.clone_from(engine);
                self.foreign = ui_major.filter(|major| *major != 1);
            }
            Said::Planned(change) => tell(desk.spool, change, "planned"),
            Said::Started(change) => {
                if let Some(guard) = desk.guard.as_deref_mut() {
                    guard.started(change);
                }
                tell(desk.spool, change, "started");
            }
            Said::Done(change) => {
                if let Some(guard) = desk.guard.as_deref_mut() {
                    guard.done(change);
                }
                match change.action.as_str() {
                    "create" => self.done.add += 1,
                    "update" => self.done.change += 1,
                    "delete" => self.done.remove += 1,
                    _ => {}
                }
                if change.action != "read" {
                    self.progress.done += 1;
                    self.progress.total = self.progress.total.max(self.progress.done);
                }
                tell(desk.spool, change, "done");
            }
            Said::Errored(change) => {
                if let Some(guard) = desk.guard.as_deref_mut() {
                    guard.errored(change);
                }
                tell(desk.spool, change, "failed");
            }
            Said::Summary(summary) if summary.planned => {
                self.release(desk.spool);
                self.planned = Some(*summary);
                self.progress.total = summary.add + summary.change + summary.remove;
                self.say_progress(desk.spool);
                if self.applies {
                    desk.spool.say(Kind::Step(Step::Applying));
                }
            }
            Said::Summary(summary) => self.applied = Some(*summary),
            Said::Outputs(outputs) => {
                self.outputs_changed |= document::outputs_change(outputs);
                self.outputs.clone_from(outputs);
            }
            Said::Diagnostic(diagnostic) => {
                if diagnostic.error {
                    self.errors += 1;
                    self.refused |= prepare::is_refusal(diagnostic);
                    self.provider_missing |= [
                        "Failed to query available provider packages",
                        // OpenTofu's words where the lock file names the version.
                        "Failed to resolve provider packages",
                        "Failed to install provider",
                    ]
                    .contains(&diagnostic.summary.as_str());
                    self.local_exec |= diagnostic.summary == "local-exec provisioner error";
                    self.stale |= [
                        "Saved plan is stale",
                        "Saved plan does not match the given state",
                    ]
                    .contains(&diagnostic.summary.as_str());
                    if let Some(holder) = words::lock_holder(diagnostic) {
                        self.lock = Some(holder);
                    }
                }
                self.diagnostics += 1;
                if self.diagnostics <= MAX_DIAGNOSTICS {
                    let clear = words::in_clear(diagnostic, desk.labels);
                    match &mut self.held {
                        Some(held) => held.push(clear),
                        None => {
                            desk.spool.say(Kind::Diagnostic(clear));
                        }
                    }
                }
            }
            Said::Other | Said::Text => {}
        }
    }

    /// Takes bytes of standard error.
    pub(crate) fn error_bytes(&mut self, bytes: &[u8]) {
        self.too_old |= engine::lacks_json(&String::from_utf8_lossy(bytes));
    }
}

fn tell(spool: &mut Spool, change: &Change, state: &str) {
    spool.say(Kind::Resource(ResourceEvent {
        address: change.address.clone(),
        action: change.action.clone(),
        state: state.to_owned(),
    }));
}
