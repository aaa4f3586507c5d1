//! Writes a kit: everything is read twice, once for its digest and once into the file.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::{Entry, FIRST_LINE, Head, KitError, MOST_ENTRY, SecretKey, What};
use crate::model::hex;

/// Opens the bytes of an entry anew.
type Open<'a> = Box<dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a>;

/// What goes into a kit.
pub(crate) struct Part<'a> {
    pub(crate) what: What,
    pub(crate) open: Open<'a>,
}

/// Writes parts, sorted, and signs them. Returns what was written.
pub(crate) fn write(
    mut parts: Vec<Part<'_>>,
    key: &SecretKey,
    out: &mut impl Write,
) -> Result<Vec<Entry>, KitError> {
    parts.sort_by(|a, b| a.what.cmp(&b.what));
    let mut entries = Vec::with_capacity(parts.len());
    for part in &parts {
        let (length, sha256) = measure(part)?;
        if length > MOST_ENTRY {
            return Err(KitError::TooBig(part.what.to_string()));
        }
        entries.push(Entry {
            what: part.what.clone(),
            length,
            sha256,
        });
    }
    let head = Head {
        key: key.public(),
        entries,
    };
    let text = serde_json::to_vec(&head).map_err(|error| KitError::Head(error.to_string()))?;
    let mut signed = format!("{FIRST_LINE}{}\n", text.len()).into_bytes();
    signed.extend(text);
    let cannot = |source| KitError::file("it cannot be written", source);
    out.write_all(&signed).map_err(cannot)?;
    out.write_all(&key.sign(&signed)).map_err(cannot)?;
    for (part, entry) in parts.iter().zip(&head.entries) {
        let mut from = opened(part)?;
        let mut hash = Sha256::new();
        let mut left = entry.length;
        let mut chunk = vec![0; 256 * 1024];
        loop {
            let count = from.read(&mut chunk).map_err(|error| unread(part, error))?;
            hash.update(&chunk[..count]);
            match left.checked_sub(count as u64) {
                Some(rest) if count > 0 => left = rest,
                Some(0) => break,
                _ => return Err(KitError::Altered(part.what.to_string())),
            }
            out.write_all(&chunk[..count]).map_err(cannot)?;
        }
        if hex(&hash.finalize()) != entry.sha256 {
            return Err(KitError::Altered(part.what.to_string()));
        }
    }
    Ok(head.entries)
}

fn opened<'a>(part: &'a Part<'_>) -> Result<Box<dyn Read + 'a>, KitError> {
    (part.open)().map_err(|error| unread(part, error))
}

fn unread(part: &Part<'_>, source: io::Error) -> KitError {
    KitError::File {
        what: format!("{} cannot be read", part.what),
        source,
    }
}

fn measure(part: &Part<'_>) -> Result<(u64, String), KitError> {
    let mut from = opened(part)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match from.read(&mut chunk).map_err(|error| unread(part, error))? {
            0 => return Ok((length, hex(&hash.finalize()))),
            count => {
                hash.update(&chunk[..count]);
                length += count as u64;
            }
        }
    }
}
