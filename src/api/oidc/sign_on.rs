//! People who sign in at an issuer: the authorization code flow of OpenID Connect with PKCE, `state` and `nonce`.
//!
//! All three follow from one secret that only the person's browser holds ([`Attempt`]), so nothing is stored until a
//! sign-in worked, and nobody fills a table by beginning them. What the issuer answers is believed after its signature,
//! issuer, audience, time and nonce were checked; nothing that it or an address bar said is in any error.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use axum::http::Method;

use super::issuers::{self, IssuerError, Known, known};
use super::jwt::{self, BadToken, Expected};
use crate::model::access::Role;
use crate::store::identity::tokens::{Kind, Secret};

/// How long one attempt may take, in seconds.
pub(crate) const PATIENCE: i64 = 10 * 60;
/// What is asked for.
const SCOPE: &str = "openid email profile";
/// Random text of an attempt, and room for its time.
const LONGEST_ATTEMPT: usize = 80;

/// An issuer that people sign in at, and what this server is there.
#[derive(Debug, Clone)]
pub(crate) struct SignOn {
    /// Its URL; its discovery document is found below it.
    pub(crate) issuer: String,
    /// What this server is called there.
    pub(crate) client_id: String,
    /// What it proves that with; a public client has none.
    pub(crate) client_secret: Option<Secret>,
    /// What the button says.
    pub(crate) name: String,
    /// Whether addresses count as verified of which the issuer does not say so.
    pub(crate) trusts_addresses: bool,
    /// What becomes of people whom nobody made or invited; without it they stay out.
    pub(crate) newcomers: Option<Newcomers>,
}

/// Who gets in without having been made or invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newcomers {
    /// Where.
    pub(crate) org: String,
    /// As what.
    pub(crate) role: Role,
    /// With addresses of which domains; `*` is all.
    pub(crate) domains: Vec<String>,
}

impl Newcomers {
    /// Whether somebody with this address gets in.
    pub(crate) fn welcome(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        let fits = |allowed: &String| allowed == "*" || Some(allowed.as_str()) == domain;
        self.domains.iter().any(fits)
    }
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSignedOn {
    /// The issuer cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// It does not offer this.
    #[error("the discovery document of the issuer names no endpoint for people who sign in")]
    NotOffered,
    /// It does not take the code.
    #[error(
        "the issuer does not take the code: it was used, or is over, or was made for somebody else"
    )]
    Code,
    /// What it signed does not hold.
    #[error("what the issuer signed does not hold: {0}")]
    Token(#[from] BadToken),
    /// What it signed was made for another attempt.
    #[error("what the issuer signed was made for another attempt")]
    Nonce,
    /// What it signed names nobody, or another than its endpoint for claims.
    #[error("what the issuer says does not name one person")]
    Subject,
}

/// One sign-in of one browser, which alone holds the secret.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    secret: Secret,
    began: i64,
}

impl Attempt {
    /// A new one; `now` is in seconds since 1970.
    pub(crate) fn begin(now: i64) -> Self {
        let random = Secret::new(Kind::Session);
        Self {
            secret: Secret::sent(&format!("{now}.{}", random.expose())),
            began: now,
        }
    }

    /// The one that a browser sent, if it is one.
    pub(crate) fn sent(secret: &Secret) -> Option<Self> {
        let text = secret.expose();
        let (began, _) = text
            .split_once('.')
            .filter(|_| text.len() <= LONGEST_ATTEMPT)?;
        Some(Self {
            began: began.parse().ok()?,
            secret: secret.clone(),
        })
    }

    /// What the browser keeps.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether it took too long.
    pub(crate) fn is_over(&self, now: i64) -> bool {
        !(0..PATIENCE).contains(&now.saturating_sub(self.began))
    }

    fn part(&self, what: &str) -> String {
        let text = format!("windlass sign-in 1\n{what}\n{}", self.secret.expose());
        URL_SAFE_NO_PAD.encode(Sha256::digest(text))
    }

    /// What the person comes back with, and finds the attempt by.
    pub(crate) fn state(&self) -> String {
        self.part("state")
    }

    fn nonce(&self) -> String {
        self.part("nonce")
    }

    fn verifier(&self) -> String {
        self.part("verifier")
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }
}

