//! One call of the engine, from start to end, whatever happens meanwhile: words, deadlines, a request to stop.
//!
//! The ladder: one SIGINT, patience, a second SIGINT (the engine then drops what it does), ten seconds, SIGKILL. It begins when
//! somebody asks for it or when the deadline is over. A repeated request changes nothing.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::child::{self, Exit, Said, Word};
use super::ear::{Desk, Heard};
use super::guard::stream::Ends;
use super::run::Run;
use crate::runner::engine::Command;
use crate::runner::engine::stream::Level;

/// Between the second SIGINT and SIGKILL.
const LAST_CHANCE: Duration = Duration::from_secs(10);
/// How long an open pipe may be silent after the engine has ended and what it left is killed. While anything comes out of
/// it, it is read: an engine may write faster than we seal.
const DRAIN: Duration = Duration::from_secs(5);
/// A document is no longer than this.
const MAX_DOCUMENT: usize = 512 * 1024 * 1024;

/// The engine that runs, for the end after a fault of our own; 0 for none.
pub(crate) static RUNNING: AtomicI32 = AtomicI32::new(0);

/// What is done with standard output.
pub(crate) enum Ear {
    /// A `-json` stream.
    Stream(Box<Heard>),
    /// One document, kept.
    Document(Vec<u8>),
    /// Text for people: into the log as it is.
    Text,
}

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From its start.
    pub(crate) deadline: Duration,
    /// From the moment the engine begins to apply; absent where that changes nothing.
    pub(crate) applying: Option<Duration>,
    /// Between the first SIGINT and the second.
    pub(crate) grace: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) exit: Exit,
    /// Whether the deadline was over.
    pub(crate) timed_out: bool,
    /// Whether the engine was made to drop what it did, or killed by us.
    pub(crate) forced: bool,
    /// Seconds that it was allowed.
    pub(crate) allowed: Duration,
}

enum Rung {
    Calm,
    Interrupted(Instant),
    Again(Instant),
    Killed,
}

impl Run<'_> {
    /// Carries out one command. Fails only when the engine cannot be started; `stream` is where it says what it changes.
    pub(crate) fn call(
        &mut self,
        command: &Command<'_>,
        ear: &mut Ear,
        limits: Limits,
        stream: Option<Ends>,
    ) -> std::io::Result<Called> {
        self.processes += 1;
        let number = self.processes;
        let hosted = self.job.state.as_ref().filter(|_| self.asks_server);
        self.environment
            .extend(hosted.map(|state| state.username(number)));
        let arguments = command.arguments();
        self.log.line(
            self.spool,
            Level::Debug,
            &format!("$ {} {}", self.program.display(), arguments.join(" ")),
        );
        let began = Instant::now();
        let pid = child::start(
            &self.program,
            &arguments,
            &self.environment,
            &self.place.work,
            number,
            &self.sender,
            stream,
        )?;
        RUNNING.store(pid.as_raw_nonzero().get(), Ordering::SeqCst);
        self.started.get_or_insert(began);

        let mut rung = Rung::Calm;
        let mut ends = 0;
        let mut exit = None;
        let mut drained = None;
        let mut called = Called {
            exit: Exit::Code(-1),
            timed_out: false,
            forced: false,
            allowed: limits.deadline,
        };
        let mut deadline = began + limits.deadline;
        let mut applying = false;
        let (mut split_out, mut split_err) = (Vec::new(), Vec::new());
        if self.stop {
            interrupt(pid, &mut rung);
        }
        loop {
            let wake = self.wake(deadline, &rung, limits.grace, drained);
            let word = self.words.recv_timeout(wake);
            // Only what nobody says is silence: hearing one word out may itself take long.
            let silent = matches!(word, Err(RecvTimeoutError::Timeout));
            match word {
                Ok(Word::Stop) => {
                    self.stop = true;
                    if matches!(rung, Rung::Calm) && exit.is_none() {
                        interrupt(pid, &mut rung);
                    }
                }
                Ok(Word::Engine(from, said)) if from == number => match said {
                    Said::Out(bytes) => self.hear(ear, &bytes, &mut split_out),
                    Said::Err(bytes) => {
                        if let Ear::Stream(heard) = ear {
                            heard.error_bytes(&bytes);
                        }
                        let text = whole_characters(&mut split_err, &bytes);
                        self.log.text(self.spool, Level::Info, &text);
                    }
                    Said::End => ends += 1,
                    Said::Exited(how) => {
                        RUNNING.store(0, Ordering::SeqCst);
                        exit = Some(how);
                        child::end_leftovers(DRAIN);
                    }
                },
                Ok(Word::Engine(..)) | Err(RecvTimeoutError::Timeout) => {}
                // We hold a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => {}
            }
            let now = Instant::now();
            if let Some(how) = exit {
                if !silent {
                    drained = Some(now + DRAIN);
                }
                if ends == 2 || drained.is_some_and(|until| now >= until) {
                    called.exit = how;
                    break;
                }
            } else {
                if let (false, Ear::Stream(heard), Some(limit)) = (applying, &*ear, limits.applying)
                    && heard.planned.is_some()
                {
                    applying = true;
                    deadline = now + limit;
                    called.allowed = limit;
                    // What was planned is what people ask for first when a run was killed while it applied.
                    self.log.phase_end(self.spool);
                }
                if now >= deadline && matches!(rung, Rung::Calm) {
                    called.timed_out = true;
                    interrupt(pid, &mut rung);
                }
                climb(pid, &mut rung, limits.grace, now, &mut called.forced);
            }
            if let Ear::Stream(heard) = ear {
                heard.say_progress(self.spool);
            }
            self.log.tick(self.spool, now);
            let heartbeat = Duration::from_millis(self.job.heartbeat_ms);
            self.spool.beat(heartbeat, now);
            self.spool.flush();
        }
        for rest in [split_out, split_err] {
            self.log.text(self.spool, Level::Info, &rest);
        }
        if let Ear::Stream(heard) = ear {
            let mut desk = Desk {
                spool: self.spool,
                log: &mut self.log,
                guard: self.guard.as_mut(),
                labels: &self.job.labels,
            };
            heard.end(&mut desk);
        }
        self.log.line(
            self.spool,
            Level::Debug,
            &format!(
                "{} ended after {} ms: {:?}",
                command.name(),
                began.elapsed().as_millis(),
                called.exit
            ),
        );
        self.log.phase_end(self.spool);
        Ok(called)
    }

    fn hear(&mut self, ear: &mut Ear, bytes: &[u8], split: &mut Vec<u8>) {
        match ear {
            Ear::Stream(heard) => {
                let mut desk = Desk {
                    spool: self.spool,
                    log: &mut self.log,
                    guard: self.guard.as_mut(),
                    labels: &self.job.labels,
                };
                heard.bytes(&mut desk, bytes);
                if let Some(guard) = self.guard.as_mut().filter(|_| heard.applies()) {
                    guard.heard(bytes);
                }
            }
            Ear::Document(document) => {
                if document.len() < MAX_DOCUMENT {
                    document.extend_from_slice(bytes);
                }
            }
            Ear::Text => {
                let text = whole_characters(split, bytes);
                self.log.text(self.spool, Level::Info, &text);
            }
        }
    }

    /// How long to wait for a word.
    fn wake(
        &self,
        deadline: Instant,
        rung: &Rung,
        grace: Duration,
        drained: Option<Instant>,
    ) -> Duration {
        let rung = match rung {
            Rung::Calm => Some(deadline),
            Rung::Interrupted(since) => Some(*since + grace),
            Rung::Again(since) => Some(*since + LAST_CHANCE),
            Rung::Killed => None,
        };
        let now = Instant::now();
        let heartbeat = Duration::from_millis(self.job.heartbeat_ms);
        let beat = Some(self.spool.silent_until(heartbeat));
        [rung, drained, self.log.due(), beat]
            .into_iter()
            .flatten()
            .map(|at| at.saturating_duration_since(now))
            .min()
            .unwrap_or(Duration::from_secs(1))
            .min(Duration::from_secs(1))
    }
}

