//! The supervisor with both real engines: the whole way, and what is left when they are interrupted or killed.

use std::fs;

use serde_json::{Value, json};

use super::{Bench, job};
use crate::support::{Engine, by_both_engines};

by_both_engines! {
    the_whole_way
    an_interrupted_apply_saves_what_it_made
    a_killed_apply_loses_nothing_that_was_finished
    a_module_that_fails_is_named
    providers_come_from_the_mirror_alone
}

fn bench(engine: Engine) -> Bench {
    Bench::new(engine.name(), &engine.binary())
}

fn wanted(engine: Engine, action: &str, files: &[(&str, &str)]) -> Value {
    let mut job = job(action, files);
    job["engine"] = engine.name().into();
    job
}

const MAIN: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
}
module "db_default_main_1" {
  source = "./modules/pg/v1"
}
output "platform_orchestrator_metadata" {
  value = { hash = { kind = "db" } }
}
output "web" {
  sensitive = true
  value     = { host = module.db_default_main_1.host }
}
"#;

const MODULE: &str = r#"
resource "terraform_data" "this" {
  count = 2
  input = "host-${count.index}"
}
output "host" {
  value = terraform_data.this[1].output
}
"#;

fn the_whole_way(engine: Engine) {
    let bench = bench(engine);
    let files = [("main.tf", MAIN), ("modules/pg/v1/main.tf", MODULE)];

    let planned = bench.run("plan", &wanted(engine, "plan", &files));
    assert_eq!(
        planned.finished()["outcome"],
        "planned",
        "{}",
        planned.finished()
    );
    assert_eq!(planned.finished()["added"], 2);
    assert_eq!(planned.finished()["record"]["outputs_changed"], true);
    assert_eq!(
        planned.text("outputs"),
        r#"{"web":{"host":"(known after apply)"}}"#
    );
    assert!(planned.text("logs").contains("will be created"));
    assert!(!bench.state().exists());

    let applied = bench.run("apply", &wanted(engine, "deploy", &files));
    let finished = applied.finished();
    assert_eq!(finished["outcome"], "applied", "{finished}");
    assert_eq!(
        (&finished["added"], &finished["total"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(finished["metadata"]["hash"]["kind"], "db");
    assert_eq!(finished["record"]["engine"], engine.name());
    assert!(
        finished["record"]["engine_version"]
            .as_str()
            .is_some_and(|v| !v.is_empty())
    );
    assert_eq!(applied.text("outputs"), r#"{"web":{"host":"host-1"}}"#);

    let again = bench.run("again", &wanted(engine, "deploy", &files));
    assert_eq!(
        again.finished()["outcome"],
        "unchanged",
        "{}",
        again.finished()
    );
    assert_eq!(again.finished()["metadata"]["hash"]["kind"], "db");

    let planned = bench.run("plan-again", &wanted(engine, "plan", &files));
    assert_eq!(planned.finished()["added"], 0);
    assert_eq!(planned.finished()["record"]["outputs_changed"], false);

    let destroyed = bench.run("destroy", &wanted(engine, "destroy", &files));
    let finished = destroyed.finished();
    assert_eq!(finished["outcome"], "destroyed", "{finished}");
    assert_eq!(
        (&finished["removed"], &finished["total"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(finished["state_empty"], true);
}

/// Four resources, one after another; the third never ends by itself.
const SLOW: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
}
resource "terraform_data" "a" {}
resource "terraform_data" "b" {
  depends_on = [terraform_data.a]
}
resource "terraform_data" "c" {
  depends_on = [terraform_data.b]
  provisioner "local-exec" {
    command = "touch state/there; sleep 1000"
  }
}
resource "terraform_data" "d" {
  depends_on = [terraform_data.c]
}
"#;

fn waits_at_c(event: &Value) -> bool {
    let resource = &event["kind"]["resource"];
    resource["state"] == "started" && resource["address"] == "terraform_data.c"
}

fn an_interrupted_apply_saves_what_it_made(engine: Engine) {
    let bench = bench(engine);
    let job = wanted(engine, "deploy", &[("main.tf", SLOW)]);
    let mut going = bench.start("one", &job);
    going.wait_for("the third resource begins", waits_at_c);
    while !bench.state().join("there").exists() {
        std::thread::yield_now();
    }
    going.signal("TERM");
    let ended = going.ended();
    assert_eq!(
        ended.finished()["outcome"],
        "cancelled",
        "{}",
        ended.finished()
    );
    assert_eq!(ended.finished()["total"], 3, "two, and a tainted one");
    assert_eq!(ended.addresses("unrecorded"), Vec::<&str>::new());
    assert_eq!(ended.addresses("in_flight"), Vec::<&str>::new());
    let plan = bench.run("two", &wanted(engine, "plan", &[("main.tf", SLOW)]));
    assert_eq!(plan.finished()["outcome"], "planned", "the lock is free");
}

fn a_killed_apply_loses_nothing_that_was_finished(engine: Engine) {
    let bench = bench(engine);
    let job = wanted(engine, "deploy", &[("main.tf", SLOW)]);
    let mut going = bench.start("one", &job);
    going.wait_for("the third resource begins", waits_at_c);
    let state = bench.state();
    while !state.join("there").exists() {
        std::thread::yield_now();
    }
    super::send("KILL", engine_of(&bench.path("one")));
    let ended = going.ended();
    assert_eq!(
        ended.finished()["failure_class"],
        "killed",
        "{}",
        ended.finished()
    );
    let held = fs::read_to_string(state.join("terraform.tfstate")).expect("a state");
    for name in ["a", "b"] {
        let address = format!("terraform_data.{name}");
        let in_state = held.contains(&format!("\"name\": \"{name}\""));
        let named = ended.addresses("unrecorded").contains(&address.as_str());
        assert!(in_state || named, "{address} is lost");
    }
    assert_eq!(ended.addresses("in_flight"), ["terraform_data.c"]);
}

/// The engine whose current directory is the run's.
fn engine_of(spool: &std::path::Path) -> u32 {
    let work = fs::canonicalize(spool.join("work")).expect("a work directory");
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == work)
                && ["tofu", "terraform"].contains(&name.trim())
        })
        .collect();
    found.sort_unstable();
    *found.first().expect("the engine runs")
}

const FAILING: &str = r#"
resource "terraform_data" "this" {
  provisioner "local-exec" {
    command = "echo the password is s3cret; exit 3"
  }
}
output "host" {
  value = "x"
}
"#;

fn a_module_that_fails_is_named(engine: Engine) {
    let bench = bench(engine);
    let files = [("main.tf", MAIN), ("modules/pg/v1/main.tf", FAILING)];
    let ended = bench.run("spool", &wanted(engine, "deploy", &files));
    assert_eq!(ended.finished()["failure_class"], "apply_failed");
    let clear = ended.kind("diagnostic");
    assert_eq!(clear[0]["resource"], "type=db,class=default,id=main");
    assert_eq!(clear[0]["module_id"], "pg");
    assert_eq!(clear[0]["file"], "modules/pg/v1/main.tf");
    let in_clear: Vec<String> = ended
        .events
        .iter()
        .filter(|event| event["kind"]["frame"].is_null())
        .map(Value::to_string)
        .collect();
    assert!(!in_clear.concat().contains("s3cret"));
    assert!(ended.text("logs").contains("s3cret"));
}

const PROVIDER: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
  required_providers {
    it = {
      source = "hashicorp/NAME"
    }
  }
}
"#;

fn providers_come_from_the_mirror_alone(engine: Engine) {
    let bench = bench(engine).with_mirror(&crate::support::mirror());
    let main = PROVIDER.replace("NAME", "time");
    let had = bench.run("had", &wanted(engine, "deploy", &[("main.tf", &main)]));
    let finished = had.finished();
    assert_eq!(finished["outcome"], "unchanged", "{finished}");
    assert_eq!(
        finished["record"]["init"],
        "ran; 1 provider from the mirror"
    );
    let lock = finished["lock_file"].as_str().expect("a lock file");
    assert!(lock.contains("hashicorp/time"), "{lock}");

    let main = PROVIDER.replace("NAME", "nowhere-to-be-found");
    let lacking = bench.run("lacking", &wanted(engine, "deploy", &[("main.tf", &main)]));
    let finished = lacking.finished();
    assert_eq!(finished["failure_class"], "init_failed");
    let message = finished["message"].as_str().expect("text");
    assert!(message.contains("not in the provider mirror"), "{message}");
}
