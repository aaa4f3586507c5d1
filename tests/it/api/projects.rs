//! Environment types and projects.

use serde_json::json;

use super::{Api, assert_refused, masked, refusal};

pub(crate) async fn an_environment_type_is_named_after_its_id_and_keeps_its_times() {
    let api = Api::new().await;
    let made = api.make("/env-types", json!({"id": "dev"})).await;
    assert_eq!(
        masked(&made),
        json!({"id": "dev", "display_name": "dev", "uuid": "UUID", "created_at": "TIME"})
    );
    assert_eq!(api.get("/env-types/dev").await, (200, made.clone()));
    let (status, patched) = api
        .patch("/env-types/dev", json!({"display_name": "Dev"}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(patched["display_name"], json!("Dev"));
    assert_eq!(
        (&patched["uuid"], &patched["created_at"]),
        (&made["uuid"], &made["created_at"])
    );
    assert_eq!(api.get("/env-types/dev").await, (200, patched));
}

pub(crate) async fn an_environment_type_that_is_there_or_not_is_told_in_the_words_of_v1() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    assert_eq!(
        api.post("/env-types", json!({"id": "dev"})).await,
        refusal(409, "environment type already exists")
    );
    let missing = refusal(404, "environment type not found");
    assert_eq!(api.get("/env-types/prod").await, missing);
    assert_eq!(
        api.patch("/env-types/prod", json!({"display_name": "x"}))
            .await,
        missing
    );
    assert_eq!(api.delete("/env-types/prod").await, missing);
    assert_eq!(api.delete("/env-types/dev").await.0, 204);
    assert_eq!(
        api.get("/env-types/dev").await,
        refusal(404, "environment type not found")
    );
}

pub(crate) async fn pages_hold_what_was_asked_and_the_last_has_no_token() {
    let api = Api::new().await;
    for id in ["dev", "prod"] {
        api.make("/env-types", json!({"id": id})).await;
    }
    let (_, first) = api.get("/env-types?per_page=1").await;
    assert_eq!(first["items"][0]["id"], json!("dev"));
    let token = first["next_page_token"].as_str().expect("a token");
    let (_, second) = api
        .get(&format!("/env-types?per_page=1&page={token}"))
        .await;
    assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["items"][0]["id"], json!("prod"));
    assert_eq!(second.get("next_page_token"), None);
}

pub(crate) async fn an_environment_type_in_use_stays_and_names_the_user() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    assert_eq!(
        api.delete("/env-types/dev").await,
        refusal(409, "environment type is in use by app 'shop' env 'test'")
    );
}

#[tokio::test]
async fn break_glass_recipients_must_be_keys() {
    let api = Api::new().await;
    let body = json!({"id": "dev", "windlass": {"recipients": ["age1nonsense"]}});
    let answer = api.post("/env-types", body).await;
    assert_refused(
        &answer,
        400,
        "windlass.recipients: failed to parse 'age1nonsense' as age public key",
        &["/windlass/recipients/0"],
    );
}

