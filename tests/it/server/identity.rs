//! Users, roles and scopes over HTTP. Names follow the checklist of the contract.

use serde_json::{Value, json};

use super::http::{Caller, Reply};
use super::{ORG, Server, TOKEN};
use crate::support::Place;

/// A server and its administrator, a program.
pub(super) struct Team {
    pub(super) server: Server,
    pub(super) admin: Caller,
    _place: Place,
}

impl Team {
    pub(super) fn new() -> Self {
        Self::at(Place::without_engine(), &[])
    }

    /// In a place that has its variables, with more arguments.
    pub(super) fn at(place: Place, arguments: &[&str]) -> Self {
        let server = Server::start(&place, arguments);
        Self {
            admin: Caller::with(server.url(), TOKEN),
            server,
            _place: place,
        }
    }

    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    /// The id of a role.
    pub(super) fn role(&self, name: &str) -> String {
        let roles = self.admin.get(&format!("/orgs/{ORG}/roles")).ok();
        let found = roles["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|role| role["display_name"] == name);
        found.expect("the role")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// A person with a role, logged in: who they are, and with what token.
    pub(super) fn person(&self, name: &str, role: &str, scope: &str) -> (String, Caller) {
        let body =
            json!({"display_name": name, "roles": [{"id": self.role(role), "scope": scope}]});
        let made = self.admin.post(&format!("/orgs/{ORG}/users"), &body).ok();
        let session = self
            .open(made["link"].as_str().expect("a link"))
            .ok_session();
        (text(&made["id"]), Caller::with(self.url(), &session))
    }

    /// Opens a one-time link.
    pub(super) fn open(&self, link: &str) -> Reply {
        let (_, token) = link.split_once("/welcome#").expect("a link");
        Caller::nobody(self.url()).post("/auth/link", &json!({"token": token}))
    }

    /// A program with a role, made by a person: its id and its token.
    pub(super) fn program(&self, by: &Caller, name: &str, roles: &Value) -> (String, Caller) {
        let body = json!({"display_name": name, "expiry_in_days": 1, "roles": roles});
        let made = by.post(&format!("/orgs/{ORG}/service-users"), &body).ok();
        (
            text(&made["id"]),
            Caller::with(self.url(), made["token"].as_str().expect("a token")),
        )
    }

    /// Two projects with an environment each: UUIDs of projects and environments.
    pub(super) fn projects(&self) -> [(String, String); 2] {
        let made = self
            .admin
            .post(&format!("/orgs/{ORG}/env-types"), &json!({"id": "dev"}));
        assert_eq!(made.status, 201, "{made:?}");
        ["shop", "bank"].map(|project| {
            let made = self
                .admin
                .post(&format!("/orgs/{ORG}/projects"), &json!({"id": project}))
                .ok();
            let path = format!("/orgs/{ORG}/projects/{project}/envs");
            let env = self
                .admin
                .post(&path, &json!({"id": "one", "env_type_id": "dev"}))
                .ok();
            (text(&made["uuid"]), text(&env["uuid"]))
        })
    }
}

impl Reply {
    /// The session in the cookie.
    pub(crate) fn ok_session(&self) -> String {
        self.ok();
        let cookie = self.header("set-cookie").expect("a cookie");
        let (name, rest) = cookie.split_once('=').expect("a pair");
        assert_eq!(name, "session-token");
        rest.split(';').next().expect("a value").to_owned()
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn ids(reply: &Reply, field: &str) -> Vec<String> {
    let body = reply.ok();
    body["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| text(&item[field]))
        .collect()
}

#[test]
fn c12_iam_01_roles_list_has_exactly_three() {
    let team = Team::new();
    let path = format!("/orgs/{ORG}/roles");
    let listed = team.admin.get(&path).ok();
    let roles = listed["items"].as_array().expect("items");
    let mut found: Vec<(String, Value)> = roles
        .iter()
        .map(|role| (text(&role["display_name"]), role["permissions"].clone()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        found,
        [
            ("Admin".to_owned(), json!(["manage_all"])),
            ("Deployer".to_owned(), json!(["write_all"])),
            ("Viewer".to_owned(), json!(["read_all"])),
        ]
    );
    assert_eq!(
        team.admin.get(&path).ok(),
        listed,
        "they are the same every time"
    );
    for role in roles {
        let one = team.admin.get(&format!("{path}/{}", text(&role["id"])));
        assert_eq!(one.ok(), *role);
    }
    let nobodys = format!("{path}/01900000-0000-7000-8000-000000000000");
    team.admin.get(&nobodys).is(404, "role not found");
    let first = team.admin.get(&format!("{path}?per_page=2")).ok();
    let token = text(&first["next_page_token"]);
    let second = team
        .admin
        .get(&format!("{path}?per_page=2&page={token}"))
        .ok();
    assert_eq!(second["items"].as_array().expect("items").len(), 1);
    assert_eq!(second.get("next_page_token"), None);
}

#[test]
fn c12_iam_02_service_users_are_created_listed_regenerated_and_deleted() {
    let team = Team::new();
    let (person, admin) = team.person("Ann", "Admin", "");
    let path = format!("/orgs/{ORG}/service-users");
    let made = admin
        .post(&path, &json!({"display_name": "ci", "expiry_in_days": 30}))
        .ok();
    let first = text(&made["token"]);
    assert!(first.starts_with("SU-"));
    assert_eq!(made["generated_by"], person.as_str());
    assert_eq!(
        made["roles"],
        json!([{"id": team.role("Admin"), "scope": ""}])
    );
    let id = text(&made["id"]);
    assert_eq!(&id[14..16], "72", "a service user is known by its id");
    let listed = admin.get(&path).ok();
    let of_ci = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|user| user["id"] == id.as_str());
    assert_eq!(
        of_ci.expect("listed").get("token"),
        None,
        "a token is shown once"
    );

    let program = Caller::with(team.url(), &first);
    program.get(&format!("/orgs/{ORG}/projects")).ok();
    program.get("/current-user").is(403, "Forbidden");
    program
        .post(&path, &json!({"display_name": "more", "expiry_in_days": 1}))
        .is(400, "service users may not create service users");
    crate::support::wait_until("the last use is shown", || {
        let listed = admin.get(&path).ok();
        listed["items"]
            .as_array()
            .expect("items")
            .iter()
            .any(|user| user["id"] == id.as_str() && user["windlass"]["last_used_at"].is_string())
    });

    let renewed = admin
        .post(
            &format!("{path}/{id}/actions/regenerate"),
            &json!({"expiry_in_days": 1}),
        )
        .ok();
    assert_eq!(renewed["id"], id.as_str());
    program
        .get(&format!("/orgs/{ORG}/projects"))
        .is(401, "a token is needed");
    let program = Caller::with(team.url(), &text(&renewed["token"]));
    program.get(&format!("/orgs/{ORG}/projects")).ok();
    assert_eq!(admin.delete(&format!("{path}/{id}")).status, 204);
    program
        .get(&format!("/orgs/{ORG}/projects"))
        .is(401, "a token is needed");
    admin
        .delete(&format!("{path}/{id}"))
        .is(404, "service user not found");
    admin
        .post(
            &format!("{path}/{id}/actions/regenerate"),
            &json!({"expiry_in_days": 1}),
        )
        .is(404, "service user not found");

    for (body, message) in [
        (json!({"expiry_in_days": 1}), "display_name"),
        (
            json!({"display_name": "x", "expiry_in_days": 1}),
            "minimum string length is 2",
        ),
        (
            json!({"display_name": "ok", "expiry_in_days": 0}),
            "at least 1",
        ),
        (
            json!({"display_name": "ok", "expiry_in_days": 3661}),
            "at most 3660",
        ),
        (json!({"display_name": "ok"}), "expiry_in_days"),
        (
            json!({"display_name": "ok", "expiry_in_days": 1, "roles": [{"id": team.role("Viewer"), "scope": "team:x"}]}),
            "invalid resource id in scope",
        ),
        (
            json!({"display_name": "ok", "expiry_in_days": 1, "roles": [{"id": team.role("Viewer"), "scope": "project:01900000-0000-7000-8000-00000000000a"}]}),
            "does not exist",
        ),
    ] {
        admin.post(&path, &body).is(400, message);
    }
}

#[test]
fn c12_iam_03_scoped_roles_allow_their_project_and_replacing_them_takes_the_old_rights_away() {
    let team = Team::new();
    let (_, ann) = team.person("Ann", "Admin", "");
    let [(shop, _), _] = team.projects();
    let viewer = team.role("Viewer");
    let admin_role = team.role("Admin");
    let roles = json!([{"id": viewer}, {"id": admin_role, "scope": format!("project:{shop}")}]);
    let (id, program) = team.program(&ann, "ci", &roles);
    let envs = |project: &str| format!("/orgs/{ORG}/projects/{project}/envs");
    let env = |id: &str| json!({"id": id, "env_type_id": "dev"});
    program.post(&envs("shop"), &env("two")).ok();
    let refused = program
        .post(&envs("bank"), &env("two"))
        .is(403, "Forbidden");
    assert_eq!(
        refused["details"]["failed_checks"][0]["permission"],
        "manage"
    );

    let path = format!("/orgs/{ORG}/service-users/{id}");
    let one = json!({"roles": [{"id": viewer}]});
    let replaced = ann.put(&path, &one).ok();
    assert_eq!(replaced["roles"], json!([{"id": viewer, "scope": ""}]));
    program
        .post(&envs("shop"), &env("three"))
        .is(403, "Forbidden");
    ann.put(
        &path,
        &json!({"roles": [{"id": viewer}, {"id": viewer, "scope": ""}]}),
    )
    .is(409, "twice");
    let unknown = json!({"roles": [{"id": "01900000-0000-7000-8000-000000000000"}]});
    ann.put(&path, &unknown)
        .is(409, "role not found in the organization");
    ann.put(&path, &json!({"roles": []}))
        .is(400, "minimum number of items is 1");
    ann.put(&path, &json!({})).is(400, "roles");
    assert_eq!(
        ann.put(&path, &one).ok(),
        replaced,
        "what was refused changed nothing"
    );
}

#[test]
fn c12_envs_04_a_viewer_makes_none() {
    let team = Team::new();
    let [(shop, _), _] = team.projects();
    let (_, ann) = team.person("Ann", "Viewer", "");
    let path = format!("/orgs/{ORG}/projects/shop/envs");
    let refused = ann.post(&path, &json!({"id": "two", "env_type_id": "dev"}));
    refused.is(403, "Forbidden");
    let needed = format!("\"permission\":\"manage\",\"resource\":\"project:{shop}\"");
    assert!(refused.text.contains(&needed), "{refused:?}");
    ann.get(&format!("{path}/nope"))
        .is(404, "environment not found");
    ann.get(&format!("/orgs/{ORG}/projects/nope/envs"))
        .is(404, "not found");
}

#[test]
fn c12_envs_05_an_administrator_of_the_project_makes_one() {
    let team = Team::new();
    let [(shop, _), _] = team.projects();
    let (id, ann) = team.person("Ann", "Viewer", "");
    let path = format!("/orgs/{ORG}/projects/shop/envs");
    let env = json!({"id": "two", "env_type_id": "dev"});
    ann.post(&path, &env).is(403, "Forbidden");
    let memberships = json!({"memberships": [
        {"subject_type": "role", "subject": team.role("Viewer")},
        {"subject_type": "role", "subject": team.role("Admin"), "scope": format!("project:{shop}")},
    ]});
    // There is no person yet who administers everything, and there must always be one once roles change.
    let (_, boss) = team.person("Bob", "Admin", "");
    let replaced = boss
        .put(&format!("/orgs/{ORG}/users/{id}/memberships"), &memberships)
        .ok();
    assert_eq!(replaced["items"].as_array().expect("items").len(), 2);
    ann.post(&path, &env).ok();
    let changed = ann
        .patch(&format!("{path}/two"), &json!({"display_name": "Two"}))
        .ok();
    assert_eq!(changed["display_name"], "Two");
}

#[test]
fn whoever_is_in_one_project_sees_nothing_of_another() {
    let team = Team::new();
    let [(shop, shop_env), (_, bank_env)] = team.projects();
    let made = team.admin.post(&format!("/orgs/{ORG}/module-providers"), &json!({
        "id": "main", "provider_type": "aws", "source": "hashicorp/aws", "version_constraint": "~> 5.0",
        "configuration": {"region": "eu-west-1"},
    }));
    assert_eq!(made.status, 201, "{made:?}");
    for (role, level) in [("Viewer", 0), ("Deployer", 1), ("Admin", 2)] {
        let (_, ann) = team.person(role, role, &format!("project:{shop}"));
        let at = |path: &str| format!("/orgs/{ORG}{path}");
        assert_eq!(ids(&ann.get(&at("/projects")), "id"), ["shop"], "{role}");
        assert_eq!(
            ids(&ann.get(&at("/envs")), "uuid"),
            std::slice::from_ref(&shop_env),
            "{role}"
        );
        ann.get(&at("/projects/shop/envs/one")).ok();
        for (there, not) in [
            ("/projects/bank", "/projects/nope"),
            ("/projects/bank/envs", "/projects/nope/envs"),
            ("/projects/bank/envs/one", "/projects/nope/envs/one"),
            (
                "/projects/bank/envs/one/state",
                "/projects/nope/envs/one/state",
            ),
            ("/projects/bank/users", "/projects/nope/users"),
        ] {
            let (there, not) = (ann.get(&at(there)), ann.get(&at(not)));
            assert_eq!(there.status, 404, "{role} {there:?}");
            assert_eq!(there.text.replace("bank", "nope"), not.text, "{role}");
        }
        for path in ["/members", "/memberships", "/service-users", "/audit-log"] {
            ann.get(&at(path)).is(403, "Forbidden");
        }
        let provider = ann.get(&at("/module-providers/aws/main"));
        provider.ok();
        assert!(!provider.text.contains("eu-west-1"), "{role} {provider:?}");
        let checks = json!([
            {"resource": format!("project:{shop}"), "permission": "read"},
            {"resource": format!("env:{shop_env}"), "permission": "write"},
            {"resource": format!("project:{shop}"), "permission": "manage"},
            {"resource": format!("env:{bank_env}"), "permission": "read"},
            {"resource": format!("organization:{ORG}"), "permission": "read"},
        ]);
        let answers = ann.post("/auth/check-permissions", &checks).ok();
        let allowed: Vec<bool> = answers["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["allowed"].as_bool().expect("yes or no"))
            .collect();
        assert_eq!(
            allowed,
            [true, level >= 1, level >= 2, false, false],
            "{role}"
        );
        let changed = ann.patch(&at("/projects/shop"), &json!({"display_name": "Shop"}));
        assert_eq!(
            changed.status,
            if level >= 2 { 200 } else { 403 },
            "{role} {changed:?}"
        );
        let made = ann.post(&at("/projects"), &json!({"id": "mine"}));
        made.is(403, "Forbidden");
        // Another organisation is not even said to be there.
        assert_eq!(ann.get("/orgs/default/projects").status, 403);
        assert_eq!(ann.get("/orgs/nowhere/projects").status, 403);
    }
}

#[test]
fn c12_authorization_01_unknown_subjects_get_403() {
    let team = Team::new();
    let (_, ann) = team.person("Ann", "Admin", "");
    let (_, program) = team.program(&ann, "ci", &json!([{"id": team.role("Viewer")}]));
    for caller in [&ann, &program] {
        caller.get("/orgs/default/projects").is(403, "Forbidden");
    }
    let nobody = Caller::nobody(team.url());
    let refused = nobody.get(&format!("/orgs/{ORG}/projects"));
    refused.is(401, "a token is needed");
    assert!(refused.header("www-authenticate").is_some());
}

#[test]
fn c12_authorization_02_probes_need_no_token() {
    let team = Team::new();
    let nobody = Caller::nobody(team.url());
    for path in ["/alive", "/health"] {
        assert_eq!(nobody.get(path).status, 200, "{path}");
    }
}

#[test]
fn c12_organizations_01_one_that_is_not_there_is_not_read() {
    let team = Team::new();
    team.admin.get("/orgs/nowhere").is(403, "Forbidden");
    let local = Place::without_engine();
    local.refused(["get", "projects", "--org", "nowhere"]);
}

#[test]
fn c12_organizations_02_two_of_them_differ() {
    let team = Team::new();
    let (id, ann) = team.person("Ann", "Viewer", "");
    let first = team.admin.get(&format!("/orgs/{ORG}")).ok();
    assert_eq!(first["created_by"], "ffffffff-ffff-ffff-ffff-ffffffffffff");
    assert_eq!(first["plan"], "custom");
    let memberships = team
        .admin
        .get(&format!("/orgs/{ORG}/memberships?userId={id}"))
        .ok();
    let membership = text(&memberships["items"][0]["id"]);
    let (_, _boss) = team.person("Boss", "Admin", "");
    let path = format!("/orgs/{ORG}/memberships/{membership}");
    assert_eq!(team.admin.delete(&path).status, 204);
    let second = ann.post("/orgs", &json!({})).ok();
    assert_ne!(first["id"], second["id"]);
    assert_ne!(first["uuid"], second["uuid"]);
    assert!(first["created_at"].as_str() < second["created_at"].as_str());
}

#[test]
fn c12_organizations_03_one_that_was_made_can_be_read() {
    let team = Team::new();
    let read = team.admin.get(&format!("/orgs/{ORG}")).ok();
    assert_eq!(read["id"], ORG);
    assert_eq!(read["status"], "active");
}

#[test]
fn c12_organizations_06_internal_paths_are_not_there() {
    let team = Team::new();
    for path in ["/internal/orgs", "/admin/orgs", "/internal/orgs/acme"] {
        team.admin.get(path).is(404, "Not Found");
    }
}

#[test]
fn c12_organizations_07_a_person_makes_one_and_is_its_only_member() {
    let team = Team::new();
    let (boss_id, boss) = team.person("Boss", "Admin", "");
    let (id, ann) = team.person("Ann", "Viewer", "");
    let taken = ann.post("/orgs", &json!({}));
    taken.is(
        409,
        &format!("user {id} is already a member of organizations [{ORG}]"),
    );
    let (_, program) = team.program(&boss, "ci", &json!([{"id": team.role("Viewer")}]));
    program
        .post("/orgs", &json!({}))
        .is(403, "service users are not allowed to create organizations");

    let memberships = boss
        .get(&format!("/orgs/{ORG}/memberships?userId={id}"))
        .ok();
    let membership = text(&memberships["items"][0]["id"]);
    assert_eq!(memberships["items"][0]["user_display_name"], "Ann");
    let path = format!("/orgs/{ORG}/memberships/{membership}");
    assert_eq!(boss.delete(&path).status, 204);
    boss.delete(&path).is(404, "membership not found");
    ann.get(&format!("/orgs/{ORG}/projects"))
        .is(403, "Forbidden");
    let made = ann.post("/orgs", &json!({}));
    assert_eq!(made.status, 201, "{made:?}");
    let org = text(&made.json()["id"]);
    assert_eq!(made.json()["created_by"], id.as_str());
    assert_eq!(made.json()["plan"], "custom");
    let members = ann.get(&format!("/orgs/{org}/members")).ok();
    assert_eq!(members["items"].as_array().expect("items").len(), 1);
    assert_eq!(members["items"][0]["user_id"], id.as_str());
    ann.post("/orgs", &json!({})).is(409, &format!("[{org}]"));
    boss.get(&format!("/orgs/{org}/members"))
        .is(403, "Forbidden");

    // Somebody always administers an organisation.
    let own = ann.get(&format!("/users/{id}/memberships")).ok();
    let own = text(&own["items"][0]["id"]);
    ann.delete(&format!("/orgs/{org}/memberships/{own}"))
        .is(409, "last admin");
    let viewer = json!({"memberships": [{"subject_type": "role", "subject": team.role("Viewer")}]});
    let of_boss = format!("/orgs/{ORG}/users/{boss_id}/memberships");
    boss.put(&of_boss, &viewer).is(409, "their own");
    team.admin.put(&of_boss, &viewer).is(409, "last admin");
    team.admin
        .put(&format!("/orgs/{ORG}/users/{id}/memberships"), &viewer)
        .is(404, "user not found");
    ann.get(&format!("/users/{boss_id}/memberships"))
        .is(403, "Forbidden");
}

#[test]
fn c12_organizations_08_and_no_second_one() {
    let team = Team::new();
    let (id, ann) = team.person("Ann", "Viewer", "");
    let said = format!("user {id} is already a member of organizations [{ORG}]");
    ann.post("/orgs", &json!({})).is(409, &said);
}

#[test]
fn c12_organizations_09_a_service_user_makes_none() {
    let team = Team::new();
    let said = "service users are not allowed to create organizations";
    team.admin.post("/orgs", &json!({})).is(403, said);
}

#[test]
fn c12_iam_05_a_bad_page_cursor_is_400() {
    let team = Team::new();
    team.projects();
    for path in [
        "/projects/shop/users",
        "/projects/shop/envs/one/users",
        "/members",
        "/memberships",
        "/service-users",
        "/roles",
    ] {
        team.admin
            .get(&format!("/orgs/{ORG}{path}?page=nonsense"))
            .is(400, "Invalid page token");
    }
    let (id, _) = team.person("Ann", "Viewer", "");
    let users = team
        .admin
        .get(&format!("/orgs/{ORG}/projects/shop/users?type=user"))
        .ok();
    assert_eq!(
        users["items"],
        json!([{"id": id, "type": "user", "subject_type": "role", "subject_id": team.role("Viewer")}])
    );
    team.admin
        .get(&format!("/orgs/{ORG}/projects/shop/users?type=robot"))
        .is(400, "robot");
}
