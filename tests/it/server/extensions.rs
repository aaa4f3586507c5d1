//! What this server has beside v1, over HTTP and with runs: lines of deployments, events that are resumed, runners that are
//! chosen, forbidden and given secrets of their host.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::http::{Caller, Reply};
use super::identity::text;
use super::{ORG, Server, TOKEN};
use crate::support::Place;

/// A server whose engine is a few lines of shell, an environment `shop/dev`, and its administrator.
pub(super) struct Shop {
    pub(super) server: Server,
    pub(super) admin: Caller,
    pub(super) place: Place,
}

impl Shop {
    /// `apply` runs while applying; `rule`: the runner of everything, `process` where there is one.
    pub(super) fn new(apply: &str, rule: Option<&str>, arguments: &[&str]) -> Self {
        let engine = format!(
            "case $1 in plan|apply) planned 0; {apply}; applied 0;; show|output) echo '{{}}';; esac"
        );
        Self::at(Place::scripted(&engine), rule, arguments)
    }

    fn at(place: Place, rule: Option<&str>, arguments: &[&str]) -> Self {
        let server = Server::start(&place, arguments);
        let shop = Self {
            admin: Caller::with(server.url(), TOKEN),
            server,
            place,
        };
        shop.make("/env-types", json!({"id": "test"}));
        shop.make("/projects", json!({"id": "shop"}));
        let env = json!({"id": "dev", "env_type_id": "test"});
        shop.make("/projects/shop/envs", env);
        if let Some(runner) = rule {
            shop.make("/runner-rules", json!({"runner_id": runner}));
        }
        shop
    }

    fn make(&self, path: &str, body: Value) -> Value {
        let made = self.post(path, body);
        assert_eq!(made.status, 201, "{path}: {made:?}");
        made.json()
    }

    fn post(&self, path: &str, body: Value) -> Reply {
        self.admin.post(&format!("/orgs/{ORG}{path}"), &body)
    }

    fn get(&self, path: &str) -> Value {
        self.admin.get(&format!("/orgs/{ORG}{path}")).ok()
    }

    /// Asks for a deployment of nothing in particular.
    fn deploy(&self, more: Value) -> Reply {
        let mut body = json!({"project_id": "shop", "env_id": "dev", "mode": "deploy", "manifest": {"workloads": {}}});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        if body["manifest"].is_null() {
            body.as_object_mut().expect("an object").remove("manifest");
        }
        self.post("/deployments", body)
    }

    fn ended(&self, id: &str) -> Value {
        let path = format!("/orgs/{ORG}/deployments/{id}/actions/wait-for-complete");
        loop {
            let answer = self.admin.get(&path);
            match answer.status {
                200 => return answer.json(),
                408 => {}
                _ => panic!("{answer:?}"),
            }
        }
    }

    /// Follows a deployment from after this event.
    fn follow(&self, id: &str, after: Option<i64>) -> Events {
        let mut socket = TcpStream::connect(self.server.address()).expect("the server is there");
        let resume = after.map_or(String::new(), |after| format!("last-event-id: {after}\r\n"));
        // In this older version a body ends with its connection, and comes in no chunks.
        let request = format!(
            "GET /orgs/{ORG}/deployments/{id}/events HTTP/1.0\r\nauthorization: Bearer {TOKEN}\r\naccept: text/event-stream\r\n{resume}\r\n"
        );
        socket.write_all(request.as_bytes()).expect("it is sent");
        let mut lines = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(lines.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        assert!(
            head.contains(" 200 ") && head.contains("text/event-stream"),
            "{head}"
        );
        Events(lines)
    }
}

/// Events of a deployment as they come.
struct Events(BufReader<TcpStream>);

impl Iterator for Events {
    type Item = (i64, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut id, mut line) = (None, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).expect("text") == 0 {
                return None;
            }
            if let Some(said) = line.strip_prefix("id:") {
                id = said.trim().parse().ok();
            }
            if let Some(said) = line.strip_prefix("data:") {
                let data = serde_json::from_str(said).expect("JSON");
                return Some((id.expect("an id before it"), data));
            }
        }
    }
}

