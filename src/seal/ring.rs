//! The key ring of a data directory: AES-256-GCM for write-only fields, provider configuration and stored HCL.
//!
//! These the server must be able to read (it writes them into a run), so they are no sealed streams; the ring
//! lies outside the database, so that a copy of the database alone shows nothing. Pure: reading and writing the ring's file is
//! the store's work.
//!
//! # Format
//!
//! The ring is text: the line `windlass-keyring 1`, then one line per key, `ID BASE64`, where the id is 16 hexadecimal
//! digits and the key 32 bytes. Lines that begin with `#` are comments. The first key seals, all of them open: to rotate, put a new
//! key first, seal again what an old one sealed, then remove the old key.
//!
//! ```text
//! sealed value   version 01 | key id (8) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! The associated data is version, key id and the *place* of the value (for example `provider/acme/aws/main`), so
//! that a value moved to another row does not open. Nonces are random: good for 2^32 values per key.

use std::fmt::Write as _;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::{Zeroize, Zeroizing};

/// First line of the file.
const FIRST_LINE: &str = "windlass-keyring 1";
/// Version of sealed values.
const VERSION: u8 = 1;
/// Version, key id, nonce.
const HEAD: usize = 1 + 8 + 12;
/// Tag of AES-GCM.
const TAG: usize = 16;

/// Why a key ring could not be read. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RingError {
    /// The first line is missing or of another version.
    #[error("the key ring does not begin with `windlass-keyring 1`")]
    FirstLine,
    /// A line that is no key.
    #[error("line {0} of the key ring is not `ID BASE64` (16 hexadecimal digits, 32 bytes)")]
    Line(usize),
    /// Two keys of one id.
    #[error("line {0} of the key ring repeats the id of an earlier key")]
    Repeated(usize),
    /// No key at all.
    #[error("the key ring holds no key")]
    Empty,
}

/// Why a value under the ring could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnlockError {
    /// Cut off or something else.
    #[error("this is not a value sealed under a key ring")]
    NotSealed,
    /// A newer format.
    #[error("the value is sealed in version {0} of the format, this program reads version 1")]
    Version(u8),
    /// The ring of another installation, or a key was removed too early.
    #[error(
        "the key ring lacks the key {0:016x} that this value is sealed under; restore the ring that belongs to this data"
    )]
    NoKey(u64),
    /// Altered or moved.
    #[error("the sealed value was altered or belongs elsewhere")]
    NotAuthentic,
}

/// Keys that seal and open stored values; the first one seals. Wiped when dropped.
pub(crate) struct Keyring(Vec<Key>);

struct Key {
    id: [u8; 8],
    bytes: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

impl Keyring {
    /// Makes a ring with one fresh key.
    pub(crate) fn new() -> Self {
        Self(vec![Key::fresh()])
    }

    /// Reads the text of a ring.
    pub(crate) fn parse(text: &str) -> Result<Self, RingError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        if lines.next().map(|(_, line)| line) != Some(FIRST_LINE) {
            return Err(RingError::FirstLine);
        }
        let mut keys: Vec<Key> = Vec::new();
        for (at, line) in lines {
            let key = Key::parse(line).ok_or(RingError::Line(at))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(RingError::Repeated(at));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(RingError::Empty);
        }
        Ok(Self(keys))
    }

    /// The text to be stored, wiped when dropped.
    pub(crate) fn expose_secret(&self) -> Zeroizing<String> {
        // Big enough from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(200 + self.0.len() * 64));
        text.push_str(FIRST_LINE);
        text.push_str(
            "\n# The first key seals, all of them open. Keep a copy away from the database.\n",
        );
        for key in &self.0 {
            let mut base64 = BASE64_STANDARD.encode(*key.bytes);
            writeln!(text, "{:016x} {base64}", u64::from_be_bytes(key.id))
                .expect("a string takes it");
            base64.zeroize();
        }
        text
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Id of the key that seals, as it stands in what it sealed.
    pub(crate) fn first_id(&self) -> Vec<u8> {
        self.0
            .first()
            .map(|key| key.id.to_vec())
            .unwrap_or_default()
    }

    /// Forgets every key but the one that seals. Nothing may be left under them.
    pub(crate) fn drop_old(&mut self) {
        self.0.truncate(1);
    }

    /// Puts a fresh key first; the old ones still open.
    pub(crate) fn rotate(&mut self) {
        self.0.insert(0, Key::fresh());
    }

    /// Seals a value for `place`, which must be given again to open it.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let key = &self.0[0];
        let mut nonce = [0; 12];
        super::random(&mut nonce);
        let mut sealed = Vec::with_capacity(HEAD + plain.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        let bound = [&sealed[..], place.as_bytes()].concat();
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = key
            .cipher()
            .encrypt_inout_detached((&nonce).into(), &bound, (&mut sealed[HEAD..]).into())
            .expect("a value is far below AES-GCM's 64 GiB");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens a value that was sealed for `place`. The result is wiped when dropped.
    pub(crate) fn open(
        &self,
        place: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
        let (head, body) = split(sealed)?;
        let (sealed, tag) = body
            .split_last_chunk::<TAG>()
            .ok_or(UnlockError::NotSealed)?;
        let id = &head[1..9];
        let key = self
            .0
            .iter()
            .find(|key| key.id == id)
            .ok_or(UnlockError::NoKey(number(id)))?;
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&head[9..]);
        let bound = [&head[..9], place.as_bytes()].concat();
        let mut plain = Zeroizing::new(sealed.to_vec());
        key.cipher()
            .decrypt_inout_detached(
                (&nonce).into(),
                &bound,
                plain.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| UnlockError::NotAuthentic)?;
        Ok(plain)
    }

    #[cfg(test)]
    /// Whether a value is sealed under the key that seals now; one that is not can be sealed again.
    pub(crate) fn is_current(&self, sealed: &[u8]) -> bool {
        split(sealed).is_ok_and(|(head, _)| head[1..9] == self.0[0].id)
    }
}

impl Key {
    fn fresh() -> Self {
        let mut id = [0; 8];
        super::random(&mut id);
        let mut bytes = Zeroizing::new([0; 32]);
        super::random(&mut *bytes);
        Self { id, bytes }
    }

