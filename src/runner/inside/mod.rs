//! The supervisor: `windlass inside`, process 1 of a runner's container and the child of the process launcher.
//!
//! It reads one job from standard input, starts the engine, follows it, seals what it prints, guards the state, and says
//! everything as numbered events ([`spool`]); `Finished` is always the last one, also after a fault of ours. It outlives the
//! engine, and never kills it before patience has been tried. It knows no database, no network and no Docker.
//!
//! Start at [`run`]: the phases. [`call`] is one engine process, [`guard`] the state, [`log`] the sealed streams.
//!
//! Why threads and no async runtime: it waits for four things (two pipes, a child, a signal) and must be small, since one
//! lives beside every engine. Signals alone come through a runtime of one thread, because handling them otherwise
//! needs unsafe code.
//!
//! Exit codes: 0 the run went well, 1 it did not (the events say why), 3 no job came, 4 the spool cannot be
//! used, 5 there is no space for it.

mod apply;
mod call;
mod child;
mod ear;
mod encryption;
pub(crate) mod guard;
mod intake;
mod log;
mod moving;
mod outputs;
mod place;
mod plan;
mod prepare;
mod ready;
mod run;
mod settle;
pub(crate) mod spool;
mod verdict;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use self::child::Word;
use self::intake::Intake;
use self::run::Parts;
use self::spool::Spool;
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::event::{Finished, Kind};
use crate::wire::deployments::RunRecord;

pub(crate) use self::child::stat;
pub(crate) use self::intake::HEARD;
pub(crate) use self::prepare::platform;

/// Words on their way to the one loop; the engine's pipes wait when it is behind.
const WORDS: usize = 64;

/// The command line; nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--spool DIR`.
    pub(crate) spool: PathBuf,
    /// `--state DIR`: the environment's state, where it is local.
    pub(crate) state: PathBuf,
    /// `--mirror DIR`: providers.
    pub(crate) mirror: Option<PathBuf>,
    /// `--engine NAME=FILE`.
    pub(crate) engines: BTreeMap<String, PathBuf>,
    /// `--wait SECONDS`: ends by itself when no job has come until then.
    pub(crate) wait: Duration,
    /// `--session`: leads a session of its own.
    pub(crate) session: bool,
    /// `--launcher NAME`, for the run record.
    pub(crate) launcher: String,
    /// `--lines`: standard input stays open; the job is its first line, and [`intake::Asked`] may follow.
    pub(crate) lines: bool,
    /// `--inherit`: the engine gets the variables of this process, too: whoever made the pod put them there.
    pub(crate) inherit: bool,
}

impl Options {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self {
            spool: "/spool".into(),
            state: "/state".into(),
            mirror: Some(PathBuf::from("/mirror")).filter(|mirror| mirror.is_dir()),
            engines: BTreeMap::new(),
            wait: Duration::from_secs(600),
            session: false,
            launcher: "docker".to_owned(),
            lines: false,
            inherit: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let flag = flag.to_string_lossy().into_owned();
            match &*flag {
                "--session" => options.session = true,
                "--lines" => options.lines = true,
                "--inherit" => options.inherit = true,
                _ => {}
            }
            if matches!(&*flag, "--session" | "--lines" | "--inherit") {
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("`{flag}` needs a value"))?;
            let text = value.to_string_lossy().into_owned();
            match flag.as_str() {
                "--spool" => options.spool = value.into(),
                "--state" => options.state = value.into(),
                "--mirror" => options.mirror = Some(value.into()),
                "--launcher" => options.launcher = text,
                "--wait" => {
                    let seconds = text
                        .parse()
                        .map_err(|_| format!("`--wait` is `{text}`; expected seconds"))?;
                    options.wait = Duration::from_secs(seconds);
                }
                "--engine" => {
                    let (name, file) = text
                        .split_once('=')
                        .ok_or_else(|| format!("`--engine` is `{text}`; expected NAME=FILE"))?;
                    options.engines.insert(name.to_owned(), file.into());
                }
                _ => return Err(format!("unknown argument `{flag}`")),
            }
        }
        Ok(options)
    }
}

/// Runs the supervisor with the arguments behind `inside`.
pub(crate) fn main() -> ExitCode {
    let mut asked = std::env::args_os().skip(2);
    if asked.next().is_some_and(|flag| flag == "--key") {
        return encryption::provide(asked.next().map(PathBuf::from).as_deref());
    }
    let options = match Options::read(std::env::args_os().skip(2)) {
        Ok(options) => options,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    quiet_panics();
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // No core dump, and no reading of our memory by what the engine starts: it holds the keys of the streams.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if options.session {
        // Fails only when we lead one already.
        let _ = rustix::process::setsid();
    }
    // Orphans of the engine come to us, in a container anyway, elsewhere by this.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let (sender, words) = sync_channel(WORDS);
    if let Err(error) = listen(sender.clone()) {
        complain(&format!("cannot listen for signals: {}", error.kind()));
        return ExitCode::from(4);
    }
    let Some(bytes) = wait_for_job(&options, &words, sender.clone()) else {
        return ExitCode::from(3);
    };
    supervise(&options, &bytes, &words, sender)
}

/// Tells the loop when somebody asks to stop.
fn listen(words: SyncSender<Word>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Registered before we go on: a signal that comes early must not end us.
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if words.send(Word::Stop).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}

