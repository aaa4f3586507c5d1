//! Every text that a user can write reaches the engine as that text and nothing else: as a param, as a key,
//! deep inside values, as an output of a workload, and beside placeholders. Through the real engines, because
//! only they decide what a literal is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use windlass::{CompileContext, compile_text};

use crate::compile::{compile_folder, folders};
use crate::support::Engine;

const CATALOGUE: &str = "
{kind: resource-type, id: echo, output_schema: {properties: {value: {}}}}
---
kind: module
id: echo
resource_type: echo
module_source: inline
module_source_code: |
  variable \"value\" {
    type = any
  }
  resource \"terraform_data\" \"this\" {
    input = var.value
  }
  output \"value\" {
    value = terraform_data.this.output
  }
module_params: {value: {type: any}}
---
{kind: module-rule, module_id: echo}
";

/// All strings of up to four of these characters, and some that have hurt before.
fn texts() -> Vec<String> {
    let letters = ['$', '%', '{', '}', '1'];
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all.extend(
        [
            "${a}%${1+1}",
            "%${1+1}%${2+2}",
            "${a}$%{if true}x%{endif}",
            "${a}$${x}",
            "${a}%%{b}",
            "${a}$$$${1+1}",
            "${file(\"/etc/hostname\")}",
            "quote \" backslash \\ \\\" \\n",
            "line\nbreak\r\n\ttab",
            "nul \u{0} bell \u{7} escape \u{1b}[31m delete \u{7f}",
            "emoji 😀 separators \u{2028}\u{2029} mark \u{feff}",
            "<<EOT\ntext\nEOT",
            " = { # // /* */",
            "null",
            "true",
            "0123",
            "1e3",
        ]
        .map(str::to_owned),
    );
    all
}

/// How many random texts go through each engine in one run.
const RANDOM: usize = 2_000;

/// Texts that nobody thought of, other ones in every run: pieces that mean something to somebody on the way, in any order.
/// `WINDLASS_SEED` makes them those of an earlier run.
#[expect(clippy::print_stderr, reason = "the seed repeats the texts")]
fn random_texts() -> Vec<String> {
    // Decomposed letters are left out: the engines compose them.
    const PIECES: &[&str] = &[
        "$",
        "$",
        "$",
        "%",
        "%",
        "%",
        "{",
        "{",
        "{",
        "}",
        "}",
        "\"",
        "\\",
        "'",
        "`",
        "~",
        "<<EOT\n",
        "\nEOT\n",
        "\n",
        "\r",
        "\t",
        "\u{0}",
        "\u{1}",
        "\u{b}",
        "\u{1b}[0m",
        "\u{7f}",
        " ",
        "#",
        "//",
        "/*",
        "*/",
        ",",
        ":",
        "=",
        "[",
        "]",
        "(",
        ")",
        "?",
        "!",
        "&a",
        "*a",
        "|",
        ">",
        "-",
        "0",
        "1",
        "a",
        "_",
        "é",
        "ß",
        "漢",
        "😀",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{10ffff}",
        "${",
        "%{",
        "$${",
        "%%{",
        "${1+1}",
        "%{if true}",
        "%{endif}",
        "${file(\"/etc/hostname\")}",
        "${module.x.y}",
        "${resources.ref.outputs.value}",
        "\\u0024{",
        "\\${",
        "%{~",
        "~}",
        "null",
        "true",
        "</script>",
    ];
    let seed = std::env::var("WINDLASS_SEED").map_or_else(
        |_| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
        |seed| seed.parse().expect("WINDLASS_SEED is a number"),
    );
    eprintln!("random texts: the same again with WINDLASS_SEED={seed}");
    let mut state: u64 = seed;
    let mut below = |limit: usize| {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("31 bits") % limit
    };
    let mut texts = std::collections::BTreeSet::new();
    while texts.len() < RANDOM {
        let length = 1 + below(12);
        let text: String = (0..length).map(|_| PIECES[below(PIECES.len())]).collect();
        // The one text that a manifest has no way to write: it is the escape itself.
        if !text.contains("$\\{") {
            texts.insert(text);
        }
    }
    texts.into_iter().collect()
}

