use super::*;
use crate::wire::deployments::What;

on_both!(a_deployment_is_accepted_claimed_followed_and_waited_for);
async fn a_deployment_is_accepted_claimed_followed_and_waited_for(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    assert_eq!(accepted.status, "executing");
    assert_eq!(accepted.status_message, "Deploying...");
    assert_eq!(accepted.runner_id.as_deref(), Some("local"));
    let assignment = world.claim().await;
    assert!(assignment.job.files.contains_key("main.tf"));
    assert!(world.nothing_to_claim().await);
    let waiting = {
        let service = world.service.clone();
        let id = accepted.id.clone();
        tokio::spawn(async move {
            service
                .wait(ORG, &id, std::time::Duration::from_secs(30))
                .await
        })
    };
    world.play(&assignment, Outcome::Applied).await;
    let ended = waiting.await.expect("joins").expect("ends");
    assert_eq!(ended.status, "succeeded");
    assert!(ended.completed_at.is_some());
    assert_eq!(ended.metrics.num_tf_resources_added, Some(1));
    let events = world
        .service
        .next_events(ORG, &accepted.id, 0, std::time::Duration::ZERO)
        .await
        .expect("reads");
    assert_eq!(
        events.first().map(|event| event.what.clone()),
        Some(What::Queued(1))
    );
    assert_eq!(
        events.last().map(|event| event.what.clone()),
        Some(What::Ended(Outcome::Applied))
    );
    let active = world
        .service
        .active_resources(ORG, "shop", "dev", None)
        .await
        .expect("reads");
    assert_eq!(active.len(), 2);
}

on_both!(two_queued_merges_keep_both_changes);
async fn two_queued_merges_keep_both_changes(on: On) {
    let world = World::new(on).await;
    world.deploy(deploy("dev", workload("base"))).await;
    let one = world.accepted(merge("dev", workload("one"))).await;
    let two = world.accepted(merge("dev", workload("two"))).await;
    assert_eq!(
        two.windlass
            .as_ref()
            .and_then(|extras| extras.queue_position),
        Some(2)
    );
    let first = world.claim().await;
    assert_eq!(first.job.deployment, one.id);
    assert!(world.nothing_to_claim().await);
    world.play(&first, Outcome::Applied).await;
    let second = world.claim().await;
    assert_eq!(second.job.deployment, two.id);
    world.play(&second, Outcome::Applied).await;
    let mut kept = workloads(&world.get(&two.id).await);
    kept.sort();
    assert_eq!(kept, ["base", "one", "two"]);
}

on_both!(a_busy_environment_refuses_unless_queueing_is_asked_for);
async fn a_busy_environment_refuses_unless_queueing_is_asked_for(on: On) {
    let world = World::new(on).await;
    let first = world.accepted(deploy("dev", workload("web"))).await;
    let refused = world
        .create(deploy("dev", workload("web")))
        .await
        .expect_err("is busy");
    assert_eq!(
        refused.to_string(),
        format!("deployment '{}' is still executing", first.id)
    );
    // Another environment is not concerned.
    world.accepted(deploy("qa", workload("web"))).await;
}

on_both!(one_environment_never_has_two_runs_and_others_do_not_wait_for_it);
async fn one_environment_never_has_two_runs_and_others_do_not_wait_for_it(on: On) {
    let world = World::new(on).await;
    world.accepted(merge("dev", workload("wa"))).await;
    world.accepted(merge("dev", workload("wb"))).await;
    world.accepted(merge("qa", workload("wc"))).await;
    let (one, other) = (world.claim().await, world.claim().await);
    assert_ne!(one.env_uuid, other.env_uuid);
    assert!(world.nothing_to_claim().await);
}

