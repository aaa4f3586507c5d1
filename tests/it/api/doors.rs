//! What holds for every route: JSON errors, private keys refused, bodies and queries read with care.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Api, assert_refused, refusal};

fn json_of(answer: (u16, String, Vec<u8>)) -> (u16, Value) {
    assert!(answer.1.contains("json"), "{}", answer.1);
    (answer.0, serde_json::from_slice(&answer.2).expect("JSON"))
}

fn request(method: &str, uri: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(uri)
}

#[tokio::test]
async fn alive_and_health_answer_without_anything() {
    let api = Api::new().await;
    let alive = api
        .raw(
            request("GET", "/alive")
                .body(Body::empty())
                .expect("request"),
        )
        .await;
    assert_eq!((alive.0, alive.2), (200, b"OK".to_vec()));
    let health = api
        .raw(
            request("GET", "/health")
                .body(Body::empty())
                .expect("request"),
        )
        .await;
    assert_eq!(json_of(health).1["status"], json!("OK"));
}

#[tokio::test]
async fn an_unknown_path_and_an_internal_one_answer_404_as_json() {
    let api = Api::new().await;
    for uri in [
        "/nothing",
        "/internal/orgs",
        "/orgs/default/nothing",
        "/orgs/default/projects/a/b/c",
    ] {
        let answer = api
            .raw(request("GET", uri).body(Body::empty()).expect("request"))
            .await;
        assert_eq!(json_of(answer), refusal(404, "Not Found"), "{uri}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_has_not_answers_405_as_json() {
    let api = Api::new().await;
    let answer = api
        .raw(
            request("PUT", "/orgs/default/projects")
                .body(Body::empty())
                .expect("request"),
        )
        .await;
    assert_eq!(json_of(answer), refusal(405, "Method Not Allowed"));
}

#[tokio::test]
async fn a_private_key_is_refused_on_every_route_and_told_to_be_compromised() {
    let api = Api::new().await;
    for uri in ["/orgs/default/projects", "/nothing"] {
        let asked = request("GET", uri)
            .header("DecryptKey", "AGE-SECRET-KEY-1SECRET")
            .body(Body::empty())
            .expect("request");
        let (status, body) = json_of(api.raw(asked).await);
        assert_eq!(status, 400);
        let message = body["message"].as_str().expect("message");
        assert!(message.contains("treat it as compromised"), "{message}");
        assert!(!body.to_string().contains("1SECRET"));
    }
}

#[tokio::test]
async fn the_organisation_is_there_and_another_is_not() {
    let api = Api::new().await;
    let (status, body) = api.get("").await;
    assert_eq!(status, 200);
    assert_eq!(
        super::masked(&body),
        json!({
            "id": "default", "uuid": "UUID", "created_at": "TIME", "created_by": "UUID",
            "status": "active", "plan": "custom"
        })
    );
    let other = api
        .raw(
            request("GET", "/orgs/other")
                .body(Body::empty())
                .expect("request"),
        )
        .await;
    assert_eq!(json_of(other), refusal(404, "organization not found"));
}

#[tokio::test]
async fn what_is_only_checked_is_judged_and_not_kept() {
    let api = Api::new().await;
    let everything = [
        ("/env-types", json!({"id": "dev"})),
        ("/projects", json!({"id": "shop"})),
        (
            "/projects/shop/envs",
            json!({"id": "dev", "env_type_id": "dev"}),
        ),
        (
            "/resource-types",
            json!({"id": "note", "output_schema": {"type": "object", "properties": {}}}),
        ),
        (
            "/module-providers",
            json!({"id": "main", "provider_type": "time", "source": "hashicorp/time", "version_constraint": "~> 0.1"}),
        ),
        (
            "/modules",
            json!({"id": "note", "resource_type": "note", "module_source": "inline", "module_source_code": ""}),
        ),
        ("/module-rules", json!({"module_id": "note"})),
        (
            "/runners",
            json!({"id": "mine", "runner_configuration": {"type": "process"}, "state_storage_configuration": {"type": "local"}}),
        ),
        ("/runner-rules", json!({"runner_id": "mine"})),
        (
            "/metadata-keys",
            json!({"name": "Cost-Centre", "schema": {"type": "string"}}),
        ),
    ];
    let list = async |path: &str| api.get(path).await.1["items"].clone();
    for (path, body) in everything {
        let before = list(path).await;
        let (status, answer) = api.post(&format!("{path}?check=true"), body).await;
        assert_eq!((status, &answer), (204, &Value::Null), "{path}");
        assert_eq!(list(path).await, before, "{path}: nothing is kept");
        let (status, answer) = api
            .post(&format!("{path}?check=true"), json!({"id": "NO"}))
            .await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
}

pub(crate) async fn creating_in_an_organisation_that_is_not_there_is_a_conflict() {
    let api = Api::new().await;
    for (path, body) in [
        ("env-types", json!({"id": "dev"})),
        ("projects", json!({"id": "shop"})),
        (
            "module-providers",
            json!({"provider_type": "aws", "id": "default", "source": "hashicorp/aws", "version_constraint": "~> 1.0"}),
        ),
    ] {
        let answer = api
            .raw(
                request("POST", &format!("/orgs/other/{path}"))
                    .body(Body::from(body.to_string()))
                    .expect("request"),
            )
            .await;
        assert_eq!(
            json_of(answer),
            refusal(409, "organization not found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_and_a_missing_content_type_is_json() {
    let api = Api::new().await;
    for (body, kind, status) in [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("{}", "text/plain", 415),
        ("", "application/json", 400),
    ] {
        let asked = request("POST", "/orgs/default/projects")
            .header("content-type", kind)
            .body(Body::from(body))
            .expect("request");
        assert_eq!(
            json_of(api.raw(asked).await).0,
            status,
            "{body:?} as {kind}"
        );
    }
    let asked = request("POST", "/orgs/default/projects")
        .body(Body::from(r#"{"id":"shop"}"#))
        .expect("request");
    assert_eq!(json_of(api.raw(asked).await).0, 201);
}

#[tokio::test]
async fn nested_brackets_do_not_kill_the_server() {
    let api = Api::new().await;
    let body = format!("{{\"id\":{}{}}}", "[".repeat(40_000), "]".repeat(40_000));
    let asked = request("POST", "/orgs/default/projects")
        .body(Body::from(body))
        .expect("request");
    assert_eq!(json_of(api.raw(asked).await).0, 400);
}

#[tokio::test]
async fn unknown_fields_are_ignored_but_not_among_our_own() {
    let api = Api::new().await;
    api.make("/projects", json!({"id": "shop", "colour": "red"}))
        .await;
    let answer = api
        .post(
            "/projects",
            json!({"id": "other", "windlass": {"ownr": "me"}}),
        )
        .await;
    assert_refused(
        &answer,
        400,
        "\"/windlass/ownr\": unknown field `ownr`",
        &["/windlass/ownr"],
    );
}

#[tokio::test]
async fn two_mistakes_are_told_at_once() {
    let api = Api::new().await;
    let answer = api
        .post("/projects", json!({"id": "A", "display_name": " x"}))
        .await;
    assert_refused(
        &answer,
        400,
        "id must be a valid identifier; display_name contains invalid characters",
        &["/id", "/display_name"],
    );
}

#[tokio::test]
async fn a_page_token_that_was_not_given_out_is_refused() {
    let api = Api::new().await;
    let (status, body) = api.get("/projects?page=zzz").await;
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("Invalid page token"))
    );
    let (status, _) = api.get("/projects?page=").await;
    assert_eq!(status, 200);
    let (status, _) = api.get("/projects?per_page=many").await;
    assert_eq!(status, 400);
}
