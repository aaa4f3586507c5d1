//! Stopping a deployment: while it waits, while its engine is at work, from the command that follows it, and too late.

use serde_json::{Value, json};

use crate::support::{CATALOGUE, Engine, Launcher, Place, everywhere, wait_until};
use crate::terminal::Terminal;

everywhere! {
    what_runs_is_stopped_with_its_state_saved
}

/// A note, and then a module that stands still.
fn gated(text: &str, gate: &str) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      note: {{type: note, params: {{text: {text}}}}}\n      gate: {{type: gate, params: {{name: '{gate}${{resources.note.outputs.text}}'}}}}\n"
    )
}

fn shop() -> Place {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    furnish(&place);
    place
}

fn furnish(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("gated.yaml", gated("one", "g-"));
    place.write(
        "plain.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: one}}\n",
    );
}

/// Stopped on request: this outcome, no failure, nothing open, nothing of it left behind.
fn assert_stopped(place: &Place, id: &str) {
    let record = place.ended(id);
    assert_eq!(record["status"], "failed", "{record:#}");
    assert_eq!(record["windlass"]["outcome"], "cancelled", "{record:#}");
    assert_eq!(record["windlass"]["unrecorded"], Value::Null, "{record:#}");
    assert_eq!(place.ends(id), 1, "one end");
    assert_eq!(place.runner_processes(), [], "no engine is left");
}

fn what_runs_is_stopped_with_its_state_saved(place: &Place) {
    furnish(place);
    let mut follower = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("g-one", &mut follower);
    let id = place.newest("dev");
    let stopped = place.ok(["cancel", &id]);
    stopped.says(&["was cancelled", "1 of 2 changes were made"]);
    assert_stopped(place, &id);
    let followed = follower.wait();
    assert_eq!(followed.code, Some(1), "{followed}");
    followed.says(&["Asked to stop", "it was cancelled"]);
    assert!(
        place.ok(["logs", &id]).stdout.contains("Interrupt"),
        "the log goes on to the end"
    );

    let held = place.resources("dev");
    assert!(
        held.iter().any(|name| name.contains("note")),
        "what was finished is in the state: {held:?}"
    );
    place.write("gated.yaml", gated("one", "h-"));
    let mut next = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("h-one", &mut next);
    place.open_gate("h-one");
    let next = next.wait();
    assert_eq!(next.code, Some(0), "the lock is free\n{next}");
    let newest = place.deployment(&place.newest("dev"));
    let added = &newest["metrics"]["num_tf_resources_added"];
    assert_eq!(added, 1, "only the rest is made: {newest:#}");
}

#[test]
#[ignore = "needs opentofu"]
fn what_waits_never_begins() {
    let place = shop();
    let mut first = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("g-one", &mut first);
    let first_id = place.newest("dev");
    let second = place.start(place.deploy("dev", "plain.yaml"));
    wait_until("the second one is in line", || {
        place.newest("dev") != first_id
    });
    let second_id = place.newest("dev");
    place
        .ok(["cancel", &second_id])
        .says(&["was cancelled", "Nothing was changed"]);
    assert_eq!(second.wait().code, Some(1));
    let record = place.ended(&second_id);
    assert_eq!(record["windlass"]["attempt"], 0, "{record:#}");
    assert_eq!(record["windlass"]["outcome"], "cancelled", "{record:#}");
    place.open_gate("g-one");
    let first = first.wait();
    assert_eq!(first.code, Some(0), "the other one goes on\n{first}");
}

#[test]
#[ignore = "needs opentofu"]
fn ctrl_c_stops_the_deployment_where_that_was_asked_for() {
    let place = shop();
    let mut words = place.deploy("dev", "gated.yaml");
    words.push("--on-interrupt=cancel".to_owned());
    let mut client = place.start(words);
    place.wait_at_gate("g-one", &mut client);
    let id = place.newest("dev");
    client.interrupt();
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&["it was cancelled"]);
    assert_stopped(&place, &id);

    place.write("gated.yaml", gated("one", "h-"));
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("h-one", &mut client);
    client.interrupt();
    let done = client.wait();
    assert_eq!(
        done.code,
        Some(130),
        "without a terminal it only detaches\n{done}"
    );
    place.open_gate("h-one");
    let record = place.ended(&place.newest("dev"));
    assert_eq!(record["windlass"]["outcome"], "applied", "{record:#}");
}

#[test]
#[ignore = "needs opentofu"]
fn ctrl_c_asks_on_a_terminal() {
    let place = shop();
    for (answer, outcome) in [("w\n", "applied"), ("\n", "applied"), ("c\n", "cancelled")] {
        let before = place.deployments("dev").len();
        let mut terminal = Terminal::start(&place, place.deploy("dev", "gated.yaml"));
        wait_until("it is submitted", || {
            place.deployments("dev").len() > before
        });
        let id = place.newest("dev");
        wait_until("a module stands at the gate", || place.is_at_gate("g-one"));
        terminal.types("\u{3}");
        wait_until("it asks", || terminal.shows("[c] cancel the deployment"));
        terminal.types(answer);
        if answer == "c\n" {
            wait_until("it ends", || terminal.is_over());
            assert_stopped(&place, &id);
        } else {
            if answer == "\n" {
                wait_until("it detaches", || terminal.is_over());
                assert!(terminal.shows("Detached"));
            }
            place.open_gate("g-one");
            let record = place.ended(&id);
            assert_eq!(record["windlass"]["outcome"], outcome, "{record:#}");
            wait_until("it ends", || terminal.is_over());
            place.ok(place.deploy("dev", "plain.yaml"));
        }
    }
}

#[test]
#[ignore = "needs opentofu"]
fn what_has_ended_cannot_be_stopped() {
    let place = shop();
    place.ok(place.deploy("dev", "plain.yaml"));
    let id = place.newest("dev");
    place
        .refused(["cancel", &id])
        .says(&["has already completed", "windlass get deployment"]);
    let record = place.deployment(&id);
    assert_eq!(record["windlass"]["outcome"], json!("applied"));
    place
        .refused(["cancel", "0198c1c8-0000-7000-8000-000000000000"])
        .says(&["not found", "windlass get deployments"]);
    place.refused(["cancel", "../../health"]);
}
