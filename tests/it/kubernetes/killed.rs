//! The kill matrix with PostgreSQL and Kubernetes: everything that can be killed of a run in a pod, while it is in line,
//! plans and applies.
//!
//! A module stands still meanwhile: in the pod while it applies; while it plans at a state that this test serves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::cluster::{Ground, SHIPPED, cluster};
use super::trouble::{held, let_go, modules, pod};
use crate::support::{Client, Place, kill, processes, wait_until};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Worker,
    ClientAndWorker,
    Supervisor,
    Engine,
    /// Evicted, as all are of a node that is drained.
    Pod,
    Database,
}

const VICTIMS: [Victim; 7] = [
    Victim::Client,
    Victim::Worker,
    Victim::ClientAndWorker,
    Victim::Supervisor,
    Victim::Engine,
    Victim::Pod,
    Victim::Database,
];

impl Victim {
    fn spares_the_run(self) -> bool {
        !matches!(self, Self::Supervisor | Self::Engine | Self::Pod)
    }

    fn strike(self, ground: &Ground, client: Client) {
        match self {
            Self::Client => client.kill(),
            Self::Worker => {
                ground.place.kill_workers();
                drop(client);
            }
            Self::ClientAndWorker => {
                ground.place.kill_workers();
                client.kill();
            }
            Self::Supervisor => kill_in(&pod(ground), "windlass"),
            Self::Engine => kill_in(&pod(ground), "tofu"),
            Self::Pod => evict(&pod(ground), &ground.namespace),
            Self::Database => {
                ground.place.tell_database("kill");
                ground.place.tell_database("start");
            }
        }
    }
}

fn evict(pod: &str, namespace: &str) {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    let mut child = cluster()
        .kubectl()
        .args(["create", "--raw", &path, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("kubectl");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all(eviction.to_string().as_bytes())
        .expect("it reads");
    drop(input);
    assert!(child.wait().expect("it ends").success(), "{pod} is evicted");
}

/// Kills every process of this name in a pod: its node is this machine.
fn kill_in(pod: &str, name: &str) {
    let marker = format!("HOSTNAME={pod}");
    let space = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let first = processes().into_iter().find(|(pid, line)| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        line.contains(&"inside".to_owned()) && entries.any(|entry| entry == marker.as_bytes())
    });
    let first = first.expect("a supervisor in the pod").0;
    let of_pod = space(first).expect("its namespace");
    let mut killed = 0;
    for (pid, _) in processes() {
        let is_it =
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it.trim() == name);
        if is_it && space(pid).as_ref() == Some(&of_pod) {
            kill(pid);
            killed += 1;
        }
    }
    assert!(killed > 0, "{name} runs in {pod}");
}

/// Serves a state, and has whoever asks for it wait.
struct Look {
    address: String,
    waiting: Arc<Mutex<Vec<TcpStream>>>,
}

impl Look {
    fn new() -> Self {
        let server = cluster().server();
        let host = server.strip_prefix("https://").expect("a URL").to_owned();
        let listener = TcpListener::bind((host.as_str(), 0)).expect("a port");
        let look = Self {
            address: listener.local_addr().expect("its address").to_string(),
            waiting: Arc::default(),
        };
        let waiting = Arc::clone(&look.waiting);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                waiting.lock().expect("a lock").push(stream);
            }
        });
        look
    }

    fn module(&self) -> String {
        format!(
            "kind: resource-type\nid: look\noutput_schema: {{type: object, properties: {{}}}}\n---\nkind: module\nid: look\nresource_type: look\nmodule_source: inline\nmodule_source_code: |\n  data \"terraform_remote_state\" \"this\" {{\n    backend = \"http\"\n    config = {{\n      address = \"http://{}/look\"\n    }}\n  }}\n---\nkind: module-rule\nmodule_id: look\n",
            self.address
        )
    }

    fn is_asked(&self) -> bool {
        !self.waiting.lock().expect("a lock").is_empty()
    }

    fn answer(&self) {
        let state = r#"{"version":4,"serial":1,"lineage":"l","outputs":{},"resources":[]}"#;
        for mut stream in self.waiting.lock().expect("a lock").drain(..) {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{state}",
                state.len()
            );
        }
    }
}

fn ground() -> Ground {
    let place = Place::without_engine().on_postgres();
    let ground = Ground::of(cluster(), place, SHIPPED, json!({}));
    modules(&ground);
    ground.place.ok(ground.deploy("dev", "note.yaml"));
    ground
}

/// The deployment has one end, the expected one, of its first attempt.
fn ended(ground: &Ground, id: &str, victim: Victim, context: &str) -> Value {
    let record = ground.place.ended(id);
    let expected = match victim.spares_the_run() {
        true => "succeeded",
        false => "failed",
    };
    assert_eq!(record["status"], expected, "{context}: {record:#}");
    assert_eq!(ground.place.ends(id), 1, "{context}: one end");
    assert_eq!(record["windlass"]["attempt"], 1, "{context}: {record:#}");
    record
}

