//! Lines about what a request for a deployment becomes.

use serde_json::json;

use super::{Offer, workload};
use crate::contract::checklist::lines;

lines! {
    e20_c09_keys_that_are_none = deployments::request_mistakes_are_told_in_the_words_of_v1;
    e20_c12_waiting = deployments::waiting_too_short_is_408_and_less_than_two_seconds_is_refused;
    e20_c13_what_is_not_there = deployments::a_deployment_that_is_not_there_is_missing_on_every_route;
    e20_c16_metadata_keys = projects::metadata_keys_are_declared_changed_and_removed;
}

fn db() -> serde_json::Value {
    json!([{"type": "db", "module_source": "inline", "module_source_code": "# one"}])
}

#[tokio::test]
async fn e20_c02_a_rollback_is_of_what_was_then() {
    let offer = Offer::new(db()).await;
    let manifest = workload(json!({"d1": {"type": "db"}}));
    let id = offer.deploy(manifest.clone()).await;
    let (_, then) = offer.api.get("/modules/db").await;
    offer
        .api
        .patch(
            "/modules/db",
            json!({"module_source": "inline", "module_source_code": "# two"}),
        )
        .await;
    let (status, made) = offer
        .ask(json!({"mode": "rollback", "rollback_to_deployment_id": id}))
        .await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["mode"], &made["rollback_to_deployment_id"]),
        (&json!("rollback"), &json!(id))
    );
    assert_eq!(made["manifest"], manifest);
    let back = made["id"].as_str().expect("id");
    let (_, page) = offer
        .api
        .get(&format!("/deployments/{back}/resources"))
        .await;
    let versions: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["module_version"])
        .collect();
    assert!(versions.contains(&&then["version_id"]), "{page}");
}

#[tokio::test]
async fn e20_c03_a_companion_is_in_the_program() {
    let offer =
        Offer::new(json!([{"type": "acl"}, {"type": "queue", "coprovisioned": [{"type": "acl"}]}]))
            .await;
    let text = offer
        .compiled(workload(json!({"q1": {"type": "queue"}})))
        .await;
    assert!(
        text.contains("module \"acl_default_workloadsw1q1_"),
        "{text}"
    );
}

#[tokio::test]
async fn e20_c04_an_inline_module_is_a_directory_of_the_bundle() {
    let offer = Offer::new(db()).await;
    let (_, module) = offer.api.get("/modules/db").await;
    let version = module["version_id"].as_str().expect("id");
    let id = offer.deploy(workload(json!({"d1": {"type": "db"}}))).await;
    assert!(
        offer
            .program(&id)
            .await
            .contains(&format!("source = \"./modules/db/{version}\""))
    );
}

#[tokio::test]
async fn e20_c05_the_older_name_of_outputs() {
    let offer = Offer::new(db()).await;
    let manifest = json!({"workloads": {"w1": {"resources": {}, "variables": {"A": "x"}}}});
    let id = offer.deploy(manifest).await;
    let (_, made) = offer.api.get(&format!("/deployments/{id}")).await;
    assert_eq!(
        made["manifest"]["workloads"]["w1"]["outputs"],
        json!({"A": "x"})
    );
    assert_eq!(made["manifest"]["workloads"]["w1"].get("variables"), None);
    let both = json!({"workloads": {"w1": {"variables": {"A": "x"}, "outputs": {"A": "x"}}}});
    let said = offer.refused(both).await;
    assert!(
        said.contains("variables and outputs cannot be used together, please use outputs instead"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_c06_a_dry_run_keeps_nothing() {
    let offer = Offer::new(db()).await;
    let manifest = workload(json!({"d1": {"type": "db"}}));
    let (status, answer) = offer
        .ask(json!({"manifest": manifest, "is_dry_run": true}))
        .await;
    assert_eq!((status, &answer["runner_id"]), (200, &json!("local")));
    assert_eq!(answer["diff"]["num_added"], 2);
    assert_eq!(
        offer.api.get("/deployments").await,
        (200, json!({"items": []}))
    );
    assert_eq!(
        offer.api.get("/last-deployments").await,
        (200, json!({"items": []}))
    );
    assert_eq!(
        offer
            .api
            .get("/projects/shop/envs/test")
            .await
            .1
            .get("runner_id"),
        None
    );
}

#[tokio::test]
async fn e20_c11_a_placeholder_or_a_param_that_is_wrong() {
    let offer = Offer::new(db()).await;
    offer
        .refused(workload(json!({"d1": {"type": "db", "params": {"x": 1}}})))
        .await;
    let said = offer
        .refused(json!({"workloads": {"w1": {"outputs": {"X": "${nope}"}}}}))
        .await;
    assert!(said.contains("invalid placeholder 'nope'"), "{said}");
}

#[tokio::test]
async fn e20_c17_whether_a_module_is_in_use() {
    let offer = Offer::new(db()).await;
    offer.deploy(workload(json!({"d1": {"type": "db"}}))).await;
    let (status, answer) = offer.api.delete("/modules/db").await;
    assert!(status == 409 || status == 204, "{answer}");
    let well_known =
        crate::contract::http::send(offer.api.address, "GET", "/.well-known/jwks", &[], None).await;
    assert_eq!(
        well_known.status, 404,
        "this server signs nothing for clouds"
    );
}
