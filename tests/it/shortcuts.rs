//! What a deploy saves itself, through the real binary: said in the record, switched off by a setting or a runner, and for
//! every example just what the engine's own `init` would have left.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::inside::prepared::{KEEP, left};
use crate::support::{Engine, Launcher, Place, everywhere, kill, mirror, wait_until};

everywhere! {
    a_deploy_is_one_engine_process_and_its_record_says_why
}

/// A module whose provider comes from the mirror.
const CATALOGUE: &str = r#"
kind: environment-type
id: development
---
kind: project
id: shop
---
kind: environment
project_id: shop
id: dev
env_type_id: development
---
kind: resource-type
id: moment
output_schema: {type: object, properties: {year: {type: string}}}
---
kind: module
id: moment
resource_type: moment
module_source: inline
module_params: {at: {type: string}}
module_source_code: |
  terraform {
    required_providers {
      time = {
        source  = "hashicorp/time"
        version = ">= 0.10"
      }
    }
  }
  variable "at" {
    type = string
  }
  resource "time_static" "this" {
    rfc3339 = var.at
  }
  output "year" {
    value = tostring(time_static.this.year)
  }
---
kind: module-rule
module_id: moment
"#;

fn moment(year: u32) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      when:\n        type: moment\n        params: {{at: '{year}-02-03T04:05:06Z'}}\n    outputs:\n      YEAR: ${{resources.when.outputs.year}}\n"
    )
}

fn record(place: &Place) -> Value {
    place.deployment(&place.newest("dev"))["windlass"]["run"].clone()
}

/// A worker keeps the settings that it began with.
fn end_workers(place: &Place) {
    for pid in place.workers() {
        kill(pid);
    }
    wait_until("no worker is left", || place.workers().is_empty());
}

fn a_deploy_is_one_engine_process_and_its_record_says_why(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    let mut keys = Vec::new();
    for year in [2020, 2021, 2021] {
        place.write("it.yaml", moment(year));
        place.ok(place.deploy("dev", "it.yaml"));
        let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
        assert_eq!(outputs["web"]["YEAR"], year.to_string());
        let run = record(place);
        assert_eq!(run["engine_processes"], 1, "{run:#}");
        assert_eq!(run["init"], "prepared; 1 provider from the mirror");
        let shortcuts = &run["shortcuts"];
        assert_eq!(shortcuts["init"], "skipped: what it leaves was prepared");
        assert_eq!(
            shortcuts["providers"],
            "1 checked in the mirror, not hashed again"
        );
        keys.push(run["prepared"].clone());
    }
    assert_ne!(keys[0], keys[1], "another bundle is another key");
    assert_eq!(keys[1], keys[2], "the same again is the same");
    let shown = place.ok(["get", "deployment", &place.newest("dev")]);
    for line in [
        "init: skipped: what it leaves was prepared",
        "providers: 1 checked in the mirror, not hashed again",
        "plan: one process with the apply",
        "outputs: from the state file",
        "memory: garbage is collected",
        "prepared from sha256:",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {shown}");
    }
    assert!(place.data().join("mirror-checked.json").exists());

    // A setting of the host brings them back.
    let engine = place.engine();
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\nshortcuts: {{skip_init: false, trust_mirror: false}}\n",
        engine.name(),
        engine.binary().display(),
        mirror().display()
    ));
    end_workers(place);
    place.write("it.yaml", moment(2022));
    place.ok(place.deploy("dev", "it.yaml"));
    let run = record(place);
    assert_eq!(run["shortcuts"]["init"], "ran: switched off", "{run:#}");
    assert_eq!(run["engine_processes"], 2);
    assert_eq!(run["init"], "ran; 1 provider from the mirror");
    // And so does a runner.
    let kind = match place.launcher() {
        Launcher::Docker => "docker",
        Launcher::Process => "process",
    };
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\n",
        engine.name(),
        engine.binary().display(),
        mirror().display()
    ));
    end_workers(place);
    place.write(
        "runner.yaml",
        format!(
            "kind: runner\nid: careful\nrunner_configuration: {{type: {kind}, shortcuts: {{trust_mirror: false, one_process: false}}}}\nstate_storage_configuration: {{type: local}}\n"
        ),
    );
    place.ok(["apply", "-f", "runner.yaml"]);
    place.write("it.yaml", moment(2023));
    let mut arguments = place.deploy("dev", "it.yaml");
    let at = arguments.iter().position(|word| word == "--runner");
    arguments[at.expect("a runner is named") + 1] = "careful".to_owned();
    place.ok(arguments);
    let run = record(place);
    assert_eq!(run["engine_processes"], 2, "plan, apply: {run:#}");
    assert_eq!(
        run["shortcuts"]["providers"],
        "hashed by each engine process: switched off"
    );
    assert_eq!(
        run["shortcuts"]["plan"],
        "a process of its own: switched off"
    );
}

