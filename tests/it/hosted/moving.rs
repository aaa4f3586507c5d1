//! States that go from one storage to another, with real engines: there, back, killed on the way, and refused.

use std::fs;
use std::sync::atomic::Ordering;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::faults::world;
use super::foreign::{Keeper, adopted};
use super::{DEPLOY, client, deploy, held};
use crate::postgres::Postgres;
use crate::server::Server;
use crate::support::{Engine, Launcher, Place, everywhere, wait_until, walk};

everywhere! {
    a_state_follows_its_runner_to_the_server_and_back
}

pub(super) const MOVE: [&str; 7] = [
    "state",
    "move",
    "shop",
    "dev",
    "--no-prompt",
    "--runner",
    "hosted",
];

/// The runner keeps its states elsewhere from now on.
pub(super) fn keeps(client: &Place, from: &str, to: &str) {
    let file = client.work().join("catalogue/all.yaml");
    let text = fs::read_to_string(&file).expect("reads");
    let line = |storage: &str| format!("state_storage_configuration: {storage}\n");
    assert!(text.contains(&line(from)), "{text}");
    client.write("catalogue/all.yaml", text.replace(&line(from), &line(to)));
    client.ok(["apply", "-f", "catalogue"]);
}

const LOCAL: &str = "{type: local}";
const SERVER: &str = "{type: windlass}";

fn storage(client: &Place) -> Value {
    client.json(["state", "list", "shop", "dev", "-o", "json"])["storage"].clone()
}

/// Deploys, and says what was added and changed.
pub(super) fn changes(client: &Place, text: &str) -> (Value, Value) {
    deploy(client, text);
    let record = client.deployment(&client.newest("dev"));
    let of = |name: &str| record["metrics"][name].clone();
    (of("num_tf_resources_added"), of("num_tf_resources_changed"))
}

pub(super) fn none() -> (Value, Value) {
    (json!(0), json!(0))
}

fn a_state_follows_its_runner_to_the_server_and_back(place: &Place) {
    let (faults, _server, client, _) = world(place, "");
    keeps(&client, SERVER, LOCAL);
    assert_eq!(changes(&client, "first").0, 1);
    let lies_here = || {
        let states = walk(&place.data().join("state"));
        states
            .iter()
            .any(|path| path.ends_with("terraform.tfstate"))
    };
    assert!(lies_here());

    keeps(&client, LOCAL, SERVER);
    client.refused(DEPLOY).says(&["windlass state move"]);

    // Killed while the new place is written: the old one counts, and the same may be asked for again.
    faults.only_writes.store(true, Ordering::SeqCst);
    faults.breaks();
    let mut going = client.start(MOVE);
    wait_until("it writes", || {
        assert!(going.over().is_none(), "it ended: {}", going.said());
        faults.refused() > 0
    });
    place.kill_supervisor();
    // What the engine still writes changes nothing.
    faults.heals();
    let done = going.wait();
    assert_eq!(done.code, Some(1), "{done}");
    assert_eq!(storage(&client), "local");
    let done = client.ok(MOVE);
    done.says(&["lies in `windlass`", "`local`", "left there as it was"]);
    assert_eq!(storage(&client), "windlass");
    assert!(lies_here(), "what was left is kept");
    assert_eq!(changes(&client, "first"), none());
    assert_eq!(changes(&client, "second"), (json!(0), json!(1)));

    // Back, over the older state that was left.
    keeps(&client, SERVER, LOCAL);
    client.ok(MOVE);
    assert_eq!(storage(&client), "local");
    assert_eq!(changes(&client, "second"), none());
    assert_eq!(changes(&client, "third"), (json!(0), json!(1)));

    // And what replays the last deployment does so where the state is now.
    keeps(&client, LOCAL, SERVER);
    client.ok(MOVE);
    client.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    assert!(!lies_here(), "all of it goes with the environment");
    assert_eq!(place.table_counts()["hosted_states"], 0);
}

