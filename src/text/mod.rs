//! YAML and JSON text to values with places: the one reader of documents that people write.
//!
//! Holds every limit against bombs (size, nodes, nesting, aliases) and the one option set of the
//! YAML reader: YAML 1.2 booleans only, no silent rounding of long integers, duplicate keys refused.
//! Never opens files and never guesses types: a [`Document`] is a `serde_json::Value` and, for each
//! pointer into it, the line and column where key and value stand. Start at [`read`].
//!
//! Why a tree of places beside the value and not a map from pointer to place: a manifest of 10 000
//! resources has some 80 000 pointers, and only those in an error are ever asked for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::Spanned;

use crate::model::diag::Document as Origin;
use crate::model::{Diagnostic, Place};

/// How much a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Length of the text.
    pub(crate) bytes: usize,
    /// Maps, lists and scalars, after aliases are expanded.
    pub(crate) nodes: usize,
    /// Nesting of maps and lists.
    pub(crate) depth: usize,
}

impl Limits {
    /// A file given on the command line, or the body of a request.
    pub(crate) const DEFAULT: Self = Self {
        bytes: 8 * 1024 * 1024,
        nodes: 1_000_000,
        depth: 64,
    };
}

/// A point in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spot {
    line: u32,
    column: u32,
}

/// Places of one value; `items` stands in the order of the value's own entries.
#[derive(Debug, Clone, Default)]
struct Places {
    key: Spot,
    value: Spot,
    items: Vec<Places>,
}

/// A value and the places of everything in it.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// The file, as the user named it.
    pub(crate) name: String,
    /// What it says.
    pub(crate) value: Value,
    places: Places,
}

impl Document {
    /// Where the value at `pointer` begins (its key, where it has one): line and column from 1.
    ///
    /// A pointer to something that is not there answers with its nearest ancestor that is, so that
    /// "missing" has a place too. `None` only for text without places.
    pub(crate) fn place(&self, pointer: &str) -> Option<(usize, usize)> {
        self.spot(pointer, true)
    }

    /// Where the value itself begins, not its key.
    pub(crate) fn value_place(&self, pointer: &str) -> Option<(usize, usize)> {
        self.spot(pointer, false)
    }

    fn spot(&self, pointer: &str, want_key: bool) -> Option<(usize, usize)> {
        let (mut value, mut places) = (&self.value, &self.places);
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let (position, inner) = match value {
                Value::Object(map) => {
                    match map
                        .iter()
                        .enumerate()
                        .find(|(_, (key, _))| **key == segment)
                    {
                        Some((position, (_, inner))) => (position, inner),
                        None => break,
                    }
                }
                Value::Array(list) => match segment.parse::<usize>().ok() {
                    Some(position) if position < list.len() => (position, &list[position]),
                    _ => break,
                },
                _ => break,
            };
            match places.items.get(position) {
                Some(found) => (value, places) = (inner, found),
                None => break,
            }
        }
        let spot = if want_key && places.key.line > 0 {
            places.key
        } else {
            places.value
        };
        (spot.line > 0).then_some((spot.line as usize, spot.column as usize))
    }

    /// Fills line, column and file of a place that points into this document.
    pub(crate) fn locate(&self, place: &mut Place) {
        if let Some((line, column)) = self.place(&place.pointer) {
            place.line = Some(line);
            place.column = Some(column);
        }
        place.file = Some(self.name.clone());
    }
}

/// Reads one YAML or JSON document. An empty text is an error that says so.
pub(crate) fn read(name: &str, bytes: &[u8], limits: Limits) -> Result<Document, Vec<Diagnostic>> {
    let mut all = read_all(name, bytes, limits)?;
    match (all.pop(), all.is_empty()) {
        (Some(document), true) => Ok(document),
        (None, _) => Err(vec![problem(
            name,
            "Empty document",
            "There is nothing in it. Write a document, for a manifest at least `workloads: {}`."
                .into(),
            None,
        )]),
        (Some(second), false) => Err(vec![problem(
            name,
            "More than one document",
            "One document is expected here, but `---` starts another. Split the file.".into(),
            second.place(""),
        )]),
    }
}

