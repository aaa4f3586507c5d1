//! Runners and runner rules.

use serde_json::{Value, json};

use super::{Api, assert_refused, masked, refusal};

fn kubernetes() -> Value {
    json!({
        "type": "kubernetes",
        "job": {"namespace": "ns", "service_account": "sa", "pod_template": {"spec": {"priority": 1, "enableServiceLinks": true}}},
        "cluster": {
            "cluster_data": {"certificate_authority_data": "ca", "server": "https://k"},
            "auth": {"client_certificate_data": "cert", "client_key_data": "planted-secret"}
        }
    })
}

fn ed25519(body: &str) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

const KEY: &str = "MCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

#[tokio::test]
async fn the_reserved_runners_are_listed_and_cannot_be_made_changed_or_removed() {
    let api = Api::new().await;
    let (_, page) = api.get("/runners").await;
    assert_eq!(
        masked(&page),
        json!({"items": [
            {"id": "local", "org_id": "default",
             "description": "Containers of the Docker daemon on this host (reserved)",
             "runner_configuration": {"type": "docker"},
             "state_storage_configuration": {"type": "local"},
             "created_at": "TIME", "updated_at": "TIME"},
            {"id": "process", "org_id": "default",
             "description": "Processes on this host, without a container (reserved)",
             "runner_configuration": {"type": "process"},
             "state_storage_configuration": {"type": "local"},
             "created_at": "TIME", "updated_at": "TIME"}
        ]})
    );
    let local = json!({"id": "local", "runner_configuration": {"type": "docker"}});
    assert_eq!(
        api.post("/runners", local).await,
        refusal(409, "runner with id local already exists")
    );
    let reserved = refusal(
        409,
        "runner local is reserved: it is always there and cannot be changed or deleted",
    );
    assert_eq!(
        api.patch("/runners/local", json!({"description": "x"}))
            .await,
        reserved
    );
    assert_eq!(api.delete("/runners/local").await, reserved);
    assert_eq!(api.get("/runners/process").await.0, 200);
}

pub(crate) async fn credentials_are_masked_in_every_answer_and_not_readable_in_the_database() {
    let api = Api::new().await;
    let runner = json!({
        "id": "k8s", "runner_configuration": kubernetes(),
        "state_storage_configuration": {"type": "kubernetes", "namespace": "ns"}
    });
    let made = api.make("/runners", runner).await;
    let mut expected = kubernetes();
    expected["cluster"]["auth"] =
        json!({"client_certificate_data": "SECRET", "client_key_data": "SECRET"});
    assert_eq!(
        masked(&made),
        json!({
            "id": "k8s", "org_id": "default", "runner_configuration": expected,
            "state_storage_configuration": {"type": "kubernetes", "namespace": "ns"},
            "created_at": "TIME", "updated_at": "TIME"
        })
    );
    assert_eq!(api.get("/runners/k8s").await, (200, made));
    let (_, page) = api.get("/runners").await;
    assert_eq!(
        page["items"][0]["runner_configuration"],
        json!({"type": "kubernetes"})
    );

    let token = json!({"runner_configuration": {"type": "kubernetes", "cluster": {
        "cluster_data": {"certificate_authority_data": "ca", "server": "https://k"},
        "auth": {"service_account_token": "t"}
    }}});
    let (_, patched) = api.patch("/runners/k8s", token).await;
    assert_eq!(
        patched["runner_configuration"]["cluster"]["auth"],
        json!({"service_account_token": "SECRET"})
    );
    assert_eq!(patched["runner_configuration"]["job"], kubernetes()["job"]);

    for entry in std::fs::read_dir(api._directory.path()).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            let found = bytes.windows(14).any(|window| window == b"planted-secret");
            assert!(!found, "{}", path.display());
        }
    }
}

