//! An engine is killed in mid-apply: what it made is named, nothing is applied before it is settled, and then all goes on.

use crate::support::{CATALOGUE, Client, Done, Place, everywhere};

everywhere! {
    what_a_killed_engine_left_open_is_imported_or_dismissed
}

/// Two notes, and one that only comes after the gate.
const MANIFEST: &str = r#"
workloads:
  web:
    resources:
      one: {type: note, params: {text: one}}
      two: {type: note, params: {text: two}}
      gate: {type: gate, params: {name: "g-${resources.one.outputs.text}-${resources.two.outputs.text}"}}
"#;

/// A client of a deployment whose two notes are made and whose third module stands at its gate.
fn at_the_gate(place: &Place) -> (Client, String) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("app.yaml", MANIFEST);
    let mut client = place.start(place.deploy("dev", "app.yaml"));
    place.wait_at_gate("g-one-two", &mut client);
    let id = place.newest("dev");
    (client, id)
}

fn addresses(list: &serde_json::Value) -> Vec<String> {
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|address| address.as_str().expect("text").to_owned())
        .collect()
}

fn refused(done: &Done, open: &[String]) {
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&[
        "windlass state import shop dev",
        "windlass state dismiss shop dev",
    ]);
    for address in open {
        done.says(&[address]);
    }
}

fn what_a_killed_engine_left_open_is_imported_or_dismissed(place: &Place) {
    let (client, id) = at_the_gate(place);
    place.kill_engine();
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    let record = place.ended(&id);
    assert_eq!(record["windlass"]["failure_class"], "killed", "{record:#}");
    let unrecorded = addresses(&record["windlass"]["unrecorded"]);
    let in_flight = addresses(&record["windlass"]["in_flight"]);

    // Both engines: what is finished is in the state or named; what stood at the gate is in the state (tainted) or in flight.
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    let recorded = addresses(&view["recorded"]);
    assert_eq!(addresses(&view["unrecorded"]), unrecorded);
    assert_eq!(addresses(&view["in_flight"]), in_flight);
    assert_eq!(
        recorded.len() + unrecorded.len() + in_flight.len(),
        3,
        "{view:#}"
    );

    let open: Vec<String> = unrecorded.iter().chain(&in_flight).cloned().collect();
    if !open.is_empty() {
        let before = place.deployments("dev").len();
        refused(&place.run(place.deploy("dev", "app.yaml")), &open);
        let delete = place.run(["delete", "env", "shop", "dev", "--no-prompt"]);
        assert_eq!(delete.code, Some(1), "{delete}");
        delete.says(&["windlass state import shop dev"]);
        assert_eq!(
            place.deployments("dev").len(),
            before,
            "nothing is recorded"
        );
        assert_eq!(
            place
                .run(["state", "dismiss", "shop", "dev", "t.x", "--no-prompt"])
                .code,
            Some(1)
        );
    }
    if !unrecorded.is_empty() {
        let preview = place.ok([
            "state",
            "import",
            "shop",
            "dev",
            "--plan-only",
            "--no-prompt",
        ]);
        for address in &unrecorded {
            preview.says(&[&format!("{address} would be changed in place")]);
        }
        let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
        assert_eq!(addresses(&view["unrecorded"]), unrecorded, "only looked at");
        place.ok(["state", "import", "shop", "dev", "--no-prompt"]);
    }
    for address in &in_flight {
        place.ok(["state", "dismiss", "shop", "dev", address, "--no-prompt"]);
    }
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert!(addresses(&view["unrecorded"]).is_empty() && addresses(&view["in_flight"]).is_empty());
    assert_eq!(
        addresses(&view["recorded"]).len(),
        recorded.len() + unrecorded.len()
    );

    let mut client = place.start(place.deploy("dev", "app.yaml"));
    place.wait_at_gate("g-one-two", &mut client);
    place.open_gate("g-one-two");
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
    let record = place.ended(&place.newest("dev"));
    assert_eq!(
        record["metrics"]["num_tf_resources_added"], 1,
        "the notes are not made again: {record:#}"
    );
    assert_eq!(record["metrics"]["num_tf_resources"], 3, "{record:#}");
    place.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
}
