//! The state inside a saved plan.
//!
//! A plan file of either engine is a zip archive whose member `tfstate` is the state that the plan starts from: what
//! was there, refreshed, and what `import` blocks brought. Only that member is read.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The member.
const MEMBER: &[u8] = b"tfstate";
/// A state is no longer than this.
const MAX_STATE: usize = 512 * 1024 * 1024;

/// The state in a plan file; `None` when it is not one as we know them.
pub(crate) fn state(plan: &[u8]) -> Option<Vec<u8>> {
    // The end record is 22 bytes, and a comment of unknown length may follow it.
    let end = (0..=plan.len().checked_sub(22)?)
        .rev()
        .take(22 + 65_536)
        .find(|at| plan[*at..].starts_with(b"PK\x05\x06"))?;
    let count = number(plan, end + 10, 2)?;
    let mut at = number(plan, end + 16, 4)?;
    for _ in 0..count {
        if !plan.get(at..)?.starts_with(b"PK\x01\x02") {
            return None;
        }
        let method = number(plan, at + 10, 2)?;
        let packed = number(plan, at + 20, 4)?;
        let names = number(plan, at + 28, 2)?;
        let name = plan.get(at + 46..at + 46 + names)?;
        if name == MEMBER {
            let local = number(plan, at + 42, 4)?;
            let from = local + 30 + number(plan, local + 26, 2)? + number(plan, local + 28, 2)?;
            let bytes = plan.get(from..from.checked_add(packed)?)?;
            return match method {
                0 => Some(bytes.to_vec()),
                8 => decompress_to_vec_with_limit(bytes, MAX_STATE).ok(),
                _ => None,
            };
        }
        at += 46 + names + number(plan, at + 30, 2)? + number(plan, at + 32, 2)?;
    }
    None
}

/// A little-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    /// An archive as the engines write it: sizes only in the central directory.
    fn archive(members: &[(&str, u16, Vec<u8>)]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, method, bytes) in members {
            let at = out.len() as u32;
            out.extend(b"PK\x03\x04\x14\0\x08\0");
            out.extend(method.to_le_bytes());
            out.extend([0; 16]);
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0; 2]);
            out.extend(name.as_bytes());
            out.extend(bytes);
            directory.extend(b"PK\x01\x02\x14\0\x14\0\x08\0");
            directory.extend(method.to_le_bytes());
            directory.extend([0; 8]);
            directory.extend((bytes.len() as u32).to_le_bytes());
            directory.extend([0; 4]);
            directory.extend((name.len() as u16).to_le_bytes());
            directory.extend([0; 12]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (at, size) = (out.len() as u32, directory.len() as u32);
        out.extend(directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            out.extend((members.len() as u16).to_le_bytes());
        }
        out.extend(size.to_le_bytes());
        out.extend(at.to_le_bytes());
        out.extend([0; 2]);
        out
    }

    #[test]
    fn the_state_is_found_packed_or_not_and_nothing_else_is() {
        let text = br#"{"version":4,"version":4,"version":4}"#.to_vec();
        for (method, bytes) in [(8, compress_to_vec(&text, 6)), (0, text.clone())] {
            let plan = archive(&[
                ("tfplan", 0, b"x".to_vec()),
                ("tfstate-prev", 0, b"old".to_vec()),
                ("tfstate", method, bytes),
            ]);
            assert_eq!(state(&plan).as_ref(), Some(&text));
            for cut in 0..plan.len() {
                // Whatever is missing: no panic.
                let _ = state(&plan[..cut]);
                let _ = state(&plan[cut..]);
            }
        }
        assert_eq!(state(&archive(&[("tfplan", 0, b"x".to_vec())])), None);
        assert_eq!(state(b""), None);
    }
}
