//! What is prepared instead of `init`, with both real engines: it is what `init` writes, and whatever is wrong with it is
//! refused before anything is changed, and answered by one `init`.
//!
//! A script in the engine's place breaks what was prepared, once, and hands every call on to the real engine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Bench, Ended, job};
use crate::support::{Engine, by_both_engines, mirror};

by_both_engines! {
    one_process_is_enough_and_says_what_it_saved
    every_shortcut_can_be_switched_off
    outputs_of_the_state_are_those_of_the_engine
    a_wrong_module_list_is_refused
    a_wrong_backend_file_is_refused
    a_wrong_lock_file_or_provider_is_refused
    harmless_differences_are_not_refused
    a_changed_provider_is_refused_where_it_is_hashed
    what_is_prepared_is_what_init_writes
}

/// The real engine behind a script that runs `first` before the first call that is not `init`.
fn breaking(engine: Engine, folder: &Path, first: &str) -> PathBuf {
    let script = folder.join("engine");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" != init ] && [ ! -e {done} ]; then\n: > {done}\n{first}\nfi\nexec {real} \"$@\"\n",
        done = folder.join("broken").display(),
        real = engine.binary().display(),
    );
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may run");
    script
}

/// One run with a script before its first engine.
fn run_with(engine: Engine, first: &str, job: &Value) -> (Ended, TempDir, Bench) {
    let folder = tempfile::tempdir().expect("a directory");
    let bench =
        Bench::new(engine.name(), &breaking(engine, folder.path(), first)).with_mirror(&mirror());
    let ended = bench.run("spool", job);
    (ended, folder, bench)
}

fn wanted(engine: Engine, files: &[(&str, &str)]) -> Value {
    let mut job = job("deploy", files);
    job["engine"] = engine.name().into();
    job["packages"] = json!(packages(engine));
    job
}

fn registry(engine: Engine) -> &'static str {
    match engine {
        Engine::OpenTofu => "registry.opentofu.org",
        Engine::Terraform => "registry.terraform.io",
    }
}

fn other(engine: Engine) -> &'static str {
    match engine {
        Engine::OpenTofu => registry(Engine::Terraform),
        Engine::Terraform => registry(Engine::OpenTofu),
    }
}

/// What the mirror of the tests holds, with the hashes that `init` writes into a lock file.
fn packages(engine: Engine) -> Vec<Value> {
    let lock = locked_by_init(engine, PROVIDERS);
    ["http", "time"]
        .iter()
        .map(|name| {
            let provider = format!("{}/hashicorp/{name}", registry(engine));
            let entry = lock.split(&provider).nth(1).expect("it is locked");
            let quoted = |key: &str| {
                let rest = entry.split(key).nth(1).expect("there");
                rest.split('"').nth(1).expect("quoted").to_owned()
            };
            json!({"provider": provider, "version": quoted("version"),
                "platform": platform(&mirror().join(&provider)), "hash": quoted("hashes")})
        })
        .collect()
}

fn platform(provider: &Path) -> String {
    let first = |path: &Path| {
        let mut entries = fs::read_dir(path).expect("the mirror");
        entries.next().expect("one").expect("an entry").path()
    };
    let path = first(&first(provider));
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("text")
        .to_owned()
}

/// The lock file that a real `init` writes for this code.
fn locked_by_init(engine: Engine, main: &str) -> String {
    let bench = Bench::new(engine.name(), &engine.binary()).with_mirror(&mirror());
    let mut job = job("plan", &[("main.tf", main)]);
    job["engine"] = engine.name().into();
    job["shortcuts"] = json!({"skip_init": false});
    let ended = bench.run("spool", &job);
    let lock = ended.finished()["lock_file"].as_str();
    lock.unwrap_or_else(|| panic!("{}", ended.finished()))
        .to_owned()
}

const MAIN: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
}
module "a" {
  source = "./modules/one/v1"
}
module "b" {
  source = "./modules/two/v1"
}
output "web" {
  sensitive = true
  value     = { a = module.a.it, b = module.b.it, nothing = null, list = [1, true, "x\"y"] }
}
output "platform_orchestrator_metadata" {
  value = { hash = { kind = "db" } }
}
"#;

