//! One story from an empty organisation to an empty one, told by a client that knows the contract and nothing of the server:
//! over plain HTTP with runs that are processes, and over TLS with runs in containers.

mod client;
mod tls;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use self::client::{Reader, Wire};
pub(crate) use self::tls::Certified;
use crate::server::{ORG, Server, TOKEN};
use crate::support::{Engine, Launcher, Place, mirror};

/// Says when something was first asked for, and gives back a text.
const STAMP: &str = r#"
terraform {
  required_providers {
    time = {
      source = "hashicorp/time"
    }
  }
}
variable "text" {
  type = string
}
resource "time_static" "this" {}
resource "terraform_data" "this" {
  input = "${var.text} of ${time_static.this.year > 2000 ? "our time" : "before"}"
}
output "text" {
  value = terraform_data.this.output
}
"#;

#[tokio::test]
#[ignore = "needs opentofu"]
async fn a_client_of_the_contract_does_everything_over_plain_http() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    let server = Server::start(&place, &[]);
    assert!(server.url().starts_with("http://"), "{}", server.url());
    let wire = Wire::new(server.url(), ORG, TOKEN, None);
    tell(&place, &wire, json!({"type": "process"})).await;
}

#[tokio::test]
#[ignore = "needs docker and opentofu"]
async fn a_client_of_the_contract_does_everything_over_tls() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let certified = Certified::new(&place, "server");
    let server = Server::start(&place, &certified.flags());
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let wire = Wire::new(server.url(), ORG, TOKEN, Some(&certified.pem()));
    tell(
        &place,
        &wire,
        json!({"type": "docker", "network": "none", "standby_secs": 0}),
    )
    .await;
}

async fn tell(place: &Place, wire: &Wire, runner: Value) {
    let reader = Reader::new();
    set_up(wire, runner).await;

    let first = deploy(wire, &reader, "morning").await;
    opened(wire, &reader, &first, "morning of our time").await;
    let second = deploy(wire, &reader, "evening").await;
    opened(wire, &reader, &second, "evening of our time").await;
    replayed(place, wire, &second).await;

    let body = json!({"project_id": "shop", "env_id": "dev", "mode": "rollback", "rollback_to_deployment_id": first,
        "encrypted_outputs_recipient": reader.recipient, "encrypted_logs_recipient": reader.recipient});
    let key = [("Idempotency-Key", "back")];
    let made = wire
        .send(Method::POST, "/deployments", &key, Some(&body))
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    let made = made.json();
    let back = made["id"].as_str().expect("an id");
    let ended = wire.ended(back).await;
    assert_eq!(
        (
            &ended["status"],
            &ended["mode"],
            &ended["rollback_to_deployment_id"]
        ),
        (&json!("succeeded"), &json!("rollback"), &json!(first)),
        "{ended}"
    );
    opened(wire, &reader, back, "morning of our time").await;
    let last = wire.get("/last-deployments").await;
    assert_eq!(last["items"][0]["id"], back, "{last}");

    // What nobody asks for any more goes with the provider that made it.
    let none = json!({"project_id": "shop", "env_id": "dev", "mode": "deploy", "manifest": {"workloads": {"web": {}}}});
    let made = wire.make("/deployments", none).await;
    let ended = wire.ended(made["id"].as_str().expect("an id")).await;
    assert_eq!(
        (
            &ended["status"],
            &ended["metrics"]["num_tf_resources_removed"]
        ),
        (&json!("succeeded"), &json!(2)),
        "{ended}"
    );
    let again = asked(&reader, "night");
    let made = wire.make("/deployments", again).await;
    let ended = wire.ended(made["id"].as_str().expect("an id")).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");

    take_down(wire).await;
}

