//! Lines that need a run: a server of its own, the process launcher, a real engine.

use serde_json::{Value, json};

use crate::contract::http::send;
use crate::server::{Server, TOKEN};
use crate::support::{Engine, Launcher, Place};

/// A server with an environment `shop/dev`, whose runs are processes.
pub(super) struct Live {
    server: Server,
    place: Place,
}

/// A module that keeps a text and gives it back.
const NOTE: &str = r#"
variable "text" { type = string }
resource "terraform_data" "this" { input = var.text }
output "text" { value = terraform_data.this.output }
output "platform_orchestrator_metadata" { value = { "Kind" = "note" } }
"#;

impl Live {
    pub(super) async fn new() -> Self {
        Self::at(Place::new(Launcher::Process, Engine::OpenTofu)).await
    }

    pub(super) async fn at(place: Place) -> Self {
        let server = Server::start(&place, &[]);
        let live = Self { server, place };
        live.make("/env-types", json!({"id": "dev"})).await;
        live.make("/projects", json!({"id": "shop"})).await;
        live.make(
            "/projects/shop/envs",
            json!({"id": "dev", "env_type_id": "dev"}),
        )
        .await;
        live.make("/runner-rules", json!({"runner_id": "process"}))
            .await;
        live.make(
            "/resource-types",
            json!({"id": "note", "output_schema": {}}),
        )
        .await;
        live.make("/modules", json!({"id": "note", "resource_type": "note", "module_source": "inline", "module_source_code": NOTE,
            "module_params": {"text": {"type": "string"}}}))
            .await;
        live.make("/module-rules", json!({"module_id": "note"}))
            .await;
        live
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body.map(Value::to_string);
        let target = format!("/orgs/acme{path}");
        let reply = send(
            self.server.address(),
            method,
            &target,
            &headers,
            body.as_deref().map(str::as_bytes),
        )
        .await;
        (reply.status, reply.json())
    }

    pub(super) async fn make(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(&body)).await;
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn request(notes: &Value) -> Value {
        let resources: serde_json::Map<String, Value> = notes
            .as_object()
            .expect("notes")
            .iter()
            .map(|(alias, text)| {
                (
                    alias.clone(),
                    json!({"type": "note", "params": {"text": text}}),
                )
            })
            .collect();
        json!({"project_id": "shop", "env_id": "dev", "mode": "deploy", "manifest": {"workloads": {"web": {"resources": resources}}}})
    }

    /// Deploys notes and waits; the deployment after its end.
    async fn deploy(&self, notes: Value) -> Value {
        let made = self.make("/deployments", Self::request(&notes)).await;
        self.ended(made["id"].as_str().expect("id")).await
    }

    pub(super) async fn ended(&self, id: &str) -> Value {
        loop {
            let (status, answer) = self
                .call(
                    "GET",
                    &format!("/deployments/{id}/actions/wait-for-complete"),
                    None,
                )
                .await;
            match status {
                200 => return answer,
                408 => assert_eq!(answer["message"], "deployment has not completed yet"),
                _ => panic!("{answer}"),
            }
        }
    }

