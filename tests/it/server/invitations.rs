//! Invitations: made, seen, taken up once, and taken back.

use serde_json::{Value, json};

use super::ORG;
use super::http::Caller;
use super::identity::{Team, text};
use super::issuer::Issuer;
use super::sign_on::{claims, sign_in, team};

fn path() -> String {
    format!("/orgs/{ORG}/invitations")
}

fn invite(team: &Team, by: &Caller, email: &str, role: &str) -> Value {
    let body = json!({
        "email_address": email, "membership_subject_type": "role", "membership_subject": team.role(role),
    });
    let made = by.post(&path(), &body);
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

/// The id of an invitation, and its secret.
fn parts(made: &Value) -> (String, String) {
    let link = text(&made["windlass"]["link"]);
    let (_, parts) = link.split_once("/welcome#").expect("a link");
    let parts: Vec<&str> = parts.split('/').collect();
    assert_eq!(parts[..2], [ORG, made["id"].as_str().expect("an id")]);
    (parts[1].to_owned(), parts[2].to_owned())
}

#[test]
fn c12_iam_06_an_invitation_is_made_seen_and_taken_up_once() {
    let team = Team::new();
    let (boss_id, boss) = team.person("Boss", "Admin", "");
    let made = invite(&team, &boss, "Ann@Acme.example", "Deployer");
    let (id, secret) = parts(&made);
    assert_eq!(made["email_address"], "ann@acme.example");
    assert_eq!(made["membership_subject"], team.role("Deployer").as_str());
    assert_eq!(made["created_by"], boss_id.as_str());
    assert_eq!(made["created_by_display_name"], "Boss");
    let listed = boss.get(&path());
    assert_eq!(listed.ok()["items"][0]["id"], id.as_str());
    assert!(!listed.text.contains(&secret), "shown once");
    boss.get(&format!("{}/{id}", path())).ok();

    // Somebody of this server who is in no organisation, or another.
    let (_, ann) = team.person("Ann", "Viewer", "");
    let memberships = team.admin.get(&format!("/orgs/{ORG}/memberships")).ok();
    let of_ann = memberships["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|it| it["user_display_name"] == "Ann");
    let of_ann = text(&of_ann.expect("hers")["id"]);
    let of_ann = format!("/orgs/{ORG}/memberships/{of_ann}");
    assert_eq!(boss.delete(&of_ann).status, 204);
    let own = ann.post("/orgs", &json!({})).ok();
    let other = Caller::with(
        team.url(),
        &team
            .open(&text(
                &ann.post(
                    &format!(
                        "/orgs/{}/users/{}/actions/link",
                        text(&own["id"]),
                        text(&own["created_by"])
                    ),
                    &json!({}),
                )
                .ok()["link"],
            ))
            .ok_session(),
    );
    other.get("/current-user").ok();

    let at =
        |id: &str, secret: &str| format!("{}/{id}/actions/redeem?redemptionToken={secret}", path());
    let preview = |secret: &str| format!("{}/{id}?redemptionToken={secret}", path());
    let unknown = "01900000-0000-7000-8000-000000000000";
    for refused in [
        ann.get(&preview("guessed")),
        ann.get(&preview("")),
        ann.get(&format!("{}/{id}", path())),
        ann.post(&at(&id, "guessed"), &json!({})),
        ann.post(&at(unknown, &secret), &json!({})),
    ] {
        let body = refused.is(403, "Forbidden");
        let check = &body["details"]["failed_checks"][0];
        assert_eq!(check["resource"], format!("organization:{ORG}"));
    }
    boss.post(&at(&id, "guessed"), &json!({}))
        .is(404, "invitation not found");
    team.admin
        .post(&at(&id, &secret), &json!({}))
        .is(400, "only a human user");
    assert_eq!(ann.get(&preview(&secret)).ok()["id"], id.as_str());
    let redeemed = ann.post(&at(&id, &secret), &json!({})).ok();
    assert_eq!(redeemed["org_id"], ORG);
    assert_eq!(redeemed["subject"], team.role("Deployer").as_str());
    let me = ann.get("/current-user").ok();
    let organizations = me["organization_memberships"].as_array().expect("two");
    assert_eq!(organizations.len(), 2);
    // What others were given to act as her in one organisation must not open the other.
    other.get("/current-user").is(401, "a token is needed");
    ann.post(&at(&id, &secret), &json!({}))
        .is(404, "invitation not found");
    assert_eq!(boss.get(&path()).ok()["items"], json!([]));

    let (id, secret) = parts(&invite(&team, &boss, "ann@acme.example", "Deployer"));
    ann.post(&at(&id, &secret), &json!({})).is(409, "already");
    assert_eq!(boss.delete(&format!("{}/{id}", path())).status, 204);
    boss.delete(&format!("{}/{id}", path()))
        .is(404, "invitation not found");
    ann.get(&preview(&secret)).is(404, "invitation not found");
    ann.post(&path(), &json!({})).is(403, "Forbidden");

    for (field, value, why) in [
        ("email_address", json!("nobody"), "NAME@DOMAIN"),
        ("email_address", json!("a b@c"), "invalid characters"),
        ("email_address", json!("a@"), "minimum string length is 3"),
        ("membership_subject_type", Value::Null, "is missing"),
        ("membership_subject_type", json!("group"), "allowed values"),
        ("expiry_in_days", json!(0), "at least 1"),
        ("windlass", json!({"scope": "project:x"}), "invalid"),
        ("windlass", json!({"colour": "red"}), "colour"),
    ] {
        let mut body = json!({
            "email_address": "x@acme.example", "membership_subject_type": "virtual-group", "membership_subject": "owners",
        });
        body[field] = value;
        boss.post(&path(), &body).is(400, why);
    }
}

#[test]
fn an_invitation_lets_somebody_in_who_is_no_user_yet_by_its_link_or_by_signing_in() {
    let issuer = Issuer::start();
    let team = team(&issuer, &[]);
    let admin = team.server.client(super::TOKEN);
    admin.ok(["create", "project", "shop"]);
    let by_link = admin.ok([
        "create",
        "invitation",
        "ann@acme.example",
        "--role",
        "Admin",
        "--scope",
        "project:shop",
    ]);
    let link = by_link.stdout.trim().to_owned();
    let listed = admin.ok(["get", "invitations"]);
    assert!(listed.stdout.contains("ann@acme.example"), "{listed}");
    let secret = link.rsplit('/').next().expect("a secret").to_owned();
    let open =
        |secret: &str| Caller::nobody(team.url()).post("/auth/link", &json!({"token": secret}));
    let opened = open(&secret);
    assert_eq!(opened.ok()["primary_email_address"], "ann@acme.example");
    let ann = Caller::with(team.url(), &opened.ok_session());
    ann.get(&format!("/orgs/{ORG}/projects/shop")).ok();
    ann.get(&format!("/orgs/{ORG}/members"))
        .is(403, "Forbidden");
    open(&secret).is(401, "used already");

    // The link of one organisation opens nothing of somebody who is there already.
    let (_, secret) = parts(&invite(&team, &team.admin, "ann@acme.example", "Admin"));
    open(&secret).is(409, "log in first");
    // Who proves the address needs no link, and what was opened without that proof is over.
    let signed = sign_in(&team, &issuer, &claims("1", "ann@acme.example"));
    assert_eq!(signed.ok()["id"], opened.ok()["id"]);
    ann.get("/current-user").is(401, "a token is needed");
    let ann = Caller::with(team.url(), &signed.ok_session());
    ann.get(&format!("/orgs/{ORG}/members")).ok();

    invite(&team, &team.admin, "bob@acme.example", "Viewer");
    let signed = sign_in(&team, &issuer, &claims("2", "Bob@acme.example"));
    let bob = Caller::with(team.url(), &signed.ok_session());
    bob.get(&format!("/orgs/{ORG}/projects")).ok();
    assert_eq!(team.admin.get(&path()).ok()["items"], json!([]));

    admin.ok(["create", "invitation", "eve@acme.example"]);
    admin.ok(["delete", "invitation", "Eve@acme.example"]);
    sign_in(&team, &issuer, &claims("3", "eve@acme.example")).is(401, "invite you");
    admin
        .refused(["delete", "invitation", "eve@acme.example"])
        .says(&["there is no invitation"]);
}
