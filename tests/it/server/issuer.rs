//! An issuer of our own on loopback: it signs for build jobs, and signs people in as OpenID Connect has it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What a server is called here, and what it proves that with: as awkward as they come.
pub(super) const CLIENT: &str = "windlass of the tests";
pub(super) const SECRET: &str = "geheim: 50% & more";

/// The kinds of signatures that are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Es256,
    Rs256,
}

/// An issuer; it goes on until the tests end.
pub(super) struct Issuer {
    pub(super) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    es256: EcdsaKeyPair,
    rs256: rsa::KeyPair,
    /// What somebody may have who brings a code.
    codes: Mutex<BTreeMap<String, Approved>>,
    claims_by_token: Mutex<BTreeMap<String, Value>>,
    is_down: AtomicBool,
}

/// Somebody who said yes.
struct Approved {
    asked: BTreeMap<String, String>,
    claims: Value,
    /// Claims that are not in the token, but where its access token opens them.
    elsewhere: Option<Value>,
    algorithm: Algorithm,
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    pub(super) fn start() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("makes");
        let es256 = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).expect("reads");
        // Made for these tests; it opens nothing.
        let key = STANDARD.decode(include_str!("issuer.key").trim());
        let rs256 = rsa::KeyPair::from_pkcs8(&key.expect("base64")).expect("reads");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            url: url.clone(),
            es256,
            rs256,
            codes: Mutex::default(),
            claims_by_token: Mutex::default(),
            is_down: AtomicBool::new(false),
        });
        let serving = Arc::clone(&inner);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                serving.serve(&socket.expect("a caller"));
            }
        });
        Self { url, inner }
    }

    /// Hangs up on everybody from now on, or no longer.
    pub(super) fn down(&self, is_down: bool) {
        self.inner.is_down.store(is_down, Ordering::SeqCst);
    }

    /// A token with these claims beside those that always hold.
    pub(super) fn sign(&self, audience: &str, more: &Value) -> String {
        let always = json!({"aud": audience, "sub": "repo:acme/shop:ref:refs/heads/main"});
        self.inner.sign(Algorithm::Es256, &[&always, more])
    }

    /// The same, signed with the key of somebody else.
    pub(super) fn forge(&self, audience: &str, more: &Value) -> String {
        let always = json!({"iss": self.url, "aud": audience, "sub": "repo:acme/shop:x"});
        Self::start().inner.sign(Algorithm::Es256, &[&always, more])
    }

    /// What a person does whom the server sent here: says yes, and goes back with what this returns. `claims` are those
    /// of the person; they replace what the token would say.
    pub(super) fn approve(&self, redirect_url: &str, claims: &Value) -> String {
        self.approve_by(redirect_url, claims, None, Algorithm::Es256)
    }

    /// The same with another signature, and with claims that are not in the token.
    pub(super) fn approve_by(
        &self,
        redirect_url: &str,
        claims: &Value,
        elsewhere: Option<Value>,
        algorithm: Algorithm,
    ) -> String {
        let (endpoint, query) = redirect_url.split_once('?').expect("a query");
        assert_eq!(endpoint, format!("{}/authorize", self.url));
        let asked = pairs(query);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["scope"], "openid email profile");
        assert_eq!(asked["code_challenge_method"], "S256");
        let mut codes = self.inner.codes.lock().expect("the lock");
        let code = format!("code {} of {}", codes.len(), self.url);
        let back = format!(
            "?code={}&state={}",
            code.replace(' ', "%20"),
            asked["state"]
        );
        let approved = Approved {
            asked,
            claims: claims.clone(),
            elsewhere,
            algorithm,
        };
        codes.insert(code, approved);
        back
    }
}

