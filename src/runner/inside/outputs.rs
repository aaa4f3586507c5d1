//! The outputs of a run: from where they are to be had without another engine process, else by asking one.

use super::call::{Ear, Limits};
use super::ear::Heard;
use super::log;
use super::run::Run;
use super::verdict::Failure;
use crate::model::phase::FailureClass;
use crate::runner::engine::{Command, document};
use crate::runner::job::Action;
use crate::wire::deployments::StreamName;

/// Names of the shortcut in the run record.
const SHORTCUT: &str = "outputs";

impl Run<'_> {
    /// Has the outputs where somebody asked for them, and seals them. `heard` is the apply.
    pub(super) fn outputs(&mut self, heard: &Heard) -> Result<(), Failure> {
        if self.job.output_recipients.is_empty() {
            self.facts.note(SHORTCUT, "nobody asked for them");
            return Ok(());
        }
        let outputs = match self.outputs_at_hand(heard) {
            Some(outputs) => outputs,
            None => {
                let limits = self.limits(self.job.deadlines.finish, None);
                let document = self.document(&Command::Output, limits)?;
                document::outputs(&document)
                    .map_err(|error| Failure::new(FailureClass::ApplyFailed, error.to_string()))?
            }
        };
        self.facts.metadata = outputs.metadata;
        self.seal_outputs(&outputs.workloads)
    }

    fn outputs_at_hand(&mut self, heard: &Heard) -> Option<document::Outputs> {
        if !self.job.shortcuts.read_outputs {
            self.facts
                .note(SHORTCUT, "asked of an engine process: switched off");
            return None;
        }
        if heard.applied.is_some()
            && let Some(outputs) = document::outputs_of_stream(&heard.outputs)
        {
            self.facts
                .note(SHORTCUT, "from the engine's stream: none is sensitive");
            return Some(outputs);
        }
        let outputs = self
            .guard
            .is_some()
            .then(|| std::fs::read(self.place.state_file()).ok())
            .flatten()
            .and_then(|state| document::outputs_of_state(&state));
        let why = match &outputs {
            Some(_) => "from the state file",
            None => "asked of an engine process: the state is not at hand",
        };
        self.facts.note(SHORTCUT, why);
        outputs
    }

    pub(super) fn seal_outputs(
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

    pub(super) fn document(
        &mut self,
        command: &Command<'_>,
        limits: Limits,
    ) -> Result<Vec<u8>, Failure> {
        let mut ear = Ear::Document(Vec::new());
        let called = self.engine(command, &mut ear, limits)?;
        let class = match self.job.action {
            Action::Deploy => FailureClass::ApplyFailed,
            Action::Destroy => FailureClass::DestroyFailed,
            Action::Move => FailureClass::StateMoveFailed,
            _ => FailureClass::PlanFailed,
        };
        self.judge(&called, &Heard::new(false), class, command.name(), &[0])?;
        match ear {
            Ear::Document(document) => Ok(document),
            Ear::Stream(_) | Ear::Text => Ok(Vec::new()),
        }
    }
}
