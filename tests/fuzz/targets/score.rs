//! Score: what is accepted becomes operations that apply, a manifest in which every string can be read, and texts that
//! mean in the manifest what they were in the file; what is refused is refused at a place in the text.

use serde_json::{Value, json};

use super::yaml::ascii;
use super::{LIMITS, Target, assert_told, lines};
use crate::manifest::{check_whole, edit};
use crate::placeholder::{Part, Site, check_value, split};
use crate::score::{Options, convert, files_needed};
use crate::text::{self, Document};

pub(super) const TARGET: Target = Target {
    name: "score",
    run,
    folders: &[("examples/score", ".yaml")],
    examples: || {
        vec![
            b"\0a ${b} $c".to_vec(),
            b"apiVersion: score.dev/v1b1\nmetadata: {name: ab}\ncontainers:\n  ab:\n    image: .\n    args: [\"x ${y} z\"]\n    variables: {A: \"$${b} ${metadata.name}\"}\n".to_vec(),
        ]
    },
    words: &[
        "apiVersion: score.dev/v1b1",
        "metadata:",
        "name: ",
        "annotations:",
        "platform-orchestrator.dev/resType: ",
        "platform-orchestrator.dev/resId: ",
        "containers:",
        "image: ",
        "command: [",
        "args: [",
        "variables:",
        "files:",
        "source: ",
        "content: ",
        "binaryContent: ",
        "noExpand: true",
        "volumes:",
        "readOnly: ",
        "livenessProbe:",
        "httpGet:",
        "before:",
        "ready: started",
        "service:",
        "ports:",
        "port: ",
        "resources:",
        "type: ",
        "class: ",
        "id: ",
        "params:",
        "${metadata.name}",
        "${resources.db.host}",
        "$${x}",
        "$\\{",
        "$$",
        "\\.",
        "---\n",
        "target: ",
        "mode: \"0644\"",
    ],
    max_bytes: 4096,
    gate: 170_000,
};

fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, texts)) => file(&written(&String::from_utf8_lossy(texts))),
        _ => file(data),
    }
}

/// A Score file around one text, at the places where texts are treated differently.
fn written(text: &str) -> Vec<u8> {
    let document = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": {"name": "ab"},
        "containers": {"ab": {
            "image": ".",
            "args": [text],
            "files": {"/verbatim": {"content": text, "noExpand": true}},
        }},
    });
    ascii(&document.to_string()).into_bytes()
}

fn file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(documents) = text::read_all("score.yaml", data, LIMITS) else {
        return;
    };
    let mut options = Options {
        default_image: Some("image:1".into()),
        ..Options::default()
    };
    for file in files_needed(&documents) {
        let content = match file.source.as_bytes() {
            [b'!', ..] => Err("it is not there".to_owned()),
            source => Ok(source.to_vec()),
        };
        options.files.insert((file.document, file.source), content);
    }
    let converted = match convert(&documents, &options) {
        Ok(converted) => converted,
        Err(problems) => return assert_told(&problems, &lines(&text)),
    };
    assert_eq!(converted.workloads.len(), converted.operations.len());
    let edited = edit::apply(&json!({"workloads": {}}), &converted.operations).expect("applies");
    for problem in check_whole(&edited.manifest, true).found {
        // Names in Score are freer than ours; the problem is then told where the name is.
        assert_eq!(problem.summary, "Name not allowed", "{problem:?}");
        for place in &problem.places {
            let (document, at) = converted
                .origin(&place.pointer)
                .expect("it came from a file");
            assert!(documents[document].place(&at).is_some());
        }
    }
    for (name, document) in converted.workloads.iter().zip(&documents) {
        let workload = &edited.manifest["workloads"][name];
        for resource in workload["resources"].as_object().into_iter().flatten() {
            if let Some(params) = resource.1.get("params") {
                assert_eq!(check_value(params, Site::Param), [], "{params}");
            }
        }
        literals(document, &workload["resources"]["score-workload"]["params"]);
    }
}

/// Texts in which Score knows no placeholders are in the manifest what they were.
fn literals(document: &Document, params: &Value) {
    for (name, container) in document.value["containers"]
        .as_object()
        .into_iter()
        .flatten()
    {
        for field in ["command", "args"] {
            for (position, text) in container[field]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let ours = &params["containers"][name][field][position];
                assert_eq!(meant(ours).as_deref(), text.as_str(), "{ours}");
            }
        }
    }
}

/// What a string of a manifest means that holds no placeholder.
fn meant(value: &Value) -> Option<String> {
    let mut meant = String::new();
    for part in split(value.as_str()?).ok()? {
        match part {
            Part::Literal(text) => meant += &text,
            Part::Placeholder(..) => return None,
        }
    }
    Some(meant)
}
