//! What clients were promised of runners and their rules: the lines that stand for themselves.

use serde_json::{Value, json};

use crate::api::{Api, refusal};

fn kubernetes(id: &str, auth: Value, state: Value) -> Value {
    json!({"id": id, "state_storage_configuration": state, "runner_configuration": {
        "type": "kubernetes", "job": {"namespace": "ns", "service_account": "sa"},
        "cluster": {"cluster_data": {"certificate_authority_data": "ca", "server": "https://k"}, "auth": auth}
    }})
}

async fn with_runner() -> Api {
    let api = Api::new().await;
    api.make(
        "/runners",
        json!({"id": "mine", "runner_configuration": {"type": "process"}}),
    )
    .await;
    api
}

#[tokio::test]
async fn c12_runners_02_the_same_id_again_and_lists_say_types() {
    let api = Api::new().await;
    let body = kubernetes(
        "k8s",
        json!({"client_key_data": "k"}),
        json!({"type": "s3", "bucket": "state"}),
    );
    api.make("/runners", body.clone()).await;
    assert_eq!(
        api.post("/runners", body).await,
        refusal(409, "runner with id k8s already exists")
    );
    let (_, page) = api.get("/runners").await;
    let item = &page["items"][0];
    assert_eq!(item["runner_configuration"], json!({"type": "kubernetes"}));
    assert_eq!(item["state_storage_configuration"], json!({"type": "s3"}));
    // v1 declares the filter and ignores it; here it filters.
    assert_eq!(
        api.listed("/runners?byRunnerType=kubernetes", "id").await,
        ["k8s"]
    );
    assert_eq!(
        api.listed("/runners?byRunnerType=serverless-ecs", "id")
            .await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn c12_runners_03_changes_of_parts_keep_the_rest() {
    let api = Api::new().await;
    let made = api
        .make(
            "/runners",
            kubernetes("k8s", json!({}), json!({"type": "s3", "bucket": "state"})),
        )
        .await;
    let job = json!({"namespace": "other", "service_account": "sb"});
    let (_, one) = api
        .patch(
            "/runners/k8s",
            json!({"runner_configuration": {"type": "kubernetes", "job": job}}),
        )
        .await;
    assert_eq!(one["runner_configuration"]["job"], job);
    assert_eq!(
        one["runner_configuration"]["cluster"],
        made["runner_configuration"]["cluster"]
    );
    let (_, two) = api
        .patch(
            "/runners/k8s",
            json!({"state_storage_configuration": {"type": "gcs", "bucket": "other"}}),
        )
        .await;
    assert_eq!(
        two["state_storage_configuration"],
        json!({"type": "gcs", "bucket": "other"})
    );
    assert_eq!(two["runner_configuration"], one["runner_configuration"]);
    let (_, three) = api.patch("/runners/k8s", json!({"description": "x"})).await;
    assert_eq!(
        (&three["description"], &three["runner_configuration"]),
        (&json!("x"), &one["runner_configuration"])
    );
}

#[tokio::test]
async fn c12_runners_04_reading_gives_the_last_change() {
    let api = with_runner().await;
    let (_, changed) = api
        .patch("/runners/mine", json!({"description": "x"}))
        .await;
    assert_eq!(api.get("/runners/mine").await, (200, changed));
    assert_eq!(
        api.get("/runners/nope").await,
        refusal(404, "runner not found")
    );
}

#[tokio::test]
async fn c12_runners_06_another_secret_masks_that_one_only() {
    let api = Api::new().await;
    api.make(
        "/runners",
        kubernetes(
            "k8s",
            json!({"client_key_data": "k"}),
            json!({"type": "s3", "bucket": "state"}),
        ),
    )
    .await;
    let cluster = json!({
        "cluster_data": {"certificate_authority_data": "ca", "server": "https://k"}, "auth": {"service_account_token": "t"}
    });
    let (_, changed) = api
        .patch(
            "/runners/k8s",
            json!({"runner_configuration": {"type": "kubernetes", "cluster": cluster}}),
        )
        .await;
    assert_eq!(
        changed["runner_configuration"]["cluster"]["auth"],
        json!({"service_account_token": "SECRET"})
    );
    assert_eq!(api.get("/runners/k8s").await, (200, changed));
}

#[tokio::test]
async fn c12_runners_08_the_same_scope_for_another_runner() {
    let api = with_runner().await;
    let made = api
        .make("/runner-rules", json!({"runner_id": "mine"}))
        .await;
    let said = format!(
        "runner rule conflicts with existing rule '{}' for runner 'mine'",
        made["id"].as_str().expect("id")
    );
    for scope in [json!({}), json!({"project_id": "", "env_type_id": ""})] {
        let mut body = json!({"runner_id": "local"});
        for (key, value) in scope.as_object().expect("an object") {
            body[key] = value.clone();
        }
        assert_eq!(api.post("/runner-rules", body).await, refusal(409, &said));
    }
}

#[tokio::test]
async fn c12_runners_09_more_specific_rules() {
    let api = with_runner().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    for scope in [
        json!({}),
        json!({"project_id": "shop"}),
        json!({"env_type_id": "dev"}),
        json!({"project_id": "shop", "env_type_id": "dev"}),
    ] {
        let mut body = scope.clone();
        body["runner_id"] = json!("mine");
        api.make("/runner-rules", body.clone()).await;
        assert_eq!(api.post("/runner-rules", body).await.0, 409, "{scope}");
    }
}

#[tokio::test]
async fn c12_runners_11_one_in_use_stays_and_goes_after() {
    let api = with_runner().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    api.make(
        "/projects/shop/envs",
        json!({"id": "test", "env_type_id": "dev"}),
    )
    .await;
    api.make("/runner-rules", json!({"runner_id": "mine"}))
        .await;
    api.post("/projects/shop/envs/test/actions/refresh_runner", json!({}))
        .await;
    let used = refusal(409, "runner mine is in use by the environments: shop/test");
    assert_eq!(api.delete("/runners/mine").await, used);
    assert_eq!(api.delete("/projects/shop/envs/test").await.0, 202);
    assert_eq!(api.delete("/runners/mine").await.0, 204);
    assert_eq!(
        api.listed("/runner-rules", "id").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn c12_runners_12_a_rule_for_one_that_is_not_there() {
    let api = with_runner().await;
    assert_eq!(api.delete("/runners/mine").await.0, 204);
    let answer = api
        .post("/runner-rules", json!({"runner_id": "mine"}))
        .await;
    assert_eq!(answer, refusal(409, "runner 'mine' not found"));
}

const KEYS: [&str; 2] = [
    "MCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
    "MCowBQYDK2VwAyEACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=",
];

#[tokio::test]
async fn c12_runners_14_an_agent_is_made_and_changed() {
    let api = Api::new().await;
    let key =
        |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let made = api
        .make("/runners", json!({"id": "agent", "state_storage_configuration": {"type": "kubernetes", "namespace": "ns"},
            "runner_configuration": {"type": "kubernetes-agent", "key": key(KEYS[0]), "job": {"namespace": "ns", "service_account": "sa"}}}))
        .await;
    assert_eq!(api.get("/runners/agent").await, (200, made));
    let job = json!({"namespace": "other", "service_account": "sb"});
    for (change, expected_key, expected_job) in [
        (
            json!({"type": "kubernetes-agent", "job": job}),
            KEYS[0],
            "other",
        ),
        (
            json!({"type": "kubernetes-agent", "key": key(KEYS[1])}),
            KEYS[1],
            "other",
        ),
        (
            json!({"type": "kubernetes-agent", "key": key(KEYS[0]), "job": {"namespace": "third", "service_account": "sb"}}),
            KEYS[0],
            "third",
        ),
    ] {
        let (status, changed) = api
            .patch("/runners/agent", json!({"runner_configuration": change}))
            .await;
        let configuration = &changed["runner_configuration"];
        assert_eq!(
            (status, &configuration["key"]),
            (200, &json!(key(expected_key))),
            "{changed}"
        );
        assert_eq!(configuration["job"]["namespace"], expected_job);
    }
}

/// Makes a runner with a state storage, and replaces that by each of the others whole.
async fn state_is_replaced(states: &[Value]) -> Api {
    let api = Api::new().await;
    let made = api
        .make("/runners", kubernetes("k8s", json!({}), states[0].clone()))
        .await;
    assert_eq!(made["state_storage_configuration"], states[0]);
    for state in states {
        let (status, changed) = api
            .patch(
                "/runners/k8s",
                json!({"state_storage_configuration": state}),
            )
            .await;
        assert_eq!(
            (status, &changed["state_storage_configuration"]),
            (200, state)
        );
        assert_eq!(api.get("/runners/k8s").await, (200, changed));
    }
    assert_eq!(api.delete("/runners/k8s").await.0, 204);
    api
}

#[tokio::test]
async fn c12_runners_15_state_with_google() {
    state_is_replaced(&[
        json!({"type": "gcs", "bucket": "one", "path_prefix": "a/b"}),
        json!({"type": "gcs", "bucket": "two"}),
        json!({"type": "gcs", "bucket": "two", "path_prefix": "c/"}),
    ])
    .await;
}

#[tokio::test]
async fn c12_runners_16_state_with_microsoft() {
    let azure = |container: &str, prefix: &str| json!({"type": "azurerm", "storage_account_name": "acc", "container_name": container, "path_prefix": prefix});
    let api = state_is_replaced(&[
        azure("one", "a/b"),
        azure("two", "c"),
        json!({"type": "azurerm", "storage_account_name": "other", "container_name": "two", "resource_group_name": "group"}),
    ])
    .await;
    let (status, answer) = api
        .post("/runners", kubernetes("k8s", json!({}), azure("one", "/a")))
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (
            400,
            &json!("state storage path_prefix is not a valid AzureRM path.")
        )
    );
}

#[tokio::test]
async fn c12_runners_17_tasks_of_amazons() {
    let api = Api::new().await;
    let job = json!({"region": "eu-central-1", "cluster": "c", "subnets": ["s"], "execution_role_arn": "arn:aws:iam::123456789012:role/x"});
    let made = api
        .make("/runners", json!({"id": "ecs", "state_storage_configuration": {"type": "s3", "bucket": "state"},
            "runner_configuration": {"type": "serverless-ecs", "auth": {"role_arn": "arn:aws:iam::123456789012:role/y"}, "job": job}}))
        .await;
    assert_eq!(api.get("/runners/ecs").await, (200, made.clone()));
    let mut changed = job;
    changed["subnets"] = json!(["s", "t"]);
    let (status, answer) = api
        .patch(
            "/runners/ecs",
            json!({"runner_configuration": {"type": "serverless-ecs", "job": changed}}),
        )
        .await;
    assert_eq!(
        (status, &answer["runner_configuration"]["job"]),
        (200, &changed)
    );
    assert_eq!(
        answer["runner_configuration"]["auth"],
        made["runner_configuration"]["auth"]
    );
    assert_eq!(api.delete("/runners/ecs").await.0, 204);
}
