//! Bytes become sealed bytes that only the holder of a key can read, and back.
//!
//! Never reads a file, an environment variable or a clock; never has a plaintext mode. It is the one
//! room below floor 6 that draws random numbers, so that no caller can repeat a key or a nonce. Start at
//! [`key`], then [`stream`].
//!
//! - [`key`]: recipients (public) and identities (private) in age's text form.
//! - [`stream`]: frames for logs and outputs while they flow; the format is drawn below.
//! - [`age`]: the same bytes as one age file, for clients that open nothing else.
//! - [`ring`]: the key ring of a data directory, for fields that the server must be able to read.
//!
//! # The sealed stream
//!
//! A stream is one *header* and any number of *frames*. All numbers are big-endian. The *context* is the
//! text `windlass-seal-1`, NUL, stream name, NUL, attempt in decimal, NUL, run id.
//!
//! ```text
//! header   "windlass" | version 01 | count u16 | count x entry
//! entry    key id (32) | enc (32) | wrapped data key (48)
//!
//! frame    number u64 | last u8 | ciphertext | tag (16)
//! ```
//!
//! *Data key*: 32 random bytes, new for every stream. *Entry*: the key id is the SHA-256 of the recipient's text
//! (`age1…`); `enc` and the wrapped key are HPKE (RFC 9180) in base mode, one shot, suite DHKEM(X25519,
//! HKDF-SHA256) `0020`, HKDF-SHA256 `0001`, AES-256-GCM `0002`, info = context, no associated data.
//! *Frame*: AES-256-GCM under the data key; nonce = 4 zero bytes and the number; associated data = context, NUL,
//! number, last. Numbers start at 1 and have no gaps. `last` is 01 in the final frame and 00 before it, so a
//! stream that was cut off is seen.
//!
//! A browser opens it with its own WebCrypto; `tests/sealed/open.mjs` is the whole receiver.
//!
//! # Why
//!
//! HPKE wraps the key once and AES-GCM seals the frames, instead of HPKE's own message counter: a reader may begin at
//! any frame, and one stream has several readers. Nobody signs: whoever stores a stream can replace all
//! of it by one of its own making, but can neither read, shorten, reorder nor change what the runner sealed.

pub(crate) mod age;
pub(crate) mod key;
pub(crate) mod plain;
pub(crate) mod ring;
pub(crate) mod stream;

pub(crate) use self::key::Recipient;
pub use self::stream::Exercise;
pub(crate) use self::stream::{OpenError, Sealer};

/// A fresh key of 32 bytes, wiped when dropped.
pub(crate) fn random_key() -> zeroize::Zeroizing<[u8; 32]> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    random(&mut *key);
    key
}

/// Fills `bytes` from the operating system.
fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests run other programs")]
mod others;
