//! One line of a `-json` stream → what it says; and the splitting of bytes into lines.

use serde_json::{Map, Value};

/// Longest line that is parsed; a longer one is log text in pieces, so that memory stays bounded.
pub(crate) const MAX_LINE: usize = 32 * 1024 * 1024;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// The version of the stream: `ui` is `MAJOR.MINOR`.
    Version {
        /// Major version of the stream, if it can be read.
        ui_major: Option<u32>,
        /// Version of the engine.
        engine: Option<String>,
    },
    /// A change the plan contains.
    Planned(Change),
    /// A change begins.
    Started(Change),
    /// A change is done.
    Done(Change),
    /// A change failed.
    Errored(Change),
    /// Counts.
    Summary(Summary),
    /// Outputs: planned actions first, values (sensitive ones left out) at the end.
    Outputs(Map<String, Value>),
    /// A diagnostic.
    Diagnostic(Diagnostic),
    /// Anything else that is JSON of the engine: only its words matter.
    Other,
    /// Not JSON of the engine.
    Text,
}

/// A line: what it says, and how it is shown in the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What.
    pub(crate) said: Said,
    /// `debug`, `info`, `warn` or `error` of the line; text that is not JSON counts as `info`.
    pub(crate) level: Level,
    /// Its words, for the sealed log; without line ending.
    pub(crate) words: String,
}

/// How loud a line is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Reads a level; anything unknown is [`Level::Info`].
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "trace" | "debug" => Self::Debug,
            "warn" | "warning" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }
}

/// A change of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// `module.x.type.name[0]`.
    pub(crate) address: String,
    /// `create`, `read`, `update`, `delete`, `replace`, `noop`, `move`, `import`, `forget`.
    pub(crate) action: String,
    /// The attribute that identifies the object, and its value, where the engine says so.
    pub(crate) id: Option<(String, String)>,
}

/// Counts of `change_summary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) add: u64,
    pub(crate) change: u64,
    pub(crate) remove: u64,
    pub(crate) import: u64,
    pub(crate) forget: u64,
    /// Whether it is the plan's rather than what was done.
    pub(crate) planned: bool,
}

impl Summary {
    /// Whether it counts nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.add + self.change + self.remove + self.import + self.forget == 0
    }
}

/// A diagnostic of the engine. Summary, detail and snippet quote what modules print: they go into the sealed log only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Diagnostic {
    /// Whether it is an error rather than a warning.
    pub(crate) error: bool,
    pub(crate) summary: String,
    pub(crate) detail: String,
    pub(crate) address: Option<String>,
    /// File, and line from 1.
    pub(crate) place: Option<(String, u64)>,
    /// Block that contains it, source lines, and the line the source starts at.
    pub(crate) context: Option<String>,
    pub(crate) code: Option<(String, u64)>,
}

/// Reads one line, without its line ending.
pub(crate) fn read(line: &[u8]) -> Line {
    let text = |level| Line {
        said: Said::Text,
        level,
        words: String::from_utf8_lossy(line).into_owned(),
    };
    if line.first() != Some(&b'{') || line.len() > MAX_LINE {
        return text(Level::Info);
    }
    // Invalid UTF-8 inside a JSON line is replaced, not refused: providers print what they like.
    let lossy = String::from_utf8_lossy(line);
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(&lossy) else {
        return text(Level::Info);
    };
    if !object.contains_key("@level") && !object.contains_key("@message") {
        return text(Level::Info);
    }
    let level = Level::parse(string(&object, "@level").unwrap_or("info"));
    let said = said(&object);
    let words = match &said {
        Said::Diagnostic(diagnostic) => super::words::diagnostic(diagnostic),
        _ => string(&object, "@message").unwrap_or_default().to_owned(),
    };
    let level = match &said {
        Said::Diagnostic(diagnostic) if diagnostic.error => Level::Error,
        Said::Diagnostic(_) => Level::Warn,
        _ => level,
    };
    Line { said, level, words }
}

fn said(object: &Map<String, Value>) -> Said {
    match string(object, "type").unwrap_or_default() {
        "version" => Said::Version {
            ui_major: string(object, "ui")
                .and_then(|ui| ui.split('.').next())
                .and_then(|major| major.parse().ok()),
            engine: string(object, "tofu")
                .or_else(|| string(object, "terraform"))
                .map(str::to_owned),
        },
        "planned_change" => change(object, "change").map_or(Said::Other, Said::Planned),
        "apply_start" => change(object, "hook").map_or(Said::Other, Said::Started),
        "apply_complete" => change(object, "hook").map_or(Said::Other, Said::Done),
        "apply_errored" => change(object, "hook").map_or(Said::Other, Said::Errored),
        "change_summary" => summary(object).map_or(Said::Other, Said::Summary),
        "outputs" => match object.get("outputs") {
            Some(Value::Object(outputs)) => Said::Outputs(outputs.clone()),
            _ => Said::Other,
        },
        "diagnostic" => match object.get("diagnostic") {
            Some(Value::Object(inner)) => Said::Diagnostic(diagnostic(inner)),
            _ => Said::Other,
        },
        _ => Said::Other,
    }
}

