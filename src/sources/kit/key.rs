//! Keys that sign kits: Ed25519, as text.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// How the public text begins.
const PUBLIC: &str = "ed25519:";
/// How the secret one does.
const SECRET: &str = "ed25519-secret:";

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("it is no public key of kits; expected `ed25519:` and 44 letters of base64")]
    Public,
    #[error("it is no secret key of kits, as `windlass kit key` writes them")]
    Secret,
    #[error("this machine gives no random numbers")]
    Random,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicKey([u8; 32]);

impl PublicKey {
    pub(super) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", BASE64_STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        text.trim()
            .strip_prefix(PUBLIC)
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(KeyError::Public)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What signs; never shown.
pub(crate) struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// A new one, as text for a file.
    pub(crate) fn generate() -> Result<Zeroizing<String>, KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let text = BASE64_STANDARD.encode(document.as_ref());
        Ok(Zeroizing::new(format!("{SECRET}{text}\n")))
    }

    /// Reads that text.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        text.trim()
            .strip_prefix(SECRET)
            .and_then(|text| BASE64_STANDARD.decode(text).ok().map(Zeroizing::new))
            .and_then(|bytes| Ed25519KeyPair::from_pkcs8(&bytes).ok())
            .map(Self)
            .ok_or(KeyError::Secret)
    }

    /// What others check its signatures with.
    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

#[cfg(test)]
impl SecretKey {
    /// Of the older form, which has no public key in it.
    pub(super) fn of_seed(der: &[u8]) -> Self {
        Self(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).expect("a key"))
    }
}
