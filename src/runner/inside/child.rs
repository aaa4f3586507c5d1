//! One engine process: started, read, interrupted, waited for; and what it leaves behind.
//!
//! Standard input is the null device, both outputs are pipes of their own (standard output of an engine that changes things
//! is a file, [`super::guard::stream`]), and the process leads its own group, so that a
//! signal to our group never reaches it. Only the engine itself is ever signalled: its providers die from a SIGTERM in the
//! middle of a call. When it has ended, whatever it left (orphans are handed to us) is killed.
//!
//! Children are reaped by [`rustix::process::wait`] for any child, because as process 1 we are the parent of orphans, too;
//! `std`'s own wait is therefore never called. One engine runs at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::guard::stream::Ends;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

/// How often a file that an engine writes to is looked at.
const LOOK: Duration = Duration::from_millis(3);

/// What reaches the supervisor's one loop.
#[derive(Debug)]
pub(crate) enum Word {
    /// From the engine process of this number: a late word of the one before is not taken for one of the next.
    Engine(u32, Said),
    /// We were asked to stop.
    Stop,
}

/// What an engine process says.
#[derive(Debug)]
pub(crate) enum Said {
    /// Bytes of its standard output.
    Out(Vec<u8>),
    /// Bytes of its standard error.
    Err(Vec<u8>),
    /// One of both has ended.
    End,
    /// It has ended.
    Exited(Exit),
}

/// How the engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl From<WaitStatus> for Exit {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(-1),
        }
    }
}

/// Starts `program`; from now on `words` gets what it prints and its end.
pub(crate) fn start(
    program: &Path,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    directory: &Path,
    number: u32,
    words: &SyncSender<Word>,
    stream: Option<Ends>,
) -> io::Result<Pid> {
    let (write, read_end) = match stream {
        Some(ends) => (Stdio::from(ends.write), Some(ends.read)),
        None => (Stdio::piped(), None),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(write)
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a child has a positive id");
    let err = child.stderr.take().expect("asked for a pipe");
    let ended = Arc::new(AtomicBool::new(false));
    match read_end {
        Some(file) => {
            let tail = Tail {
                file,
                ended: Arc::clone(&ended),
                at_end: false,
            };
            read(tail, number, words.clone(), Said::Out);
        }
        None => {
            let out = child.stdout.take().expect("asked for a pipe");
            read(out, number, words.clone(), Said::Out);
        }
    }
    read(err, number, words.clone(), Said::Err);
    let words = words.clone();
    std::thread::spawn(move || {
        let exit = reap_until(pid);
        ended.store(true, Ordering::SeqCst);
        let _ = words.send(Word::Engine(number, Said::Exited(exit)));
    });
    Ok(pid)
}

/// Reads a file that grows, until its writer has ended and all of it is read.
struct Tail {
    file: File,
    ended: Arc<AtomicBool>,
    at_end: bool,
}

impl Read for Tail {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked before reading: what was written before the end is then read, too.
            self.at_end |= self.ended.load(Ordering::SeqCst);
            match self.file.read(into) {
                Ok(0) if !self.at_end => std::thread::sleep(LOOK),
                done => return done,
            }
        }
    }
}

fn read(
    mut pipe: impl Read + Send + 'static,
    number: u32,
    words: SyncSender<Word>,
    said: fn(Vec<u8>) -> Said,
) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    if words
                        .send(Word::Engine(number, said(chunk[..count].to_vec())))
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = words.send(Word::Engine(number, Said::End));
    });
}

/// Waits for children, whichever end, until `pid` has.
fn reap_until(pid: Pid) -> Exit {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => return status.into(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child at all: somebody else waited for it. How it ended is not known; it has ended.
            Err(_) => return Exit::Code(-1),
        }
    }
}

/// Sends a signal to the engine alone.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    // It may just have ended; then there is nothing to do.
    let _ = rustix::process::kill_process(pid, signal);
}

/// Kills whatever is still below us, until nothing is left or `patience` is over.
pub(crate) fn end_leftovers(patience: Duration) {
    let until = Instant::now() + patience;
    let me = std::process::id();
    loop {
        let left = descendants(me);
        if left.is_empty() {
            break;
        }
        for pid in left {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Live processes below `root`, from `/proc`.
fn descendants(root: u32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    for pid in entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
    {
        if let Some((state, parent, _)) = stat(pid)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![i32::try_from(root).unwrap_or(i32::MAX)];
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// State, parent and start time of a process.
pub(crate) fn stat(pid: i32) -> Option<(char, i32, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The second field is the name in parentheses, which may hold anything.
    let rest = &text[text.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some((state, parent, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_line_in_proc_is_read() {
        let me = i32::try_from(std::process::id()).expect("small");
        let (_, parent, started) = stat(me).expect("we exist");
        assert!(parent > 0 && started > 0);
    }
}
