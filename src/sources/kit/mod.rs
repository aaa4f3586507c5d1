//! A kit: one file that carries an engine, providers and module code to where there is no network, signed.
//!
//! ```text
//! windlass-kit 1\n
//! LENGTH\n              of the head, in decimal
//! HEAD                  JSON: the public key, and every entry with its length and digest, sorted
//! SIGNATURE             Ed25519, 64 bytes, over everything before it
//! the bytes of the entries, one after another, and nothing else
//! ```
//!
//! Why not a tar archive: what is in it is signed before it is read, an entry has a name of ours and never a path, and the
//! same content makes the same bytes. Whoever reads believes nothing before the signature holds and the key is known, and keeps
//! nothing before the last byte has been compared.
//!
//! It is called a kit, and not a bundle, because a bundle is what a deployment is compiled to. Start at [`write()`] and
//! [`Reader`].

mod key;
mod read;
mod write;

use serde::{Deserialize, Serialize};

pub(crate) use self::key::{PublicKey, SecretKey};
pub(crate) use self::read::Reader;
pub(crate) use self::write::{Part, write};

/// The first line; part of what is signed.
const FIRST_LINE: &str = "windlass-kit 1\n";
const SIGNATURE_BYTES: usize = 64;
/// Of the head.
const MOST_HEAD: usize = 16 << 20;
/// Of an entry.
const MOST_ENTRY: u64 = 4 << 30;
const MOST_ENTRIES: usize = 10_000;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum What {
    /// Module code, packed as it is stored.
    Code {
        /// `sha256:HEX`.
        digest: String,
        /// Sources that it was fetched from, for modules that name those.
        sources: Vec<String>,
    },
    /// The program of an engine.
    Engine {
        /// `opentofu` or `terraform`.
        engine: String,
        /// `linux_amd64`.
        platform: String,
    },
    /// The archive of a provider.
    Provider {
        /// `HOST/NAMESPACE/TYPE`.
        provider: String,
        version: String,
        platform: String,
        /// What whoever packed it knew of it, in words.
        verified: String,
    },
}

/// An entry of a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) length: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    key: PublicKey,
    entries: Vec<Entry>,
}

/// Why a kit was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KitError {
    /// It begins otherwise.
    #[error("it is no kit of this version; it does not begin with `windlass-kit 1`")]
    NotOne,
    /// It ends early.
    #[error("it is cut off; copy it again")]
    Cut,
    /// There is more.
    #[error("something follows its last entry; nothing of it was taken")]
    More,
    /// Its list of entries.
    #[error("its list of entries is damaged: {0}")]
    Head(String),
    /// A key that nobody said to trust.
    #[error("it is signed by the key {0}, which is not trusted here")]
    UnknownKey(PublicKey),
    /// The signature is wrong.
    #[error(
        "its signature is wrong: it was changed after it was signed, and nothing of it was taken"
    )]
    Signature,
    /// An entry is not what was signed.
    #[error("the entry {0} is not what was signed; nothing of it was taken")]
    Altered(String),
    /// Too large.
    #[error("{0} is larger than an entry of a kit may be (4 GiB)")]
    TooBig(String),
    /// The system.
    #[error("{what}")]
    File {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl KitError {
    fn file(what: impl Into<String>, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Cut,
            _ => Self::File {
                what: what.into(),
                source,
            },
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code { digest, sources } if sources.is_empty() => write!(f, "code {digest}"),
            Self::Code { digest, sources } => write!(f, "code {digest} of {}", sources.join(", ")),
            Self::Engine { engine, platform } => write!(f, "engine {engine} {platform}"),
            Self::Provider {
                provider,
                version,
                platform,
                ..
            } => write!(f, "provider {provider} {version} {platform}"),
        }
    }
}

#[cfg(test)]
mod tests;
