//! Logging in: one-time links, sessions, and programs that a person lets in.

use serde_json::json;

use super::ORG;
use super::http::Caller;
use super::identity::{Team, text};
use crate::support::wait_until;

#[test]
fn a_link_opens_one_session_and_another_takes_its_place() {
    let team = Team::new();
    let users = format!("/orgs/{ORG}/users");
    let body = json!({"display_name": "Ann", "roles": [{"id": team.role("Admin")}]});
    let made = team.admin.post(&users, &body).ok();
    let again = format!("{users}/{}/actions/link", text(&made["id"]));
    let (first, second) = (
        text(&made["link"]),
        text(&team.admin.post(&again, &json!({})).ok()["link"]),
    );
    team.open(&first).is(401, "used already");
    let opened = team.open(&second);
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure"),
        "over plain HTTP it would be lost"
    );
    team.open(&second).is(401, "used already");
    let session = opened.ok_session();
    let ann = Caller::with(team.url(), &session);
    let me = ann.get("/current-user").ok();
    assert_eq!(me["display_name"], "Ann");
    assert!(me["last_logged_in_at"].is_string());
    assert_eq!(me["organization_memberships"], json!([{"id": ORG}]));

    // A browser sends the cookie along with what other sites make it send.
    let browser = Caller::nobody(team.url()).and("cookie", &format!("session-token={session}"));
    let project = json!({"id": "shop"});
    let projects = format!("/orgs/{ORG}/projects");
    browser
        .and("sec-fetch-site", "cross-site")
        .post(&projects, &project)
        .is(401, "another site");
    browser.post(&projects, &project).is(401, "another site");
    browser
        .and("sec-fetch-site", "same-origin")
        .post(&projects, &project)
        .ok();
    let elsewhere = Caller::nobody(team.url()).and("origin", "https://evil.example");
    elsewhere
        .post("/auth/link", &json!({"token": "x"}))
        .is(400, "on a page of this server");

    let id = text(&me["id"]);
    let tokens = format!("/users/{id}/session-tokens");
    let listed = ann.get(&tokens).ok();
    assert_eq!(listed["items"].as_array().expect("items").len(), 1);
    assert_eq!(listed["items"][0]["provider"], "link");
    team.admin.get(&tokens).is(403, "Forbidden");
    let hash = text(&listed["items"][0]["hash"]);
    assert_eq!(ann.delete(&format!("{tokens}/{hash}")).status, 204);
    ann.get("/current-user").is(401, "a token is needed");
}

#[test]
fn whoever_is_in_no_organisation_any_more_is_forgotten() {
    let team = Team::new();
    let (_boss, _) = team.person("Boss", "Admin", "");
    let (id, ann) = team.person("Ann", "Viewer", "");
    let removed = team.admin.delete(&format!("/orgs/{ORG}/users/{id}"));
    assert_eq!(removed.status, 204, "{removed:?}");
    ann.get("/current-user").is(401, "a token is needed");
    let link = format!("/orgs/{ORG}/users/{id}/actions/link");
    team.admin.post(&link, &json!({})).is(404, "user not found");
}

#[test]
fn c12_iam_04_device_login_goes_from_a_code_to_a_token_once() {
    let team = Team::new();
    let nobody = Caller::nobody(team.url()).and("user-agent", "octl/1.0.1");
    let (_, ann) = team.person("Ann", "Admin", "");
    let asked = nobody.post("/auth/device", &json!({}));
    assert_eq!(asked.status, 201);
    let asked = asked.json();
    let (id, code, polling) = (
        text(&asked["id"]),
        text(&asked["code"]),
        text(&asked["polling_token"]),
    );
    assert_eq!(code.len(), 7);
    assert!(!code.contains(['I', 'L', 'O']));
    assert_eq!(
        text(&asked["approval_url"]),
        format!("{}/devicelogins/{code}", team.url())
    );
    let poll = |id: &str, token: &str| {
        nobody.post(
            &format!("/devicelogins/{id}/actions/poll?pollingToken={token}"),
            &json!({}),
        )
    };
    let unknown = "01900000-0000-7000-8000-000000000000";
    assert_eq!(poll(unknown, &polling).status, 404);
    assert_eq!(poll(&id, "wrong").status, 400);
    assert_eq!(poll(&id, &polling).status, 202);
    assert_eq!(ann.get("/devicelogins/AAA-AAA").status, 404);
    assert_eq!(nobody.get(&format!("/devicelogins/{code}")).status, 401);
    let login = ann
        .get(&format!("/devicelogins/{}", code.to_lowercase()))
        .ok();
    assert_eq!(login["id"], id.as_str());
    assert_eq!(login["user_agent"], "octl/1.0.1");
    assert_eq!(login["client_ip"], "127.0.0.1");
    assert_eq!(login.get("code"), None);
    let decide = |caller: &Caller, id: &str, action: &str| {
        caller.post(&format!("/devicelogins/{id}/actions/{action}"), &json!({}))
    };
    decide(&team.admin, &id, "accept").is(400, "human user");
    assert_eq!(decide(&ann, unknown, "accept").status, 404);
    assert_eq!(decide(&ann, &id, "accept").status, 204);
    assert_eq!(decide(&ann, &id, "reject").status, 400);
    let accepted = poll(&id, &polling);
    assert_eq!(accepted.status, 200);
    let token = text(&accepted.json()["token"]);
    assert_eq!(poll(&id, &polling).status, 404);
    assert_eq!(ann.get(&format!("/devicelogins/{code}")).status, 404);
    let program = Caller::with(team.url(), &token);
    assert_eq!(program.get("/current-user").ok()["display_name"], "Ann");
    assert_eq!(program.post("/auth/logout", &json!({})).status, 204);
    program.get("/current-user").is(401, "a token is needed");

    let rejected = nobody.post("/auth/device", &json!({})).ok();
    let (id, polling) = (text(&rejected["id"]), text(&rejected["polling_token"]));
    assert_eq!(decide(&ann, &id, "reject").status, 204);
    poll(&id, &polling).is(400, "rejected");
}