/// The engine waits for this file while applying.
pub(super) fn gated(place: &Place) -> (PathBuf, String) {
    let gate = place.work().join("go-on");
    let wait = format!("until [ -e {} ]; do sleep 0.02; done", gate.display());
    (gate, wait)
}

#[test]
fn deployments_stand_in_line_and_whoever_lost_the_connection_misses_nothing() {
    let gates = Place::without_engine();
    let (gate, wait) = gated(&gates);
    let shop = Shop::new(&wait, Some("process"), &[]);
    let workload = |name: &str| json!({"workloads": {name: {}}});
    let merge = |name: &str| {
        shop.deploy(json!({"manifest": null, "windlass": {"on_busy": "queue", "base": "last", "operations": [{"merge": workload(name)}]}}))
    };
    let first = shop.deploy(json!({"manifest": workload("base")})).ok();
    let first = text(&first["id"]);
    // It has begun when it is applying, so that the others stand behind it.
    let mut events = shop.follow(&first, None);
    let applying = events.find(|(_, data)| data["what"]["step"] == "applying");
    let (reached, _) = applying.expect("it applies");

    let busy = shop.deploy(json!({}));
    busy.is(409, &format!("deployment '{first}' is still executing"));
    let (second, third) = (merge("one").ok(), merge("two").ok());
    let position = |deployment: &Value| deployment["windlass"]["queue_position"].clone();
    assert_eq!((position(&second), position(&third)), (json!(1), json!(2)));
    for waiting in [&second, &third] {
        assert_eq!(
            (&waiting["status"], &waiting["windlass"]["phase"]),
            (&json!("executing"), &json!("queued")),
            "{waiting}"
        );
    }
    let (second, third) = (text(&second["id"]), text(&third["id"]));
    assert_eq!(
        position(&shop.get(&format!("/deployments/{third}"))),
        json!(2)
    );

    // Whoever comes back says what it has; whoever comes late gets all.
    drop(events);
    let resumed = shop.follow(&first, Some(reached));
    std::fs::write(&gate, "").expect("the gate opens");
    let rest: Vec<(i64, Value)> = resumed.collect();
    let whole: Vec<(i64, Value)> = shop.follow(&first, None).collect();
    let expected: Vec<_> = whole
        .iter()
        .filter(|(id, _)| *id > reached)
        .cloned()
        .collect();
    assert_eq!(rest, expected);
    assert!(rest.iter().all(|(id, data)| data["position"] == *id));
    assert!(
        rest.is_sorted_by(|(a, _), (b, _)| a < b),
        "each once, in order"
    );
    assert_eq!(
        rest.last().expect("an end").1["what"]["ended"],
        "unchanged",
        "{rest:?}"
    );

    // Neither of two that waited lost what the other asked for.
    let ended = shop.ended(&third);
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(position(&ended), Value::Null);
    let workloads = ended["manifest"]["workloads"]
        .as_object()
        .expect("workloads");
    let mut names: Vec<&str> = workloads.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["base", "one", "two"]);
    let moved: Vec<Value> = shop
        .follow(&third, None)
        .map(|(_, data)| data["what"]["queued"].clone())
        .filter(|queued| !queued.is_null())
        .collect();
    assert_eq!(moved.first(), Some(&json!(2)), "{moved:?}");
    let completed = |id: &str| text(&shop.get(&format!("/deployments/{id}"))["completed_at"]);
    assert!(completed(&first) <= completed(&second) && completed(&second) <= completed(&third));
}

