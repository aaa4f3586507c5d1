//! Recipients and identities: X25519 keys in age's text form.
//!
//! An [`Identity`] is wiped when dropped, cannot be cloned, prints nothing of itself, and gives its
//! text only by [`Identity::expose_secret`]. Errors never quote what was given: it may be a private key.

use std::{fmt, str::FromStr};

use bech32::{Bech32, Hrp};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// Prefix of a public key's text.
const PUBLIC: &str = "age";
/// Prefix of a private key's text, in lower case as bech32 decodes it.
const SECRET: &str = "age-secret-key-";

/// Why a text is no key. Never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Not bech32, or its checksum is wrong.
    #[error(
        "the text is not a key, or was not copied whole: a public one is `age1` and 58 more characters, a private one `AGE-SECRET-KEY-1` and 58 more"
    )]
    Text,
    /// A private key where a public one belongs.
    #[error(
        "this is a private key where a public one (`age1…`) belongs; treat it as compromised and make a new one"
    )]
    PrivateGiven,
    /// A public key where a private one belongs.
    #[error("this is a public key; reading needs the private one (`AGE-SECRET-KEY-1…`)")]
    PublicGiven,
    /// Another kind of key, of a plugin or post-quantum.
    #[error("this kind of key is not supported; use an X25519 key as `age-keygen` makes it")]
    Kind,
    /// A public key that gives everybody the same shared secret.
    #[error("this public key is one of the few that protect nothing")]
    Weak,
    /// A key file without a key.
    #[error("the file holds no private key: expected a line `AGE-SECRET-KEY-1…`")]
    NoKey,
}

/// The name of a key pair: SHA-256 of the recipient's text. Printed as 64 hexadecimal digits, which is
/// also the name of the file in which the client keeps the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyId(pub(crate) [u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A public key: what a stream is sealed to. Its text is canonical: lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Recipient(PublicKey);

impl Recipient {
    /// The 32 bytes of the key.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The name of this key pair.
    pub(crate) fn key_id(&self) -> KeyId {
        KeyId(Sha256::digest(self.to_string().as_bytes()).into())
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    /// Reads `age1…`. Refuses keys of low order, so that sealing to a recipient cannot fail.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let key = PublicKey::from(*decode(text.trim(), PUBLIC)?);
        // Any scalar will do: it is a multiple of the cofactor, so a low-order point gives zero.
        if !StaticSecret::from([1; 32])
            .diffie_hellman(&key)
            .was_contributory()
        {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(PUBLIC).expect("the prefix is one");
        let text = bech32::encode::<Bech32>(prefix, self.0.as_bytes())
            .expect("32 bytes fit into a bech32 text");
        f.write_str(&text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key: opens what was sealed to its recipient.
pub(crate) struct Identity(StaticSecret);

impl Identity {
    /// Makes a new key pair.
    pub(crate) fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        super::random(&mut *bytes);
        Self(StaticSecret::from(*bytes))
    }

    /// The public half.
    pub(crate) fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0))
    }

    /// The name of this key pair.
    pub(crate) fn key_id(&self) -> KeyId {
        self.recipient().key_id()
    }

    /// The text `AGE-SECRET-KEY-1…`, wiped when dropped.
    pub(crate) fn expose_secret(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.0.to_bytes());
        let prefix = Hrp::parse(SECRET).expect("the prefix is one");
        Zeroizing::new(
            bech32::encode_upper::<Bech32>(prefix, &*bytes)
                .expect("32 bytes fit into a bech32 text"),
        )
    }

    /// The 32 bytes of the key, wiped when dropped.
    pub(crate) fn expose_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Reads all keys of an identity file as `age-keygen` writes it: one key a line; empty lines and
    /// lines that begin with `#` are skipped. A file without a key is an error.
    pub(crate) fn parse_file(text: &str) -> Result<Vec<Self>, KeyError> {
        let keys = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Self::from_str)
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        Ok(keys)
    }
}

impl FromStr for Identity {
    type Err = KeyError;

    /// Reads `AGE-SECRET-KEY-1…`, in either case.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(StaticSecret::from(*decode(text.trim(), SECRET)?)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

/// Reads the 32 bytes behind the prefix `wanted`.
fn decode(text: &str, wanted: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let is = |prefix: &str| {
        // On bytes: a text of any alphabet may come in.
        text.as_bytes()
            .split_at_checked(prefix.len())
            .is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(prefix.as_bytes()) && rest.first() == Some(&b'1')
            })
    };
    let (public, secret) = (is(PUBLIC), is(SECRET));
    if secret && wanted == PUBLIC {
        return Err(KeyError::PrivateGiven);
    }
    if public && wanted == SECRET {
        return Err(KeyError::PublicGiven);
    }
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32>(text)
        .map_err(|_| other_kind(text))?;
    if !checked.hrp().as_str().eq_ignore_ascii_case(wanted) {
        return Err(other_kind(text));
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let mut all: Vec<u8> = checked.byte_iter().collect();
    let fits = all.len() == bytes.len();
    if fits {
        bytes.copy_from_slice(&all);
    }
    all.zeroize();
    if fits { Ok(bytes) } else { Err(KeyError::Text) }
}

