//! Whatever is killed with SIGKILL while a run goes on, nothing is lost: the run ends once, and the next command tells how.
//!
//! A module stands at a gate while the test kills, so no timing is involved.

mod conformance;
mod copies;
mod fake;
mod matrix;
mod program;
mod readable;
mod requests;
mod scenarios;
mod served;
mod stages;
mod table;

use crate::support::{CATALOGUE, Client, Launcher, Place, by_both_launchers, wait_until};

by_both_launchers! {
    a_killed_client_leaves_the_run_alone
    a_killed_worker_is_replaced_and_the_run_adopted
    client_and_worker_killed_together_lose_nothing
    what_was_queued_when_everything_was_killed_still_runs
    two_clients_at_once_wait_in_line
    two_queued_merges_keep_both_changes
    an_environment_never_has_two_writers
}

/// A manifest whose module stands at a gate.
fn gated(gate: &str) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      gate: {{type: gate, params: {{name: {gate}}}}}\n      note: {{type: note, params: {{text: {gate}}}}}\n    outputs:\n      NOTE: ${{resources.note.outputs.text}}\n"
    )
}

/// Starts a deployment and returns when its module stands at the gate.
fn at_the_gate(place: &Place) -> (Client, String) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("gated.yaml", gated("one"));
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("one", &mut client);
    let id = place.newest("dev");
    (client, id)
}

/// Opens the gate and checks that the deployment ends well, once, with everything it made.
fn ends_well(place: &Place, id: &str) {
    place.open_gate("one");
    let record = place.ended(id);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    assert_eq!(record["windlass"]["outcome"], "applied", "{record:#}");
    assert_eq!(
        record["windlass"]["attempt"], 1,
        "it was adopted, not repeated: {record:#}"
    );
    assert_eq!(record["metrics"]["num_tf_resources_added"], 2, "{record:#}");
    let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(
        outputs["web"]["NOTE"], "one",
        "the keys of the killed client open the outputs"
    );
    let log = place.ok(["logs", id]);
    assert!(
        log.stdout.contains("terraform_data.this"),
        "the log is whole\n{log}"
    );
}

fn a_killed_client_leaves_the_run_alone(place: &Place) {
    let (client, id) = at_the_gate(place);
    client.kill();
    ends_well(place, &id);
}

fn a_killed_worker_is_replaced_and_the_run_adopted(place: &Place) {
    let (client, id) = at_the_gate(place);
    place.kill_workers();
    ends_well(place, &id);
    let done = client.wait();
    assert_eq!(done.code, Some(0), "the client sees the end\n{done}");
}

fn client_and_worker_killed_together_lose_nothing(place: &Place) {
    let (client, id) = at_the_gate(place);
    place.kill_workers();
    client.kill();
    ends_well(place, &id);
}

fn what_was_queued_when_everything_was_killed_still_runs(place: &Place) {
    let (client, id) = at_the_gate(place);
    place.write(
        "next.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: next}}\n",
    );
    let mut second = place.start(place.deploy("dev", "next.yaml"));
    wait_until("the second deployment is in line", || {
        assert!(second.over().is_none(), "it waits");
        place.deployments("dev").len() == 2
    });
    let queued = place.newest("dev");
    assert_ne!(queued, id);
    place.kill_workers();
    client.kill();
    second.kill();
    place.open_gate("one");
    assert_eq!(place.ended(&id)["status"], "succeeded");
    let record = place.ended(&queued);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    assert_eq!(place.resources("dev"), ["note"], "the later one wins");
}

fn two_clients_at_once_wait_in_line(place: &Place) {
    let (first, id) = at_the_gate(place);
    place.write(
        "next.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: next}}\n",
    );
    let mut second = place.start(place.deploy("dev", "next.yaml"));
    wait_until("the second deployment is in line", || {
        place.deployments("dev").len() == 2
    });
    assert!(second.over().is_none(), "it waits");
    let queued = place.newest("dev");
    assert_eq!(place.deployment(&queued)["windlass"]["phase"], "queued");
    // Another environment does not wait.
    place.ok(place.deploy("live", "next.yaml"));
    place.open_gate("one");
    let (first, second) = (first.wait(), second.wait());
    assert_eq!(first.code, Some(0), "{first}");
    assert_eq!(second.code, Some(0), "{second}");
    let ended = |id: &str| {
        place.deployment(id)["completed_at"]
            .as_str()
            .expect("it has ended")
            .to_owned()
    };
    assert!(ended(&id) <= ended(&queued), "in order");
}

fn two_queued_merges_keep_both_changes(place: &Place) {
    let (first, _) = at_the_gate(place);
    let mut others = Vec::new();
    for name in ["api", "job"] {
        let file = format!("{name}.yaml");
        place.write(&file, format!("workloads:\n  {name}:\n    resources:\n      note: {{type: note, params: {{text: {name}}}}}\n"));
        let mut arguments = place.deploy("dev", &file);
        arguments.push("--merge".to_owned());
        let before = place.deployments("dev").len();
        others.push(place.start(arguments));
        wait_until("it is in line", || place.deployments("dev").len() > before);
    }
    place.open_gate("one");
    assert_eq!(first.wait().code, Some(0));
    for other in others {
        let done = other.wait();
        assert_eq!(done.code, Some(0), "{done}");
    }
    let manifest = place.json(["get", "manifest", "shop", "dev", "-o", "json"]);
    let names: Vec<_> = manifest["workloads"]
        .as_object()
        .expect("workloads")
        .keys()
        .cloned()
        .collect();
    assert_eq!(names, ["api", "job", "web"], "{manifest:#}");
}

fn an_environment_never_has_two_writers(place: &Place) {
    let (client, id) = at_the_gate(place);
    // Workers come and go while the module stands at the gate; there is one engine throughout.
    for _ in 0..3 {
        place.kill_workers();
        assert_eq!(place.deployment(&id)["status"], "executing");
        wait_until("another worker runs", || {
            let _ = place.deployments("dev");
            !place.workers().is_empty()
        });
        if place.launcher() == Launcher::Docker {
            assert_eq!(place.containers().len(), 1, "one container");
        } else {
            let inside = place
                .processes()
                .into_iter()
                .filter(|(_, line)| line.get(1).is_some_and(|word| word == "inside"));
            assert_eq!(inside.count(), 1, "one supervisor");
        }
    }
    ends_well(place, &id);
    assert_eq!(client.wait().code, Some(0));
}

/// Imports what can be imported and dismisses the rest, as a person would; afterwards nothing is open.
pub(crate) fn settle(place: &Place) {
    let open = |list: &str| -> Vec<String> {
        let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
        let addresses = view[list].as_array().cloned().unwrap_or_default();
        addresses
            .iter()
            .map(|address| address.as_str().expect("text").to_owned())
            .collect()
    };
    if !open("unrecorded").is_empty() {
        place.ok(["state", "import", "shop", "dev", "--no-prompt"]);
    }
    let in_flight = open("in_flight");
    if !in_flight.is_empty() {
        let mut dismiss = vec!["state", "dismiss", "shop", "dev", "--no-prompt"];
        dismiss.extend(in_flight.iter().map(String::as_str));
        place.ok(dismiss);
    }
    assert!(open("unrecorded").is_empty() && open("in_flight").is_empty());
}
