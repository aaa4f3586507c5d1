//! Lines about the program that a graph becomes.

use serde_json::{Value, json};

use super::{Offer, workload};

/// The backend block of a runner with a state storage.
async fn backend(state: Value) -> String {
    let offer = Offer::new(json!([])).await;
    let runner = json!({"id": "away", "state_storage_configuration": state, "runner_configuration": {"type": "kubernetes-agent",
        "key": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n-----END PUBLIC KEY-----\n",
        "job": {"namespace": "ns", "service_account": "sa"}}});
    offer.api.make("/runners", runner).await;
    offer
        .api
        .make("/runner-rules", json!({"runner_id": "away"}))
        .await;
    let (_, env) = offer.api.get("/projects/shop/envs/test").await;
    let (status, made) = offer.ask(json!({"manifest": {"workloads": {}}})).await;
    assert_eq!(status, 201, "{made}");
    let text = offer.program(made["id"].as_str().expect("id")).await;
    let from = text.find("backend").expect("a backend");
    let block = text[from..].split('}').next().expect("a block");
    let words: Vec<&str> = block.split_whitespace().collect();
    words
        .join(" ")
        .replace(env["uuid"].as_str().expect("uuid"), "UUID")
}

#[tokio::test]
async fn e20_t01_to_05_backends() {
    for (state, expected) in [
        (
            json!({"type": "kubernetes", "namespace": "ns"}),
            "backend \"kubernetes\" { in_cluster_config = true namespace = \"ns\" secret_suffix = \"UUID\"",
        ),
        (
            json!({"type": "gcs", "bucket": "state"}),
            "backend \"gcs\" { bucket = \"state\" prefix = \"UUID\"",
        ),
        (
            json!({"type": "gcs", "bucket": "state", "path_prefix": "a/b"}),
            "backend \"gcs\" { bucket = \"state\" prefix = \"a/b/UUID\"",
        ),
        (
            json!({"type": "azurerm", "resource_group_name": "g", "storage_account_name": "acc", "container_name": "c", "path_prefix": "p"}),
            "backend \"azurerm\" { container_name = \"c\" key = \"p/UUID/terraform.tfstate\" resource_group_name = \"g\" storage_account_name = \"acc\"",
        ),
        (
            json!({"type": "azurerm", "storage_account_name": "acc", "container_name": "c"}),
            "backend \"azurerm\" { container_name = \"c\" key = \"UUID/terraform.tfstate\" storage_account_name = \"acc\"",
        ),
    ] {
        let found = backend(state.clone()).await;
        // The order of settings means nothing.
        let sorted = |text: &str| -> Vec<String> {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&found), sorted(expected), "{state}: {found}");
    }
}

#[tokio::test]
async fn e20_t06_a_selector_in_an_input_and_the_metadata() {
    let offer = Offer::new(json!([
        {"type": "db"},
        {"type": "sum", "module_inputs": {"all": "${select.consumers('workload').dependencies('db').outputs.host}"}}
    ]))
    .await;
    let text = offer
        .compiled(workload(
            json!({"d1": {"type": "db"}, "s1": {"type": "sum"}}),
        ))
        .await;
    assert!(
        super::flat(&text).contains("all = [ module.db_default_workloadsw1d1_")
            || super::flat(&text).contains("all = [module.db_default_workloadsw1d1_"),
        "{text}"
    );
    assert!(
        text.contains("output \"platform_orchestrator_metadata\""),
        "{text}"
    );
    let (_, page) = offer
        .api
        .get("/active-resources?project_id=shop&env_id=test")
        .await;
    let nodes = page["items"].as_array().expect("nodes");
    let resources = nodes
        .iter()
        .filter(|node| node["resource_type"] != "workload");
    for node in resources {
        assert!(
            text.contains(node["id"].as_str().expect("a hash")),
            "{node}: {text}"
        );
    }
    assert!(text.contains("output \"w1\""), "{text}");
}

#[tokio::test]
async fn e20_t07_a_selector_in_an_output() {
    let offer = Offer::new(json!([{"type": "db"}])).await;
    let manifest = json!({"workloads": {"w1": {"resources": {"d1": {"type": "db"}}, "outputs": {"X": "${select.dependencies('db').outputs.x}"}}}});
    let said = offer.refused(manifest).await;
    assert!(
        said.contains("'select' placeholders are not supported here"),
        "{said}"
    );
}