pub(crate) async fn a_gke_runner_says_that_its_address_is_public_unless_told_otherwise() {
    let api = Api::new().await;
    let runner = json!({
        "id": "gke",
        "runner_configuration": {
            "type": "kubernetes-gke",
            "job": {"namespace": "ns", "service_account": "sa", "pod_template": {}},
            "cluster": {"name": "n", "project_id": "p", "location": "l",
                        "auth": {"gcp_audience": "a", "gcp_service_account": "s"}}
        },
        "state_storage_configuration": {"type": "gcs", "bucket": "state", "path_prefix": "a/b"}
    });
    let made = api.make("/runners", runner).await;
    assert_eq!(
        made["runner_configuration"]["cluster"]["internal_ip"],
        json!(false)
    );
    assert_eq!(
        made["runner_configuration"]["job"]["pod_template"],
        json!({})
    );
    let state = json!({"state_storage_configuration": {"type": "gcs", "bucket": "other"}});
    let (_, patched) = api.patch("/runners/gke", state).await;
    assert_eq!(
        patched["state_storage_configuration"],
        json!({"type": "gcs", "bucket": "other"})
    );
    assert_eq!(
        patched["runner_configuration"],
        made["runner_configuration"]
    );
    assert_eq!(
        api.patch(
            "/runners/gke",
            json!({"runner_configuration": {"type": "kubernetes"}})
        )
        .await
        .1["message"],
        json!("runner type kubernetes does not match existing runner type kubernetes-gke")
    );
}

pub(crate) async fn an_agent_runner_needs_an_ed25519_key_and_no_cluster() {
    let api = Api::new().await;
    let state = json!({"type": "kubernetes", "namespace": "ns"});
    let agent = |key: &str| {
        json!({
            "id": "agent", "state_storage_configuration": state,
            "runner_configuration": {
                "type": "kubernetes-agent", "key": key,
                "job": {"namespace": "ns", "service_account": "sa"}
            }
        })
    };
    let mut with_cluster = agent(&ed25519(KEY));
    with_cluster["runner_configuration"]["cluster"] = json!({});
    assert_refused(
        &api.post("/runners", with_cluster).await,
        400,
        "the supplied runner configuration does not match the specified runner type kubernetes-agent: json: unknown field \"cluster\"",
        &["/runner_configuration/cluster"],
    );
    assert_refused(
        &api.post("/runners", agent(&ed25519(&"A".repeat(300))))
            .await,
        400,
        "\"/runner_configuration/key\": maximum string length is 200",
        &["/runner_configuration/key"],
    );
    assert_refused(
        &api.post("/runners", agent(&ed25519("fake"))).await,
        400,
        "invalid public key",
        &["/runner_configuration/key"],
    );
    let made = api.make("/runners", agent(&ed25519(KEY))).await;
    assert_eq!(made["runner_configuration"]["key"], json!(ed25519(KEY)));
    let bad = json!({"runner_configuration": {"type": "kubernetes-agent", "key": ed25519("fake")}});
    assert_refused(
        &api.patch("/runners/agent", bad).await,
        400,
        "invalid public key",
        &["/runner_configuration/key"],
    );
}

#[tokio::test]
async fn states_must_fit_the_runner_and_have_clean_paths() {
    let api = Api::new().await;
    let ecs = json!({
        "type": "serverless-ecs",
        "auth": {"role_arn": "arn:aws:iam::123456789012:role/x"},
        "job": {"region": "eu-central-1", "cluster": "c", "subnets": ["s"],
                "execution_role_arn": "arn:aws:iam::123456789012:role/y"}
    });
    let gcs = json!({"id": "ecs", "runner_configuration": ecs,
                     "state_storage_configuration": {"type": "gcs", "bucket": "state"}});
    assert_refused(
        &api.post("/runners", gcs).await,
        400,
        "state storage type 'gcs' is not compatible with runner type 'serverless-ecs', it must be one of [s3]",
        &["/state_storage_configuration/type"],
    );
    let s3 = json!({"id": "ecs", "runner_configuration": ecs,
                    "state_storage_configuration": {"type": "s3", "bucket": "state"}});
    let made = api.make("/runners", s3).await;
    assert_eq!(api.get("/runners/ecs").await, (200, made));
    let azure = json!({"id": "azure", "runner_configuration": kubernetes(),
        "state_storage_configuration": {"type": "azurerm", "storage_account_name": "a",
            "container_name": "c", "path_prefix": "/x"}});
    assert_refused(
        &api.post("/runners", azure).await,
        400,
        "state storage path_prefix is not a valid AzureRM path.",
        &["/state_storage_configuration/path_prefix"],
    );
}

