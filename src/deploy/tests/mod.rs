//! The use cases told as stories: a real store, the real compiler, and a desk whose runs are played by hand.

mod agents;
mod deletion;
mod hosted;
mod queue;
mod reading;
mod rollback;
mod servers;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::queue::LocalDesk;
use super::{Created, Error, Service, Settings};
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::event::{Event, Finished, Kind};
use crate::runner::job::PROTOCOL;
use crate::runner::{Assignment, Desk, Handle, RunEnd, RunKey};
use crate::store::testing::{Home, On, on_both};
use crate::wire::deployments::{
    Base, Deployment, DeploymentCreate, DeploymentCreateExtras, OnBusy, RunRecord,
};
use crate::wire::objects::{
    EnvironmentCreate, EnvironmentTypeCreate, Module, ModuleRuleCreate, ProjectCreate,
    ResourceTypeCreate,
};

const ORG: &str = "default";

/// An installation with the project `shop`, the environments `dev` and `qa`, and a type `thing` with its module.
struct World {
    home: Home,
    service: Service,
    desk: LocalDesk,
}

impl World {
    async fn new(on: On) -> Self {
        let world = Self::at(Home::new(on).await).await;
        let store = &world.service.store;
        store
            .environment_type_create(
                ORG,
                EnvironmentTypeCreate {
                    id: "development".into(),
                    display_name: None,
                    windlass: None,
                },
            )
            .await
            .expect("makes");
        world.project("shop").await;
        world.environment("dev").await;
        world.environment("qa").await;
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        store
            .resource_type_create(
                ORG,
                ResourceTypeCreate {
                    id: "thing".into(),
                    description: None,
                    output_schema: schema.as_object().cloned().expect("a map"),
                    is_developer_accessible: None,
                    windlass: None,
                },
            )
            .await
            .expect("makes");
        world.module("thing-module", "inline", Some(CODE)).await;
        world.rule("thing-module").await;
        world
    }

    async fn at(home: Home) -> Self {
        let store = home.open().await;
        let service = Service::new(store, Settings::default());
        let desk = LocalDesk::new(service.clone());
        Self {
            home,
            service,
            desk,
        }
    }

    /// The same installation in a process that knows nothing of the one before.
    async fn reopened(self) -> Self {
        let Self {
            home,
            service,
            desk,
        } = self;
        drop((service, desk));
        Self::at(home).await
    }

    async fn project(&self, id: &str) {
        let project = ProjectCreate {
            id: id.into(),
            display_name: None,
            windlass: None,
        };
        let made = self.service.store.project_create(ORG, project).await;
        made.expect("makes");
    }

    async fn environment(&self, id: &str) {
        self.environment_of("shop", id).await;
    }

    async fn environment_of(&self, project: &str, id: &str) {
        self.service
            .store
            .environment_create(
                ORG,
                project,
                EnvironmentCreate {
                    id: id.into(),
                    env_type_id: "development".into(),
                    display_name: None,
                    windlass: None,
                },
            )
            .await
            .expect("makes");
    }

    async fn module(&self, id: &str, source: &str, code: Option<&str>) {
        let module = Module {
            id: id.into(),
            org_id: ORG.into(),
            description: None,
            resource_type: "thing".into(),
            module_source: source.into(),
            module_source_code: code.map(str::to_owned),
            module_params: BTreeMap::from([(
                "name".to_owned(),
                serde_json::from_value(json!({"type": "string", "is_optional": true}))
                    .expect("a param"),
            )]),
            module_inputs: serde_json::Map::new(),
            provider_mapping: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            coprovisioned: Vec::new(),
            version_id: uuid::Uuid::now_v7().to_string(),
            created_at: "2026-01-01T00:00:00.000000Z".into(),
            updated_at: "2026-01-01T00:00:00.000000Z".into(),
            windlass: None,
        };
        self.service
            .store
            .module_create(module, &BTreeSet::from(["thing".to_owned()]))
            .await
            .expect("makes");
    }

    async fn rule(&self, module: &str) -> String {
        self.service
            .store
            .module_rule_create(
                ORG,
                ModuleRuleCreate {
                    module_id: module.into(),
                    resource_class: None,
                    resource_id: None,
                    project_id: None,
                    env_id: None,
                    env_type_id: None,
                    windlass: None,
                },
            )
            .await
            .expect("makes")
            .id
    }

    async fn create(&self, body: DeploymentCreate) -> Result<Created, Error> {
        self.service.create(ORG, body, None, "somebody").await
    }

    async fn accepted(&self, body: DeploymentCreate) -> Deployment {
        match self.create(body).await.expect("is accepted") {
            Created::Deployment(deployment) => *deployment,
            Created::DryRun(_) => panic!("a dry run"),
        }
    }

