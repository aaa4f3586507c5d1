//! A container daemon that is restarted in mid-apply or has no space for the image, and a run that hits its memory limit.
//!
//! The daemons that are stopped and filled here are the tests' own, so that nothing else on the machine notices.

use serde_json::Value;

use super::{Mount, begin, gated};
use crate::dockerd::PrivateDocker;
use crate::kills::settle;
use crate::support::{CATALOGUE, Engine, Launcher, Place, mirror, wait_until};

/// A place whose runs go to this daemon, in containers without a network.
fn place_at(daemon: &PrivateDocker) -> Place {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let engine = place.engine();
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\ndocker_host: {}\n",
        engine.name(),
        engine.binary().display(),
        mirror().display(),
        daemon.host()
    ));
    runner(&place, "mine", "network: none, standby_secs: 0");
    place
}

/// The catalogue, and a runner of this configuration for everything, also for what settles.
fn runner(place: &Place, id: &str, configuration: &str) {
    begin(place);
    place.write(
        "runner.yaml",
        format!(
            "kind: runner\nid: {id}\nrunner_configuration: {{type: docker, {configuration}}}\nstate_storage_configuration: {{type: local}}\n---\nkind: runner-rule\nrunner_id: {id}\n"
        ),
    );
    place.ok(["apply", "-f", "runner.yaml"]);
}

fn deploy<'a>(source: &'a str, runner: &'a str) -> [&'a str; 7] {
    [
        "deploy",
        "shop",
        "dev",
        source,
        "--no-prompt",
        "--runner",
        runner,
    ]
}

fn ended_once(place: &Place, id: &str, context: &str) -> Value {
    let record = place.ended(id);
    assert_eq!(place.ends(id), 1, "{context}: {record:#}");
    record
}

#[test]
#[ignore = "needs docker and opentofu"]
fn a_daemon_that_is_restarted_while_a_run_applies_ends_it_once() {
    let mut daemon = PrivateDocker::started();
    let place = place_at(&daemon);
    place.ok(deploy("base.yaml", "mine"));
    for (live_restore, signal) in [
        (false, "-KILL"),
        (false, "-TERM"),
        (true, "-KILL"),
        (true, "-TERM"),
    ] {
        let context = format!("live-restore {live_restore}, {signal}");
        if daemon.live_restore != live_restore {
            daemon.end("-TERM");
            daemon.live_restore = live_restore;
            daemon.start();
        }
        let gate = format!("gate{live_restore}{}", &signal[1..]).to_lowercase();
        place.write("gated.yaml", gated(&gate, 0));
        let mut client = place.start(deploy("gated.yaml", "mine"));
        place.wait_at_gate(&gate, &mut client);
        let id = place.newest("dev");
        daemon.end(signal);
        daemon.start();
        if live_restore {
            place.open_gate(&gate);
        }
        let record = ended_once(&place, &id, &context);
        assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
        let expected = if live_restore { "succeeded" } else { "failed" };
        assert_eq!(record["status"], expected, "{context}: {record:#}");
        let done = client.wait();
        assert_eq!(
            done.code,
            Some(i32::from(!live_restore)),
            "{context}\n{done}"
        );
        // Two notes: in the state, or named.
        let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
        let count = |list: &str| view[list].as_array().map_or(0, Vec::len);
        assert!(
            count("recorded") + count("unrecorded") + count("in_flight") >= 2,
            "{context}: {view:#}"
        );
        settle(&place);
        place.ok(deploy("base.yaml", "mine"));
        // It goes after the end was told.
        wait_until("no container is left", || {
            daemon
                .docker(&["ps", "--all", "--quiet"])
                .is_some_and(|left| left.trim().is_empty())
        });
    }
}

#[test]
#[ignore = "needs docker and opentofu"]
fn no_space_for_the_image_is_said_and_leaves_nothing_half_built() {
    let daemon = PrivateDocker::new();
    let disk = Mount::tmpfs(&daemon.path("data"), "48m");
    daemon.start();
    let place = place_at(&daemon);
    let done = place.refused(deploy("base.yaml", "mine"));
    done.says(&["no space", "Docker", "docker system df", "--runner process"]);
    let id = place.newest("dev");
    let record = ended_once(&place, &id, "no space");
    assert_eq!(
        record["windlass"]["failure_class"], "image_missing",
        "{record:#}"
    );
    for list in [
        ["images", "--all", "--quiet"],
        ["ps", "--all", "--quiet"],
        ["volume", "ls", "--quiet"],
    ] {
        assert_eq!(
            daemon.docker(&list).as_deref().map(str::trim),
            Some(""),
            "{list:?}"
        );
    }
    disk.remount("size=2g");
    place.ok(deploy("base.yaml", "mine"));
}

/// A module whose child, or whose engine, wants more than there is.
fn hungry(place: &Place) {
    let hungry = r#"
---
kind: resource-type
id: hungry
output_schema: {type: object, properties: {}}
---
kind: module
id: hungry
resource_type: hungry
module_source: inline
module_source_code: |
  resource "terraform_data" "this" {
    provisioner "local-exec" {
      command = "dd if=/dev/zero of=/dev/null bs=700M count=1"
    }
  }
---
kind: module-rule
module_id: hungry
---
kind: resource-type
id: greedy
output_schema: {type: object, properties: {}}
---
kind: module
id: greedy
resource_type: greedy
module_source: inline
module_source_code: |
  locals {
    kib = join("", [for i in range(1024) : "x"])
    mib = join("", [for i in range(1024) : local.kib])
  }
  resource "terraform_data" "this" {
    input = length(join("", [for i in range(1000) : local.mib]))
  }
---
kind: module-rule
module_id: greedy
"#;
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{hungry}"));
    place.ok(["apply", "-f", "catalogue"]);
}

#[test]
#[ignore = "needs docker and opentofu"]
fn a_memory_limit_that_is_hit_is_said_with_the_limit_and_a_kill_is_none() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    runner(
        &place,
        "small",
        "network: none, standby_secs: 0, memory_bytes: 335544320",
    );
    hungry(&place);
    let manifest =
        |kind: &str| format!("workloads:\n  web:\n    resources:\n      it: {{type: {kind}}}\n");
    for kind in ["hungry", "greedy"] {
        place.write("it.yaml", manifest(kind));
        let done = place.refused(deploy("it.yaml", "small"));
        done.says(&[
            "the memory limit of 320 MiB was hit",
            "raise `memory_bytes`",
        ]);
        let id = place.newest("dev");
        let record = ended_once(&place, &id, kind);
        assert_eq!(
            record["windlass"]["failure_class"], "out_of_memory",
            "{kind}: {record:#}"
        );
        settle(&place);
    }
    place.write("gated.yaml", gated("killed", 0));
    let mut client = place.start(deploy("gated.yaml", "small"));
    place.wait_at_gate("killed", &mut client);
    place.kill_engine();
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    let record = ended_once(&place, &place.newest("dev"), "killed");
    assert_eq!(record["windlass"]["failure_class"], "killed", "{record:#}");
    settle(&place);
    place.ok(deploy("base.yaml", "small"));
}