/// Buckets in accounts: one provider that stands for itself, one that is made by the account.
async fn accounts() -> Offer {
    let offer = Offer::new(json!([])).await;
    offer.provider("main", json!({"region": "here"})).await;
    offer.provider("tenant", json!({"assume_role[0]": {"arn": "${resources.account.outputs.arn}"}, "assume_role[1]": {"arn": "fixed"}})).await;
    for kind in ["account", "bucket"] {
        offer
            .api
            .make("/resource-types", json!({"id": kind, "output_schema": {}}))
            .await;
    }
    offer
        .module(json!({"type": "account", "provider_mapping": {"aws": "aws.main"}}))
        .await;
    offer
        .module(json!({"type": "bucket", "provider_mapping": {"aws": "aws.tenant"}, "dependencies": {"account": {"type": "account"}}}))
        .await;
    offer
}

#[tokio::test]
async fn e20_t08_one_static_provider_and_two_dynamic_ones() {
    let offer = accounts().await;
    let text = offer
        .compiled(workload(
            json!({"b1": {"type": "bucket"}, "b2": {"type": "bucket"}}),
        ))
        .await;
    assert_eq!(text.matches("provider \"aws-main-").count(), 1, "{text}");
    assert_eq!(text.matches("provider \"aws-tenant-").count(), 2, "{text}");
    let (provider, module) = (
        text.find("provider \"aws-main-").expect("it"),
        text.find("module \"account").expect("it"),
    );
    assert!(provider < module, "providers stand before who uses them");
}

#[tokio::test]
async fn e20_t09_a_dynamic_provider_that_names_nothing() {
    let offer = accounts().await;
    let configuration = json!({"arn": "${resources.nope.outputs.arn}"});
    let (status, _) = offer
        .api
        .patch(
            "/module-providers/aws/tenant",
            json!({"configuration": configuration}),
        )
        .await;
    assert_eq!(status, 200);
    let said = offer
        .refused(workload(json!({"b1": {"type": "bucket"}})))
        .await;
    assert!(
        said.contains("no resource dependency with alias 'nope' exists"),
        "{said}"
    );
}

#[tokio::test]
async fn e20_t12_repeated_blocks_of_a_provider() {
    let offer = accounts().await;
    let text = offer
        .compiled(workload(json!({"b1": {"type": "bucket"}})))
        .await;
    assert_eq!(text.matches("  assume_role {").count(), 2, "{text}");
}

#[tokio::test]
async fn e20_t13_self_in_the_params_of_a_dependency_is_who_declares_it() {
    let offer = Offer::new(json!([{"type": "net", "module_params": {"of": {"type": "any"}}}, {"type": "acl", "module_params": {"of": {"type": "any"}}}])).await;
    offer
        .api
        .make(
            "/resource-types",
            json!({"id": "queue", "output_schema": {}}),
        )
        .await;
    let along = json!([{"type": "acl", "is_dependent_on_current": true, "params": {"of": "${self.outputs.arn}"}}]);
    offer
        .module(json!({"type": "queue", "coprovisioned": along}))
        .await;
    let text = offer
        .compiled(workload(json!({"q1": {"type": "queue"}})))
        .await;
    assert!(
        super::flat(&text).contains("of = module.queue_default_workloadsw1q1_"),
        "{text}"
    );
}

#[tokio::test]
async fn e20_t14_self_in_ones_own_inputs_is_a_cycle_and_told_at_once() {
    let offer =
        Offer::new(json!([{"type": "db", "module_inputs": {"me": "${self.outputs.x}"}}])).await;
    let said = offer.refused(workload(json!({"d1": {"type": "db"}}))).await;
    assert!(said.to_lowercase().contains("cycle"), "{said}");
}

#[tokio::test]
async fn e20_t15_one_configuration_is_one_block() {
    let offer = accounts().await;
    let change = json!({"provider_mapping": {"aws": "aws.tenant", "aws2": "aws.tenant"}});
    assert_eq!(offer.api.patch("/modules/bucket", change).await.0, 200);
    let text = offer
        .compiled(workload(
            json!({"b1": {"type": "bucket", "id": "one"}, "b2": {"type": "bucket", "id": "one"}}),
        ))
        .await;
    assert_eq!(text.matches("provider \"aws-tenant-").count(), 1, "{text}");
}