#[test]
#[ignore = "needs opentofu"]
fn what_cannot_be_moved_is_refused_and_says_why() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    let (client, hold) = client(&place, &server);
    client.refused(MOVE).says(&["nothing was ever applied"]);
    let going = held(&client, &hold);
    client.refused(MOVE).says(&["is still executing"]);
    fs::write(hold.join("go"), "").expect("writes");
    let done = going.wait();
    assert_eq!(done.code, Some(0), "{done}");
    client
        .refused(MOVE)
        .says(&["there is nothing to move", "`hosted`"]);
    client
        .refused([
            "state",
            "move",
            "shop",
            "dev",
            "--no-prompt",
            "--runner",
            "hostde",
        ])
        .says(&["There is no runner `hostde`", "Did you mean `hosted`?"]);
    client
        .refused(["state", "move", "shop", "nowhere", "--no-prompt"])
        .says(&["nowhere"]);
    let before = client.deployments("dev").len();
    client
        .refused(["state", "move", "shop", "dev", "--runner", "hosted"])
        .says(&["--no-prompt"]);
    assert_eq!(client.deployments("dev").len(), before);

    // The server that keeps it is needed by both ends.
    drop(server);
    place
        .refused(["--org", "acme"].into_iter().chain(MOVE))
        .says(&["nothing serves here"]);
}

#[test]
#[ignore = "needs opentofu and PostgreSQL"]
fn a_state_goes_through_storages_of_others_each_with_its_own_credentials() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    let (client, _) = client(&place, &server);
    let database = Postgres::start();
    let home = database
        .url()
        .split("host=")
        .nth(1)
        .expect("a host")
        .to_owned();
    let password = "geheim-of-the-keeper";
    let environment = format!(
        "{{TF_HTTP_USERNAME: me, TF_HTTP_PASSWORD: {password}, PG_CONN_STR: \"host={home} user=windlass dbname=postgres sslmode=disable\"}}"
    );
    let file = client.work().join("catalogue/all.yaml");
    let text = fs::read_to_string(&file).expect("reads");
    client.write(
        "catalogue/all.yaml",
        text.replace(
            "{type: process}",
            &format!("{{type: process, environment: {environment}}}"),
        ),
    );
    keeps(&client, SERVER, LOCAL);
    assert_eq!(changes(&client, "x").0, 1);

    let (keeper, url) = Keeper::start();
    let uuid = client.json(["get", "environment", "shop", "dev", "-o", "json"])["uuid"].clone();
    let key = format!("/states/{}", uuid.as_str().expect("a UUID"));
    let other = adopted("somebody").to_string().into_bytes();
    keeper
        .states
        .lock()
        .expect("whole")
        .insert(key.clone(), other.clone());
    let http = format!(
        "{{type: http, address: \"{url}\", lock_path: /lock, lock_method: POST, unlock_method: DELETE}}"
    );
    keeps(&client, LOCAL, &http);
    let done = client.run(MOVE);
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&["holds another state already", "nothing was changed"]);
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(
        record["windlass"]["failure_class"], "state_move_failed",
        "{record:#}"
    );
    assert_eq!(record["mode"], "state_move");
    assert_eq!(keeper.states.lock().expect("whole")[&key], other);
    assert_eq!(storage(&client), "local");

    keeper.states.lock().expect("whole").clear();
    let pg = "{type: pg, schema_name: moved}";
    // Two of them are reached by the same protocol, with different credentials in one run.
    for (from, to, kind) in [
        (LOCAL, &*http, "http"),
        (&*http, SERVER, "windlass"),
        (SERVER, pg, "pg"),
        (pg, &*http, "http"),
    ] {
        if from != LOCAL {
            keeps(&client, from, to);
        }
        client.ok(MOVE);
        assert_eq!(storage(&client), kind);
        assert_eq!(changes(&client, "x"), none(), "{kind}");
    }
    let sent = BASE64_STANDARD.encode(format!("me:{password}"));
    for (method, path, credential) in keeper.asked.lock().expect("whole").iter() {
        assert_eq!(*credential, format!("Basic {sent}"), "{method} {path}");
    }
    client.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    let left = keeper.states.lock().expect("whole")[&key].clone();
    let left: Value = serde_json::from_slice(&left).expect("a state");
    assert_eq!(left["resources"], json!([]));
}
