//! Lines about selectors, companions, and graphs that are compared.

use serde_json::json;

use super::graph::db;
use super::{Offer, workload};

#[tokio::test]
async fn e20_g16_the_same_again_changes_nothing() {
    let offer = Offer::new(db()).await;
    let manifest = workload(json!({"a1": {"type": "db"}}));
    let id = offer.deploy(manifest.clone()).await;
    let (_, made) = offer.api.get(&format!("/deployments/{id}/graph")).await;
    assert_eq!(made["diff"]["num_added"], 2);
    let (one, two) = (
        offer.try_out(manifest.clone()).await,
        offer.try_out(manifest).await,
    );
    assert_eq!(one.nodes, two.nodes);
}

#[tokio::test]
async fn e20_g20_a_selector_reaches_over_who_uses_what() {
    let offer = Offer::new(json!([
        {"type": "identity"},
        {"type": "acl", "module_inputs": {"all": "${select.consumers('workload').dependencies('identity').outputs.arn}"}},
        {"type": "queue", "coprovisioned": [{"type": "acl", "is_dependent_on_current": true, "copy_dependents_from_current": true}]}
    ]))
    .await;
    let both = json!({"id": {"type": "identity"}, "q1": {"type": "queue", "id": "jobs"}});
    let graph = offer
        .try_out(json!({"workloads": {"api": {"resources": both}, "job": {"resources": both}}}))
        .await;
    for workload in ["api", "job"] {
        let edges = graph.edges(
            "acl.default@jobs",
            &format!("identity.default@workloads.{workload}.id"),
        );
        assert_eq!(edges.len(), 1, "{workload}");
    }
}

