//! Signatures of checksums, as registries publish them: OpenPGP, version 4, detached, over bytes.
//!
//! Read is the little that such a signature needs: RSA and Ed25519 with SHA-2. Whether a key has expired or was revoked is
//! not looked at: the registry says over TLS which keys hold for a provider, and takes back those that do not.
//! The arithmetic is that of the library which also checks TLS.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::{digest, signature};

use crate::model::hex;

/// Packets.
const SIGNATURE: u8 = 2;
const KEY: u8 = 6;
const SUBKEY: u8 = 14;
/// Fields of a signature: who made it.
const ISSUER: u8 = 16;
const ISSUER_FINGERPRINT: u8 = 33;
/// Over bytes as they are.
const BINARY: u8 = 0;
/// The curve, as an object identifier.
const ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

/// A key that may have signed.
struct Key {
    /// The last eight bytes of its fingerprint.
    id: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519(Vec<u8>),
}

/// A signature, and what of it was signed as well.
struct Signed {
    issuers: Vec<Vec<u8>>,
    hash: u8,
    trailer: Vec<u8>,
    kind: SignedKind,
}

enum SignedKind {
    Rsa(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Checks that one of these keys signed `data`; returns the id of the key. The error says why not, in words.
pub(super) fn verify(data: &[u8], signature: &[u8], keys: &[&str]) -> Result<String, String> {
    let known: Vec<Key> = keys
        .iter()
        .filter_map(|armored| unarmored(armored.as_bytes()))
        .flat_map(|bytes| read_keys(&bytes))
        .collect();
    let bytes = unarmored(signature).ok_or("the signature cannot be read")?;
    let signatures: Vec<Signed> = packets(&bytes)
        .into_iter()
        .filter(|(tag, _)| *tag == SIGNATURE)
        .filter_map(|(_, body)| read_signature(body))
        .collect();
    if signatures.is_empty() {
        return Err("there is no signature of a kind that is read here".to_owned());
    }
    for signed in &signatures {
        let made = |key: &&Key| signed.issuers.is_empty() || signed.issuers.contains(&key.id);
        if let Some(key) = known
            .iter()
            .filter(made)
            .find(|key| holds(data, signed, key))
        {
            return Ok(hex(&key.id).to_ascii_uppercase());
        }
    }
    let is_known = |id: &Vec<u8>| known.iter().any(|key| key.id == *id);
    let mut named = signatures.iter().flat_map(|signed| &signed.issuers);
    Err(match named.clone().any(is_known) {
        false if let Some(id) = named.next() => format!(
            "they are signed by the key {}, which is none of the registry's",
            hex(id).to_ascii_uppercase()
        ),
        _ => "the signature is wrong".to_owned(),
    })
}

fn holds(data: &[u8], signed: &Signed, key: &Key) -> bool {
    let message = [data, &signed.trailer].concat();
    match (&key.kind, &signed.kind) {
        (Kind::Rsa { n, e }, SignedKind::Rsa(number)) => {
            let parameters = match signed.hash {
                8 => &signature::RSA_PKCS1_2048_8192_SHA256,
                9 => &signature::RSA_PKCS1_2048_8192_SHA384,
                10 => &signature::RSA_PKCS1_2048_8192_SHA512,
                _ => return false,
            };
            // Numbers are written without their leading zeros; the library wants them.
            let Some(missing) = n.len().checked_sub(number.len()) else {
                return false;
            };
            let padded = [vec![0; missing], number.clone()].concat();
            signature::RsaPublicKeyComponents { n, e }
                .verify(parameters, &message, &padded)
                .is_ok()
        }
        (Kind::Ed25519(public), SignedKind::Ed25519(bytes)) => {
            let algorithm = match signed.hash {
                8 => &digest::SHA256,
                9 => &digest::SHA384,
                10 => &digest::SHA512,
                _ => return false,
            };
            let digest = digest::digest(algorithm, &message);
            signature::UnparsedPublicKey::new(&signature::ED25519, public)
                .verify(digest.as_ref(), bytes)
                .is_ok()
        }
        (Kind::Rsa { .. }, SignedKind::Ed25519(_)) | (Kind::Ed25519(_), SignedKind::Rsa(_)) => {
            false
        }
    }
}

/// Bytes, or what an armour of text holds.
fn unarmored(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.trim_start().starts_with("-----BEGIN PGP"))
    else {
        return Some(bytes.to_vec());
    };
    let lines = text.lines().map(str::trim);
    let body: String = lines
        .skip_while(|line| !line.starts_with("-----BEGIN PGP"))
        // Headers end with an empty line.
        .skip_while(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("-----END PGP") && !line.starts_with('='))
        .collect();
    BASE64_STANDARD.decode(body).ok()
}

/// Packets with their tags, up to the first that is not read here.
fn packets(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((tag, body, after)) = packet(rest) {
        found.push((tag, body));
        rest = after;
    }
    found
}

fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, length, rest) = match first {
        0xc0.. => {
            let (length, rest) = length(rest)?;
            (first & 0x3f, length, rest)
        }
        0x80..0xc0 => {
            let width = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            (first >> 2 & 0xf, number(rest.get(..width)?), &rest[width..])
        }
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// A length of the new form, which fields of a signature have, too.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes.first()? {
        short @ 0..192 => Some((usize::from(short), &bytes[1..])),
        long @ 192..224 => {
            let low = usize::from(*bytes.get(1)?);
            Some((((usize::from(long) - 192) << 8) + low + 192, &bytes[2..]))
        }
        255 => Some((number(bytes.get(1..5)?), &bytes[5..])),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// A number with its length in bits before it.
fn integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = number(bytes.get(..2)?).div_ceil(8);
    let value = bytes.get(2..2 + length)?;
    Some((value, &bytes[2 + length..]))
}

