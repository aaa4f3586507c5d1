//! Lines about the course of deployments.

use serde_json::json;

use super::{Offer, workload};
use crate::contract::checklist::lines;

lines! {
    e20_i07_filters = deployments::lists_are_filtered_and_wrong_filters_refused;
    e20_i10_idempotency = deployments::the_same_key_is_the_same_deployment_and_never_another;
    e20_i04_a_plan_that_is_none = deployments::request_mistakes_are_told_in_the_words_of_v1;
}

fn db() -> serde_json::Value {
    json!([{"type": "db", "module_source": "inline", "module_source_code": "# one"}])
}

#[tokio::test]
async fn e20_i02_made_read_listed_and_filtered() {
    let offer = Offer::new(db()).await;
    let (status, made) = offer
        .ask(json!({"manifest": workload(json!({"d1": {"type": "db"}}))}))
        .await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().expect("id");
    assert_eq!(
        offer.api.get(&format!("/deployments/{id}")).await,
        (200, made.clone())
    );
    for (path, count) in [
        ("/deployments", 1),
        ("/last-deployments", 1),
        ("/deployments?project_id=shop&env_id=test", 1),
        ("/deployments?project_id=shop&env_id=other", 0),
        ("/last-deployments?project_id=shop&env_id=test", 1),
        ("/last-deployments?project_id=shop&env_id=other", 0),
    ] {
        assert_eq!(offer.api.listed(path, "id").await.len(), count, "{path}");
    }
}

#[tokio::test]
async fn e20_i03_a_second_one_waits_for_the_first_to_end() {
    let offer = Offer::new(db()).await;
    let (_, first) = offer.ask(json!({"manifest": {"workloads": {}}})).await;
    let id = first["id"].as_str().expect("id");
    let (status, answer) = offer.ask(json!({"manifest": {"workloads": {}}})).await;
    let said = format!("deployment '{id}' is still executing");
    assert_eq!((status, &answer["message"]), (409, &json!(said)));
    offer.cancel(id).await;
    assert_eq!(
        offer.ask(json!({"manifest": {"workloads": {}}})).await.0,
        201
    );
}

#[tokio::test]
async fn e20_i05_pages_of_deployments_and_of_the_last_ones() {
    let offer = Offer::new(db()).await;
    for number in 1..=11 {
        let env = format!("env-{number}");
        offer
            .api
            .make(
                "/projects/shop/envs",
                json!({"id": env, "env_type_id": "dev"}),
            )
            .await;
        assert_eq!(
            offer
                .ask(json!({"env_id": env, "manifest": {"workloads": {}}}))
                .await
                .0,
            201
        );
    }
    for list in ["/deployments", "/last-deployments"] {
        let mut found = std::collections::BTreeSet::new();
        let mut path = format!("{list}?per_page=4");
        let mut pages = 0;
        loop {
            let (_, page) = offer.api.get(&path).await;
            let items = page["items"].as_array().expect("items");
            found.extend(items.iter().map(|item| item["id"].to_string()));
            pages += 1;
            match page["next_page_token"].as_str() {
                Some(token) => path = format!("{list}?per_page=4&page={token}"),
                None => break,
            }
        }
        assert_eq!((found.len(), pages), (11, 3), "{list}");
    }
}

#[tokio::test]
async fn e20_i08_a_program_is_the_same_every_time() {
    let offer = Offer::new(
        json!([{"type": "net"}, {"type": "db", "dependencies": {"n1": {"type": "net"}}}]),
    )
    .await;
    let manifest =
        workload(json!({"d1": {"type": "db"}, "d2": {"type": "db"}, "n1": {"type": "net"}}));
    let (one, two) = (
        offer.compiled(manifest.clone()).await,
        offer.compiled(manifest).await,
    );
    assert_eq!(one, two);
    assert_eq!(one.matches("\nmodule \"").count(), 5, "{one}");
}

#[tokio::test]
async fn e20_i14_where_a_rollback_goes() {
    let offer = Offer::new(db()).await;
    let (status, answer) = offer.ask(json!({"mode": "rollback"})).await;
    let said = "rollback_to_deployment_id must be set when mode is rollback";
    assert_eq!(
        (
            status,
            answer["message"]
                .as_str()
                .map(|text| text.starts_with(said))
        ),
        (400, Some(true)),
        "{answer}"
    );
    let nobody = "00000000-0000-7000-8000-000000000000";
    let (status, answer) = offer
        .ask(json!({"mode": "rollback", "rollback_to_deployment_id": nobody}))
        .await;
    assert_eq!(
        (status, &answer["message"]),
        (409, &json!(format!("deployment '{nobody}' not found")))
    );
    let id = offer.deploy(workload(json!({"d1": {"type": "db"}}))).await;
    let (status, made) = offer
        .ask(json!({"mode": "rollback", "plan_only": true, "rollback_to_deployment_id": id}))
        .await;
    assert_eq!(
        (status, &made["mode"], &made["plan_only"]),
        (201, &json!("rollback"), &json!(true)),
        "{made}"
    );
}