    async fn difference(&self, notes: Value) -> Vec<(String, String)> {
        let mut body = Self::request(&notes);
        body["is_dry_run"] = json!(true);
        let (status, answer) = self.call("POST", "/deployments", Some(&body)).await;
        assert_eq!(status, 200, "{answer}");
        let changes = answer["diff"]["changes"]
            .as_array()
            .expect("changes")
            .iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        changes
            .map(|change| (text(&change["type"]), text(&change["resource"])))
            .collect()
    }
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_c01_deployed_twice_nothing_differs() {
    let live = Live::new().await;
    let first = live.deploy(json!({"one": "1"})).await;
    assert_eq!(
        (
            &first["status"],
            &first["metrics"]["num_tf_resources_added"]
        ),
        (&json!("succeeded"), &json!(1)),
        "{first}"
    );
    assert_eq!(live.difference(json!({"one": "1"})).await, []);
    let second = live.deploy(json!({"one": "1"})).await;
    assert_eq!(second["windlass"]["outcome"], "unchanged", "{second}");
    let program = |id: &Value| format!("/deployments/{}/graph", id.as_str().expect("id"));
    let (one, two) = (
        live.get(&program(&first["id"])).await,
        live.get(&program(&second["id"])).await,
    );
    assert_eq!(one["graph"], two["graph"]);
    assert_eq!(two["diff"]["changes"], json!([]));
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_i09_a_module_changed_between_is_a_difference_and_used() {
    let live = Live::new().await;
    live.deploy(json!({"one": "1"})).await;
    let code = format!("{NOTE}\n# newer\n");
    let (status, changed) = live
        .call(
            "PATCH",
            "/modules/note",
            Some(&json!({"module_source": "inline", "module_source_code": code})),
        )
        .await;
    assert_eq!(status, 200, "{changed}");
    let expected = [(
        "module_changed".to_owned(),
        "note.default@workloads.web.one".to_owned(),
    )];
    assert_eq!(live.difference(json!({"one": "1"})).await, expected);
    let expected = [(
        "module_changed".to_owned(),
        "note.default@workloads.web.one".to_owned(),
    )];
    let both = live.difference(json!({"one": "2"})).await;
    assert_eq!(
        both, expected,
        "a changed module goes before changed params"
    );
    let second = live.deploy(json!({"one": "1"})).await;
    assert_eq!(second["status"], "succeeded", "{second}");
    let active = live
        .get("/active-resources?project_id=shop&env_id=dev")
        .await;
    let nodes = active["items"].as_array().expect("nodes");
    assert!(
        nodes
            .iter()
            .any(|node| node["module_version"] == changed["version_id"]),
        "{active}"
    );
    let published = nodes
        .iter()
        .find(|node| node["resource_type"] == "note")
        .expect("it");
    assert_eq!(published["metadata"], json!({"Kind": "note"}));
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_i11_a_long_wait_ends_with_the_deployment() {
    let live = Live::new().await;
    let ended = live.deploy(json!({"one": "1"})).await;
    assert!(ended["completed_at"].is_string(), "{ended}");
    assert_eq!(
        (&ended["status"], &ended["status_message"]),
        (&json!("succeeded"), &json!(""))
    );
    let id = ended["id"].as_str().expect("id");
    assert_eq!(live.get(&format!("/deployments/{id}")).await, ended);
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_i12_what_is_no_longer_asked_for_is_destroyed() {
    let live = Live::new().await;
    live.deploy(json!({"one": "1", "two": "2"})).await;
    let expected = [(
        "removed".to_owned(),
        "note.default@workloads.web.two".to_owned(),
    )];
    assert_eq!(live.difference(json!({"one": "1"})).await, expected);
    let second = live.deploy(json!({"one": "1"})).await;
    assert_eq!(
        (
            &second["status"],
            &second["metrics"]["num_tf_resources_removed"]
        ),
        (&json!("succeeded"), &json!(1)),
        "{second}"
    );
    let mut wrong = Live::request(&json!({"one": "1"}));
    wrong["manifest"]["workloads"]["web"]["resources"]["one"]["params"] = json!({});
    assert_eq!(live.call("POST", "/deployments", Some(&wrong)).await.0, 400);
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_c14_a_failure_names_the_module_and_keeps_the_words_sealed() {
    let live = Live::new().await;
    let code = format!(
        "{NOTE}\nresource \"terraform_data\" \"no\" {{\n  lifecycle {{\n    precondition {{\n      condition = var.text == \"fine\"\n      error_message = \"planted words\"\n    }}\n  }}\n}}\n"
    );
    let (_, changed) = live
        .call(
            "PATCH",
            "/modules/note",
            Some(&json!({"module_source": "inline", "module_source_code": code})),
        )
        .await;
    let ended = live.deploy(json!({"one": "1"})).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(ended["completed_at"].is_string());
    let said: Value = serde_json::from_str(ended["status_message"].as_str().expect("text"))
        .unwrap_or_else(|_| panic!("v1's clients read JSON here: {ended}"));
    assert_eq!(
        (&said["module_id"], &said["module_version"]),
        (&json!("note"), &changed["version_id"]),
        "{said}"
    );
    assert!(!ended.to_string().contains("planted words"), "{ended}");
    // One process plans and applies.
    assert_eq!(
        ended["windlass"]["failure_class"], "apply_failed",
        "{ended}"
    );
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_k04_an_environment_is_destroyed_and_gone() {
    let live = Live::new().await;
    live.deploy(json!({"one": "1"})).await;
    let path = "/projects/shop/envs/dev";
    let (status, begun) = live.call("DELETE", path, None).await;
    assert_eq!(
        (status, &begun["status"]),
        (202, &json!("deleting")),
        "{begun}"
    );
    let mut followed = false;
    loop {
        let (status, env) = live.call("GET", path, None).await;
        if status == 404 {
            break;
        }
        assert_eq!(env["status"], "deleting", "{env}");
        // Clients find the run in the message and follow it.
        let said = env["status_message"].as_str().unwrap_or_default();
        let uuid = said
            .split('\'')
            .find(|part| part.parse::<uuid::Uuid>().is_ok());
        if let Some(id) = uuid.filter(|_| !followed) {
            let (status, destroy) = live
                .call(
                    "GET",
                    &format!("/deployments/{id}/actions/wait-for-complete"),
                    None,
                )
                .await;
            if status == 200 {
                assert_eq!(
                    (&destroy["mode"], &destroy["status"]),
                    (&json!("destroy"), &json!("succeeded"))
                );
                followed = true;
            }
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(live.call("DELETE", path, None).await.0, 404);
    assert_eq!(
        live.get("/deployments?project_id=shop&env_id=dev").await["items"],
        json!([])
    );
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_i15_a_failure_while_applying_says_what_and_where() {
    let live = Live::new().await;
    let code = format!(
        "{NOTE}\nresource \"terraform_data\" \"late\" {{\n  input = var.text\n  lifecycle {{\n    postcondition {{\n      condition = self.output == \"fine\"\n      error_message = \"planted words\"\n    }}\n  }}\n}}\n"
    );
    let change = json!({"module_source": "inline", "module_source_code": code});
    assert_eq!(
        live.call("PATCH", "/modules/note", Some(&change)).await.0,
        200
    );
    let ended = live.deploy(json!({"one": "1"})).await;
    assert_eq!(
        (&ended["status"], &ended["windlass"]["failure_class"]),
        (&json!("failed"), &json!("apply_failed")),
        "{ended}"
    );
    let told = &ended["windlass"]["diagnostics"][0];
    assert_eq!(
        (&told["severity"], &told["module_id"]),
        (&json!("error"), &json!("note")),
        "{ended}"
    );
    let file = told["file"].as_str().unwrap_or_default();
    assert!(
        file.starts_with("modules/note/") && told["line"].is_u64(),
        "{told}"
    );
    assert!(!ended.to_string().contains("planted words"), "{ended}");
    // What failed is tried again by the next one.
    let fixed = json!({"module_source": "inline", "module_source_code": NOTE});
    assert_eq!(
        live.call("PATCH", "/modules/note", Some(&fixed)).await.0,
        200
    );
    assert_eq!(
        live.deploy(json!({"one": "1"})).await["status"],
        "succeeded"
    );
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_i17_a_destroy_that_fails_is_told_and_force_goes_on() {
    let live = Live::new().await;
    let code = format!(
        "{NOTE}\nresource \"terraform_data\" \"stuck\" {{\n  provisioner \"local-exec\" {{\n    when    = destroy\n    command = \"exit 1\"\n  }}\n}}\n"
    );
    let change = json!({"module_source": "inline", "module_source_code": code});
    assert_eq!(
        live.call("PATCH", "/modules/note", Some(&change)).await.0,
        200
    );
    assert_eq!(
        live.deploy(json!({"one": "1"})).await["status"],
        "succeeded"
    );
    let path = "/projects/shop/envs/dev";
    assert_eq!(live.call("DELETE", path, None).await.0, 202);
    let failed = loop {
        let env = live.get(path).await;
        if env["status"] == "delete_failed" {
            break env;
        }
    };
    let said = failed["status_message"].as_str().expect("a message");
    assert!(
        said.starts_with("destroy deployment '") && said.contains("' failed. "),
        "{said}"
    );
    assert_eq!(
        live.call("DELETE", &format!("{path}?force=true"), None)
            .await
            .0,
        202
    );
    while live.call("GET", path, None).await.0 != 404 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "needs opentofu"]
async fn e20_c08_an_environment_that_goes_takes_nothing_more() {
    let live = Live::new().await;
    let gate = live.place.work().join("go-on");
    let code = format!(
        "{NOTE}\nresource \"terraform_data\" \"slow\" {{\n  provisioner \"local-exec\" {{\n    when    = destroy\n    command = \"until [ -e {} ]; do sleep 0.05; done\"\n  }}\n}}\n",
        gate.display()
    );
    let change = json!({"module_source": "inline", "module_source_code": code});
    assert_eq!(
        live.call("PATCH", "/modules/note", Some(&change)).await.0,
        200
    );
    assert_eq!(
        live.deploy(json!({"one": "1"})).await["status"],
        "succeeded"
    );
    let path = "/projects/shop/envs/dev";
    assert_eq!(live.call("DELETE", path, None).await.0, 202);
    let (status, answer) = live
        .call(
            "POST",
            "/deployments",
            Some(&Live::request(&json!({"one": "1"}))),
        )
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (409, &json!("environment is in status 'deleting'"))
    );
    let (status, answer) = live.call("DELETE", path, None).await;
    assert_eq!(
        (status, &answer["message"]),
        (
            409,
            &json!("cannot delete environment in status 'deleting'")
        )
    );
    std::fs::write(&gate, "").expect("the gate opens");
    while live.call("GET", path, None).await.0 != 404 {
        tokio::task::yield_now().await;
    }
}
