//! AES-256-GCM as other programs use it: a nonce, then the ciphertext with its tag, bound to nothing.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};

/// Length of nonce and tag.
const NONCE: usize = 12;
const TAG: usize = 16;

/// Opens it; `None` where it is cut off, altered, or under another key.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let (body, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = body.to_vec();
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), &[], plain.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(plain)
}
