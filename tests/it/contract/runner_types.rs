//! Every type of runner with every state storage is taken, checked and kept; one that cannot run says so when a deployment
//! needs it, and not before.

use serde_json::{Value, json};

use crate::api::Api;

/// A key and other things that nobody may read again.
const PLANTED: &str = "planted-in-a-runner";

/// Each type with a configuration that is whole, and the state storages that fit it.
fn types() -> Vec<(Value, &'static [&'static str])> {
    const CLOUD: &[&str] = &["kubernetes", "s3", "gcs", "azurerm", "windlass"];
    const HERE: &[&str] = &["local", "s3", "gcs", "azurerm", "windlass", "http", "pg"];
    let job = json!({"namespace": "ns", "service_account": "sa"});
    let data = json!({"certificate_authority_data": "ca", "server": "https://k"});
    let key = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n-----END PUBLIC KEY-----\n";
    let role = "arn:aws:iam::123456789012:role/y";
    vec![
        (
            json!({"type": "kubernetes", "job": job, "cluster": {"cluster_data": data, "auth": {"service_account_token": PLANTED}}}),
            CLOUD,
        ),
        (
            json!({"type": "kubernetes-gke", "job": job, "cluster": {"name": "c", "project_id": "p", "location": "l",
                "auth": {"gcp_audience": "a", "gcp_service_account": "s"}}}),
            CLOUD,
        ),
        (
            json!({"type": "kubernetes-eks", "job": job, "cluster": {"name": "c", "region": "eu-central-1", "auth": {"role_arn": role}}}),
            CLOUD,
        ),
        (
            json!({"type": "kubernetes-agent", "job": job, "key": key}),
            CLOUD,
        ),
        (
            json!({"type": "serverless-ecs", "auth": {"role_arn": role}, "job": {"region": "eu-central-1", "cluster": "c", "subnets": ["s"],
                "execution_role_arn": role}}),
            &["s3"],
        ),
        (
            json!({"type": "docker", "image": "example/image:1", "engine": "opentofu", "network": "none", "memory_bytes": 536_870_912,
                "cpus": 1.5, "pids": 512, "mounts": {"/srv/certificates": "/certificates"},
                "environment": {"A": "a", "B": {"from_env": "B"}, "C": {"from_file": "/c"}}, "standby_secs": 30}),
            HERE,
        ),
        (
            json!({"type": "process", "engine": "terraform", "environment": {"A": "a"}}),
            HERE,
        ),
    ]
}

fn states() -> [(&'static str, Value); 8] {
    [
        (
            "kubernetes",
            json!({"type": "kubernetes", "namespace": "ns"}),
        ),
        (
            "s3",
            json!({"type": "s3", "bucket": "state", "path_prefix": "a/b"}),
        ),
        ("gcs", json!({"type": "gcs", "bucket": "state"})),
        (
            "azurerm",
            json!({"type": "azurerm", "storage_account_name": "acc", "container_name": "c", "resource_group_name": "g"}),
        ),
        ("local", json!({"type": "local"})),
        (
            "http",
            json!({"type": "http", "address": "https://state.example.com"}),
        ),
        ("pg", json!({"type": "pg", "schema_name": "state"})),
        ("windlass", json!({"type": "windlass"})),
    ]
}

#[tokio::test]
async fn every_type_with_every_state_is_kept_and_refused_only_where_it_is_needed() {
    let api = Api::new().await;
    api.make("/env-types", json!({"id": "dev"})).await;
    api.make("/projects", json!({"id": "shop"})).await;
    let env = json!({"id": "test", "env_type_id": "dev"});
    api.make("/projects/shop/envs", env).await;
    let mut taken = 0;
    for (configuration, fitting) in types() {
        let kind = configuration["type"].as_str().expect("a type");
        for (state, storage) in states() {
            let id = format!("{kind}-{state}");
            let body = json!({"id": id, "runner_configuration": configuration, "state_storage_configuration": storage});
            let (status, made) = api.post("/runners", body).await;
            if !fitting.contains(&state) {
                assert_eq!(status, 400, "{id}: {made}");
                let told = &made["details"]["diagnostics"][0];
                let at = told["places"][0]["pointer"].as_str();
                assert_eq!(
                    at,
                    Some("/state_storage_configuration/type"),
                    "{id}: {made}"
                );
                let said = told.to_string();
                assert!(fitting.iter().all(|one| said.contains(one)), "{id}: {said}");
                continue;
            }
            assert_eq!(status, 201, "{id}: {made}");
            assert!(!made.to_string().contains(PLANTED), "{id}: {made}");
            assert_eq!(made["state_storage_configuration"], storage, "{id}");
            for (field, value) in configuration.as_object().expect("an object") {
                if !value.to_string().contains(PLANTED) && kind != "kubernetes-gke" {
                    assert_eq!(&made["runner_configuration"][field], value, "{id} {field}");
                }
            }
            assert_eq!(
                api.get(&format!("/runners/{id}")).await,
                (200, made),
                "{id}"
            );
            taken += 1;

            let body = json!({"project_id": "shop", "env_id": "test", "mode": "deploy", "manifest": {"workloads": {}},
                "is_dry_run": true, "windlass": {"runner": id}});
            let (status, answer) = api.post("/deployments", body).await;
            // An agent comes and goes: that nobody is there is found out when it is the turn of the deployment.
            let runs = ["docker", "process", "kubernetes", "kubernetes-agent"].contains(&kind);
            // No server is there that could keep the state.
            if runs && state != "windlass" {
                assert_eq!(status, 200, "{id}: {answer}");
                continue;
            }
            assert_eq!(status, 409, "{id}: {answer}");
            let said = answer["message"].as_str().expect("a message");
            let named = if runs { state } else { kind };
            assert!(
                said.contains(&format!("`{id}`")) && said.contains(&format!("`{named}`")),
                "{id}: {said}"
            );
            assert!(said.contains("cannot"), "{id}: {said}");
        }
    }
    assert_eq!(taken, 4 * 5 + 1 + 7 + 7);
}

/// v1's runners report over routes that no client may use; runs of this server speak to nothing but their launcher.
#[tokio::test]
async fn what_only_runners_of_v1_call_is_not_there() {
    let api = Api::new().await;
    let id = "01900000-0000-7000-8000-000000000009";
    for (method, path) in [
        ("POST", format!("/orgs/default/deployments/{id}/results")),
        (
            "POST",
            format!("/orgs/default/deployments/{id}/actions/force-failure"),
        ),
        ("GET", "/orgs/default/runners/mine/commands".to_owned()),
        (
            "POST",
            format!("/internal/orgs/default/deployments/{id}/actions/force-failure"),
        ),
        ("DELETE", "/internal/orgs/default/deployments".to_owned()),
        ("POST", "/admin/orgs".to_owned()),
        ("GET", "/.well-known/openid-configuration".to_owned()),
        ("GET", "/.well-known/jwks".to_owned()),
    ] {
        let reply = super::http::send(api.address, method, &path, &[], Some(b"{}")).await;
        assert_eq!(reply.status, 404, "{method} {path}");
        reply.is_refusal(&path);
    }
}