fn read_keys(bytes: &[u8]) -> Vec<Key> {
    let keys = packets(bytes).into_iter();
    keys.filter(|(tag, _)| [KEY, SUBKEY].contains(tag))
        .filter_map(|(_, body)| read_key(body))
        .collect()
}

fn read_key(body: &[u8]) -> Option<Key> {
    if *body.first()? != 4 {
        return None;
    }
    let material = body.get(6..)?;
    let kind = match body[5] {
        1 | 3 => {
            let (n, rest) = integer(material)?;
            let (e, _) = integer(rest)?;
            let (n, e) = (n.to_vec(), e.to_vec());
            Kind::Rsa { n, e }
        }
        22 => {
            let (curve, rest) = material.get(1..)?.split_at_checked(material[0].into())?;
            let (point, _) = integer(rest)?;
            if curve != ED25519 {
                return None;
            }
            Kind::Ed25519(point.strip_prefix(&[0x40])?.to_vec())
        }
        27 => Kind::Ed25519(material.get(..32)?.to_vec()),
        _ => return None,
    };
    let length = u16::try_from(body.len()).ok()?.to_be_bytes();
    let named = [&[0x99], length.as_slice(), body].concat();
    // The fingerprint only names a key; nothing rests on this digest.
    let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &named);
    Some(Key {
        id: fingerprint.as_ref().get(12..)?.to_vec(),
        kind,
    })
}

