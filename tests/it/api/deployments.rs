//! Deployments as far as they go without a worker: accepted, looked at, followed, stopped.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, Api, assert_refused, masked, refusal};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// An environment that offers a database without a provider.
async fn shop() -> Api {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    api.make("/resource-types", json!({"id": "db", "output_schema": {}}))
        .await;
    api.make(
        "/modules",
        json!({"id": "small", "resource_type": "db", "module_source": "inline", "module_source_code": ""}),
    )
    .await;
    api.make("/module-rules", json!({"module_id": "small"}))
        .await;
    api
}

fn manifest() -> Value {
    json!({"workloads": {"web": {"resources": {"db": {"type": "db"}}}}})
}

fn deploy() -> Value {
    json!({"project_id": "shop", "env_id": "test", "mode": "deploy", "manifest": manifest()})
}

impl Api {
    async fn post_with_key(&self, body: &Value, key: &str) -> Answer {
        let request = Request::post("/orgs/default/deployments")
            .header("Idempotency-Key", key)
            .body(Body::from(body.to_string()))
            .expect("a request");
        let (status, _, bytes) = self.raw(request).await;
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn text(&self, path: &str) -> (u16, String, String) {
        let request = Request::get(format!("/orgs/default{path}"))
            .body(Body::empty())
            .expect("a request");
        let (status, kind, bytes) = self.raw(request).await;
        (status, kind, String::from_utf8(bytes).expect("text"))
    }
}

#[tokio::test]
async fn an_accepted_deployment_is_executing_and_reads_back_the_same() {
    let api = shop().await;
    let made = api.make("/deployments", deploy()).await;
    for (field, expected) in [
        ("org_id", json!("default")),
        ("project_id", json!("shop")),
        ("env_id", json!("test")),
        ("mode", json!("deploy")),
        ("plan_only", json!(false)),
        ("status", json!("executing")),
        ("status_message", json!("Deploying...")),
        ("manifest", manifest()),
        ("runner_id", json!("local")),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    assert_eq!(
        made["metrics"],
        json!({"num_workloads": 1, "num_resource_nodes": 1})
    );
    assert_eq!(masked(&made["id"]), json!("UUID"));
    assert_eq!(masked(&made["created_by"]), json!("UUID"));
    assert_eq!(masked(&made["created_at"]), json!("TIME"));
    assert_eq!(made.get("completed_at"), None);
    let id = made["id"].as_str().expect("id");
    assert_eq!(
        api.get(&format!("/deployments/{id}")).await,
        (200, made.clone())
    );

    let (_, page) = api.get("/deployments?project_id=shop&env_id=test").await;
    assert_eq!(page["items"][0]["id"], made["id"]);
    assert_eq!(page["items"][0].get("manifest"), None);
    assert_eq!(page["items"][0].get("runner_id"), None);
    let (_, page) = api.get("/last-deployments?state_change_only=true").await;
    assert_eq!(page["items"][0]["id"], made["id"]);
}

#[tokio::test]
async fn an_environment_that_is_not_there_is_a_conflict() {
    let api = shop().await;
    for (project, env) in [("nope", "test"), ("shop", "nope")] {
        let mut body = deploy();
        body["project_id"] = json!(project);
        body["env_id"] = json!(env);
        assert_eq!(
            api.post("/deployments", body).await,
            refusal(409, "environment not found")
        );
    }
}

#[tokio::test]
async fn a_second_deployment_is_refused_while_the_first_executes_unless_it_queues() {
    let api = shop().await;
    let first = api.make("/deployments", deploy()).await;
    let id = first["id"].as_str().expect("id");
    assert_eq!(
        api.post("/deployments", deploy()).await,
        refusal(409, &format!("deployment '{id}' is still executing"))
    );
    let mut queued = deploy();
    queued["windlass"] = json!({"on_busy": "queue"});
    let second = api.make("/deployments", queued).await;
    assert_eq!(second["status"], json!("executing"));
    assert_eq!(second["windlass"]["phase"], json!("queued"));
}

pub(crate) async fn the_same_key_is_the_same_deployment_and_never_another() {
    let api = shop().await;
    let (status, first) = api.post_with_key(&deploy(), "k").await;
    assert_eq!(status, 201);
    let (status, again) = api.post_with_key(&deploy(), "k").await;
    assert_eq!((status, &again["id"]), (201, &first["id"]));
    let mut other = deploy();
    other["manifest"] = json!({"workloads": {}});
    let (status, body) = api.post_with_key(&other, "k").await;
    assert_eq!(status, 409);
    assert_eq!(
        body["message"],
        json!("incorrect manifest or mode for this idempotency key")
    );
}

pub(crate) async fn request_mistakes_are_told_in_the_words_of_v1() {
    let api = shop().await;
    let with = |extra: Value| {
        let mut body = deploy();
        for (key, value) in extra.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    for (body, message, pointer) in [
        (
            with(json!({"manifest": null})),
            "manifest must be provided when mode is deploy",
            "/manifest",
        ),
        (
            with(json!({"mode": "rollback", "rollback_to_deployment_id": NOBODY})),
            "manifest cannot be provided when mode is rollback",
            "/manifest",
        ),
        (
            with(json!({"mode": "rollback", "manifest": null})),
            "rollback_to_deployment_id must be set when mode is rollback",
            "/rollback_to_deployment_id",
        ),
        (
            with(json!({"rollback_to_deployment_id": NOBODY})),
            "rollback_to_deployment_id must not be set when mode is deploy",
            "/rollback_to_deployment_id",
        ),
        (
            with(json!({"mode": "plan_only", "plan_only": false})),
            "plan_only cannot be false if mode is plan_only",
            "/plan_only",
        ),
        (
            with(json!({"encrypted_logs_recipient": "age1x"})),
            "encrypted_logs_recipient: failed to parse 'age1x' as age public key",
            "/encrypted_logs_recipient",
        ),
        (
            with(json!({"windlass": {"onbusy": "queue"}})),
            "\"/windlass/onbusy\": unknown field `onbusy`",
            "/windlass/onbusy",
        ),
        (with(json!({"mode": "destroy"})), "", "/mode"),
    ] {
        let answer = api.post("/deployments", body).await;
        let (status, found) = &answer;
        assert_eq!(*status, 400, "{found}");
        let text = found["message"].as_str().expect("a message");
        assert!(
            text.starts_with(message),
            "{text:?} does not begin with {message:?}"
        );
        assert_eq!(
            found["details"]["diagnostics"][0]["places"][0]["pointer"],
            json!(pointer),
            "{found}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_answers_200_and_leaves_nothing() {
    let api = shop().await;
    let mut body = deploy();
    body["is_dry_run"] = json!(true);
    let (status, answer) = api.post("/deployments", body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["runner_id"], json!("local"));
    assert!(answer["diff"]["changes"].is_array());
    assert_eq!(api.get("/deployments").await, (200, json!({"items": []})));
}

pub(crate) async fn a_deployment_that_is_not_there_is_missing_on_every_route() {
    let api = shop().await;
    let missing = refusal(404, &format!("deployment '{NOBODY}' not found"));
    for path in [
        "",
        "/tf",
        "/resources",
        "/graph",
        "/encrypted-outputs",
        "/events",
        "/streams/logs",
        "/actions/get-logs",
        "/actions/wait-for-complete?timeout_in_seconds=2",
    ] {
        assert_eq!(
            api.get(&format!("/deployments/{NOBODY}{path}")).await,
            missing,
            "{path}"
        );
    }
    for action in ["cancel", "diff"] {
        let path = format!("/deployments/{NOBODY}/actions/{action}");
        assert_eq!(api.post(&path, json!({})).await, missing, "{action}");
    }
}

pub(crate) async fn waiting_too_short_is_408_and_less_than_two_seconds_is_refused() {
    let api = shop().await;
    let made = api.make("/deployments", deploy()).await;
    let id = made["id"].as_str().expect("id");
    let path = format!("/deployments/{id}/actions/wait-for-complete?timeout_in_seconds=");
    assert_eq!(
        api.get(&format!("{path}2")).await,
        refusal(408, "deployment has not completed yet")
    );
    assert_eq!(api.get(&format!("{path}1")).await.0, 400);
}

#[tokio::test]
async fn a_cancelled_deployment_has_ended_and_its_events_end() {
    let api = shop().await;
    let made = api.make("/deployments", deploy()).await;
    let id = made["id"].as_str().expect("id");
    let (status, _) = api
        .post(&format!("/deployments/{id}/actions/cancel"), json!({}))
        .await;
    assert_eq!(status, 202);
    let (status, ended) = api
        .get(&format!("/deployments/{id}/actions/waitForComplete"))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        (&ended["status"], &ended["windlass"]["outcome"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert_eq!(masked(&ended["completed_at"]), json!("TIME"));

    let (status, kind, text) = api.text(&format!("/deployments/{id}/events")).await;
    assert_eq!((status, kind.as_str()), (200, "text/event-stream"));
    let positions: Vec<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect();
    assert!(positions.is_sorted() && !positions.is_empty(), "{text}");
    assert!(text.contains("\"ended\":\"cancelled\""), "{text}");

    // Whoever resumes at the last event gets nothing more, at once.
    let request = Request::get(format!("/orgs/default/deployments/{id}/events"))
        .header("Last-Event-ID", positions[positions.len() - 1].to_string())
        .body(Body::empty())
        .expect("a request");
    let (status, _, bytes) = api.raw(request).await;
    assert_eq!(
        (status, String::from_utf8_lossy(&bytes).contains("data:")),
        (200, false)
    );
}

#[tokio::test]
async fn outputs_and_logs_that_were_not_kept_are_missing() {
    let api = shop().await;
    let made = api.make("/deployments", deploy()).await;
    let id = made["id"].as_str().expect("id");
    assert_eq!(
        api.get(&format!("/deployments/{id}/encrypted-outputs"))
            .await,
        refusal(404, &format!("deployment '{id}' has not completed yet"))
    );
    assert_eq!(
        api.get(&format!("/deployments/{id}/actions/get-logs"))
            .await,
        refusal(404, &format!("logs for deployment {id} not found"))
    );
    let (status, stream) = api.get(&format!("/deployments/{id}/streams/logs")).await;
    assert_eq!(
        (status, &stream["frames"], &stream["complete"]),
        (200, &json!([]), &json!(false))
    );
    assert_eq!(
        api.get(&format!("/deployments/{id}/streams/other")).await.0,
        404
    );
}

pub(crate) async fn lists_are_filtered_and_wrong_filters_refused() {
    let api = shop().await;
    let made = api.make("/deployments", deploy()).await;
    for (query, count) in [
        ("by_mode=deploy&by_status=executing", 1),
        ("by_mode=plan_only&by_mode=rollback", 0),
        ("by_status=succeeded&by_status=failed", 0),
        ("project_id=shop", 1),
        ("project_id=blog", 0),
    ] {
        assert_eq!(
            api.listed(&format!("/deployments?{query}"), "id")
                .await
                .len(),
            count,
            "{query}"
        );
    }
    for query in ["by_mode=", "by_status=done"] {
        assert_eq!(
            api.get(&format!("/deployments?{query}")).await.0,
            400,
            "{query}"
        );
    }
    assert_refused(
        &api.get("/deployments?env_id=test").await,
        400,
        "app_id param required if env_id is specified",
        &["/project_id"],
    );
    for (query, text) in [
        ("env_id=test", "project_id param required"),
        ("project_id=shop", "env_id param required"),
    ] {
        assert_eq!(
            api.get(&format!("/active-resources?{query}")).await,
            refusal(400, text)
        );
    }
    let (_, active) = api
        .get("/active-resources?project_id=shop&env_id=test")
        .await;
    assert_eq!(active["items"][0]["deployment_id"], made["id"]);
    assert_eq!(
        api.get("/active-resources?project_id=shop&env_id=nope")
            .await,
        refusal(404, "no deployments found in env 'nope' of project 'shop'")
    );
    assert_eq!(
        api.delete("/modules/small").await,
        refusal(409, "module is used by one or more projects: shop")
    );
}

pub(crate) async fn an_environment_that_was_never_deployed_to_goes_at_once() {
    let api = shop().await;
    let (_, before) = api.get("/projects/shop/envs/test").await;
    let (status, begun) = api.delete("/projects/shop/envs/test").await;
    assert_eq!(status, 202);
    assert_eq!(begun["status"], json!("deleting"));
    assert_eq!(
        begun["status_message"],
        json!("Attempting to destroy environment")
    );
    assert_ne!(begun["updated_at"], before["updated_at"]);
    assert_eq!(
        api.get("/projects/shop/envs/test").await,
        refusal(404, "environment not found")
    );
    assert_eq!(
        api.delete("/projects/shop/envs/test").await,
        refusal(404, "environment not found")
    );
}

#[tokio::test]
async fn the_body_of_a_deletion_names_readers_and_nothing_else() {
    let api = shop().await;
    let path = "/projects/shop/envs/test";
    let answer = api
        .delete_with(path, json!({"log_recipients": [{"recipient": "age1x"}]}))
        .await;
    assert_eq!(answer.0, 400);
    let answer = api.delete_with(path, json!({"recipients": []})).await;
    assert_refused(
        &answer,
        400,
        "unknown field \"recipients\"",
        &["/recipients"],
    );
}

pub(crate) async fn rules_of_a_removed_environment_stay_unless_their_removal_is_asked_for() {
    for (query, left) in [("", 3), ("?deleteRules=true", 2)] {
        let api = shop().await;
        for scope in [
            json!({"module_id": "small", "project_id": "shop"}),
            json!({"module_id": "small", "project_id": "shop", "env_id": "test"}),
        ] {
            api.make("/module-rules", scope).await;
        }
        assert_eq!(
            api.delete(&format!("/projects/shop/envs/test{query}"))
                .await
                .0,
            202
        );
        assert_eq!(api.listed("/module-rules", "id").await.len(), left);
    }
}

#[tokio::test]
async fn two_deployments_of_an_environment_are_compared_and_of_different_ones_refused() {
    let api = shop().await;
    let first = api.make("/deployments", deploy()).await;
    let first = first["id"].as_str().expect("id");
    api.post(&format!("/deployments/{first}/actions/cancel"), json!({}))
        .await;
    let mut body = deploy();
    body["manifest"]["workloads"]["api"] = json!({});
    let second = api.make("/deployments", body).await;
    let second = second["id"].as_str().expect("id");
    for query in [String::new(), format!("?fromDeploymentId={first}")] {
        let path = format!("/deployments/{second}/actions/diff{query}");
        let (status, diff) = api.post(&path, json!({})).await;
        assert_eq!(status, 200, "{diff}");
        assert_eq!(
            (&diff["from_deployment_id"], &diff["to_deployment_id"]),
            (&json!(first), &json!(second))
        );
        assert_eq!(diff["changes"][0]["summary"], json!("workload added"));
        assert_eq!(
            (
                &diff["num_added"],
                &diff["num_changed"],
                &diff["num_removed"]
            ),
            (&json!(1), &json!(0), &json!(0))
        );
    }
    api.make(
        "/projects/shop/envs",
        json!({"id": "other", "env_type_id": "dev"}),
    )
    .await;
    let mut body = deploy();
    body["env_id"] = json!("other");
    let other = api.make("/deployments", body).await;
    let other = other["id"].as_str().expect("id");
    let path = format!("/deployments/{second}/actions/diff?fromDeploymentId={other}");
    assert_refused(
        &api.post(&path, json!({})).await,
        400,
        "the deployments must be in the same environment",
        &[""],
    );
}