    async fn get(&self, id: &str) -> Deployment {
        self.service.get(ORG, id).await.expect("is there")
    }

    async fn claim(&self) -> Assignment {
        self.desk
            .claim()
            .await
            .expect("the desk answers")
            .expect("something is queued")
    }

    async fn nothing_to_claim(&self) -> bool {
        self.desk.claim().await.expect("the desk answers").is_none()
    }

    /// Plays a run to its end.
    async fn play(&self, assignment: &Assignment, outcome: Outcome) {
        let key = &assignment.key;
        self.start(assignment).await;
        let events = vec![event(key, 2, Kind::Finished(Box::new(finished(outcome))))];
        self.desk.events(key, events).await.expect("stores");
        self.desk
            .complete(key, RunEnd::Finished)
            .await
            .expect("completes");
    }

    /// Plays a run until it has accepted its job.
    async fn start(&self, assignment: &Assignment) {
        let key = &assignment.key;
        let handle = Handle::Container { id: "c".into() };
        assert!(self.desk.launched(key, &handle).await.expect("records"));
        let accepted = Kind::Accepted {
            bundle_digest: assignment.job.bundle_digest.clone(),
        };
        self.desk
            .events(key, vec![event(key, 1, accepted)])
            .await
            .expect("stores");
    }

    /// Deploys and plays the run.
    async fn deploy(&self, body: DeploymentCreate) -> Deployment {
        let accepted = self.accepted(body).await;
        let assignment = self.claim().await;
        assert_eq!(assignment.job.deployment, accepted.id);
        self.play(&assignment, Outcome::Applied).await;
        self.get(&accepted.id).await
    }

    /// Number of rows of every table.
    async fn counts(&self) -> BTreeMap<String, i64> {
        let mut reading = self.service.store.reading().await.expect("reads");
        crate::store::table_counts(&mut reading)
            .await
            .expect("counts")
    }

    /// Every file of the data directory but the database's, with its size.
    fn files(&self) -> BTreeMap<String, u64> {
        fn walk(directory: &std::path::Path, found: &mut BTreeMap<String, u64>) {
            for entry in std::fs::read_dir(directory).expect("reads") {
                let entry = entry.expect("reads");
                if entry.path().is_dir() {
                    walk(&entry.path(), found);
                } else if !entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("windlass.db")
                {
                    let size = entry.metadata().expect("reads").len();
                    found.insert(entry.path().display().to_string(), size);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.home.path(), &mut found);
        found
    }
}

const CODE: &str = r#"
variable "name" {
  type    = string
  default = "x"
}
output "name" {
  value = var.name
}
"#;

/// A workload with a resource of its own.
fn workload(name: &str) -> Value {
    json!({
        "workloads": {
            name: {
                "resources": {"it": {"type": "thing", "params": {"name": name}}},
                "outputs": {"NAME": "${resources.it.outputs.name}"}
            }
        }
    })
}

fn deploy(env: &str, manifest: Value) -> DeploymentCreate {
    DeploymentCreate {
        project_id: "shop".into(),
        env_id: env.into(),
        mode: "deploy".into(),
        manifest: Some(manifest),
        ..DeploymentCreate::default()
    }
}

/// `--merge`, in line if need be.
fn merge(env: &str, manifest: Value) -> DeploymentCreate {
    DeploymentCreate {
        manifest: None,
        windlass: Some(DeploymentCreateExtras {
            on_busy: OnBusy::Queue,
            base: Base::Last,
            operations: vec![crate::manifest::edit::Operation::Merge(manifest)],
            ..DeploymentCreateExtras::default()
        }),
        ..deploy(env, Value::Null)
    }
}

fn event(key: &RunKey, seq: u64, kind: Kind) -> Event {
    Event {
        v: PROTOCOL,
        run: key.run.clone(),
        attempt: key.attempt,
        seq,
        at_us: 0,
        kind,
    }
}

fn finished(outcome: Outcome) -> Finished {
    Finished {
        outcome,
        failure_class: (!outcome.is_success()).then_some(FailureClass::ApplyFailed),
        message: String::new(),
        total: Some(1),
        added: 1,
        changed: 0,
        removed: 0,
        metadata: BTreeMap::new(),
        lock_file: None,
        state_empty: outcome == Outcome::Destroyed,
        unrecorded: Vec::new(),
        in_flight: Vec::new(),
        record: RunRecord::default(),
    }
}

fn workloads(deployment: &Deployment) -> Vec<String> {
    deployment
        .manifest
        .as_ref()
        .and_then(|manifest| manifest.get("workloads"))
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}
