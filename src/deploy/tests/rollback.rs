use super::*;

impl World {
    /// A module leaves the catalogue with its rules and all its versions, although it is in use.
    pub(super) async fn module_leaves(&self, id: &str) {
        let mut writing = self.service.store.writing().await.expect("writes");
        let sql = format!(
            "DELETE FROM module_rules WHERE module_id = '{id}'; DELETE FROM modules WHERE id = '{id}'; \
             DELETE FROM module_versions WHERE module_id = '{id}'"
        );
        crate::store::execute(&mut writing, sql)
            .await
            .expect("leaves");
        writing.commit().await.expect("commits");
    }
}

fn rollback(id: &str) -> DeploymentCreate {
    DeploymentCreate {
        mode: "rollback".into(),
        manifest: None,
        rollback_to_deployment_id: Some(id.into()),
        ..deploy("dev", Value::Null)
    }
}

on_both!(a_rollback_goes_back_to_the_modules_of_then_after_they_have_left);
async fn a_rollback_goes_back_to_the_modules_of_then_after_they_have_left(on: On) {
    let world = World::new(on).await;
    let first = world.deploy(deploy("dev", workload("web"))).await;
    world.module_leaves("thing-module").await;
    world.module("other-module", "inline", Some(CODE)).await;
    world.rule("other-module").await;
    let second = world.deploy(deploy("dev", workload("api"))).await;
    assert_eq!(workloads(&second), ["api"]);
    let back = world.deploy(rollback(&first.id)).await;
    assert_eq!(back.mode, "rollback");
    assert_eq!(workloads(&back), ["web"]);
    let graph = world
        .service
        .graph(ORG, &back.id)
        .await
        .expect("reads")
        .graph;
    let modules: Vec<_> = graph
        .nodes
        .iter()
        .filter(|node| !node.leaving)
        .filter_map(|node| node.module_id.as_deref())
        .collect();
    assert_eq!(modules, ["thing-module"]);
    let tf = world.service.tf(ORG, &back.id).await.expect("reads");
    assert!(tf.contains("thing-module"), "{tf}");
}

on_both!(a_rollback_refuses_what_it_cannot_go_back_to);
async fn a_rollback_refuses_what_it_cannot_go_back_to(on: On) {
    let world = World::new(on).await;
    let elsewhere = world.deploy(deploy("qa", workload("web"))).await;
    let refused = world
        .create(rollback(&elsewhere.id))
        .await
        .expect_err("another environment");
    assert_eq!(
        refused.to_string(),
        "cannot reference a deployment that is not part of this environment"
    );
    let refused = world
        .create(rollback("nothing"))
        .await
        .expect_err("unknown");
    assert_eq!(refused.to_string(), "deployment 'nothing' not found");
}

on_both!(a_dry_run_leaves_every_table_and_file_as_it_was);
async fn a_dry_run_leaves_every_table_and_file_as_it_was(on: On) {
    let world = World::new(on).await;
    let first = world.deploy(deploy("dev", workload("web"))).await;
    let before = (world.counts().await, world.files());
    for body in [
        deploy("dev", workload("api")),
        rollback(&first.id),
        deploy("qa", workload("api")),
        merge("dev", workload("api")),
    ] {
        let created = world
            .create(DeploymentCreate {
                is_dry_run: true,
                ..body
            })
            .await
            .expect("is compiled");
        let Created::DryRun(answer) = created else {
            panic!("it was recorded");
        };
        assert_eq!(answer.runner_id, "local");
        assert!(!answer.windlass.expect("extras").graph.nodes.is_empty());
    }
    assert_eq!((world.counts().await, world.files()), before);
}

on_both!(a_plan_leaves_the_active_resources_and_the_base_as_they_were);
async fn a_plan_leaves_the_active_resources_and_the_base_as_they_were(on: On) {
    let world = World::new(on).await;
    let first = world.deploy(deploy("dev", workload("web"))).await;
    let before = world
        .service
        .active_resources(ORG, "shop", "dev", None)
        .await
        .expect("reads");
    for body in [
        DeploymentCreate {
            mode: "plan_only".into(),
            ..deploy("dev", workload("api"))
        },
        DeploymentCreate {
            plan_only: Some(true),
            ..rollback(&first.id)
        },
    ] {
        let accepted = world.accepted(body).await;
        assert!(accepted.plan_only);
        let assignment = world.claim().await;
        world.play(&assignment, Outcome::Planned).await;
        let after = world
            .service
            .active_resources(ORG, "shop", "dev", None)
            .await
            .expect("reads");
        assert_eq!(after, before);
    }
    let merged = world.deploy(merge("dev", workload("more"))).await;
    let mut kept = workloads(&merged);
    kept.sort();
    assert_eq!(kept, ["more", "web"]);
}