impl Inner {
    fn serve(&self, socket: &TcpStream) {
        if self.is_down.load(Ordering::SeqCst) {
            return;
        }
        let mut reader = BufReader::new(socket);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = reader.read_line(&mut line).expect("a line");
            if read == 0 || line == "\r\n" {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let found = lines.iter().filter_map(|line| line.split_once(':'));
            found
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        let length = header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let body = String::from_utf8(body).expect("text");
        let path = lines
            .first()
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_default();
        let authorization = header("authorization").unwrap_or_default();
        let answer = match path {
            "/.well-known/openid-configuration" => Some(self.discovery()),
            "/keys" => Some(self.keys()),
            "/token" => Some(self.tokens(&authorization, &pairs(&body))),
            "/userinfo" => {
                let all = self.claims_by_token.lock().expect("the lock");
                all.get(authorization.trim_start_matches("Bearer "))
                    .cloned()
            }
            _ => None,
        };
        let status = match &answer {
            None => "404 Not Found",
            Some(answer) if answer["error"].is_string() => "400 Bad Request",
            Some(_) => "200 OK",
        };
        let body = answer.unwrap_or_default().to_string();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // Whoever went away needs no answer.
        let _ = (&mut &*socket).write_all(answer.as_bytes());
    }

    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url, "jwks_uri": at("/keys"), "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"), "userinfo_endpoint": at("/userinfo"),
        })
    }

    fn keys(&self) -> Value {
        let point = self.es256.public_key().as_ref();
        let rsa: rsa::PublicKeyComponents<Vec<u8>> = self.rs256.public().into();
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one", "x": part(&point[1..33]), "y": part(&point[33..])},
            {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "two", "n": part(&rsa.n), "e": part(&rsa.e)},
        ]})
    }

    /// A token with all these claims, the later ones over the earlier ones.
    fn sign(&self, algorithm: Algorithm, claims: &[&Value]) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs();
        let mut all = json!({"iss": self.url, "iat": now, "exp": now + 300});
        for (name, value) in claims
            .iter()
            .flat_map(|one| one.as_object().expect("claims"))
        {
            all[name] = value.clone();
        }
        let (alg, kid) = match algorithm {
            Algorithm::Es256 => ("ES256", "one"),
            Algorithm::Rs256 => ("RS256", "two"),
        };
        let head = json!({"alg": alg, "kid": kid, "typ": "JWT"});
        let signed = format!("{}.{}", part(head.to_string()), part(all.to_string()));
        let random = SystemRandom::new();
        let signature = match algorithm {
            Algorithm::Es256 => part(self.es256.sign(&random, signed.as_bytes()).expect("signs")),
            Algorithm::Rs256 => {
                let mut bytes = vec![0; self.rs256.public().modulus_len()];
                self.rs256
                    .sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut bytes)
                    .expect("signs");
                part(bytes)
            }
        };
        format!("{signed}.{signature}")
    }

    /// Changes a code into tokens, once, for whoever it was made for.
    fn tokens(&self, authorization: &str, sent: &BTreeMap<String, String>) -> Value {
        let refuse = |error: &str| json!({"error": error, "error_description": "of no concern"});
        let client = format!("{}:{}", encoded(CLIENT), encoded(SECRET));
        if authorization != format!("Basic {}", STANDARD.encode(client)) {
            return refuse("invalid_client");
        }
        let approved = self.codes.lock().expect("the lock").remove(&sent["code"]);
        let Some(approved) = approved else {
            return refuse("invalid_grant");
        };
        let challenge = part(Sha256::digest(&sent["code_verifier"]));
        if sent["grant_type"] != "authorization_code"
            || approved.asked["code_challenge"] != challenge
            || approved.asked["redirect_uri"] != sent["redirect_uri"]
        {
            return refuse("invalid_grant");
        }
        let access = format!("access to {}", approved.asked["state"]);
        if let Some(claims) = approved.elsewhere {
            let mut all = self.claims_by_token.lock().expect("the lock");
            all.insert(access.clone(), claims);
        }
        let always = json!({"aud": CLIENT, "nonce": approved.asked["nonce"]});
        json!({
            "token_type": "Bearer", "access_token": access,
            "id_token": self.sign(approved.algorithm, &[&always, &approved.claims]),
        })
    }
}

/// A form, read.
pub(super) fn pairs(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).expect("hexadecimal"));
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).expect("text")
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}