#[tokio::test]
async fn e20_g21_a_companion_for_all_who_depend_on_its_source() {
    let offer = Offer::new(json!([
        {"type": "acl"},
        {"type": "queue", "coprovisioned": [{"type": "acl", "id": "all", "is_dependent_on_current": true, "copy_dependents_from_current": true}]}
    ]))
    .await;
    let own = json!({"q1": {"type": "queue"}});
    let graph = offer
        .try_out(json!({"workloads": {"api": {"resources": own}, "job": {"resources": own}}}))
        .await;
    for workload in ["api", "job"] {
        assert_eq!(
            graph
                .edges(&format!("workload.default@{workload}"), "acl.default@all")
                .len(),
            1
        );
        assert_eq!(
            graph
                .edges(
                    "acl.default@all",
                    &format!("queue.default@workloads.{workload}.q1")
                )
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn e20_g22_a_named_edge_takes_the_place_of_a_nameless_one() {
    let offer = Offer::new(json!([
        {"type": "queue", "rule": null}, {"type": "acl", "dependencies": {"source": {"type": "queue"}}}
    ]))
    .await;
    let change = json!({"coprovisioned": [{"type": "acl", "is_dependent_on_current": true}]});
    assert_eq!(offer.api.patch("/modules/queue", change).await.0, 200);
    offer
        .api
        .make("/module-rules", json!({"module_id": "queue"}))
        .await;
    let graph = offer
        .try_out(workload(json!({"q1": {"type": "queue"}})))
        .await;
    assert_eq!(
        graph.edges(
            "acl.default@workloads.w1.q1",
            "queue.default@workloads.w1.q1"
        ),
        ["source"]
    );
}

#[tokio::test]
async fn e20_g24_placeholders_are_found_in_maps_lists_and_texts() {
    let offer = Offer::new(
        json!([{"type": "db"}, {"type": "app", "module_params": {"all": {"type": "any"}}}]),
    )
    .await;
    let params = |value: &str| json!({"a1": {"type": "app", "params": {"all": {"list": ["x", {"deep": value}]}}}, "d1": {"type": "db"}});
    let graph = offer
        .try_out(workload(params(
            "a ${resources.d1.outputs.host} b ${resources.d1.outputs.port}",
        )))
        .await;
    assert_eq!(
        graph
            .edges("app.default@workloads.w1.a1", "db.default@workloads.w1.d1")
            .len(),
        1
    );
    let graph = offer.try_out(workload(params("none"))).await;
    assert_eq!(
        graph
            .edges("app.default@workloads.w1.a1", "db.default@workloads.w1.d1")
            .len(),
        0
    );
    let said = offer.refused(workload(params("${nope}"))).await;
    assert!(
        said.contains("/workloads/w1/resources/a1/params/all/list/1/deep"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_g25_what_placeholders_may_name() {
    let offer = Offer::new(json!([{"type": "db"}])).await;
    let outputs = |text: &str| {
        json!({
            "shared": {"all": {"type": "db"}}, "workloads": {"w1": {"resources": {"d1": {"type": "db"}}, "outputs": {"X": text}}}
        })
    };
    offer
        .try_out(outputs(
            "${shared.all.outputs.host} ${resources.d1.outputs.host}",
        ))
        .await;
    for (text, said) in [
        (
            "${resources.nope.outputs.x}",
            "no resource dependency with alias 'nope' exists",
        ),
        (
            "${shared.nope.outputs.x}",
            "no shared resource with alias 'nope' exists",
        ),
    ] {
        let found = offer.refused(outputs(text)).await;
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[tokio::test]
async fn e20_g26_selectors_are_sorted_and_take_everything_once() {
    let offer = Offer::new(json!([
        {"type": "db"}, {"type": "sum", "dependencies": {"b1": {"type": "db", "id": "bb"}, "a1": {"type": "db", "id": "aa"}},
            "module_inputs": {"all": "${select.dependencies('db').outputs.host}", "none": "${select.dependencies('zz').outputs.x}"}}
    ]))
    .await;
    let text = offer
        .compiled(workload(json!({"s1": {"type": "sum"}})))
        .await;
    let (first, second) = (
        text.find("module.db_default_aa").expect("aa"),
        text.find("module.db_default_bb").expect("bb"),
    );
    assert!(first < second, "{text}");
    assert!(text.contains("none = []"), "{text}");
}

#[tokio::test]
async fn e20_g27_a_graph_that_was_stored_is_the_same_when_it_comes_back() {
    let offer = Offer::new(
        json!([{"type": "cc"}, {"type": "yy", "module_params": {"xx": {"type": "any"}}}]),
    )
    .await;
    let id = offer
        .deploy(workload(json!({"one": {"type": "yy", "params": {"xx": "${resources.two.outputs.a}"}}, "two": {"type": "cc"}})))
        .await;
    let (_, made) = offer.api.get(&format!("/deployments/{id}/graph")).await;
    let back = json!({"mode": "rollback", "rollback_to_deployment_id": id, "is_dry_run": true});
    let (status, answer) = offer.ask(back).await;
    assert_eq!(status, 200, "{answer}");
    let edges = |graph: &serde_json::Value| -> Vec<serde_json::Value> {
        graph["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .map(|node| node["edges"].clone())
            .collect()
    };
    assert_eq!(edges(&answer["windlass"]["graph"]), edges(&made["graph"]));
}

#[tokio::test]
async fn e20_g28_classes_are_exact_and_ids_go_before() {
    let offer = Offer::new(json!([
        {"type": "db"}, {"type": "db", "id": "big", "rule": {"resource_class": "big"}},
        {"type": "db", "id": "named", "rule": {"resource_id": "main"}}
    ]))
    .await;
    let graph = offer
        .try_out(workload(json!({"a1": {"type": "db"}, "b1": {"type": "db", "class": "big"}, "c1": {"type": "db", "id": "main"}})))
        .await;
    for (key, module) in [
        ("db.default@workloads.w1.a1", "db"),
        ("db.big@workloads.w1.b1", "big"),
        ("db.default@main", "named"),
    ] {
        assert_eq!(graph.nodes[key]["module_id"], module, "{key}");
    }
    let said = offer
        .refused(workload(json!({"a1": {"type": "db", "class": "other"}})))
        .await;
    assert!(
        said.contains("no module definition matches this resource"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_g29_nodes_are_in_the_order_of_type_class_and_id() {
    let offer = Offer::new(json!([{"type": "aa"}, {"type": "bb"}, {"type": "bb", "id": "b2", "rule": {"resource_class": "abc"}}])).await;
    let graph = offer
        .try_out(workload(json!({"z1": {"type": "aa"}, "a1": {"type": "bb"}, "b1": {"type": "bb", "class": "abc"}, "c1": {"type": "aa"}})))
        .await;
    let sorted = [
        "aa.default@workloads.w1.c1",
        "aa.default@workloads.w1.z1",
        "bb.abc@workloads.w1.b1",
        "bb.default@workloads.w1.a1",
    ];
    assert_eq!(graph.resources(), sorted);
}

#[tokio::test]
async fn e20_g17_another_version_of_a_module() {
    let offer = Offer::new(db()).await;
    let manifest = workload(json!({"a1": {"type": "db"}}));
    let first = offer.deploy(manifest.clone()).await;
    offer
        .api
        .patch("/modules/db", json!({"description": "newer"}))
        .await;
    let changes = after(&offer, &first, manifest.clone()).await;
    assert_eq!(
        (changes.as_array().map(Vec::len), &changes[0]["type"]),
        (Some(1), &json!("module_changed")),
        "{changes}"
    );
    let second = offer.deploy(manifest.clone()).await;
    assert_eq!(after(&offer, &second, manifest).await, json!([]));
}

#[tokio::test]
async fn e20_g18_another_module() {
    let offer =
        Offer::new(json!([{"type": "db"}, {"type": "db", "id": "other", "rule": null}])).await;
    let manifest = workload(json!({"a1": {"type": "db"}}));
    let first = offer.deploy(manifest.clone()).await;
    offer
        .api
        .make(
            "/module-rules",
            json!({"module_id": "other", "project_id": "shop"}),
        )
        .await;
    let changes = after(&offer, &first, manifest).await;
    assert_eq!(
        (changes.as_array().map(Vec::len), &changes[0]["type"]),
        (Some(1), &json!("module_changed")),
        "{changes}"
    );
}

#[tokio::test]
async fn e20_g19_a_rule_that_has_gone_is_an_error_and_not_the_old_module() {
    let offer = Offer::new(db()).await;
    let manifest = workload(json!({"a1": {"type": "db"}}));
    offer.deploy(manifest.clone()).await;
    let rules = offer.api.listed("/module-rules", "id").await;
    assert_eq!(
        offer
            .api
            .delete(&format!("/module-rules/{}", rules[0]))
            .await
            .0,
        204
    );
    let said = offer.refused(manifest).await;
    assert!(
        said.contains("no module definition matches this resource"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_t20_all_four_kinds_of_differences() {
    let offer = Offer::new(json!([
        {"type": "db", "module_params": {"size": {"type": "number", "is_optional": true}}}, {"type": "net"}
    ]))
    .await;
    let sized = |size: u8| json!({"type": "db", "params": {"size": size}});
    let first = offer.deploy(workload(json!({"kept": {"type": "db"}, "sized": sized(1), "gone": {"type": "db"}, "n1": {"type": "net"}}))).await;
    offer
        .api
        .patch("/modules/net", json!({"description": "newer"}))
        .await;
    let changes = after(&offer, &first, workload(json!({"kept": {"type": "db"}, "sized": sized(2), "new": {"type": "db"}, "n1": {"type": "net"}}))).await;
    let mut kinds: Vec<(&str, &str)> = changes
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| {
            (
                change["type"].as_str().expect("kind"),
                change["resource"].as_str().expect("resource"),
            )
        })
        .filter(|(_, resource)| !resource.starts_with("workload."))
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            ("added", "db.default@workloads.w1.new"),
            ("module_changed", "net.default@workloads.w1.n1"),
            ("params_changed", "db.default@workloads.w1.sized"),
            ("removed", "db.default@workloads.w1.gone"),
        ]
    );
}

#[tokio::test]
async fn e20_g23_the_sign_for_the_declarers_class_and_id_is_for_filters_only() {
    // v1's API refuses it in dependencies, so that no client can have sent it.
    let offer = Offer::new(db()).await;
    for more in [json!({"id": "@-a"}), json!({"class": "@-sub"})] {
        let mut dependency = json!({"type": "db"});
        for (key, value) in more.as_object().expect("an object") {
            dependency[key] = value.clone();
        }
        let (status, answer) = offer
            .api
            .patch("/modules/db", json!({"dependencies": {"d1": dependency}}))
            .await;
        assert_eq!(status, 400, "{answer}");
    }
}

/// A deployment, a change of the catalogue, another deployment: how their graphs differ.
async fn after(offer: &Offer, first: &str, manifest: serde_json::Value) -> serde_json::Value {
    let second = offer.deploy(manifest).await;
    let path = format!("/deployments/{second}/actions/diff?fromDeploymentId={first}");
    let (status, diff) = offer.api.post(&path, json!({})).await;
    assert_eq!(status, 200, "{diff}");
    diff["changes"].clone()
}