/// Joins what was held back with `bytes`, and holds back a character that is not whole yet: a read may end anywhere.
fn whole_characters(held: &mut Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut text = std::mem::take(held);
    text.extend_from_slice(bytes);
    let from = text.len().saturating_sub(3);
    let begins = text[from..]
        .iter()
        .rposition(|byte| *byte >= 0b1100_0000)
        .map(|at| from + at);
    if let Some(begins) = begins
        && std::str::from_utf8(&text[begins..]).is_err_and(|error| error.error_len().is_none())
    {
        *held = text.split_off(begins);
    }
    text
}

fn interrupt(pid: Pid, rung: &mut Rung) {
    child::signal(pid, Signal::INT);
    *rung = Rung::Interrupted(Instant::now());
}

fn climb(pid: Pid, rung: &mut Rung, grace: Duration, now: Instant, forced: &mut bool) {
    match rung {
        Rung::Interrupted(since) if now >= *since + grace => {
            *forced = true;
            child::signal(pid, Signal::INT);
            *rung = Rung::Again(now);
        }
        Rung::Again(since) if now >= *since + LAST_CHANCE => {
            child::signal(pid, Signal::KILL);
            *rung = Rung::Killed;
        }
        Rung::Calm | Rung::Interrupted(_) | Rung::Again(_) | Rung::Killed => {}
    }
}

/// After a fault of ours: no engine is left behind that writes state while the run is said to be over.
pub(crate) fn end_running(patience: Duration) {
    let Some(pid) = Pid::from_raw(RUNNING.load(Ordering::SeqCst)) else {
        child::end_leftovers(DRAIN);
        return;
    };
    child::signal(pid, Signal::INT);
    let until = Instant::now() + patience;
    while RUNNING.load(Ordering::SeqCst) != 0
        && Instant::now() < until
        && child::stat(pid.as_raw_nonzero().get()).is_some_and(|(state, _, _)| state != 'Z')
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    child::end_leftovers(DRAIN);
}

#[cfg(test)]
mod tests {
    use super::whole_characters;

    #[test]
    fn characters_survive_reads_that_end_in_their_middle() {
        let text = "plan — ünïcode ─ 🦀 end";
        for size in 1..9 {
            let mut held = Vec::new();
            let mut out = String::new();
            for chunk in text.as_bytes().chunks(size) {
                out.push_str(&String::from_utf8_lossy(&whole_characters(
                    &mut held, chunk,
                )));
            }
            out.push_str(&String::from_utf8_lossy(&held));
            assert_eq!(out, text, "in pieces of {size}");
        }
        let mut held = Vec::new();
        assert_eq!(whole_characters(&mut held, b"a\xff\xc3b"), b"a\xff\xc3b");
    }
}