#[tokio::test]
async fn e20_t16_params_have_their_types() {
    let types = ["string", "number", "bool", "list", "map", "any"];
    let params: serde_json::Map<String, Value> = types
        .iter()
        .map(|kind| {
            (
                format!("p-{kind}"),
                json!({"type": kind, "is_optional": true}),
            )
        })
        .collect();
    let offer = Offer::new(json!([{"type": "db", "module_params": params}])).await;
    let values = [
        ("string", json!("x")),
        ("number", json!(1.5)),
        ("bool", json!(true)),
        ("list", json!([1])),
        ("map", json!({"a": 1})),
    ];
    for kind in types {
        for (of, value) in &values {
            let mut resource = json!({"type": "db", "params": {}});
            resource["params"][format!("p-{kind}")] = value.clone();
            let manifest = workload(json!({"d1": resource}));
            if kind == "any" || kind == *of {
                offer.try_out(manifest).await;
            } else {
                let said = offer.refused(manifest).await;
                let v1 = format!("which expects param 'p-{kind}' to be of type '{kind}'");
                assert!(said.contains(&v1), "{v1}: {said}");
            }
        }
    }
    let wrong = json!({"module_params": {"p": {"type": "text"}}});
    assert_eq!(offer.api.patch("/modules/db", wrong).await.0, 400);
}

#[tokio::test]
async fn e20_t17_params_that_are_missing_wrong_or_unknown() {
    let offer =
        Offer::new(json!([{"type": "db", "module_params": {"size": {"type": "number"}}}])).await;
    for (params, said) in [
        (json!({}), "which requires number param 'size' to be set"),
        (
            json!({"size": null}),
            "which requires number param 'size' to be set",
        ),
        (
            json!({"size": "x"}),
            "which expects param 'size' to be of type 'number' but got 'string'",
        ),
        (
            json!({"size": 1, "other": 1}),
            "which does not define module_param 'other'",
        ),
    ] {
        let found = offer
            .refused(workload(json!({"d1": {"type": "db", "params": params}})))
            .await;
        assert!(found.contains(said), "{said}: {found}");
        assert!(
            found.contains("node 'type=db,class=default,id=workloads.w1.d1': uses module db@"),
            "{found}"
        );
    }
}

#[tokio::test]
async fn e20_t18_the_same_provider_or_another_follows_from_what_it_names() {
    let offer = accounts().await;
    let shared = json!({"b1": {"type": "bucket"}, "b2": {"type": "bucket"}});
    let aliases = |text: &str| -> std::collections::BTreeSet<String> {
        let rest = text.split("provider \"").skip(1);
        rest.map(|rest| rest.split('"').next().expect("a name").to_owned())
            .collect()
    };
    let one = aliases(&offer.compiled(workload(shared.clone())).await);
    let two = aliases(&offer.compiled(workload(shared)).await);
    assert_eq!(
        (one.len(), &one),
        (3, &two),
        "nothing but what they name decides"
    );
    let unknown = json!({"provider_mapping": {"aws": "aws.nope"}});
    let (status, answer) = offer.api.patch("/modules/bucket", unknown).await;
    let said = "invalid provider mapping: no provider exists with type aws and id nope";
    assert_eq!((status, &answer["message"]), (400, &json!(said)));
}

#[tokio::test]
async fn e20_t19_resources_are_listed_with_their_edges() {
    let offer = Offer::new(
        json!([{"type": "net"}, {"type": "db", "dependencies": {"n1": {"type": "net"}}}]),
    )
    .await;
    let empty = offer.deploy(json!({"workloads": {}})).await;
    assert_eq!(
        offer
            .api
            .get(&format!("/deployments/{empty}/resources"))
            .await,
        (200, json!({"items": []}))
    );
    let id = offer.deploy(workload(json!({"d1": {"type": "db"}}))).await;
    let (_, page) = offer.api.get(&format!("/deployments/{id}/resources")).await;
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 3);
    let of = |kind: &str| {
        items
            .iter()
            .find(|item| item["resource_type"] == kind)
            .expect("it")
    };
    assert_eq!(of("workload")["edges"]["d1"], of("db")["id"]);
    assert_eq!(of("db")["edges"]["n1"], of("net")["id"]);
    assert_eq!(of("net")["edges"], json!({}));
    assert_eq!(
        (&of("workload")["module_id"], &of("db")["module_id"]),
        (&json!(""), &json!("db"))
    );
    assert!(
        items
            .iter()
            .all(|item| item["deployment_id"] == id && item["metadata"] == json!({}))
    );
}
