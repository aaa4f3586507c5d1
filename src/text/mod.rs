//! YAML and JSON text to values with places: the one reader of documents that people write.
//!
//! Holds every limit against bombs (size, nodes, nesting, aliases) and the one option set of the
//! YAML reader: YAML 1.2 booleans only, no silent rounding of long integers, duplicate keys refused.
//! Never opens files and never guesses types: a [`Document`] is a `serde_json::Value` and, for each
//! pointer into it, the line and column where key and value stand. Start at [`read`].
//!
//! Why a tree of places beside the value and not a map from pointer to place: a manifest of 10 000
//! resources has some 80 000 pointers, and only those in an error are ever asked for.

mod node;
mod refusal;

use serde_json::Value;
use serde_yaml::Spanned;

use self::node::{Node, spot};
use self::refusal::{Said, mebibytes, not_text, problem, why};

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
    if bytes.len() > limits.bytes {
        let detail = format!(
            "It has {}; at most {} are read. Split it, or move large values out of it.",
            mebibytes(bytes.len()),
            mebibytes(limits.bytes)
        );
        return Err(vec![problem(name, "Document too large", detail, None)]);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return Err(vec![not_text(name, bytes, error)]),
    };
    let read = || -> Result<Vec<Spanned<Node>>, Said> {
        serde_yaml::from_multiple_with_options(text, options(limits)).map_err(|error| {
            let at = error.location().filter(|at| at.line() > 0);
            let at = at.map(|at| (at.line() as usize, at.column() as usize));
            Said(error.without_snippet().to_string(), at)
        })
    };
    let nodes = match with_deep_stack(read) {
        Ok(nodes) => nodes,
        Err(said) => return Err(vec![why(name, text, said, limits)]),
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

#[cfg(test)]
mod tests;
