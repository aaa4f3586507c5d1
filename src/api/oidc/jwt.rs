//! JSON Web Tokens: who signed one, and whether it holds here and now. Pure.
//!
//! Only RS256 and ES256, each only with a key of its kind; `none`, shared secrets and everything else are refused
//! before anything is computed. A token that names a key is checked with that key and no other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;
/// The longest token that is looked at.
const MAX_BYTES: usize = 16 * 1024;

/// What an issuer publishes.
#[derive(Debug, Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<Value>,
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    id: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
}

impl Key {
    /// Its name.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// It is no token.
    #[error("it is no signed JSON Web Token")]
    Malformed,
    /// How it is signed.
    #[error("it is signed by an algorithm other than RS256 and ES256")]
    Algorithm,
    /// The issuer has no such key.
    #[error("its issuer has no key of that name and kind")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Somebody else's.
    #[error("it is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("it was made for another audience")]
    Audience,
    /// Over.
    #[error("it is over")]
    Expired,
    /// Of the future.
    #[error("it does not hold yet")]
    Early,
}

/// What must hold of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// Who signed it.
    pub(crate) issuer: &'a str,
    /// For whom.
    pub(crate) audience: &'a str,
    /// Now, in seconds since 1970.
    pub(crate) now: i64,
}

/// The keys of a set that can be used here; others are left out.
pub(crate) fn keys(set: &KeySet) -> Vec<Key> {
    set.keys.iter().filter_map(key).collect()
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (kind, algorithm) = match (text("kty")?, text("crv")) {
        ("RSA", _) => (Kind::Rsa(bytes("n")?, bytes("e")?), "RS256"),
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            (Kind::P256([vec![4], x, y].concat()), "ES256")
        }
        _ => return None,
    };
    if text("alg").is_some_and(|said| said != algorithm) {
        return None;
    }
    Some(Key {
        id: text("kid").map(str::to_owned),
        kind,
    })
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

struct Parts<'a> {
    header: Header,
    signed: &'a str,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

fn parts(token: &str) -> Result<Parts<'_>, BadToken> {
    let malformed = || BadToken::Malformed;
    if token.len() > MAX_BYTES {
        return Err(BadToken::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed())?;
    // Whoever signs may demand what is not known here.
    if header.crit.is_some() {
        return Err(BadToken::Malformed);
    }
    Ok(Parts {
        header,
        signed,
        claims: serde_json::from_slice(&decode(claims)?).map_err(|_| malformed())?,
        signature: decode(signature)?,
    })
}

/// The issuer and the key that a token names; nothing of it is believed yet.
pub(crate) fn named(token: &str) -> Result<(String, Option<String>), BadToken> {
    let parts = parts(token)?;
    let issuer = parts.claims.get("iss").and_then(Value::as_str);
    let issuer = issuer.ok_or(BadToken::Malformed)?;
    Ok((issuer.to_owned(), parts.header.kid))
}

/// The claims of a token that `keys` signed and that holds.
pub(crate) fn verify(
    token: &str,
    keys: &[Key],
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, BadToken> {
    let parts = parts(token)?;
    let fits = |key: &&Key| match key.kind {
        Kind::Rsa(..) => parts.header.alg == "RS256",
        Kind::P256(_) => parts.header.alg == "ES256",
    };
    if !["RS256", "ES256"].contains(&parts.header.alg.as_str()) {
        return Err(BadToken::Algorithm);
    }
    let mut usable = keys.iter().filter(fits);
    let key = match &parts.header.kid {
        Some(kid) => usable.find(|key| key.id() == Some(kid)),
        // Without a name there must be no choice.
        None => usable.next().filter(|_| usable.next().is_none()),
    };
    let key = key.ok_or(BadToken::UnknownKey)?;
    let signed = parts.signed.as_bytes();
    match &key.kind {
        Kind::Rsa(n, e) => RsaPublicKeyComponents { n, e }.verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed,
            &parts.signature,
        ),
        Kind::P256(point) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &parts.signature)
        }
    }
    .map_err(|_| BadToken::Signature)?;
    holds(&parts.claims, expected)?;
    Ok(parts.claims)
}

