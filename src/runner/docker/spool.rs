//! Reads events: lines of an attached stream, and the spool file through the archive API.
//!
//! The spool is the truth. The attached stream is only quicker: it may drop whatever it likes, and a gap in the numbers
//! is filled from the spool.

use std::io::{BufRead as _, BufReader, Read};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::daemon::{Daemon, failed, status};
use crate::model::phase::FailureClass;
use crate::runner::LaunchError;
use crate::runner::event::{self, Event};

/// The spool file inside the container.
const FILE: &str = "/spool/events.jsonl";
/// Events per batch.
const BATCH: usize = 256;
/// Longest line: an age file of a log at its largest, in base64, with room.
const LONGEST: usize = 2 << 30;

/// What reading the spool came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The number of the last event that was sent or skipped.
    Until(u64),
    /// There is no such container.
    Vanished,
}

/// Sends the events above `after` that the spool holds, in order and without gaps.
pub(super) async fn read(
    daemon: &Daemon,
    id: &str,
    after: u64,
    events: &mpsc::Sender<Vec<Event>>,
) -> Result<Reading, LaunchError> {
    let options = DownloadFromContainerOptionsBuilder::default()
        .path(FILE)
        .build();
    let mut chunks = Box::pin(daemon.docker.download_from_container(id, Some(options)));
    let (feed, fed) = mpsc::channel::<Bytes>(16);
    let (sender, mut batches) = mpsc::channel::<Vec<Event>>(4);
    let parser = tokio::task::spawn_blocking(move || {
        let blocking = Chunks {
            source: fed,
            current: Bytes::new(),
        };
        parse_archive(blocking, after, |batch| sender.blocking_send(batch).is_ok())
    });
    let mut failure = None;
    let pump = async {
        while let Some(chunk) = chunks.next().await {
            match chunk {
                // The parser stops early when nobody wants more.
                Ok(bytes) => {
                    if feed.send(bytes).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(feed);
    };
    let forward = async {
        while let Some(batch) = batches.recv().await {
            if events.send(batch).await.is_err() {
                break;
            }
        }
        // Dropped here, so that a parser that still has something to say ends.
        drop(batches);
    };
    tokio::join!(pump, forward);
    if let Some(error) = failure {
        return match status(&error) {
            Some(404) if error.to_string().contains("No such container") => Ok(Reading::Vanished),
            // Nothing was written yet.
            Some(404) => Ok(Reading::Until(after)),
            _ => Err(failed(daemon, "read the spool of the run", &error)),
        };
    }
    let last = parser.await.map_err(|_| LaunchError {
        class: FailureClass::Internal,
        message: "the spool of the run could not be read".to_owned(),
        transient: true,
    })?;
    Ok(Reading::Until(last))
}

/// Parses the archive of one spool file; returns the number of the last event sent, or `after`.
fn parse_archive(source: impl Read, after: u64, mut send: impl FnMut(Vec<Event>) -> bool) -> u64 {
    let mut last = after;
    let mut archive = tar::Archive::new(source);
    let Some(Ok(entry)) = archive
        .entries()
        .ok()
        .and_then(|mut entries| entries.next())
    else {
        return last;
    };
    let mut reader = BufReader::with_capacity(1 << 20, entry);
    let mut line = Vec::new();
    let mut batch = Vec::new();
    loop {
        line.clear();
        // A line without an end was being written when the archive was made; it comes next time.
        if !matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0)
            || line.last() != Some(&b'\n')
        {
            break;
        }
        // Cheap first: nearly all lines of a long run are known already.
        if event::seq_of(&line).is_some_and(|seq| seq <= last) {
            continue;
        }
        let Ok(event) = serde_json::from_slice::<Event>(&line) else {
            tracing::warn!("a line of the spool is not an event");
            break;
        };
        if event.seq <= last {
            continue;
        }
        if event.seq != last + 1 {
            tracing::warn!(seq = event.seq, last, "the spool has a gap");
            break;
        }
        last = event.seq;
        batch.push(event);
        if batch.len() >= BATCH && !send(std::mem::take(&mut batch)) {
            return last;
        }
    }
    if !batch.is_empty() {
        send(batch);
    }
    last
}

/// Chunks of an asynchronous stream as a blocking reader.
struct Chunks {
    source: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.source.blocking_recv() {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// Joins pieces of a stream to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// A line was too long: skip to its end.
    skipping: bool,
}

impl Lines {
    /// Takes a piece; calls `each` for every whole line in it, without its end.
    pub(super) fn take(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = piece.split_at(end);
            piece = &tail[1..];
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.is_empty() {
                each(head);
            } else {
                self.partial.extend_from_slice(head);
                each(&self.partial);
                self.partial.clear();
            }
        }
        if self.skipping {
            return;
        }
        if self.partial.len() + piece.len() > LONGEST {
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::phase::Step;
    use crate::runner::event::Kind;

    fn line(seq: u64) -> Vec<u8> {
        let event = Event {
            v: 1,
            run: "run".to_owned(),
            attempt: 1,
            seq,
            at_us: 0,
            kind: Kind::Step(Step::Planning),
        };
        let mut line = serde_json::to_vec(&event).expect("JSON");
        line.push(b'\n');
        line
    }

    fn archive(content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_data(&mut header, "events.jsonl", content)
            .expect("appended");
        archive.into_inner().expect("finished")
    }

    fn parse(content: &[u8], after: u64) -> (u64, Vec<u64>) {
        let mut seen = Vec::new();
        let last = parse_archive(&archive(content)[..], after, |batch| {
            seen.extend(batch.iter().map(|event| event.seq));
            true
        });
        (last, seen)
    }

    #[test]
    fn only_what_is_new_is_sent() {
        let content: Vec<u8> = (1..=600).flat_map(line).collect();
        let (last, seen) = parse(&content, 3);
        assert_eq!(last, 600);
        assert_eq!(seen, (4..=600).collect::<Vec<_>>());
        assert_eq!(parse(&content, 600), (600, vec![]));
    }

    #[test]
    fn a_line_cut_by_a_kill_and_what_follows_damage_is_left_out() {
        let mut content = [line(1), line(2)].concat();
        content.extend_from_slice(&line(3)[..20]);
        assert_eq!(parse(&content, 0), (2, vec![1, 2]));
        let content = [line(1), b"{]\n".to_vec(), line(2)].concat();
        assert_eq!(parse(&content, 0), (1, vec![1]));
        let content = [line(1), line(3)].concat();
        assert_eq!(parse(&content, 0), (1, vec![1]));
        assert_eq!(parse(b"", 0), (0, vec![]));
    }

    #[test]
    fn lines_survive_any_cut() {
        let whole = [line(1), line(2), line(3)].concat();
        for size in 1..40 {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in whole.chunks(size) {
                lines.take(piece, |line| {
                    seen.push(serde_json::from_slice::<Event>(line).expect("an event").seq);
                });
            }
            assert_eq!(seen, [1, 2, 3], "pieces of {size}");
        }
    }
}