/// What an issuer says of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Who they are there, for ever.
    pub(crate) subject: String,
    /// Their address in lower case, if it is verified.
    pub(crate) email: Option<String>,
    /// What they are called.
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl SignOn {
    /// Where a person is sent.
    pub(crate) async fn begin(
        &self,
        attempt: &Attempt,
        public_url: &str,
    ) -> Result<String, NotSignedOn> {
        let known = known(&self.issuer, None, public_url).await?;
        let endpoint = known.discovery.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(NotSignedOn::NotOffered)?;
        if !issuers::may_be_asked(endpoint, public_url) {
            return Err(IssuerError::Url.into());
        }
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &redirect_uri(public_url)),
            ("scope", SCOPE),
            ("state", &attempt.state()),
            ("nonce", &attempt.nonce()),
            ("code_challenge", &attempt.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        Ok(format!("{endpoint}{joint}{query}"))
    }

    /// Who came back with a code; `from` is the issuer that the answer named, `now` is in seconds since 1970.
    pub(crate) async fn end(
        &self,
        attempt: &Attempt,
        code: &str,
        from: Option<&str>,
        public_url: &str,
        now: i64,
    ) -> Result<Person, NotSignedOn> {
        let issuer = known(&self.issuer, None, public_url).await?;
        let names_itself = issuer
            .discovery
            .authorization_response_iss_parameter_supported
            .unwrap_or_default();
        // A code of another issuer must not be shown to this one.
        match from {
            Some(from) if from != self.issuer => return Err(BadToken::Issuer.into()),
            None if names_itself => return Err(BadToken::Issuer.into()),
            Some(_) | None => {}
        }
        let tokens = self.tokens(&issuer, attempt, code, public_url).await?;
        let (_, kid) = jwt::named(&tokens.id_token)?;
        let issuer = known(&self.issuer, kid.as_deref(), public_url).await?;
        let expected = Expected {
            issuer: &self.issuer,
            audience: &self.client_id,
            now,
        };
        let mut claims = jwt::verify(&tokens.id_token, &issuer.keys, &expected)?;
        let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        // A token for several says for whom of them it was made.
        let is_for_several = claims.get("aud").and_then(Value::as_array);
        let is_for_several = is_for_several.is_some_and(|all| all.len() > 1);
        if !is("azp", &self.client_id) && (is_for_several || claims.contains_key("azp")) {
            return Err(BadToken::Audience.into());
        }
        if !is("nonce", &attempt.nonce()) {
            return Err(NotSignedOn::Nonce);
        }
        if !claims.contains_key("email")
            && let (Some(url), Some(token)) =
                (&issuer.discovery.userinfo_endpoint, &tokens.access_token)
        {
            let more = userinfo(url, token, public_url).await?;
            if more.get("sub") != claims.get("sub") {
                return Err(NotSignedOn::Subject);
            }
            claims.extend(more);
        }
        self.person(&claims).ok_or(NotSignedOn::Subject)
    }

    async fn tokens(
        &self,
        issuer: &Known,
        attempt: &Attempt,
        code: &str,
        public_url: &str,
    ) -> Result<Tokens, NotSignedOn> {
        let what = "the code of a person";
        let endpoint = issuer.discovery.token_endpoint.as_deref();
        let endpoint = endpoint.ok_or(NotSignedOn::NotOffered)?;
        let (redirect, verifier) = (redirect_uri(public_url), attempt.verifier());
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", &verifier),
        ];
        let mut request = issuers::ask(Method::POST, endpoint, what, public_url)?;
        let methods = &issuer.discovery.token_endpoint_auth_methods_supported;
        let takes = |method: &str| {
            methods
                .as_ref()
                .is_some_and(|all| all.iter().any(|one| one == method))
        };
        match &self.client_secret {
            Some(secret) if !takes("client_secret_post") || takes("client_secret_basic") => {
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret.expose()));
                let mut value = reqwest::header::HeaderValue::from_str(&format!(
                    "Basic {}",
                    STANDARD.encode(pair)
                ))
                .expect("base64 is a header");
                value.set_sensitive(true);
                request = request.header("authorization", value);
            }
            Some(secret) => {
                fields.push(("client_id", &self.client_id));
                fields.push(("client_secret", secret.expose()));
            }
            None => fields.push(("client_id", &self.client_id)),
        }
        let request = request
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&fields));
        let (status, bytes) = issuers::bytes(request, what).await?;
        if (200..300).contains(&status) {
            let read = serde_json::from_slice(&bytes);
            return read.map_err(|_| IssuerError::Unreadable { what }.into());
        }
        match serde_json::from_slice::<Refused>(&bytes) {
            Ok(refused) if refused.error == "invalid_grant" => Err(NotSignedOn::Code),
            Ok(_) | Err(_) => Err(IssuerError::Status { status, what }.into()),
        }
    }

    fn person(&self, claims: &Map<String, Value>) -> Option<Person> {
        let text = |name: &str| {
            let text = claims.get(name).and_then(Value::as_str).map(str::trim);
            text.filter(|text| !text.is_empty())
        };
        let is_verified = match claims.get("email_verified") {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::String(text)) => text == "true",
            Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => {
                false
            }
        };
        let email = text("email").map(str::to_lowercase);
        let subject = text("sub")?;
        let named = text("name").or_else(|| text("preferred_username"));
        Some(Person {
            subject: subject.to_owned(),
            name: named
                .map(str::to_owned)
                .or_else(|| email.clone())
                .unwrap_or_else(|| subject.to_owned()),
            email: email.filter(|_| is_verified || self.trusts_addresses),
        })
    }
}