mod examples {
    #[test]
    #[ignore = "needs opentofu"]
    fn opentofu() {
        super::every_example_is_prepared_as_init_would(crate::support::Engine::OpenTofu);
    }

    #[test]
    #[ignore = "needs terraform"]
    fn terraform() {
        super::every_example_is_prepared_as_init_would(crate::support::Engine::Terraform);
    }
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    path.display().to_string()
}

/// What lies, as [`left`] reads it, in the work directory when the engine is first called for something else than `init`: prepared, and after a
/// real `init`.
fn works_of(engine: Engine, catalogue: &[&str], deploy: &[&str]) -> [BTreeMap<String, Value>; 2] {
    let place = Place::new(Launcher::Process, engine);
    let mut apply = vec!["apply".to_owned()];
    for part in catalogue {
        apply.extend(["-f".to_owned(), shipped(part)]);
    }
    place.ok(apply);
    [true, false].map(|skip| {
        let folder = tempfile::tempdir().expect("a directory");
        let script = folder.path().join("engine");
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" != init ] && [ ! -e \"$0.left\" ]; then\n{KEEP}\nfi\nexec {} \"$@\"\n",
            engine.binary().display()
        );
        fs::write(&script, text).expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it may run");
        place.settings(&format!(
            "engines:\n  {}: {}\nmirror: {}\nshortcuts: {{skip_init: {skip}}}\n",
            engine.name(),
            script.display(),
            mirror().display()
        ));
        end_workers(&place);
        let mut arguments: Vec<String> = deploy
            .iter()
            .map(|word| match word.starts_with("examples/") {
                true => shipped(word),
                false => (*word).to_owned(),
            })
            .collect();
        arguments.extend(["--runner", "process", "--no-prompt"].map(str::to_owned));
        place.ok(arguments);
        left(&folder.path().join("engine.left"))
    })
}

fn every_example_is_prepared_as_init_would(engine: Engine) {
    for (catalogue, deploy) in [
        (
            &["examples/hello/catalogue"][..],
            &["deploy", "hello", "dev", "examples/hello/manifest.yaml"][..],
        ),
        (
            &["modules", "examples/shop/platform"],
            &["deploy", "shop", "staging", "examples/shop/manifest.yaml"],
        ),
        (
            &["modules", "examples/shop/platform"],
            &["deploy", "shop", "live", "examples/shop/manifest.yaml"],
        ),
        (
            &["modules", "examples/score/platform"],
            &[
                "score",
                "deploy",
                "guestbook",
                "dev",
                "examples/score/guestbook.yaml",
                "examples/score/mailer.yaml",
                "--default-image",
                "example/image",
            ],
        ),
    ] {
        let [prepared, init] = works_of(engine, catalogue, deploy);
        assert!(!prepared["modules"].is_null(), "{deploy:?}");
        assert_eq!(prepared, init, "{deploy:?}");
    }
}
