//! Whoever may do something in one project or one environment only, over every route of the document: what lies elsewhere is
//! answered word for word as what is nowhere, and no list names it.

use serde_json::{Value, json};

use super::ORG;
use super::http::{Caller, Reply};
use super::identity::{Team, text};
use crate::contract::document::{Document, Operation};

/// What nobody has.
const NOWHERE: &str = "01900000-0000-7000-8000-000000000009";

/// What each part of a path is called in one place.
struct Names {
    project: String,
    env: String,
    deployment: String,
    module_rule: String,
    runner_rule: String,
    project_uuid: String,
    env_uuid: String,
}

impl Names {
    fn nowhere() -> Self {
        Self {
            project: "nowhere".into(),
            env: "nothing".into(),
            deployment: NOWHERE.into(),
            module_rule: NOWHERE.into(),
            runner_rule: NOWHERE.into(),
            project_uuid: NOWHERE.into(),
            env_uuid: NOWHERE.into(),
        }
    }

    /// A project with one of everything that names it.
    fn make(team: &Team, project: &str, env: &str) -> Self {
        let make = |path: &str, body: Value| {
            let made = team.admin.post(&format!("/orgs/{ORG}{path}"), &body);
            assert_eq!(made.status, 201, "{path}: {made:?}");
            made.json()
        };
        let of_project = make(
            "/projects",
            json!({"id": project, "display_name": format!("All of {project}")}),
        );
        let of_env = make(
            &format!("/projects/{project}/envs"),
            json!({"id": env, "env_type_id": "dev"}),
        );
        let rule = json!({"module_id": "small", "project_id": project, "env_id": env});
        let module_rule = make("/module-rules", rule);
        let rule = json!({"runner_id": "process", "project_id": project});
        let runner_rule = make("/runner-rules", rule);
        let deployment = make("/deployments", deploy(project, env));
        let roles = json!([{"id": team.role("Viewer"), "scope": format!("project:{}", text(&of_project["uuid"]))}]);
        make(
            "/users",
            json!({"display_name": format!("Reader of {project}"), "roles": roles}),
        );
        Self {
            project: project.into(),
            env: env.into(),
            deployment: text(&deployment["id"]),
            module_rule: text(&module_rule["id"]),
            runner_rule: text(&runner_rule["id"]),
            project_uuid: text(&of_project["uuid"]),
            env_uuid: text(&of_env["uuid"]),
        }
    }

    fn all(&self) -> [&str; 7] {
        [
            &self.project,
            &self.env,
            &self.deployment,
            &self.module_rule,
            &self.runner_rule,
            &self.project_uuid,
            &self.env_uuid,
        ]
    }

    /// The path of an operation that names something here; `None`: it names nothing of a project.
    fn path(&self, operation: &Operation) -> Option<String> {
        let path = operation.path.replace("{org}", ORG);
        let named = path
            .replace("{project}", &self.project)
            .replace("{env}", &self.env)
            .replace(
                "/deployments/{id}",
                &format!("/deployments/{}", self.deployment),
            )
            .replace(
                "/module-rules/{id}",
                &format!("/module-rules/{}", self.module_rule),
            )
            .replace(
                "/runner-rules/{id}",
                &format!("/runner-rules/{}", self.runner_rule),
            );
        (named != path).then(|| {
            named
                .replace("{stream}", "logs")
                .replace("{node}", "db.default@workloads.web.one")
        })
    }

    /// What a text says of this place, said of the other one instead.
    fn said_of(&self, other: &Self, said: &str) -> String {
        let pairs = self.all().into_iter().zip(other.all());
        pairs.fold(said.to_owned(), |said, (from, to)| said.replace(from, to))
    }
}

fn deploy(project: &str, env: &str) -> Value {
    json!({"project_id": project, "env_id": env, "mode": "deploy",
        "manifest": {"workloads": {"web": {"resources": {"one": {"type": "db"}}}}}})
}

/// In the configuration of a runner, which is the platform team's.
const PLANTED: &str = "planted-in-a-runner";

struct World {
    team: Team,
    document: Document,
    own: Names,
    foreign: Names,
}

