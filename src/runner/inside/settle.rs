//! What killed runs left open: nothing is applied before it is settled, and how a run settles it.
//!
//! Ids go from the journal to the engine through memory: neither the work directory nor the command line has them.

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::call::Ear;
use super::ear::Heard;
use super::guard::Guard;
use super::guard::settle::SettleError;
use super::run::Run;
use super::verdict::Failure;
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::stream::Level;
use crate::runner::engine::{Command, plan_file};
use crate::runner::job::Action;

/// What takes the place of the backend while an import is planned.
const OVERRIDE: &str = "windlass_override.tf";
/// Where the `import` blocks stand in the work directory; no file of a bundle has this name.
const BLOCKS: &str = "windlass_import.tf";

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Guard(error) => error.into(),
            SettleError::Refused(message) => Self::new(FailureClass::ConfigInvalid, message),
        }
    }
}

/// A file in memory that holds these bytes, and the path by which engines read it while it is held.
pub(super) fn memory(name: &'static str, bytes: &[u8]) -> Result<(OwnedFd, String), Failure> {
    let held = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::empty())
        .map_err(std::io::Error::from)
        .and_then(|memory| {
            let mut file = std::fs::File::from(memory);
            file.write_all(bytes)?;
            Ok(OwnedFd::from(file))
        })
        .map_err(broken("hold it in memory"))?;
    let path = format!("/dev/fd/{}", held.as_raw_fd());
    Ok((held, path))
}

pub(super) fn broken(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| {
        Failure::new(
            FailureClass::Internal,
            format!("could not {what}: {}", error.kind()),
        )
    }
}

impl Run<'_> {
    /// Refuses to apply while something is open.
    pub(super) fn settled(&self) -> Result<(), Failure> {
        let open = self.guard.as_ref().map(Guard::open).unwrap_or_default();
        if open.is_empty() || !self.job.action.applies() {
            return Ok(());
        }
        // Only the worker knows the names of the place.
        Err(Failure::new(
            FailureClass::Unsettled,
            open.refusal("PROJECT", "ENV"),
        ))
    }

    fn guarded(&mut self) -> Result<&mut Guard, Failure> {
        self.guard.as_mut().ok_or_else(|| {
            Failure::new(
                FailureClass::ConfigInvalid,
                "this environment keeps its state elsewhere, where nothing is journalled, so there is nothing to settle",
            )
        })
    }

    /// Forgets what is named.
    pub(super) fn dismiss(&mut self) -> Result<Outcome, Failure> {
        self.step(Step::Saving);
        let addresses = &self.job.addresses;
        self.guarded()?.dismiss(addresses)?;
        Ok(Outcome::Unchanged)
    }

    /// Has the engine plan on the state in memory instead of the one that lies elsewhere: it is another one, without the
    /// objects whose places are taken.
    fn plan_here(&mut self) -> Result<(), Failure> {
        let block =
            "terraform {\n  backend \"local\" {\n    path = \"state/terraform.tfstate\"\n  }\n}\n";
        std::fs::write(self.place.work.join(OVERRIDE), block)
            .map_err(broken("have the engine plan here"))?;
        self.again()
    }

    /// Writes a state to where it lies.
    pub(super) fn push(&mut self, state: &[u8]) -> Result<(), Failure> {
        match std::fs::remove_file(self.place.work.join(OVERRIDE)) {
            Ok(()) => {
                std::fs::remove_file(self.place.work.join(BLOCKS))
                    .map_err(broken("take the import from the engine"))?;
                self.again()?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(broken("have the engine write the state")(error)),
        }
        let (_held, path) = memory("state", state)?;
        let limits = self.limits(self.job.deadlines.finish, None);
        self.document(
            &Command::StatePush {
                state: &path,
                force: false,
            },
            limits,
        )?;
        Ok(())
    }

    /// Has the engine take note of another backend.
    fn again(&mut self) -> Result<(), Failure> {
        self.prepared = None;
        let limits = self.limits(self.job.deadlines.init, None);
        let mut ear = Ear::Text;
        let called = self.engine(&Command::Reconfigure, &mut ear, limits)?;
        let heard = Heard::new(false);
        self.judge(&called, &heard, FailureClass::InitFailed, "init", &[0])
    }

    /// Plans with `import` blocks; then, unless only the plan is wanted, takes what was found into the state.
    pub(super) fn import(&mut self) -> Result<Outcome, Failure> {
        let job = self.job;
        if self.guarded()?.is_found() {
            let line = "windlass: the state holds all that was open, so there is nothing to import";
            self.log.line(self.spool, Level::Info, line);
            return Ok(Outcome::Unchanged);
        }
        let import = self.guarded()?.choose(&job.addresses, &job.ids)?;
        let state = import.state().unwrap_or_default();
        let state = self
            .place
            .state_in_memory(&state)
            .map_err(broken("hold the state in memory"))?;
        let (blocks, path) = memory("import", import.blocks().as_bytes())?;
        std::os::unix::fs::symlink(path, self.place.work.join(BLOCKS))
            .map_err(broken("give the import to the engine"))?;
        self.memory.extend([state, blocks]);
        if self.guarded()?.is_elsewhere() {
            self.plan_here()?;
        }

        let plan = self.plan_in_memory()?;
        let (_, heard) = self.planned(&plan)?;
        let counts = heard.planned.unwrap_or_default();
        self.step(Step::Saving);
        let planned = state_of(&plan)?;
        if self.job.action == Action::ImportPlan {
            import.check(&planned)?;
            self.facts.counts = (counts.add, counts.change, counts.remove);
            return Ok(Outcome::Planned);
        }
        if !self.guarded()?.is_elsewhere() {
            self.guarded()?.adopt(import, &planned)?;
            return Ok(Outcome::Unchanged);
        }
        let (bytes, imported) = import.merged(&planned)?;
        self.push(&bytes)?;
        self.guarded()?.adopted(&imported)?;
        Ok(Outcome::Unchanged)
    }
}

/// The state that a plan starts from.
fn state_of(plan: &str) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::read(plan).map_err(broken("read the plan"))?;
    plan_file::state(&bytes).ok_or_else(|| {
        Failure::new(
            FailureClass::Internal,
            "the engine's plan file has a format that this Windlass does not know, so nothing was imported",
        )
    })
}