/// Reads a stream of YAML documents separated by `---`; documents without content are left out.
pub(crate) fn read_all(
    name: &str,
    bytes: &[u8],
    limits: Limits,
) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let refuse = |summary: &str, detail: String, at| Err(vec![problem(name, summary, detail, at)]);
    if bytes.len() > limits.bytes {
        return refuse(
            "Document too large",
            format!(
                "It has {}; at most {} are read. Split it, or move large values out of it.",
                mebibytes(bytes.len()),
                mebibytes(limits.bytes)
            ),
            None,
        );
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before
                .rsplit('\n')
                .next()
                .map_or(1, |l| l.chars().count() + 1);
            return refuse(
                "Not UTF-8",
                format!(
                    "Byte {} is no UTF-8. Save the file as UTF-8.",
                    error.valid_up_to() + 1
                ),
                Some((line, column)),
            );
        }
    };
    /// What was said, and at which line and column.
    type Said = (String, Option<(usize, usize)>);
    let read = || -> Result<Vec<Spanned<Node>>, Said> {
        serde_yaml::from_multiple_with_options(text, options(limits)).map_err(|error| {
            let at = error.location().filter(|at| at.line() > 0);
            let at = at.map(|at| (at.line() as usize, at.column() as usize));
            (plain_message(&error), at)
        })
    };
    let nodes = match with_deep_stack(read) {
        Ok(nodes) => nodes,
        Err((said, at)) => {
            let (summary, detail) = classify(&said, limits);
            return refuse(summary, detail, at);
        }
    };
    let mut documents = Vec::with_capacity(nodes.len());
    let mut problems = Vec::new();
    for node in nodes {
        let value_spot = spot(&node.defined);
        let (value, mut places) = node.value.split(text, &node.defined, "", &mut |pointer, at| {
            problems.push(Diagnostic {
                places: vec![Place {
                    line: Some(at.line as usize),
                    column: Some(at.column as usize),
                    file: Some(name.to_owned()),
                    ..Place::at(Origin::File { name: name.to_owned() }, pointer)
                }],
                ..Diagnostic::error(
                    "Number too large",
                    "This integer has more digits than can be kept exactly. Put it in quotes to make it a string.",
                    Place::manifest(""),
                )
            });
        });
        places.value = value_spot;
        if !value.is_null() {
            documents.push(Document {
                name: name.to_owned(),
                value,
                places,
            });
        }
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}

/// The one option set.
fn options(limits: Limits) -> serde_yaml::Options {
    serde_yaml::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: limits.nodes / 5,
        },
        budget: serde_yaml::budget! {
            max_nodes: limits.nodes,
            max_events: limits.nodes.saturating_mul(2),
            max_recorded_anchor_events: limits.nodes / 5,
            max_depth: limits.depth,
            flow_nesting_limit: limits.depth,
            max_inclusion_depth: 0,
            max_documents: 1_000,
        },
    }
}

/// Runs the reader on a stack of its own: it recurses, and the stack of whoever calls may be small.
fn with_deep_stack<T: Send>(read: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .stack_size(32 * 1024 * 1024)
            .spawn_scoped(scope, read)
            .expect("a thread can be started");
        match reader.join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn mebibytes(bytes: usize) -> String {
    let tenths = (bytes * 10).div_ceil(1024 * 1024);
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        rest => format!("{}.{rest} MiB", tenths / 10),
    }
}

fn problem(name: &str, summary: &str, detail: String, at: Option<(usize, usize)>) -> Diagnostic {
    let mut place = Place::at(
        Origin::File {
            name: name.to_owned(),
        },
        "",
    );
    place.file = Some(name.to_owned());
    (place.line, place.column) = (at.map(|at| at.0), at.map(|at| at.1));
    Diagnostic::error(summary, detail, place)
}

/// The reader's own words without its location suffix and source snippet.
fn plain_message(error: &serde_yaml::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.split_once(": ") {
        Some((head, rest)) if head.starts_with("error: line ") || head.starts_with("line ") => rest,
        _ => text,
    }
    .trim_end_matches('.')
    .to_owned()
}

