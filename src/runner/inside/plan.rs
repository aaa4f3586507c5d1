//! What changes nothing: a plan, in memory.

use std::os::fd::AsRawFd as _;

use super::call::{Called, Ear};
use super::ear::Heard;
use super::run::Run;
use super::verdict::Failure;
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::stream::Level;
use crate::runner::engine::{Command, document};

impl Run<'_> {
    /// A place for a plan that is never on a disk.
    pub(super) fn plan_in_memory(&mut self) -> Result<String, Failure> {
        let plan =
            rustix::fs::memfd_create("plan", rustix::fs::MemfdFlags::empty()).map_err(|error| {
                Failure::new(
                    FailureClass::Internal,
                    format!("could not hold the plan in memory: {error}"),
                )
            })?;
        let path = format!("/dev/fd/{}", plan.as_raw_fd());
        self.memory.push(plan);
        Ok(path)
    }

    /// Plans into `path`. Exit code 2 says that something changes.
    pub(super) fn planned(&mut self, path: &str) -> Result<(Called, Box<Heard>), Failure> {
        self.step(Step::Planning);
        let limits = self.limits(self.job.deadlines.plan, None);
        let command = Command::Plan { out: path };
        let (called, heard) = self.first(&command, limits, || Heard::new(false))?;
        self.facts.outputs_changed = heard.outputs_changed;
        self.judge(&called, &heard, FailureClass::PlanFailed, "plan", &[0, 2])?;
        Ok((called, heard))
    }

    /// Plans and shows it.
    pub(super) fn plan(&mut self) -> Result<Outcome, Failure> {
        let path = self.plan_in_memory()?;
        let (_, heard) = self.planned(&path)?;
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
}