impl World {
    fn new() -> Self {
        let team = Team::new();
        for (path, body) in [
            ("/env-types", json!({"id": "dev"})),
            ("/resource-types", json!({"id": "db", "output_schema": {}})),
            (
                "/modules",
                json!({"id": "small", "resource_type": "db", "module_source": "inline", "module_source_code": ""}),
            ),
        ] {
            let made = team.admin.post(&format!("/orgs/{ORG}{path}"), &body);
            assert_eq!(made.status, 201, "{path}: {made:?}");
        }
        let planted = json!({"id": "planted", "runner_configuration": {"type": "process", "environment": {"A": PLANTED}}});
        let made = team.admin.post(&format!("/orgs/{ORG}/runners"), &planted);
        assert!(
            made.text.contains(PLANTED),
            "an administrator sees it: {made:?}"
        );
        let (own, foreign) = (
            Names::make(&team, "shop", "counter"),
            Names::make(&team, "bankvault", "strongroom"),
        );
        Self {
            document: Document(Caller::nobody(team.url()).get("/openapi.json").ok()),
            team,
            own,
            foreign,
        }
    }

    /// Fails unless what lies elsewhere is answered as what is nowhere.
    fn assert_same(&self, what: &str, there: &Reply, nowhere: &Reply) {
        let of_nowhere = Names::nowhere();
        assert_eq!(
            there.status, nowhere.status,
            "{what}: {there:?} {nowhere:?}"
        );
        let said = self.foreign.said_of(&of_nowhere, &there.text);
        assert_eq!(said, nowhere.text, "{what}");
    }

    fn names_nothing_foreign(&self, what: &str, reply: &Reply) {
        for name in self.foreign.all() {
            assert!(!reply.text.contains(name), "{what} names {name}: {reply:?}");
        }
    }
}

#[test]
fn what_lies_in_another_project_is_nowhere_on_every_route() {
    let world = World::new();
    let nowhere = Names::nowhere();
    let (project, env) = (
        format!("project:{}", world.own.project_uuid),
        format!("env:{}", world.own.env_uuid),
    );
    for (role, scope) in [("Viewer", &project), ("Admin", &project), ("Admin", &env)] {
        let (_, ann) = world.team.person(role, role, scope);
        let (mut hidden, mut listed) = (0, 0);
        for operation in world.document.operations() {
            if !operation.path.starts_with("/orgs/{org}") {
                continue;
            }
            let what = format!("{role} on {scope}: {}", operation.name());
            let ask = |path: &str| ann.send(&operation.method, path, Some(&json!({})));
            if let (Some(there), Some(not)) =
                (world.foreign.path(&operation), nowhere.path(&operation))
            {
                let (there, not) = (ask(&there), ask(&not));
                assert!([403, 404].contains(&there.status), "{what}: {there:?}");
                world.assert_same(&what, &there, &not);
                hidden += 1;
            } else if operation.method == "GET" && !operation.path.contains("{id}") {
                let path = operation.path.replace("{org}", ORG);
                let answer = ask(&path);
                world.names_nothing_foreign(&what, &answer);
                listed += 1;
                for (name, _) in operation.parameters("query") {
                    let of = |names: &Names| match name {
                        "project_id" | "byProjectId" => Some(names.project.clone()),
                        "env_id" | "byEnvId" => Some(names.env.clone()),
                        _ => None,
                    };
                    let with = |names: &Names| {
                        let also = operation.parameters("query").into_iter();
                        let pairs = also.filter_map(|(name, _)| {
                            let value = match name {
                                "project_id" | "byProjectId" => &names.project,
                                "env_id" | "byEnvId" => &names.env,
                                _ => return None,
                            };
                            Some(format!("{name}={value}"))
                        });
                        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
                    };
                    if of(&nowhere).is_some() {
                        let what = format!("{what} {name}");
                        world.assert_same(
                            &what,
                            &ask(&with(&world.foreign)),
                            &ask(&with(&nowhere)),
                        );
                    }
                }
            }
        }
        assert!(hidden > 25 && listed > 10, "{role}: {hidden} and {listed}");
        // What is their own is there all the same, rules and deployments included.
        let at = |path: &str| ann.get(&format!("/orgs/{ORG}{path}"));
        at(&format!("/module-rules/{}", world.own.module_rule)).ok();
        at(&format!("/runner-rules/{}", world.own.runner_rule)).ok();
        at(&format!("/deployments/{}", world.own.deployment)).ok();
        let runner = at("/runners/planted");
        assert_eq!(
            runner.ok()["runner_configuration"],
            json!({"type": "process"}),
            "{runner:?}"
        );
        for list in ["/module-rules", "/runner-rules", "/deployments", "/envs"] {
            let items = at(list).ok();
            assert_eq!(items["items"].as_array().map(Vec::len), Some(1), "{items}");
        }
    }
}