pub(crate) async fn a_project_is_made_changed_and_listed_as_the_same_object() {
    let api = Api::new().await;
    let made = api.make("/projects", json!({"id": "shop"})).await;
    assert_eq!(
        masked(&made),
        json!({
            "id": "shop", "display_name": "shop", "uuid": "UUID",
            "created_at": "TIME", "updated_at": "TIME", "status": "active"
        })
    );
    let (status, patched) = api
        .patch("/projects/shop", json!({"display_name": "Web Shop 🚀"}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(patched["display_name"], json!("Web Shop 🚀"));
    assert_ne!(patched["updated_at"], made["updated_at"]);
    assert_eq!(patched["created_at"], made["created_at"]);
    let (_, page) = api.get("/projects").await;
    assert_eq!(page, json!({"items": [patched]}));
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let api = Api::new().await;
    for path in [
        "/projects",
        "/env-types",
        "/envs",
        "/resource-types",
        "/module-providers",
        "/modules",
        "/module-rules",
        "/runner-rules",
        "/metadata-keys",
    ] {
        assert_eq!(api.get(path).await, (200, json!({"items": []})), "{path}");
    }
}

pub(crate) async fn project_mistakes_are_told_in_the_words_of_v1() {
    let api = Api::new().await;
    api.make("/projects", json!({"id": "shop"})).await;
    assert_eq!(
        api.post("/projects", json!({"id": "shop"})).await,
        refusal(409, "project already exists")
    );
    assert_eq!(
        api.get("/projects/nope").await,
        refusal(404, "project not found")
    );
    assert_eq!(
        api.delete("/projects/nope").await,
        refusal(404, "project not found")
    );
    let answer = api
        .post(
            "/projects",
            json!({"id": "other", "display_name": " other"}),
        )
        .await;
    assert_refused(
        &answer,
        400,
        "display_name contains invalid characters",
        &["/display_name"],
    );
    let answer = api
        .post(
            "/projects",
            json!({"id": "other", "display_name": "x".repeat(61)}),
        )
        .await;
    assert_refused(
        &answer,
        400,
        "\"/display_name\": maximum string length is 60",
        &["/display_name"],
    );
    let answer = api.post("/projects", json!({})).await;
    assert_refused(
        &answer,
        400,
        "\"/id\": property \"id\" is missing",
        &["/id"],
    );
}

pub(crate) async fn a_project_with_environments_stays_and_a_deleted_id_can_be_used_again() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    let made = api.make("/projects", json!({"id": "shop"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    assert_eq!(
        api.delete("/projects/shop").await,
        refusal(409, "project contains environments")
    );
    api.make("/projects", json!({"id": "empty"})).await;
    assert_eq!(api.delete("/projects/empty").await.0, 204);
    let again = api.make("/projects", json!({"id": "empty"})).await;
    assert_ne!(again["uuid"], made["uuid"]);
}

#[tokio::test]
async fn rules_of_a_deleted_project_stay_unless_their_removal_is_asked_for() {
    let api = Api::new().await;
    for (query, left) in [("", 1), ("?deleteRules=true", 0)] {
        let id = if query.is_empty() { "one" } else { "two" };
        api.make("/projects", json!({"id": id})).await;
        let rule = json!({"runner_id": "local", "project_id": id});
        let rule = api.make("/runner-rules", rule).await;
        assert_eq!(api.delete(&format!("/projects/{id}{query}")).await.0, 204);
        let path = format!("/runner-rules?byProjectId={id}");
        assert_eq!(api.listed(&path, "id").await.len(), left);
        let there = api
            .get(&format!(
                "/runner-rules/{}",
                rule["id"].as_str().expect("id")
            ))
            .await;
        assert_eq!(there.0, if left == 1 { 200 } else { 404 });
    }
}

#[tokio::test]
async fn an_owner_is_kept_until_a_patch_says_otherwise() {
    let api = Api::new().await;
    let made = api
        .make(
            "/projects",
            json!({"id": "shop", "windlass": {"owner": "team"}}),
        )
        .await;
    assert_eq!(made["windlass"], json!({"owner": "team"}));
    let (_, patched) = api
        .patch("/projects/shop", json!({"display_name": "Shop"}))
        .await;
    assert_eq!(patched["windlass"], json!({"owner": "team"}));
    let (_, patched) = api.patch("/projects/shop", json!({"windlass": {}})).await;
    assert_eq!(patched.get("windlass"), None);
    assert_eq!(patched["display_name"], json!("Shop"));
}

pub(crate) async fn metadata_keys_are_declared_changed_and_removed() {
    let api = Api::new().await;
    let made = api
        .make(
            "/metadata-keys",
            json!({"name": "Example-Key", "schema": {"type": "string"}}),
        )
        .await;
    assert_eq!(
        masked(&made),
        json!({"name": "Example-Key", "schema": {"type": "string"}, "created_at": "TIME"})
    );
    assert_eq!(
        api.post(
            "/metadata-keys",
            json!({"name": "Example-Key", "schema": {"type": "string"}})
        )
        .await,
        refusal(409, "metadata_keys with name Example-Key already exists")
    );
    let change = json!({"description": "x", "schema": {"pattern": "^a$"}});
    let (_, patched) = api.patch("/metadata-keys/Example-Key", change).await;
    assert_eq!(
        patched["schema"],
        json!({"type": "string", "pattern": "^a$"})
    );
    let answer = api
        .post("/metadata-keys", json!({"name": "example", "schema": {}}))
        .await;
    assert_eq!(answer.0, 400);
    assert_eq!(api.delete("/metadata-keys/Example-Key").await.0, 204);
    assert_eq!(
        api.get("/metadata-keys/Example-Key").await,
        refusal(404, "metadata key not found")
    );
}
