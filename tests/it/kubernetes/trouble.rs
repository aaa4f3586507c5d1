//! Everything that happens to pods and clusters while a run goes on, and what keeps one from beginning.

use serde_json::{Value, json};

use super::away::Way;
use super::cluster::{Cluster, Ground, SHIPPED, cluster};
use crate::support::{Client, wait_until};

/// A module that stands still in its pod until it is let go, and one that eats memory.
const MODULES: &str = r#"kind: resource-type
id: hold
output_schema: {type: object, properties: {}}
---
kind: module
id: hold
resource_type: hold
module_source: inline
module_source_code: |
  resource "terraform_data" "first" {
  }
  resource "terraform_data" "this" {
    depends_on = [terraform_data.first]
    provisioner "local-exec" {
      command = "touch /tmp/waiting; until [ -e /tmp/go ]; do sleep 0.1; done"
    }
  }
---
kind: module-rule
module_id: hold
---
kind: resource-type
id: eat
output_schema: {type: object, properties: {}}
---
kind: module
id: eat
resource_type: eat
module_source: inline
module_source_code: |
  resource "terraform_data" "this" {
    provisioner "local-exec" {
      command = "s=0123456789abcdef; while true; do s=$s$s; done"
    }
  }
---
kind: module-rule
module_id: eat
"#;

const HOLD: &str = "workloads:\n  web:\n    resources:\n      hold: {type: hold}\n";
const EAT: &str = "workloads:\n  web:\n    resources:\n      eat: {type: eat}\n";
const NOTE: &str =
    "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: x}}\n";

fn ground(more: Value) -> Ground {
    let ground = Ground::with(SHIPPED, more);
    modules(&ground);
    ground
}

/// Makes the modules known, and writes a manifest for each.
pub(super) fn modules(ground: &Ground) {
    let place = &ground.place;
    place.write("modules.yaml", MODULES);
    place.ok(["apply", "-f", "modules.yaml"]);
    place.write("hold.yaml", HOLD);
    place.write("eat.yaml", EAT);
    place.write("note.yaml", NOTE);
}

/// The pod of the one run that goes on.
pub(super) fn pod(ground: &Ground) -> String {
    one_pod(ground).expect("one pod")
}

/// The pod, if there is exactly one.
fn one_pod(ground: &Ground) -> Option<String> {
    let [pod] = &ground.get("pods")[..] else {
        return None;
    };
    Some(pod["metadata"]["name"].as_str()?.to_owned())
}

/// Runs a command in it.
fn inside(node: &Cluster, ground: &Ground, pod: &str, words: &[&str]) -> bool {
    let mut command = node.kubectl();
    command
        .args(["exec", "-n", &ground.namespace, pod, "-c", "main", "--"])
        .args(words);
    command.output().expect("kubectl").status.success()
}

/// Deploys what stands still and waits until it does; returns the client and the deployment.
pub(super) fn held(node: &Cluster, ground: &Ground) -> (Client, String) {
    let mut client = ground.place.start(ground.deploy("dev", "hold.yaml"));
    wait_until("the module stands still", || {
        if let Some(done) = client.over() {
            panic!("it ended before\n{done}");
        }
        one_pod(ground)
            .is_some_and(|pod| inside(node, ground, &pod, &["test", "-e", "/tmp/waiting"]))
    });
    (client, ground.place.newest("dev"))
}

pub(super) fn let_go(ground: &Ground) {
    assert!(inside(
        cluster(),
        ground,
        &pod(ground),
        &["touch", "/tmp/go"]
    ));
}

/// The next deployment finds the state whole and its lock free.
fn goes_on(ground: &Ground) {
    ground.place.ok(ground.deploy("dev", "note.yaml"));
    assert_eq!(ground.place.resources("dev"), ["note"]);
    ground.is_clean();
}

