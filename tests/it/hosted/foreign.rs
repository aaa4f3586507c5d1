//! States in other places, with real engines: a database, and a server that speaks the engines' protocol.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{MANIFEST, catalogue};
use crate::postgres::Postgres;
use crate::server::http::Caller;
use crate::server::{ORG, Server, TOKEN};
use crate::support::{CATALOGUE, Engine, Launcher, Place, wait_until};

/// A server that keeps states as simply as it can be done, with its own ways to lock.
#[derive(Default)]
pub(super) struct Keeper {
    pub(super) states: Mutex<BTreeMap<String, Vec<u8>>>,
    locks: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Method, path and credential of each request.
    pub(super) asked: Mutex<Vec<(String, String, String)>>,
}

impl Keeper {
    pub(super) fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!(
            "http://{}/states",
            listener.local_addr().expect("its address")
        );
        let it = Arc::new(Self::default());
        let serving = Arc::clone(&it);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let it = Arc::clone(&serving);
                thread::spawn(move || it.serve(&near));
            }
        });
        (it, url)
    }

    fn serve(&self, near: &TcpStream) -> Option<()> {
        let mut read = BufReader::new(near);
        let mut line = String::new();
        read.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let (mut length, mut credential) = (0, String::new());
        loop {
            let mut header = String::new();
            read.read_line(&mut header).ok()?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => credential = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).ok()?;
        let key = path.split('?').next()?.to_owned();
        self.asked
            .lock()
            .expect("whole")
            .push((method.clone(), key.clone(), credential));
        let (mut states, mut locks) = (
            self.states.lock().expect("whole"),
            self.locks.lock().expect("whole"),
        );
        let (status, answer) = match (method.as_str(), key.strip_suffix("/lock")) {
            ("POST", Some(key)) => match locks.get(key) {
                Some(holder) => (423, holder.clone()),
                None => {
                    locks.insert(key.to_owned(), body);
                    (200, Vec::new())
                }
            },
            ("DELETE", Some(key)) => {
                locks.remove(key);
                (200, Vec::new())
            }
            ("GET", None) => match states.get(&key) {
                Some(state) => (200, state.clone()),
                None => (404, Vec::new()),
            },
            ("POST", None) => {
                states.insert(key, body);
                (200, Vec::new())
            }
            _ => (405, Vec::new()),
        };
        let mut near = near;
        let head = format!(
            "HTTP/1.1 {status} so\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        near.write_all(head.as_bytes()).ok()?;
        near.write_all(&answer).ok()
    }
}

/// A place with a runner that keeps its states in `storage`, and an environment of the engine.
fn place(engine: Engine, storage: &str, environment: &str) -> (Place, std::path::PathBuf) {
    let place = Place::new(Launcher::Process, engine);
    let hold = place.work().join("hold");
    fs::create_dir(&hold).expect("makes");
    let text = catalogue(&place, &hold.to_string_lossy())
        .replace("{type: windlass}", storage)
        .replace(
            "{type: process}",
            &format!("{{type: process, environment: {environment}}}"),
        );
    place.write("catalogue/all.yaml", text);
    place.ok(["apply", "-f", "catalogue"]);
    (place, hold)
}

const DEPLOY: [&str; 7] = super::DEPLOY;

fn metrics(place: &Place) -> (Value, Value, Value) {
    let record = place.deployment(&place.newest("dev"));
    let of = |name: &str| record["metrics"][name].clone();
    (
        of("num_tf_resources_added"),
        of("num_tf_resources_changed"),
        of("num_tf_resources_removed"),
    )
}

/// What an existing system of this kind left in the place of the state: its address of one note.
pub(super) fn adopted(text: &str) -> Value {
    json!({
        "version": 4, "terraform_version": "1.9.0", "serial": 7, "lineage": "6f1c7d5e-0000-4000-8000-000000000001",
        "outputs": {},
        "resources": [{
            "module": "module.note_default_workloadswebone_5e4c887b", "mode": "managed", "type": "terraform_data", "name": "this",
            "provider": "provider[\"terraform.io/builtin/terraform\"]",
            "instances": [{"schema_version": 0, "attributes": {
                "id": "9a3c4f2e-0000-4000-8000-000000000001", "input": {"value": text, "type": "string"},
                "output": {"value": text, "type": "string"}, "triggers_replace": null,
            }, "sensitive_attributes": []}],
        }],
        "check_results": null,
    })
}

#[test]
#[ignore = "needs opentofu and terraform"]
fn a_server_of_somebody_else_keeps_the_state_and_an_existing_one_is_adopted() {
    for engine in [Engine::OpenTofu, Engine::Terraform] {
        let (keeper, url) = Keeper::start();
        let storage = format!(
            "{{type: http, address: \"{url}\", lock_path: /lock, lock_method: POST, unlock_method: DELETE}}"
        );
        let password = "geheim-of-the-keeper";
        let environment = format!("{{TF_HTTP_USERNAME: me, TF_HTTP_PASSWORD: {password}}}");
        let (place, hold) = place(engine, &storage, &environment);
        let env = place.json(["get", "environment", "shop", "dev", "-o", "json"]);
        let uuid = env["uuid"].as_str().expect("a UUID").to_owned();
        let key = format!("/states/{uuid}");
        let old = adopted("x").to_string().into_bytes();
        keeper
            .states
            .lock()
            .expect("whole")
            .insert(key.clone(), old);

        place.write(
            "app.yaml",
            "workloads: {web: {resources: {one: {type: note, params: {text: x}}}}}",
        );
        let done = place.ok(DEPLOY);
        assert_eq!(metrics(&place), (json!(0), json!(0), json!(0)), "{done}");

        // It goes on from there, and no credential lies where the engine works.
        place.write("app.yaml", MANIFEST);
        let mut going = place.start(DEPLOY);
        wait_until("the run holds", || {
            assert!(going.over().is_none(), "it ended: {}", going.said());
            hold.join("waiting").exists()
        });
        for (file, text) in place.files(|path| path.ends_with("catalogue/all.yaml")) {
            assert!(!text.contains(password), "{}", file.display());
        }
        assert_eq!(keeper.locks.lock().expect("whole").len(), 1, "it is locked");
        fs::write(hold.join("go"), "").expect("writes");
        let done = going.wait();
        assert_eq!(done.code, Some(0), "{done}");
        assert_eq!(metrics(&place), (json!(1), json!(0), json!(0)), "{done}");
        assert_eq!(keeper.locks.lock().expect("whole").len(), 0);
        let sent = BASE64_STANDARD.encode(format!("me:{password}"));
        for (method, path, credential) in keeper.asked.lock().expect("whole").iter() {
            assert!(path.starts_with(&key), "{method} {path}");
            assert_eq!(*credential, format!("Basic {sent}"), "{method} {path}");
        }
        place.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
        let left = keeper.states.lock().expect("whole")[&key].clone();
        let left: Value = serde_json::from_slice(&left).expect("a state");
        assert_eq!(left["resources"], json!([]));
    }
}