#[test]
fn many_requests_with_one_key_at_once_are_one_deployment() {
    let gates = Place::without_engine();
    let (gate, wait) = gated(&gates);
    let shop = Shop::new(&wait, Some("process"), &[]);
    let keyed = shop.admin.and("idempotency-key", "one");
    let path = format!("/orgs/{ORG}/deployments");
    let body = json!({"project_id": "shop", "env_id": "dev", "mode": "deploy", "manifest": {"workloads": {"web": {}}}});
    let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| keyed.post(&path, &body)))
            .collect();
        let answers = asked.into_iter().map(|one| one.join().expect("answered"));
        answers
            .map(|answer| {
                assert_eq!(answer.status, 201, "{answer:?}");
                text(&answer.json()["id"])
            })
            .collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    let mut other = body.clone();
    other["plan_only"] = json!(true);
    keyed
        .post(&path, &other)
        .is(409, "incorrect manifest or mode for this idempotency key");
    std::fs::write(&gate, "").expect("the gate opens");
    let id = ids.into_iter().next().expect("one");
    shop.ended(&id);

    // Any text is a key; what is none is not taken for no key at all.
    let keyed = shop.admin.and("idempotency-key", "schlüssel");
    let (once, again) = (keyed.post(&path, &body), keyed.post(&path, &body));
    assert_eq!((once.status, again.status), (201, 201), "{again:?}");
    assert_eq!(once.json()["id"], again.json()["id"]);
    shop.ended(&text(&once.json()["id"]));

    // A way back with a key is one way back; v1 refuses the second request.
    let back = json!({"project_id": "shop", "env_id": "dev", "mode": "rollback", "rollback_to_deployment_id": id});
    let keyed = shop.admin.and("idempotency-key", "two");
    let (once, again) = (keyed.post(&path, &back), keyed.post(&path, &back));
    assert_eq!((once.status, again.status), (201, 201), "{again:?}");
    assert_eq!(once.json()["id"], again.json()["id"]);
}

#[test]
fn a_runner_is_chosen_for_one_deployment_and_reserved_ones_can_be_forbidden() {
    let shop = Shop::new("true", None, &["--local-runner", "false"]);
    shop.deploy(json!({}))
        .is(409, "no matching runner found for the supplied environment");
    let with = |runner: &str| shop.deploy(json!({"windlass": {"runner": runner}}));
    with("local").is(
        409,
        "the reserved runner `local` is switched off by a setting",
    );
    with("procss").is(400, "Did you mean `process`?");
    let once = with("process").ok();
    assert_eq!(shop.ended(&text(&once["id"]))["runner_id"], "process");
    // It was for that one only.
    shop.deploy(json!({})).is(409, "no matching runner");
    let env = shop.get("/projects/shop/envs/dev");
    assert_eq!(
        env.get("runner_id").unwrap_or(&Value::Null),
        &Value::Null,
        "{env}"
    );

    for id in ["one", "two"] {
        shop.make(
            "/runners",
            json!({"id": id, "runner_configuration": {"type": "process"}}),
        );
    }
    shop.make("/runner-rules", json!({"runner_id": "one"}));
    for (asked, serves) in [(None, "one"), (Some("two"), "two"), (None, "one")] {
        let made = match asked {
            None => shop.deploy(json!({})),
            Some(runner) => with(runner),
        };
        let ended = shop.ended(&text(&made.ok()["id"]));
        assert_eq!(
            (&ended["runner_id"], &ended["status"]),
            (&json!(serves), &json!("succeeded"))
        );
    }
}

/// A runner that somebody made is no way around the setting that forbids runs without a container.
#[test]
fn a_server_that_forbids_processes_runs_none() {
    let ran = Place::without_engine();
    let file = ran.work().join("ran");
    let apply = format!("touch {}", file.display());
    let shop = Shop::new(&apply, None, &["--process-runner", "false"]);
    let with = |runner: &str| shop.deploy(json!({"windlass": {"runner": runner}}));
    with("process").is(
        409,
        "the reserved runner `process` is switched off by a setting",
    );
    shop.make(
        "/runners",
        json!({"id": "sly", "runner_configuration": {"type": "process"}}),
    );
    with("sly").is(
        409,
        "the runner `sly` is of type `process`, which is switched off by a setting",
    );
    shop.make("/runner-rules", json!({"runner_id": "sly"}));
    shop.deploy(json!({})).is(409, "switched off by a setting");
    assert!(!file.exists());
}