/// Everything that a deployment needs, made in the order in which one thing names another.
async fn set_up(wire: &Wire, runner: Value) {
    wire.make("/env-types", json!({"id": "development"})).await;
    wire.make("/projects", json!({"id": "shop", "display_name": "Shop"}))
        .await;
    let env = json!({"id": "dev", "env_type_id": "development"});
    let env = wire.make("/projects/shop/envs", env).await;
    assert_eq!(env["status"], "active", "{env}");
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
    wire.make(
        "/resource-types",
        json!({"id": "stamp", "output_schema": schema}),
    )
    .await;
    wire.make(
        "/module-providers",
        json!({"provider_type": "time", "id": "clock", "source": "hashicorp/time", "version_constraint": ">= 0.1"}),
    )
    .await;
    wire.make(
        "/modules",
        json!({"id": "stamped", "resource_type": "stamp", "module_source": "inline", "module_source_code": STAMP,
            "module_params": {"text": {"type": "string"}}, "provider_mapping": {"time": "time.clock"}}),
    )
    .await;
    wire.make("/module-rules", json!({"module_id": "stamped"}))
        .await;
    wire.make(
        "/runners",
        json!({"id": "mine", "runner_configuration": runner, "state_storage_configuration": {"type": "local"}}),
    )
    .await;
    wire.make(
        "/runner-rules",
        json!({"runner_id": "mine", "project_id": "shop"}),
    )
    .await;
    let offered = wire
        .get("/projects/shop/envs/dev/available-resource-types")
        .await;
    assert_eq!(offered["items"][0]["id"], "stamp", "{offered}");
}

fn asked(reader: &Reader, text: &str) -> Value {
    json!({"project_id": "shop", "env_id": "dev", "mode": "deploy",
    "encrypted_outputs_recipient": reader.recipient, "encrypted_logs_recipient": reader.recipient,
    "manifest": {"workloads": {"web": {
        "resources": {"at": {"type": "stamp", "params": {"text": text}}},
        "outputs": {"SAID": "${resources.at.outputs.text}"}
    }}}})
}

/// Looks first, deploys, waits; the id.
async fn deploy(wire: &Wire, reader: &Reader, text: &str) -> String {
    let body = asked(reader, text);
    let mut look = body.clone();
    look["is_dry_run"] = json!(true);
    let looked = wire.call(Method::POST, "/deployments", Some(&look)).await;
    assert_eq!(looked.status, 200, "{}", looked.json());
    assert_eq!(looked.json()["runner_id"], "mine");

    // Whoever is not sure that a request arrived sends it again, with the same key.
    let key = [("Idempotency-Key", text)];
    let made = wire
        .send(Method::POST, "/deployments", &key, Some(&body))
        .await;
    assert_eq!(made.status, 201, "{}", made.json());
    let again = wire
        .send(Method::POST, "/deployments", &key, Some(&body))
        .await;
    assert_eq!(again.status, 201, "{}", again.json());
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(again.json()["id"], id.as_str());

    let ended = wire.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["status_message"]),
        (&json!("succeeded"), &json!("")),
        "{ended}"
    );
    assert_eq!(ended["metrics"]["num_tf_resources"], 2, "{ended}");
    id
}

/// What was kept of a deployment opens with the reader's key, and is what it should be.
async fn opened(wire: &Wire, reader: &Reader, id: &str, text: &str) {
    let outputs = wire
        .get(&format!("/deployments/{id}/encrypted-outputs"))
        .await;
    let sealed = STANDARD.decode(outputs["raw"].as_str().expect("text"));
    let opened = reader.open(&sealed.expect("base64"));
    let opened: Value = serde_json::from_str(&opened).expect("JSON");
    assert_eq!(opened, json!({"web": {"SAID": text}}));

    let path = format!("/deployments/{id}/actions/get-logs");
    let logs = wire.call(Method::GET, &path, None).await;
    assert_eq!(logs.status, 200);
    assert!(!String::from_utf8_lossy(&logs.bytes).contains("terraform_data"));
    let log = reader.open(&logs.bytes);
    assert!(log.contains("terraform_data"), "{log}");
    // The key stays where it is, also where a client would send it.
    let key = [("DecryptKey", "AGE-SECRET-KEY-1NOTONE")];
    let refused = wire.send(Method::GET, &path, &key, None).await;
    assert_eq!(refused.status, 400);

    let program = wire
        .call(Method::GET, &format!("/deployments/{id}/tf"), None)
        .await;
    let program = String::from_utf8(program.bytes).expect("text");
    assert!(
        program.contains("module \"stamp_default_workloadswebat_"),
        "{program}"
    );
    let active = wire
        .get("/active-resources?project_id=shop&env_id=dev")
        .await;
    let nodes = active["items"].as_array().expect("nodes");
    assert!(
        nodes.iter().all(|node| node["deployment_id"] == id)
            && nodes.iter().any(|node| node["resource_type"] == "stamp"),
        "{active}"
    );
}