const ONE: &str = r#"
module "below" {
  source = "./below"
}
resource "terraform_data" "this" {
  input = "one"
}
output "it" {
  value = terraform_data.this.output
}
"#;

const BELOW: &str = "resource \"terraform_data\" \"below\" {}\n";

const TWO: &str = r#"
resource "terraform_data" "this" {
  input = "two"
}
output "it" {
  value = terraform_data.this.output
}
"#;

const MODULES: &[(&str, &str)] = &[
    ("main.tf", MAIN),
    ("modules/one/v1/main.tf", ONE),
    ("modules/one/v1/below/main.tf", BELOW),
    ("modules/two/v1/main.tf", TWO),
];

const PROVIDERS: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
  required_providers {
    time = {
      source  = "hashicorp/time"
      version = ">= 0.10, < 1.0.0"
    }
    http = {
      source = "hashicorp/http"
    }
  }
}
resource "time_static" "this" {
  rfc3339 = "2020-02-02T02:02:02Z"
}
"#;

/// It went well without `init`.
fn assert_prepared(ended: &Ended, processes: u32) {
    let finished = ended.finished();
    assert_eq!(
        finished["outcome"],
        "applied",
        "{finished}\n{}",
        ended.text("logs")
    );
    let record = &finished["record"];
    assert_eq!(
        record["engine_processes"],
        processes,
        "{record}\n{}",
        ended.text("logs")
    );
    assert_eq!(record["refusals"], Value::Null, "{record}");
    assert_eq!(
        record["shortcuts"]["init"],
        "skipped: what it leaves was prepared"
    );
    assert!(
        record["prepared"]
            .as_str()
            .is_some_and(|key| key.starts_with("sha256:"))
    );
    assert!(ended.kind("diagnostic").is_empty());
}

/// It was refused, answered by one `init`, and went well.
fn assert_refused(what: &str, ended: &Ended) {
    let finished = ended.finished();
    assert_eq!(
        finished["outcome"],
        "applied",
        "{what}: {finished}\n{}",
        ended.text("logs")
    );
    let record = &finished["record"];
    assert_eq!(record["refusals"], 1, "{what}: {record}");
    assert_eq!(
        record["engine_processes"], 3,
        "{what}: refused, init, applied"
    );
    let init = record["init"].as_str().expect("text");
    assert!(
        init.starts_with("ran after a preparation"),
        "{what}: {init}"
    );
    let errors = ended.kind("diagnostic");
    let errors = errors.iter().filter(|said| said["severity"] == "error");
    assert_eq!(errors.count(), 0, "{what}: it is no error");
}

fn one_process_is_enough_and_says_what_it_saved(engine: Engine) {
    let (ended, _folder, bench) = run_with(engine, "", &wanted(engine, MODULES));
    assert_prepared(&ended, 1);
    let shortcuts = &ended.finished()["record"]["shortcuts"];
    assert_eq!(shortcuts["plan"], "one process with the apply");
    assert_eq!(shortcuts["outputs"], "from the state file");
    assert_eq!(shortcuts["providers"], "none needed");
    assert!(
        shortcuts["memory"]
            .as_str()
            .is_some_and(|text| text.contains("garbage"))
    );
    assert_eq!(ended.finished()["total"], 3);

    let again = bench.run("again", &wanted(engine, MODULES));
    assert_eq!(
        again.finished()["outcome"],
        "unchanged",
        "{}",
        again.finished()
    );
    assert_eq!(again.finished()["record"]["engine_processes"], 1);
    assert_eq!(
        again.finished()["record"]["prepared"],
        ended.finished()["record"]["prepared"],
        "the same key"
    );
    let mut plan = wanted(engine, MODULES);
    plan["action"] = "plan".into();
    plan["output_recipients"] = json!([]);
    let planned = bench.run("plan", &plan);
    assert_eq!(
        planned.finished()["outcome"],
        "planned",
        "{}",
        planned.finished()
    );
    assert_eq!(
        planned.finished()["record"]["engine_processes"],
        2,
        "plan and its words"
    );

    let mut destroy = wanted(engine, MODULES);
    destroy["action"] = "destroy".into();
    let destroyed = bench.run("destroy", &destroy);
    assert_eq!(
        destroyed.finished()["outcome"],
        "destroyed",
        "{}",
        destroyed.finished()
    );
    assert_eq!(destroyed.finished()["record"]["engine_processes"], 1);

    let (ended, ..) = run_with(engine, "", &wanted(engine, &[("main.tf", PROVIDERS)]));
    assert_prepared(&ended, 1);
    let finished = ended.finished();
    assert_eq!(
        finished["record"]["shortcuts"]["providers"],
        "2 checked in the mirror, not hashed again"
    );
    assert_eq!(
        finished["lock_file"].as_str().expect("a lock file"),
        locked_by_init(engine, PROVIDERS),
        "the environment's has every hash"
    );
}

