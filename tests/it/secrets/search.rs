//! Looks for a secret in bytes, in every form in which a program may have left it there.
//!
//! As it stands (which JSON escapes do not change: it is made of letters and digits), escaped letter by letter, as hex,
//! as base64 at each of its three offsets in both alphabets; and all of that inside gzip, zlib, zip and zstd, themselves
//! perhaps inside base64 or each other.

use std::io::Read as _;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD, URL_SAFE_NO_PAD,
};
use base64::{Engine as _, alphabet};
use regex::bytes::Regex;

/// How deep containers lie in each other.
const DEPTH: u32 = 4;
/// What is unpacked of one container.
const UNPACKED: usize = 64 * 1024 * 1024;

/// A secret that is looked for.
pub(super) struct Search {
    forms: Regex,
    containers: Regex,
    encoded: Regex,
}

impl Search {
    /// For a secret of letters and digits, long enough to stand nowhere by chance.
    pub(super) fn new(secret: &str) -> Self {
        assert!(secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let escaped: String = secret
            .bytes()
            .map(|byte| format!("\\u00{byte:02x}"))
            .collect();
        let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, escaped];
        for offset in 0..3 {
            let text = format!("{}{secret}", " ".repeat(offset));
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                // The first and last groups also depend on the neighbours.
                forms.push(encoded[4..encoded.len() - 4].to_owned());
            }
        }
        let forms: Vec<String> = forms.iter().map(|form| regex::escape(form)).collect();
        let compiled = |pattern: &str| Regex::new(pattern).expect("a pattern");
        Self {
            forms: compiled(&format!("(?-u){}", forms.join("|"))),
            containers: compiled(
                r"(?-u)\x1f\x8b\x08|PK\x03\x04|\x28\xb5\x2f\xfd|\x78[\x01\x5e\x9c\xda]",
            ),
            encoded: compiled(r"(?-u)[A-Za-z0-9+/_-]{40,}"),
        }
    }

    /// Whether these bytes hold the secret.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.looks(bytes, DEPTH)
    }

    fn looks(&self, bytes: &[u8], depth: u32) -> bool {
        if self.forms.is_match(bytes) {
            return true;
        }
        let Some(deeper) = depth.checked_sub(1) else {
            return false;
        };
        let unpacked = self.containers.find_iter(bytes).any(|found| {
            unpack(&bytes[found.start()..]).is_some_and(|inner| self.looks(&inner, deeper))
        });
        unpacked
            || self
                .encoded
                .find_iter(bytes)
                .any(|found| self.looks_into(found.as_bytes(), deeper))
    }

    /// Decodes base64 that may begin with letters which do not belong to it.
    fn looks_into(&self, text: &[u8], depth: u32) -> bool {
        let lenient = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let alphabets = [alphabet::STANDARD, alphabet::URL_SAFE];
        (0..4).any(|skip| {
            let text = &text[skip..];
            // One letter alone is no byte.
            let text = &text[..text.len() - usize::from(text.len() % 4 == 1)];
            alphabets
                .iter()
                .filter_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(text).ok())
                // Its own forms were looked for before it was decoded.
                .any(|inner| self.containers.is_match(&inner) && self.looks(&inner, depth))
        })
    }
}

/// What a container that begins here holds, as far as it can be read.
fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let inflated = |bytes: &[u8], with_head: bool| {
        let result = match with_head {
            true => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, UNPACKED),
            false => miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, UNPACKED),
        };
        Some(result.unwrap_or_else(|partial| partial.output))
    };
    let number = |at: usize| -> Option<usize> {
        Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]).into())
    };
    match bytes {
        [0x1f, 0x8b, 8, flags, ..] => {
            let mut at = 10;
            if flags & 4 != 0 {
                at += 2 + number(at)?;
            }
            for flag in [8, 16] {
                if flags & flag != 0 {
                    at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
                }
            }
            inflated(bytes.get(at + usize::from(flags & 2)..)?, false)
        }
        [b'P', b'K', 3, 4, ..] => {
            // One member; the next has a head of its own. What is stored without packing was seen already.
            let at = 30 + number(26)? + number(28)?;
            (number(8)? == 8).then(|| inflated(bytes.get(at..)?, false))?
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut inner = Vec::new();
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes).ok()?;
            // What could be read before an error counts.
            let _ = decoder.take(UNPACKED as u64).read_to_end(&mut inner);
            Some(inner)
        }
        _ => inflated(bytes, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        out.extend_from_slice(b"name\0");
        out.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
        out
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec_zlib(bytes, 6)
    }

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut out = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
        out.extend([0; 16]);
        out.extend([4, 0, 0, 0]);
        out.extend_from_slice(b"name");
        out.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
        out
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn hex(bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|byte| format!("{byte:02X}").into_bytes())
            .collect()
    }

    fn json(bytes: &[u8]) -> Vec<u8> {
        serde_json::to_vec(&String::from_utf8_lossy(bytes)).expect("JSON")
    }

    fn escaped(bytes: &[u8]) -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|byte| format!("\\u{byte:04x}").into_bytes())
            .collect()
    }

    fn base64(bytes: &[u8]) -> Vec<u8> {
        STANDARD_NO_PAD.encode(bytes).into_bytes()
    }

    fn base64_url(bytes: &[u8]) -> Vec<u8> {
        URL_SAFE_NO_PAD.encode(bytes).into_bytes()
    }

    type Form = (&'static str, fn(&[u8]) -> Vec<u8>);
    const ENCODINGS: &[Form] = &[
        ("raw", <[u8]>::to_vec),
        ("hex", hex),
        ("json", json),
        ("escaped", escaped),
        ("base64", base64),
        ("base64 for addresses", base64_url),
    ];
    const CONTAINERS: &[Form] = &[("gzip", gzip), ("zlib", zlib), ("zip", zip), ("zstd", zstd)];

    /// The secret between words, so that base64 meets it at every offset.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        (0..4).map(|before| {
            format!("{}\"{SECRET}\" <words> \u{fc}", "?>".repeat(before)).into_bytes()
        })
    }

    #[test]
    fn the_secret_is_found_in_every_form_and_container() {
        let search = Search::new(SECRET);
        for text in texts() {
            for (name, encode) in ENCODINGS {
                let planted = encode(&text);
                assert!(search.is_in(&planted), "{name}");
                for (outer, pack) in CONTAINERS {
                    let packed = [
                        b"some words before ".to_vec(),
                        pack(&planted),
                        b"after".to_vec(),
                    ]
                    .concat();
                    assert!(search.is_in(&packed), "{name} in {outer}");
                    assert!(
                        search.is_in(&base64(&packed)),
                        "{name} in {outer} in base64"
                    );
                    let letters = [b"abc".to_vec(), base64_url(&pack(&planted))].concat();
                    assert!(
                        search.is_in(&letters),
                        "{name} in {outer} in base64 behind letters"
                    );
                    for (outermost, pack_again) in CONTAINERS {
                        assert!(
                            search.is_in(&pack_again(&packed)),
                            "{name} in {outer} in {outermost}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_hold_it_is_not_found() {
        let search = Search::new(SECRET);
        let other = SECRET.replace("33", "34");
        for (_, encode) in ENCODINGS.iter().chain(CONTAINERS) {
            assert!(!search.is_in(&encode(other.as_bytes())));
        }
    }
}
