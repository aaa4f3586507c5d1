//! Jobs on a real node: etcd, API server, controllers, scheduler, kubelet and containerd, as `tests/cluster` starts them.

mod cluster;

use serde_json::Value;

use self::cluster::Ground;

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
