//! Making the work directory ready for the engine: prepared by us where all is at hand, else by the real `init`.
//!
//! A preparation is an offer. Every first call goes through [`Run::first`]: where the engine refuses what it finds, which
//! it does before it changes anything, one real `init` and one repeat answer it.

use super::call::{Called, Ear, Limits};
use super::child::Exit;
use super::ear::Heard;
use super::prepare::{self, Prepared, Unready};
use super::run::Run;
use super::verdict::Failure;
use crate::hcl::LOCK_FILE;
use crate::model::phase::{FailureClass, Step};
use crate::runner::engine::Command;
use crate::runner::engine::stream::Level;

/// A lock file is no longer than this.
const MAX_LOCK_FILE: u64 = 4 * 1024 * 1024;
/// What to do where a provider is missing.
const FILL: &str = "fill the mirror (`windlass mirror fill`) or allow downloads";
/// Names of the shortcuts in the run record.
const INIT: &str = "init";
const PROVIDERS: &str = "providers";

impl Run<'_> {
    /// Prepares, or has the engine do it.
    pub(super) fn ready(&mut self) -> Result<(), Failure> {
        let planned = if self.job.shortcuts.skip_init {
            self.prepare()
        } else {
            Err(Unready("switched off".to_owned()))
        };
        match planned {
            Ok(prepared) => {
                self.facts.init = providers_in_words("prepared", prepared.linked, &[]);
                self.facts.prepared.clone_from(&prepared.key);
                self.facts
                    .note(INIT, "skipped: what it leaves was prepared");
                self.facts.note(PROVIDERS, self.hashing_in_words(&prepared));
                self.facts.lock_file.clone_from(&prepared.lock);
                self.prepared = Some(prepared);
                Ok(())
            }
            Err(Unready(why)) => {
                self.facts.note(INIT, format!("ran: {why}"));
                self.init("ran").map_err(|mut failure| {
                    // It names the provider, and is in clear everywhere else.
                    if failure.message.ends_with(FILL) && why.starts_with("the mirror has no") {
                        failure.message.push_str(": ");
                        failure.message.push_str(&why);
                    }
                    failure
                })
            }
        }
    }

    fn prepare(&mut self) -> Result<Prepared, Unready> {
        let configuration = self.place.configuration();
        let prepared = prepare::plan(&prepare::Given {
            kind: self.kind,
            engine_digest: &self.job.engine_digest,
            files: self.files,
            mirror: self.place.mirror.as_deref(),
            packages: &self.job.packages,
            trust_mirror: self.job.shortcuts.trust_mirror,
            in_state: &self.in_state,
            configuration: &configuration,
        })?;
        prepared
            .write(&self.place.work)
            .map_err(|error| Unready(format!("it could not be prepared: {}", error.kind())))
            .and_then(|()| prepared.check(&self.place.work).map_err(Unready))
            .or_else(|why| self.undo().and(Err(why)))?;
        Ok(prepared)
    }

    fn undo(&self) -> Result<(), Unready> {
        prepare::undo(&self.place.work, self.files)
            .map_err(|error| Unready(format!("what was prepared stays: {}", error.kind())))
    }

    fn hashing_in_words(&self, prepared: &Prepared) -> String {
        match (prepared.linked, prepared.trusted) {
            (0, _) => "none needed".to_owned(),
            (_, 0) if !self.job.shortcuts.trust_mirror => {
                "hashed by each engine process: switched off".to_owned()
            }
            (_, 0) => {
                "hashed by each engine process: not checked against the lock file before".to_owned()
            }
            (linked, trusted) if linked == trusted => {
                format!("{trusted} checked in the mirror, not hashed again")
            }
            (linked, trusted) => format!(
                "{trusted} of {linked} checked in the mirror, not hashed again; the others by each engine process"
            ),
        }
    }

    /// Makes the first call that meets a preparation. `heard` gives an ear for each try.
    pub(super) fn first(
        &mut self,
        command: &Command<'_>,
        limits: Limits,
        heard: impl Fn() -> Heard,
    ) -> Result<(Called, Box<Heard>), Failure> {
        // Read back once more: from here on the engine believes it.
        if let Some(prepared) = &self.prepared
            && let Err(why) = prepared.check(&self.place.work)
        {
            self.fall_back(&format!("the preparation is not what was written: {why}"))?;
        }
        loop {
            let mut ear = Ear::Stream(Box::new(if self.prepared.is_some() {
                heard().holding_back()
            } else {
                heard()
            }));
            let called = self.engine(command, &mut ear, limits)?;
            let Ear::Stream(mut heard) = ear else {
                return Err(Failure::new(FailureClass::Internal, "the stream was lost"));
            };
            if let Some(version) = &heard.version {
                self.facts.version.clone_from(version);
            }
            let is_refused = self.prepared.is_some()
                && called.exit == Exit::Code(1)
                && heard.refused
                && heard.planned.is_none()
                && !called.timed_out
                && !called.forced
                && !self.stop;
            if !is_refused {
                heard.release(self.spool);
                return Ok((called, heard));
            }
            self.facts.refusals += 1;
            self.fall_back("the engine refused what was prepared")?;
            self.step(Step::Planning);
        }
    }

    /// Takes the preparation away and has the real `init` run.
    fn fall_back(&mut self, why: &str) -> Result<(), Failure> {
        self.prepared = None;
        let line = format!("windlass: {why}; `init` runs, and then the same once more");
        self.log.line(self.spool, Level::Warn, &line);
        self.facts.note(INIT, format!("ran: {why}"));
        self.undo()
            .map_err(|Unready(why)| Failure::new(FailureClass::Internal, why))?;
        self.init("ran after a preparation")
    }

    fn init(&mut self, reason: &str) -> Result<(), Failure> {
        self.facts.init = reason.to_owned();
        self.facts
            .note(PROVIDERS, "hashed by each engine process: `init` ran");
        self.step(Step::Init);
        if let Some(lock) = prepare::freed_lock(self.kind, self.files, &self.in_state) {
            let line = "windlass: the code asks for other versions of providers than were locked; they are chosen anew";
            self.log.line(self.spool, Level::Info, line);
            std::fs::write(self.place.work.join(LOCK_FILE), lock).map_err(|error| {
                let words = format!("the lock file could not be written: {}", error.kind());
                Failure::new(FailureClass::Internal, words)
            })?;
        }
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
                        format!("`init` failed: a provider that the bundle requires is not in the provider mirror, and downloads are not allowed here; {FILL}")
                    };
                }
                failure
            })?;
        let (downloaded, linked) = self.place.downloaded();
        self.facts.init = providers_in_words(reason, linked, &downloaded);
        let lock = self.place.work.join(LOCK_FILE);
        if std::fs::metadata(&lock).is_ok_and(|metadata| metadata.len() <= MAX_LOCK_FILE) {
            self.facts.lock_file = std::fs::read_to_string(&lock).ok();
        }
        Ok(())
    }
}

fn providers_in_words(reason: &str, linked: usize, downloaded: &[String]) -> String {
    match (downloaded.is_empty(), linked) {
        (true, 0) => format!("{reason}; no providers needed"),
        (true, 1) => format!("{reason}; 1 provider from the mirror"),
        (true, linked) => format!("{reason}; {linked} providers from the mirror"),
        (false, _) => format!(
            "{reason}; {linked} providers from the mirror; downloaded {}",
            downloaded.join(", ")
        ),
    }
}
