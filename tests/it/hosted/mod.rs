//! States that a server keeps, with real engines: what they write, what a killed one leaves, and the protocol itself.

mod encrypted;
mod faults;
mod foreign;
mod moving;

use std::fs;
use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::server::http::{Caller, Reply};
use crate::server::{Server, TOKEN};
use crate::support::{CATALOGUE, Client, Launcher, Place, everywhere, wait_until, walk};

everywhere! {
    a_state_with_the_server_is_written_read_and_destroyed
}

/// A runner of this launcher whose environments have their state with the server, and a module that waits in `hold`.
fn catalogue(place: &Place, hold: &str) -> String {
    let runner = match place.launcher() {
        // The server listens on the loopback address of this host.
        Launcher::Docker => "{type: docker, network: host}",
        Launcher::Process => "{type: process}",
    };
    format!(
        r#"{CATALOGUE}
---
kind: runner
id: hosted
runner_configuration: {runner}
state_storage_configuration: {{type: windlass}}
---
kind: resource-type
id: hold
output_schema: {{type: object, properties: {{}}}}
---
kind: module
id: hold
resource_type: hold
module_source: inline
module_params: {{after: {{type: string}}}}
module_source_code: |
  variable "after" {{
    type = string
  }}
  resource "terraform_data" "this" {{
    input = var.after
    provisioner "local-exec" {{
      command = "env; touch {hold}/waiting; until [ -e {hold}/go ]; do sleep 0.02; done"
    }}
  }}
---
kind: module-rule
module_id: hold
"#
    )
}

/// A client of a server that keeps states.
fn client(place: &Place, server: &Server) -> (Place, PathBuf) {
    let client = server.client(TOKEN);
    let hold = client.work().join("hold");
    fs::create_dir(&hold).expect("makes");
    client.write(
        "catalogue/all.yaml",
        catalogue(place, &hold.to_string_lossy()),
    );
    client.ok(["apply", "-f", "catalogue"]);
    (client, hold)
}

fn deploy(client: &Place, text: &str) -> crate::support::Done {
    client.write(
        "app.yaml",
        format!(
            "workloads: {{web: {{resources: {{one: {{type: note, params: {{text: {text}}}}}}}, outputs: {{TEXT: \"${{resources.one.outputs.text}}\"}}}}}}"
        ),
    );
    client.ok(DEPLOY)
}

const DEPLOY: [&str; 7] = [
    "deploy",
    "shop",
    "dev",
    "app.yaml",
    "--no-prompt",
    "--runner",
    "hosted",
];

