//! Streams that the real engines printed (OpenTofu 1.12.6, Terraform 1.11.4), read by the real reader.

use super::document;
use super::stream::{Diagnostic, Lines, Summary};
use super::stream::{Line, Piece, Said, read};
use super::words;

macro_rules! recorded {
    ($name:literal) => {
        [
            (
                "opentofu",
                &include_bytes!(concat!("../../../tests/engine/opentofu/", $name))[..],
            ),
            (
                "terraform",
                &include_bytes!(concat!("../../../tests/engine/terraform/", $name))[..],
            ),
        ]
    };
}

fn lines(bytes: &[u8]) -> Vec<Line> {
    let mut lines = Lines::default();
    let mut pieces = Vec::new();
    lines.push(bytes, &mut pieces);
    pieces.extend(lines.finish());
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Line(line) => read(&line),
            Piece::Part(..) => panic!("no line is that long"),
        })
        .collect()
}

fn summaries(lines: &[Line]) -> Vec<Summary> {
    lines
        .iter()
        .filter_map(|line| match line.said {
            Said::Summary(summary) => Some(summary),
            _ => None,
        })
        .collect()
}

fn diagnostics(lines: &[Line]) -> Vec<&Diagnostic> {
    lines
        .iter()
        .filter_map(|line| match &line.said {
            Said::Diagnostic(diagnostic) => Some(diagnostic),
            _ => None,
        })
        .collect()
}

#[test]
fn an_apply_has_two_summaries_and_its_metadata_at_the_end() {
    for (engine, bytes) in recorded!("apply.jsonl") {
        let lines = lines(bytes);
        let expected = Summary {
            add: 3,
            ..Summary::default()
        };
        assert_eq!(
            summaries(&lines),
            [
                Summary {
                    planned: true,
                    ..expected
                },
                expected
            ],
            "{engine}"
        );
        let outputs: Vec<_> = lines
            .iter()
            .filter_map(|line| match &line.said {
                Said::Outputs(outputs) => Some(outputs),
                _ => None,
            })
            .collect();
        assert_eq!(outputs.len(), 2, "{engine}");
        assert!(document::outputs_change(outputs[0]), "{engine}");
        let metadata = document::metadata_of_stream(outputs[1]).expect("published");
        assert_eq!(metadata["abc"]["link"], "l", "{engine}");
        let done: Vec<_> = lines
            .iter()
            .filter_map(|line| match &line.said {
                Said::Done(change) => Some(change),
                _ => None,
            })
            .collect();
        assert_eq!(done.len(), 3, "{engine}");
        assert!(done.iter().all(|change| change.id.is_some()), "{engine}");
        let version = lines.iter().find_map(|line| match &line.said {
            Said::Version { ui_major, engine } => Some((*ui_major, engine.clone())),
            _ => None,
        });
        assert!(
            matches!(version, Some((Some(1), Some(_)))),
            "{engine}: {version:?}"
        );
    }
}

#[test]
fn a_plan_without_changes_changes_no_output() {
    for (engine, bytes) in recorded!("plan-unchanged.jsonl") {
        let lines = lines(bytes);
        assert!(summaries(&lines)[0].is_empty(), "{engine}");
        for line in &lines {
            if let Said::Outputs(outputs) = &line.said {
                assert!(!document::outputs_change(outputs), "{engine}");
            }
        }
    }
}

#[test]
fn a_destroy_counts_what_was_destroyed() {
    for (engine, bytes) in recorded!("destroy.jsonl") {
        let last = *summaries(&lines(bytes)).last().expect("a summary");
        assert_eq!((last.remove, last.planned), (3, false), "{engine}");
    }
}

#[test]
fn a_failure_is_in_clear_without_the_words_of_the_program() {
    for (engine, bytes) in recorded!("fail.jsonl") {
        let lines = lines(bytes);
        let found = diagnostics(&lines);
        assert_eq!(found.len(), 1, "{engine}");
        assert!(
            words::diagnostic(found[0]).contains("boom secret"),
            "{engine}"
        );
        let clear = words::in_clear(found[0], &std::collections::BTreeMap::new());
        assert_eq!(
            clear.address.as_deref(),
            Some("terraform_data.bad"),
            "{engine}"
        );
        assert_eq!(
            (clear.file.as_deref(), clear.line),
            (Some("main.tf"), Some(16))
        );
        let text = serde_json::to_string(&clear).expect("JSON");
        assert!(!text.contains("boom"), "{engine}: {text}");
    }
}

#[test]
fn who_holds_the_lock_is_found() {
    for (engine, bytes) in recorded!("lock.jsonl") {
        let lines = lines(bytes);
        let holder = diagnostics(&lines)
            .into_iter()
            .find_map(words::lock_holder)
            .expect("a lock");
        assert!(holder.contains("by `root@vm`"), "{engine}: {holder}");
    }
}

#[test]
fn other_failures_name_no_lock() {
    for recorded in [
        recorded!("interrupted.jsonl"),
        recorded!("no-provider.jsonl"),
        recorded!("fail.jsonl"),
    ] {
        for (engine, bytes) in recorded {
            let lines = lines(bytes);
            let found = diagnostics(&lines);
            assert!(!found.is_empty(), "{engine}");
            assert!(found.into_iter().all(|d| words::lock_holder(d).is_none()));
        }
    }
}

#[test]
fn the_text_between_the_json_of_an_init_is_log_text() {
    for (engine, bytes) in recorded!("init.jsonl") {
        let lines = lines(bytes);
        assert!(
            lines.iter().any(|line| line.words.contains("initialized")),
            "{engine}"
        );
        assert!(diagnostics(&lines).is_empty(), "{engine}");
    }
}

#[test]
fn planned_and_real_outputs_are_read() {
    for (engine, bytes) in recorded!("show.json") {
        let planned = document::planned(bytes).expect("a plan");
        assert!(planned.outputs_changed, "{engine}");
        assert_eq!(
            serde_json::Value::Object(planned.workloads),
            serde_json::json!({"web": {"host": document::UNKNOWN, "id": document::UNKNOWN}}),
            "{engine}"
        );
    }
    for (engine, bytes) in recorded!("output.json") {
        let outputs = document::outputs(bytes).expect("outputs");
        assert_eq!(outputs.workloads["web"]["host"], "x-0", "{engine}");
        assert_eq!(outputs.metadata["abc"]["link"], "l", "{engine}");
    }
}
