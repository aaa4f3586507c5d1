//! The audit log: a row for every request that may change something, and a chain that shows whoever changed it.

use serde_json::{Value, json};

use super::http::Caller;
use super::identity::{Team, text};
use super::{ORG, Server, TOKEN};
use crate::support::Place;

fn rows(caller: &Caller) -> Vec<Value> {
    let log = caller
        .get(&format!("/orgs/{ORG}/audit-log?per_page=1000"))
        .ok();
    let items = log["items"].as_array().expect("items");
    items.iter().map(|row| row["entry"].clone()).collect()
}

#[test]
fn every_request_that_may_change_something_leaves_one_row() {
    let team = Team::new();
    let (ann_id, ann) = team.person("Ann", "Viewer", "");
    let before = rows(&team.admin).len();
    let projects = format!("/orgs/{ORG}/projects");
    let made = team.admin.post(&projects, &json!({"id": "shop"}));
    made.ok();
    team.admin
        .post(&projects, &json!({"id": "shop"}))
        .is(409, "exists");
    team.admin
        .post(&projects, &json!({"id": "NO"}))
        .is(400, "id");
    ann.and("x-request-id", "the-one")
        .post(&projects, &json!({"id": "mine"}))
        .is(403, "Forbidden");
    Caller::nobody(team.url())
        .delete(&format!("{projects}/shop"))
        .is(401, "token");
    team.admin.get(&projects).ok();
    let new = rows(&team.admin).split_off(before);
    let told: Vec<(&str, &str, Option<u64>)> = new
        .iter()
        .map(|row| {
            (
                row["actor_kind"].as_str().expect("text"),
                row["outcome"].as_str().expect("text"),
                row.get("status").and_then(Value::as_u64),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("service", "changed", None),
            ("service", "refused", Some(409)),
            ("service", "refused", Some(400)),
            ("person", "denied", Some(403)),
            ("nobody", "denied", Some(401)),
        ]
    );
    let id = made.header("x-request-id").expect("the answer has an id");
    assert_eq!(
        new[0]["request_id"], id,
        "the answer and the row have one id"
    );
    let denied = &new[3];
    assert_eq!(denied["actor"], ann_id.as_str());
    assert_eq!(denied["actor_name"], "Ann");
    assert_eq!(denied["method"], "POST");
    assert_eq!(denied["route"], "/orgs/{org}/projects");
    assert_eq!(denied["path"], projects.as_str());
    assert_eq!(denied["request_id"], "the-one");
    assert_eq!(denied["client"], "127.0.0.1");
    assert_eq!(denied["number"], before + 4);
    ann.get(&format!("/orgs/{ORG}/audit-log"))
        .is(403, "Forbidden");

    // However the organisation is written in the path, the row is in its log.
    let before = rows(&team.admin).len();
    team.admin
        .post("/orgs/%61cme/projects", &json!({"id": "hidden"}))
        .ok();
    assert_eq!(rows(&team.admin).len(), before + 1);

    // Neither a body nor a secret is in it.
    let made = team
        .admin
        .post(
            &format!("/orgs/{ORG}/users"),
            &json!({"display_name": "Bob", "roles": [{"id": team.role("Admin")}]}),
        )
        .ok();
    let link = text(&made["link"]);
    let secret = link.split_once('#').expect("a secret").1;
    let session = team.open(&link).ok_session();
    let log = team
        .admin
        .get(&format!("/orgs/{ORG}/audit-log?per_page=1000"))
        .text;
    for hidden in [secret, session.as_str(), TOKEN] {
        assert!(!log.contains(hidden));
    }
    assert!(log.contains("user Bob"), "what it was about is in it");
}

#[test]
fn the_log_is_exported_and_verified_and_tampering_is_found_with_its_number() {
    let place = Place::without_engine();
    let server = Server::start(&place, &[]);
    let machine = server.client(TOKEN);
    for project in ["one", "two", "three"] {
        machine.ok(["create", "project", project]);
    }
    let file = machine.work().join("log.jsonl");
    let path = file.to_str().expect("text").to_owned();
    machine.ok(["audit", "export", "-o", &path]);
    machine.ok(["create", "project", "four"]);
    let whole = machine.ok(["audit", "verify", &path]);
    assert!(
        whole.stderr.contains("whole: 4 rows") && whole.stderr.contains("export of 3 rows"),
        "{whole}"
    );

    let exported = std::fs::read_to_string(&file).expect("the export");
    machine.write(
        "short.jsonl",
        exported.lines().take(2).collect::<Vec<_>>().join("\n"),
    );
    machine
        .refused(["audit", "verify", "short.jsonl"])
        .says(&["does not end with a head"]);
    machine.write(
        "forged.jsonl",
        exported.replacen("/projects", "/project5", 1),
    );
    machine
        .refused(["audit", "verify", "forged.jsonl"])
        .says(&["number 1 was altered"]);

    // Whoever owns the host may read the same log without the server, and the server's own chain.
    place
        .with_variable("WINDLASS_URL", "local")
        .with_variable("WINDLASS_ORG", ORG);
    place.ok(["audit", "verify", &path]);
    place.ok(["audit", "verify", "--server-wide"]);
    machine
        .refused(["audit", "verify", "--server-wide"])
        .says(&["Forbidden"]);

    // Another history of the same length, consistent in itself.
    let other = Place::without_engine();
    let second = Server::start(&other, &[]);
    let there = second.client(TOKEN);
    for project in ["one", "other", "three", "four"] {
        there.ok(["create", "project", project]);
    }
    there.ok(["audit", "verify"]);
    there
        .refused(["audit", "verify", &path])
        .says(&["was rewritten", "number 1"]);
}