#[tokio::test]
async fn e20_i16_active_resources() {
    let offer = Offer::new(db()).await;
    let path = "/active-resources?project_id=shop&env_id=";
    let (status, answer) = offer.api.get(&format!("{path}test")).await;
    assert_eq!(
        (status, &answer["message"]),
        (
            404,
            &json!("no deployments found in env 'test' of project 'shop'")
        )
    );
    let id = offer.deploy(workload(json!({"d1": {"type": "db"}}))).await;
    let (_, active) = offer.api.get(&format!("{path}test")).await;
    let (_, of) = offer.api.get(&format!("/deployments/{id}/resources")).await;
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["id"].to_string())
            .collect()
    };
    assert_eq!(ids(&active), ids(&of));
}

#[tokio::test]
async fn e20_k01_a_type_of_runner_that_cannot_run_yet_says_so() {
    let offer = Offer::new(db()).await;
    offer.api.make("/runners", json!({"id": "later", "state_storage_configuration": {"type": "windlass"}, "runner_configuration": {"type": "docker"}})).await;
    offer
        .api
        .make("/runner-rules", json!({"runner_id": "later"}))
        .await;
    let (status, answer) = offer.ask(json!({"manifest": {"workloads": {}}})).await;
    let said = answer["message"].as_str().expect("a message");
    assert_eq!(status, 409, "{answer}");
    assert!(
        said.contains("`windlass`") && said.contains("cannot be used from here"),
        "{said}"
    );
}

/// Ours, beside v1: why a resource is as it is, and what exactly was run.
#[tokio::test]
async fn a_resource_is_explained_and_a_bundle_given_out() {
    let offer = Offer::new(json!([
        {"type": "net"},
        {"type": "db", "module_params": {"size": {"type": "number"}}, "module_inputs": {"net": "${resources.n1.outputs.id}"},
         "dependencies": {"n1": {"type": "net"}}},
        {"type": "db", "id": "losing", "rule": null}
    ]))
    .await;
    offer
        .api
        .make(
            "/module-rules",
            json!({"module_id": "losing", "env_type_id": "dev"}),
        )
        .await;
    offer
        .api
        .make(
            "/module-rules",
            json!({"module_id": "db", "project_id": "shop"}),
        )
        .await;
    let id = offer
        .deploy(workload(
            json!({"d1": {"type": "db", "params": {"size": 3}}}),
        ))
        .await;
    for node in [
        "db.default@workloads.w1.d1",
        "type=db,class=default,id=workloads.w1.d1",
    ] {
        let (status, why) = offer
            .api
            .get(&format!("/deployments/{id}/explain/{node}"))
            .await;
        assert_eq!(status, 200, "{why}");
        assert_eq!(why["node"]["why"]["scope"], "project shop");
        assert_eq!(
            why["node"]["why"]["lost"].as_array().map(Vec::len),
            Some(2),
            "{why}"
        );
        assert_eq!(why["used_by"], json!(["workload.default@w1"]));
        let of = |name: &str| {
            why["inputs"]
                .as_array()
                .expect("inputs")
                .iter()
                .find(|input| input["name"] == name)
                .expect("it")
                .clone()
        };
        assert_eq!(
            (&of("size")["origin"], &of("size")["at"]),
            (
                &json!("param"),
                &json!("/workloads/w1/resources/d1/params/size")
            )
        );
        assert_eq!(
            (&of("net")["origin"], &of("net")["reads"]),
            (&json!("module"), &json!(["net.default@workloads.w1.d1"]))
        );
    }
    let (status, answer) = offer
        .api
        .get(&format!("/deployments/{id}/explain/nope"))
        .await;
    assert_eq!(status, 404);
    assert!(
        answer["message"]
            .as_str()
            .expect("text")
            .contains("db.default@workloads.w1.d1"),
        "{answer}"
    );

    let reply = offer
        .api
        .plain("GET", &format!("/deployments/{id}/bundle"))
        .await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("application/x-tar"))
    );
    let mut archive = tar::Archive::new(reply.body.as_slice());
    let mut files = std::collections::BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
        files.insert(path, text);
    }
    assert_eq!(files["main.tf"], offer.program(&id).await);
}