/// What is open is named, refused and dismissed; a lock that was left is named; then the next deploy succeeds.
fn goes_on(ground: &Ground, context: &str) {
    let place = &ground.place;
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    let lists = ["unrecorded", "in_flight"].map(|name| view[name].as_array().cloned());
    let open: Vec<String> = lists
        .into_iter()
        .flatten()
        .flatten()
        .map(|address| address.as_str().expect("text").to_owned())
        .collect();
    if !open.is_empty() {
        place
            .refused(ground.deploy("dev", "note.yaml"))
            .says(&["windlass state import shop dev"]);
        let words = [
            "state",
            "dismiss",
            "shop",
            "dev",
            "--no-prompt",
            "--runner",
            "k8s",
        ];
        let mut dismiss = words.map(str::to_owned).to_vec();
        dismiss.extend(open);
        place.ok(dismiss);
    }
    let mut done = place.run(ground.deploy("dev", "note.yaml"));
    let id = place.newest("dev");
    if place.deployment(&id)["windlass"]["failure_class"] == "lock_held" {
        // Both engines leave it to people to break a lock whose holder is gone.
        assert!(
            done.to_string().contains("the state is locked by"),
            "{context}\n{done}"
        );
        cluster().ask(&["delete", "lease", "--all", "-n", &ground.namespace]);
        done = place.run(ground.deploy("dev", "note.yaml"));
    }
    assert_eq!(done.code, Some(0), "{context}\n{done}");
    assert_eq!(place.resources("dev"), ["note"], "{context}");
    ground.is_clean();
}

#[test]
#[ignore = "needs kubernetes and PostgreSQL"]
fn killed_while_applying() {
    let ground = ground();
    for victim in VICTIMS {
        let context = format!("{victim:?} while applying");
        let (client, id) = held(cluster(), &ground);
        victim.strike(&ground, client);
        if victim.spares_the_run() {
            let_go(&ground);
        }
        let record = ended(&ground, &id, victim, &context);
        let open = |list: &str| record["windlass"][list].to_string();
        match victim {
            // Nobody was left to look, so what it had said counts.
            Victim::Supervisor => {
                assert!(
                    open("unrecorded").contains("terraform_data.first"),
                    "{record:#}"
                );
                assert!(
                    open("in_flight").contains("terraform_data.this"),
                    "{record:#}"
                );
            }
            Victim::Engine => {
                assert!(
                    open("in_flight").contains("terraform_data.this"),
                    "{record:#}"
                );
            }
            _ => {}
        }
        goes_on(&ground, &context);
    }
}

#[test]
#[ignore = "needs kubernetes and PostgreSQL"]
fn killed_while_planning() {
    let ground = ground();
    let look = Look::new();
    ground.place.write("look-module.yaml", look.module());
    ground.place.ok(["apply", "-f", "look-module.yaml"]);
    ground.place.write(
        "look.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: x}}\n      look: {type: look}\n",
    );
    for victim in VICTIMS {
        let context = format!("{victim:?} while planning");
        let mut client = ground.place.start(ground.deploy("dev", "look.yaml"));
        wait_until("the engine asks while it plans", || {
            if let Some(done) = client.over() {
                panic!("it ended before\n{done}");
            }
            look.is_asked()
        });
        let id = ground.place.newest("dev");
        victim.strike(&ground, client);
        if victim.spares_the_run() {
            look.answer();
        }
        let record = ended(&ground, &id, victim, &context);
        look.answer();
        for list in ["unrecorded", "in_flight"] {
            assert_eq!(
                record["windlass"][list],
                Value::Null,
                "{context}: {record:#}"
            );
        }
        goes_on(&ground, &context);
    }
}

#[test]
#[ignore = "needs kubernetes and PostgreSQL"]
fn killed_while_queued() {
    let ground = ground();
    for victim in VICTIMS {
        let context = format!("{victim:?} while another is in line");
        let (client, id) = held(cluster(), &ground);
        let second = ground.place.start(ground.deploy("dev", "note.yaml"));
        wait_until("the second one is in line", || {
            ground.place.newest("dev") != id
        });
        let second_id = ground.place.newest("dev");
        victim.strike(&ground, second);
        if victim.spares_the_run() {
            let_go(&ground);
        }
        ended(&ground, &id, victim, &context);
        let record = ground.place.ended(&second_id);
        assert_eq!(ground.place.ends(&second_id), 1, "{context}");
        // Refused where the first left something open or its lock, carried out else.
        let class = &record["windlass"]["failure_class"];
        let is_held_up = class == "unsettled" || class == "lock_held";
        assert_eq!(
            record["status"] != "succeeded",
            is_held_up,
            "{context}: {record:#}"
        );
        assert!(
            !(is_held_up && victim.spares_the_run()),
            "{context}: {record:#}"
        );
        drop(client);
        goes_on(&ground, &context);
    }
}
