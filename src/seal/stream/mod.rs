//! Streams of sealed frames: [`Sealer`] makes them, [`Opener`] reads them. The format is drawn in the room's doc.
//!
//! A [`Sealer`] owns a data key that nobody has used before, counts its own frames, is not `Clone`, and
//! cannot be restored: a runner that starts again makes a new one. That is why a nonce is never repeated.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable, kem::X25519HkdfSha256};
use zeroize::Zeroizing;

#[cfg(test)]
use super::key::KeyId;
use super::key::{Identity, Recipient};

type Aead = hpke::aead::AesGcm256;
type Kdf = hpke::kdf::HkdfSha256;
type Kem = X25519HkdfSha256;

/// What every header begins with.
const MAGIC: &[u8; 8] = b"windlass";
/// Version of the format.
const VERSION: u8 = 1;
/// Magic, version and count.
const HEAD: usize = 11;
/// Key id, encapsulated key, wrapped data key.
const ENTRY: usize = 32 + 32 + 48;
/// Number and last flag of a frame.
const FRAME_HEAD: usize = 9;
/// Tag of AES-GCM.
const TAG: usize = 16;

/// Why sealed bytes could not be opened. The words say nothing about what is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// The header or a frame is shorter than its fixed parts.
    #[error("the sealed data is cut off: {len} bytes where {need} are needed")]
    Short {
        /// Bytes there.
        len: usize,
        /// Bytes needed at least.
        need: usize,
    },
    /// Something else, or a format of the future.
    #[error("this is not a sealed stream of Windlass")]
    NotSealed,
    /// A newer format.
    #[error(
        "the stream is sealed in version {0} of the format, this program reads version 1; use a newer one"
    )]
    Version(u8),
    /// The stream is sealed to other keys.
    #[error("the stream is not sealed to this key; it has {0} other reader(s)")]
    NotForThisKey(u16),
    /// Bytes were changed, or belong to another run, attempt or stream.
    #[error("the key is wrong or the data was altered")]
    NotAuthentic,
    /// A frame is missing, or frames changed places.
    #[error(
        "frame {found} came where frame {expected} was expected: frames are missing or out of order"
    )]
    OutOfOrder {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A frame came a second time.
    #[error("frame {0} came a second time")]
    Repeated(u64),
    /// A frame behind the final one.
    #[error("frame {0} came after the final frame")]
    AfterEnd(u64),
}

/// What is bound into every wrapped key and every frame.
fn context(run: &str, attempt: u32, stream: &str) -> Vec<u8> {
    // The run comes last: the name and the number before it hold no NUL, so two contexts never collide.
    format!("windlass-seal-1\0{stream}\0{attempt}\0{run}").into_bytes()
}

/// The key schedule of a stream: its cipher and what is bound to it.
struct Keyed {
    cipher: Aes256Gcm,
    /// Context and NUL; number and last flag follow.
    bound: Vec<u8>,
}

impl Keyed {
    fn new(key: &[u8; 32], context: &[u8]) -> Self {
        let mut bound = context.to_vec();
        bound.push(0);
        Self {
            cipher: Aes256Gcm::new(key.into()),
            bound,
        }
    }

    /// Nonce and associated data of a frame with this head.
    fn frame(&self, head: &[u8; FRAME_HEAD]) -> ([u8; 12], Vec<u8>) {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&head[..8]);
        (nonce, [&self.bound, &head[..]].concat())
    }
}

/// Seals one stream, frame by frame. Dropping it without [`finish`](Self::finish) leaves a stream that reads as cut off.
pub(crate) struct Sealer {
    keyed: Keyed,
    /// Kept so that the runner can read its own frames again; wiped on drop.
    key: Zeroizing<[u8; 32]>,
    /// Number of the last frame made.
    number: u64,
}

impl Sealer {
    /// Starts a stream with a fresh data key and returns its header. Recipients given twice are wrapped once.
    ///
    /// `stream` holds no NUL. Without recipients nobody will ever open it.
    pub(crate) fn new(
        run: &str,
        attempt: u32,
        stream: &str,
        recipients: &[Recipient],
    ) -> (Self, Vec<u8>) {
        let mut key = Zeroizing::new([0; 32]);
        super::random(&mut *key);
        let context = context(run, attempt, stream);
        let mut readers: Vec<&Recipient> = Vec::new();
        for recipient in recipients {
            if !readers.contains(&recipient) {
                readers.push(recipient);
            }
        }
        let count = u16::try_from(readers.len()).expect("a stream has fewer than 65536 readers");
        let mut header = Vec::with_capacity(HEAD + readers.len() * ENTRY);
        header.extend_from_slice(MAGIC);
        header.push(VERSION);
        header.extend_from_slice(&count.to_be_bytes());
        for reader in readers {
            let (enc, wrapped) = wrap(reader, &context, &key);
            header.extend_from_slice(&reader.key_id().0);
            header.extend_from_slice(&enc);
            header.extend_from_slice(&wrapped);
        }
        let sealer = Self {
            keyed: Keyed::new(&key, &context),
            key,
            number: 0,
        };
        (sealer, header)
    }

