//! Events → the spool file, then standard output.
//!
//! Every event is a numbered line of JSON. It is in the file before it is sent; the sender may drop it when nobody reads,
//! because a reader fills gaps from the file. So nothing here ever blocks on a reader.
//!
//! Why writes go to fixed offsets: on a full disk a line may be written in part. The next try writes it again from the
//! same place, so the file never holds half a line in its middle, and numbers have no gaps.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::runner::event::{Event, Kind};
use crate::runner::job::PROTOCOL;

/// Name of the file in the spool directory.
pub(crate) const EVENTS: &str = "events.jsonl";

/// What the sender holds at most for a slow reader; beyond it, lines are dropped.
const SENDER_BYTES: usize = 8 * 1024 * 1024;
/// What waits in memory at most while the disk is full; beyond it, log text is no longer taken.
const PENDING_BYTES: usize = 64 * 1024 * 1024;

/// The event writer.
pub(crate) struct Spool {
    file: Arc<File>,
    /// End of what is safely in the file.
    offset: u64,
    /// Lines that are not in the file yet.
    pending: Vec<u8>,
    run: String,
    attempt: u32,
    seq: u64,
    /// When something was last said.
    said: Instant,
    sender: Sender,
    syncer: Syncer,
    /// The last write error, while it lasts.
    broken: Option<io::ErrorKind>,
}

impl Spool {
    /// Begins the spool of an attempt. Fails where there already is one: an attempt is never carried out twice.
    pub(crate) fn create(dir: &Path, run: &str, attempt: u32) -> io::Result<Self> {
        let file = Arc::new(
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(dir.join(EVENTS))?,
        );
        Ok(Self {
            syncer: Syncer::start(Arc::clone(&file)),
            file,
            offset: 0,
            pending: Vec::new(),
            run: run.to_owned(),
            attempt,
            seq: 0,
            said: Instant::now(),
            sender: Sender::start(),
            broken: None,
        })
    }

    /// Adds an event; returns where its line lies in the file, and its length.
    pub(crate) fn say(&mut self, kind: Kind) -> (u64, usize) {
        self.seq += 1;
        self.said = Instant::now();
        let event = Event {
            v: PROTOCOL,
            run: self.run.clone(),
            attempt: self.attempt,
            seq: self.seq,
            at_us: now_us(),
            kind,
        };
        let place = self.offset + self.pending.len() as u64;
        let before = self.pending.len();
        serde_json::to_writer(&mut self.pending, &event)
            .expect("memory takes it, and keys are text");
        self.pending.push(b'\n');
        (place, self.pending.len() - before)
    }

    /// When it is time to say that the run goes on, if nothing else is said before.
    pub(crate) fn silent_until(&self, heartbeat: Duration) -> Instant {
        self.said + heartbeat
    }

    /// Says that the run goes on, if it is time.
    pub(crate) fn beat(&mut self, heartbeat: Duration, now: Instant) {
        if now >= self.silent_until(heartbeat) {
            self.say(Kind::Alive);
        }
    }

    /// Writes what waits, and only then sends it.
    pub(crate) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.file.write_all_at(&self.pending, self.offset) {
            Ok(()) => {
                self.broken = None;
                self.offset += self.pending.len() as u64;
                self.sender.send(std::mem::take(&mut self.pending));
            }
            Err(error) => self.broken = Some(error.kind()),
        }
    }

    /// Writes what waits and has it on the disk soon, without waiting for it.
    pub(crate) fn sync_soon(&mut self) {
        self.flush();
        self.syncer.ask();
    }

    /// Writes what waits; returns when it is on the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush();
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        self.file.sync_data()
    }

    /// Whether log text can still be taken.
    pub(crate) fn takes_more(&self) -> bool {
        self.pending.len() < PENDING_BYTES
    }

    /// Reads a line that was written before.
    pub(crate) fn line(&self, place: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut line = vec![0; length];
        self.file.read_exact_at(&mut line, place)?;
        Ok(line)
    }

    /// Tries for `patience` to have everything on the disk, then to have it read.
    pub(crate) fn finish(mut self, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        let mut result = self.sync();
        while result.is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(200));
            result = self.sync();
        }
        self.sender.drain(Duration::from_secs(5));
        result
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

/// Writes to standard output from a thread of its own.
struct Sender(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
    closed: bool,
}

impl Sender {
    fn start() -> Self {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        std::thread::spawn(move || theirs.write_out());
        Self(queue)
    }

    fn send(&self, chunk: Vec<u8>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed || state.bytes + chunk.len() > SENDER_BYTES {
            return;
        }
        state.bytes += chunk.len();
        state.chunks.push_back(chunk);
        drop(state);
        self.0.changed.notify_all();
    }

    fn drain(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed && (state.writing || !state.chunks.is_empty()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Queue {
    fn write_out(&self) {
        loop {
            let chunk = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.writing = false;
                self.changed.notify_all();
                loop {
                    if let Some(chunk) = state.chunks.pop_front() {
                        state.bytes -= chunk.len();
                        state.writing = true;
                        break chunk;
                    }
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let mut out = io::stdout().lock();
            if out.write_all(&chunk).and_then(|()| out.flush()).is_err() {
                // Nobody will ever read: the file has it all.
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.closed = true;
                state.chunks.clear();
                self.changed.notify_all();
                return;
            }
        }
    }
}

/// Brings a file to the disk from a thread of its own; requests that come meanwhile are answered by one more call.
pub(crate) struct Syncer(Arc<(Mutex<bool>, Condvar)>);

impl Syncer {
    /// Starts one for this file.
    pub(crate) fn start(file: Arc<File>) -> Self {
        let wanted = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&wanted);
        std::thread::spawn(move || {
            let (flag, changed) = &*theirs;
            loop {
                let mut asked = flag.lock().unwrap_or_else(PoisonError::into_inner);
                while !*asked {
                    asked = changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
                }
                *asked = false;
                drop(asked);
                // A failure shows at the next write or at the end, where it is reported.
                let _ = file.sync_data();
            }
        });
        Self(wanted)
    }

    /// Asks for it.
    pub(crate) fn ask(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gaps_and_a_second_spool_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::create(dir.path(), "run", 1).expect("a spool");
        let places: Vec<_> = (0..3)
            .map(|_| {
                spool.say(Kind::Accepted {
                    bundle_digest: "d".into(),
                })
            })
            .collect();
        spool.sync().expect("written");
        let text = std::fs::read_to_string(dir.path().join(EVENTS)).expect("the file");
        let seqs: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).expect("an event").seq)
            .collect();
        assert_eq!(seqs, [1, 2, 3]);
        let (place, length) = places[1];
        let line = spool.line(place, length).expect("the line");
        assert_eq!(
            serde_json::from_slice::<Event>(&line)
                .expect("an event")
                .seq,
            2
        );
        assert!(Spool::create(dir.path(), "run", 1).is_err());
    }
}