#[test]
fn what_a_request_names_in_another_project_is_nowhere_too() {
    let world = World::new();
    let nowhere = Names::nowhere();
    let scope = format!("project:{}", world.own.project_uuid);
    let (_, ann) = world.team.person("Ann", "Deployer", &scope);
    let deployments = format!("/orgs/{ORG}/deployments");
    let own = || deploy("shop", "counter");
    let with = |names: &Names| -> Vec<(&'static str, Value)> {
        let rollback = json!({"project_id": "shop", "env_id": "counter", "mode": "rollback", "rollback_to_deployment_id": names.deployment});
        let mut from = own();
        from["windlass"] = json!({"base": {"deployment": names.deployment}});
        vec![
            ("project", deploy(&names.project, &names.env)),
            ("rollback", rollback),
            ("base", from),
        ]
    };
    for ((what, there), (_, not)) in with(&world.foreign).into_iter().zip(with(&nowhere)) {
        let (there, not) = (ann.post(&deployments, &there), ann.post(&deployments, &not));
        assert!((400..500).contains(&there.status), "{what}: {there:?}");
        world.assert_same(what, &there, &not);
    }
    let diff = |names: &Names| {
        let from = &names.deployment;
        let of = &world.own.deployment;
        let path = format!("{deployments}/{of}/actions/diff?fromDeploymentId={from}");
        ann.post(&path, &json!({}))
    };
    world.assert_same("diff", &diff(&world.foreign), &diff(&nowhere));
    let checks = |names: &Names| {
        let checks = json!([
            {"resource": format!("project:{}", names.project_uuid), "permission": "read"},
            {"resource": format!("env:{}", names.env_uuid), "permission": "read"},
        ]);
        ann.post("/auth/check-permissions", &checks)
    };
    world.assert_same("checks", &checks(&world.foreign), &checks(&nowhere));
}

/// Whoever may deploy in the organisation needs no role on the environment; who may in neither is told what was missing
/// there. Whoever may read may wait: it is reading.
#[test]
fn e20_c10_who_may_deploy_and_who_may_wait() {
    let world = World::new();
    let deployments = format!("/orgs/{ORG}/deployments");
    let mut queued = deploy("shop", "counter");
    queued["windlass"] = json!({"on_busy": "queue"});
    let env = format!("env:{}", world.own.env_uuid);
    for scope in ["", env.as_str()] {
        let (_, deployer) = world.team.person("Dora", "Deployer", scope);
        let made = deployer.post(&deployments, &queued);
        assert_eq!(made.status, 201, "{scope}: {made:?}");
        let (_, viewer) = world.team.person("Vic", "Viewer", scope);
        let refused = viewer.post(&deployments, &queued).is(403, "Forbidden");
        assert_eq!(
            refused["details"]["failed_checks"],
            json!([{"resource": env, "permission": "write"}]),
            "{scope}"
        );
        let wait = format!(
            "{deployments}/{}/actions/wait-for-complete?timeout_in_seconds=2",
            text(&made.json()["id"])
        );
        for caller in [&deployer, &viewer] {
            let waited = caller.get(&wait);
            assert!([200, 408].contains(&waited.status), "{waited:?}");
        }
        let (_, other) =
            world
                .team
                .person("Otto", "Viewer", &format!("env:{}", world.foreign.env_uuid));
        other.get(&wait).is(404, "not found");
    }
}
