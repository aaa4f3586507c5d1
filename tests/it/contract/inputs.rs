//! Bad input, made from the document: whatever a route says that it takes is given wrongly, and the answer is a refusal
//! that names the field and the rule.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Document, Operation};
use super::http::{Reply, send};
use crate::api::Api;

pub(super) const JSON: (&str, &str) = ("content-type", "application/json");

/// An organisation with one of everything, and what the parts of paths are called in it.
pub(super) struct World {
    pub(super) api: Api,
    pub(super) document: Document,
    /// What each of them was made of, by path.
    pub(super) bodies: BTreeMap<String, Value>,
    names: BTreeMap<(&'static str, &'static str), String>,
}

impl World {
    pub(super) async fn new() -> Self {
        let api = Api::new().await;
        let mut made = BTreeMap::new();
        let mut bodies = BTreeMap::new();
        let (_, roles) = api.get("/roles").await;
        let role = roles["items"][0]["id"].clone();
        for (path, body) in [
            ("/env-types", json!({"id": "dev"})),
            ("/projects", json!({"id": "shop"})),
            (
                "/projects/shop/envs",
                json!({"id": "test", "env_type_id": "dev"}),
            ),
            ("/resource-types", json!({"id": "db", "output_schema": {}})),
            (
                "/module-providers",
                json!({"id": "main", "provider_type": "aws", "source": "hashicorp/aws", "version_constraint": "~> 1.0"}),
            ),
            (
                "/modules",
                json!({"id": "small", "resource_type": "db", "module_source": "inline", "module_source_code": ""}),
            ),
            ("/module-rules", json!({"module_id": "small"})),
            (
                "/runners",
                json!({"id": "mine", "runner_configuration": {"type": "process"}}),
            ),
            (
                "/runner-rules",
                json!({"runner_id": "mine", "project_id": "other"}),
            ),
            (
                "/metadata-keys",
                json!({"name": "Owner", "schema": {"type": "string"}}),
            ),
            (
                "/deployments",
                json!({"project_id": "shop", "env_id": "test", "mode": "deploy", "manifest": {"workloads": {"web": {"resources": {"db": {"type": "db"}}}}}}),
            ),
            (
                "/users",
                json!({"display_name": "Ann", "roles": [{"id": role}]}),
            ),
            (
                "/invitations",
                json!({"email_address": "ann@acme.example", "membership_subject_type": "role", "membership_subject": role}),
            ),
            (
                "/service-users",
                json!({"display_name": "ci", "expiry_in_days": 1}),
            ),
            (
                "/trust-rules",
                json!({"display_name": "jobs", "issuer": "https://issuer.example.com", "claims": {"sub": "a"}, "roles": [{"id": role}]}),
            ),
        ] {
            made.insert(path, api.make(path, body.clone()).await);
            bodies.insert(format!("/orgs/default{path}"), body);
        }
        let (_, memberships) = api.get("/memberships").await;
        let membership = memberships["items"][0]["id"].as_str().expect("an id");
        bodies.insert(
            "/auth/oidc/token".into(),
            json!({"organization": "default", "token": "a.b.c"}),
        );
        let of = |path: &str, field: &str| made[path][field].as_str().expect("text").to_owned();
        let names = BTreeMap::from([
            (("", "org"), "default".to_owned()),
            (("", "project"), "shop".to_owned()),
            (("", "env"), "test".to_owned()),
            (("", "stream"), "logs".to_owned()),
            (("env-types", "id"), "dev".to_owned()),
            (("resource-types", "id"), "db".to_owned()),
            (("module-providers", "type"), "aws".to_owned()),
            (("module-providers", "id"), "main".to_owned()),
            (("modules", "id"), "small".to_owned()),
            (("modules", "version"), of("/modules", "version_id")),
            (("module-rules", "id"), of("/module-rules", "id")),
            (
                ("module-sources", "digest"),
                format!("sha256:{}", "0".repeat(64)),
            ),
            (("runners", "id"), "mine".to_owned()),
            (("runner-rules", "id"), of("/runner-rules", "id")),
            (("metadata-keys", "name"), "Owner".to_owned()),
            (("deployments", "id"), of("/deployments", "id")),
            (("", "user"), of("/users", "id")),
            (("", "role"), role.as_str().expect("an id").to_owned()),
            (("memberships", "id"), membership.to_owned()),
            (("invitations", "id"), of("/invitations", "id")),
            (("service-users", "id"), of("/service-users", "id")),
            (("trust-rules", "id"), of("/trust-rules", "id")),
        ]);
        let document = Document(
            send(api.address, "GET", "/openapi.json", &[], None)
                .await
                .json(),
        );
        Self {
            api,
            document,
            bodies,
            names,
        }
    }

