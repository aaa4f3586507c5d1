//! Why a text cannot be read, in words of ours and with its place.
//!
//! The reader's own messages are matched here and nowhere else. Start at [`why`].

use std::str::Utf8Error;

use serde::de::IgnoredAny;

use super::{Limits, Origin};
use crate::model::{Diagnostic, Place};

/// The most letters of a key, quotes and escapes included (YAML 1.2.2, 7.4.2: an implicit key).
const LONGEST_KEY: usize = 1024;

/// What the reader said, and at which line and column.
pub(super) struct Said(pub(super) String, pub(super) Option<(usize, usize)>);

/// What to tell of a text that the reader refused.
pub(super) fn why(name: &str, text: &str, said: Said, limits: Limits) -> Diagnostic {
    if let Some(start) = long_key(text) {
        let detail = format!(
            "A key may be {LONGEST_KEY} characters long as it is written, quotes and escapes included. Shorten it, or move the text into a value."
        );
        return problem(name, "Key too long", detail, Some(end_of(&text[..start])));
    }
    let Said(said, at) = said;
    let (summary, detail) = classify(&plain_message(&said), limits);
    problem(name, summary, detail, at)
}

/// What to tell of bytes that are no text.
pub(super) fn not_text(name: &str, bytes: &[u8], error: Utf8Error) -> Diagnostic {
    let valid = error.valid_up_to();
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let detail = format!("Byte {} is no UTF-8. Save the file as UTF-8.", valid + 1);
    let before = before.strip_prefix('\u{feff}').unwrap_or(&before);
    problem(name, "Not UTF-8", detail, Some(end_of(before)))
}

/// The lines of a text as YAML counts them: ended by CR LF, by LF or by CR alone.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.find(['\n', '\r']);
        rest = end.map(|end| {
            let after = &text[end..];
            after.strip_prefix("\r\n").unwrap_or(&after[1..])
        });
        Some(&text[..end.unwrap_or(text.len())])
    })
}

/// Line and column, from 1, of what comes after a text.
fn end_of(text: &str) -> (usize, usize) {
    let (count, last) = lines(text).fold((0, ""), |(count, _), line| (count + 1, line));
    (count, last.chars().count() + 1)
}

/// Where the first key begins that YAML does not take for its length, in a text that is JSON: there is no other way
/// to write it there.
fn long_key(text: &str) -> Option<usize> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut start = 0;
    loop {
        start += text[start..].find('"')?;
        let mut end = start + 1;
        end += text[end..].find(['"', '\\'])?;
        while text[end..].starts_with('\\') {
            end += 2;
            end += text[end..].find(['"', '\\'])?;
        }
        let string = &text[start..=end];
        let is_key = text[end + 1..].trim_ascii_start().starts_with(':');
        if is_key && string.chars().count() > LONGEST_KEY {
            return Some(start);
        }
        start = end + 1;
    }
}

pub(super) fn mebibytes(bytes: usize) -> String {
    let tenths = (bytes * 10).div_ceil(1024 * 1024);
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        rest => format!("{}.{rest} MiB", tenths / 10),
    }
}

pub(super) fn problem(
    name: &str,
    summary: &str,
    detail: String,
    at: Option<(usize, usize)>,
) -> Diagnostic {
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

/// The reader's own words without its location suffix.
fn plain_message(text: &str) -> String {
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
