//! Environments and what they offer.

use serde_json::{Value, json};

use super::{Api, assert_refused, masked, refusal};

/// One project, one type, one environment.
async fn shop() -> (Api, Value) {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    let made = api
        .make(
            "/projects/shop/envs",
            json!({"id": "test", "env_type_id": "dev"}),
        )
        .await;
    (api, made)
}

pub(crate) async fn a_new_environment_is_active_and_has_no_runner() {
    let (api, made) = shop().await;
    assert_eq!(
        masked(&made),
        json!({
            "id": "test", "project_id": "shop", "project_uuid": "UUID", "uuid": "UUID",
            "env_type_id": "dev", "display_name": "test", "created_at": "TIME",
            "updated_at": "TIME", "status": "active"
        })
    );
    let (_, project) = api.get("/projects/shop").await;
    assert_eq!(made["project_uuid"], project["uuid"]);
    assert_eq!(
        api.get("/projects/shop/envs/test").await,
        (200, made.clone())
    );
    assert_eq!(
        api.get("/projects/shop/envs").await,
        (200, json!({"items": [made]}))
    );
    assert_eq!(api.get("/envs").await, (200, json!({"items": [made]})));
}

pub(crate) async fn environment_mistakes_are_told_in_the_words_of_v1() {
    let (api, _) = shop().await;
    let dev = json!({"id": "test", "env_type_id": "dev"});
    assert_eq!(
        api.post("/projects/nope/envs", dev.clone()).await,
        refusal(404, "project not found")
    );
    assert_eq!(
        api.post("/projects/shop/envs", dev).await,
        refusal(409, "environment already exists")
    );
    assert_eq!(
        api.post(
            "/projects/shop/envs",
            json!({"id": "x1", "env_type_id": "prod"})
        )
        .await,
        refusal(409, "not found: environment type not found")
    );
    assert_eq!(
        api.get("/projects/nope/envs").await,
        refusal(404, "project nope not found")
    );
    assert_eq!(
        api.get("/projects/shop/envs/nope").await,
        refusal(404, "environment not found")
    );
    let answer = api
        .post(
            "/projects/shop/envs",
            json!({"id": "X", "env_type_id": "Y"}),
        )
        .await;
    assert_refused(
        &answer,
        400,
        "id must be a valid environment identifier; env_type_id must be a valid environment type identifier",
        &["/id", "/env_type_id"],
    );
}

pub(crate) async fn the_same_id_in_another_project_is_another_environment() {
    let (api, made) = shop().await;
    api.make("/projects", json!({"id": "blog"})).await;
    let other = api
        .make(
            "/projects/blog/envs",
            json!({"id": "test", "env_type_id": "dev"}),
        )
        .await;
    assert_ne!(other["uuid"], made["uuid"]);
    assert_ne!(other["project_uuid"], made["project_uuid"]);
    assert_eq!(api.listed("/envs", "project_id").await, ["blog", "shop"]);
}

pub(crate) async fn environments_are_filtered_by_their_types() {
    let (api, _) = shop().await;
    api.make("/env-types", json!({"id": "prod"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "live", "env_type_id": "prod"}),
    )
    .await;
    for (query, expected) in [
        ("byEnvTypeId=dev", &["test"][..]),
        ("byEnvTypeId=dev&byEnvTypeId=prod", &["live", "test"]),
        ("byEnvTypeId=none", &[]),
    ] {
        for path in ["/envs", "/projects/shop/envs"] {
            assert_eq!(api.listed(&format!("{path}?{query}"), "id").await, expected);
        }
    }
}

pub(crate) async fn only_the_display_name_of_an_environment_changes() {
    let (api, made) = shop().await;
    let change = json!({"display_name": "Test", "env_type_id": "other", "status": "deleting"});
    let (status, patched) = api.patch("/projects/shop/envs/test", change).await;
    assert_eq!(status, 200);
    assert_eq!(patched["display_name"], json!("Test"));
    assert_eq!(
        (&patched["env_type_id"], &patched["status"]),
        (&json!("dev"), &json!("active"))
    );
    assert_eq!(patched["created_at"], made["created_at"]);
    assert_ne!(patched["updated_at"], made["updated_at"]);
}

