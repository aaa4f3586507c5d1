//! Sealed streams of a run: the log as it grows, and outputs as one document.
//!
//! Text is collected for 64 KiB or 50 ms, sealed as a frame, and spooled. It is kept whole to 1 GiB; of what comes later the
//! last 8 MiB are kept, behind a marker that says how much is missing. Readers who need an age file get one written
//! anew from the frames at each phase end, every 30 s while the log is below 8 MiB, then each time it has doubled.
//!
//! Never writes text in clear, but for the control run of the tests. Only [`Log`] and [`seal_whole`] are called from outside.
//!
//! Why the age file is made of the frames: the supervisor then holds no second copy of the log in memory. It is bounded
//! ([`AGE_BYTES`]), because it travels as one event; the frames hold everything.

use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::spool::Spool;
use crate::runner::engine::stream::Level;
use crate::runner::event::{Event, Kind};
use crate::runner::job::{HostedState, Job};
use crate::seal::{OpenError, Recipient, Sealer, age::AgeFile};
use crate::wire::deployments::{RecipientSpec, StreamName};

/// A frame is made of so many bytes at most.
const FRAME: usize = 64 * 1024;
/// And after this time at the latest.
const LINGER: Duration = Duration::from_millis(50);
/// Log that is kept: so many bytes from the beginning and, when there is more, so many from the end.
const KEPT: (u64, usize) = (1024 * 1024 * 1024, 8 * 1024 * 1024);
/// Text in an age file at most: half of it from the beginning, half from the end.
const AGE_BYTES: u64 = 64 * 1024 * 1024;
/// An age file is rewritten after this time while the log is shorter than [`AGE_SMALL`].
const AGE_EVERY: Duration = Duration::from_secs(30);
const AGE_SMALL: u64 = 8 * 1024 * 1024;

/// Why a stream could not be begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecipientError {
    /// Not a key.
    #[error("`{0}` is not a recipient")]
    NotAKey(String),
}

enum Seal {
    Sealed(Box<Sealer>),
    /// The control run of the tests.
    Clear(u64),
}

/// One sealed stream.
struct Stream {
    name: StreamName,
    seal: Seal,
    age: Vec<Recipient>,
    /// Where the frames lie in the spool: place, length of the line, bytes of text.
    frames: Vec<(u64, usize, usize)>,
    text: u64,
}

impl Stream {
    /// Begins a stream and spools its header; `None` without readers.
    fn begin(
        spool: &mut Spool,
        job: &Job,
        name: StreamName,
        readers: &[RecipientSpec],
    ) -> Result<Option<Self>, RecipientError> {
        if readers.is_empty() {
            return Ok(None);
        }
        let mut all = Vec::new();
        let mut age = Vec::new();
        for reader in readers {
            let key: Recipient = reader
                .recipient
                .parse()
                .map_err(|_| RecipientError::NotAKey(reader.recipient.clone()))?;
            if reader.age_file {
                age.push(key);
            }
            all.push(key);
        }
        // Compiled into no release: there a job that asks for it is sealed like any other.
        let (seal, header) = if cfg!(debug_assertions) && job.unsealed {
            (Seal::Clear(0), b"unsealed\n".to_vec())
        } else {
            let (sealer, header) = Sealer::new(&job.run, job.attempt, name.as_str(), &all);
            (Seal::Sealed(Box::new(sealer)), header)
        };
        spool.say(Kind::Header {
            stream: name,
            bytes: BASE64_STANDARD.encode(header),
        });
        spool.sync_soon();
        Ok(Some(Self {
            name,
            seal,
            age,
            frames: Vec::new(),
            text: 0,
        }))
    }

    fn frame(&mut self, spool: &mut Spool, text: &[u8]) {
        let (number, bytes) = match &mut self.seal {
            Seal::Sealed(sealer) => {
                let frame = sealer.frame(text);
                (sealer.number(), frame)
            }
            Seal::Clear(number) => {
                *number += 1;
                (*number, text.to_vec())
            }
        };
        self.spooled(spool, number, false, &bytes, text.len());
    }

    fn spooled(&mut self, spool: &mut Spool, number: u64, last: bool, bytes: &[u8], text: usize) {
        let (place, length) = spool.say(Kind::Frame {
            stream: self.name,
            number,
            last,
            bytes: BASE64_STANDARD.encode(bytes),
        });
        self.frames.push((place, length, text));
        self.text += text as u64;
    }

