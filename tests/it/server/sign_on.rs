//! People who sign in at an issuer: who they are here, and what lets nobody in.

use serde_json::{Value, json};

use super::ORG;
use super::http::{Caller, Reply};
use super::identity::{Team, text};
use super::issuer::{Algorithm, CLIENT, Issuer, SECRET};
use crate::support::Place;

/// A server whose people sign in at `issuer`.
pub(super) fn team(issuer: &Issuer, more: &[&str]) -> Team {
    let place = Place::without_engine();
    place.with_variable("WINDLASS_OIDC_CLIENT_SECRET", SECRET);
    let mut arguments = vec![
        "--oidc-issuer",
        &issuer.url,
        "--oidc-client-id",
        CLIENT,
        "--oidc-name",
        "Acme <ID>",
    ];
    arguments.extend(more);
    Team::at(place, &arguments)
}

/// A browser on its way to the issuer: with the cookie, and where it was sent.
pub(super) fn begin(team: &Team) -> (Caller, String) {
    let nobody = Caller::nobody(team.url());
    let begun = nobody.post("/auth/sso/login", &json!({"org_id": ORG}));
    let redirect_url = text(&begun.ok()["redirect_url"]);
    let cookie = begun.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Max-Age=600"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().expect("a pair");
    (nobody.and("cookie", pair), redirect_url)
}

/// Comes back from the issuer.
fn end(browser: &Caller, back: &str) -> Reply {
    browser.get(&format!("/auth/sso/callback{back}"))
}

/// Somebody with these claims signs in.
pub(super) fn sign_in(team: &Team, issuer: &Issuer, claims: &Value) -> Reply {
    let (browser, redirect_url) = begin(team);
    end(&browser, &issuer.approve(&redirect_url, claims))
}

/// What the issuer says of somebody.
pub(super) fn claims(subject: &str, email: &str) -> Value {
    json!({"sub": subject, "email": email, "email_verified": true, "name": "Ann Lee"})
}

/// Makes a user with an address.
fn invite_user(team: &Team, name: &str, email: &str) -> Value {
    let roles = json!([{"id": team.role("Deployer")}]);
    let body = json!({"display_name": name, "email_address": email, "roles": roles});
    team.admin.post(&format!("/orgs/{ORG}/users"), &body).ok()
}

#[test]
fn c12_iam_07_who_proves_an_address_becomes_the_user_who_was_made_for_it() {
    let issuer = Issuer::start();
    let team = team(&issuer, &[]);
    let made = invite_user(&team, "Ann", "Ann@Acme.example");
    assert_eq!(made["primary_email_address"], "ann@acme.example");
    // Until somebody proved the address, this was whoever got the link.
    let before = Caller::with(team.url(), &team.open(&text(&made["link"])).ok_session());
    before.get("/current-user").ok();

    let signed = sign_in(&team, &issuer, &claims("subject-1", "ANN@acme.example"));
    let session = signed.ok_session();
    assert_eq!(signed.ok()["id"], made["id"]);
    assert_eq!(signed.ok()["display_name"], "Ann", "as the team calls her");
    let ann = Caller::with(team.url(), &session);
    let me = ann.get("/current-user").ok();
    assert_eq!(me["login_providers"], json!(["sso"]));
    assert_eq!(me["organization_memberships"], json!([{"id": ORG}]));
    before.get("/current-user").is(401, "a token is needed");
    let sessions = ann.get(&format!("/users/{}/session-tokens", text(&me["id"])));
    assert_eq!(sessions.ok()["items"][0]["provider"], "sso");
    let members = team.admin.get(&format!("/orgs/{ORG}/members")).ok();
    assert_eq!(members["items"][0]["identity_providers"], json!(["sso"]));

    // Known again by the subject, whatever the address is now, and by the other kind of signature.
    let (browser, redirect_url) = begin(&team);
    let moved = json!({"sub": "subject-1", "email": "ann@elsewhere.example"});
    let back = issuer.approve_by(&redirect_url, &moved, None, Algorithm::Rs256);
    assert_eq!(end(&browser, &back).ok()["id"], made["id"]);
    // The address changed hands, and with it nothing else.
    sign_in(&team, &issuer, &claims("subject-2", "ann@acme.example"))
        .is(401, "may have changed hands");
    // Claims that are in no token are asked for.
    let admin = team.server.client(super::TOKEN);
    admin.ok(["create", "user", "Bob", "--email", "bob@acme.example"]);
    for (subject, status) in [("subject-9", 401), ("subject-3", 200)] {
        let (browser, redirect_url) = begin(&team);
        let more = claims(subject, "bob@acme.example");
        let token = json!({"sub": "subject-3"});
        let back = issuer.approve_by(&redirect_url, &token, Some(more), Algorithm::Es256);
        assert_eq!(end(&browser, &back).status, status, "{subject}");
    }
    // Two people with one address there cannot be.
    let body = json!({"display_name": "Eve", "email_address": "bob@ACME.example", "roles": [{"id": team.role("Viewer")}]});
    team.admin
        .post(&format!("/orgs/{ORG}/users"), &body)
        .is(409, "already");
    let body = json!({"display_name": "Eve", "email_address": "bob", "roles": [{"id": team.role("Viewer")}]});
    team.admin
        .post(&format!("/orgs/{ORG}/users"), &body)
        .is(400, "NAME@DOMAIN");

    let done = team.server.stop();
    assert_eq!(done.code, Some(0), "{done}");
    for secret in [SECRET, session.as_str(), "code%20", "code 1", "eyJ"] {
        assert!(!done.stderr.contains(secret), "{secret}\n{done}");
    }
}

