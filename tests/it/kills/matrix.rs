//! Everything that can be killed, while real engines stand still: in line, planning, applying.
//!
//! After each: one end, nothing lost, and the next deploy succeeds once what is open is settled.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::settle;
use super::table::{Phase, victims};
use crate::support::{CATALOGUE, Client, Place, by_both_launchers, wait_until};

by_both_launchers! {
    killed_while_queued
    killed_while_planning
    killed_while_applying
}

/// The same with PostgreSQL.
mod on_postgres {
    use crate::support::{Engine, Launcher, Place};

    #[test]
    #[ignore = "needs docker, opentofu and PostgreSQL"]
    fn killed_while_queued() {
        super::killed_while_queued(&place());
    }

    #[test]
    #[ignore = "needs docker, opentofu and PostgreSQL"]
    fn killed_while_planning() {
        super::killed_while_planning(&place());
    }

    #[test]
    #[ignore = "needs docker, opentofu and PostgreSQL"]
    fn killed_while_applying() {
        super::killed_while_applying(&place());
    }

    fn place() -> Place {
        Place::new(Launcher::Docker, Engine::OpenTofu).on_postgres()
    }
}

/// A module that is read while planning, from a file that the test makes a pipe.
const LOOK: &str = r#"
---
kind: resource-type
id: look
output_schema: {type: object, properties: {}}
---
kind: module
id: look
resource_type: look
module_source: inline
module_source_code: |
  data "terraform_remote_state" "this" {
    backend = "local"
    config = {
      path = "state/look"
    }
  }
---
kind: module-rule
module_id: look
"#;

const BASE: &str =
    "workloads:\n  base:\n    resources:\n      note: {type: note, params: {text: base}}\n";

/// An environment with one note.
fn begin(place: &Place) {
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{LOOK}"));
    place.ok(["apply", "-f", "catalogue"]);
    place.write("base.yaml", BASE);
    place.ok(place.deploy("dev", "base.yaml"));
}

/// A deployment that has made two notes and stands at the gate of this name.
fn at_the_gate(place: &Place, gate: &str) -> (Client, String) {
    let manifest = format!(
        "workloads:\n  web:\n    resources:\n      one: {{type: note, params: {{text: {gate}}}}}\n      gate: {{type: gate, params: {{name: \"${{resources.one.outputs.text}}\"}}}}\n"
    );
    place.write("gated.yaml", manifest);
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate(gate, &mut client);
    let id = place.newest("dev");
    (client, id)
}

/// The deployment has one end, the expected one.
pub(super) fn ended(place: &Place, id: &str, succeeds: bool, context: &str) -> Value {
    let record = place.ended(id);
    let expected = if succeeds { "succeeded" } else { "failed" };
    assert_eq!(record["status"], expected, "{context}: {record:#}");
    assert_eq!(place.ends(id), 1, "{context}: one end");
    record
}

/// Settles what is open; then the base is deployed, and nothing else is left.
fn goes_on(place: &Place, context: &str) {
    settle(place);
    let done = place.run(place.deploy("dev", "base.yaml"));
    assert_eq!(done.code, Some(0), "{context}\n{done}");
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert_eq!(
        view["recorded"].as_array().map(Vec::len),
        Some(1),
        "{context}: {view:#}"
    );
}

fn killed_while_queued(place: &Place) {
    begin(place);
    for victim in victims(Phase::Queued, place.launcher()) {
        let context = format!("{victim:?} while queued");
        let gate = format!("queued-{}", victim as u8);
        let (first, first_id) = at_the_gate(place, &gate);
        let before = place.deployments("dev").len();
        let second = place.start(place.deploy("dev", "base.yaml"));
        wait_until("the second one is in line", || {
            place.deployments("dev").len() > before
        });
        let second_id = place.newest("dev");
        victim.strike(place, second);
        if victim.spares_the_run() {
            place.open_gate(&gate);
        }
        ended(place, &first_id, victim.spares_the_run(), &context);
        let record = place.ended(&second_id);
        assert_eq!(place.ends(&second_id), 1, "{context}");
        // It waited for one that left something open, so it is refused; else it is carried out.
        let refused = record["windlass"]["failure_class"] == "unsettled";
        assert_eq!(
            record["status"] != "succeeded",
            refused,
            "{context}: {record:#}"
        );
        assert!(
            !(refused && victim.spares_the_run()),
            "{context}: {record:#}"
        );
        drop(first);
        goes_on(place, &context);
    }
}

fn killed_while_applying(place: &Place) {
    begin(place);
    for victim in victims(Phase::Applying, place.launcher()) {
        let context = format!("{victim:?} while applying");
        let gate = format!("applying-{}", victim as u8);
        let (client, id) = at_the_gate(place, &gate);
        victim.strike(place, client);
        if victim.spares_the_run() {
            place.open_gate(&gate);
        }
        let record = ended(place, &id, victim.spares_the_run(), &context);
        assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
        let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
        let count = |list: &str| view[list].as_array().map_or(0, Vec::len);
        // The base, which leaves last, the note and the gate: in the state or named, on the deployment as well.
        let open = count("unrecorded") + count("in_flight");
        if victim.spares_the_run() {
            assert_eq!((count("recorded"), open), (2, 0), "{context}: {view:#}");
        } else {
            assert!(count("recorded") + open >= 2, "{context}: {view:#}");
            let named = record["windlass"]["in_flight"].as_array();
            assert_eq!(
                named.map_or(0, Vec::len),
                count("in_flight"),
                "{context}: {record:#}"
            );
            if open > 0 {
                place
                    .refused(place.deploy("dev", "base.yaml"))
                    .says(&["windlass state import shop dev"]);
            }
        }
        goes_on(place, &context);
    }
}

/// The file that the module `look` reads, as a pipe that nobody has opened.
fn pipe(place: &Place) -> PathBuf {
    let [state] = &place.states()[..] else {
        panic!("one environment was deployed to");
    };
    let path = state.join("look");
    let _ = fs::remove_file(&path);
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("anybody may read");
    path
}

/// Opens a pipe for writing once somebody reads it.
fn reader_of(path: &Path, client: &mut Client) -> File {
    let mut opened = None;
    wait_until("the engine reads while it plans", || {
        if let Some(done) = client.over() {
            panic!("the command ended before its engine planned\n{done}");
        }
        opened = File::options()
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .ok();
        opened.is_some()
    });
    opened.expect("opened")
}

const NOTHING: &str = r#"{"version":4,"serial":1,"lineage":"l","outputs":{},"resources":[]}"#;

fn killed_while_planning(place: &Place) {
    begin(place);
    place.write(
        "look.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: look}}\n      look: {type: look}\n",
    );
    for victim in victims(Phase::Planning, place.launcher()) {
        let context = format!("{victim:?} while planning");
        let path = pipe(place);
        let mut client = place.start(place.deploy("dev", "look.yaml"));
        let mut writer = reader_of(&path, &mut client);
        let id = place.newest("dev");
        victim.strike(place, client);
        if victim.spares_the_run() {
            writer.write_all(NOTHING.as_bytes()).expect("it reads");
        }
        drop(writer);
        let record = ended(place, &id, victim.spares_the_run(), &context);
        for list in ["unrecorded", "in_flight"] {
            assert_eq!(
                record["windlass"][list],
                Value::Null,
                "{context}: {record:#}"
            );
        }
        fs::remove_file(&path).expect("removed");
        fs::write(&path, NOTHING).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("anybody may read");
        goes_on(place, &context);
    }
}
