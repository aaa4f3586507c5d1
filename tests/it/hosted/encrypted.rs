//! States that OpenTofu encrypts itself, wherever they lie: taken along from clear, under a new key, and back to clear.

use std::sync::Arc;

use serde_json::{Value, json};

use super::foreign::Keeper;
use super::moving::{MOVE, changes, keeps, none};
use super::{DEPLOY, client};
use crate::server::http::Caller;
use crate::server::{ORG, Server, TOKEN};
use crate::support::{Engine, Launcher, Place};

const CLEAR: &str = "{type: windlass}";
const SEALED: &str = "{type: windlass, encryption: true}";

/// What another server has of the one state.
fn kept(keeper: &Arc<Keeper>) -> String {
    let states = keeper.states.lock().expect("whole");
    let (_, state) = states.iter().next().expect("one");
    String::from_utf8(state.clone()).expect("text")
}

fn is_under(state: &str, key: Option<u32>, value: &str) {
    let read: Value = serde_json::from_str(state).expect("JSON");
    assert!(
        read["lineage"].is_string() && read["serial"].is_u64(),
        "{state}"
    );
    match key {
        None => assert!(state.contains(value), "{state}"),
        Some(number) => {
            assert!(!state.contains(value), "{state}");
            let name = format!("key_provider.external.windlass_{number}");
            assert!(read["meta"][&name].is_string(), "{state}");
        }
    }
}

#[test]
#[ignore = "needs opentofu"]
fn a_state_is_encrypted_from_the_next_deployment_on_and_under_a_new_key_after_a_rotation() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    let (client, _) = client(&place, &server);
    let (keeper, url) = Keeper::start();
    let http = |more: &str| {
        format!(
            "{{type: http, address: \"{url}\", lock_path: /lock, lock_method: POST, unlock_method: DELETE{more}}}"
        )
    };
    let (clear, sealed) = (http(""), http(", encryption: true"));
    keeps(&client, CLEAR, &clear);
    assert_eq!(changes(&client, "geheim-1").0, 1);
    is_under(&kept(&keeper), None, "geheim-1");

    // What was in clear is taken along, and nothing is made again.
    keeps(&client, &clear, &sealed);
    assert_eq!(changes(&client, "geheim-1"), none());
    assert_eq!(changes(&client, "geheim-2"), (json!(0), json!(1)));
    is_under(&kept(&keeper), Some(1), "geheim-2");
    assert_eq!(changes(&client, "geheim-2"), none());
    let outputs = client.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(outputs["web"]["TEXT"], "geheim-2");
    let planned = client.ok(DEPLOY.into_iter().chain(["--plan-only"]));
    planned.says(&["no changes"]);

    // A new key ring is a new key for the next deployment, which changes nothing else; until then the old one opens.
    server.stop();
    place.ok(["keyring", "rotate"]);
    let server = Server::start(&place, &[]);
    client.with_variable("WINDLASS_URL", server.url());
    is_under(&kept(&keeper), Some(1), "geheim-2");
    assert_eq!(changes(&client, "geheim-2"), none());
    is_under(&kept(&keeper), Some(2), "geheim-2");
    assert_eq!(changes(&client, "geheim-3"), (json!(0), json!(1)));
    is_under(&kept(&keeper), Some(2), "geheim-3");

    // To the server, which looks into it; and in clear again.
    keeps(&client, &sealed, SEALED);
    client.ok(MOVE);
    let view = client.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert_eq!(view["storage"], "windlass");
    assert_eq!(
        view["recorded"].as_array().map(Vec::len),
        Some(1),
        "{view:#}"
    );
    let pulled = client.ok(["state", "pull", "shop", "dev"]);
    is_under(&pulled.stdout, None, "geheim-3");
    keeps(&client, SEALED, &clear);
    client.ok(MOVE);
    assert_eq!(changes(&client, "geheim-3"), none());
    is_under(&kept(&keeper), None, "geheim-3");
    keeps(&client, &clear, &sealed);
    assert_eq!(changes(&client, "geheim-4"), (json!(0), json!(1)));
    keeps(&client, &sealed, &clear);
    assert_eq!(changes(&client, "geheim-5"), (json!(0), json!(1)));
    is_under(&kept(&keeper), None, "geheim-5");
    keeps(&client, &clear, &sealed);
    assert_eq!(changes(&client, "geheim-6"), (json!(0), json!(1)));
    client.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    is_under(&kept(&keeper), Some(2), "geheim");
    assert_eq!(place.table_counts()["state_keys"], 0);
}

#[test]
#[ignore = "needs docker and opentofu"]
fn a_container_encrypts_alike() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    let (client, _) = client(&place, &server);
    let (keeper, url) = Keeper::start();
    let sealed = format!(
        "{{type: http, address: \"{url}\", lock_path: /lock, lock_method: POST, unlock_method: DELETE, encryption: true}}"
    );
    keeps(&client, CLEAR, &sealed);
    assert_eq!(changes(&client, "geheim").0, 1);
    is_under(&kept(&keeper), Some(1), "geheim");
    assert_eq!(changes(&client, "geheim"), none());
}

#[test]
#[ignore = "needs terraform"]
fn only_opentofu_encrypts_and_only_what_lies_elsewhere() {
    let place = Place::new(Launcher::Process, Engine::Terraform);
    let server = Server::start(&place, &[]);
    let (client, _) = client(&place, &server);
    keeps(&client, CLEAR, SEALED);
    client.write(
        "app.yaml",
        "workloads: {web: {resources: {one: {type: note, params: {text: x}}}}}",
    );
    client.refused(DEPLOY).says(&[
        "`encryption`",
        "the engine here is Terraform",
        "use OpenTofu",
    ]);
    let caller = Caller::with(server.url(), TOKEN);
    let runner = |configuration: Value, storage: Value| {
        caller.post(
            &format!("/orgs/{ORG}/runners"),
            &json!({"id": "other", "runner_configuration": configuration, "state_storage_configuration": storage}),
        )
    };
    let local = runner(
        json!({"type": "process"}),
        json!({"type": "local", "encryption": true}),
    );
    assert_eq!(local.status, 400, "{local:?}");
    assert!(
        local
            .text
            .contains("encryption is for states that lie elsewhere"),
        "{local:?}"
    );
    for (configuration, words) in [
        (
            json!({"type": "process", "engine": "terraform"}),
            "OpenTofu's own",
        ),
        (
            json!({"type": "process", "environment": {"TF_ENCRYPTION": "x"}}),
            "keep one of both",
        ),
    ] {
        let made = runner(
            configuration,
            json!({"type": "windlass", "encryption": true}),
        );
        assert_eq!(made.status, 201, "{made:?}");
        client
            .refused([
                "deploy",
                "shop",
                "dev",
                "app.yaml",
                "--no-prompt",
                "--runner",
                "other",
            ])
            .says(&[words]);
        client.ok(["delete", "runner", "other"]);
    }
}
