//! Takes the state of an environment from the place where it lies to another one, and leaves it where it was.
//!
//! The server lets no other run have the environment meanwhile, and takes note of the new place only when this one has said
//! that all went well. So whatever dies, the state is where it was, and the same may be asked for again: what then lies in
//! the new place is of the same history and not newer, and it is written over or found to be the same.
//!
//! A place on this host is read and written by us; for any other one the engine is asked, in a directory that holds nothing
//! but the block that names the place: one at a time, each with the credentials of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::call::Ear;
use super::ear::Heard;
use super::guard::{files::seed, moving};
use super::place::ROOT;
use super::prepare;
use super::run::Run;
use super::settle::{broken, memory};
use super::verdict::Failure;
use crate::model::phase::{FailureClass, Outcome, Step};
use crate::runner::engine::Command;
use crate::runner::engine::document::State;
use crate::runner::engine::same::Content;
use crate::runner::engine::stream::Level;
use crate::runner::job::{MOVE_TO, MoveTo};

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(FailureClass::StateMoveFailed, message)
}

/// What is to be done in the new place.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// There is no state, here or there.
    Nothing,
    /// It is there already.
    There,
    /// It is written.
    Write,
}

/// Decides. An empty state of another history may lie there: one is put before a first deployment, and by a move that died.
fn next(from: Option<&Content>, there: Option<&Content>) -> Result<Next, String> {
    let held = |content: &Content| {
        format!(
            "the new place holds another state already (lineage {}, serial {})",
            content.lineage, content.serial
        )
    };
    let todo =
        "nothing was changed; take it away from there, or name a runner with another state storage";
    match (from, there) {
        (None, None) => Ok(Next::Nothing),
        (None, Some(there)) if there.is_empty() => Ok(Next::Nothing),
        (None, Some(there)) => Err(format!("{}; {todo}", held(there))),
        (Some(_), None) => Ok(Next::Write),
        (Some(from), Some(there)) if from.is_same(there) => Ok(Next::There),
        (Some(from), Some(there)) if from.lineage != there.lineage => match there.is_empty() {
            true => Ok(Next::Write),
            false => Err(format!("{}; {todo}", held(there))),
        },
        (Some(from), Some(there)) if there.serial < from.serial => Ok(Next::Write),
        (Some(from), Some(there)) => Err(format!(
            "{}, which is of the same history and not older than the one that is to be moved (serial {}): somebody went on \
             there; {todo}",
            held(there),
            from.serial
        )),
    }
}

fn content(state: Option<&[u8]>) -> Result<Option<Content>, Failure> {
    let read = |bytes| {
        Content::read(bytes).ok_or_else(|| {
            refused("a state has a format that this Windlass does not know, so nothing was moved")
        })
    };
    state.map(read).transpose()
}