fn classify(said: &str, limits: Limits) -> (&'static str, String) {
    let lower = said.to_lowercase();
    if lower.contains("duplicate") {
        let key = said.split_once(": ").map_or(said, |(_, rest)| rest);
        let key = key.split(", set ").next().unwrap_or(key);
        (
            "Duplicate key",
            format!("`{key}` is there twice. Rename or remove one of the two."),
        )
    } else if lower.contains("depth") || lower.contains("nesting") || lower.contains("recursion") {
        (
            "Nested too deeply",
            format!("Maps and lists may be nested {} deep.", limits.depth),
        )
    } else if lower.contains("budget") || lower.contains("limit") || lower.contains("alias") {
        (
            "Document too complex",
            format!(
                "It unfolds to more than the {} values that are read. Anchors and aliases count each time they are used; write less of them.",
                limits.nodes
            ),
        )
    } else {
        ("Not readable as YAML", format!("{}.", sentence(said)))
    }
}

fn sentence(said: &str) -> String {
    let mut letters = said.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// A value as it comes from the reader, places included.
enum Node {
    Scalar(Value),
    /// A number that had to be rounded; kept only to look at its text.
    Float(f64),
    /// An integer beyond 64 bits.
    Huge,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    /// Takes value and places apart; tells `refuse` of integers that did not survive.
    fn split(
        self,
        text: &str,
        at: &serde_yaml::Location,
        pointer: &str,
        refuse: &mut dyn FnMut(&str, Spot),
    ) -> (Value, Places) {
        let mut places = Places {
            value: spot(at),
            ..Places::default()
        };
        let value = match self {
            Self::Scalar(value) => value,
            Self::Huge => {
                refuse(pointer, places.value);
                Value::Null
            }
            Self::Float(number) => {
                let written = word_at(text, places.value);
                let digits = written.trim_start_matches(['-', '+']);
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    refuse(pointer, places.value);
                }
                Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (position, item) in items.into_iter().enumerate() {
                    let inner = format!("{pointer}/{position}");
                    let (value, place) = item.value.split(text, &item.defined, &inner, refuse);
                    list.push(value);
                    places.items.push(place);
                }
                Value::Array(list)
            }
            Self::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, item) in entries {
                    let inner = crate::model::diag::pointer(pointer, &key.value);
                    let (value, mut place) = item.value.split(text, &item.defined, &inner, refuse);
                    place.key = spot(&key.defined);
                    #[cfg(feature = "fuzz")]
                    if value.is_null() && crate::model::planted::is_planted("yaml") {
                        place.key.column += 1;
                    }
                    map.insert(key.value, value);
                    places.items.push(place);
                }
                Value::Object(map)
            }
        };
        (value, places)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "texts are far shorter than 2^32 lines"
)]
fn spot(at: &serde_yaml::Location) -> Spot {
    Spot {
        line: at.line() as u32,
        column: at.column() as u32,
    }
}

/// The plain word that starts at a spot.
fn word_at(text: &str, at: Spot) -> &str {
    let Some(line) = text.lines().nth((at.line as usize).saturating_sub(1)) else {
        return "";
    };
    let start = line
        .char_indices()
        .nth((at.column as usize).saturating_sub(1))
        .map_or(line.len(), |(start, _)| start);
    let rest = &line[start..];
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#'))
        .unwrap_or(rest.len());
    &rest[..end]
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, a list, a string, a number, a boolean or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        #[cfg(feature = "fuzz")]
        if value > 1 << 63 && crate::model::planted::is_planted("json") {
            return Ok(Node::Scalar((value as f64).into()));
        }
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Huge, |small| Node::Scalar(small.into())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or(Node::Huge, |small| Node::Scalar(small.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        if value.is_finite() {
            Ok(Node::Float(value))
        } else {
            Err(E::custom("not a finite number; put it in quotes"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Node, E> {
        Err(E::custom("binary data is not supported; use a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push((key, entries.next_value()?));
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests;