/// How a user writes a text in a manifest.
fn written(text: &str) -> String {
    text.replace("${", "$\\{")
}

/// Runs the engine in a folder, with an environment built from nothing.
fn engine(engine: Engine, folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let done = Command::new(engine.binary())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder)
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect("the engine starts");
    assert!(
        done.status.success(),
        "{} {arguments:?} in {}:\n{}{}",
        engine.name(),
        folder.display(),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}

fn lay_out(files: &BTreeMap<String, Vec<u8>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("written");
    }
    folder
}

/// `alone`: numbers of the texts that are also the param of a resource of their own.
fn texts_survive(with: Engine, texts: &[String], alone: impl Fn(usize) -> bool) {
    let echo = |value: Value| json!({"type": "echo", "params": {"value": value}});
    let list: Vec<String> = texts.iter().map(|text| written(text)).collect();
    // Keys are no place for placeholders, so they are written as they are.
    let keys: Map<String, Value> = texts.iter().map(|t| (t.clone(), json!(t.len()))).collect();
    let mut resources = Map::new();
    resources.insert("list".into(), echo(json!(list)));
    resources.insert("keys".into(), echo(Value::Object(keys)));
    resources.insert("deep".into(), echo(json!({"a": [{"b": list}]})));
    resources.insert("ref".into(), echo(json!("REF")));
    let mut outputs = Map::new();
    let mut wanted = BTreeMap::new();
    let reference = "${resources.ref.outputs.value}";
    for (number, text) in texts.iter().enumerate() {
        if alone(number) {
            resources.insert(format!("p{number}"), echo(json!(written(text))));
            outputs.insert(
                format!("P{number}"),
                json!(format!("${{resources.p{number}.outputs.value}}")),
            );
            wanted.insert(format!("P{number}"), text.clone());
        }
        let text_in = written(text);
        outputs.insert(format!("O{number}"), json!(text_in));
        wanted.insert(format!("O{number}"), text.clone());
        // A text that ends in a dollar sign and a backslash would become an escape together with what follows.
        outputs.insert(
            format!("M{number}"),
            json!(format!("{text_in}{reference}{text_in}{reference}")),
        );
        wanted.insert(format!("M{number}"), format!("{text}REF{text}REF"));
        outputs.insert(
            format!("C{number}"),
            json!(format!("{text_in}${{context.env_id}}")),
        );
        wanted.insert(format!("C{number}"), format!("{text}dev"));
    }
    outputs.insert("LIST".into(), json!("${resources.list.outputs.value}"));
    outputs.insert("KEYS".into(), json!("${resources.keys.outputs.value}"));
    outputs.insert(
        "DEEP".into(),
        json!("${resources.deep.outputs.value.a[0].b}"),
    );
    let manifest = json!({"workloads": {"all": {"resources": resources, "outputs": outputs}}});
    let files = compile_text(
        // YAML, unlike JSON, wants this one escaped.
        manifest.to_string().replace('\u{7f}', "\\u007f").as_bytes(),
        &[CATALOGUE],
        &CompileContext::default(),
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    let folder = lay_out(&files);
    fs::create_dir_all(folder.path().join("state")).expect("a folder");
    engine(with, folder.path(), &["init", "-input=false", "-no-color"]);
    engine(
        with,
        folder.path(),
        &["apply", "-auto-approve", "-input=false", "-no-color"],
    );
    let printed = engine(with, folder.path(), &["output", "-json"]);
    let printed: Value = serde_json::from_slice(&printed).expect("JSON");
    let found = &printed["all"]["value"];
    for (key, text) in wanted {
        assert_eq!(found[&key], json!(text), "output {key}");
    }
    assert_eq!(found["LIST"], json!(texts));
    assert_eq!(found["DEEP"], json!(texts));
    for text in texts {
        assert_eq!(found["KEYS"][text], json!(text.len()), "key {text:?}");
    }
    // What was printed is what the engine's own formatter would print.
    engine(with, folder.path(), &["fmt", "-check", "-diff", "main.tf"]);
}

#[test]
#[ignore = "needs opentofu"]
fn every_text_survives_opentofu() {
    texts_survive(Engine::OpenTofu, &texts(), is_alone);
}

#[test]
#[ignore = "needs opentofu"]
fn random_texts_survive_opentofu() {
    texts_survive(Engine::OpenTofu, &random_texts(), |number| number < 20);
}

#[test]
#[ignore = "needs terraform"]
fn every_text_survives_terraform() {
    texts_survive(Engine::Terraform, &texts(), is_alone);
}

#[test]
#[ignore = "needs terraform"]
fn random_texts_survive_terraform() {
    texts_survive(Engine::Terraform, &random_texts(), |number| number < 20);
}

/// Short ones, and those that have hurt before.
fn is_alone(number: usize) -> bool {
    !(20..=700).contains(&number)
}

/// Code that stands for the modules that golden cases take from elsewhere: path in the bundle's code, and
/// variables and outputs.
const STUBS: &[(&str, &[&str], &[&str])] = &[
    ("acme/pg/aws", &["name", "size"], &["host"]),
    ("/mnt/modules/s3", &["bucket_name"], &["name"]),
    ("/mnt/modules/account", &[], &["id", "role_arn"]),
    ("/m/id", &[], &["arn"]),
    ("/m/queue", &[], &["arn"]),
    ("/m/acl", &["principals", "queue_arn"], &[]),
];

/// Puts stubs in place of what is not there: modules, and providers that a test machine cannot have.
fn stubbed(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let main = String::from_utf8(files["main.tf"].clone()).expect("text");
    let mut lines: Vec<String> = Vec::new();
    let mut in_provider = false;
    for line in main.lines() {
        in_provider = (in_provider && line != "}") || line.starts_with("provider ");
        let is_configuration =
            in_provider && line != "}" && !line.starts_with("provider ") && !line.contains("alias");
        if is_configuration || line.trim_start().starts_with("version") {
            continue;
        }
        let mut line = line.replace("hashicorp/aws", "terraform.io/builtin/terraform");
        for (number, (source, ..)) in STUBS.iter().enumerate() {
            line = line.replace(&format!("\"{source}\""), &format!("\"./stub{number}\""));
        }
        lines.push(line);
    }
    files.insert("main.tf".into(), lines.join("\n").into_bytes());
    for (number, (_, variables, outputs)) in STUBS.iter().enumerate() {
        let mut code = String::from(
            "terraform {\n  required_providers {\n    aws = {\n      source = \"terraform.io/builtin/terraform\"\n    }\n  }\n}\n",
        );
        for variable in *variables {
            code += &format!("variable \"{variable}\" {{}}\n");
        }
        for output in *outputs {
            code += &format!("output \"{output}\" {{\n  value = \"\"\n}}\n");
        }
        files.insert(format!("stub{number}/main.tf"), code.into_bytes());
    }
    files
}

fn goldens_are_valid(with: Engine) {
    for folder in folders() {
        let files = compile_folder(&folder, None).unwrap_or_else(|problems| panic!("{problems}"));
        let plain = lay_out(&files);
        engine(with, plain.path(), &["fmt", "-check", "-diff", "main.tf"]);
        let stubbed = lay_out(&stubbed(files));
        engine(
            with,
            stubbed.path(),
            &["init", "-backend=false", "-input=false", "-no-color"],
        );
        engine(with, stubbed.path(), &["validate", "-no-color"]);
    }
}

#[test]
#[ignore = "needs opentofu"]
fn goldens_are_valid_for_opentofu() {
    goldens_are_valid(Engine::OpenTofu);
}

#[test]
#[ignore = "needs terraform"]
fn goldens_are_valid_for_terraform() {
    goldens_are_valid(Engine::Terraform);
}