impl Run<'_> {
    /// Does it.
    pub(super) fn move_state(&mut self) -> Result<Outcome, Failure> {
        let Some(to) = self.job.move_to else {
            return Err(refused("the job does not say where the state is moved to"));
        };
        self.step(Step::Saving);
        let with_hosted = self.environment.clone();
        let reach = |run: &mut Self, is_hosted: bool| {
            run.asks_server = is_hosted;
            run.environment = match is_hosted {
                true => with_hosted.clone(),
                false => run.environment_elsewhere.clone(),
            };
        };
        let from = match self.job.local_state {
            true => self.taken_here()?,
            false => {
                reach(self, self.job.state.is_some() && !to.hosted);
                self.begin_at(ROOT)?;
                self.asked()?
            }
        };
        let there = match to.local {
            true => moving::taken(&self.state_dir)?.map(|found| found.bytes),
            false => {
                reach(self, to.hosted);
                self.begin_at(MOVE_TO)?;
                self.asked()?
            }
        };
        let read = content(from.as_deref())?;
        let held = content(there.as_deref())?;
        let next = next(read.as_ref(), held.as_ref()).map_err(refused)?;
        if let (Next::Write, Some(bytes), Some(read)) = (&next, &from, &read) {
            self.write(bytes, to, held.is_none())?;
            let written = match to.local {
                true => moving::taken(&self.state_dir)?.map(|found| found.bytes),
                false => self.asked()?,
            };
            let written = content(written.as_deref())?;
            if !written.is_some_and(|written| written.is_same(read)) {
                return Err(refused(
                    "what was read back from the new place is not what was written there, so the state stays where it is",
                ));
            }
        }
        self.facts.total = from
            .as_deref()
            .and_then(State::read)
            .map(|state| state.managed);
        let what = match (&next, &read) {
            (Next::Write, Some(read)) => format!(
                "the state (lineage {}, serial {}) is written to its new place and was read back from there",
                read.lineage, read.serial
            ),
            (Next::There, Some(read)) => format!(
                "the state (lineage {}, serial {}) lies in its new place already",
                read.lineage, read.serial
            ),
            _ => "there is no state yet, so there was nothing to write".to_owned(),
        };
        let line = format!("windlass: {what}; the old place is left as it was");
        self.log.line(self.spool, Level::Info, &line);
        Ok(Outcome::Unchanged)
    }

    fn taken_here(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let found = moving::taken(&self.state_dir)?.ok_or_else(|| {
            refused(
                "no state lies in the state directory of this host, although one was begun there; put it back, or forget \
                 the environment with `windlass delete env PROJECT ENV --force`",
            )
        })?;
        match found.open.is_empty() {
            true => Ok(Some(found.bytes)),
            false => {
                self.facts.open = found.open.clone();
                // Only the server knows the names of the place.
                Err(Failure::new(
                    FailureClass::Unsettled,
                    found.open.refusal("PROJECT", "ENV"),
                ))
            }
        }
    }

    /// Makes the engine ready in the directory of a root module that only says where a state lies. Providers are needed
    /// neither to read a state nor to write it, so there is nothing that `init` would be asked for.
    fn begin_at(&mut self, file: &str) -> Result<(), Failure> {
        let code = self.files.get(file).cloned().unwrap_or_default();
        if let Some((directory, _)) = file.rsplit_once('/') {
            self.place.work = self.place.work.join(directory);
        }
        let files = BTreeMap::from([(ROOT.to_owned(), code)]);
        let prepared = prepare::plan(&prepare::Given {
            kind: self.kind,
            engine_digest: "",
            files: &files,
            mirror: None,
            packages: &[],
            trust_mirror: false,
            in_state: &BTreeSet::new(),
            configuration: b"",
        })
        .map_err(|why| refused(format!("the place of a state is not understood: {}", why.0)))?;
        prepared
            .write(&self.place.work)
            .map_err(broken("prepare the engine"))
    }

    /// Asks the engine for the state of the place where it is. One that takes its place from `init` alone is made to.
    fn asked(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let limits = self.limits(self.job.deadlines.finish, None);
        let bytes = match self.document(&Command::StatePull, limits) {
            Err(failure) if failure.class == Some(FailureClass::StateMoveFailed) => {
                let limits = self.limits(self.job.deadlines.init, None);
                let mut ear = Ear::Text;
                let called = self.engine(&Command::Reconfigure, &mut ear, limits)?;
                let class = FailureClass::StateMoveFailed;
                if self
                    .judge(&called, &Heard::new(false), class, "init", &[0])
                    .is_err()
                {
                    return Err(failure);
                }
                let limits = self.limits(self.job.deadlines.finish, None);
                self.document(&Command::StatePull, limits)?
            }
            asked => asked?,
        };
        let is_state = |bytes: &Vec<u8>| {
            let is_unwritten = |content: Content| content.lineage.is_empty() && content.is_empty();
            !bytes.trim_ascii().is_empty() && !Content::read(bytes).is_some_and(is_unwritten)
        };
        // Where nothing was written yet, engines print nothing, or a state without a history.
        Ok(Some(bytes).filter(is_state))
    }

    /// Writes it. Engines begin a history of their own where there is no state yet, whatever they are told; so there an empty
    /// one is put first, and the history of ours goes over it.
    fn write(&mut self, bytes: &[u8], to: MoveTo, is_first: bool) -> Result<(), Failure> {
        if to.local {
            return Ok(moving::put(&self.state_dir, &self.job.run, bytes)?);
        }
        if is_first {
            self.push_as(&seed(), false)?;
        }
        self.push_as(bytes, true)
    }

    fn push_as(&mut self, bytes: &[u8], force: bool) -> Result<(), Failure> {
        let (_held, path) = memory("state", bytes)?;
        let limits = self.limits(self.job.deadlines.finish, None);
        let command = Command::StatePush {
            state: &path,
            force,
        };
        self.document(&command, limits).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(lineage: &str, serial: u64, id: &str) -> Content {
        let resources = match id {
            "" => serde_json::json!([]),
            id => {
                serde_json::json!([{"mode": "managed", "type": "t", "name": "n", "instances": [{"attributes": {"id": id}}]}])
            }
        };
        let state = serde_json::json!({"version": 4, "lineage": lineage, "serial": serial, "resources": resources});
        Content::read(state.to_string().as_bytes()).expect("a state")
    }

    #[test]
    fn only_an_older_state_of_the_same_history_is_written_over() {
        let from = state("l", 5, "1");
        let of = |there: Option<&Content>| next(Some(&from), there);
        assert_eq!(of(None), Ok(Next::Write));
        assert_eq!(of(Some(&state("l", 4, "0"))), Ok(Next::Write));
        assert_eq!(of(Some(&state("l", 4, ""))), Ok(Next::Write));
        assert_eq!(of(Some(&state("m", 9, ""))), Ok(Next::Write));
        assert_eq!(of(Some(&state("l", 5, "1"))), Ok(Next::There));
        assert_eq!(
            of(Some(&state("l", 6, "1"))),
            Ok(Next::There),
            "engines count on when they write over"
        );
        for there in [
            state("l", 5, "2"),
            state("l", 6, "2"),
            state("l", 6, ""),
            state("m", 1, "2"),
            state("m", 5, "1"),
        ] {
            let why = of(Some(&there)).expect_err("refused");
            assert!(
                why.contains(&there.lineage) && why.contains("nothing was changed"),
                "{why}"
            );
        }
        assert_eq!(next(None, None), Ok(Next::Nothing));
        assert_eq!(next(None, Some(&state("l", 1, ""))), Ok(Next::Nothing));
        assert!(next(None, Some(&from)).is_err());
    }
}
