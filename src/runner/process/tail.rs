//! Reads a spool file as it grows: whole lines only, in order, from one number on.

use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use crate::runner::event::{self, Event};

/// Read at once at most; a longer line is read whole all the same.
const CHUNK: u64 = 1024 * 1024;

/// A reader of one spool.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// End of the last whole line.
    offset: u64,
    after: u64,
}

impl Tail {
    /// From the event behind number `after`.
    pub(super) fn new(path: PathBuf, after: u64) -> Self {
        Self {
            path,
            file: None,
            offset: 0,
            after,
        }
    }

    /// Returns new events; none when there are none yet.
    pub(super) fn read(&mut self) -> io::Result<Vec<Event>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        let mut found = Vec::new();
        while found.is_empty() {
            let length = file.metadata()?.len();
            if length <= self.offset {
                break;
            }
            let mut take = CHUNK;
            let mut bytes = Vec::new();
            let whole = loop {
                bytes.clear();
                file.seek(SeekFrom::Start(self.offset))?;
                file.by_ref().take(take).read_to_end(&mut bytes)?;
                match bytes.iter().rposition(|byte| *byte == b'\n') {
                    Some(at) => break at + 1,
                    None if (bytes.len() as u64) < take => return Ok(found),
                    None => take *= 4,
                }
            };
            let mut rest = &bytes[..whole];
            let mut line = Vec::new();
            while rest.read_until(b'\n', &mut line)? > 0 {
                if event::seq_of(&line).is_none_or(|seq| seq > self.after) {
                    let event: Event = serde_json::from_slice(&line).map_err(io::Error::other)?;
                    if event.seq > self.after {
                        self.after = event.seq;
                        found.push(event);
                    }
                }
                line.clear();
            }
            self.offset += whole as u64;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(seq: u64) -> String {
        format!(
            "{{\"v\":1,\"run\":\"r\",\"attempt\":1,\"seq\":{seq},\"at_us\":0,\"kind\":{{\"step\":\"init\"}}}}\n"
        )
    }

    #[test]
    fn only_whole_lines_behind_the_number_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        let mut tail = Tail::new(path.clone(), 1);
        assert!(tail.read().expect("no file yet").is_empty());
        let mut file = File::create(&path).expect("made");
        let third = line(3);
        write!(file, "{}{}{}", line(1), line(2), &third[..10]).expect("written");
        let seqs = |events: Vec<Event>| events.iter().map(|e| e.seq).collect::<Vec<_>>();
        assert_eq!(seqs(tail.read().expect("read")), [2]);
        assert!(tail.read().expect("read").is_empty());
        write!(file, "{}", &third[10..]).expect("written");
        assert_eq!(seqs(tail.read().expect("read")), [3]);
    }

    #[test]
    fn a_line_longer_than_a_chunk_is_read_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events.jsonl");
        let big = "x".repeat(3 * 1024 * 1024);
        let event = format!(
            "{{\"v\":1,\"run\":\"r\",\"attempt\":1,\"seq\":1,\"at_us\":0,\"kind\":{{\"age_file\":{{\"stream\":\"logs\",\"bytes\":\"{big}\"}}}}}}\n"
        );
        std::fs::write(&path, format!("{event}{}", line(2))).expect("written");
        let mut tail = Tail::new(path, 0);
        let mut all = Vec::new();
        loop {
            let batch = tail.read().expect("read");
            if batch.is_empty() {
                break;
            }
            all.extend(batch);
        }
        assert_eq!(all.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2]);
    }
}