    /// Number of the last frame made; 0 before the first.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Seals the next frame.
    pub(crate) fn frame(&mut self, plain: &[u8]) -> Vec<u8> {
        self.seal(plain, false)
    }

    /// Seals the final frame; `plain` may be empty.
    pub(crate) fn finish(mut self, plain: &[u8]) -> Vec<u8> {
        self.seal(plain, true)
    }

    /// A reader of this stream's own frames, from the first one: the runner writes its age file from what it
    /// has sealed instead of keeping a second copy in clear.
    pub(crate) fn opener(&self) -> Opener {
        Opener {
            keyed: Keyed {
                cipher: Aes256Gcm::new((&*self.key).into()),
                bound: self.keyed.bound.clone(),
            },
            next: 1,
            ended: false,
        }
    }

    fn seal(&mut self, plain: &[u8], last: bool) -> Vec<u8> {
        self.number += 1;
        let mut head = [0; FRAME_HEAD];
        head[..8].copy_from_slice(&self.number.to_be_bytes());
        head[8] = u8::from(last);
        let (nonce, bound) = self.keyed.frame(&head);
        let mut frame = Vec::with_capacity(FRAME_HEAD + plain.len() + TAG);
        frame.extend_from_slice(&head);
        frame.extend_from_slice(plain);
        let tag = self
            .keyed
            .cipher
            .encrypt_inout_detached((&nonce).into(), &bound, (&mut frame[FRAME_HEAD..]).into())
            .expect("a frame is far below AES-GCM's 64 GiB");
        frame.extend_from_slice(&tag);
        frame
    }
}

/// A frame in clear.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// What was sealed.
    pub(crate) bytes: Vec<u8>,
    /// Whether it was the final frame.
    pub(crate) last: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({} bytes, last: {})", self.bytes.len(), self.last)
    }
}

/// Opens the frames of one stream in order, from any frame on.
pub(crate) struct Opener {
    keyed: Keyed,
    /// Number of the frame to come.
    next: u64,
    /// Whether the final frame has been opened.
    ended: bool,
}

impl Opener {
    /// Unwraps the stream's key. The first frame to come is number 1; see [`start_at`](Self::start_at).
    pub(crate) fn new(
        run: &str,
        attempt: u32,
        stream: &str,
        header: &[u8],
        identity: &Identity,
    ) -> Result<Self, OpenError> {
        let entries = entries(header)?;
        let mine = identity.key_id();
        let entry =
            entries
                .clone()
                .find(|entry| entry[..32] == mine.0)
                .ok_or(OpenError::NotForThisKey(
                    u16::try_from(entries.len()).unwrap_or(u16::MAX),
                ))?;
        let context = context(run, attempt, stream);
        let key = unwrap(identity, &context, &entry[32..64], &entry[64..])?;
        Ok(Self {
            keyed: Keyed::new(&key, &context),
            next: 1,
            ended: false,
        })
    }

    /// Expects frame `number` next: for a reader that already has those before it.
    pub(crate) fn start_at(mut self, number: u64) -> Self {
        self.next = number.max(1);
        self
    }

    /// Opens the next frame. After an error the opener still expects the same frame.
    pub(crate) fn open(&mut self, frame: &[u8]) -> Result<Opened, OpenError> {
        let Some((head, body)) = frame.split_first_chunk::<FRAME_HEAD>() else {
            return Err(short(frame.len()));
        };
        let Some((sealed, tag)) = body.split_last_chunk::<TAG>() else {
            return Err(short(frame.len()));
        };
        let (nonce, bound) = self.keyed.frame(head);
        let mut bytes = sealed.to_vec();
        self.keyed
            .cipher
            .decrypt_inout_detached(
                (&nonce).into(),
                &bound,
                bytes.as_mut_slice().into(),
                tag.into(),
            )
            .map_err(|_| OpenError::NotAuthentic)?;
        // Only a frame that is genuine says where it belongs.
        let [number @ .., last] = *head;
        let found = u64::from_be_bytes(number);
        #[cfg(feature = "fuzz")]
        let found = if found > self.next && crate::model::planted::is_planted("sealed") {
            self.next
        } else {
            found
        };
        match found.cmp(&self.next) {
            _ if self.ended => Err(OpenError::AfterEnd(found)),
            std::cmp::Ordering::Less => Err(OpenError::Repeated(found)),
            std::cmp::Ordering::Greater => Err(OpenError::OutOfOrder {
                expected: self.next,
                found,
            }),
            std::cmp::Ordering::Equal => {
                self.next += 1;
                self.ended = last != 0;
                Ok(Opened {
                    bytes,
                    last: self.ended,
                })
            }
        }
    }
}