    /// Writes the age file of all frames so far, and spools it.
    fn age_file(&self, spool: &mut Spool) {
        if self.age.is_empty() || matches!(self.seal, Seal::Clear(_)) {
            return;
        }
        spool.flush();
        // Where it fails, the frames are whole all the same, and the next phase end tries again.
        if let Ok(file) = self.age_bytes(spool) {
            spool.say(Kind::AgeFile {
                stream: self.name,
                bytes: BASE64_STANDARD.encode(file),
            });
            spool.flush();
        }
    }

    fn age_bytes(&self, spool: &Spool) -> std::io::Result<Vec<u8>> {
        let Seal::Sealed(sealer) = &self.seal else {
            return Ok(Vec::new());
        };
        let other = |error: OpenError| std::io::Error::other(error);
        let mut file = AgeFile::new(&self.age, Vec::new())?;
        let mut opener = sealer.opener();
        let skip = self.left_out();
        let mut skipped = 0;
        for (at, (place, length, text)) in self.frames.iter().enumerate() {
            if skip.contains(&at) {
                skipped += *text;
                continue;
            }
            if skipped > 0 {
                writeln!(
                    file,
                    "\n[… {skipped} bytes are not in this age file; the log itself has them …]"
                )?;
                skipped = 0;
                opener = opener.start_at(at as u64 + 1);
            }
            let line = spool.line(*place, *length)?;
            let event: Event = serde_json::from_slice(&line)?;
            let Kind::Frame { bytes, .. } = event.kind else {
                return Err(std::io::ErrorKind::InvalidData.into());
            };
            let sealed = BASE64_STANDARD
                .decode(bytes)
                .map_err(std::io::Error::other)?;
            file.write_all(&opener.open(&sealed).map_err(other)?.bytes)?;
        }
        file.finish()
    }

    /// Frames that an age file leaves out: none, or those in the middle.
    fn left_out(&self) -> std::ops::Range<usize> {
        if self.text <= AGE_BYTES {
            return 0..0;
        }
        let half = AGE_BYTES / 2;
        let mut from = 0;
        let mut sum = 0;
        while from < self.frames.len() && sum < half {
            sum += self.frames[from].2 as u64;
            from += 1;
        }
        let mut to = self.frames.len();
        sum = 0;
        while to > from && sum < half {
            to -= 1;
            sum += self.frames[to].2 as u64;
        }
        from..to
    }

    /// Seals the final frame.
    fn finish(mut self, spool: &mut Spool, text: &[u8]) {
        // The age file reads the frames through the sealer, which the final frame uses up: it is written first.
        if !text.is_empty() {
            self.frame(spool, text);
        }
        self.age_file(spool);
        let seal = std::mem::replace(&mut self.seal, Seal::Clear(0));
        match seal {
            Seal::Sealed(sealer) => {
                let number = sealer.number() + 1;
                let frame = sealer.finish(b"");
                self.spooled(spool, number, true, &frame, 0);
            }
            Seal::Clear(number) => self.spooled(spool, number + 1, true, b"", 0),
        }
        spool.flush();
    }
}

/// Seals one document as a whole stream. Nothing happens without readers.
pub(crate) fn seal_whole(
    spool: &mut Spool,
    job: &Job,
    name: StreamName,
    readers: &[RecipientSpec],
    document: &[u8],
) -> Result<(), RecipientError> {
    let Some(mut stream) = Stream::begin(spool, job, name, readers)? else {
        return Ok(());
    };
    let mut pieces = document.chunks(FRAME).peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_some() {
            stream.frame(spool, piece);
        } else {
            stream.finish(spool, piece);
            return Ok(());
        }
    }
    stream.finish(spool, b"");
    Ok(())
}

/// The log of a run.
pub(crate) struct Log {
    stream: Option<Stream>,
    level: Level,
    /// What a module may print and no reader of the log needs.
    hidden: Vec<String>,
    kept: (u64, usize),
    buffer: Vec<u8>,
    since: Option<Instant>,
    /// Bytes taken for the head.
    head: u64,
    tail: std::collections::VecDeque<u8>,
    /// Bytes that neither head nor tail holds.
    lost: u64,
    age_due: Instant,
    /// Length of the text in the last age file.
    age_text: u64,
}

