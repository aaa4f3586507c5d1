//! Shapes of JSON values, as tables, and the walk that compares a value with one. Knows nothing of Score.

use serde_json::Value;

use crate::model::diag::{Document as Origin, nearest, pointer};
use crate::model::{Diagnostic, Place};
use crate::text::Document;

/// What a value must be.
pub(super) enum Shape {
    /// A string that fits; the words say what it must be.
    Text(fn(&str) -> bool, &'static str),
    /// A whole number in a range.
    Integer(i64, i64),
    /// `true` or `false`.
    Bool,
    /// Any object, kept as it is.
    AnyObject,
    /// A list.
    List(&'static Shape),
    /// An object with keys of the user's choice, at least so many.
    Map {
        keys: (fn(&str) -> bool, &'static str),
        values: &'static Shape,
        at_least: usize,
    },
    /// An object with known fields.
    Object(&'static [Field], Extra),
}

/// What an object may have beside its known fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// Nothing.
    Refused,
    /// Anything.
    Allowed,
}

/// A known field.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// A field that must be there.
pub(super) const fn must(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: true,
    }
}

/// A field that may be there.
pub(super) const fn may(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: false,
    }
}

/// Problems of one document, each with its place in the text.
pub(super) struct Problems<'a> {
    document: &'a Document,
    found: Vec<Diagnostic>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self {
            document,
            found: Vec::new(),
        }
    }

    /// A place in the document.
    pub(super) fn place(&self, pointer: &str) -> Place {
        let mut place = Place::at(
            Origin::File {
                name: self.document.name.clone(),
            },
            pointer,
        );
        self.document.locate(&mut place);
        place
    }

    pub(super) fn error(&mut self, pointer: &str, summary: &str, detail: impl Into<String>) {
        let place = self.place(pointer);
        self.found.push(Diagnostic::error(summary, detail, place));
    }

    pub(super) fn warning(&mut self, pointer: &str, summary: &str, detail: impl Into<String>) {
        let place = self.place(pointer);
        self.found.push(Diagnostic::warning(summary, detail, place));
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Compares a value with a shape and notes every difference.
    pub(super) fn compare(&mut self, at: &str, value: &Value, shape: &Shape) {
        match (shape, value) {
            (Shape::Text(fits, words), Value::String(text)) => {
                if !fits(text) {
                    self.error(
                        at,
                        "Not allowed here",
                        format!("`{}` is given; expected {words}.", short(text)),
                    );
                }
            }
            (Shape::Text(_, _), Value::Number(_) | Value::Bool(_)) => self.error(
                at,
                "Wrong type",
                format!("`{value}` must be text here: put it in quotes, `\"{value}\"`."),
            ),
            (Shape::Integer(from, to), Value::Number(number)) => {
                if !number.as_i64().is_some_and(|n| (*from..=*to).contains(&n)) {
                    self.error(
                        at,
                        "Not allowed here",
                        format!("{number} is given; expected a whole number from {from} to {to}."),
                    );
                }
            }
            (Shape::Bool, Value::Bool(_)) | (Shape::AnyObject, Value::Object(_)) => {}
            (Shape::List(items), Value::Array(list)) => {
                for (position, item) in list.iter().enumerate() {
                    self.compare(&format!("{at}/{position}"), item, items);
                }
            }
            (
                Shape::Map {
                    keys: (fits, words),
                    values,
                    at_least,
                },
                Value::Object(map),
            ) => {
                if map.len() < *at_least {
                    self.error(
                        at,
                        "Nothing in it",
                        format!("At least {at_least} entry is needed here."),
                    );
                }
                for (key, item) in map {
                    let inside = pointer(at, key);
                    if !fits(key) {
                        self.error(
                            &inside,
                            "Name not allowed",
                            format!("`{}` is given; expected {words}.", short(key)),
                        );
                    }
                    self.compare(&inside, item, values);
                }
            }
            (Shape::Object(fields, extra), Value::Object(map)) => {
                self.fields(at, map, fields, *extra);
            }
            (shape, value) => self.error(
                at,
                "Wrong type",
                format!("Expected {}; {} is given.", wanted(shape), kind(value)),
            ),
        }
    }

    fn fields(
        &mut self,
        at: &str,
        map: &serde_json::Map<String, Value>,
        fields: &'static [Field],
        extra: Extra,
    ) {
        for (key, value) in map {
            match fields.iter().find(|field| field.name == key) {
                Some(field) => self.compare(&pointer(at, key), value, &field.shape),
                None if extra == Extra::Allowed => {}
                None => {
                    let known = || fields.iter().map(|field| field.name);
                    let hint = match nearest(key, known()).first() {
                        Some(near) => format!("Did you mean `{near}`?"),
                        None => format!("Known here are {}.", ticked(known())),
                    };
                    self.error(
                        &pointer(at, key),
                        "Unknown key",
                        format!("There is no `{}` here. {hint}", short(key)),
                    );
                }
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !map.contains_key(field.name) {
                self.error(
                    at,
                    "Missing",
                    format!("`{}` is missing: {}.", field.name, wanted(&field.shape)),
                );
            }
        }
    }
}

/// A list of names for people.
pub(super) fn ticked<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, most)) => format!("{} and {last}", most.join(", ")),
    }
}

/// A text short enough for an error, on one line.
pub(super) fn short(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(60)
        .collect();
    if text.chars().count() > 60 {
        format!("{line}…")
    } else {
        line
    }
}

/// What a shape wants, in words.
fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Text(_, words) => (*words).to_owned(),
        Shape::Integer(from, to) => format!("a whole number from {from} to {to}"),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::AnyObject | Shape::Map { .. } => "an object".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Object(fields, _) => format!(
            "an object with {}",
            ticked(fields.iter().map(|field| field.name))
        ),
    }
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