on_both!(who_queues_much_does_not_keep_others_waiting);
async fn who_queues_much_does_not_keep_others_waiting(on: On) {
    let world = World::new(on).await;
    world.project("blog").await;
    world.environment_of("blog", "live").await;
    let mut shop = Vec::new();
    for number in 0..4 {
        let name = format!("w{number}");
        shop.push(world.accepted(merge("dev", workload(&name))).await.id);
    }
    let qa = world.accepted(merge("qa", workload("late"))).await.id;
    let mut blog = Vec::new();
    for name in ["first", "second"] {
        let body = DeploymentCreate {
            project_id: "blog".into(),
            ..merge("live", workload(name))
        };
        blog.push(world.accepted(body).await.id);
    }
    // With one place for runs: projects take turns, and within a project environments do; each in its own order.
    let mut served = Vec::new();
    for _ in 0..7 {
        let assignment = world.claim().await;
        world.play(&assignment, Outcome::Applied).await;
        served.push(assignment.job.deployment);
    }
    let fair = [
        &shop[0], &blog[0], &qa, &blog[1], &shop[1], &shop[2], &shop[3],
    ];
    assert_eq!(served.iter().collect::<Vec<_>>(), fair);
    // With several places: a project that has something going on makes way.
    let one = world.accepted(merge("dev", workload("wa"))).await.id;
    let two = world.accepted(merge("qa", workload("wb"))).await.id;
    let body = DeploymentCreate {
        project_id: "blog".into(),
        ..merge("live", workload("wc"))
    };
    let other = world.accepted(body).await.id;
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.push(world.claim().await.job.deployment);
    }
    assert_eq!(claimed, [other, two, one]);
}

on_both!(a_worker_of_an_older_program_finishes_what_it_has_and_claims_nothing);
async fn a_worker_of_an_older_program_finishes_what_it_has_and_claims_nothing(on: On) {
    let world = World::new(on).await;
    let first = world.accepted(deploy("dev", workload("web"))).await;
    let second = world.accepted(deploy("qa", workload("web"))).await;
    let assignment = world.claim().await;
    world.start(&assignment).await;
    let sql = async |text: &str| {
        let mut writing = world.service.store.writing().await.expect("writes");
        let done = crate::store::execute(&mut writing, text.to_owned()).await;
        done.expect("executes");
        writing.commit().await.expect("commits");
    };
    sql("INSERT INTO migrations (number, name, applied_us) VALUES (9999, 'later', 1)").await;
    assert!(world.nothing_to_claim().await);
    assert!(world.desk.running().await.expect("answers").is_empty());
    let end = Kind::Finished(Box::new(finished(Outcome::Applied)));
    let said = world
        .desk
        .events(&assignment.key, vec![event(&assignment.key, 2, end)])
        .await;
    said.expect("stores");
    let done = world.desk.complete(&assignment.key, RunEnd::Finished).await;
    done.expect("completes");
    assert_eq!(world.get(&first.id).await.status, "succeeded");
    assert_eq!(world.get(&second.id).await.status, "executing");
    // What the newer program does.
    sql("DELETE FROM migrations WHERE number = 9999").await;
    assert_eq!(world.claim().await.job.deployment, second.id);
}

on_both!(a_late_result_of_the_current_attempt_counts_and_one_of_an_older_does_not);
async fn a_late_result_of_the_current_attempt_counts_and_one_of_an_older_does_not(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    let first = world.claim().await;
    let given_back = RunEnd::NeverBegan {
        message: "the daemon was restarted".into(),
    };
    world
        .desk
        .complete(&first.key, given_back)
        .await
        .expect("gives back");
    assert_eq!(world.get(&accepted.id).await.status, "executing");
    world.make_ready(&accepted.id).await;
    let second = world.claim().await;
    assert_eq!(
        (second.key.run.clone(), second.key.attempt),
        (first.key.run.clone(), 2)
    );
    // The old attempt is heard of again.
    let handle = Handle::Container { id: "old".into() };
    assert!(
        !world
            .desk
            .launched(&first.key, &handle)
            .await
            .expect("answers")
    );
    let late = vec![event(
        &first.key,
        1,
        Kind::Finished(Box::new(finished(Outcome::Failed))),
    )];
    world
        .desk
        .events(&first.key, late)
        .await
        .expect("is dropped");
    world
        .desk
        .complete(&first.key, RunEnd::Finished)
        .await
        .expect("is dropped");
    assert_eq!(world.get(&accepted.id).await.status, "executing");
    world.play(&second, Outcome::Applied).await;
    let ended = world.get(&accepted.id).await;
    assert_eq!(ended.status, "succeeded");
    // And once more after the end.
    let lost = RunEnd::Died {
        outcome: Outcome::Lost,
        failure_class: FailureClass::Lost,
        message: "x".into(),
    };
    world
        .desk
        .complete(&second.key, lost)
        .await
        .expect("is dropped");
    assert_eq!(world.get(&accepted.id).await.status, "succeeded");
}