impl Log {
    /// Begins the log; without readers it takes everything and keeps nothing.
    pub(crate) fn begin(spool: &mut Spool, job: &Job) -> Result<Self, RecipientError> {
        Ok(Self {
            stream: Stream::begin(spool, job, StreamName::Logs, &job.log_recipients)?,
            level: Level::parse(&job.log_level),
            hidden: job
                .state
                .iter()
                .flat_map(HostedState::secrets)
                .chain(job.encryption.iter().flat_map(|it| it.keys.clone()))
                .collect(),
            kept: KEPT,
            buffer: Vec::new(),
            since: None,
            head: 0,
            tail: std::collections::VecDeque::new(),
            lost: 0,
            age_due: Instant::now() + AGE_EVERY,
            age_text: 0,
        })
    }

    /// Takes a line, if the level asks for it.
    pub(crate) fn line(&mut self, spool: &mut Spool, level: Level, text: &str) {
        self.text(spool, level, text.as_bytes());
        self.text(spool, level, b"\n");
    }

    /// Takes bytes as they are; what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, spool: &mut Spool, level: Level, bytes: &[u8]) {
        if level < self.level || self.stream.is_none() || bytes.is_empty() {
            return;
        }
        let mut text = String::from_utf8_lossy(bytes);
        for secret in &self.hidden {
            if text.contains(secret) {
                text = text.replace(secret, "***").into();
            }
        }
        let bytes = text.as_bytes();
        let room = if spool.takes_more() {
            usize::try_from(self.kept.0 - self.head).unwrap_or(usize::MAX)
        } else {
            0
        };
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        if !head.is_empty() && self.tail.is_empty() && self.lost == 0 {
            self.head += head.len() as u64;
            self.since.get_or_insert_with(Instant::now);
            self.buffer.extend_from_slice(head);
            if self.buffer.len() >= FRAME {
                self.flush(spool);
            }
        } else {
            self.keep_tail(head);
        }
        self.keep_tail(rest);
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let over = self.tail.len().saturating_sub(self.kept.1);
        self.tail.drain(..over);
        self.lost += over as u64;
    }

    /// When something has to be done at the latest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let age = self
            .stream
            .as_ref()
            .is_some_and(|stream| !stream.age.is_empty() && stream.text > self.age_text)
            .then_some(self.age_due);
        match (self.since.map(|since| since + LINGER), age) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Seals what has waited long enough and rewrites the age file when its time has come.
    pub(crate) fn tick(&mut self, spool: &mut Spool, now: Instant) {
        if self.since.is_some_and(|since| since + LINGER <= now) {
            self.flush(spool);
        }
        if let Some(stream) = &self.stream {
            let due = if stream.text < AGE_SMALL {
                now >= self.age_due && stream.text > self.age_text
            } else {
                stream.text >= self.age_text.saturating_mul(2).max(AGE_SMALL)
            };
            if due {
                stream.age_file(spool);
                self.age_text = stream.text;
                self.age_due = now + AGE_EVERY;
            } else if now >= self.age_due {
                self.age_due = now + AGE_EVERY;
            }
        }
    }

    /// Seals what waits, now.
    pub(crate) fn flush(&mut self, spool: &mut Spool) {
        self.since = None;
        let text = std::mem::take(&mut self.buffer);
        if let Some(stream) = &mut self.stream {
            for piece in text.chunks(FRAME) {
                stream.frame(spool, piece);
            }
        }
        spool.sync_soon();
    }

    /// The end of a phase: everything is sealed, and the age file is whole up to here.
    pub(crate) fn phase_end(&mut self, spool: &mut Spool) {
        self.flush(spool);
        if let Some(stream) = &self.stream
            && stream.text > self.age_text
            && (stream.text < AGE_SMALL || stream.text >= self.age_text.saturating_mul(2))
        {
            stream.age_file(spool);
            self.age_text = stream.text;
            self.age_due = Instant::now() + AGE_EVERY;
        }
    }

    /// Seals the rest and the final frame.
    pub(crate) fn finish(mut self, spool: &mut Spool) {
        if self.lost > 0 {
            let marker = format!(
                "\n[… {} bytes of log were left out here: it was longer than is kept …]\n",
                self.lost
            );
            self.buffer.extend_from_slice(marker.as_bytes());
        }
        let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
        self.buffer.extend_from_slice(&tail);
        self.flush(spool);
        if let Some(stream) = self.stream.take() {
            stream.finish(spool, b"");
        }
    }
}

#[cfg(test)]
mod tests;
