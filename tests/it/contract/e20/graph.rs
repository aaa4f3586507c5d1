//! Lines about the resource graph.

use serde_json::json;

use super::{Offer, workload};

fn db() -> serde_json::Value {
    json!([{"type": "db", "module_params": {"size": {"type": "number", "is_optional": true}}}])
}

#[tokio::test]
async fn e20_g01_nothing_becomes_nothing() {
    let offer = Offer::new(json!([])).await;
    let graph = offer.try_out(json!({"workloads": {}})).await;
    assert_eq!((graph.nodes.len(), graph.changes.len()), (0, 0));
}

#[tokio::test]
async fn e20_g02_ids_follow_from_where_they_are_declared() {
    let offer = Offer::new(
        json!([{"type": "db"}, {"type": "db", "id": "big", "rule": {"resource_class": "big"}}]),
    )
    .await;
    let mut manifest = workload(
        json!({"own": {"type": "db"}, "said": {"type": "db", "class": "big", "id": "main"}}),
    );
    manifest["shared"] = json!({"all": {"type": "db"}});
    let graph = offer.try_out(manifest).await;
    assert_eq!(
        graph.resources(),
        [
            "db.big@main",
            "db.default@shared.all",
            "db.default@workloads.w1.own"
        ]
    );
}

#[tokio::test]
async fn e20_g03_equal_coordinates_are_one_node() {
    let offer = Offer::new(db()).await;
    let mut manifest = workload(json!({"own": {"type": "db", "id": "shared.all"}}));
    manifest["shared"] = json!({"all": {"type": "db"}});
    let graph = offer.try_out(manifest).await;
    assert_eq!(graph.resources(), ["db.default@shared.all"]);
    assert_eq!(
        graph.edges("workload.default@w1", "db.default@shared.all"),
        ["own"]
    );
}

#[tokio::test]
async fn e20_g04_two_sharers_with_different_params() {
    let offer = Offer::new(db()).await;
    let sized = |size: u8| json!({"type": "db", "id": "one", "params": {"size": size}});
    for manifest in [
        json!({"workloads": {}, "shared": {"a1": sized(1), "b1": sized(2)}}),
        json!({"workloads": {"w1": {"resources": {"a1": sized(1)}}, "w2": {"resources": {"a1": sized(2)}}}}),
    ] {
        let said = offer.refused(manifest).await;
        let v1 = "graph contains 1 errors:\n\ttype=db,class=default,id=one: referenced multiple times in the graph with different resource parameters\n";
        assert!(said.starts_with(v1), "{said}");
    }
}

#[tokio::test]
async fn e20_g05_no_params_and_params_are_one() {
    let offer = Offer::new(db()).await;
    let graph = offer
        .try_out(workload(json!({"a1": {"type": "db", "id": "one"}, "b1": {"type": "db", "id": "one", "params": {"size": 1}}})))
        .await;
    assert_eq!(graph.nodes["db.default@one"]["params"], json!({"size": 1}));
}

#[tokio::test]
async fn e20_g08_the_module_of_the_rule_serves_and_everything_is_new() {
    let offer = Offer::new(db()).await;
    let graph = offer.try_out(workload(json!({"a1": {"type": "db"}}))).await;
    assert_eq!(graph.nodes["db.default@workloads.w1.a1"]["module_id"], "db");
    let kinds: Vec<&str> = graph
        .changes
        .iter()
        .map(|(kind, _)| kind.as_str())
        .collect();
    assert_eq!(kinds, ["added", "added"]);
}