#[test]
fn codes_cannot_be_guessed() {
    let team = Team::new();
    let (_, ann) = team.person("Ann", "Viewer", "");
    let statuses: Vec<u16> = (0..11)
        .map(|_| ann.get("/devicelogins/AAA-AAA").status)
        .collect();
    assert_eq!(statuses[..10], [404; 10]);
    assert_eq!(statuses[10], 429);
    assert!(
        ann.get("/devicelogins/AAA-AAA")
            .header("retry-after")
            .is_some()
    );
}

#[test]
fn windlass_login_keeps_a_session_and_logout_ends_it() {
    let team = Team::new();
    let (_, ann) = team.person("Ann", "Admin", "");
    let machine = team.server.client("");
    machine.with_variable("WINDLASS_ORG", "");
    let mut login = machine.start(["login", "--no-browser"]);
    let mut code = String::new();
    wait_until("a code is shown", || {
        if let Some(done) = login.over() {
            panic!("it ended\n{done}");
        }
        let said = login.said();
        let found = said
            .split_whitespace()
            .skip_while(|word| *word != "code")
            .nth(1);
        code = found.unwrap_or_default().to_owned();
        code.len() == 7
    });
    let id = text(&ann.get(&format!("/devicelogins/{code}")).ok()["id"]);
    let accepted = ann.post(&format!("/devicelogins/{id}/actions/accept"), &json!({}));
    assert_eq!(accepted.status, 204, "{accepted:?}");
    let done = login.wait();
    assert_eq!(done.code, Some(0), "{done}");
    assert!(done.stderr.contains("Logged in as Ann"), "{done}");
    let me = machine.json(["get", "current-user", "-o", "json"]);
    assert_eq!(me["display_name"], "Ann");
    let shown = machine.ok(["config", "show"]);
    assert!(
        shown.stdout.contains(&format!("default_org_id: {ORG}")),
        "{shown}"
    );
    machine.ok(["get", "projects"]);
    machine.ok(["logout"]);
    machine
        .refused(["get", "projects"])
        .says(&["a token is needed"]);
}

#[test]
fn users_are_managed_from_the_command_line_and_a_token_is_printed_once() {
    let team = Team::new();
    let machine = team.server.client(super::TOKEN);
    let link = machine.ok(["create", "user", "Ann", "--role", "Admin", "--link"]);
    let session = team.open(link.stdout.trim()).ok_session();
    let ann = team.server.client(&session);
    ann.ok(["create", "project", "shop"]);
    let made = ann.ok([
        "create",
        "service-user",
        "ci",
        "--role",
        "deployer",
        "--scope",
        "project:shop",
        "--days",
        "7",
    ]);
    let token = made.stdout.trim().to_owned();
    assert!(token.starts_with("SU-"), "{made}");
    let listed = ann.ok(["get", "service-users"]);
    assert!(listed.stdout.contains("Deployer on project:"), "{listed}");
    assert!(!listed.stdout.contains(&token), "{listed}");
    let ci = team.server.client(&token);
    ci.ok(["get", "project", "shop"]);
    ci.refused(["get", "current-user"]).says(&["service user"]);
    let renewed = ann.ok(["regenerate", "service-user", "ci"]);
    assert_ne!(renewed.stdout.trim(), token);
    ci.refused(["get", "project", "shop"])
        .says(&["a token is needed"]);
    ann.ok(["update", "service-user", "ci", "--role", "Viewer"]);
    ann.ok(["delete", "service-user", "ci"]);
    ann.refused(["delete", "service-user", "ci"])
        .says(&["there is no service user `ci`"]);
    ann.refused(["create", "user", "Bob", "--role", "King"])
        .says(&["there is no role `King`", "Viewer"]);
    ann.refused(["create", "user", "Bob", "--scope", "project:nope"])
        .says(&["names nothing"]);
    let users = ann.ok(["get", "users"]);
    assert!(
        users.stdout.contains("Ann") && users.stdout.contains("Admin"),
        "{users}"
    );
    ann.refused(["delete", "user", "Ann"]).says(&["last admin"]);
}

#[test]
fn pages_run_nothing_but_their_own_script_and_hold_nothing_of_a_user() {
    let team = Team::new();
    let browser = Caller::nobody(team.url()).and("accept", "text/html");
    for path in [
        "/welcome",
        "/devicelogins/ABC-DEF",
        "/devicelogins/%3Cscript%3E",
    ] {
        let page = browser.get(path);
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        for part in [
            "default-src 'none'",
            "script-src 'sha256-",
            "frame-ancestors 'none'",
            "connect-src 'self'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(
            page.text.contains("auth/link") || page.text.contains("devicelogins/"),
            "{path}"
        );
        assert!(
            !page.text.contains("ABC-DEF") && !page.text.contains("&lt;script"),
            "{path}"
        );
    }
}
