//! What clients were promised of graphs, placeholders, programs and deployments, asked for over HTTP.

mod change;
mod create;
mod graph;
mod leave;
mod life;
mod lived;
mod placeholders;
mod program;

use serde_json::{Map, Value, json};

use crate::api::Api;

/// An environment `shop/test` and the modules that it offers.
struct Offer {
    api: Api,
}

impl Offer {
    /// Each module: `type` (its resource type; its id as well), and whatever else a request for one holds; `rule` adds to
    /// its rule, `null` for none.
    async fn new(modules: Value) -> Self {
        let api = Api::new().await;
        api.make("/env-types", json!({"id": "dev"})).await;
        api.make("/projects", json!({"id": "shop"})).await;
        api.make(
            "/projects/shop/envs",
            json!({"id": "test", "env_type_id": "dev"}),
        )
        .await;
        let modules = modules.as_array().expect("modules").clone();
        for module in &modules {
            // A type may have several modules.
            api.post(
                "/resource-types",
                json!({"id": module["type"], "output_schema": {}}),
            )
            .await;
        }
        let offer = Self { api };
        for module in modules {
            offer.module(module).await;
        }
        offer
    }

    async fn module(&self, module: Value) {
        let mut body = module.as_object().expect("an object").clone();
        let kind = body.remove("type").expect("a type");
        let rule = body.remove("rule");
        let id = body.entry("id").or_insert_with(|| kind.clone()).clone();
        body.insert("resource_type".into(), kind);
        if !body.contains_key("module_source") {
            body.insert("module_source".into(), json!("/m"));
        }
        self.api.make("/modules", Value::Object(body)).await;
        if rule != Some(Value::Null) {
            let mut rule = rule
                .and_then(|rule| rule.as_object().cloned())
                .unwrap_or_default();
            rule.insert("module_id".into(), id);
            self.api.make("/module-rules", Value::Object(rule)).await;
        }
    }

    async fn provider(&self, id: &str, configuration: Value) {
        let body = json!({"provider_type": "aws", "id": id, "source": "hashicorp/aws", "version_constraint": "~> 5.0", "configuration": configuration});
        self.api.make("/module-providers", body).await;
    }

    async fn ask(&self, more: Value) -> (u16, Value) {
        let mut body = json!({"project_id": "shop", "env_id": "test", "mode": "deploy"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        self.api.post("/deployments", body).await
    }

    /// What a manifest would change.
    async fn try_out(&self, manifest: Value) -> Graph {
        let (status, answer) = self
            .ask(json!({"manifest": manifest, "is_dry_run": true}))
            .await;
        assert_eq!(status, 200, "{answer}");
        Graph::of(&answer["windlass"]["graph"], &answer["diff"])
    }

    /// Why a manifest is refused.
    async fn refused(&self, manifest: Value) -> String {
        let (status, answer) = self.ask(json!({"manifest": manifest})).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["error"], "HTTP-400");
        let details = answer["details"]["diagnostics"].to_string();
        format!(
            "{} {details}",
            answer["message"].as_str().expect("a message")
        )
    }

    /// Accepts a deployment, which nobody carries out, and stops it; its id.
    async fn deploy(&self, manifest: Value) -> String {
        let (status, made) = self.ask(json!({"manifest": manifest})).await;
        assert_eq!(status, 201, "{made}");
        let id = made["id"].as_str().expect("id").to_owned();
        self.cancel(&id).await;
        id
    }

    async fn cancel(&self, id: &str) {
        let (status, _) = self
            .api
            .post(&format!("/deployments/{id}/actions/cancel"), json!({}))
            .await;
        assert_eq!(status, 202);
    }

    /// The program of a deployment.
    async fn program(&self, id: &str) -> String {
        let reply = self
            .api
            .plain("GET", &format!("/deployments/{id}/tf"))
            .await;
        assert_eq!(reply.status, 200);
        String::from_utf8(reply.body).expect("text")
    }

    /// The program that a manifest becomes.
    async fn compiled(&self, manifest: Value) -> String {
        let id = self.deploy(manifest).await;
        self.program(&id).await
    }
}

/// A graph of an answer: nodes by their keys in short (`TYPE.CLASS@ID`).
struct Graph {
    nodes: Map<String, Value>,
    changes: Vec<(String, String)>,
}

impl Graph {
    fn of(graph: &Value, diff: &Value) -> Self {
        let short = |node: &Value| {
            let key = node["key"].as_str().expect("a key");
            let parts: Vec<&str> = key
                .splitn(3, ',')
                .filter_map(|part| part.split_once('='))
                .map(|(_, value)| value)
                .collect();
            format!("{}.{}@{}", parts[0], parts[1], parts[2])
        };
        let nodes = graph["nodes"].as_array().expect("nodes");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Self {
            nodes: nodes
                .iter()
                .map(|node| (short(node), node.clone()))
                .collect(),
            changes: diff["changes"]
                .as_array()
                .expect("changes")
                .iter()
                .map(|change| (text(&change["type"]), text(&change["resource"])))
                .collect(),
        }
    }

    /// Keys of the resources.
    fn resources(&self) -> Vec<&str> {
        self.nodes
            .keys()
            .map(String::as_str)
            .filter(|key| !key.starts_with("workload."))
            .collect()
    }

    /// Aliases of the edges from one node to another.
    fn edges(&self, from: &str, to: &str) -> Vec<&str> {
        let target = &self.nodes[to]["id"];
        let edges = self.nodes[from]["edges"].as_object().expect("edges");
        edges
            .iter()
            .filter(|(_, id)| *id == target)
            .map(|(alias, _)| alias.as_str())
            .collect()
    }
}

/// A manifest of one workload `w`.
fn workload(resources: Value) -> Value {
    json!({"workloads": {"w1": {"resources": resources}}})
}

/// Text with single spaces only: alignment means nothing.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
