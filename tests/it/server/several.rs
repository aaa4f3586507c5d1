//! Servers beside each other at one database, killed and started again, and the database itself taken away.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::http::Caller;
use super::{ORG, Server, TOKEN};
use crate::postgres::Postgres;
use crate::support::{CATALOGUE, Place, wait_until};

const STATE: &str = r#"{"version":4,"serial":2,"lineage":"l","outputs":{},"resources":[]}"#;
const MANIFEST: &str = "workloads: {web: {resources: {note: {type: note, params: {text: x}}}}}";

/// A host whose engine says that it was there, and with `gated` waits in the middle until it may go on.
fn host(database: &Postgres, keyring: Option<&Place>, gated: bool) -> Place {
    let gate = match gated {
        true => {
            "touch state/mid.waiting; until [ -e state/mid.go ]; do sleep 0.02; done; rm -f state/mid.*; "
        }
        false => "",
    };
    let place = Place::scripted(&format!(
        "case $1 in apply) planned 1; echo ran >> state/effects; {gate}echo '{STATE}' > state/terraform.tfstate; applied 1;; output) echo '{{}}';; esac"
    ));
    let keyring = keyring
        .map_or_else(|| place.work(), Place::work)
        .join("keyring");
    place
        .with_variable("WINDLASS_DATABASE_URL", &database.url())
        .with_variable("WINDLASS_KEYRING_FILE", &keyring.to_string_lossy())
        .with_variable("WINDLASS_LEASE_SECONDS", "1");
    place
}

/// The state directory in which a run stands at the gate.
fn at_gate(place: &Place) -> Option<PathBuf> {
    let mut states = place.states().into_iter();
    states.find(|state| state.join("mid.waiting").exists())
}

fn go_on(state: &std::path::Path) {
    fs::write(state.join("mid.go"), "").expect("writes");
}

/// How often the engine applied, by environment.
fn effects(place: &Place) -> Vec<usize> {
    let read = |state: PathBuf| fs::read_to_string(state.join("effects")).unwrap_or_default();
    let counts = place
        .states()
        .into_iter()
        .map(|state| read(state).lines().count());
    counts.filter(|count| *count > 0).collect()
}

