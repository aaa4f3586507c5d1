//! What clients were promised of module rules and of what they choose.

use serde_json::{Value, json};

use super::c12_catalogue::{module, provider, with_type};
use crate::api::{Api, refusal};

async fn with_module() -> Api {
    let api = with_type().await;
    api.make("/modules", module("small", json!({}))).await;
    api
}

#[tokio::test]
async fn c12_module_rules_01_none_yet_and_what_is_not_there() {
    let api = with_module().await;
    assert_eq!(api.get("/module-rules").await, (200, json!({"items": []})));
    let path = "/module-rules/00000000-0000-7000-8000-000000000000";
    assert_eq!(api.get(path).await, refusal(404, "module rule not found"));
    assert_eq!(
        api.delete(path).await,
        refusal(404, "module rule not found")
    );
    let (status, answer) = api
        .post("/module-rules", json!({"module_id": "nope"}))
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (400, &json!("module not found"))
    );
}

#[tokio::test]
async fn c12_module_rules_03_the_same_again() {
    let api = with_module().await;
    let made = api
        .make("/module-rules", json!({"module_id": "small"}))
        .await;
    let id = made["id"].as_str().expect("id");
    let said = format!("rule conflicts with existing rule '{id}' for definition 'small'");
    assert_eq!(
        api.post("/module-rules", json!({"module_id": "small"}))
            .await,
        refusal(409, &said)
    );
}