fn string<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn change(object: &Map<String, Value>, key: &str) -> Option<Change> {
    let inner = object.get(key)?.as_object()?;
    let id = match (string(inner, "id_key"), string(inner, "id_value")) {
        (Some(key), Some(value)) if !key.is_empty() && !value.is_empty() => {
            Some((key.to_owned(), value.to_owned()))
        }
        _ => None,
    };
    Some(Change {
        address: string(inner.get("resource")?.as_object()?, "addr")?.to_owned(),
        action: string(inner, "action").unwrap_or_default().to_owned(),
        id,
    })
}

fn summary(object: &Map<String, Value>) -> Option<Summary> {
    let changes = object.get("changes")?.as_object()?;
    let count = |key: &str| changes.get(key).and_then(Value::as_u64).unwrap_or(0);
    Some(Summary {
        add: count("add"),
        change: count("change"),
        remove: count("remove"),
        import: count("import"),
        forget: count("forget"),
        planned: string(changes, "operation") == Some("plan"),
    })
}

fn diagnostic(object: &Map<String, Value>) -> Diagnostic {
    let owned = |key: &str| string(object, key).unwrap_or_default().to_owned();
    let range = object.get("range").and_then(Value::as_object);
    let snippet = object.get("snippet").and_then(Value::as_object);
    Diagnostic {
        error: string(object, "severity") != Some("warning"),
        summary: owned("summary"),
        detail: owned("detail"),
        address: string(object, "address").map(str::to_owned),
        place: range.and_then(|range| {
            Some((
                string(range, "filename")?.to_owned(),
                range.get("start")?.get("line")?.as_u64()?,
            ))
        }),
        context: snippet
            .and_then(|snippet| string(snippet, "context"))
            .map(str::to_owned),
        code: snippet.and_then(|snippet| {
            Some((
                string(snippet, "code")?.to_owned(),
                snippet
                    .get("start_line")
                    .and_then(Value::as_u64)
                    .unwrap_or(1),
            ))
        }),
    }
}

/// Splits a stream of bytes into lines. A line beyond [`MAX_LINE`] comes out in pieces, each marked as not being a whole line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// Where the search for the next line ending goes on, so that a long line is not searched again and again.
    searched: usize,
    in_long: bool,
}

/// What [`Lines`] gives back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole line, without its ending.
    Line(Vec<u8>),
    /// A piece of a line that is too long to be one; the flag says that its line ends here.
    Part(Vec<u8>, bool),
}

impl Lines {
    /// Takes more bytes; returns what is complete.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Piece>) {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(found) = self.rest[self.searched.max(from)..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = self.searched.max(from) + found;
            let line = self.rest[from..end].to_vec();
            from = end + 1;
            self.searched = from;
            out.push(self.piece(line));
        }
        self.rest.drain(..from);
        self.searched = self.rest.len();
        if self.rest.len() > MAX_LINE {
            out.push(Piece::Part(std::mem::take(&mut self.rest), false));
            self.searched = 0;
            self.in_long = true;
        }
    }

    fn piece(&mut self, mut line: Vec<u8>) -> Piece {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if std::mem::take(&mut self.in_long) {
            Piece::Part(line, true)
        } else {
            Piece::Line(line)
        }
    }

    /// What is left when the stream ends without a line ending.
    pub(crate) fn finish(&mut self) -> Option<Piece> {
        self.searched = 0;
        #[cfg(feature = "fuzz")]
        if self.rest == b"\r" && crate::model::planted::is_planted("stream") {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty() || self.in_long).then(|| self.piece(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Piece> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk, &mut out);
        }
        out.extend(lines.finish());
        out
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let text = b"one\r\ntwo\n\nlast";
        let whole = all(&[text]);
        assert_eq!(
            whole,
            [&b"one"[..], b"two", b"", b"last"].map(|l| Piece::Line(l.to_vec()))
        );
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes), whole);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let chunk = vec![b'x'; 1024 * 1024];
        let mut chunks: Vec<&[u8]> = vec![&chunk; 70];
        chunks.push(b"end\nnext\n");
        let pieces = all(&chunks);
        assert!(matches!(pieces[0], Piece::Part(_, false)));
        assert_eq!(pieces[pieces.len() - 1], Piece::Line(b"next".to_vec()));
        assert!(matches!(&pieces[pieces.len() - 2], Piece::Part(_, true)));
    }

    #[test]
    fn a_change_is_read_with_its_id() {
        let line = read(br#"{"@level":"info","@message":"x: Creation complete","type":"apply_complete","hook":{"resource":{"addr":"module.a.terraform_data.x[0]"},"action":"create","id_key":"id","id_value":"7","elapsed_seconds":0}}"#);
        assert_eq!(
            line.said,
            Said::Done(Change {
                address: "module.a.terraform_data.x[0]".into(),
                action: "create".into(),
                id: Some(("id".into(), "7".into()))
            })
        );
        assert_eq!(line.words, "x: Creation complete");
    }

    #[test]
    fn what_is_not_of_the_engine_is_text() {
        for text in [
            &b"Warning: Unable to open CLI configuration file"[..],
            b"{ not json",
            b"{\"a\": 1}",
            b"[]",
            b"",
            b"panic: \xff\xfe",
        ] {
            assert_eq!(read(text).said, Said::Text, "{text:?}");
        }
    }

    #[test]
    fn invalid_utf8_inside_a_json_line_is_replaced() {
        let line = read(b"{\"@level\":\"info\",\"@message\":\"a\xffb\",\"type\":\"log\"}");
        assert_eq!(line.said, Said::Other);
        assert_eq!(line.words, "a\u{fffd}b");
    }
}
