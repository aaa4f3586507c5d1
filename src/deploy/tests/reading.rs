use super::*;

on_both!(while_a_run_goes_on_it_is_said_when_it_was_last_heard_of);
async fn while_a_run_goes_on_it_is_said_when_it_was_last_heard_of(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    let heard = async || {
        let shown = world.get(&accepted.id).await;
        shown.windlass.expect("extras").heard_at
    };
    assert_eq!(heard().await, None);
    let assignment = world.claim().await;
    assert_eq!(heard().await, None, "it was claimed and said nothing yet");
    world.start(&assignment).await;
    let first = heard().await.expect("it accepted its job");
    let alive = vec![event(&assignment.key, 2, Kind::Alive)];
    let said = world.desk.events(&assignment.key, alive).await;
    said.expect("stores");
    assert!(heard().await.expect("it is alive") > first);
    let events = vec![event(
        &assignment.key,
        3,
        Kind::Finished(Box::new(finished(Outcome::Applied))),
    )];
    let said = world.desk.events(&assignment.key, events).await;
    said.expect("stores");
    assert_eq!(heard().await, None, "it is over");
}
use crate::deploy::Filter;

on_both!(all_problems_of_a_manifest_come_at_once_and_nothing_is_recorded);
async fn all_problems_of_a_manifest_come_at_once_and_nothing_is_recorded(on: On) {
    let world = World::new(on).await;
    let before = world.counts().await;
    let manifest = json!({
        "workloads": {
            "web": {"resources": {"a": {"type": "thing", "params": {"nmae": "x"}}, "b": {"type": "thingy"}}}
        }
    });
    let Err(Error::Invalid(diagnostics)) = world.create(deploy("dev", manifest)).await else {
        panic!("it was accepted");
    };
    assert!(diagnostics.len() >= 2, "{diagnostics:#?}");
    assert_eq!(world.counts().await, before);
}

on_both!(an_unknown_environment_is_a_conflict_as_in_v1);
async fn an_unknown_environment_is_a_conflict_as_in_v1(on: On) {
    let world = World::new(on).await;
    let refused = world
        .create(deploy("nowhere", workload("web")))
        .await
        .expect_err("unknown");
    assert!(matches!(refused, Error::Conflict(_)));
    assert_eq!(refused.to_string(), "environment not found");
}

on_both!(lists_are_paged_newest_first_and_filtered);
async fn lists_are_paged_newest_first_and_filtered(on: On) {
    let world = World::new(on).await;
    let mut ids = Vec::new();
    for at in 0..3 {
        ids.push(
            world
                .deploy(deploy("dev", workload(&format!("w{at}"))))
                .await
                .id,
        );
    }
    world
        .accepted(DeploymentCreate {
            mode: "plan_only".into(),
            ..deploy("qa", workload("web"))
        })
        .await;
    ids.reverse();
    let mut filter = Filter {
        project_id: Some("shop".into()),
        env_id: Some("dev".into()),
        limit: 2,
        ..Filter::default()
    };
    let (page, next) = world.service.list(ORG, &filter).await.expect("lists");
    assert_eq!(
        page.iter().map(|item| item.id.clone()).collect::<Vec<_>>(),
        ids[..2]
    );
    assert!(page[0].manifest.is_none());
    filter.after = next;
    let (page, next) = world.service.list(ORG, &filter).await.expect("lists");
    assert_eq!(
        page.iter().map(|item| item.id.clone()).collect::<Vec<_>>(),
        ids[2..]
    );
    assert_eq!(next, None);
    let executing = Filter {
        by_status: vec!["executing".into()],
        limit: 10,
        ..Filter::default()
    };
    assert_eq!(
        world
            .service
            .list(ORG, &executing)
            .await
            .expect("lists")
            .0
            .len(),
        1
    );
    let everywhere = Filter {
        limit: 10,
        ..Filter::default()
    };
    let (last, _) = world
        .service
        .last(ORG, &everywhere, false)
        .await
        .expect("lists");
    let envs: Vec<_> = last.iter().map(|item| item.env_id.as_str()).collect();
    assert_eq!(envs, ["dev", "qa"]);
    let (last, _) = world
        .service
        .last(ORG, &everywhere, true)
        .await
        .expect("lists");
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].id, ids[0]);
    let refused = Filter {
        env_id: Some("dev".into()),
        limit: 10,
        ..Filter::default()
    };
    let refused = world
        .service
        .list(ORG, &refused)
        .await
        .expect_err("no project");
    assert_eq!(
        refused.to_string(),
        "app_id param required if env_id is specified"
    );
}

