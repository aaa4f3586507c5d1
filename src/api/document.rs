//! The document of the API (OpenAPI 3.1), served at `/openapi.json`: made of the handlers and the types on the wire.
//!
//! What all routes have in common is said here once, from the same table that decides it: who may call them
//! ([`need`]), what every refusal looks like, and what the parts of paths are.

use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use super::auth::{Need, need};
use crate::wire::words::{DeploymentStatus, ModeFilter};

/// The parts of paths.
const PARTS: &[(&str, &str)] = &[
    ("org", "The organisation"),
    ("project", "The project, by its id"),
    ("env", "The environment, by its id in the project"),
    ("id", "The object, by its id"),
    ("type", "The type of the provider"),
    ("version", "The version of the module, by its id"),
    ("name", "The metadata key"),
    (
        "digest",
        "`sha256:` and the digest of the code in hexadecimal",
    ),
    ("stream", "`logs` or `outputs`"),
    (
        "node",
        "The node of the graph: its hash, or `TYPE.CLASS@ID`",
    ),
    ("user", "The user, by its id"),
    ("role", "The role, by its id"),
    ("membership", "The membership, by its id"),
    ("code", "The code that the device shows"),
    ("hash", "The hash of the token"),
    ("rule", "The rule, by its id"),
    (
        "ticket",
        "What lets one read the provider mirror, for a day",
    ),
    ("host", "The host in the address of the provider"),
    ("namespace", "The owner in the address of the provider"),
    ("provider", "The type in the address of the provider"),
    (
        "document",
        "`index.json`, `VERSION.json` or `VERSION_OS_ARCH.zip`",
    ),
];

/// Refusals that do not depend on what a handler does: a bad request, too many, a fault, a database that is away.
const ALWAYS: &[&str] = &["400", "429", "500", "503"];

/// What this server speaks, as an OpenAPI document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, body = serde_json::Value, description = "This document"))
)]
pub(crate) async fn openapi() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// The whole document.
fn document() -> Value {
    let made = super::routes().into_document();
    let mut document = serde_json::to_value(made).expect("it is made of texts");
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Windlass",
        "description": "An open, self-hosted platform orchestrator.",
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["security"] = json!([{"token": []}, {"session": []}]);
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "A token of a person or of a service user"},
        "session": {"type": "apiKey", "in": "cookie", "name": super::auth::COOKIE},
    });
    document["components"]["responses"] = json!({"Refusal": {
        "description": "Why the request was refused",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }});
    // Types that only parameters name are not collected with the routes.
    for (name, schema) in [
        ("ModeFilter", ModeFilter::schema()),
        ("DeploymentStatus", DeploymentStatus::schema()),
    ] {
        document["components"]["schemas"][name] = json!(schema);
    }
    // Unknown fields are ignored nearly everywhere; types that forbid them are read by clients of ours as well.
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        schemas.values_mut().for_each(allow_more);
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            let methods = item.as_object_mut().into_iter().flatten();
            for (method, operation) in methods {
                if let Some(operation) = operation.as_object_mut() {
                    complete(path, method, operation);
                }
            }
        }
    }
    document
}

/// Adds what an operation has in common with others.
fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let is_open = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .is_ok_and(|method| need(&method, path) == Need::Open);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let within = parts.strip_prefix(&["orgs", "{org}"]).unwrap_or(&parts);
    let word = |part: &&str| part.trim_matches(['{', '}']).replace(['.', '_'], "-");
    let words: Vec<String> = within.iter().map(word).collect();
    let named = if within.is_empty() {
        "org".to_owned()
    } else {
        words.join("-")
    };
    operation.insert("operationId".into(), json!(format!("{method}-{named}")));
    operation.insert(
        "tags".into(),
        json!([words.first().map_or("orgs", String::as_str)]),
    );
    if is_open {
        operation.insert("security".into(), json!([]));
    }
    let given = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(list) = given.as_array_mut() {
        let of_path = parts
            .iter()
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for (position, name) in of_path.enumerate() {
            let known = PARTS.iter().find(|(part, _)| *part == name);
            let said = known.map_or("", |(_, said)| *said);
            list.insert(position, json!({
                "name": name, "in": "path", "required": true, "description": said, "schema": {"type": "string"},
            }));
        }
    }
    let takes_body = operation.contains_key("requestBody");
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let mut refuse = |status: &str| {
        responses
            .entry(status)
            .or_insert_with(|| json!({"$ref": "#/components/responses/Refusal"}));
    };
    ALWAYS.iter().for_each(|status| refuse(status));
    if !is_open {
        ["401", "403"].into_iter().for_each(&mut refuse);
    }
    if path.contains('{') {
        refuse("404");
    }
    if takes_body {
        ["413", "415"].into_iter().for_each(refuse);
    }
}

fn allow_more(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.remove("additionalProperties");
            }
            map.values_mut().for_each(allow_more);
        }
        Value::Array(list) => list.iter_mut().for_each(allow_more),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