/// What is exported of a deployment is all that an engine needs, and nothing else runs it.
async fn replayed(place: &Place, wire: &Wire, id: &str) {
    let path = format!("/deployments/{id}/bundle");
    let archive = wire.call(Method::GET, &path, None).await;
    assert_eq!(archive.status, 200);
    let folder = tempfile::tempdir().expect("a directory");
    let mut archive = tar::Archive::new(archive.bytes.as_slice());
    for entry in archive.entries().expect("an archive") {
        let entry = &mut entry.expect("an entry");
        assert!(entry.unpack_in(folder.path()).expect("unpacks"), "inside");
    }
    assert!(folder.path().join("modules/stamped").is_dir());
    let settings = folder.path().join("cli.tfrc");
    let mirror = mirror();
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
        mirror.display()
    );
    std::fs::write(&settings, text).expect("settings");
    for words in [
        &["init", "-input=false", "-backend=false"][..],
        &["validate"],
    ] {
        let output = std::process::Command::new(place.engine().binary())
            .args(words)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("TF_CLI_CONFIG_FILE", &settings)
            .output()
            .expect("the engine");
        assert!(
            output.status.success(),
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Everything goes: first asked for in the wrong order, which names what is in the way, then in the right one.
async fn take_down(wire: &Wire) {
    for (path, because) in [
        ("/env-types/development", &["environment"][..]),
        ("/projects/shop", &["environment"]),
        ("/resource-types/stamp", &["module"]),
        ("/module-providers/time/clock", &["module"]),
        ("/modules/stamped", &["shop"]),
        ("/runners/mine", &["environment"]),
    ] {
        wire.keeps(path, because).await;
    }
    let env = "/projects/shop/envs/dev";
    let begun = wire.call(Method::DELETE, env, None).await;
    assert_eq!(begun.status, 202, "{}", begun.json());
    assert_eq!(begun.json()["status"], "deleting");
    gone(wire, env).await;

    for (path, because) in [
        ("/resource-types/stamp", "module"),
        ("/module-providers/time/clock", "module"),
    ] {
        wire.keeps(path, &[because]).await;
    }
    let rules = wire.get("/module-rules").await;
    let rule = rules["items"][0]["id"].as_str().expect("an id");
    wire.delete(&format!("/module-rules/{rule}")).await;
    let rules = wire.get("/runner-rules").await;
    let rule = rules["items"][0]["id"].as_str().expect("an id");
    wire.delete(&format!("/runner-rules/{rule}")).await;
    for path in [
        "/modules/stamped",
        "/module-providers/time/clock",
        "/resource-types/stamp",
        "/runners/mine",
        "/projects/shop",
        "/env-types/development",
    ] {
        wire.delete(path).await;
    }
    for list in [
        "/env-types",
        "/projects",
        "/envs",
        "/resource-types",
        "/module-providers",
        "/modules",
        "/module-rules",
        "/runner-rules",
        "/deployments",
        "/last-deployments",
    ] {
        let left = wire.get(list).await;
        assert_eq!(left["items"], json!([]), "{list}");
    }
    let runners = wire.get("/runners").await;
    let left = runners["items"].as_array().expect("runners").iter();
    let left: Vec<&str> = left.filter_map(|runner| runner["id"].as_str()).collect();
    assert_eq!(left, ["local", "process"], "only what is reserved is left");
}

/// Follows the destruction as the field's own command does: the run is named by the environment's message.
async fn gone(wire: &Wire, path: &str) {
    loop {
        let answer = wire.call(Method::GET, path, None).await;
        match answer.status.as_u16() {
            404 => return,
            // Whoever asks too often is told so, and asks again.
            429 => continue,
            _ => {}
        }
        let env = answer.json();
        assert_eq!(env["status"], "deleting", "{env}");
        let said = env["status_message"].as_str().unwrap_or_default();
        let run = said
            .split('\'')
            .find(|part| part.parse::<uuid::Uuid>().is_ok());
        if let Some(run) = run {
            let path = format!("/deployments/{run}/actions/wait-for-complete");
            let waited = wire.call(Method::GET, &path, None).await;
            if waited.status == 200 {
                let ended = waited.json();
                assert_eq!(
                    (&ended["mode"], &ended["status"]),
                    (&json!("destroy"), &json!("succeeded")),
                    "{ended}"
                );
            }
        }
    }
}