on_both!(an_attempt_that_never_begins_is_tried_again_and_then_fails);
async fn an_attempt_that_never_begins_is_tried_again_and_then_fails(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    for _ in 0..3 {
        world.make_ready(&accepted.id).await;
        let assignment = world.claim().await;
        let end = RunEnd::NeverBegan {
            message: "it ended at once".into(),
        };
        world
            .desk
            .complete(&assignment.key, end)
            .await
            .expect("records");
    }
    let failed = world.get(&accepted.id).await;
    assert_eq!(failed.status, "failed");
    let extras = failed.windlass.expect("extras");
    assert_eq!(extras.failure_class, Some(FailureClass::StartFailed));
    assert!(world.nothing_to_claim().await);
}

on_both!(what_never_began_is_not_what_the_next_is_compared_with);
async fn what_never_began_is_not_what_the_next_is_compared_with(on: On) {
    let world = World::new(on).await;
    let first = world.deploy(deploy("dev", workload("base"))).await;
    let second = world.accepted(merge("dev", workload("one"))).await;
    let assignment = world.claim().await;
    let end = RunEnd::NeverBegan {
        message: "no".into(),
    };
    world
        .desk
        .complete(&assignment.key, end)
        .await
        .expect("records");
    world
        .service
        .cancel(ORG, &second.id, "ann")
        .await
        .expect("cancels");
    let third = world.deploy(merge("dev", workload("two"))).await;
    let mut kept = workloads(&third);
    kept.sort();
    assert_eq!(kept, ["base", "two"]);
    let graph = world.service.graph(ORG, &third.id).await.expect("reads");
    assert_eq!(graph.diff.from_deployment_id, Some(first.id));
}

on_both!(a_queued_deployment_is_cancelled_at_once_and_a_running_one_is_asked);
async fn a_queued_deployment_is_cancelled_at_once_and_a_running_one_is_asked(on: On) {
    let world = World::new(on).await;
    let first = world.accepted(merge("dev", workload("wa"))).await;
    let second = world.accepted(merge("dev", workload("wb"))).await;
    world
        .service
        .cancel(ORG, &second.id, "ann")
        .await
        .expect("cancels");
    let cancelled = world.get(&second.id).await;
    assert_eq!(cancelled.status, "failed");
    assert_eq!(
        cancelled.windlass.and_then(|extras| extras.outcome),
        Some(Outcome::Cancelled)
    );
    let assignment = world.claim().await;
    assert!(
        world
            .desk
            .cancelled(std::slice::from_ref(&assignment.key))
            .await
            .expect("asks")
            .is_empty()
    );
    world
        .service
        .cancel(ORG, &first.id, "ann")
        .await
        .expect("cancels");
    assert_eq!(
        world
            .desk
            .cancelled(std::slice::from_ref(&assignment.key))
            .await
            .expect("asks"),
        [assignment.key]
    );
    let again = world.service.cancel(ORG, &second.id, "ann").await;
    assert!(matches!(again, Err(Error::Conflict(_))));
}

on_both!(whatever_is_killed_the_store_goes_on_from_what_was_committed);
async fn whatever_is_killed_the_store_goes_on_from_what_was_committed(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    let world = world.reopened().await;
    let assignment = world.claim().await;
    // Killed between claim and start.
    let world = world.reopened().await;
    let running = world.desk.running().await.expect("lists");
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].assignment.key, assignment.key);
    assert!(running[0].handle.is_none());
    assert_eq!(running[0].assignment.job.files, assignment.job.files);
    world.start(&assignment).await;
    // Killed while it runs.
    let world = world.reopened().await;
    let running = world.desk.running().await.expect("lists");
    assert_eq!(
        running[0].handle,
        Some(Handle::Container { id: "c".into() })
    );
    assert_eq!(running[0].last_seq, 1);
    let key = &assignment.key;
    let end = vec![event(
        key,
        2,
        Kind::Finished(Box::new(finished(Outcome::Applied))),
    )];
    world.desk.events(key, end.clone()).await.expect("stores");
    // Killed between the last word and the record of the end.
    let world = world.reopened().await;
    assert_eq!(world.get(&accepted.id).await.status, "succeeded");
    assert_eq!(world.desk.running().await.expect("lists").len(), 1);
    world.desk.events(key, end).await.expect("is skipped");
    world
        .desk
        .complete(key, RunEnd::Finished)
        .await
        .expect("completes");
    assert!(world.desk.running().await.expect("lists").is_empty());
    assert!(world.service.is_idle().await.expect("reads"));
}

