//! Jobs of build systems: an issuer of our own on loopback signs, and a trust rule decides.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::ORG;
use super::http::{Caller, Reply};
use super::identity::{Team, text};

/// An issuer: two documents and a key.
struct Issuer {
    url: String,
    pair: EcdsaKeyPair,
}

impl Issuer {
    fn start() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("makes");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).expect("reads");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let point = pair.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one",
            "x": part(&point[1..33]), "y": part(&point[33..]),
        }]});
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("a caller");
                let mut line = String::new();
                let mut reader = BufReader::new(socket.try_clone().expect("the same socket"));
                reader.read_line(&mut line).expect("a request");
                loop {
                    let mut header = String::new();
                    let read = reader.read_line(&mut header).expect("a header");
                    if read == 0 || header == "\r\n" {
                        break;
                    }
                }
                let body = match line.split_whitespace().nth(1) {
                    Some("/.well-known/openid-configuration") => discovery.to_string(),
                    Some("/keys") => keys.to_string(),
                    _ => String::new(),
                };
                let status = if body.is_empty() {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                // Whoever went away needs no answer.
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        Self { url, pair }
    }

    /// A token with these claims beside those that always hold.
    fn sign(&self, audience: &str, more: &Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs();
        let mut claims = json!({
            "iss": self.url, "aud": audience, "iat": now, "exp": now + 300, "sub": "repo:acme/shop:ref:refs/heads/main",
        });
        for (name, value) in more.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "ES256", "kid": "one", "typ": "JWT"})),
            part(&claims)
        );
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("signs");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

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
    exchange(
        &Issuer {
            url: issuer.url.clone(),
            pair: Issuer::start().pair,
        }
        .sign("windlass", &good),
    )
    .is(401, "signature is wrong");
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
