//! Jobs on a real node: etcd, API server, controllers, scheduler, kubelet and containerd, as `tests/cluster` starts them.

mod away;
mod cluster;
mod killed;
mod trouble;

use std::collections::BTreeSet;

use serde_json::Value;

use self::cluster::{Ground, cluster};

fn greeting(text: &str) -> String {
    format!(
        "workloads:\n  web:\n    resources:\n      greeting:\n        type: note\n        params: {{text: {text}}}\n    outputs:\n      GREETING: ${{resources.greeting.outputs.text}}\n"
    )
}

fn outcome(ground: &Ground, env: &str) -> Value {
    let id = ground.place.newest(env);
    ground.place.deployment(&id)["windlass"]["outcome"].clone()
}

#[test]
#[ignore = "needs kubernetes"]
fn a_manifest_is_deployed_changed_planned_and_destroyed_by_jobs() {
    let ground = Ground::new();
    let place = &ground.place;
    place.write("one.yaml", greeting("hello"));
    place.write("two.yaml", greeting("goodbye"));

    let mut arguments = ground.deploy("dev", "one.yaml");
    arguments.extend(["--result", "-", "-o", "json"].map(str::to_owned));
    assert_eq!(place.json(arguments)["web"]["GREETING"], "hello");
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(record["windlass"]["run"]["launcher"], "kubernetes");
    assert_eq!(record["metrics"]["num_tf_resources_added"], 1);
    ground.is_clean();
    assert_eq!(ground.get("secrets").len(), 1, "the state and nothing else");

    place.ok([
        ground.deploy("dev", "two.yaml"),
        vec!["--plan-only".to_owned()],
    ]
    .concat());
    place.ok(ground.deploy("dev", "two.yaml"));
    let record = place.deployment(&place.newest("dev"));
    assert_eq!(record["metrics"]["num_tf_resources_changed"], 1);
    place.ok(ground.deploy("dev", "deployment://HEAD"));
    assert_eq!(outcome(&ground, "dev"), "unchanged");

    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
    ground.is_clean();
}

/// What an account of the namespace asked for and got, from the audit log of the API server.
fn asked_by(ground: &Ground, account: &str) -> BTreeSet<String> {
    let log = std::fs::read_to_string(cluster().dir.join("log/audit")).expect("an audit log");
    let user = format!("system:serviceaccount:{}:{account}", ground.namespace);
    let mut asked = BTreeSet::new();
    for entry in log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        let of = &entry["objectRef"];
        let namespaced = of["namespace"] == ground.namespace.as_str();
        if entry["user"]["username"] == user.as_str() && namespaced {
            assert_ne!(entry["responseStatus"]["code"], 403, "{entry:#}");
            let resource = of["resource"].as_str().unwrap_or_default();
            let part = of["subresource"].as_str().map(|part| format!("/{part}"));
            let verb = entry["verb"].as_str().unwrap_or_default();
            asked.insert(format!("{resource}{} {verb}", part.unwrap_or_default()));
        }
    }
    asked
}

#[test]
#[ignore = "needs kubernetes"]
fn every_right_of_the_shipped_roles_is_used_and_none_is_missed() {
    let ground = Ground::new();
    let place = &ground.place;
    place.write("one.yaml", greeting("hello"));
    place.write("two.yaml", greeting("goodbye"));
    place.ok(ground.deploy("dev", "one.yaml"));
    place.ok(ground.deploy("dev", "two.yaml"));
    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
    ground.is_clean();
    // `pods/attach create` is what Kubernetes asks for after 1.34.
    let launcher = "events list, jobs create, jobs delete, jobs get, pods list, pods watch, pods/attach get, pods/log get";
    let state = "leases create, leases get, leases update, secrets create, secrets get, secrets list, secrets update";
    for (account, rights) in [("windlass-launcher", launcher), ("windlass-job", state)] {
        let asked: Vec<String> = asked_by(&ground, account).into_iter().collect();
        assert_eq!(asked.join(", "), rights, "{account}");
    }
}