on_both!(a_gap_in_what_a_run_says_is_refused_and_nothing_of_it_stored);
async fn a_gap_in_what_a_run_says_is_refused_and_nothing_of_it_stored(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    let assignment = world.claim().await;
    world.start(&assignment).await;
    let key = &assignment.key;
    let gap = vec![event(
        key,
        3,
        Kind::Finished(Box::new(finished(Outcome::Applied))),
    )];
    assert!(world.desk.events(key, gap).await.is_err());
    assert_eq!(world.get(&accepted.id).await.status, "executing");
}

on_both!(a_failure_says_what_and_where_in_clear_and_how_to_read_the_rest);
async fn a_failure_says_what_and_where_in_clear_and_how_to_read_the_rest(on: On) {
    let world = World::new(on).await;
    let accepted = world.accepted(deploy("dev", workload("web"))).await;
    let assignment = world.claim().await;
    world.start(&assignment).await;
    let key = &assignment.key;
    let label = assignment
        .job
        .labels
        .values()
        .next()
        .expect("a module")
        .clone();
    let diagnostic = crate::wire::deployments::RunDiagnostic {
        severity: "error".into(),
        resource: Some(label.resource),
        module_id: Some(label.module_id),
        module_version: Some(label.module_version),
        ..Default::default()
    };
    let events = vec![
        event(key, 2, Kind::Diagnostic(diagnostic)),
        event(key, 3, Kind::Finished(Box::new(finished(Outcome::Failed)))),
    ];
    world.desk.events(key, events).await.expect("stores");
    let failed = world.get(&accepted.id).await;
    assert_eq!(failed.status, "failed");
    let message: Value = serde_json::from_str(&failed.status_message).expect("v1's JSON");
    assert_eq!(message["module_id"], "thing-module");
    assert_eq!(message["entity_type"], "module");
    assert_eq!(failed.windlass.expect("extras").diagnostics.len(), 1);
}

on_both!(the_same_key_makes_one_deployment_and_another_request_with_it_is_refused);
async fn the_same_key_makes_one_deployment_and_another_request_with_it_is_refused(on: On) {
    let world = World::new(on).await;
    let ask = |manifest| {
        world
            .service
            .create(ORG, deploy("dev", manifest), Some("key"), "me")
    };
    let id = |created: Result<Created, Error>| match created.expect("is accepted") {
        Created::Deployment(deployment) => deployment.id,
        Created::DryRun(_) => panic!("a dry run"),
    };
    let first = id(ask(workload("web")).await);
    assert_eq!(id(ask(workload("web")).await), first);
    let refused = ask(workload("other")).await.expect_err("another manifest");
    assert_eq!(
        refused.to_string(),
        "incorrect manifest or mode for this idempotency key"
    );
}

on_both!(a_changed_place_of_the_state_is_refused);
async fn a_changed_place_of_the_state_is_refused(on: On) {
    let world = World::new(on).await;
    world.deploy(deploy("dev", workload("web"))).await;
    let runner = serde_json::from_value(json!({
        "id": "elsewhere", "org_id": ORG,
        "runner_configuration": {"type": "docker"},
        "state_storage_configuration": {"type": "s3", "bucket": "b"},
        "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z",
    }))
    .expect("a runner");
    world
        .service
        .store
        .runner_create(runner)
        .await
        .expect("makes");
    let on = |runner: &str| DeploymentCreate {
        windlass: Some(DeploymentCreateExtras {
            runner: Some(runner.into()),
            ..DeploymentCreateExtras::default()
        }),
        ..deploy("dev", workload("web"))
    };
    let refused = world
        .create(on("elsewhere"))
        .await
        .expect_err("another place");
    assert!(matches!(refused, Error::Conflict(_)), "{refused}");
    let refused = world.create(on("elswhere")).await.expect_err("unknown");
    assert!(
        refused.to_string().contains("Did you mean `elsewhere`?"),
        "{refused}"
    );
    world.accepted(on("process")).await;
}

impl World {
    /// Lets the pause before the next attempt be over.
    pub(super) async fn make_ready(&self, id: &str) {
        let mut writing = self.service.store.writing().await.expect("writes");
        let row = crate::store::deployments::rows::by_id(&mut writing, id)
            .await
            .expect("reads");
        let mut row = row.expect("is there");
        row.not_before_us = 0;
        crate::store::deployments::rows::save(&mut writing, &row)
            .await
            .expect("saves");
        writing.commit().await.expect("commits");
    }
}
