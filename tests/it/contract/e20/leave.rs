//! Lines about resources that are no longer asked for, whose providers are needed once more to remove them.

use serde_json::{Value, json};

use super::lived::Live;
use super::workload;
use crate::contract::http::send;
use crate::server::TOKEN;
use crate::support::Place;

/// Plans and applies nothing, well.
const ENGINE: &str =
    r#"case $1 in plan|apply) planned 0; applied 0;; show|output) echo '{}';; esac"#;

/// Buckets in accounts: accounts have a provider of their own, buckets one that their account makes.
async fn accounts() -> Live {
    let live = Live::at(Place::scripted(ENGINE)).await;
    for (id, configuration) in [
        ("main", json!({"region": "here"})),
        ("tenant", json!({"arn": "${resources.account.outputs.arn}"})),
    ] {
        live.make(
            "/module-providers",
            json!({"provider_type": "aws", "id": id, "source": "hashicorp/aws",
            "version_constraint": "~> 5.0", "configuration": configuration}),
        )
        .await;
    }
    for (kind, more) in [
        ("account", json!({"provider_mapping": {"aws": "aws.main"}})),
        (
            "bucket",
            json!({"provider_mapping": {"aws": "aws.tenant"}, "dependencies": {"account": {"type": "account"}}}),
        ),
    ] {
        live.make("/resource-types", json!({"id": kind, "output_schema": {}}))
            .await;
        let mut module = json!({"id": kind, "resource_type": kind, "module_source": "inline", "module_source_code": "# empty"});
        for (key, value) in more.as_object().expect("an object") {
            module[key] = value.clone();
        }
        live.make("/modules", module).await;
        live.make("/module-rules", json!({"module_id": kind})).await;
    }
    live
}

fn asked(resources: Value) -> Value {
    json!({"project_id": "shop", "env_id": "dev", "mode": "deploy", "manifest": workload(resources)})
}

/// Deploys and waits; the program that was run.
async fn program(live: &Live, resources: Value) -> String {
    let made = live.make("/deployments", asked(resources)).await;
    let id = made["id"].as_str().expect("an id");
    let ended = live.ended(id).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let (status, text) = live.text(&format!("/deployments/{id}/tf")).await;
    assert_eq!(status, 200, "{text}");
    text
}

impl Live {
    async fn text(&self, path: &str) -> (u16, String) {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str())];
        let target = format!("/orgs/acme{path}");
        let reply = send(self.address(), "GET", &target, &headers, None).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        (reply.status, text)
    }
}

#[tokio::test]
async fn e20_t10_a_leaving_resource_keeps_the_block_of_its_provider_once() {
    let live = accounts().await;
    let first = program(&live, json!({"a1": {"type": "account"}})).await;
    assert!(first.contains("module \"account_"), "{first}");
    let second = program(&live, json!({})).await;
    assert!(second.contains("provider \"aws-main-"), "{second}");
    assert!(second.contains("hashicorp/aws"), "{second}");
    assert!(!second.contains("module \"account_"), "{second}");
    let third = program(&live, json!({})).await;
    assert!(!third.contains("provider \""), "it was removed: {third}");
}

#[tokio::test]
async fn e20_t11_what_a_leaving_provider_names_must_stay_once_more() {
    let live = accounts().await;
    let first = program(&live, json!({"b1": {"type": "bucket", "id": "one"}})).await;
    assert!(first.contains("module \"bucket_"), "{first}");
    let (status, refused) = live
        .call("POST", "/deployments", Some(&asked(json!({}))))
        .await;
    assert_eq!(status, 400, "{refused}");
    let said = refused["message"].as_str().expect("a message");
    assert!(
        said.contains("resolves to a deleted node 'type=account,class=default,id=one' which must be anchored in the graph"),
        "{said}"
    );
    let told = refused["details"]["diagnostics"][0]["detail"].to_string();
    assert!(
        told.contains("Keep it in the manifest for one more deployment"),
        "{refused}"
    );

    // What it names is kept, and the bucket goes with the provider that the account makes.
    let kept = json!({"a1": {"type": "account", "id": "one"}});
    let second = program(&live, kept).await;
    assert!(second.contains("provider \"aws-tenant-"), "{second}");
    assert!(second.contains("module \"account_"), "{second}");
    assert!(!second.contains("module \"bucket_"), "{second}");
    let third = program(&live, json!({})).await;
    assert!(!third.contains("aws-tenant-"), "{third}");
    assert!(third.contains("provider \"aws-main-"), "{third}");
}