/// Waits for the whole job. `None`: none came in time, we were asked to stop, or its sender died.
fn wait_for_job(
    options: &Options,
    words: &Receiver<Word>,
    stop: SyncSender<Word>,
) -> Option<Vec<u8>> {
    let (sender, read) = sync_channel(1);
    match options.lines {
        false => std::thread::spawn(move || {
            let _ = sender.send(intake::read(io::stdin().lock()));
        }),
        true => {
            let spool = options.spool.join(spool::EVENTS);
            std::thread::spawn(move || {
                let mut input = io::stdin().lock();
                let _ = sender.send(intake::line(&mut input));
                intake::listen(&mut input, &spool, &stop);
            })
        }
    };
    let until = Instant::now() + options.wait;
    loop {
        match read.recv_timeout(Duration::from_millis(20)) {
            Ok(Ok(bytes)) if !bytes.is_empty() => return Some(bytes),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                if matches!(words.try_recv(), Ok(Word::Stop)) || Instant::now() >= until {
                    return None;
                }
            }
        }
    }
}

fn supervise(
    options: &Options,
    bytes: &[u8],
    words: &Receiver<Word>,
    sender: SyncSender<Word>,
) -> ExitCode {
    let accepted = Instant::now();
    let intake = intake::check(bytes);
    let (run, attempt) = match &intake {
        Intake::Nothing => return ExitCode::from(3),
        Intake::Refused(refusal) => (refusal.run.clone(), refusal.attempt),
        Intake::Job(job, _) => (job.run.clone(), job.attempt),
    };
    let mut spool = match Spool::create(&options.spool, &run, attempt) {
        Ok(spool) => spool,
        Err(error) => {
            complain(&format!("cannot begin the spool: {}", error.kind()));
            return unusable(&error);
        }
    };
    let finished = match intake {
        Intake::Nothing => return ExitCode::from(3),
        Intake::Refused(refusal) => failed(refusal.class, refusal.message),
        Intake::Job(job, files) => {
            spool.say(Kind::Accepted {
                bundle_digest: job.bundle_digest.clone(),
            });
            // Without this record the attempt never began, so no engine starts before it is on the disk.
            if let Err(error) = spool.sync() {
                complain(&format!("cannot write the spool: {}", error.kind()));
                return unusable(&error);
            }
            let done = catch_unwind(AssertUnwindSafe(|| {
                run::carry_out(Parts {
                    job: &job,
                    files: &files,
                    spool: &mut spool,
                    options,
                    words,
                    sender,
                    accepted,
                })
            }));
            done.unwrap_or_else(|_| {
                call::end_running(Duration::from_secs(job.deadlines.grace));
                failed(
                    FailureClass::Internal,
                    "the supervisor itself failed; this is a fault of Windlass".to_owned(),
                )
            })
        }
    };
    let good = finished.outcome.is_success();
    spool.say(Kind::Finished(Box::new(finished)));
    if let Err(error) = spool.finish(Duration::from_secs(600)) {
        complain(&format!("cannot write the spool: {}", error.kind()));
        return unusable(&error);
    }
    if options.lines {
        linger(&options.spool.join(spool::EVENTS), words);
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a reader that comes late finds in the log of a container for certain; beyond it, a node may have rotated it.
const LOG_KEPT: u64 = 4 * 1024 * 1024;
/// How long a supervisor that has ended can be asked to print its spool again.
const LINGER: Duration = Duration::from_secs(900);

/// Stays after a run with a long log until its carrier is removed, because nobody else can read the spool.
fn linger(events: &std::path::Path, words: &Receiver<Word>) {
    if std::fs::metadata(events).is_ok_and(|events| events.len() > LOG_KEPT) {
        let until = Instant::now() + LINGER;
        while let Ok(word) = words.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if matches!(word, Word::Stop) {
                return;
            }
        }
    }
}

/// Exit code of a supervisor that cannot use its spool.
pub(crate) const UNUSABLE: u8 = 4;
/// The same, because there is no space.
pub(crate) const NO_SPACE: u8 = 5;

fn unusable(error: &io::Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NO_SPACE,
        _ => UNUSABLE,
    })
}

fn failed(class: FailureClass, message: String) -> Finished {
    Finished {
        outcome: Outcome::Failed,
        failure_class: Some(class),
        message,
        total: None,
        added: 0,
        changed: 0,
        removed: 0,
        metadata: BTreeMap::new(),
        lock_file: None,
        state_empty: false,
        unrecorded: Vec::new(),
        in_flight: Vec::new(),
        record: RunRecord::default(),
    }
}

/// The message of a panic could quote what it was about: only its place is said.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, |place| {
            format!("{}:{}", place.file(), place.line())
        });
        complain(&format!("fault at {place}"));
    }));
}

/// For who looks at the launcher's side; never anything secret.
fn complain(problem: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "windlass inside: {problem}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_by_hand() {
        let read = |words: &[&str]| Options::read(words.iter().map(OsString::from));
        let options = read(&[
            "--wait",
            "7",
            "--engine",
            "opentofu=/x/tofu",
            "--session",
            "--spool",
            "/s",
        ])
        .expect("good");
        assert_eq!(options.wait, Duration::from_secs(7));
        assert_eq!(options.engines["opentofu"], PathBuf::from("/x/tofu"));
        assert!(options.session);
        assert!(read(&["--wait"]).is_err());
        assert!(read(&["--wait", "x"]).is_err());
        assert!(read(&["--what", "x"]).is_err());
    }
}