    fn parse(line: &str) -> Option<Self> {
        let (id, key) = line.split_once(char::is_whitespace)?;
        if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let id = u64::from_str_radix(id, 16).ok()?.to_be_bytes();
        let decoded = Zeroizing::new(BASE64_STANDARD.decode(key.trim()).ok()?);
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return None;
        }
        bytes.copy_from_slice(&decoded);
        Some(Self { id, bytes })
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.bytes).into())
    }
}

/// Head and rest of a sealed value.
fn split(sealed: &[u8]) -> Result<(&[u8; HEAD], &[u8]), UnlockError> {
    match sealed.first() {
        Some(&VERSION) => sealed.split_first_chunk().ok_or(UnlockError::NotSealed),
        Some(&other) => Err(UnlockError::Version(other)),
        None => Err(UnlockError::NotSealed),
    }
}

fn number(id: &[u8]) -> u64 {
    id.iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_at_its_place_and_under_its_ring() {
        let ring = Keyring::new();
        let sealed = ring.seal("provider/acme/aws/main", b"token");
        assert_eq!(
            ring.open("provider/acme/aws/main", &sealed)
                .expect("opens")
                .as_slice(),
            b"token"
        );
        assert_eq!(
            ring.open("provider/acme/aws/other", &sealed)
                .expect_err("another place"),
            UnlockError::NotAuthentic
        );
        let other = Keyring::new();
        assert!(matches!(
            other.open("provider/acme/aws/main", &sealed),
            Err(UnlockError::NoKey(_))
        ));
    }

    #[test]
    fn every_altered_or_cut_off_value_is_refused() {
        let ring = Keyring::new();
        let sealed = ring.seal("place", b"some value");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 0x40;
            assert!(ring.open("place", &altered).is_err(), "byte {at}");
            assert!(ring.open("place", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_ring_survives_being_written_and_read() {
        let mut ring = Keyring::new();
        let old = ring.seal("place", b"old");
        ring.rotate();
        let new = ring.seal("place", b"new");
        let read = Keyring::parse(&ring.expose_secret()).expect("a ring");
        assert_eq!(read.open("place", &old).expect("opens").as_slice(), b"old");
        assert_eq!(read.open("place", &new).expect("opens").as_slice(), b"new");
        assert!(read.is_current(&new));
        assert!(!read.is_current(&old));
    }

    #[test]
    fn what_is_no_ring_is_refused_with_its_line() {
        assert_eq!(Keyring::parse("").expect_err("empty"), RingError::FirstLine);
        assert_eq!(
            Keyring::parse("windlass-keyring 2\n").expect_err("version"),
            RingError::FirstLine
        );
        assert_eq!(
            Keyring::parse("windlass-keyring 1\n# none\n").expect_err("no key"),
            RingError::Empty
        );
        assert_eq!(
            Keyring::parse("windlass-keyring 1\n\nabc def\n").expect_err("no key"),
            RingError::Line(3)
        );
        let line = format!("00000000000000aa {}", BASE64_STANDARD.encode([1; 32]));
        assert_eq!(
            Keyring::parse(&format!("windlass-keyring 1\n{line}\n{line}\n")).expect_err("twice"),
            RingError::Repeated(3)
        );
    }

    #[test]
    fn a_ring_written_by_the_first_version_is_still_read() {
        let line = format!("00000000000000aa {}", BASE64_STANDARD.encode([1; 32]));
        let ring = Keyring::parse(&format!("windlass-keyring 1\n{line}\n")).expect("a ring");
        let sealed = BASE64_STANDARD
            .decode("AQAAAAAAAACqAAAAAAAAAAAAAAAA")
            .expect("base64");
        assert_eq!(
            ring.open("place", &sealed).expect_err("no tag"),
            UnlockError::NotSealed
        );
    }

    #[test]
    fn debug_output_holds_no_key() {
        let ring = Keyring::new();
        assert_eq!(format!("{ring:?}"), "Keyring(1 keys)");
    }
}