fn deploy(client: &Place, env: &str) -> String {
    client.write("app.yaml", MANIFEST);
    client.ok([
        "deploy",
        "shop",
        env,
        "app.yaml",
        "--no-prompt",
        "--no-wait",
        "--runner",
        "process",
    ]);
    client.newest(env)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_run_whose_server_is_killed_waits_for_it_and_ends_once() {
    let database = Postgres::start();
    let one = host(&database, None, true);
    let other = host(&database, Some(&one), true);
    let servers = [Server::start(&one, &[]), Server::start(&other, &[])];
    let client = servers[0].client(TOKEN);
    client.write("catalogue/all.yaml", CATALOGUE);
    client.ok(["apply", "-f", "catalogue"]);
    let first = deploy(&client, "dev");
    let mut state = None;
    wait_until("the run stands at the gate", || {
        state = at_gate(&one).or_else(|| at_gate(&other));
        state.is_some()
    });
    let state = state.expect("it stands there");
    let [server_one, server_other] = servers;
    let is_one = state.starts_with(one.data());
    let (carrier, bystander) = if is_one {
        (&one, &other)
    } else {
        (&other, &one)
    };
    let (killed, stays) = match is_one {
        true => (server_one, server_other),
        false => (server_other, server_one),
    };
    killed.kill();
    let client = stays.client(TOKEN);
    wait_until("the other server says whom the run waits for", || {
        client.deployment(&first)["windlass"]["waiting"]["reason"] == "server_away"
    });
    let second = deploy(&client, "dev");
    let waiting = &client.deployment(&second)["windlass"]["waiting"];
    assert_eq!(waiting["reason"], "state_elsewhere", "{waiting}");
    go_on(&state);
    wait_until("the run has gone on without its server", || {
        !state.join("mid.go").exists()
    });
    assert_eq!(client.deployment(&first)["status"], "executing");

    let back = Server::start(carrier, &[]);
    let ended = client.ended(&first);
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["windlass"]["attempt"], 1);
    assert_eq!(ended["windlass"]["waiting"], Value::Null);
    wait_until("the second run stands at the gate", || {
        at_gate(carrier).is_some()
    });
    go_on(&state);
    assert_eq!(client.ended(&second)["status"], "succeeded");
    assert_eq!(effects(carrier), [2]);
    assert_eq!(effects(bystander), Vec::<usize>::new());
    carrier.refused(["backup", "b.tar"]).says(&["pg_dump"]);
    for server in [back, stays] {
        assert_eq!(server.stop().code, Some(0));
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn two_servers_one_of_which_is_killed_under_load_do_everything_once() {
    const ENVIRONMENTS: usize = 6;
    let database = Postgres::start();
    let one = host(&database, None, false);
    let other = host(&database, Some(&one), false);
    let (killed, stays) = (Server::start(&one, &[]), Server::start(&other, &[]));
    let client = stays.client(TOKEN);
    let mut catalogue = CATALOGUE.to_owned();
    for number in 0..ENVIRONMENTS {
        catalogue.push_str(&format!(
            "---\nkind: environment\nproject_id: shop\nid: e{number}\nenv_type_id: development\n"
        ));
    }
    client.write("catalogue/all.yaml", catalogue);
    client.ok(["apply", "-f", "catalogue"]);
    let mut ids = Vec::new();
    let round = |ids: &mut Vec<String>| {
        for number in 0..ENVIRONMENTS {
            ids.push(deploy(&client, &format!("e{number}")));
        }
    };
    round(&mut ids);
    killed.kill();
    round(&mut ids);
    let back = Server::start(&one, &[]);
    for id in &ids {
        let ended = client.ended(id);
        assert_eq!(ended["status"], "succeeded", "{ended}");
    }
    let mut all = effects(&one);
    all.extend(effects(&other));
    assert_eq!(
        all, [2; ENVIRONMENTS],
        "each environment twice, on one host"
    );
    for server in [back, stays] {
        assert_eq!(server.stop().code, Some(0));
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_goes_away_refuses_requests_and_loses_nothing() {
    let mut database = Postgres::start();
    let place = host(&database, None, true);
    let server = Server::start(&place, &[]);
    let client = server.client(TOKEN);
    client.write("catalogue/all.yaml", CATALOGUE);
    client.ok(["apply", "-f", "catalogue"]);
    let running = deploy(&client, "dev");
    let queued = deploy(&client, "dev");
    wait_until("the run stands at the gate", || at_gate(&place).is_some());
    let state = at_gate(&place).expect("it stands there");

    database.tell("stop");
    let caller = Caller::with(server.url(), TOKEN);
    let asked = caller.clone();
    let read = std::thread::spawn(move || asked.get(&format!("/orgs/{ORG}/projects")));
    let asked = caller.clone();
    let write = std::thread::spawn(move || {
        let body = serde_json::json!({"id": "new"});
        asked.post(&format!("/orgs/{ORG}/projects"), &body)
    });
    go_on(&state);
    wait_until("the run has gone on without the database", || {
        !state.join("mid.go").exists()
    });
    for answer in [read, write] {
        let answer = answer.join().expect("answers");
        let body = answer.is(503, "the database does not answer");
        assert_eq!(body["error"], "database_away");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    assert_eq!(Caller::nobody(server.url()).get("/alive").status, 200);

    database.tell("start");
    wait_until("requests are answered again", || {
        caller.get(&format!("/orgs/{ORG}/projects")).status == 200
    });
    assert_eq!(client.ended(&running)["status"], "succeeded");
    wait_until("what was accepted has its turn", || {
        at_gate(&place).is_some()
    });
    go_on(&state);
    assert_eq!(client.ended(&queued)["status"], "succeeded");
    assert_eq!(effects(&place), [2]);
    assert_eq!(server.stop().code, Some(0));
}