fn every_shortcut_can_be_switched_off(engine: Engine) {
    let off = |name: &str| {
        let mut job = wanted(engine, &[("main.tf", PROVIDERS)]);
        job["shortcuts"] = json!({name: false});
        let (ended, folder, _) = run_with(
            engine,
            "cp .terraform.lock.hcl \"$0.lock\"; env > \"$0.env\"",
            &job,
        );
        assert_eq!(
            ended.finished()["outcome"],
            "applied",
            "{name}: {}",
            ended.finished()
        );
        let read = |end: &str| {
            fs::read_to_string(folder.path().join(format!("engine.{end}"))).expect("kept")
        };
        (
            ended.finished()["record"].clone(),
            read("lock"),
            read("env"),
        )
    };
    let (record, lock, env) = off("skip_init");
    assert_eq!(record["shortcuts"]["init"], "ran: switched off");
    assert_eq!(record["engine_processes"], 2);
    assert!(lock.contains("h1:") && env.contains("GOGC=400"));
    let (record, lock, _) = off("trust_mirror");
    assert_eq!(
        record["shortcuts"]["providers"],
        "hashed by each engine process: switched off"
    );
    assert_eq!(record["engine_processes"], 1);
    assert!(lock.contains("h1:"), "{lock}");
    let (record, lock, _) = off("one_process");
    assert_eq!(
        record["shortcuts"]["plan"],
        "a process of its own: switched off"
    );
    assert_eq!(record["engine_processes"], 2);
    assert!(!lock.contains("h1:"), "{lock}");
    let (record, ..) = off("read_outputs");
    assert_eq!(
        record["shortcuts"]["outputs"],
        "asked of an engine process: switched off"
    );
    assert_eq!(record["engine_processes"], 2);
    let (record, _, env) = off("use_memory");
    assert!(!env.contains("GOGC"), "{env}");
    assert_eq!(
        record["shortcuts"]["memory"],
        "garbage is collected as usual: switched off"
    );
}

