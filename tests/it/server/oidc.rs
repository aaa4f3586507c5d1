//! Jobs of build systems: an issuer of our own on loopback signs, and a trust rule decides.

use serde_json::json;

use super::ORG;
use super::http::{Caller, Reply};
use super::identity::{Team, text};
use super::issuer::Issuer;

#[test]
fn a_job_gets_a_short_token_where_a_trust_rule_says_so() {
    let team = Team::new();
    let issuer = Issuer::start();
    let [(shop, _), _] = team.projects();
    let (_, ann) = team.person("Ann", "Admin", "");
    let rules = format!("/orgs/{ORG}/trust-rules");
    let mut rule = json!({
        "display_name": "shop's jobs", "issuer": issuer.url, "audience": "windlass", "minutes": 5,
        "claims": {"sub": "repo:acme/shop:*", "repository": "acme/shop"},
        "roles": [{"id": team.role("Deployer"), "scope": format!("project:{shop}")}],
    });
    let made = ann.post(&rules, &rule);
    assert_eq!(made.status, 201, "{made:?}");
    let nobody = Caller::nobody(team.url());
    let exchange = |token: &str| -> Reply {
        nobody.post(
            "/auth/oidc/token",
            &json!({"organization": ORG, "token": token}),
        )
    };
    let good = json!({"repository": "acme/shop"});
    let given = exchange(&issuer.sign("windlass", &good)).ok();
    let job = Caller::with(team.url(), &text(&given["token"]));
    let seen = job.get(&format!("/orgs/{ORG}/projects")).ok();
    assert_eq!(seen["items"].as_array().expect("items").len(), 1);
    job.get(&format!("/orgs/{ORG}/projects/bank"))
        .is(404, "not found");
    job.post(&format!("/orgs/{ORG}/projects"), &json!({"id": "more"}))
        .is(403, "Forbidden");

    for (audience, claims, why) in [
        (
            "windlass",
            json!({"repository": "acme/other"}),
            "no trust rule",
        ),
        ("windlass", json!({}), "no trust rule"),
        (
            "windlass",
            json!({"repository": "acme/shop", "sub": "repo:evil/shop:x"}),
            "no trust rule",
        ),
        ("another", good.clone(), "another audience"),
        (
            "windlass",
            json!({"repository": "acme/shop", "exp": 1}),
            "it is over",
        ),
        (
            "windlass",
            json!({"repository": "acme/shop", "iss": "http://127.0.0.1:1"}),
            "no trust rule",
        ),
    ] {
        exchange(&issuer.sign(audience, &claims)).is(401, why);
    }
    exchange(&issuer.forge("windlass", &good)).is(401, "signature is wrong");
    exchange("nonsense").is(401, "no signed JSON Web Token");
    let elsewhere = json!({"organization": "default", "token": issuer.sign("windlass", &good)});
    nobody
        .post("/auth/oidc/token", &elsewhere)
        .is(401, "no trust rule");

    let log = ann.get(&format!("/orgs/{ORG}/audit-log?per_page=1000"));
    assert!(
        log.text
            .contains("subject repo:acme/shop:ref:refs/heads/main"),
        "who the job was is in the log"
    );
    assert!(!log.text.contains(&text(&given["token"])));

    for (field, value, why) in [
        ("claims", json!({}), "everybody is trusted"),
        ("claims", json!({"sub": "*"}), "everybody is trusted"),
        ("minutes", json!(61), "from 1 to 60"),
        ("issuer", json!("http://issuer.example.com"), "https"),
        ("roles", json!([]), "one role at least"),
    ] {
        let kept = rule[field].take();
        rule[field] = value;
        ann.post(&rules, &rule).is(400, why);
        rule[field] = kept;
    }
    assert_eq!(
        ann.delete(&format!("{rules}/{}", text(&made.json()["id"])))
            .status,
        204
    );
    job.get(&format!("/orgs/{ORG}/projects"))
        .is(401, "a token is needed");
    exchange(&issuer.sign("windlass", &good)).is(401, "no trust rule");
}

#[test]
fn a_job_logs_in_on_the_command_line_without_a_secret() {
    let team = Team::new();
    let issuer = Issuer::start();
    team.projects();
    let (_, ann) = team.person("Ann", "Admin", "");
    let session = ann.token();
    let admin = team.server.client(&session);
    admin.ok([
        "create",
        "trust-rule",
        "jobs",
        "--issuer",
        &issuer.url,
        "--claim",
        "sub=repo:acme/shop:*",
        "--role",
        "Deployer",
        "--scope",
        "project:shop",
    ]);
    let listed = admin.ok(["get", "trust-rules"]);
    assert!(
        listed.stdout.contains("jobs") && listed.stdout.contains(&issuer.url),
        "{listed}"
    );
    let job = team.server.client("");
    job.write("token", issuer.sign(team.url(), &json!({})));
    job.ok(["login", "--oidc-token", "token"]);
    job.ok(["get", "project", "shop"]);
    job.refused(["get", "project", "bank"]).says(&["not found"]);
    admin.ok(["delete", "trust-rule", "jobs"]);
    job.refused(["get", "project", "shop"])
        .says(&["a token is needed"]);
}