#[tokio::test]
async fn c12_module_rules_04_another_scope_is_another_rule() {
    let api = with_module().await;
    for more in [
        json!({}),
        json!({"resource_class": "big"}),
        json!({"resource_id": "shared.db"}),
        json!({"project_id": "shop"}),
    ] {
        let mut body = json!({"module_id": "small"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        api.make("/module-rules", body).await;
    }
    assert_eq!(api.listed("/module-rules", "id").await.len(), 4);
}

#[tokio::test]
async fn c12_module_rules_05_lists_by_what_they_name() {
    let api = with_module().await;
    api.make("/modules", module("large", json!({}))).await;
    api.make("/module-rules", json!({"module_id": "small"}))
        .await;
    api.make(
        "/module-rules",
        json!({"module_id": "large", "project_id": "shop"}),
    )
    .await;
    api.make(
        "/module-rules",
        json!({"module_id": "large", "project_id": "shop", "env_id": "test"}),
    )
    .await;
    for (query, count) in [
        ("byResourceType=db", 3),
        ("byResourceType=dns", 0),
        ("byModuleId=large", 2),
        ("byProjectId=shop", 2),
        ("byProjectId=shop&byEnvId=test", 1),
    ] {
        assert_eq!(
            api.listed(&format!("/module-rules?{query}"), "id")
                .await
                .len(),
            count,
            "{query}"
        );
    }
}

#[tokio::test]
async fn c12_module_rules_06_pages_of_one() {
    let api = with_module().await;
    for class in ["a1", "b1", "c1"] {
        api.make(
            "/module-rules",
            json!({"module_id": "small", "resource_class": class}),
        )
        .await;
    }
    let mut found = Vec::new();
    let mut path = "/module-rules?per_page=1".to_owned();
    loop {
        let (status, page) = api.get(&path).await;
        assert_eq!(
            (status, page["items"].as_array().map(Vec::len)),
            (200, Some(1))
        );
        found.push(
            page["items"][0]["resource_class"]
                .as_str()
                .expect("class")
                .to_owned(),
        );
        match page["next_page_token"].as_str() {
            Some(token) => path = format!("/module-rules?per_page=1&page={token}"),
            None => break,
        }
    }
    assert_eq!(found, ["a1", "b1", "c1"]);
}

#[tokio::test]
async fn c12_module_rules_07_gone_after_deletion_and_with_the_module() {
    let api = with_module().await;
    let rule = async |class: &str| {
        let made = api
            .make(
                "/module-rules",
                json!({"module_id": "small", "resource_class": class}),
            )
            .await;
        format!("/module-rules/{}", made["id"].as_str().expect("id"))
    };
    let (one, two) = (rule("a1").await, rule("b1").await);
    assert_eq!(api.delete(&one).await.0, 204);
    assert_eq!(api.get(&one).await.0, 404);
    assert_eq!(api.delete("/modules/small").await.0, 204);
    assert_eq!(api.get(&two).await.0, 404);
}

#[tokio::test]
async fn c12_module_rules_08_for_one_environment() {
    let api = with_module().await;
    let body = json!({"module_id": "small", "project_id": "shop", "env_id": "test"});
    let made = api.make("/module-rules", body).await;
    assert_eq!(
        (&made["project_id"], &made["env_id"]),
        (&json!("shop"), &json!("test"))
    );
    assert_eq!(
        api.get("/module-rules").await,
        (200, json!({"items": [made]}))
    );
}

#[tokio::test]
async fn c12_catalogue_01_modules_without_rules_are_not_offered() {
    let api = offering(&[]).await;
    api.make("/modules", module("small", json!({}))).await;
    let path = "/projects/shop/envs/test/available-resource-types";
    assert_eq!(api.get(path).await, (200, json!({"items": []})));
}

#[tokio::test]
async fn c12_catalogue_02_of_eight_rules_the_most_specific_ones_win() {
    let api = offering(&[
        json!({"module_id": "any"}),
        json!({"module_id": "typed", "env_type_id": "dev"}),
        json!({"module_id": "of-project", "project_id": "shop"}),
        json!({"module_id": "of-env", "project_id": "shop", "env_id": "test"}),
        json!({"module_id": "named", "resource_id": "shared.main"}),
        json!({"module_id": "named-here", "resource_id": "shared.main", "project_id": "shop"}),
        json!({"module_id": "big", "resource_class": "big"}),
        json!({"module_id": "big-typed", "resource_class": "big", "env_type_id": "dev"}),
    ])
    .await;
    let resources = json!({
        "a": {"type": "db"}, "b": {"type": "db", "id": "shared.main"}, "c": {"type": "db", "class": "big"}
    });
    let mut modules = chosen(&api, resources).await;
    modules.sort();
    assert_eq!(modules, ["big-typed", "named-here", "of-env"]);
}

#[tokio::test]
async fn c12_catalogue_03_a_rollback_takes_pinned_versions_and_no_rules() {
    let api = offering(&[json!({"module_id": "small"})]).await;
    let id = deployed(&api).await;
    let (_, before) = api.get("/modules/small").await;
    api.patch("/modules/small", json!({"description": "newer"}))
        .await;
    let rules = api.listed("/module-rules", "id").await;
    api.delete(&format!("/module-rules/{}", rules[0])).await;
    let body = json!({"project_id": "shop", "env_id": "test", "mode": "rollback", "is_dry_run": true, "rollback_to_deployment_id": id});
    let (status, answer) = api.post("/deployments", body).await;
    assert_eq!(status, 200, "{answer}");
    let node = &answer["windlass"]["graph"]["nodes"][0];
    assert_eq!(
        (&node["module_id"], &node["module_version"]),
        (&json!("small"), &before["version_id"])
    );
}

#[tokio::test]
async fn c12_catalogue_04_a_pinned_version_keeps_the_provider_that_has_left() {
    let api = offering(&[]).await;
    api.make("/module-providers", provider("main")).await;
    let mapped = json!({"provider_mapping": {"aws": "aws.main"}, "module_source": "inline", "module_source_code": ""});
    api.make("/modules", module("small", mapped)).await;
    api.make("/module-rules", json!({"module_id": "small"}))
        .await;
    let id = deployed(&api).await;
    api.patch("/modules/small", json!({"provider_mapping": {}}))
        .await;
    assert_eq!(api.delete("/module-providers/aws/main").await.0, 204);
    // v1 refuses this with MOD-001. Here a deployment keeps its slice of the catalogue, and the way back is open.
    let body = json!({"project_id": "shop", "env_id": "test", "mode": "rollback", "is_dry_run": true, "rollback_to_deployment_id": id});
    let (status, answer) = api.post("/deployments", body).await;
    assert_eq!(status, 200, "{answer}");
}

/// An environment, and a module for each id with the rules given.
async fn offering(rules: &[Value]) -> Api {
    let api = with_type().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    for rule in rules {
        let id = rule["module_id"].as_str().expect("id");
        api.post(
            "/modules",
            module(
                id,
                json!({"module_source": "inline", "module_source_code": ""}),
            ),
        )
        .await;
        api.make("/module-rules", rule.clone()).await;
    }
    api
}

/// What resources would be made of, by module.
async fn chosen(api: &Api, resources: Value) -> Vec<String> {
    let manifest = json!({"workloads": {"web": {"resources": resources}}});
    let body = json!({"project_id": "shop", "env_id": "test", "mode": "deploy", "is_dry_run": true, "manifest": manifest});
    let (status, answer) = api.post("/deployments", body).await;
    assert_eq!(status, 200, "{answer}");
    let nodes = answer["windlass"]["graph"]["nodes"]
        .as_array()
        .expect("nodes");
    nodes
        .iter()
        .filter_map(|node| node["module_id"].as_str().map(str::to_owned))
        .collect()
}

/// A deployment of one database, over before it began.
async fn deployed(api: &Api) -> String {
    let manifest = json!({"workloads": {"web": {"resources": {"db": {"type": "db"}}}}});
    let body =
        json!({"project_id": "shop", "env_id": "test", "mode": "deploy", "manifest": manifest});
    let made = api.make("/deployments", body).await;
    let id = made["id"].as_str().expect("id").to_owned();
    api.post(&format!("/deployments/{id}/actions/cancel"), json!({}))
        .await;
    id
}