fn a_state_with_the_server_is_written_read_and_destroyed(place: &Place) {
    let server = Server::start(place, &[]);
    let (client, _) = client(place, &server);
    deploy(&client, "first");
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_added"], 1, "{record:#}");
    deploy(&client, "second");
    let record = client.deployment(&client.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_added"], 0, "{record:#}");
    let init = &record["windlass"]["run"]["shortcuts"]["init"];
    assert!(
        init.as_str().unwrap_or_default().starts_with("skipped"),
        "{record:#}"
    );
    let outputs = client.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(outputs["web"]["TEXT"], "second");
    let view = client.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert_eq!(view["storage"], "windlass", "{view:#}");
    assert_eq!(
        view["recorded"].as_array().map(Vec::len),
        Some(1),
        "{view:#}"
    );

    let on_disk = walk(&place.data().join("state"));
    let states = on_disk
        .iter()
        .filter(|path| path.to_string_lossy().contains("tfstate"));
    assert_eq!(states.count(), 0, "no state lies on the host: {on_disk:?}");
    client.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    let left = place.table_counts();
    for table in ["hosted_states", "hosted_versions", "hosted_credentials"] {
        assert_eq!(left[table], 0, "{table}");
    }
}

/// A note, and what waits behind it.
const MANIFEST: &str = "workloads: {web: {resources: {one: {type: note, params: {text: x}}, two: {type: hold, params: {after: \"${resources.one.outputs.text}\"}}}}}";

/// A deployment of a note, and of what waits until it may go on.
fn held(client: &Place, hold: &std::path::Path) -> Client {
    client.write("app.yaml", MANIFEST);
    let mut going = client.start(DEPLOY);
    wait_until("the run holds", || {
        assert!(going.over().is_none(), "it ended: {}", going.said());
        hold.join("waiting").exists()
    });
    going
}

/// What an engine of a run was given, from its own environment.
fn given(place: &Place) -> (String, String, String) {
    let processes = place.runner_processes();
    let engine = processes
        .iter()
        .find(|(_, name)| ["tofu", "terraform"].contains(&name.as_str()));
    let (pid, _) = engine.expect("an engine runs");
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("reads");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let of = |name: &str| {
        let value = environment
            .split('\0')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        value
            .unwrap_or_else(|| panic!("{name} is not set"))
            .to_owned()
    };
    (
        of("TF_HTTP_ADDRESS"),
        of("TF_HTTP_USERNAME"),
        of("TF_HTTP_PASSWORD"),
    )
}

fn basic(url: &str, username: &str, password: &str) -> Caller {
    let credential = BASE64_STANDARD.encode(format!("{username}:{password}"));
    Caller::nobody(url).and("authorization", &format!("Basic {credential}"))
}

fn state(serial: u64, lineage: &Value) -> Value {
    json!({"version": 4, "serial": serial, "lineage": lineage, "outputs": {}, "resources": []})
}

#[test]
#[ignore = "needs opentofu"]
fn the_protocol_is_fenced_and_no_credential_shows() {
    let place = Place::new(Launcher::Process, crate::support::Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    let (client, hold) = client(&place, &server);
    let going = held(&client, &hold);
    let (address, username, password) = given(&place);
    let path = address.strip_prefix(server.url()).expect("this server");
    let engine = basic(server.url(), &username, &password);
    let status = |reply: Reply| reply.status;

    for stranger in [
        Caller::nobody(server.url()),
        Caller::with(server.url(), TOKEN),
        basic(server.url(), &username, "guessed"),
    ] {
        for method in ["GET", "POST", "DELETE", "LOCK", "UNLOCK"] {
            let body = json!({"ID": "x"});
            assert_eq!(
                status(stranger.send(method, path, Some(&body))),
                401,
                "{method}"
            );
        }
    }
    let other = "/states/01890000-0000-7000-8000-000000000001";
    assert_eq!(status(engine.get(other)), 401, "another environment");
    let holder = engine.send("LOCK", path, Some(&json!({"ID": "mine"})));
    assert_eq!(holder.status, 423);
    let id = holder.json()["ID"].as_str().expect("its holder").to_owned();
    let again = engine.send("LOCK", path, Some(&holder.json()));
    assert_eq!(again.status, 200, "the same lock again");
    let lineage = match engine.get(path) {
        found if found.status == 200 => found.json()["lineage"].clone(),
        _ => json!("new"),
    };
    assert_eq!(
        status(engine.post(path, &state(90, &lineage))),
        409,
        "without a lock"
    );
    let with = format!("{path}?ID={id}");
    let damaged = engine.and("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(status(damaged.post(&with, &state(90, &lineage))), 400);
    assert_eq!(
        status(engine.post(&format!("{path}?ID=mine"), &state(90, &lineage))),
        409
    );
    assert_eq!(
        status(engine.send("UNLOCK", path, Some(&json!({"ID": "mine"})))),
        409
    );
    assert_eq!(status(engine.send("PATCH", path, None)), 405);

    // Neither in an argument nor in any file of the server, its runs and their engines.
    for (_, line) in place.processes() {
        assert!(!line.concat().contains(&password), "{line:?}");
    }
    for (file, text) in place.files(|_| false) {
        assert!(!text.contains(&password), "{}", file.display());
    }
    fs::write(hold.join("go"), "").expect("writes");
    let done = going.wait();
    assert_eq!(done.code, Some(0), "{done}");
    let log = client.ok(["logs", &client.newest("dev")]);
    assert!(
        log.stdout.contains("TF_HTTP_PASSWORD=***") && !log.stdout.contains(&password),
        "what a module prints is masked\n{log}"
    );
    assert_eq!(status(engine.get(path)), 401, "it is over with the run");
}
