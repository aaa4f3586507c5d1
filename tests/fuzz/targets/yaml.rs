//! YAML: what is accepted keeps within the limits, each key has the place where it is written, and the value printed
//! as JSON reads as the same value; what is refused is refused at a place in the text.

use serde_json::Value;

use super::{LIMITS, Target, assert_told, lines, none};
use crate::model::diag::pointer;
use crate::text::{self, Document};

pub(super) const TARGET: Target = Target {
    name: "yaml",
    run,
    folders: &[("tests/golden", ".yaml"), ("examples", ".yaml")],
    examples: none,
    words: &[
        "workloads:",
        "resources:",
        "type: ",
        "- ",
        "? ",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!!binary ",
        "|\n ",
        ">-\n ",
        "---\n",
        "...\n",
        "{a: ",
        "[1, ",
        "\"\\u00e9\"",
        "'it''s'",
        "# x\n",
        "~",
        "true",
        "0755",
        "1_000",
        "18446744073709551616",
        "-9223372036854775809",
        "1e400",
        ".nan",
        "\u{feff}",
        "\r\n",
        "\u{2028}",
        "%YAML 1.2\n",
        "\t",
    ],
    max_bytes: 2048,
    gate: 200_000,
};

fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = lines(&text);
    match text::read_all("m.yaml", data, LIMITS) {
        Ok(documents) => {
            for document in &documents {
                let nodes = measure(&document.value, 0);
                assert!(nodes <= LIMITS.nodes, "{nodes} values");
                places(document, &document.value, "", &lines);
                same_again(&document.value);
            }
        }
        Err(problems) => assert_told(&problems, &lines),
    }
}

/// Counts values, and looks how deep they are.
fn measure(value: &Value, depth: usize) -> usize {
    assert!(depth <= LIMITS.depth, "deeper than {depth}");
    match value {
        Value::Array(list) => {
            list.iter()
                .map(|item| measure(item, depth + 1))
                .sum::<usize>()
                + 1
        }
        Value::Object(map) => {
            map.values()
                .map(|item| measure(item, depth + 1))
                .sum::<usize>()
                + 1
        }
        _ => 1,
    }
}

fn places(document: &Document, value: &Value, at: &str, lines: &[&str]) {
    let (line, column) = document.place(at).expect("everything has a place");
    let rest: String = match lines.get(line - 1) {
        Some(text) => text.chars().skip(column - 1).collect(),
        None => panic!("line {line} of {}", lines.len()),
    };
    match value {
        Value::Array(list) => {
            for (position, item) in list.iter().enumerate() {
                places(document, item, &format!("{at}/{position}"), lines);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let inner = pointer(at, key);
                places(document, item, &inner, lines);
                let (line, column) = document.place(&inner).expect("a key has a place");
                let rest = from(lines[line - 1], column, key);
                let is_plain = !rest.is_empty()
                    && !rest.starts_with(|c: char| "\"'&*!|>?\\".contains(c) || c.is_whitespace());
                assert!(
                    !is_plain || key.chars().next() == rest.chars().next(),
                    "the key {key:?} is said to be at {line}:{column}, where {rest:?} is"
                );
            }
        }
        _ => {}
    }
    drop(rest);
}

/// What is at a column. A mark of the byte order that begins a document counts for nothing, in the middle of a file as at its
/// start; elsewhere it is a letter like any other.
fn from(line: &str, column: usize, key: &str) -> String {
    let at = |line: &str| line.chars().skip(column - 1).collect::<String>();
    let without = at(line.trim_start_matches('\u{feff}'));
    match key.chars().next() {
        Some(first) if without.starts_with(first) => without,
        _ => at(line),
    }
}

/// A value printed as JSON reads as itself.
pub(super) fn same_again(value: &Value) {
    let printed = ascii(&value.to_string());
    if value.is_null() || printed.len() > LIMITS.bytes {
        return;
    }
    match text::read("again.json", printed.as_bytes(), LIMITS) {
        Ok(again) => assert_eq!(&again.value, value, "printed as {printed}"),
        // Counted differently where it was written with aliases and merges.
        Err(problems) => assert!(
            problems
                .iter()
                .all(|problem| ["Document too complex", "Nested too deeply"]
                    .contains(&problem.summary.as_str())),
            "{printed}: {problems:?}"
        ),
    }
}

/// JSON in which every character outside ASCII is escaped: YAML does not take all of them as they are.
pub(super) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() && letter != '\u{7f}' {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out += &format!("\\u{unit:04x}");
            }
        }
    }
    out
}