fn holds(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), BadToken> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(BadToken::Issuer);
    }
    let is_for = match claims.get("aud") {
        Some(Value::String(one)) => one == expected.audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == expected.audience),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    };
    if !is_for {
        return Err(BadToken::Audience);
    }
    // Times may have parts of seconds.
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole seconds are meant, and what is out of range saturates"
            )]
            Some(seconds) => Ok(Some(seconds as i64)),
            None => Err(BadToken::Malformed),
        },
    };
    let ends = time("exp")?.ok_or(BadToken::Malformed)?;
    if ends.saturating_add(LEEWAY) <= expected.now {
        return Err(BadToken::Expired);
    }
    for name in ["nbf", "iat"] {
        if time(name)?.is_some_and(|begins| begins.saturating_sub(LEEWAY) > expected.now) {
            return Err(BadToken::Early);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    struct Signer {
        pair: EcdsaKeyPair,
        random: SystemRandom,
    }

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("makes");
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
            Self {
                pair: pair.expect("reads"),
                random,
            }
        }

        fn keys(&self, kid: &str) -> Vec<Key> {
            let point = self.pair.public_key().as_ref();
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            keys(&KeySet {
                keys: vec![
                    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": text(&point[1..33]), "y": text(&point[33..])}),
                ],
            })
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self
                .pair
                .sign(&self.random, signed.as_bytes())
                .expect("signs");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://i.example",
        audience: "windlass",
        now: 1_000_000,
    };

    fn claims(change: &Value) -> Value {
        let mut claims = json!({"iss": "https://i.example", "aud": "windlass", "exp": 1_000_100, "iat": 1_000_000});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }

    #[test]
    fn a_token_is_believed_when_all_of_it_holds_and_else_not() {
        let signer = Signer::new();
        let keys = signer.keys("a");
        let header = json!({"alg": "ES256", "kid": "a"});
        for (change, expected) in [
            (json!({}), Ok(())),
            (json!({"aud": ["x", "windlass"]}), Ok(())),
            (json!({"iss": "https://j.example"}), Err(BadToken::Issuer)),
            (json!({"aud": "x"}), Err(BadToken::Audience)),
            (json!({"aud": []}), Err(BadToken::Audience)),
            (json!({"exp": 999_940}), Err(BadToken::Expired)),
            (json!({"exp": 999_941}), Ok(())),
            (json!({"exp": "soon"}), Err(BadToken::Malformed)),
            (json!({"exp": null}), Err(BadToken::Malformed)),
            (json!({"nbf": 1_000_061}), Err(BadToken::Early)),
            (json!({"iat": 1_000_061}), Err(BadToken::Early)),
        ] {
            let token = signer.sign(&header, &claims(&change));
            assert_eq!(
                verify(&token, &keys, &EXPECTED).map(|_| ()),
                expected,
                "{change}"
            );
        }
    }

    #[test]
    fn no_other_algorithm_key_or_byte_will_do() {
        let signer = Signer::new();
        let keys = signer.keys("a");
        let good = claims(&json!({}));
        for (header, expected) in [
            (json!({"alg": "none"}), BadToken::Algorithm),
            (json!({"alg": "HS256", "kid": "a"}), BadToken::Algorithm),
            (json!({"alg": "RS256", "kid": "a"}), BadToken::UnknownKey),
            (json!({"alg": "ES256", "kid": "b"}), BadToken::UnknownKey),
            (
                json!({"alg": "ES256", "kid": "a", "crit": ["x"]}),
                BadToken::Malformed,
            ),
        ] {
            let token = signer.sign(&header, &good);
            assert_eq!(verify(&token, &keys, &EXPECTED), Err(expected), "{header}");
        }
        let header = json!({"alg": "ES256", "kid": "a"});
        let other = Signer::new().sign(&header, &good);
        assert_eq!(verify(&other, &keys, &EXPECTED), Err(BadToken::Signature));
        let token = signer.sign(&header, &good);
        let (head, _) = token.rsplit_once('.').expect("three parts");
        assert_eq!(
            verify(&format!("{head}."), &keys, &EXPECTED),
            Err(BadToken::Signature)
        );
        assert_eq!(verify(head, &keys, &EXPECTED), Err(BadToken::Malformed));
        let nameless = signer.sign(&json!({"alg": "ES256"}), &good);
        assert!(verify(&nameless, &keys, &EXPECTED).is_ok());
        let two = [keys.clone(), signer.keys("b")].concat();
        assert_eq!(
            verify(&nameless, &two, &EXPECTED),
            Err(BadToken::UnknownKey)
        );
    }
}