#[test]
#[ignore = "needs kubernetes"]
fn nothing_secret_is_in_the_job_and_the_pod_is_hardened() {
    let ground = ground(json!({"environment": {"TOKEN_OF_THE_CLOUD": "planted-5ecret"}}));
    let (client, id) = held(cluster(), &ground);
    for kind in ["jobs", "pods", "secrets", "configmaps", "events"] {
        let text = serde_json::to_string(&ground.get(kind)).expect("JSON");
        assert!(!text.contains("planted-5ecret"), "{kind}");
    }
    assert!(
        ground.get("secrets").len() <= 1,
        "the state and nothing else"
    );
    let job = &ground.get("jobs")[0];
    let labels = &job["metadata"]["labels"];
    assert_eq!(labels["windlass.dev/deployment"], id.as_str(), "{labels:#}");
    let_go(&ground);
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn what_runs_is_cancelled_with_its_state_saved() {
    let ground = ground(json!({}));
    let (client, id) = held(cluster(), &ground);
    ground.place.ok(["cancel", &id]).says(&["was cancelled"]);
    let record = ground.place.ended(&id);
    assert_eq!(record["windlass"]["outcome"], "cancelled", "{record:#}");
    assert_eq!(client.wait().code, Some(1));
    assert!(
        ground.place.ok(["logs", &id]).stdout.contains("Interrupt"),
        "the log goes on to the end"
    );
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn a_killed_worker_is_replaced_and_the_run_adopted() {
    let ground = ground(json!({}));
    let (client, id) = held(cluster(), &ground);
    ground.place.kill_workers();
    let_go(&ground);
    let record = ground.place.ended(&id);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    assert_eq!(record["windlass"]["attempt"], 1, "{record:#}");
    assert_eq!(client.wait().code, Some(0));
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn a_run_that_ended_while_nobody_looked_is_adopted_from_its_log() {
    let ground = ground(json!({}));
    let (client, id) = held(cluster(), &ground);
    ground.place.kill_workers();
    client.kill();
    let_go(&ground);
    wait_until("the Job is complete", || {
        ground.get("jobs")[0]["status"]["succeeded"] == 1
    });
    let record = ground.place.ended(&id);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    let log = ground.place.ok(["logs", &id]);
    assert!(
        log.stdout.contains("terraform_data.this"),
        "the log is whole\n{log}"
    );
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn a_deleted_pod_saves_its_state_and_ends_once() {
    let ground = ground(json!({}));
    let (client, id) = held(cluster(), &ground);
    let name = pod(&ground);
    cluster().ask(&[
        "delete",
        "pod",
        "-n",
        &ground.namespace,
        &name,
        "--wait=false",
    ]);
    let record = ground.place.ended(&id);
    assert_eq!(record["status"], "failed", "{record:#}");
    assert!(
        record["windlass"]["failure_class"] != "lost",
        "it said its end: {record:#}"
    );
    assert_eq!(client.wait().code, Some(1));
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn a_job_that_somebody_deletes_by_force_is_lost_and_never_a_success() {
    let ground = ground(json!({}));
    let (client, id) = held(cluster(), &ground);
    let name = pod(&ground);
    let words = [
        "delete",
        "pod",
        "-n",
        &ground.namespace,
        &name,
        "--force",
        "--grace-period=0",
    ];
    cluster().ask(&words);
    let record = ground.place.ended(&id);
    assert_eq!(record["status"], "failed", "{record:#}");
    // Whether its last words came through depends on who was faster.
    assert_ne!(record["windlass"]["outcome"], "applied", "{record:#}");
    assert_eq!(client.wait().code, Some(1));
}

#[test]
#[ignore = "needs kubernetes"]
fn an_api_server_that_is_away_ends_no_run() {
    let way = Way::to(&cluster().server());
    let server = format!("https://{}", way.address);
    let ground = ground(json!({"cluster": {"cluster_data": {"server": server}}}));
    let (client, id) = held(cluster(), &ground);
    way.close();
    let_go(&ground);
    wait_until("the Job is complete", || {
        ground.get("jobs")[0]["status"]["succeeded"] == 1
    });
    assert_eq!(
        ground.place.deployment(&id)["status"],
        "executing",
        "nobody knows it yet"
    );
    way.open();
    let record = ground.place.ended(&id);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    assert_eq!(client.wait().code, Some(0));
    goes_on(&ground);
}

#[test]
#[ignore = "needs kubernetes"]
fn an_api_server_that_is_away_at_the_beginning_is_waited_for() {
    let way = Way::to(&cluster().server());
    let server = format!("https://{}", way.address);
    let ground = ground(json!({"cluster": {"cluster_data": {"server": server}}}));
    way.close();
    let client = ground.place.start(ground.deploy("dev", "note.yaml"));
    wait_until("it says what it waits for", || {
        client.has_said("does not answer")
    });
    way.open();
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
    ground.is_clean();
}

#[test]
#[ignore = "needs kubernetes"]
fn a_memory_limit_that_is_hit_is_named_with_the_limit() {
    let limits = json!({"limits": {"memory": "192Mi"}, "requests": {"memory": "64Mi"}});
    let template = json!({"spec": {"containers": [{"name": "main", "resources": limits}]}});
    let ground = ground(json!({"job": {"pod_template": template}}));
    let done = ground.place.run(ground.deploy("dev", "eat.yaml"));
    assert_eq!(done.code, Some(1), "{done}");
    let record = ground.place.deployment(&ground.place.newest("dev"));
    assert_eq!(
        record["windlass"]["failure_class"], "out_of_memory",
        "{record:#}"
    );
    let message = record["status_message"].to_string();
    for part in ["192", "resources.limits.memory"] {
        assert!(message.contains(part), "{record:#}");
    }
}

/// Deploys with this pod template and returns class and message.
fn refused_with(template: &Value, quota: bool) -> (String, String) {
    let ground = ground(json!({"start_secs": 6, "job": {"pod_template": template}}));
    if quota {
        cluster().ask(&[
            "create",
            "quota",
            "none",
            "-n",
            &ground.namespace,
            "--hard=pods=0",
        ]);
    }
    let done = ground.place.run(ground.deploy("dev", "note.yaml"));
    assert_eq!(done.code, Some(1), "{done}");
    let record = ground.place.deployment(&ground.place.newest("dev"));
    let class = record["windlass"]["failure_class"]
        .as_str()
        .unwrap_or_default();
    ground.is_clean();
    (class.to_owned(), done.to_string())
}

#[test]
#[ignore = "needs kubernetes"]
fn what_holds_a_pod_up_is_named_while_it_is_waited_for_and_at_the_end() {
    let main =
        |key: &str, value: Value| json!({"spec": {"containers": [{"name": "main", key: value}]}});
    let cases = [
        (
            main("image", json!("127.0.0.1:1/none:1")),
            false,
            "image_missing",
            "cannot pull the image",
        ),
        (
            main("image", json!("No Image")),
            false,
            "image_missing",
            "no name of an image",
        ),
        (
            main("envFrom", json!([{"secretRef": {"name": "none"}}])),
            false,
            "start_failed",
            "CreateContainerConfigError",
        ),
        (
            json!({"spec": {"nodeSelector": {"none": "such"}}}),
            false,
            "start_failed",
            "no node takes the pod",
        ),
        (json!({}), true, "start_failed", "exceeded quota"),
    ];
    let cases = cases.map(|(template, quota, class, words)| {
        std::thread::spawn(move || {
            let (found, said) = refused_with(&template, quota);
            assert_eq!(found, class, "{said}");
            assert!(said.contains(words), "{words}: {said}");
        })
    });
    for case in cases {
        case.join().expect("as it should be");
    }
}

#[test]
#[ignore = "needs kubernetes"]
fn a_node_that_is_gone_ends_its_run_as_lost() {
    let node = Cluster::of_its_own();
    let ground = Ground::on(&node, SHIPPED, json!({}));
    modules(&ground);
    let (client, id) = held(&node, &ground);
    node.stop_node();
    // Until somebody says so, a node that does not answer may still carry its pods.
    node.ask(&["delete", "node", "node"]);
    let record = ground.place.ended(&id);
    assert_eq!(record["windlass"]["failure_class"], "lost", "{record:#}");
    assert_eq!(record["status"], "failed", "{record:#}");
    assert_eq!(client.wait().code, Some(1));
}
