//! JSON: another reader of JSON finds the same values, and what only we refuse is refused for a reason that we state.

use std::collections::BTreeSet;

use serde_json::Value;

use super::yaml::{ascii, same_again};
use super::{LIMITS, Target, none};
use crate::text;

pub(super) const TARGET: Target = Target {
    name: "json",
    run,
    folders: &[("tests/engine", ".json"), ("examples/score", ".json")],
    examples: none,
    words: &[
        "{\"a\": ",
        "[",
        "]",
        "}",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"\\/\"",
        "\\u0000",
        "18446744073709551615",
        "9223372036854775808",
        "-9223372036854775808",
        "1e16",
        "-0.0",
        "1E-7",
        "null",
        "true",
        "\t",
        "\r\n",
    ],
    max_bytes: 2048,
    gate: 800_000,
};

/// Why we refuse what is JSON.
const REASONS: &[&str] = &[
    "Duplicate key",
    "Nested too deeply",
    "Document too large",
    "Document too complex",
    "Number too large",
    "Empty document",
    "Key too long",
];

fn run(data: &[u8]) {
    let Ok(theirs) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let written = String::from_utf8_lossy(data);
    // The same document in plain letters: which letters YAML takes as they are is another question.
    match text::read("m.json", ascii(&written).as_bytes(), LIMITS) {
        Ok(ours) => {
            assert_same(&ours.value, &theirs);
            same_again(&ours.value);
        }
        Err(problems) => {
            let reasons: BTreeSet<&str> = problems.iter().map(|p| p.summary.as_str()).collect();
            assert!(
                reasons.iter().all(|reason| REASONS.contains(reason)),
                "{written}: {problems:?}"
            );
        }
    }
}

/// Equal but for the last digit of a float: the other reader does not promise it. What it reads as an integer is one.
fn assert_same(ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            a.values()
                .zip(b.values())
                .for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Number(a), Value::Number(b)) if b.is_f64() => {
            let (a, b) = (
                a.as_f64().unwrap_or(f64::NAN),
                b.as_f64().unwrap_or(f64::NAN),
            );
            assert!((a - b).abs() <= a.abs() * 1e-14, "{a} and {b}");
        }
        (ours, theirs) => assert_eq!(ours, theirs),
    }
}