#[test]
#[ignore = "needs opentofu, terraform and PostgreSQL"]
fn a_database_keeps_the_states_each_in_a_schema_of_its_own() {
    let database = Postgres::start();
    let home = database
        .url()
        .split("host=")
        .nth(1)
        .expect("a host")
        .to_owned();
    let address = format!("host={home} user=windlass dbname=postgres sslmode=disable");
    for (engine, schema) in [(Engine::OpenTofu, "tofu"), (Engine::Terraform, "terraform")] {
        let storage = format!("{{type: pg, schema_name: {schema}}}");
        let (place, _) = place(engine, &storage, &format!("{{PG_CONN_STR: \"{address}\"}}"));
        place.write(
            "app.yaml",
            "workloads: {web: {resources: {one: {type: note, params: {text: x}}}}}",
        );
        place.ok(DEPLOY);
        assert_eq!(metrics(&place).0, json!(1));
        place.ok(DEPLOY);
        assert_eq!(metrics(&place), (json!(0), json!(0), json!(0)));
        let env = place.json(["get", "environment", "shop", "dev", "-o", "json"]);
        let uuid = env["uuid"].as_str().expect("a UUID").replace('-', "");
        let found = Command::new("psql")
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"])
            .arg(format!("SELECT count(*) FROM {schema}_{uuid}.states"))
            .arg(database.url())
            .output()
            .expect("psql");
        assert_eq!(
            String::from_utf8_lossy(&found.stdout).trim(),
            "1",
            "{found:?}"
        );
        place.ok(["delete", "env", "shop", "dev", "--no-prompt"]);
    }
}

#[test]
#[ignore = "needs opentofu and terraform"]
fn both_engines_read_the_block_of_every_state_storage() {
    let place = Place::without_engine();
    let server = Server::start(&place, &[]);
    let client = server.client(TOKEN);
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n-----END PUBLIC KEY-----\n";
    let mut text = CATALOGUE.to_owned();
    let storages = [
        (
            "s3",
            json!({"type": "s3", "bucket": "bucket", "path_prefix": "a/b"}),
        ),
        ("gcs", json!({"type": "gcs", "bucket": "bucket"})),
        (
            "azurerm",
            json!({"type": "azurerm", "storage_account_name": "account", "container_name": "container"}),
        ),
        (
            "kubernetes",
            json!({"type": "kubernetes", "namespace": "states"}),
        ),
    ];
    for (name, storage) in &storages {
        let runner = json!({"type": "kubernetes-agent", "key": key,
            "job": {"namespace": "jobs", "service_account": "runner"}});
        text += &format!(
            "---\nkind: runner\nid: in-{name}\nrunner_configuration: {runner}\nstate_storage_configuration: {storage}\n---\nkind: environment\nproject_id: shop\nid: {name}\nenv_type_id: development\n"
        );
    }
    client.write("catalogue/all.yaml", text);
    client.ok(["apply", "-f", "catalogue"]);
    client.write(
        "app.yaml",
        "workloads: {web: {resources: {one: {type: note, params: {text: x}}}}}",
    );
    for (name, _) in &storages {
        let runner = format!("in-{name}");
        client.run([
            "deploy",
            "shop",
            name,
            "app.yaml",
            "--no-prompt",
            "--no-wait",
            "--runner",
            &runner,
        ]);
        let id = client.newest(name);
        let tf = Caller::with(server.url(), TOKEN).get(&format!("/orgs/{ORG}/deployments/{id}/tf"));
        assert_eq!(tf.status, 200, "{tf:?}");
        let code = tf.text.clone();
        assert!(code.contains(&format!("backend \"{name}\"")), "{code}");
        for engine in [Engine::OpenTofu, Engine::Terraform] {
            let work = client.work().join(format!("{name}-{}", engine.name()));
            fs::create_dir(&work).expect("makes");
            // The block alone: modules and providers are no part of this.
            let from = code.find("backend \"").expect("a block");
            let block = &code[from..from + code[from..].find('}').expect("its end") + 1];
            fs::write(
                work.join("main.tf"),
                format!("terraform {{\n  {block}\n}}\n"),
            )
            .expect("writes");
            let done = Command::new(engine.binary())
                .args(["init", "-backend=false", "-input=false", "-no-color"])
                .current_dir(&work)
                .env("CHECKPOINT_DISABLE", "1")
                .output()
                .expect("the engine");
            assert!(done.status.success(), "{name}: {done:?}\n{block}");
        }
    }
}
