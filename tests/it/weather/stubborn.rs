//! An engine that does not end when it is interrupted: a provider waits for something that never comes.
//!
//! The built-in provider reads a pipe that nobody writes to, which no interrupt ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{begin, by_process};
use crate::kills::settle;
use crate::support::{CATALOGUE, Engine, Launcher, Place, by_both_engines, processes, wait_until};

by_both_engines! {
    a_provider_that_ignores_interrupts_ends_at_the_deadline
}

/// Read while applying, because it waits for a note that is only then made.
const STUCK: &str = r#"
---
kind: resource-type
id: stuck
output_schema: {type: object, properties: {}}
---
kind: module
id: stuck
resource_type: stuck
module_source: inline
module_params: {after: {type: string}, pipe: {type: string}}
module_source_code: |
  variable "after" {
    type = string
  }
  variable "pipe" {
    type = string
  }
  resource "terraform_data" "made" {
    input = var.after
  }
  resource "terraform_data" "slow" {
    provisioner "local-exec" {
      command = "trap '' INT TERM; touch state/slow.waiting; while :; do sleep 0.1; done"
    }
  }
  data "terraform_remote_state" "this" {
    backend = "local"
    config = {
      path = var.pipe
    }
    depends_on = [terraform_data.made]
  }
---
kind: module-rule
module_id: stuck
"#;

fn settings(place: &Place, program: &std::path::Path) {
    place.settings(&format!(
        "engines:\n  {}: {}\ndeadlines: {{apply: 4, grace: 2}}\n",
        place.engine().name(),
        program.display()
    ));
}

/// Processes that were started in the work directory of a run.
fn orphans(place: &Place) -> Vec<(i32, Vec<String>)> {
    let data = place.data();
    let mut found = processes();
    found.retain(|(pid, _)| {
        fs::read_link(format!("/proc/{pid}/cwd"))
            .is_ok_and(|directory| directory.starts_with(&data))
    });
    found
}

fn a_provider_that_ignores_interrupts_ends_at_the_deadline(engine: Engine) {
    let place = Place::new(Launcher::Process, engine);
    settings(&place, &engine.binary());
    begin(&place);
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{STUCK}"));
    place.ok(["apply", "-f", "catalogue"]);
    let pipe = place.work().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
    place.write(
        "stuck.yaml",
        format!(
            "workloads:\n  web:\n    resources:\n      stuck: {{type: stuck, params: {{after: x, pipe: {}}}}}\n",
            pipe.display()
        ),
    );
    let done = place.refused(place.deploy("dev", "stuck.yaml"));
    done.says(&["`apply` took longer than the 4 s it is allowed and was stopped, by force"]);
    let id = place.newest("dev");
    let record = place.deployment(&id);
    assert_eq!(record["windlass"]["failure_class"], "timeout", "{record:#}");
    assert_eq!(place.ends(&id), 1);
    // Both engines write what they have when they are interrupted, the half-made one as such.
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    let view = view.to_string();
    for name in ["terraform_data.made", "terraform_data.slow"] {
        assert!(
            view.contains(name),
            "{name} is in the state or named: {view}"
        );
    }
    wait_until("nothing of the run is left", || orphans(&place).is_empty());
    settle(&place);
    place.ok(place.deploy("dev", "base.yaml"));
}

/// An engine that ignores everything but SIGKILL, and leaves a child that does as well.
const FAKE: &str = r#"#!/bin/sh
case $1 in apply) ;; *) echo '{}'; exit 0;; esac
[ -e state/again ] || trap '' INT TERM
echo '{"@level":"info","@message":"p","type":"change_summary","changes":{"add":1,"change":0,"remove":0,"operation":"plan"}}'
[ -e state/again ] && exit 0
echo '{"@level":"info","@message":"s","type":"apply_start","hook":{"resource":{"addr":"t.a"},"action":"create"}}'
(while :; do sleep 0.1; done) &
while :; do sleep 0.1; done
"#;

#[test]
#[ignore = "needs opentofu"]
fn an_engine_that_ignores_every_interrupt_is_killed_with_all_it_started() {
    let place = by_process();
    let program = place.write("tofu", FAKE);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may run");
    settings(&place, &program);
    begin(&place);
    place
        .refused(place.deploy("dev", "base.yaml"))
        .says(&["was stopped, by force"]);
    let id = place.newest("dev");
    let record = place.deployment(&id);
    assert_eq!(record["windlass"]["failure_class"], "timeout", "{record:#}");
    assert_eq!(
        record["windlass"]["in_flight"],
        serde_json::json!(["t.a"]),
        "{record:#}"
    );
    assert_eq!(place.ends(&id), 1);
    wait_until("nothing of the run is left", || orphans(&place).is_empty());
    place.ok(["state", "dismiss", "shop", "dev", "t.a", "--no-prompt"]);
    fs::write(place.states()[0].join("again"), "").expect("written");
    place.ok(place.deploy("dev", "base.yaml"));
}
