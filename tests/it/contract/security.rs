//! Who may see what, for every route of the document: nobody without a token, and others than the organisation's own
//! nothing of it.

use serde_json::{Value, json};

use super::document::Document;
use super::http::{Reply, send};
use crate::server::{Server, TOKEN};
use crate::support::Place;

/// What answers without a token. Whoever adds a route here says why.
const OPEN: &[(&str, &str)] = &[
    ("GET", "/alive"),             // probes have no tokens
    ("GET", "/auth/sso/callback"), // the proof is in the query, and the other half in a cookie
    ("GET", "/health"),            // the same
    ("GET", "/metrics"),           // names nothing and nobody
    ("GET", "/openapi.json"),      // says nothing that the program does not
    (
        "GET",
        "/provider-mirror/{ticket}/{host}/{namespace}/{provider}/{document}", // the proof is in the path
    ),
    ("POST", "/agents/enrol"),    // the token that enrols is the proof
    ("POST", "/auth/device"),     // how one gets a token
    ("POST", "/auth/link"),       // the same; the secret is in the body
    ("POST", "/auth/login"),      // says how one logs in here
    ("POST", "/auth/oidc/token"), // how one gets a token; the proof is in the body
    ("POST", "/auth/register"),   // says how one logs in here
    ("POST", "/auth/sso/login"),  // how one gets a session
    ("POST", "/devicelogins/{id}/actions/poll"), // the secret is in the query
];

/// The other organisation's own administrator.
const OTHER: &str = "SU-token-of-another-organisation-987654321";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

struct Served {
    server: Server,
    document: Document,
}

impl Served {
    async fn new(place: &Place) -> Self {
        let server = Server::start(place, &[]);
        let document = send(server.address(), "GET", "/openapi.json", &[], None)
            .await
            .json();
        Self {
            server,
            document: Document(document),
        }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Reply {
        let token = token.map(bearer);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let body = body.map(Value::to_string);
        send(
            self.server.address(),
            method,
            path,
            &headers,
            body.as_deref().map(str::as_bytes),
        )
        .await
    }
}

/// The path of a route with names that are in the world below.
fn named(path: &str) -> String {
    path.replace("{org}", "acme")
        .replace("{project}", "shop")
        .replace("{env}", "dev")
        .replace("{type}", "aws")
        .replace("{name}", "Owner")
        .replace("{stream}", "logs")
        .replace("/env-types/{id}", "/env-types/dev")
        .replace("/modules/{id}", "/modules/small")
        .replace("/runners/{id}", "/runners/local")
        .replace("{id}", "01900000-0000-7000-8000-000000000009")
        .replace("{version}", "01900000-0000-7000-8000-000000000009")
        .split('/')
        .map(|part| {
            if part.starts_with('{') {
                "something"
            } else {
                part
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_route_refuses_who_brings_no_token_or_one_of_nobody() {
    let place = Place::without_engine();
    let served = Served::new(&place).await;
    let mut open = Vec::new();
    for operation in served.document.operations() {
        let path = named(&operation.path);
        let method = operation.method.as_str();
        let mut refused = 0;
        for token in [None, Some("SU-of-nobody"), Some(""), Some("x y")] {
            let reply = served.call(method, &path, token, Some(&json!({}))).await;
            let what = operation.name();
            if reply.status == 401 {
                reply.is_refusal(&what);
                assert!(reply.header("www-authenticate").is_some(), "{what}");
                assert!(operation.answers("401"), "{what}: documented");
                refused += 1;
            }
        }
        let is_open = operation.said["security"] == json!([]);
        assert_eq!(
            is_open,
            refused == 0,
            "{}: said to be open",
            operation.name()
        );
        match refused {
            0 => open.push((operation.method.clone(), operation.path.clone())),
            _ => assert_eq!(refused, 4, "{}: refuses only some", operation.name()),
        }
        // A header that anybody can send proves nothing.
        if refused > 0 {
            let said = [
                ("from", "00000000-0000-0000-0000-000000000000"),
                ("po-org-id", "acme"),
            ];
            let reply = send(served.server.address(), method, &path, &said, None).await;
            assert_eq!(reply.status, 401, "{}", operation.name());
        }
    }
    open.sort();
    let expected: Vec<(String, String)> = OPEN
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(open, expected);
    for path in [
        "/internal/orgs",
        "/admin/orgs",
        "/internal/orgs/acme/projects",
        "/nothing",
    ] {
        let reply = served.call("GET", path, None, None).await;
        assert_eq!(reply.status, 404, "{path}");
        reply.is_refusal(path);
    }
}

#[tokio::test]
async fn another_organisation_sees_nothing_on_any_route() {
    let place = Place::without_engine();
    crate::server::bootstrap(&place, "other", OTHER);
    let served = Served::new(&place).await;
    for (path, body) in [
        ("/env-types", json!({"id": "dev"})),
        ("/projects", json!({"id": "shop"})),
        (
            "/projects/shop/envs",
            json!({"id": "dev", "env_type_id": "dev"}),
        ),
        ("/resource-types", json!({"id": "db", "output_schema": {}})),
        (
            "/modules",
            json!({"id": "small", "resource_type": "db", "module_source": "inline", "module_source_code": ""}),
        ),
        (
            "/metadata-keys",
            json!({"name": "Owner", "schema": {"type": "string"}}),
        ),
    ] {
        let path = format!("/orgs/acme{path}");
        let reply = served.call("POST", &path, Some(TOKEN), Some(&body)).await;
        assert_eq!(reply.status, 201, "{path}: {}", reply.json());
    }
    let mine = served
        .call("GET", "/orgs/other/projects", Some(OTHER), None)
        .await;
    assert_eq!(
        (mine.status, mine.json()),
        (200, json!({"items": []})),
        "their own is empty"
    );
    let mut tried = 0;
    for operation in served.document.operations() {
        if !operation.path.starts_with("/orgs/{org}") {
            continue;
        }
        let path = named(&operation.path);
        let reply = served
            .call(&operation.method, &path, Some(OTHER), Some(&json!({})))
            .await;
        let what = format!(
            "{}: {}",
            operation.name(),
            String::from_utf8_lossy(&reply.body)
        );
        assert_eq!(reply.status, 403, "{what}");
        reply.is_refusal(&what);
        let answer = reply.json();
        assert_eq!(answer["message"], "Forbidden", "{what}");
        let check = &answer["details"]["failed_checks"][0];
        assert_eq!(check["resource"], "organization:acme", "{what}");
        // The same words for one that does not exist: whether it does is nobody else's business.
        let nowhere = path.replacen("/acme", "/nowhere", 1);
        let reply = served
            .call(&operation.method, &nowhere, Some(OTHER), Some(&json!({})))
            .await;
        assert_eq!(
            reply.json().to_string(),
            answer.to_string().replace("acme", "nowhere"),
            "{what}"
        );
        tried += 1;
    }
    assert!(tried > 60, "only {tried} were tried");
}

#[tokio::test]
async fn e20_i01_nobody_sees_nothing_and_a_new_organisation_is_empty() {
    let place = Place::without_engine();
    let served = Served::new(&place).await;
    for path in ["/deployments", "/last-deployments"] {
        let path = format!("/orgs/acme{path}");
        assert_eq!(served.call("GET", &path, None, None).await.status, 401);
        let reply = served.call("GET", &path, Some(TOKEN), None).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"items": []})));
    }
    let nobody = "/orgs/acme/deployments/00000000-0000-7000-8000-000000000000";
    assert_eq!(
        served.call("GET", nobody, Some(TOKEN), None).await.status,
        404
    );
}