fn short(len: usize) -> OpenError {
    OpenError::Short {
        len,
        need: FRAME_HEAD + TAG,
    }
}

/// The keys that can open a stream, in the order of its header. Needs no key itself.
#[cfg(test)]
pub(crate) fn readers(header: &[u8]) -> Result<Vec<KeyId>, OpenError> {
    Ok(entries(header)?
        .map(|entry| {
            let mut id = [0; 32];
            id.copy_from_slice(&entry[..32]);
            KeyId(id)
        })
        .collect())
}

/// The entries of a header, each [`ENTRY`] bytes long.
fn entries(header: &[u8]) -> Result<std::slice::ChunksExact<'_, u8>, OpenError> {
    if header.len() < HEAD {
        let len = header.len();
        return Err(if header.starts_with(&MAGIC[..len.min(8)]) {
            OpenError::Short { len, need: HEAD }
        } else {
            OpenError::NotSealed
        });
    }
    if &header[..8] != MAGIC {
        return Err(OpenError::NotSealed);
    }
    if header[8] != VERSION {
        return Err(OpenError::Version(header[8]));
    }
    let count = usize::from(u16::from_be_bytes([header[9], header[10]]));
    let need = HEAD + count * ENTRY;
    if header.len() < need {
        return Err(OpenError::Short {
            len: header.len(),
            need,
        });
    }
    if header.len() > need {
        return Err(OpenError::NotSealed);
    }
    Ok(header[HEAD..].chunks_exact(ENTRY))
}

/// Wraps a data key: the encapsulated key (32 bytes) and the sealed data key (48 bytes).
fn wrap(recipient: &Recipient, context: &[u8], key: &[u8; 32]) -> ([u8; 32], Vec<u8>) {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(recipient.as_bytes())
        .expect("32 bytes are an X25519 key");
    let (enc, sealed) =
        hpke::single_shot_seal::<Aead, Kdf, Kem>(&OpModeS::Base, &public, context, key, &[])
            .expect("a recipient of low order was refused when it was read");
    (enc.to_bytes().into(), sealed)
}

/// Opens a wrapped data key.
fn unwrap(
    identity: &Identity,
    context: &[u8],
    enc: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&*identity.expose_bytes())
        .expect("32 bytes are an X25519 key");
    let enc =
        <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| OpenError::NotAuthentic)?;
    let plain = Zeroizing::new(
        hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &secret,
            &enc,
            context,
            sealed,
            &[],
        )
        .map_err(|_| OpenError::NotAuthentic)?,
    );
    let mut key = Zeroizing::new([0; 32]);
    if plain.len() != key.len() {
        return Err(OpenError::NotAuthentic);
    }
    key.copy_from_slice(&plain);
    Ok(key)
}

/// One frame sealed or opened at a time, for the benchmark.
#[doc(hidden)]
pub struct Exercise {
    sealer: Sealer,
    opener: Opener,
    plain: Vec<u8>,
    frame: Vec<u8>,
}

impl Exercise {
    /// Prepares frames of `frame_bytes` bytes of plaintext.
    #[must_use]
    pub fn new(frame_bytes: usize) -> Self {
        let (mut sealer, _) = Sealer::new("bench", 1, "logs", &[Identity::generate().recipient()]);
        let plain = vec![b'x'; frame_bytes];
        let frame = sealer.frame(&plain);
        let opener = sealer.opener();
        Self {
            sealer,
            opener,
            plain,
            frame,
        }
    }

    /// Seals one frame; returns its sealed length.
    pub fn seal(&mut self) -> usize {
        self.sealer.frame(&self.plain).len()
    }

    /// Opens one frame; returns its length in clear.
    pub fn open(&mut self) -> usize {
        self.opener.next = 1;
        self.opener
            .open(&self.frame)
            .map_or(0, |opened| opened.bytes.len())
    }
}

#[cfg(test)]
mod tests;