    /// The path of an operation in this world; `named` may say something else for one part.
    pub(super) fn path(&self, path: &str, named: impl Fn(&str) -> Option<String>) -> String {
        let noun = path.split('/').nth(3).unwrap_or_default();
        let parts = path.split('/').map(|part| {
            let Some(name) = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            else {
                return part.to_owned();
            };
            named(name)
                .or_else(|| self.names.get(&(noun, name)).cloned())
                .or_else(|| self.names.get(&("", name)).cloned())
                .unwrap_or_else(|| "00000000-0000-7000-8000-000000000000".to_owned())
        });
        parts.collect::<Vec<_>>().join("/")
    }

    pub(super) async fn send(
        &self,
        operation: &Operation,
        query: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Reply {
        let target = format!("{}{query}", self.path(&operation.path, |_| None));
        send(self.api.address, &operation.method, &target, headers, body).await
    }

    /// Every route but the streams, which stay open until a deployment ends, and nothing ends here.
    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut all = self.document.operations();
        all.retain(|operation| !operation.path.ends_with("/events"));
        all
    }
}

/// Values of another type than the one of a schema, and values that break its rule.
pub(super) fn wrong(document: &Document, schema: &Value) -> Vec<Value> {
    let either = document.either(schema);
    let [one] = either[..] else {
        return vec![json!(7)];
    };
    if !document.words(schema).is_empty() {
        return vec![json!(7), json!("no-such-word")];
    }
    let kind = match &one["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .find(|kind| *kind != "null")
            .cloned()
            .unwrap_or_default(),
        kind => kind.clone(),
    };
    match kind.as_str().unwrap_or_default() {
        "string" => {
            let mut all = vec![json!(7), json!({}), json!([])];
            if one["pattern"].is_string() {
                all.push(json!("\u{1}!"));
            }
            if let Some(max) = one["maxLength"].as_u64() {
                all.push(json!("a".repeat(usize::try_from(max).expect("small") + 1)));
            }
            if let Some(min) = one["minLength"].as_u64() {
                all.push(json!("a".repeat(usize::try_from(min).expect("small") - 1)));
            }
            all
        }
        "object" | "array" | "boolean" | "integer" | "number" => vec![json!("x"), json!("")],
        // Anything at all.
        _ if one["properties"].is_object() || one["allOf"].is_array() => vec![json!("x")],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_field_of_a_wrong_type_or_against_its_rule_is_named() {
    let world = World::new().await;
    let mut tried = 0;
    for operation in world
        .operations()
        .iter()
        .filter(|operation| operation.takes_json())
    {
        let schema = &operation.said["requestBody"]["content"]["application/json"]["schema"];
        for one in world.document.either(schema) {
            let (fields, required) = world.document.properties(one);
            for (field, rule) in &fields {
                let mut values = wrong(&world.document, rule);
                if required.contains(field) {
                    values.push(Value::Null);
                }
                for value in values {
                    let what = format!("{} {field}={value}", operation.name());
                    let made_of = world.bodies.get(&world.path(&operation.path, |_| None));
                    let is_new = operation.method == "POST";
                    let mut body = made_of.filter(|_| is_new).cloned().unwrap_or(json!({}));
                    body[field] = value.clone();
                    let body = body.to_string();
                    let reply = world
                        .send(operation, "", &[JSON], Some(body.as_bytes()))
                        .await;
                    assert_eq!(reply.status, 400, "{what}: {}", reply.json());
                    reply.is_refusal(&what);
                    let answer = reply.json();
                    let found = answer["details"]["diagnostics"]
                        .as_array()
                        .into_iter()
                        .flatten();
                    let is_named = found.clone().any(|diagnostic| {
                        let at = diagnostic["places"][0]["pointer"]
                            .as_str()
                            .unwrap_or_default();
                        at.starts_with(&format!("/{field}"))
                            && diagnostic["detail"]
                                .as_str()
                                .is_some_and(|text| text.len() > 8)
                    });
                    assert!(is_named, "{what}: {answer}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 100, "only {tried} were tried");
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_on_every_route() {
    let world = World::new().await;
    for operation in world
        .operations()
        .iter()
        .filter(|operation| operation.takes_json())
    {
        for (kind, body, status) in [
            ("text/plain", "{}", 415),
            ("application/x-www-form-urlencoded", "a=b", 415),
            ("application/json", "{\"id\": ", 400),
            ("application/json", "[1]", 400),
            ("application/json", "\"x\"", 400),
            ("application/json", "{\"id\": \"\\ud800\"}", 400),
        ] {
            let what = format!("{} {kind} {body}", operation.name());
            let reply = world
                .send(
                    operation,
                    "",
                    &[("content-type", kind)],
                    Some(body.as_bytes()),
                )
                .await;
            assert_eq!(reply.status, status, "{what}: {}", reply.json());
            reply.is_refusal(&what);
            assert!(
                operation.answers(&status.to_string()),
                "{what} is documented"
            );
        }
        let not_utf_8 = world
            .send(operation, "", &[JSON], Some(b"{\"id\": \"\xff\"}"))
            .await;
        assert_eq!(not_utf_8.status, 400, "{}", operation.name());
    }
}

#[tokio::test]
async fn an_archive_that_says_it_is_something_else_is_refused() {
    let world = World::new().await;
    let path = format!("/orgs/default/module-sources/sha256:{}", "0".repeat(64));
    for kind in [
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
    ] {
        let headers = [("content-type", kind)];
        let reply = send(world.api.address, "PUT", &path, &headers, Some(b"x")).await;
        assert_eq!(reply.status, 415, "{kind}");
        reply.is_refusal(kind);
        let said = reply.json()["message"].to_string();
        assert!(said.contains("application/x-tar"), "{said}");
    }
    let headers = [("content-type", "Application/X-Tar; charset=binary")];
    let reply = send(world.api.address, "PUT", &path, &headers, Some(b"x")).await;
    assert_eq!(reply.status, 400, "{}", reply.json());
}

/// As it is on the wire: the answer comes although nobody reads the rest.
#[tokio::test]
async fn who_sends_too_much_is_told_so() {
    let world = World::new().await;
    let body = vec![b' '; 17 * 1024 * 1024];
    let path = "/orgs/default/projects";
    let reply = send(world.api.address, "POST", path, &[JSON], Some(&body)).await;
    assert_eq!(reply.status, 413);
    reply.is_refusal("too much");
    // Nothing is read at all of what says that it is far too much.
    let headers = [JSON, ("content-length", "99999999999")];
    let reply = send(world.api.address, "POST", path, &headers, None).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_on_every_route_that_takes_one() {
    let world = World::new().await;
    let body = vec![b' '; 16 * 1024 * 1024 + 1];
    for operation in world
        .operations()
        .iter()
        .filter(|one| one.said["requestBody"].is_object())
    {
        let request = axum::http::Request::builder()
            .method(operation.method.as_str())
            .uri(world.path(&operation.path, |_| None))
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.clone()))
            .expect("a request");
        let (status, kind, bytes) = world.api.without_a_port(request).await;
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(status, 413, "{}: {answer}", operation.name());
        assert!(
            kind.contains("json") && answer.contains("16777216"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_nul_in_a_body_is_refused_because_no_database_keeps_it() {
    let world = World::new().await;
    for body in [
        json!({"id": "shop2", "display_name": "a\u{0}b"}),
        json!({"id": "shop2", "windlass": {"owner": "a\u{0}"}}),
    ] {
        let reply = send(
            world.api.address,
            "POST",
            "/orgs/default/projects",
            &[JSON],
            Some(body.to_string().as_bytes()),
        )
        .await;
        assert_eq!(reply.status, 400, "{body}");
        reply.is_refusal("NUL");
    }
    let code = json!({"id": "nul", "resource_type": "db", "module_source": "inline", "module_source_code": "#\u{0}"});
    let reply = send(
        world.api.address,
        "POST",
        "/orgs/default/modules",
        &[JSON],
        Some(code.to_string().as_bytes()),
    )
    .await;
    assert_eq!(reply.status, 400);
}
