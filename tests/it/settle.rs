//! An engine is killed in mid-apply: what it made is named, nothing is applied before it is settled, and then all goes on.

use std::fs;

use crate::support::{
    CATALOGUE, Client, Done, Engine, Launcher, Place, by_both_engines, everywhere, wait_until, walk,
};

everywhere! {
    what_a_killed_engine_left_open_is_imported_or_dismissed
}

by_both_engines! {
    what_a_provider_was_making_is_imported_by_the_id_that_somebody_found
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

/// A module whose provider takes its time, and imports by something else than what it calls the id.
const SLOW: &str = r#"
---
kind: resource-type
id: slow
output_schema: {type: object, properties: {}}
---
kind: module
id: slow
resource_type: slow
module_source: inline
module_source_code: |
  terraform {
    required_providers {
      time = {
        source = "hashicorp/time"
      }
    }
  }
  resource "time_sleep" "this" {
    create_duration = "911s"
    triggers        = {}
  }
---
kind: module-rule
module_id: slow
"#;

fn what_a_provider_was_making_is_imported_by_the_id_that_somebody_found(engine: Engine) {
    let place = Place::new(Launcher::Process, engine);
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{SLOW}"));
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "app.yaml",
        "workloads:\n  web:\n    resources:\n      slow: {type: slow}\n",
    );
    let mut client = place.start(place.deploy("dev", "app.yaml"));
    wait_until("the provider makes it", || {
        if let Some(done) = client.over() {
            panic!("it ended before\n{done}");
        }
        let journals = place
            .states()
            .into_iter()
            .map(|state| state.join("journal.jsonl"));
        journals
            .filter_map(|journal| fs::read_to_string(journal).ok())
            .any(|text| text.contains("time_sleep"))
    });
    let id = place.newest("dev");
    place.kill_engine();
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&["state import shop dev ADDRESS=ID"]);
    let record = place.ended(&id);
    let [address] = &addresses(&record["windlass"]["in_flight"])[..] else {
        panic!("one is in flight: {record:#}");
    };
    let named = |id: &str| format!("{address}={id}");
    let import = |word: &str, more: &[&str]| {
        let mut words = vec!["state", "import", "shop", "dev", "--no-prompt", word];
        words.extend(more);
        place.run(words)
    };
    let open = || {
        let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
        (addresses(&view["in_flight"]), addresses(&view["recorded"]))
    };
    let untouched = (vec![address.clone()], Vec::new());

    let refused = |word: &str, parts: &[&str]| {
        let done = import(word, &[]);
        assert_eq!(done.code, Some(1), "{done}");
        done.says(parts);
        assert_eq!(open(), untouched, "{word}");
    };
    refused(address, &["ADDRESS=ID"]);
    refused(&named(""), &["names no id"]);
    refused(
        "terraform_data.x=1",
        &["`terraform_data.x` is not left open; open is", address],
    );
    // Text to the engine, whatever it says; no such object, to the provider.
    let hostile = r#"x"${file("/etc/hostname")}%{ if true }\"#;
    refused(&named(hostile), &["failed"]);

    let preview = import(&named("911s,"), &["--plan-only"]);
    assert_eq!(preview.code, Some(0), "{preview}");
    preview.says(&[&format!("{address} is taken as it is")]);
    assert_eq!(open(), untouched, "only looked at");
    let done = import(&named("911s,"), &[]);
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(open(), (Vec::new(), vec![address.clone()]));
    // An id may be a secret: it is in the state, and elsewhere under the key ring only.
    let states = place.data().join("state");
    for file in walk(&place.data()) {
        let bytes = fs::read(&file).unwrap_or_default();
        let is_there = bytes.windows(5).any(|part| part == b"911s,");
        assert!(
            file.starts_with(&states) || !is_there,
            "the id is in {}",
            file.display()
        );
    }

    let done = place.run(place.deploy("dev", "app.yaml"));
    assert_eq!(done.code, Some(0), "{done}");
    let record = place.ended(&place.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_added"], 0, "{record:#}");
    place.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
}
