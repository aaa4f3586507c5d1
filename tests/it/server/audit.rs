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

/// The rows of the organisation as they are stored: number, hash, entry.
fn stored(place: &Place) -> Vec<(i64, String, Value)> {
    place.in_database(async |database| {
        use sqlx::Row as _;
        let query = "SELECT number, hash, entry FROM audit WHERE org_id = 'acme' ORDER BY number";
        let rows = sqlx::query(query).fetch_all(database).await.expect("rows");
        let each = rows.iter().map(|row| {
            let entry: String = row.get(2);
            (
                row.get(0),
                row.get(1),
                serde_json::from_str(&entry).expect("JSON"),
            )
        });
        each.collect()
    })
}

fn store(place: &Place, rows: &[(i64, String, Value)]) {
    place.breach(async |database| {
        let remove = sqlx::query("DELETE FROM audit WHERE org_id = 'acme'");
        remove.execute(&mut *database).await.expect("removes");
        for (number, hash, entry) in rows {
            sqlx::query(
                "INSERT INTO audit (org_id, number, hash, entry) VALUES ('acme', $1, $2, $3)",
            )
            .bind(number)
            .bind(hash)
            .bind(entry.to_string())
            .execute(&mut *database)
            .await
            .expect("inserts");
        }
    });
}

/// Chains entries anew, as the format says and a forger would.
fn chained(entries: impl IntoIterator<Item = Value>) -> Vec<(i64, String, Value)> {
    use sha2::{Digest as _, Sha256};
    let mut before = "0".repeat(64);
    let mut rows = Vec::new();
    for (number, mut entry) in (1..).zip(entries) {
        entry["number"] = json!(number);
        let sorted: std::collections::BTreeMap<String, Value> =
            serde_json::from_value(entry.clone()).expect("an object");
        let canonical = serde_json::to_string(&sorted).expect("JSON");
        let hash = Sha256::digest(format!("windlass-audit-1\n{before}\n{canonical}"));
        before = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        rows.push((number, before.clone(), entry));
    }
    rows
}

#[test]
fn a_database_that_was_changed_by_hand_is_found_out() {
    let place = Place::without_engine();
    let server = Server::start(&place, &[]);
    let machine = server.client(TOKEN);
    for project in ["one", "two", "three", "four"] {
        machine.ok(["create", "project", project]);
    }
    server.stop();
    place
        .with_variable("WINDLASS_URL", "local")
        .with_variable("WINDLASS_ORG", ORG);
    place.ok(["audit", "export", "-o", "kept.jsonl"]);
    let whole = stored(&place);
    assert_eq!(whole.len(), 4);
    let entries = || whole.iter().map(|(_, _, entry)| entry.clone());
    assert_eq!(chained(entries()), whole, "the format is as it is said");

    let mut altered = whole.clone();
    altered[1].2["outcome"] = json!("denied");
    let mut rehashed = whole.clone();
    rehashed[1] = chained(entries().map(|mut entry| {
        entry["outcome"] = json!("denied");
        entry
    }))[1]
        .clone();
    let mut shorter = whole.clone();
    shorter.remove(1);
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    swapped[1].0 = 2;
    swapped[2].0 = 3;
    for (what, rows, says) in [
        ("a row is altered", &altered, "number 2 was altered"),
        ("and its hash", &rehashed, "number 2 was altered"),
        ("a row is taken out", &shorter, "number 2 is missing"),
        ("two change places", &swapped, "number 2"),
        (
            "the first goes",
            &whole[1..].to_vec(),
            "number 1 is missing",
        ),
    ] {
        store(&place, rows);
        let done = place.refused(["audit", "verify"]);
        assert!(done.stderr.contains(says), "{what}\n{done}");
        place
            .refused(["audit", "export", "-o", "-"])
            .says(&["tampered"]);
    }

    // What is consistent in itself is only found out by a head that was kept elsewhere.
    let forged = chained(entries().map(|mut entry| {
        if entry["number"] == 2 {
            entry["actor_name"] = json!("Somebody else");
        }
        entry
    }));
    let without = chained(entries().filter(|entry| entry["number"] != 2));
    for (what, rows, says) in [
        ("rewritten whole", &forged, "was rewritten: number 2"),
        ("a row less", &without, "was rewritten: number 2"),
        ("cut off", &whole[..3].to_vec(), "number 4"),
        ("emptied", &Vec::new(), "number 1"),
    ] {
        store(&place, rows);
        place.ok(["audit", "verify"]);
        let done = place.refused(["audit", "verify", "kept.jsonl"]);
        assert!(done.stderr.contains(says), "{what}\n{done}");
    }
    store(&place, &whole);
    place.ok(["audit", "verify", "kept.jsonl"]);
}