#[test]
fn the_engine_gets_what_its_runner_names_on_the_host_and_nothing_of_the_servers_own() {
    let place = Place::scripted(
        "case $1 in plan|apply) planned 0; printf '%s|%s|%s' \"$TF_VAR_plain\" \"$TF_VAR_env\" \"$TF_VAR_file\" > $TF_VAR_to; applied 0;; show|output) echo '{}';; esac",
    );
    let to = place.work().join("seen");
    let secret = place.write("secret", "planted-in-a-file\n");
    for name in ["HOST_SECRET", "PGPASSWORD"] {
        place.with_variable(name, "planted-in-a-variable");
    }
    place.settings(&format!(
        "engines:\n  opentofu: {}\nenvironment_allow: [HOST_SECRET, NOT_THERE, WINDLASS_BOOTSTRAP_TOKEN, {}, /nowhere]\n",
        place.data().with_file_name("bin").join("tofu").display(),
        place.work().display()
    ));
    let shop = Shop::at(place, Some("process"), &[]);
    let runner = |id: &str, environment: Value| {
        shop.make("/runners", json!({"id": id, "runner_configuration": {"type": "process", "environment": environment}}));
        shop.ended(&text(
            &shop.deploy(json!({"windlass": {"runner": id}})).ok()["id"],
        ))
    };
    let ended = runner(
        "good",
        json!({"TF_VAR_to": to, "TF_VAR_plain": "plain", "TF_VAR_env": {"from_env": "HOST_SECRET"}, "TF_VAR_file": {"from_file": secret}}),
    );
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let seen = std::fs::read_to_string(&to).expect("the engine ran");
    assert_eq!(seen, "plain|planted-in-a-variable|planted-in-a-file");
    assert!(!ended.to_string().contains("planted"), "{ended}");

    let keyring = shop.place.data().join("keyring");
    assert!(keyring.is_file(), "it is what must not be read");
    let link = shop.place.work().join("link");
    std::os::unix::fs::symlink(&keyring, &link).expect("a link");
    for (id, value, says) in [
        (
            "missing",
            json!({"from_env": "NOT_THERE"}),
            "`NOT_THERE`, which is not set",
        ),
        (
            "nofile",
            json!({"from_file": "/nowhere/at/all"}),
            "`/nowhere/at/all`, which does not exist",
        ),
        (
            "token",
            json!({"from_env": "WINDLASS_BOOTSTRAP_TOKEN"}),
            "the server's own",
        ),
        (
            "others",
            json!({"from_env": "PGPASSWORD"}),
            "environment_allow: [PGPASSWORD]",
        ),
        (
            "hosts",
            json!({"from_file": "/etc/hosts"}),
            "environment_allow: [/etc/hosts]",
        ),
        ("ring", json!({"from_file": keyring}), "the server's own"),
        ("link", json!({"from_file": link}), "the server's own"),
    ] {
        let ended = runner(id, json!({"TF_VAR_x": value}));
        assert_eq!(
            (&ended["status"], &ended["windlass"]["failure_class"]),
            (&json!("failed"), &json!("config_invalid")),
            "{ended}"
        );
        let said = ended["status_message"].as_str().expect("a message");
        assert!(
            said.contains(says) && said.contains("TF_VAR_x"),
            "{id}: {said}"
        );
    }
}

#[test]
fn without_a_token_only_a_server_for_trying_out_lets_anybody_in() {
    let place = Place::without_engine();
    let server = Server::start(&place, &["--dev"]);
    let projects = format!("/orgs/{ORG}/projects");
    let nobody = Caller::nobody(server.url());
    nobody.get(&projects).ok();
    nobody
        .and("from", "00000000-0000-0000-0000-000000000000")
        .post(&projects, &json!({"id": "shop"}))
        .ok();
    // A token that is sent must be good there as well.
    let wrong = Caller::with(server.url(), "SU-of-nobody");
    wrong.get(&projects).is(401, "a token is needed");
    Caller::with(server.url(), TOKEN).get(&projects).ok();
}