async fn userinfo(
    url: &str,
    token: &str,
    public_url: &str,
) -> Result<Map<String, Value>, IssuerError> {
    let what = "the claims of a person";
    let request = issuers::ask(Method::GET, url, what, public_url)?
        .header("accept", "application/json")
        .bearer_auth(token);
    issuers::answer(request, what).await
}

/// Where people come back to; registered with the issuer.
pub(crate) fn redirect_uri(public_url: &str) -> String {
    format!("{public_url}/auth/sso/callback")
}

/// Fields of a form, as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut done, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            done.push(char::from(byte));
        } else {
            done.push_str(&format!("%{byte:02X}"));
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sign_on(trusts_addresses: bool) -> SignOn {
        SignOn {
            issuer: "https://i.example".into(),
            client_id: "windlass".into(),
            client_secret: Some(Secret::sent("geheim")),
            name: "Example".into(),
            trusts_addresses,
            newcomers: None,
        }
    }

    #[test]
    fn an_attempt_is_known_again_by_its_secret_alone_and_is_over_after_a_while() {
        let attempt = Attempt::begin(1000);
        let again = Attempt::sent(attempt.secret()).expect("it is one");
        assert_eq!(again.state(), attempt.state());
        assert_eq!(again.nonce(), attempt.nonce());
        assert_eq!(attempt.verifier().len(), 43, "as long as PKCE wants it");
        let other = Attempt::begin(1000);
        let all = [
            attempt.state(),
            attempt.nonce(),
            attempt.verifier(),
            other.state(),
        ];
        let once: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(once.len(), all.len());
        for (now, expected) in [(999, true), (1000, false), (1599, false), (1600, true)] {
            assert_eq!(again.is_over(now), expected, "{now}");
        }
        for wrong in ["", "x", "x.y", &format!("1.{}", "a".repeat(80))] {
            assert!(Attempt::sent(&Secret::sent(wrong)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_address_counts_when_the_issuer_or_the_settings_say_that_it_is_verified() {
        for (claims, trusting, expected) in [
            (
                json!({"email_verified": true}),
                false,
                Some("ann@x.example"),
            ),
            (
                json!({"email_verified": "true"}),
                false,
                Some("ann@x.example"),
            ),
            (json!({"email_verified": false}), false, None),
            (json!({"email_verified": 1}), false, None),
            (json!({}), false, None),
            (json!({}), true, Some("ann@x.example")),
            (
                json!({"email_verified": false}),
                true,
                Some("ann@x.example"),
            ),
        ] {
            let mut all = json!({"sub": "1", "email": "Ann@X.example"});
            for (name, value) in claims.as_object().expect("claims") {
                all[name] = value.clone();
            }
            let all = all.as_object().expect("claims");
            let person = sign_on(trusting).person(all).expect("a person");
            assert_eq!(person.email.as_deref(), expected, "{claims} {trusting}");
            assert_eq!(person.name, "ann@x.example");
        }
        let nobody = json!({"email": "ann@x.example", "email_verified": true});
        assert_eq!(
            sign_on(true).person(nobody.as_object().expect("claims")),
            None
        );
    }

    #[test]
    fn newcomers_need_an_address_of_a_domain_that_is_named_whole() {
        let newcomers = |domains: &[&str]| Newcomers {
            org: "acme".into(),
            role: Role::Viewer,
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        };
        for (domains, email, expected) in [
            (&["acme.example"][..], "ann@acme.example", true),
            (&["acme.example"], "ann@evil-acme.example", false),
            (&["acme.example"], "ann@sub.acme.example", false),
            (&["acme.example"], "ann@acme.example@evil.example", false),
            (&["b.example", "*"], "ann@acme.example", true),
            (&[], "ann@acme.example", false),
        ] {
            assert_eq!(newcomers(domains).welcome(email), expected, "{email}");
        }
    }

    #[test]
    fn what_is_sent_is_encoded_and_the_secret_is_never_shown() {
        assert_eq!(encoded("a b/c:ü~"), "a%20b%2Fc%3A%C3%BC~");
        assert_eq!(form(&[("a", "1&2"), ("b", "")]), "a=1%262&b=");
        assert!(!format!("{:?}", sign_on(false)).contains("geheim"));
    }
}