fn read_signature(body: &[u8]) -> Option<Signed> {
    if body.get(..2)? != [4, BINARY] {
        return None;
    }
    let hashed_length = number(body.get(4..6)?);
    let hashed = body.get(6..6 + hashed_length)?;
    let rest = &body[6 + hashed_length..];
    let unhashed_length = number(rest.get(..2)?);
    let unhashed = rest.get(2..2 + unhashed_length)?;
    // Two bytes of the digest, to find out early; the signature says it all the same.
    let values = rest.get(2 + unhashed_length + 2..)?;
    let kind = match body[2] {
        1 | 3 => SignedKind::Rsa(integer(values)?.0.to_vec()),
        22 => {
            let (r, rest) = integer(values)?;
            let (s, _) = integer(rest)?;
            let pad = |value: &[u8]| -> Option<Vec<u8>> {
                Some([vec![0; 32_usize.checked_sub(value.len())?], value.to_vec()].concat())
            };
            SignedKind::Ed25519([pad(r)?, pad(s)?].concat())
        }
        27 => SignedKind::Ed25519(values.get(..64)?.to_vec()),
        _ => return None,
    };
    let mut trailer = body[..6 + hashed_length].to_vec();
    let length = u32::try_from(trailer.len()).ok()?.to_be_bytes();
    trailer.extend([4, 0xff]);
    trailer.extend(length);
    let issuers = [hashed, unhashed]
        .into_iter()
        .flat_map(issuers)
        .collect::<Vec<_>>();
    Some(Signed {
        issuers,
        hash: body[3],
        trailer,
        kind,
    })
}

/// Ids of the keys that fields name.
fn issuers(mut fields: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((length, rest)) = length(fields) {
        let Some(field) = rest.get(..length) else {
            break;
        };
        match field {
            [ISSUER, id @ ..] if id.len() == 8 => found.push(id.to_vec()),
            [ISSUER_FINGERPRINT, 4, fingerprint @ ..] if fingerprint.len() == 20 => {
                found.push(fingerprint[12..].to_vec());
            }
            _ => {}
        }
        fields = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by GnuPG.
    const SUMS: &[u8] = include_bytes!("../../../tests/signed/sums");
    const RSA: (&str, &[u8]) = (
        include_str!("../../../tests/signed/rsa.asc"),
        include_bytes!("../../../tests/signed/rsa.sig"),
    );
    const ED: (&str, &[u8]) = (
        include_str!("../../../tests/signed/ed25519.asc"),
        include_bytes!("../../../tests/signed/ed25519.sig"),
    );

    #[test]
    fn what_gnupg_signed_holds_and_the_key_is_named() {
        assert_eq!(
            verify(SUMS, RSA.1, &[ED.0, RSA.0]).expect("holds"),
            "A1A61E6B64AEE79F"
        );
        assert_eq!(
            verify(SUMS, ED.1, &[RSA.0, ED.0]).expect("holds"),
            "85786E44FEFF7FA1"
        );
    }

    #[test]
    fn another_key_another_text_and_nonsense_do_not_hold() {
        let why = verify(SUMS, RSA.1, &[ED.0]).expect_err("another key");
        assert!(why.contains("A1A61E6B64AEE79F"), "{why}");
        for (armor, signature) in [RSA, ED] {
            let why = verify(b"abd  x.zip\n", signature, &[armor]).expect_err("another text");
            assert_eq!(why, "the signature is wrong");
        }
        assert!(verify(SUMS, b"", &[RSA.0]).is_err());
        assert!(verify(SUMS, b"-----BEGIN PGP SIGNATURE-----\n\n!\n", &[RSA.0]).is_err());
        assert!(verify(SUMS, RSA.1, &["nonsense", ""]).is_err());
    }

    #[test]
    fn no_cut_and_no_changed_byte_of_a_signature_holds_or_panics() {
        let holds = |signature: &[u8]| verify(SUMS, signature, &[RSA.0]).is_ok();
        for cut in 0..RSA.1.len() {
            assert!(!holds(&RSA.1[..cut]), "cut at {cut}");
        }
        // From the version to the end of what was signed, and the number itself.
        for at in (3..8).chain(100..RSA.1.len()) {
            let mut changed = RSA.1.to_vec();
            changed[at] ^= 1;
            assert!(!holds(&changed), "byte {at}");
        }
        let key = unarmored(RSA.0.as_bytes()).expect("armoured");
        for cut in 0..key.len() {
            let _ = read_keys(&key[..cut]);
        }
    }
}
