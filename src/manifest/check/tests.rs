use serde_json::json;

use super::*;

fn problems(value: Value, strict: bool) -> Vec<(bool, String, String)> {
    let all = match check(&value, strict) {
        Ok((_, warnings)) => warnings,
        Err(all) => all,
    };
    all.into_iter()
        .map(|d| (d.is_error(), d.summary, d.places[0].pointer.clone()))
        .collect()
}

fn error(summary: &str, at: &str) -> (bool, String, String) {
    (true, summary.into(), at.into())
}

#[test]
fn all_mistakes_are_found_at_once_each_at_its_place() {
    let found = problems(
        json!({
            "workload": {},
            "workloads": {
                "A": {},
                "1a": {},
                "web": {
                    "resources": {
                        "a.b": {"type": "s3"},
                        "db": {"typ": "postgres", "class": "x", "id": "Not", "params": []},
                        "w": {"type": "workload"},
                        "n": {"type": 5},
                    },
                    "outputs": {"1k": "x", "k": 1, "a b": "y"},
                },
                "old": {"outputs": {}, "variables": {}},
                "list": [],
            },
            "shared": {"B": {"type": "x"}, "ok": "text"},
        }),
        true,
    );
    let base = "/workloads/web/resources";
    assert_eq!(
        found,
        [
            error("Unknown key", "/workload"),
            error("Name not allowed", "/workloads/A"),
            error("Name not allowed", "/workloads/1a"),
            error("Name not allowed", &format!("{base}/a.b")),
            error("Unknown key", &format!("{base}/db/typ")),
            error("Missing key", &format!("{base}/db")),
            error("Name not allowed", &format!("{base}/db/class")),
            error("Name not allowed", &format!("{base}/db/id")),
            error("Wrong type", &format!("{base}/db/params")),
            error("Reserved resource type", &format!("{base}/w/type")),
            error("Wrong type", &format!("{base}/n/type")),
            error("Name not allowed", "/workloads/web/outputs/1k"),
            error("Wrong type", "/workloads/web/outputs/k"),
            error("Name not allowed", "/workloads/web/outputs/a b"),
            error("Outputs given twice", "/workloads/old/variables"),
            error("Wrong type", "/workloads/list"),
            error("Name not allowed", "/shared/B"),
            error("Name not allowed", "/shared/B/type"),
            error("Wrong type", "/shared/ok"),
        ]
    );
}

#[test]
fn an_unknown_key_is_a_warning_over_http_and_the_nearest_is_suggested() {
    let value = json!({"workloads": {"web": {"resourses": {}}}});
    let (_, warnings) = check(&value, false).expect("only warned");
    assert!(!warnings[0].is_error());
    assert!(warnings[0].detail.ends_with("Did you mean `resources`?"));
    assert!(check(&value, true).is_err());
}

#[test]
fn variables_become_outputs() {
    let value = json!({"workloads": {"web": {"variables": {"B": "1", "A": "2"}}}});
    let (manifest, _) = check(&value, true).expect("good");
    assert_eq!(
        manifest.to_value(),
        json!({"workloads": {"web": {"outputs": {"A": "2", "B": "1"}}}})
    );
}

#[test]
fn the_empty_manifest_needs_its_key() {
    assert_eq!(problems(json!({}), true), [error("Missing key", "")]);
    assert_eq!(problems(json!([]), true), [error("Wrong type", "")]);
    assert!(check(&json!({"workloads": {}}), true).is_ok());
}

#[test]
fn a_rounded_number_is_told() {
    let value = json!({"workloads": {}, "shared": {"ab": {"type": "s3", "params": {"n": [1e22]}}}});
    assert_eq!(
        problems(value, true),
        [(
            false,
            "Number may be rounded".into(),
            "/shared/ab/params/n/0".into()
        )]
    );
}