#[tokio::test]
async fn e20_g09_no_module_is_an_error_of_that_node_and_the_rest_is_still_looked_at() {
    let offer = Offer::new(db()).await;
    let said = offer
        .refused(workload(
            json!({"a1": {"type": "nope"}, "b1": {"type": "db", "class": "large"}}),
        ))
        .await;
    for part in [
        "graph contains 2 errors:",
        "\n\ttype=db,class=large,id=workloads.w1.b1: no module definition matches this resource",
        "\n\ttype=nope,class=default,id=workloads.w1.a1: no module definition matches this resource",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn e20_g10_a_dependency_takes_the_id_of_who_declares_it() {
    let offer = Offer::new(
        json!([{"type": "net"}, {"type": "db", "dependencies": {"n1": {"type": "net"}}}]),
    )
    .await;
    let graph = offer
        .try_out(json!({"workloads": {}, "shared": {"main": {"type": "db"}}}))
        .await;
    assert_eq!(
        graph.resources(),
        ["db.default@shared.main", "net.default@shared.main"]
    );
    assert_eq!(
        graph.edges("db.default@shared.main", "net.default@shared.main"),
        ["n1"]
    );
}

#[tokio::test]
async fn e20_g11_a_companion_without_flags_stands_alone() {
    let offer = Offer::new(json!([{"type": "net"}, {"type": "db", "coprovisioned": [{"type": "net", "id": "common"}]}])).await;
    let graph = offer.try_out(workload(json!({"a1": {"type": "db"}}))).await;
    assert_eq!(
        graph.resources(),
        ["db.default@workloads.w1.a1", "net.default@common"]
    );
    assert_eq!(
        graph.edges("db.default@workloads.w1.a1", "net.default@common"),
        Vec::<&str>::new()
    );
    assert_eq!(
        graph.edges("net.default@common", "db.default@workloads.w1.a1"),
        Vec::<&str>::new()
    );
}

#[tokio::test]
async fn e20_g12_a_placeholder_in_params_is_an_edge_whose_name_follows_from_its_target() {
    let offer = Offer::new(
        json!([{"type": "cc"}, {"type": "yy", "module_params": {"xx": {"type": "any"}}}]),
    )
    .await;
    let graph = offer
        .try_out(workload(json!({
            "one": {"type": "yy", "params": {"xx": "${resources.two.outputs.a}"}}, "two": {"type": "cc", "id": "common"}
        })))
        .await;
    let alias = graph.edges("yy.default@workloads.w1.one", "cc.default@common");
    // base64 without padding of SHA-256 over `cc NUL default NUL common`.
    assert_eq!(alias.len(), 1);
    assert_eq!(alias[0].len(), 43, "{alias:?}");
}

#[tokio::test]
async fn e20_g14_what_depends_on_itself() {
    let offer =
        Offer::new(json!([{"type": "ring", "dependencies": {"again": {"type": "ring"}}}])).await;
    let said = offer
        .refused(workload(json!({"a1": {"type": "ring"}})))
        .await;
    assert!(
        said.contains("type=ring,class=default,id=workloads.w1.a1: cycle detected"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_g15_a_cycle_of_two() {
    let offer = Offer::new(json!([
        {"type": "aa", "rule": null}, {"type": "bb", "dependencies": {"d1": {"type": "aa"}}}
    ]))
    .await;
    let change = json!({"dependencies": {"d1": {"type": "bb"}}});
    assert_eq!(offer.api.patch("/modules/aa", change).await.0, 200);
    offer
        .api
        .make("/module-rules", json!({"module_id": "aa"}))
        .await;
    let said = offer.refused(workload(json!({"a1": {"type": "aa"}}))).await;
    for part in [
        "errors:",
        "\n\ttype=aa,class=default,id=workloads.w1.a1: cycle detected",
        "\n\ttype=bb,class=default,id=workloads.w1.a1: cycle detected",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

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

/// A deployment, a change of the catalogue, another deployment: how their graphs differ.
async fn after(offer: &Offer, first: &str, manifest: serde_json::Value) -> serde_json::Value {
    let second = offer.deploy(manifest).await;
    let path = format!("/deployments/{second}/actions/diff?fromDeploymentId={first}");
    let (status, diff) = offer.api.post(&path, json!({})).await;
    assert_eq!(status, 200, "{diff}");
    diff["changes"].clone()
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