/// Tells a key of a plugin or a newer kind (`age1yubikey1…`, `age1pq1…`, `AGE-PLUGIN-…`) from a mistyped one.
fn other_kind(text: &str) -> KeyError {
    let lower = text.to_ascii_lowercase();
    let plugin = lower
        .strip_prefix("age1")
        .is_some_and(|rest| rest.contains('1'));
    let known = lower.starts_with("age1") || lower.starts_with("age-secret-key-1");
    if plugin
        || lower.starts_with("age-plugin-")
        || (lower.starts_with("age-secret-key-") && !known)
    {
        KeyError::Kind
    } else {
        KeyError::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key pair published with the age format's own tools.
    const SECRET_TEXT: &str =
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC_TEXT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    #[test]
    fn a_key_pair_of_age_is_read_and_written_as_age_does() {
        let identity: Identity = SECRET_TEXT.parse().expect("a key");
        assert_eq!(identity.recipient().to_string(), PUBLIC_TEXT);
        assert_eq!(*identity.expose_secret(), SECRET_TEXT);
        assert_eq!(PUBLIC_TEXT.parse::<Recipient>(), Ok(identity.recipient()));
        assert_eq!(
            SECRET_TEXT
                .to_lowercase()
                .parse::<Identity>()
                .expect("lower case too")
                .recipient()
                .to_string(),
            PUBLIC_TEXT
        );
    }

    #[test]
    fn the_key_id_is_the_hash_of_the_recipient_text() {
        let recipient: Recipient = PUBLIC_TEXT.parse().expect("a key");
        let hash: [u8; 32] = Sha256::digest(PUBLIC_TEXT.as_bytes()).into();
        assert_eq!(recipient.key_id(), KeyId(hash));
        assert_eq!(recipient.key_id().to_string().len(), 64);
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let identity = Identity::generate();
        let shown = format!("{identity:?}").to_lowercase();
        let secret = identity.expose_secret().to_lowercase();
        assert!(!shown.contains(&secret[SECRET.len() + 1..]));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn what_is_no_key_is_refused_by_kind_and_never_quoted() {
        let recipient = |text: &str| text.parse::<Recipient>().expect_err("not a recipient");
        let identity = |text: &str| text.parse::<Identity>().expect_err("not an identity");
        let mut mistyped = PUBLIC_TEXT.to_owned();
        mistyped.replace_range(10..11, "q");
        assert_eq!(recipient(&mistyped), KeyError::Text);
        assert_eq!(recipient(""), KeyError::Text);
        assert_eq!(recipient("ägë1"), KeyError::Text);
        assert_eq!(recipient("!0AAେ"), KeyError::Text);
        assert_eq!(recipient(&PUBLIC_TEXT[..40]), KeyError::Text);
        assert_eq!(recipient(SECRET_TEXT), KeyError::PrivateGiven);
        assert_eq!(
            recipient(&SECRET_TEXT.to_lowercase()),
            KeyError::PrivateGiven
        );
        assert_eq!(identity(PUBLIC_TEXT), KeyError::PublicGiven);
        assert_eq!(recipient("age1yubikey1qwqwqw"), KeyError::Kind);
        assert_eq!(identity("AGE-PLUGIN-YUBIKEY-1QQQ"), KeyError::Kind);
        for error in [KeyError::Text, KeyError::PrivateGiven, KeyError::Kind] {
            assert!(!error.to_string().contains(&SECRET_TEXT[20..30]));
        }
    }

    #[test]
    fn a_public_key_that_protects_nothing_is_refused() {
        let zero = bech32::encode::<Bech32>(Hrp::parse("age").expect("prefix"), &[0; 32])
            .expect("a bech32 text");
        assert_eq!(zero.parse::<Recipient>(), Err(KeyError::Weak));
    }

    #[test]
    fn an_identity_file_may_hold_comments_and_several_keys() {
        let other = Identity::generate();
        let text = format!(
            "# created: now\n# public key: {PUBLIC_TEXT}\n\n{SECRET_TEXT}\r\n{}\n",
            *other.expose_secret()
        );
        let keys = Identity::parse_file(&text).expect("two keys");
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1].key_id(), other.key_id());
        assert_eq!(
            Identity::parse_file("# nothing\n").expect_err("no key"),
            KeyError::NoKey
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,80}") {
            let _ = text.parse::<Recipient>();
            let _ = text.parse::<Identity>();
            let _ = Identity::parse_file(&text);
        }
    }
}