on_both!(sealed_streams_are_read_by_frame_and_age_files_whole);
async fn sealed_streams_are_read_by_frame_and_age_files_whole(on: On) {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let world = World::new(on).await;
    let key = crate::seal::key::Identity::generate()
        .recipient()
        .to_string();
    let accepted = world
        .accepted(DeploymentCreate {
            encrypted_logs_recipient: Some(key.clone()),
            encrypted_outputs_recipient: Some(key),
            ..deploy("dev", workload("web"))
        })
        .await;
    let id = &accepted.id;
    let none = world
        .service
        .logs_age(ORG, id)
        .await
        .expect_err("nothing yet");
    assert_eq!(
        none.to_string(),
        format!("logs for deployment {id} not found")
    );
    let early = world
        .service
        .outputs_age(ORG, id)
        .await
        .expect_err("nothing yet");
    assert_eq!(
        early.to_string(),
        format!("deployment '{id}' has not completed yet")
    );
    let assignment = world.claim().await;
    world.start(&assignment).await;
    let stream = crate::wire::deployments::StreamName::Logs;
    let outputs = crate::wire::deployments::StreamName::Outputs;
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    let frame = |number, last, text| Kind::Frame {
        stream,
        number,
        last,
        bytes: base64(text),
    };
    let kinds = [
        Kind::Header {
            stream,
            bytes: base64("head"),
        },
        frame(1, false, "one"),
        frame(2, true, "two"),
        Kind::AgeFile {
            stream,
            bytes: base64("age file"),
        },
        Kind::AgeFile {
            stream: outputs,
            bytes: base64("outputs"),
        },
        Kind::Finished(Box::new(finished(Outcome::Applied))),
    ];
    let events = (2..)
        .zip(kinds)
        .map(|(seq, kind)| event(&assignment.key, seq, kind))
        .collect();
    world
        .desk
        .events(&assignment.key, events)
        .await
        .expect("stores");
    let read = world
        .service
        .stream(ORG, id, stream, None, 1)
        .await
        .expect("reads");
    assert_eq!(read.frames, [base64("two")]);
    assert_eq!(
        (read.last, read.complete, read.header),
        (2, true, Some(base64("head")))
    );
    assert_eq!(
        world.service.logs_age(ORG, id).await.expect("reads"),
        b"age file"
    );
    let raw = world.service.outputs_age(ORG, id).await.expect("reads").raw;
    assert_eq!(raw, base64("outputs"));
}

on_both!(metadata_and_usage_belong_to_the_nodes_of_the_last_success);
async fn metadata_and_usage_belong_to_the_nodes_of_the_last_success(on: On) {
    let world = World::new(on).await;
    world.accepted(deploy("dev", workload("web"))).await;
    let assignment = world.claim().await;
    world.start(&assignment).await;
    let node = world
        .service
        .active_resources(ORG, "shop", "dev", None)
        .await
        .expect("reads")
        .into_iter()
        .find(|node| node.resource_type == "thing")
        .expect("a node");
    let mut end = finished(Outcome::Applied);
    let told = json!({"Url": "x"}).as_object().cloned().expect("a map");
    end.metadata.insert(node.id.clone(), told.clone());
    let events = vec![event(&assignment.key, 2, Kind::Finished(Box::new(end)))];
    world
        .desk
        .events(&assignment.key, events)
        .await
        .expect("stores");
    world
        .desk
        .complete(&assignment.key, RunEnd::Finished)
        .await
        .expect("completes");
    let nodes = world
        .service
        .active_resources(ORG, "shop", "dev", None)
        .await
        .expect("reads");
    let found = nodes
        .iter()
        .find(|found| found.id == node.id)
        .expect("is there");
    assert_eq!(found.metadata, told);
    world.deploy(deploy("dev", json!({"workloads": {}}))).await;
}

on_both!(uploaded_code_is_taken_once_checked_and_belongs_to_its_organisation);
async fn uploaded_code_is_taken_once_checked_and_belongs_to_its_organisation(on: On) {
    let world = World::new(on).await;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("main.tf"), CODE).expect("writes");
    let code = crate::sources::read_directory(directory.path()).expect("reads");
    let digest = code.digest();
    let source = format!("dir::{digest}");
    assert!(world.service.prepare_source(ORG, &source).await.is_err());
    let another = format!("sha256:{}", "0".repeat(64));
    let wrong = world
        .service
        .upload_code(ORG, &another, &code.to_tar())
        .await;
    assert!(matches!(wrong, Err(Error::Invalid(_))));
    world
        .service
        .upload_code(ORG, &digest, &code.to_tar())
        .await
        .expect("takes");
    let prepared = world
        .service
        .prepare_source(ORG, &source)
        .await
        .expect("is there");
    assert_eq!(prepared.digest, Some(digest));
    assert!(
        world
            .service
            .prepare_source("another", &source)
            .await
            .is_err()
    );
    world
        .service
        .store
        .module_delete(ORG, "thing-module")
        .await
        .expect("leaves");
    world.module("uploaded", &source, None).await;
    world.rule("uploaded").await;
    world.deploy(deploy("dev", workload("web"))).await;
}

on_both!(code_that_a_kit_brought_is_used_and_nothing_is_fetched);
async fn code_that_a_kit_brought_is_used_and_nothing_is_fetched(on: On) {
    let world = World::new(on).await;
    let source = "git::https://nowhere.invalid/x?ref=v1";
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("main.tf"), CODE).expect("written");
    let code = crate::sources::read_directory(folder.path()).expect("read");
    let carried = BTreeMap::from([(code.digest(), (code.pack(), vec![source.to_owned()]))]);
    let altered = BTreeMap::from([(code.digest(), (b"x".to_vec(), Vec::new()))]);
    let refused = world.service.take_code(ORG, altered).await;
    assert!(
        refused
            .expect_err("altered")
            .to_string()
            .contains("nothing was taken")
    );
    let service = &world.service;
    service.take_code(ORG, carried).await.expect("taken");
    let prepared = service.prepare_source(ORG, source).await.expect("at hand");
    assert_eq!(prepared.digest, Some(code.digest()));
    assert_eq!(prepared.warning, None);
    assert!(service.has_code(ORG, &code.digest()).await.expect("asked"));
}