#[test]
fn what_does_not_hold_lets_nobody_in() {
    let issuer = Issuer::start();
    let team = team(&issuer, &[]);
    invite_user(&team, "Ann", "ann@acme.example");
    let ann = claims("subject-1", "ann@acme.example");
    let with = |name: &str, value: Value| {
        let mut changed = ann.clone();
        changed[name] = value;
        changed
    };
    for (claims, why) in [
        (with("nonce", json!("another")), "made for another attempt"),
        (with("nonce", Value::Null), "made for another attempt"),
        (with("exp", json!(1)), "it is over"),
        (
            with("iss", json!("http://127.0.0.1:1")),
            "of another issuer",
        ),
        (with("aud", json!("another")), "another audience"),
        (with("aud", json!([CLIENT, "another"])), "another audience"),
        (with("azp", json!("another")), "another audience"),
        (with("sub", Value::Null), "not name one person"),
        (with("email_verified", json!(false)), "is verified"),
        (with("email_verified", Value::Null), "is verified"),
        (with("email", json!("bob@acme.example")), "invite you"),
    ] {
        sign_in(&team, &issuer, &claims).is(401, why);
    }
    let (browser, redirect_url) = begin(&team);
    let (other, _) = begin(&team);
    let back = issuer.approve(&redirect_url, &ann);
    let began = "was not begun in this browser";
    end(&other, &back).is(401, began);
    end(&Caller::nobody(team.url()), &back).is(401, began);
    end(&browser, "").is(401, began);
    let (code, state) = back.split_once('&').expect("two");
    end(&browser, &format!("{code}&state=another")).is(401, began);
    end(&browser, &format!("?{state}")).is(401, "without a code");
    let refused = end(
        &browser,
        &format!("?error=access_denied&error_description=Call+me&{state}"),
    );
    refused.is(401, "Acme <ID> did not let you in");
    assert!(!refused.text.contains("Call"), "anybody can write that");
    end(&browser, &format!("{back}&iss=http://127.0.0.1:1")).is(401, "of another issuer");
    end(&browser, &format!("?code=guessed&{state}")).is(401, "does not take this sign-in");

    // The right way, and then once more.
    end(&browser, &back).ok();
    end(&browser, &back).is(401, "does not take this sign-in");
    let back = issuer.approve(&redirect_url, &ann);
    end(&browser, &back).is(401, "was finished before");

    // A code that was stolen on its way is of no use in another browser: PKCE.
    let (thief, its_url) = begin(&team);
    let (_, redirect_url) = begin(&team);
    let stolen = issuer.approve(&redirect_url, &ann);
    let (code, _) = stolen.split_once('&').expect("two");
    let own = issuer.approve(&its_url, &ann);
    let (_, state) = own.split_once('&').expect("two");
    end(&thief, &format!("{code}&{state}")).is(401, "does not take this sign-in");

    let elsewhere = Caller::nobody(team.url()).and("sec-fetch-site", "cross-site");
    elsewhere
        .post("/auth/sso/login", &json!({}))
        .is(400, "on a page of this server");
}