fn outputs_of_the_state_are_those_of_the_engine(engine: Engine) {
    let texts = [true, false].map(|read| {
        let mut job = wanted(engine, MODULES);
        job["shortcuts"] = json!({"read_outputs": read});
        let (ended, ..) = run_with(engine, "", &job);
        let metadata = ended.finished()["metadata"].clone();
        (ended.text("outputs"), metadata)
    });
    assert!(texts[0].0.contains(r#""a":"one""#), "{}", texts[0].0);
    assert_eq!(texts[0], texts[1]);
    let plain = r#"
resource "terraform_data" "this" {}
output "open" {
  value = { n = 1.5, big = 123456789012345678 }
}
"#;
    let mut job = wanted(engine, &[("main.tf", plain)]);
    let (ended, ..) = run_with(engine, "", &job);
    assert_eq!(
        ended.finished()["record"]["shortcuts"]["outputs"],
        "from the engine's stream: none is sensitive"
    );
    job["shortcuts"] = json!({"read_outputs": false});
    let (asked, ..) = run_with(engine, "", &job);
    assert_eq!(ended.text("outputs"), asked.text("outputs"));
}

/// `sed` on the list of modules.
fn list(edit: &str) -> String {
    format!("sed -i '{edit}' .terraform/modules/modules.json")
}

fn a_wrong_module_list_is_refused(engine: Engine) {
    let absent = list(r#"s|{"Key":"b"[^}]*}||;s|,\]|]|"#);
    for (what, first) in [
        ("a module is absent", absent.as_str()),
        (
            "a module below is absent",
            &list(r#"s|{"Key":"a.below"[^}]*},||"#),
        ),
        ("no list", "rm .terraform/modules/modules.json"),
        (
            "a directory that does not exist",
            &list("s|\"modules/two/v1\"|\"modules/none\"|"),
        ),
        (
            "its source differs",
            &list("s|\"./modules/two/v1\"|\"./modules/one/v1\"|"),
        ),
    ] {
        let (ended, ..) = run_with(engine, first, &wanted(engine, MODULES));
        assert_refused(what, &ended);
        assert_eq!(ended.finished()["total"], 3, "{what}");
    }
}

fn a_wrong_backend_file_is_refused(engine: Engine) {
    let file = ".terraform/terraform.tfstate";
    for (what, first) in [
        ("block without file", format!("rm {file}")),
        (
            "another path",
            format!("sed -i 's|state/terraform|state/other|' {file}"),
        ),
        (
            "another type",
            format!("sed -i 's|\"local\"|\"inmem\"|' {file}"),
        ),
    ] {
        let (ended, _folder, bench) = run_with(engine, &first, &wanted(engine, MODULES));
        assert_refused(what, &ended);
        assert!(!bench.state().join("other.tfstate").exists(), "{what}");
    }
    let bare = "resource \"terraform_data\" \"this\" {}\n";
    let there = format!(
        r#"printf '{{"version":3,"backend":{{"type":"local","config":{{"path":"x"}},"hash":0}}}}' > {file}"#
    );
    let (ended, ..) = run_with(engine, &there, &wanted(engine, &[("main.tf", bare)]));
    assert_refused("file without block", &ended);
    // With the right hash the engine would believe another path: ours is never right.
    let (ended, folder, _) = run_with(
        engine,
        &format!("cp {file} \"$0.backend\""),
        &wanted(engine, MODULES),
    );
    assert_prepared(&ended, 1);
    let written = fs::read(folder.path().join("engine.backend")).expect("kept");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["backend"]["hash"], 0);
    assert_eq!(
        written["backend"]["config"],
        json!({"path": "state/terraform.tfstate"})
    );
}

fn a_wrong_lock_file_or_provider_is_refused(engine: Engine) {
    let host = registry(engine);
    let providers = format!(".terraform/providers/{host}/hashicorp");
    let lock = ".terraform.lock.hcl";
    let platform = platform(&mirror().join(format!("{host}/hashicorp/time")));
    for (what, first) in [
        ("no lock file", format!("rm {lock}")),
        (
            "required and not locked",
            format!("sed -i '/hashicorp.http/,/^}}/d' {lock}"),
        ),
        (
            "locked and absent",
            format!("rm {providers}/time/*/{platform}"),
        ),
        (
            "another version is locked",
            format!("sed -i 's|\"0.14.2\"|\"0.13.1\"|' {lock}"),
        ),
        (
            "locked for the other engine",
            format!("sed -i 's|{host}|{}|' {lock}", other(engine)),
        ),
        (
            "a link to another provider",
            format!(
                "ln -sfn {}/{host}/hashicorp/http/*/{platform} {providers}/time/*/{platform}",
                mirror().display()
            ),
        ),
    ] {
        let (ended, ..) = run_with(engine, &first, &wanted(engine, &[("main.tf", PROVIDERS)]));
        assert_refused(what, &ended);
    }
    // A hash that differs, of a provider that is used, and of one that is only required.
    let mut hashing = wanted(engine, &[("main.tf", PROVIDERS)]);
    hashing["shortcuts"] = json!({"trust_mirror": false});
    for name in ["time", "http"] {
        let first = format!("sed -i '/hashicorp.{name}/,/^}}/s|h1:...|h1:AAA|' {lock}");
        let (ended, ..) = run_with(engine, &first, &hashing);
        assert_refused(name, &ended);
    }
}

fn harmless_differences_are_not_refused(engine: Engine) {
    let extra = list(
        r#"s|"Modules":\[|&{"Key":"extra","Source":"./modules/two/v1","Dir":"modules/two/v1"},|"#,
    );
    let rootless = list(r#"s|{"Key":"","Source":"","Dir":"."},||"#);
    for first in [extra, rootless] {
        let (ended, ..) = run_with(engine, &first, &wanted(engine, MODULES));
        assert_prepared(&ended, 1);
    }
    // The two that the engine does not see. This one is why what was written is compared with the code.
    let elsewhere = list("s|\"Dir\":\"modules/one/v1/below\"|\"Dir\":\"modules/two/v1\"|");
    let (ended, ..) = run_with(engine, &elsewhere, &wanted(engine, MODULES));
    assert_prepared(&ended, 1);
    assert!(
        ended
            .text("logs")
            .contains("module.below.terraform_data.this"),
        "the wrong module, without a word"
    );
}

/// A mirror of its own, whose provider can be written to.
fn own_mirror(engine: Engine, folder: &Path) -> PathBuf {
    let name = format!("{}/hashicorp/time", registry(engine));
    let from = mirror().join(&name);
    let mut file = PathBuf::new();
    for path in crate::support::walk(&from) {
        let to = folder
            .join(&name)
            .join(path.strip_prefix(&from).expect("below"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("made");
        fs::copy(&path, &to).expect("copied");
        file = to;
    }
    file
}

fn a_changed_provider_is_refused_where_it_is_hashed(engine: Engine) {
    let code = PROVIDERS.replace(
        "    http = {\n      source = \"hashicorp/http\"\n    }\n",
        "",
    );
    let folder = tempfile::tempdir().expect("a directory");
    let provider = own_mirror(engine, folder.path());
    let bench = Bench::new(engine.name(), &engine.binary()).with_mirror(folder.path());
    let lock = locked_by_init(engine, &code);
    let mut wanted = wanted(
        engine,
        &[("main.tf", &code), (".terraform.lock.hcl", &lock)],
    );
    wanted["bundle_digest"] = job("deploy", &[("main.tf", &code)])["bundle_digest"].clone();
    let good = bench.run("good", &wanted);
    assert_prepared(&good, 1);

    // One byte, at the end: it still starts.
    let mut bytes = fs::read(&provider).expect("read");
    bytes.push(0);
    fs::write(&provider, &bytes).expect("written");
    // The host has not looked since: nothing is hashed, and nothing seen.
    let unseen = bench.run("unseen", &wanted);
    assert_eq!(
        unseen.finished()["outcome"],
        "unchanged",
        "{}",
        unseen.finished()
    );
    // The host has looked, or hashes are wanted: it is refused, and `init` will not have it either.
    let mut seen = wanted.clone();
    seen["packages"][1]["hash"] = "h1:other".into();
    let mut hashing = wanted;
    hashing["shortcuts"] = json!({"trust_mirror": false});
    for (spool, job) in [("seen", seen), ("hashing", hashing)] {
        let refused = bench.run(spool, &job);
        let finished = refused.finished();
        assert_eq!(
            finished["failure_class"], "init_failed",
            "{spool}: {finished}"
        );
        assert_eq!(finished["record"]["refusals"], 1, "{spool}");
    }
}

/// Keeps all of that in `$0.left`.
pub(crate) const KEEP: &str =
    "mkdir \"$0.left\"; cp -a .terraform \"$0.left/data\"; cp .terraform.lock.hcl \"$0.left/lock\"
(cd .terraform; find providers -type l -printf '%p %l\\n' | sort) > \"$0.left/links\" 2> /dev/null";

/// What lies in a work directory after `init` or a preparation: module list, backend, links, lock file.
pub(crate) fn left(folder: &Path) -> BTreeMap<String, Value> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let read = |name: &str| serde_json::from_str::<Value>(&text(name)).unwrap_or(Value::Null);
    let mut modules = read("data/modules/modules.json")["Modules"].clone();
    if let Some(list) = modules.as_array_mut() {
        list.sort_by_key(Value::to_string);
    }
    let mut backend = read("data/terraform.tfstate")["backend"].clone();
    if let Some(map) = backend.as_object_mut() {
        map.remove("hash");
        if let Some(settings) = map["config"].as_object_mut() {
            settings.retain(|_, value| !value.is_null());
        }
    }
    let links: Vec<Value> = text("links").lines().map(Into::into).collect();
    // The engine's own has no hash fewer: the run's copy is compared without.
    let lock: Vec<Value> = text("lock")
        .lines()
        .filter(|line| !line.contains("h1:") && !line.contains("hashes") && line.trim() != "]")
        .map(Into::into)
        .collect();
    BTreeMap::from([
        ("modules".to_owned(), modules),
        ("backend".to_owned(), backend),
        ("links".to_owned(), links.into()),
        ("lock".to_owned(), lock.into()),
    ])
}

fn what_is_prepared_is_what_init_writes(engine: Engine) {
    let mut cases: Vec<BTreeMap<String, String>> = vec![
        MODULES
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        BTreeMap::from([("main.tf".to_owned(), PROVIDERS.to_owned())]),
        nested(),
    ];
    cases.extend(goldens());
    for files in cases {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let [prepared, init] = [true, false].map(|skip| {
            let mut job = wanted(engine, &files);
            job["action"] = "plan".into();
            job["shortcuts"] = json!({"skip_init": skip});
            let (ended, folder, _) = run_with(engine, KEEP, &job);
            let record = &ended.finished()["record"];
            let said = record["shortcuts"]["init"].as_str().unwrap_or_default();
            let expected = if skip { "skipped" } else { "ran: switched off" };
            assert!(
                said.starts_with(expected),
                "{}\n{}",
                ended.finished(),
                ended.text("logs")
            );
            left(&folder.path().join("engine.left"))
        });
        assert_eq!(prepared, init, "{files:?}");
    }
}

/// Modules that call modules, upwards and sideways, twice.
fn nested() -> BTreeMap<String, String> {
    let call = |calls: &[(&str, &str)]| {
        calls.iter().fold(BELOW.to_owned(), |text, (name, source)| {
            format!("{text}module \"{name}\" {{\n  source = \"{source}\"\n}}\n")
        })
    };
    BTreeMap::from([
        (
            "main.tf".to_owned(),
            call(&[
                ("a", "./m/pg/v1"),
                ("b", "./m/pg/v1/"),
                ("b2", "./m/x-y_z/1.0.0+a"),
            ]),
        ),
        (
            "m/pg/v1/main.tf".to_owned(),
            call(&[("s", "./sub"), ("o", "../../other/v1")]),
        ),
        ("m/pg/v1/sub/main.tf".to_owned(), call(&[("d", "./deep")])),
        ("m/pg/v1/sub/deep/main.tf".to_owned(), call(&[])),
        ("m/other/v1/main.tf".to_owned(), call(&[])),
        ("m/x-y_z/1.0.0+a/main.tf".to_owned(), call(&[])),
    ])
}

/// The golden cases of the compiler, with code in the bundle where theirs comes from elsewhere, and without providers that
/// the mirror lacks.
fn goldens() -> Vec<BTreeMap<String, String>> {
    crate::compile::folders()
        .iter()
        .map(|folder| {
            let files = crate::compile::compile_folder(folder, None).expect("it compiles");
            let mut files: BTreeMap<String, String> = files
                .into_iter()
                .map(|(path, bytes)| (path, String::from_utf8(bytes).expect("text")))
                .collect();
            let mut main = String::new();
            let mut stubs = 0;
            // The line that ends what is left out.
            let mut until: Option<String> = None;
            for line in files["main.tf"].lines() {
                if let Some(end) = &until {
                    if line == end {
                        until = None;
                    }
                    continue;
                }
                let indent = &line[..line.len() - line.trim_start().len()];
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["required_providers" | "provider" | "providers", ..] => {
                        until = Some(format!("{indent}}}")).filter(|_| !line.ends_with('}'));
                    }
                    ["source", "=", source] if !source.starts_with("\"./") => {
                        stubs += 1;
                        main.push_str(&format!("  source = \"./stubs/{stubs}\"\n"));
                    }
                    ["version", "=", _] => {}
                    _ => main.push_str(&format!("{line}\n")),
                }
            }
            for stub in 1..=stubs {
                files.insert(format!("stubs/{stub}/main.tf"), BELOW.to_owned());
            }
            files.insert("main.tf".to_owned(), main);
            files
        })
        .collect()
}
