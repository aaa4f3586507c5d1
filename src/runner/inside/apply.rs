//! What changes things: deploy and destroy.

use std::time::{Duration, Instant};

use super::call::{Ear, Limits};
use super::child::Exit;
use super::ear::Heard;
use super::run::Run;
use super::verdict::Failure;
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::stream::Level;
use crate::runner::engine::{Command, document};
use crate::runner::event::Kind;
use crate::runner::job::Action;

/// What an engine leaves that could not write its state.
const ERRORED: &str = "errored.tfstate";
/// Name of the shortcut in the run record.
const SHORTCUT: &str = "plan";

impl Run<'_> {
    /// Brings everything to what the bundle says.
    pub(super) fn deploy(&mut self) -> Result<Outcome, Failure> {
        let (heard, result) = if self.job.shortcuts.one_process {
            self.facts.note(SHORTCUT, "one process with the apply");
            self.change(&Command::Apply, "apply", FailureClass::ApplyFailed)?
        } else {
            self.facts
                .note(SHORTCUT, "a process of its own: switched off");
            self.plan_and_apply()?
        };
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
            if let Err(failure) = self.outputs(&heard)
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
        let deadlines = self.job.deadlines;
        let applying = match self.job.action {
            Action::Destroy => deadlines.destroy,
            _ => deadlines.apply,
        };
        let limits = Limits {
            grace: Duration::from_secs(deadlines.grace),
            ..self.limits(deadlines.plan, Some(applying))
        };
        let (called, heard) = self.first(command, limits, || Heard::new(true))?;
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

    /// Plans into memory, then carries that plan out, unless it changes nothing.
    fn plan_and_apply(&mut self) -> Result<(Box<Heard>, Result<(), Failure>), Failure> {
        let plan = self.plan_in_memory()?;
        let (called, heard) = self.planned(&plan)?;
        if called.exit == Exit::Code(0) {
            return Ok((heard, Ok(())));
        }
        self.spool.say(Kind::Step(Step::Applying));
        let deadlines = self.job.deadlines;
        let limits = Limits {
            grace: Duration::from_secs(deadlines.grace),
            ..self.limits(deadlines.apply, None)
        };
        let mut ear = Ear::Stream(Box::new(Heard::carrying_out(&heard)));
        let called = self.engine(&Command::ApplyPlan { plan: &plan }, &mut ear, limits)?;
        let Ear::Stream(heard) = ear else {
            return Err(Failure::new(FailureClass::Internal, "the stream was lost"));
        };
        let counts = heard.counts();
        self.facts.counts = (counts.add, counts.change, counts.remove);
        self.facts.clean = matches!(called.exit, Exit::Code(0 | 1)) && !called.forced;
        let result = self.judge(&called, &heard, FailureClass::ApplyFailed, "apply", &[0]);
        let result = self.rescued(result);
        Ok((heard, result))
    }

    /// A state that the engine could not write to its place is kept, and named.
    fn rescued(&mut self, result: Result<(), Failure>) -> Result<(), Failure> {
        let errored = self.place.work.join(ERRORED);
        if !errored.exists() {
            if let Some(guard) = self.guard.as_mut().filter(|_| self.facts.clean) {
                guard.engine_ended();
            }
            return result;
        }
        if self.pushed() {
            // What it holds is what was made.
            if let Some(guard) = &mut self.guard {
                guard.engine_ended();
            }
            return Err(Failure::new(
                FailureClass::StateWriteFailed,
                "the engine could not write the state at first; what it left was written afterwards, so nothing is lost. Deploy again",
            ));
        }
        self.facts.clean = false;
        let kept = match &self.guard {
            Some(guard) => guard
                .rescue(&errored, &self.job.log_recipients)
                .map_or_else(
                    |error| format!("it could not be kept: {}", error.kind()),
                    |name| {
                        format!(
                            "it is kept as `{name}` in the state directory of the runner's host"
                        )
                    },
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

    /// Tries for a while to write a state that lies elsewhere and that the engine could not write.
    fn pushed(&mut self) -> bool {
        if self
            .guard
            .as_ref()
            .is_none_or(|guard| !guard.is_elsewhere())
        {
            return false;
        }
        // Somebody who asks to stop does not ask to lose it.
        let stop = std::mem::take(&mut self.stop);
        let until = Instant::now() + Duration::from_secs(self.job.deadlines.finish);
        let mut pause = Duration::from_secs(1);
        let pushed = loop {
            let command = Command::StatePush {
                state: ERRORED,
                force: false,
            };
            let limits = self.limits(self.job.deadlines.finish, None);
            match self.document(&command, limits) {
                Ok(_) => break true,
                Err(_) if Instant::now() + pause >= until => break false,
                Err(failure) => {
                    let line =
                        format!("windlass: writing the state once more: {}", failure.message);
                    self.log.line(self.spool, Level::Warn, &line);
                }
            }
            self.log.tick(self.spool, Instant::now());
            self.spool.flush();
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(30));
        };
        self.stop |= stop;
        pushed
    }

    /// Destroys everything in the state.
    pub(super) fn destroy(&mut self) -> Result<Outcome, Failure> {
        let (_, result) = self.change(&Command::Destroy, "destroy", FailureClass::DestroyFailed)?;
        result?;
        self.step(Step::Saving);
        let here = self.guard.as_ref().filter(|guard| !guard.is_elsewhere());
        let left = if let Some(guard) = here {
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
}