#[test]
fn an_issuer_that_is_away_or_set_up_wrong_is_told_in_plain_words() {
    let issuer = Issuer::start();
    let team = team(&issuer, &[]);
    issuer.down(true);
    let nobody = Caller::nobody(team.url());
    let away = nobody.post("/auth/sso/login", &json!({"org_id": ORG}));
    away.is(503, "Acme <ID> does not answer");
    issuer.down(false);
    let (browser, redirect_url) = begin(&team);
    let back = issuer.approve(&redirect_url, &claims("subject-1", "ann@acme.example"));
    issuer.down(true);
    end(&browser, &back).is(503, "does not answer");
    issuer.down(false);
    end(&browser, &back).is(401, "nobody on this server has your e-mail address");

    // The secret is wrong.
    let place = Place::without_engine();
    place.write("secret", "another\n");
    let arguments = ["--oidc-issuer", &issuer.url, "--oidc-client-id", CLIENT];
    let file = ["--oidc-client-secret-file", "secret"];
    let team = Team::at(place, &[&arguments[..], &file[..]].concat());
    let (browser, redirect_url) = begin(&team);
    let back = issuer.approve(&redirect_url, &claims("subject-1", "ann@acme.example"));
    end(&browser, &back).is(503, "not set up right");
}

#[test]
fn newcomers_join_where_the_settings_say_so_and_only_from_there() {
    let issuer = Issuer::start();
    let domains = [
        "--oidc-newcomer-org",
        ORG,
        "--oidc-newcomer-domains",
        "acme.example",
    ];
    let team = team(&issuer, &domains);
    sign_in(&team, &issuer, &claims("1", "eve@evil-acme.example")).is(401, "invite you");
    let mut unverified = claims("2", "ann@acme.example");
    unverified["email_verified"] = json!(false);
    sign_in(&team, &issuer, &unverified).is(401, "is verified");
    let signed = sign_in(&team, &issuer, &claims("2", "ann@acme.example"));
    assert_eq!(signed.ok()["display_name"], "Ann Lee");
    let ann = Caller::with(team.url(), &signed.ok_session());
    ann.get(&format!("/orgs/{ORG}/projects")).ok();
    ann.post(&format!("/orgs/{ORG}/projects"), &json!({"id": "shop"}))
        .is(403, "Forbidden");
    // Roles that were taken away do not come back by signing in.
    let members = team.admin.get(&format!("/orgs/{ORG}/memberships")).ok();
    let (_, _boss) = team.person("Boss", "Admin", "");
    let membership = text(&members["items"][0]["id"]);
    let path = format!("/orgs/{ORG}/memberships/{membership}");
    assert_eq!(team.admin.delete(&path).status, 204);
    let again = sign_in(&team, &issuer, &claims("2", "ann@acme.example"));
    let again = Caller::with(team.url(), &again.ok_session());
    again
        .get(&format!("/orgs/{ORG}/projects"))
        .is(403, "Forbidden");

    let place = Place::without_engine();
    let nowhere = [
        "--oidc-newcomer-org",
        "nowhere",
        "--oidc-newcomer-domains",
        "*",
    ];
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--oidc-issuer",
        &issuer.url,
    ];
    let arguments = [&arguments[..], &["--oidc-client-id", CLIENT], &nowhere].concat();
    place
        .refused(arguments)
        .says(&["--oidc-newcomer-org `nowhere`", "organization not found"]);
    place
        .refused([
            "serve",
            "--oidc-issuer",
            "http://id.example",
            "--oidc-client-id",
            "x",
        ])
        .says(&["https URL"]);
}

#[test]
fn c12_iam_08_without_single_sign_on_and_with_tokens_of_providers_one_is_told_what_to_do() {
    let team = Team::new();
    let nobody = Caller::nobody(team.url());
    let words = "create user NAME --link";
    nobody
        .post("/auth/sso/login", &json!({"org_id": ORG}))
        .is(404, words);
    nobody
        .get("/auth/sso/callback?code=x&state=y")
        .is(404, words);
    let token = json!({"provider": "google", "provider_token": "eyJ.secret"});
    for path in ["/auth/login", "/auth/register"] {
        let refused = nobody.post(path, &token);
        refused.is(400, "windlass login");
        assert!(refused.text.contains("/welcome") && !refused.text.contains("secret"));
    }
}

#[test]
fn the_pages_offer_to_sign_in_and_go_on_where_somebody_came_from() {
    let issuer = Issuer::start();
    let team = team(&issuer, &[]);
    let browser = Caller::nobody(team.url()).and("accept", "text/html");
    for path in [
        "/welcome",
        "/devicelogins/ABC-DEF",
        "/auth/sso/callback?code=geheim&state=x",
    ] {
        let page = browser.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.text.contains("data-sign-on=\"Acme &#60;ID&#62;\""),
            "{path}: {}",
            page.text
        );
        assert!(!page.text.contains("geheim"), "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
    let plain = Team::new();
    let browser = Caller::nobody(plain.url()).and("accept", "text/html");
    let page = browser.get("/welcome");
    assert!(page.text.contains("data-sign-on=\"\""), "{}", page.text);
}
