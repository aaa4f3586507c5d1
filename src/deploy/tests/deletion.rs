use super::*;
use crate::deploy::Delete;
use crate::runner::job::Action;

impl World {
    async fn delete(&self, delete: Delete) -> crate::wire::objects::Environment {
        self.service
            .delete_environment(ORG, "shop", "dev", delete, "me")
            .await
            .expect("begins")
    }

    async fn status(&self) -> Option<(String, Option<String>)> {
        let found = self
            .service
            .store
            .environment_get(ORG, "shop", "dev")
            .await
            .ok()?;
        Some((found.status, found.status_message))
    }
}

on_both!(an_environment_that_was_never_deployed_to_goes_at_once);
async fn an_environment_that_was_never_deployed_to_goes_at_once(on: On) {
    let world = World::new(on).await;
    let begun = world.delete(Delete::default()).await;
    assert_eq!(begun.status, "deleting");
    assert_eq!(
        begun.status_message.as_deref(),
        Some("Attempting to destroy environment")
    );
    assert_eq!(world.status().await, None);
}

on_both!(what_is_there_is_destroyed_with_the_last_bundle_then_the_environment_goes);
async fn what_is_there_is_destroyed_with_the_last_bundle_then_the_environment_goes(on: On) {
    let world = World::new(on).await;
    let deployed = world.deploy(deploy("dev", workload("web"))).await;
    world.delete(Delete::default()).await;
    let (status, message) = world.status().await.expect("is there");
    assert_eq!(status, "deleting");
    let refused = world
        .create(deploy("dev", workload("web")))
        .await
        .expect_err("is being deleted");
    assert_eq!(refused.to_string(), "environment is in status 'deleting'");
    let again = world
        .service
        .delete_environment(ORG, "shop", "dev", Delete::default(), "me")
        .await
        .expect_err("is being deleted");
    assert_eq!(
        again.to_string(),
        "cannot delete environment in status 'deleting'"
    );
    let destroy = world.claim().await;
    assert_eq!(destroy.job.action, Action::Destroy);
    let id = destroy.job.deployment.clone();
    assert_eq!(
        message,
        Some(format!("Waiting for destroy deployment '{id}' to complete"))
    );
    assert_eq!(
        destroy.job.bundle_digest,
        deployed
            .windlass
            .and_then(|extras| extras.bundle_digest)
            .expect("a digest")
    );
    world.play(&destroy, Outcome::Destroyed).await;
    assert_eq!(world.status().await, None);
    // Only the destroy run can still be read, by its id.
    assert_eq!(world.get(&id).await.status, "succeeded");
    assert!(world.service.get(ORG, &deployed.id).await.is_err());
    let (all, _) = world
        .service
        .list(
            ORG,
            &crate::deploy::Filter {
                limit: 10,
                ..Default::default()
            },
        )
        .await
        .expect("lists");
    assert!(all.is_empty());
}

on_both!(a_destroy_works_after_the_module_has_left_the_catalogue);
async fn a_destroy_works_after_the_module_has_left_the_catalogue(on: On) {
    let world = World::new(on).await;
    world.deploy(deploy("dev", workload("web"))).await;
    world.module_leaves("thing-module").await;
    world.delete(Delete::default()).await;
    let destroy = world.claim().await;
    assert!(
        destroy
            .job
            .files
            .keys()
            .any(|path| path.starts_with("modules/thing-module/"))
    );
    world.play(&destroy, Outcome::Destroyed).await;
    assert_eq!(world.status().await, None);
}

on_both!(a_failed_destroy_is_told_and_can_be_tried_again);
async fn a_failed_destroy_is_told_and_can_be_tried_again(on: On) {
    let world = World::new(on).await;
    world.deploy(deploy("dev", workload("web"))).await;
    world.delete(Delete::default()).await;
    let destroy = world.claim().await;
    world.play(&destroy, Outcome::Failed).await;
    let (status, message) = world.status().await.expect("is there");
    assert_eq!(status, "delete_failed");
    assert!(message.expect("a message").starts_with(&format!(
        "destroy deployment '{}' failed. ",
        destroy.job.deployment
    )));
    world.delete(Delete::default()).await;
    let second = world.claim().await;
    assert_ne!(second.job.deployment, destroy.job.deployment);
    world.play(&second, Outcome::Destroyed).await;
    assert_eq!(world.status().await, None);
}

on_both!(a_deletion_waits_for_what_runs_and_cancels_what_waits);
async fn a_deletion_waits_for_what_runs_and_cancels_what_waits(on: On) {
    let world = World::new(on).await;
    world.accepted(merge("dev", workload("wa"))).await;
    let waiting = world.accepted(merge("dev", workload("wb"))).await;
    let running = world.claim().await;
    world.start(&running).await;
    world.delete(Delete::default()).await;
    assert_eq!(world.get(&waiting.id).await.status, "failed");
    assert!(world.nothing_to_claim().await);
    let key = &running.key;
    let end = vec![event(
        key,
        2,
        Kind::Finished(Box::new(finished(Outcome::Applied))),
    )];
    world.desk.events(key, end).await.expect("stores");
    world
        .desk
        .complete(key, RunEnd::Finished)
        .await
        .expect("completes");
    let destroy = world.claim().await;
    assert_eq!(destroy.job.action, Action::Destroy);
}

on_both!(force_removes_without_destroying_and_stops_what_runs);
async fn force_removes_without_destroying_and_stops_what_runs(on: On) {
    let world = World::new(on).await;
    world.accepted(deploy("dev", workload("web"))).await;
    let running = world.claim().await;
    world
        .delete(Delete {
            force: true,
            ..Delete::default()
        })
        .await;
    assert_eq!(world.status().await, None);
    let keys = [running.key.clone()];
    assert_eq!(world.desk.cancelled(&keys).await.expect("asks"), keys);
    world
        .desk
        .complete(&running.key, RunEnd::Finished)
        .await
        .expect("is dropped");
}

on_both!(a_destroy_is_readable_by_whoever_deleted_or_else_by_the_last_readers);
async fn a_destroy_is_readable_by_whoever_deleted_or_else_by_the_last_readers(on: On) {
    let world = World::new(on).await;
    let (mine, other) = (
        crate::seal::key::Identity::generate()
            .recipient()
            .to_string(),
        crate::seal::key::Identity::generate()
            .recipient()
            .to_string(),
    );
    world
        .deploy(DeploymentCreate {
            encrypted_logs_recipient: Some(mine.clone()),
            ..deploy("dev", workload("web"))
        })
        .await;
    world.delete(Delete::default()).await;
    let destroy = world.claim().await;
    assert_eq!(destroy.job.log_recipients[0].recipient, mine);
    world.play(&destroy, Outcome::Failed).await;
    world
        .delete(Delete {
            log_recipients: vec![crate::wire::deployments::RecipientSpec {
                recipient: other.clone(),
                age_file: false,
            }],
            ..Delete::default()
        })
        .await;
    let destroy = world.claim().await;
    assert_eq!(destroy.job.log_recipients.len(), 1);
    assert_eq!(destroy.job.log_recipients[0].recipient, other);
}
