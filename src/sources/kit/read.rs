//! Reads a kit, trusting nothing in it before the signature of a known key holds.

use std::io::{Read, Write};

use sha2::{Digest as _, Sha256};

use super::{
    Entry, FIRST_LINE, Head, KitError, MOST_ENTRIES, MOST_ENTRY, MOST_HEAD, PublicKey,
    SIGNATURE_BYTES, What,
};
use crate::model::hex;
use crate::sources::mirror::{Provider, Wanted};

/// A kit whose list of entries is signed by a known key; the entries themselves are still to be read, in their order.
pub(crate) struct Reader<R> {
    from: R,
    key: PublicKey,
    entries: Vec<Entry>,
    next: usize,
}

impl<R: Read> Reader<R> {
    /// Reads the head. `trusts` says whether a key is known.
    pub(crate) fn open(
        mut from: R,
        trusts: impl FnOnce(&PublicKey) -> bool,
    ) -> Result<Self, KitError> {
        let cannot = |source| KitError::file("it cannot be read", source);
        let mut first = [0; FIRST_LINE.len()];
        from.read_exact(&mut first).map_err(|_| KitError::NotOne)?;
        if first != FIRST_LINE.as_bytes() {
            return Err(KitError::NotOne);
        }
        let mut digits = String::new();
        loop {
            let mut byte = [0];
            from.read_exact(&mut byte).map_err(cannot)?;
            match byte[0] {
                b'\n' => break,
                digit @ b'0'..=b'9' if digits.len() < 9 => digits.push(digit.into()),
                _ => return Err(KitError::Head("its length is no number".to_owned())),
            }
        }
        let length: usize = digits
            .parse()
            .ok()
            .filter(|length| *length <= MOST_HEAD && !digits.starts_with('0'))
            .ok_or_else(|| KitError::Head("its length is no number, or too large".to_owned()))?;
        let mut text = vec![0; length];
        from.read_exact(&mut text).map_err(cannot)?;
        let mut signature = [0; SIGNATURE_BYTES];
        from.read_exact(&mut signature).map_err(cannot)?;
        let head: Head =
            serde_json::from_slice(&text).map_err(|error| KitError::Head(error.to_string()))?;
        let mut signed = format!("{FIRST_LINE}{digits}\n").into_bytes();
        signed.extend(&text);
        if !head.key.holds(&signed, &signature) {
            return Err(KitError::Signature);
        }
        if !trusts(&head.key) {
            return Err(KitError::UnknownKey(head.key));
        }
        check(&head.entries)?;
        Ok(Self {
            from,
            key: head.key,
            entries: head.entries,
            next: 0,
        })
    }

    /// Who signed.
    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Everything that is in it.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Copies the next entry; `None` after the last, once nothing follows it.
    pub(crate) fn next(
        &mut self,
        out: impl FnOnce(&Entry) -> std::io::Result<Box<dyn Write>>,
    ) -> Result<Option<Entry>, KitError> {
        let cannot = |source| KitError::file("it cannot be read", source);
        let Some(entry) = self.entries.get(self.next).cloned() else {
            let mut byte = [0];
            return match self.from.read(&mut byte).map_err(cannot)? {
                0 => Ok(None),
                _ => Err(KitError::More),
            };
        };
        self.next += 1;
        let kept = |source| KitError::File {
            what: format!("{} cannot be kept", entry.what),
            source,
        };
        let mut out = out(&entry).map_err(kept)?;
        let mut hash = Sha256::new();
        let mut left = entry.length;
        let mut chunk = vec![0; 256 * 1024];
        while left > 0 {
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            self.from.read_exact(&mut chunk[..take]).map_err(cannot)?;
            hash.update(&chunk[..take]);
            out.write_all(&chunk[..take]).map_err(kept)?;
            left -= take as u64;
        }
        out.flush().map_err(kept)?;
        if hex(&hash.finalize()) != entry.sha256 {
            return Err(KitError::Altered(entry.what.to_string()));
        }
        Ok(Some(entry))
    }
}

/// What was signed may still be nonsense: names become paths.
fn check(entries: &[Entry]) -> Result<(), KitError> {
    let wrong = |why: String| Err(KitError::Head(why));
    if entries.len() > MOST_ENTRIES {
        return wrong(format!("there are more than {MOST_ENTRIES}"));
    }
    for (before, entry) in entries.iter().zip(entries.iter().skip(1)) {
        if before.what >= entry.what {
            return wrong("they are not sorted, or one is there twice".to_owned());
        }
    }
    for entry in entries {
        if entry.length > MOST_ENTRY {
            return Err(KitError::TooBig(entry.what.to_string()));
        }
        let is_good = match &entry.what {
            What::Code { digest, .. } => {
                digest.strip_prefix("sha256:").is_some_and(is_digest) && entry.length <= 16 << 20
            }
            What::Engine { engine, platform } => {
                ["opentofu", "terraform"].contains(&engine.as_str())
                    && platform
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '_')
            }
            What::Provider {
                provider,
                version,
                platform,
                ..
            } => Provider::parse(provider, "")
                .and_then(|provider| Wanted::new(provider, version, platform))
                .is_ok_and(|wanted| wanted.provider.to_string() == *provider),
        };
        if !is_good || !is_digest(&entry.sha256) {
            return wrong(format!("`{}` is no entry of a kit", entry.what));
        }
    }
    Ok(())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
