//! What clients were promised of the catalogue: the lines that stand for themselves.

use serde_json::{Value, json};

use crate::api::{Api, refusal};

pub(super) async fn with_type() -> Api {
    let api = Api::new().await;
    api.make(
        "/resource-types",
        json!({"id": "db", "output_schema": {"type": "object"}}),
    )
    .await;
    api
}

pub(super) fn module(id: &str, more: Value) -> Value {
    let mut body = json!({"id": id, "resource_type": "db", "module_source": "/modules/db"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

pub(super) fn provider(id: &str) -> Value {
    json!({"provider_type": "aws", "id": id, "source": "hashicorp/aws", "version_constraint": "~> 1.0"})
}

#[tokio::test]
async fn c12_resource_types_01_none_yet_and_one_that_is_not_there() {
    let api = Api::new().await;
    assert_eq!(
        api.get("/resource-types").await,
        (200, json!({"items": []}))
    );
    let missing = refusal(404, "resource type not found");
    assert_eq!(api.get("/resource-types/nope").await, missing);
    assert_eq!(api.patch("/resource-types/nope", json!({})).await, missing);
    assert_eq!(api.delete("/resource-types/nope").await, missing);
}

#[tokio::test]
async fn c12_resource_types_03_ids_and_descriptions_that_break_rules() {
    let api = Api::new().await;
    for (body, said) in [
        (
            json!({"id": "", "output_schema": {}}),
            "id must be a valid resource type identifier",
        ),
        (
            json!({"id": "a/b", "output_schema": {}}),
            "id must be a valid resource type identifier",
        ),
        (
            json!({"id": "db", "output_schema": {}, "description": "x".repeat(201)}),
            "maximum string length is 200",
        ),
    ] {
        let (status, answer) = api.post("/resource-types", body).await;
        assert_eq!(status, 400);
        assert!(
            answer["message"].as_str().expect("text").contains(said),
            "{answer}"
        );
    }
    let longest = json!({"id": "db", "output_schema": {}, "description": "ü".repeat(200)});
    api.make("/resource-types", longest).await;
}

#[tokio::test]
async fn c12_resource_types_07_the_same_id_again() {
    let api = with_type().await;
    let again = json!({"id": "db", "output_schema": {}});
    assert_eq!(
        api.post("/resource-types", again).await,
        refusal(409, "resource type already exists")
    );
}

#[tokio::test]
async fn c12_providers_01_none_yet_and_one_that_is_not_there() {
    let api = Api::new().await;
    for path in ["/module-providers", "/module-providers?byProviderType=aws"] {
        assert_eq!(api.get(path).await, (200, json!({"items": []})), "{path}");
    }
    let missing = refusal(404, "provider not found");
    assert_eq!(api.get("/module-providers/aws/nope").await, missing);
    assert_eq!(
        api.patch("/module-providers/aws/nope", json!({})).await,
        missing
    );
    assert_eq!(api.delete("/module-providers/aws/nope").await, missing);
}

#[tokio::test]
async fn c12_providers_03_in_an_organisation_that_is_not_there() {
    let api = Api::new().await;
    let answer = api
        .in_organization(
            "nowhere",
            "POST",
            "/module-providers",
            Some(&provider("main")),
        )
        .await;
    assert_eq!(answer, refusal(409, "organization not found"));
}

#[tokio::test]
async fn c12_providers_05_the_same_again() {
    let api = Api::new().await;
    api.make("/module-providers", provider("main")).await;
    assert_eq!(
        api.post("/module-providers", provider("main")).await,
        refusal(409, "provider already exists")
    );
}

#[tokio::test]
async fn c12_providers_06_an_empty_change_and_a_full_one() {
    let api = Api::new().await;
    let mut body = provider("main");
    body["description"] = json!("x");
    body["configuration"] = json!({"region": "here"});
    let made = api.make("/module-providers", body).await;
    let path = "/module-providers/aws/main";
    assert_eq!(api.patch(path, json!({})).await, (200, made.clone()));
    let change = json!({"description": "", "version_constraint": "= 2.0.0", "configuration": {}});
    let (status, changed) = api.patch(path, change).await;
    assert_eq!(status, 200);
    assert_eq!(changed.get("description"), None);
    assert_eq!(
        (&changed["version_constraint"], &changed["configuration"]),
        (&json!("= 2.0.0"), &json!({}))
    );
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_eq!(api.get(path).await, (200, changed));
}

#[tokio::test]
async fn c12_providers_07_gone_after_deletion() {
    let api = Api::new().await;
    api.make("/module-providers", provider("main")).await;
    assert_eq!(api.delete("/module-providers/aws/main").await.0, 204);
    assert_eq!(api.get("/module-providers/aws/main").await.0, 404);
}

#[tokio::test]
async fn c12_modules_02_one_that_is_not_there_and_none_yet() {
    let api = Api::new().await;
    assert_eq!(api.get("/modules").await, (200, json!({"items": []})));
    let missing = refusal(404, "module not found");
    assert_eq!(api.get("/modules/nope").await, missing);
    assert_eq!(
        api.patch("/modules/nope", json!({"description": "x"}))
            .await,
        missing
    );
    assert_eq!(api.delete("/modules/nope").await, missing);
}

#[tokio::test]
async fn c12_modules_03_a_provider_that_is_not_there() {
    let api = with_type().await;
    let (status, answer) = api
        .post(
            "/modules",
            module("small", json!({"provider_mapping": {"aws": "aws.unknown"}})),
        )
        .await;
    let said = "invalid provider mapping: no provider exists with type aws and id unknown";
    assert_eq!((status, &answer["message"]), (400, &json!(said)));
}

#[tokio::test]
async fn c12_modules_05_the_same_id_again_and_lists_and_filters() {
    let api = with_type().await;
    api.make("/modules", module("small", json!({}))).await;
    let again = api.post("/modules", module("small", json!({}))).await;
    assert_eq!(
        again,
        refusal(409, "module definition with id small already exists")
    );
    for (query, count) in [
        ("", 1),
        ("?byResourceType=db", 1),
        ("?byResourceType=dns", 0),
    ] {
        assert_eq!(
            api.listed(&format!("/modules{query}"), "id").await.len(),
            count,
            "{query}"
        );
    }
    let (_, page) = api.get("/modules").await;
    for hidden in [
        "module_params",
        "module_inputs",
        "dependencies",
        "coprovisioned",
        "module_source_code",
    ] {
        assert_eq!(page["items"][0].get(hidden), None, "{hidden}");
    }
}

#[tokio::test]
async fn c12_modules_07_an_empty_change_makes_no_version() {
    let api = with_type().await;
    let made = api.make("/modules", module("small", json!({}))).await;
    assert_eq!(api.patch("/modules/small", json!({})).await, (200, made));
}

#[tokio::test]
async fn c12_modules_08_a_change_of_the_inputs_keeps_the_rest() {
    let api = with_type().await;
    let more = json!({"module_params": {"size": {"type": "number"}}, "dependencies": {"d": {"type": "db"}}, "description": "x"});
    let made = api.make("/modules", module("small", more)).await;
    let (_, mut changed) = api
        .patch("/modules/small", json!({"module_inputs": {"a": 1}}))
        .await;
    assert_eq!(changed["created_at"], made["created_at"]);
    for changing in ["module_inputs", "updated_at", "version_id"] {
        assert_ne!(changed[changing], made[changing], "{changing}");
        changed[changing] = made[changing].clone();
    }
    assert_eq!(changed, made);
}

#[tokio::test]
async fn c12_modules_09_a_change_to_types_that_are_not_there() {
    let api = with_type().await;
    api.make("/modules", module("small", json!({}))).await;
    let change = json!({"dependencies": {"a": {"type": "zebra"}}, "coprovisioned": [{"type": "ant"}, {"type": "zebra"}]});
    let (status, answer) = api.patch("/modules/small", change).await;
    let said = "the following types referenced by the module do not exist as builtin or custom types: [ant zebra]";
    assert_eq!((status, &answer["message"]), (409, &json!(said)));
}

#[tokio::test]
async fn c12_modules_10_a_change_of_everything() {
    let api = with_type().await;
    api.make("/module-providers", provider("main")).await;
    let made = api
        .make(
            "/modules",
            module("small", json!({"module_params": {"old": {"type": "any"}}})),
        )
        .await;
    let change = json!({
        "description": "new", "module_source": "/modules/other", "module_inputs": {"a": 1},
        "module_params": {"size": {"type": "number"}}, "provider_mapping": {"aws": "aws.main"},
        "dependencies": {"d": {"type": "db"}}, "coprovisioned": [{"type": "db"}]
    });
    let (status, changed) = api.patch("/modules/small", change.clone()).await;
    assert_eq!(status, 200, "{changed}");
    for (key, value) in change.as_object().expect("an object") {
        assert_eq!(&changed[key], value, "{key}");
    }
    assert_ne!(changed["version_id"], made["version_id"]);
    assert_ne!(changed["updated_at"], made["updated_at"]);
}

#[tokio::test]
async fn c12_modules_12_a_type_in_use_stays() {
    let api = with_type().await;
    api.make("/modules", module("small", json!({}))).await;
    let used = refusal(409, "modules are still using this resource type");
    assert_eq!(api.delete("/resource-types/db").await, used);
    assert_eq!(api.delete("/modules/small").await.0, 204);
    assert_eq!(api.delete("/resource-types/db").await.0, 204);
}

#[tokio::test]
async fn c12_modules_16_inline_code_up_to_its_limit() {
    let api = with_type().await;
    let inline = |count: usize| {
        module(
            &format!("m{count}"),
            json!({"module_source": "inline", "module_source_code": " ".repeat(count)}),
        )
    };
    for count in [0, 2, 2000, 10_000] {
        let made = api.make("/modules", inline(count)).await;
        assert_eq!(
            made["module_source_code"].as_str().map(str::len),
            Some(count)
        );
    }
    let (status, answer) = api.post("/modules", inline(10_001)).await;
    let said = "/module_source: inline module source code is limited to 10000 characters";
    assert!(
        status == 400 && answer["message"].as_str().expect("text").starts_with(said),
        "{answer}"
    );
}
