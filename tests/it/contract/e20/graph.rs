//! Lines about the resource graph.

use serde_json::json;

use super::{Offer, workload};

pub(super) fn db() -> serde_json::Value {
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