pub(crate) async fn refreshing_takes_the_runner_of_the_most_specific_rule_and_a_dry_run_keeps_nothing()
 {
    let (api, _) = shop().await;
    let path = "/projects/shop/envs/test/actions/refresh_runner";
    assert_eq!(
        api.post(path, json!({})).await,
        (200, json!({"runner_id": "local", "updated": false}))
    );
    for id in ["any", "typed", "mine"] {
        let runner = json!({"id": id, "runner_configuration": {"type": "process"}});
        api.make("/runners", runner).await;
    }
    api.make("/runner-rules", json!({"runner_id": "any"})).await;
    api.make(
        "/runner-rules",
        json!({"runner_id": "typed", "env_type_id": "dev"}),
    )
    .await;
    api.make(
        "/runner-rules",
        json!({"runner_id": "mine", "project_id": "shop"}),
    )
    .await;
    assert_eq!(
        api.post(&format!("{path}?dry_run=true"), json!({})).await,
        (200, json!({"runner_id": "mine", "updated": false}))
    );
    assert_eq!(
        api.get("/projects/shop/envs/test").await.1.get("runner_id"),
        None
    );
    assert_eq!(
        api.post(path, json!({})).await,
        (200, json!({"runner_id": "mine", "updated": true}))
    );
    assert_eq!(
        api.get("/projects/shop/envs/test").await.1["runner_id"],
        json!("mine")
    );
    assert_eq!(
        api.post("/projects/shop/envs/none/actions/refresh_runner", json!({}))
            .await,
        refusal(404, "environment not found")
    );
    assert_eq!(
        api.delete("/runners/mine").await,
        refusal(409, "runner mine is in use by the environments: shop/test")
    );
}

pub(crate) async fn an_environment_offers_the_winners_among_its_rules() {
    let (api, _) = shop().await;
    for (id, visible) in [
        ("bucket", true),
        ("db", true),
        ("policy", false),
        ("unused", true),
    ] {
        let kind = json!({"id": id, "output_schema": {}, "is_developer_accessible": visible});
        api.make("/resource-types", kind).await;
    }
    for (id, kind) in [
        ("small", "db"),
        ("large", "db"),
        ("files", "bucket"),
        ("rights", "policy"),
    ] {
        let module = json!({
            "id": id, "resource_type": kind, "module_source": "/modules/x",
            "module_params": if id == "large" { json!({"size": {"type": "number"}}) } else { json!({}) }
        });
        api.make("/modules", module).await;
    }
    for rule in [
        json!({"module_id": "small"}),
        json!({"module_id": "large", "env_type_id": "dev"}),
        json!({"module_id": "small", "resource_id": "shared.db"}),
        json!({"module_id": "small", "resource_class": "cheap"}),
        json!({"module_id": "files", "project_id": "blog"}),
        json!({"module_id": "rights"}),
    ] {
        api.make("/module-rules", rule).await;
    }
    let path = "/projects/shop/envs/test/available-resource-types";
    let (status, page) = api.get(path).await;
    assert_eq!(status, 200);
    assert_eq!(
        masked(&page),
        json!({"items": [{
            "id": "db", "output_schema": {}, "options": [
                {"resource_class": "cheap", "rule_id": "UUID", "module_id": "small", "module_params": {}},
                {"resource_class": "default", "rule_id": "UUID", "module_id": "large",
                 "module_params": {"size": {"type": "number"}}},
                {"resource_class": "default", "resource_id": "shared.db", "rule_id": "UUID",
                 "module_id": "small", "module_params": {}}
            ]
        }]})
    );
    let all = format!("{path}?include_non_developer_accessible=true");
    assert_eq!(api.listed(&all, "id").await, ["db", "policy"]);
    assert_eq!(
        api.listed(&format!("{all}&type_id=policy"), "id").await,
        ["policy"]
    );
    assert_eq!(
        api.get("/projects/shop/envs/nope/available-resource-types")
            .await,
        refusal(404, "environment not found")
    );
}