#[tokio::test]
async fn our_runner_types_are_checked_and_need_no_state() {
    let api = Api::new().await;
    let made = api
        .make(
            "/runners",
            json!({"id": "build", "runner_configuration": {
                "type": "docker", "engine": "terraform", "network": "none", "memory_bytes": 536870912, "cpus": 1.5,
                "environment": {"TF_VAR_region": "here", "TOKEN": {"from_env": "TOKEN"}}
            }}),
        )
        .await;
    assert_eq!(
        made["state_storage_configuration"],
        json!({"type": "local"})
    );
    assert_eq!(
        made["runner_configuration"]["environment"]["TOKEN"],
        json!({"from_env": "TOKEN"})
    );
    let wrong = json!({"id": "build", "runner_configuration": {"type": "dockr"},
                       "state_storage_configuration": {"type": "local"}});
    let (_, answer) = api.post("/runners", wrong).await;
    let detail = answer["details"]["diagnostics"][0]["detail"]
        .as_str()
        .expect("detail");
    assert!(detail.ends_with("Did you mean `docker`?"), "{detail}");
    for (configuration, pointer) in [
        (
            json!({"type": "docker", "imag": "x"}),
            "/runner_configuration",
        ),
        (
            json!({"type": "process", "engine": "tofu"}),
            "/runner_configuration/engine",
        ),
        (
            json!({"type": "docker", "pids": 1}),
            "/runner_configuration/pids",
        ),
        (
            json!({"type": "docker", "mounts": {"/a/../b": "/x"}}),
            "/runner_configuration/mounts/~1a~1..~1b",
        ),
        (
            json!({"type": "process", "environment": {"a b": "x"}}),
            "/runner_configuration/environment/a b",
        ),
    ] {
        let answer = api
            .post(
                "/runners",
                json!({"id": "other", "runner_configuration": configuration}),
            )
            .await;
        assert_refused(&answer, 400, "", &[pointer]);
    }
}

pub(crate) async fn a_runner_rule_has_empty_texts_where_nothing_is_set() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make(
        "/runners",
        json!({"id": "main", "runner_configuration": {"type": "process"}}),
    )
    .await;
    let made = api
        .make(
            "/runner-rules",
            json!({"runner_id": "main", "project_id": ""}),
        )
        .await;
    assert_eq!(
        masked(&made),
        json!({"id": "UUID", "org_id": "default", "runner_id": "main", "project_id": "",
               "env_type_id": "", "created_at": "TIME"})
    );
    let id = made["id"].as_str().expect("id");
    assert_eq!(
        api.get(&format!("/runner-rules/{id}")).await,
        (200, made.clone())
    );
    assert_eq!(
        api.post(
            "/runner-rules",
            json!({"runner_id": "local", "env_type_id": ""})
        )
        .await,
        refusal(
            409,
            &format!("runner rule conflicts with existing rule '{id}' for runner 'main'")
        )
    );
    assert_eq!(
        api.post("/runner-rules", json!({"runner_id": "none"}))
            .await,
        refusal(409, "runner 'none' not found")
    );
    assert_eq!(
        api.post(
            "/runner-rules",
            json!({"runner_id": "main", "env_type_id": "prod"})
        )
        .await,
        refusal(409, "environment type 'prod' not found")
    );
    assert_refused(
        &api.post("/runner-rules", json!({})).await,
        400,
        "runner_id is mandatory to create a runner rule",
        &["/runner_id"],
    );
    assert_eq!(api.delete("/runners/main").await.0, 204);
    assert_eq!(
        api.get(&format!("/runner-rules/{id}")).await,
        refusal(404, "runner rule not found")
    );
}

pub(crate) async fn runner_rules_are_listed_by_what_applies_and_by_exact_runner() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make(
        "/runners",
        json!({"id": "main", "runner_configuration": {"type": "process"}}),
    )
    .await;
    for rule in [
        json!({"runner_id": "main"}),
        json!({"runner_id": "main", "project_id": "shop"}),
        json!({"runner_id": "local", "project_id": "shop", "env_type_id": "dev"}),
        json!({"runner_id": "local", "project_id": "blog"}),
    ] {
        api.make("/runner-rules", rule).await;
    }
    assert_eq!(
        api.listed("/runner-rules?byProjectId=shop", "id")
            .await
            .len(),
        3
    );
    assert_eq!(
        api.listed("/runner-rules?byRunnerId=main", "id")
            .await
            .len(),
        2
    );
    assert_eq!(
        api.listed("/runner-rules", "runner_id").await,
        ["local", "local", "main", "main"]
    );
    assert_eq!(api.delete("/env-types/dev").await.0, 204);
    assert_eq!(
        api.listed("/runner-rules?byRunnerId=local", "id")
            .await
            .len(),
        1
    );
}
