//! The engine's stream: however the bytes arrive, no line is lost or changed; what is not of the engine is text, word for
//! word; and what stands in clear about a diagnostic holds none of its words.

use std::collections::BTreeMap;

use super::{Script, Target};
use crate::runner::engine::stream::{Lines, Piece, Said, read};
use crate::runner::engine::{document, state_file, words};

pub(super) const TARGET: Target = Target {
    name: "stream",
    run,
    folders: &[("tests/engine", ".jsonl"), ("tests/engine", ".json")],
    examples: || {
        let line = br#"{"@level":"error","@message":"m","type":"diagnostic","diagnostic":{"severity":"error","summary":"a secret summary","detail":"a secret detail","address":"module.a.x.y","range":{"filename":"main.tf","start":{"line":3}},"snippet":{"context":"module \"a\"","code":"x = 1","start_line":3}}}"#;
        vec![
            [&b"\x03\x01a\r\nb\n\nc"[..]].concat(),
            [&b"\x00"[..], line, b"\r\nlast"].concat(),
        ]
    },
    words: &[
        "{\"@level\":\"info\",\"@message\":\"",
        "\"type\":\"",
        "version",
        "planned_change",
        "apply_start",
        "apply_complete",
        "apply_errored",
        "change_summary",
        "outputs",
        "diagnostic",
        "\"hook\":{\"resource\":{\"addr\":\"",
        "\"action\":\"create\"",
        "\"id_key\":\"id\",\"id_value\":\"",
        "\"changes\":{\"add\":",
        "\"operation\":\"plan\"",
        "\"summary\":\"",
        "\"detail\":\"",
        "\"range\":{\"filename\":\"",
        "\"snippet\":{\"code\":\"",
        "\"start_line\":18446744073709551615",
        "\"ui\":\"1.2\"",
        "\n",
        "\r\n",
        "Lock Info:\n  ID:",
        "Who: ",
    ],
    max_bytes: 4096,
    gate: 850_000,
};

fn run(data: &[u8]) {
    let mut script = Script(data);
    let sizes: Vec<usize> = match script.0 {
        // A file of the engine, whole.
        [b'{', ..] => vec![data.len()],
        _ => {
            let count = usize::from(script.byte() % 16);
            (0..count).map(|_| usize::from(script.byte())).collect()
        }
    };
    let bytes = script.0;
    let mut lines = Lines::default();
    let mut pieces = Vec::new();
    let mut rest = Script(bytes);
    for size in sizes {
        lines.push(rest.take(size), &mut pieces);
    }
    lines.push(rest.0, &mut pieces);
    pieces.extend(lines.finish());
    assert_eq!(pieces, expected(bytes));
    for piece in &pieces {
        if let Piece::Line(line) = piece {
            look(line);
        }
    }
    let _ = document::outputs(bytes);
    let _ = document::outputs_of_state(bytes);
    let _ = document::planned(bytes);
    state(bytes);
}

/// The lines of a whole stream.
fn expected(bytes: &[u8]) -> Vec<Piece> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
        .iter()
        .map(|line| Piece::Line(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
        .collect()
}

fn look(line: &[u8]) {
    let found = read(line);
    match &found.said {
        Said::Text => assert_eq!(found.words, String::from_utf8_lossy(line)),
        Said::Diagnostic(diagnostic) => {
            assert!(found.words.contains(diagnostic.summary.as_str()));
            assert!(found.words.contains(diagnostic.detail.trim_end()));
            let _ = words::lock_holder(diagnostic);
            let clear = words::in_clear(diagnostic, &BTreeMap::new());
            assert_eq!(clear.address, diagnostic.address);
            let said = [
                clear.severity,
                clear.address.unwrap_or_default(),
                clear.file.unwrap_or_default(),
            ];
            assert!(["error", "warning"].contains(&said[0].as_str()));
            assert!(clear.resource.is_none() && clear.module_id.is_none());
        }
        Said::Planned(change)
        | Said::Started(change)
        | Said::Done(change)
        | Said::Errored(change) => {
            let text = String::from_utf8_lossy(line);
            assert!(text.contains("addr"), "{change:?} from nothing");
        }
        Said::Summary(summary) => {
            let _ = summary.is_empty();
        }
        Said::Outputs(outputs) => {
            let _ = document::outputs_change(outputs);
            let _ = document::outputs_of_stream(outputs);
        }
        Said::Version { .. } | Said::Other => {}
    }
}

/// A state file: what is read and written again reads the same.
fn state(bytes: &[u8]) {
    let Some(known) = document::State::read(bytes) else {
        return;
    };
    for address in known.addresses() {
        assert!(known.holds(&address, None), "{address}");
    }
    if let Some(next) = state_file::StateFile::read(bytes).and_then(|file| file.successor()) {
        let again = document::State::read(&next).expect("what we write can be read");
        assert_eq!(again.addresses(), known.addresses());
    }
}
