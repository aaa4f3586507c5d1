//! What clients were promised of environment types, projects and environments: the lines that stand for themselves.

use serde_json::json;

use crate::api::{Api, refusal};

async fn shop() -> Api {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    api
}

#[tokio::test]
async fn c12_env_types_03_a_change_is_of_the_display_name_only() {
    let api = shop().await;
    let (_, before) = api.get("/env-types/dev").await;
    let change = json!({"display_name": "Dev", "id": "other", "uuid": "x", "created_at": "x"});
    let (status, mut after) = api.patch("/env-types/dev", change).await;
    assert_eq!((status, &after["display_name"]), (200, &json!("Dev")));
    after["display_name"] = before["display_name"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn c12_env_types_05_reading_gives_what_was_written_last() {
    let api = shop().await;
    let (_, written) = api
        .patch("/env-types/dev", json!({"display_name": "Dev"}))
        .await;
    assert_eq!(api.get("/env-types/dev").await, (200, written));
}

#[tokio::test]
async fn c12_env_types_07_gone_after_deletion() {
    let api = shop().await;
    assert_eq!(api.delete("/env-types/dev").await.0, 204);
    assert_eq!(
        api.get("/env-types/dev").await,
        refusal(404, "environment type not found")
    );
    assert_eq!(api.delete("/env-types/dev").await.0, 404);
}

#[tokio::test]
async fn c12_projects_01_in_an_organisation_that_is_not_there() {
    let api = Api::new().await;
    let answer = api
        .in_organization("nowhere", "POST", "/projects", Some(&json!({"id": "shop"})))
        .await;
    assert_eq!(answer, refusal(409, "organization not found"));
}

#[tokio::test]
async fn c12_projects_04_a_change_shows_in_the_list() {
    let api = shop().await;
    let (status, changed) = api
        .patch("/projects/shop", json!({"display_name": "Shop"}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        api.get("/projects").await,
        (200, json!({"items": [changed]}))
    );
}

#[tokio::test]
async fn c12_projects_06_one_that_is_not_there() {
    let api = Api::new().await;
    let missing = refusal(404, "project not found");
    assert_eq!(api.get("/projects/nope").await, missing);
    assert_eq!(api.delete("/projects/nope").await, missing);
    assert_eq!(api.patch("/projects/nope", json!({})).await, missing);
}

#[tokio::test]
async fn c12_projects_07_a_space_before_the_display_name_and_an_emoji_in_it() {
    let api = Api::new().await;
    let (status, answer) = api
        .post("/projects", json!({"id": "one", "display_name": " One"}))
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (400, &json!("display_name contains invalid characters"))
    );
    let made = api
        .make("/projects", json!({"id": "one", "display_name": "One 🚀"}))
        .await;
    assert_eq!(made["display_name"], "One 🚀");
    assert_eq!(api.get("/projects/one").await, (200, made));
}

/// A project with one rule of each kind; their paths.
async fn with_rules(api: &Api) -> [String; 2] {
    api.make("/resource-types", json!({"id": "db", "output_schema": {}}))
        .await;
    api.make(
        "/modules",
        json!({"id": "small", "resource_type": "db", "module_source": "/x"}),
    )
    .await;
    let mut paths = Vec::new();
    for (path, body) in [
        (
            "/module-rules",
            json!({"module_id": "small", "project_id": "shop"}),
        ),
        (
            "/runner-rules",
            json!({"runner_id": "local", "project_id": "shop"}),
        ),
    ] {
        let made = api.make(path, body).await;
        paths.push(format!("{path}/{}", made["id"].as_str().expect("id")));
    }
    paths.try_into().expect("two")
}

#[tokio::test]
async fn c12_projects_08_rules_of_a_deleted_one_stay() {
    let api = shop().await;
    let rules = with_rules(&api).await;
    assert_eq!(api.delete("/projects/shop").await.0, 204);
    for rule in rules {
        assert_eq!(api.get(&rule).await.0, 200, "{rule}");
    }
    assert_eq!(
        api.listed("/module-rules?byProjectId=shop", "id")
            .await
            .len(),
        1
    );
    assert_eq!(
        api.listed("/runner-rules?byProjectId=shop", "id")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn c12_projects_11_rules_go_where_asked_for() {
    let api = shop().await;
    let rules = with_rules(&api).await;
    assert_eq!(api.delete("/projects/shop?deleteRules=true").await.0, 204);
    for rule in rules {
        assert_eq!(api.get(&rule).await.0, 404, "{rule}");
    }
}

#[tokio::test]
async fn c12_projects_10_with_environments_it_stays_until_they_are_gone() {
    let api = shop().await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    assert_eq!(
        api.delete("/projects/shop").await,
        refusal(409, "project contains environments")
    );
    assert_eq!(
        api.delete("/projects/shop/envs/test?force=true").await.0,
        202
    );
    assert_eq!(api.delete("/projects/shop").await.0, 204);
}

#[tokio::test]
async fn c12_envs_01_all_of_an_organisation_that_is_not_there() {
    let api = Api::new().await;
    let answer = api.in_organization("nowhere", "GET", "/envs", None).await;
    assert_eq!(answer, refusal(404, "organization not found"));
}

#[tokio::test]
async fn c12_envs_03_none_yet() {
    let api = shop().await;
    for path in ["/envs", "/projects/shop/envs"] {
        assert_eq!(api.get(path).await, (200, json!({"items": []})), "{path}");
    }
}

#[tokio::test]
async fn c12_envs_10_the_runner_is_stored() {
    let api = shop().await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    api.make(
        "/runners",
        json!({"id": "mine", "runner_configuration": {"type": "process"}}),
    )
    .await;
    api.make("/runner-rules", json!({"runner_id": "mine"}))
        .await;
    let refresh = "/projects/shop/envs/test/actions/refresh_runner";
    assert_eq!(
        api.post(refresh, json!({})).await,
        (200, json!({"runner_id": "mine", "updated": true}))
    );
    assert_eq!(
        api.get("/projects/shop/envs/test").await.1["runner_id"],
        "mine"
    );
    let nowhere = refresh.replace("/test/", "/nope/");
    assert_eq!(
        api.post(&nowhere, json!({})).await,
        refusal(404, "environment not found")
    );
}

#[tokio::test]
async fn c12_envs_11_lists_agree_with_reading() {
    let api = shop().await;
    let made = api
        .make(
            "/projects/shop/envs",
            json!({"id": "test", "env_type_id": "dev"}),
        )
        .await;
    assert_eq!(
        api.get("/projects/shop/envs/test").await,
        (200, made.clone())
    );
    assert_eq!(
        api.get("/projects/shop/envs").await,
        (200, json!({"items": [made]}))
    );
    assert_eq!(
        api.get("/projects/nope/envs").await,
        refusal(404, "project nope not found")
    );
}

#[tokio::test]
async fn c12_envs_14_all_of_an_organisation() {
    let api = shop().await;
    api.make("/projects", json!({"id": "blog"})).await;
    for project in ["blog", "shop"] {
        api.make(
            &format!("/projects/{project}/envs"),
            json!({"id": "test", "env_type_id": "dev"}),
        )
        .await;
    }
    let (_, page) = api.get("/envs").await;
    for (position, project) in ["blog", "shop"].into_iter().enumerate() {
        let (_, of) = api.get(&format!("/projects/{project}")).await;
        assert_eq!(page["items"][position]["project_uuid"], of["uuid"]);
    }
}

#[tokio::test]
async fn c12_envs_15_one_that_is_not_there() {
    let api = shop().await;
    let missing = refusal(404, "environment not found");
    assert_eq!(api.get("/projects/shop/envs/nope").await, missing);
    assert_eq!(api.delete("/projects/shop/envs/nope").await, missing);
}

#[tokio::test]
async fn c12_envs_17_never_deployed_to_it_goes_soon() {
    let api = shop().await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    assert_eq!(api.delete("/projects/shop/envs/test").await.0, 202);
    assert_eq!(api.get("/projects/shop/envs/test").await.0, 404);
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
}
