//! Module code and where it comes from: a directory of the user, an uploaded archive, a git repository.
//!
//! Whatever the way, code ends as [`Code`]: sorted paths and contents within [`Limits`](MAX_BYTES), named by one digest.
//! Keeps nothing itself (the store does) and never reads `/path` sources: they lie in the runner's image.
//!
//! Why not hash the archive: the same files must have the same digest whoever packs them, on any machine, at any
//! time; so the digest is over the canonical form of [`Code::pack`], which is also what is stored.

mod archive;
mod directory;
pub(crate) mod git;
pub(crate) mod kit;
pub(crate) mod mirror;
mod reference;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::hex;

pub(crate) use self::directory::read_directory;
pub(crate) use self::reference::{GitSource, Source};

/// Bytes of all files together.
pub(crate) const MAX_BYTES: usize = 5 << 20;
/// Files.
pub(crate) const MAX_FILES: usize = 1_000;
/// Bytes of a path.
const MAX_PATH: usize = 255;
/// First line of the canonical form.
const FIRST_LINE: &[u8] = b"windlass-code 1\n";

/// Why code was not taken. In words for the person who gave it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// A link.
    #[error(
        "`{0}` is a link; module code must consist of plain files. Replace it by a copy of what it points to"
    )]
    Link(String),
    /// Neither file nor directory.
    #[error("`{0}` is neither a file nor a directory")]
    Special(String),
    /// A path that leaves the directory, or cannot be a path.
    #[error(
        "`{0}` is not a path inside the module: no `..`, no absolute path, no control characters, 255 bytes at most"
    )]
    Path(String),
    /// The same path twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// Too big.
    #[error("the module has more than 5 MiB of files; keep only its code in the directory")]
    TooBig,
    /// Too many.
    #[error("the module has more than 1000 files; keep only its code in the directory")]
    TooMany,
    /// Nothing the engine would read.
    #[error("there is no `.tf` or `.tofu` file at the top of the module")]
    NoCode,
    /// The archive ends early or is none.
    #[error("the archive is damaged")]
    Archive(#[source] std::io::Error),
    /// Stored code that is not in its canonical form.
    #[error("the stored code is damaged")]
    Packed,
    /// The directory cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Read {
        /// Which.
        path: String,
        /// The system's words.
        why: String,
    },
    /// `git` is not there or said no.
    #[error("`{url}` could not be fetched: {why}")]
    Git {
        /// Without credentials.
        url: String,
        /// In words, without credentials.
        why: String,
    },
}

/// The code of one module: relative path to content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Code {
    files: BTreeMap<String, Vec<u8>>,
    size: usize,
}

impl Code {
    /// The files, by path.
    pub(crate) fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// The files themselves.
    pub(crate) fn into_files(self) -> BTreeMap<String, Vec<u8>> {
        self.files
    }

    /// Adds a file; refuses a bad path, a second one of the same path, and what exceeds the limits.
    fn add(&mut self, path: &str, content: Vec<u8>) -> Result<(), SourceError> {
        if !is_inside(path) {
            return Err(SourceError::Path(path.to_owned()));
        }
        self.size += content.len();
        if self.size > MAX_BYTES {
            return Err(SourceError::TooBig);
        }
        if self.files.len() >= MAX_FILES {
            return Err(SourceError::TooMany);
        }
        if self.files.insert(path.to_owned(), content).is_some() {
            return Err(SourceError::Twice(path.to_owned()));
        }
        Ok(())
    }

    /// Refuses code that the engine would find empty.
    fn checked(self) -> Result<Self, SourceError> {
        let is_code = |path: &String| {
            !path.contains('/')
                && [".tf", ".tofu", ".tf.json", ".tofu.json"]
                    .iter()
                    .any(|ending| path.ends_with(ending))
        };
        if self.files.keys().any(is_code) {
            Ok(self)
        } else {
            Err(SourceError::NoCode)
        }
    }

    /// The canonical form: a version line, then per file, sorted by path bytes, length-prefixed path and content.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut packed = FIRST_LINE.to_vec();
        for (path, content) in &self.files {
            for part in [path.as_bytes(), content] {
                packed.extend_from_slice(&(part.len() as u64).to_be_bytes());
                packed.extend_from_slice(part);
            }
        }
        packed
    }

    /// Reads [`Code::pack`].
    pub(crate) fn unpack(packed: &[u8]) -> Result<Self, SourceError> {
        fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
            let (length, after) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
            let (part, after) = after.split_at_checked(length)?;
            *rest = after;
            Some(part)
        }
        let mut rest = packed.strip_prefix(FIRST_LINE).ok_or(SourceError::Packed)?;
        let mut code = Self::default();
        while !rest.is_empty() {
            let path = part(&mut rest).ok_or(SourceError::Packed)?;
            let content = part(&mut rest).ok_or(SourceError::Packed)?;
            let path = std::str::from_utf8(path).map_err(|_| SourceError::Packed)?;
            code.add(path, content.to_vec())?;
        }
        Ok(code)
    }

    /// `sha256:HEX` of the canonical form.
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", hex(&Sha256::digest(self.pack())))
    }
}

/// Whether a path stays inside and can be written anywhere.
fn is_inside(path: &str) -> bool {
    #[cfg(feature = "fuzz")]
    if path.ends_with("..") && crate::model::planted::is_planted("tar") {
        return true;
    }
    path.len() <= MAX_PATH
        && !path.chars().any(|c| c.is_control() || c == '\\')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(files: &[(&str, &str)]) -> Code {
        let mut code = Code::default();
        for (path, content) in files {
            code.add(path, content.as_bytes().to_vec()).expect("fits");
        }
        code
    }

    #[test]
    fn code_has_one_digest_whatever_the_order_and_reads_back() {
        let one = code(&[("main.tf", "a"), ("sub/x.sh", "b")]);
        let other = code(&[("sub/x.sh", "b"), ("main.tf", "a")]);
        assert_eq!(one.digest(), other.digest());
        assert_eq!(Code::unpack(&one.pack()).expect("packed"), one);
        assert_ne!(
            one.digest(),
            code(&[("main.tf", "ab"), ("sub/x.sh", "")]).digest()
        );
    }

    #[test]
    fn paths_that_leave_the_module_are_refused() {
        for path in ["../x", "/x", "a/../b", "a//b", "./a", "", "a\\b", "a\nb"] {
            let mut code = Code::default();
            assert!(
                matches!(code.add(path, Vec::new()), Err(SourceError::Path(_))),
                "{path:?}"
            );
        }
    }

    #[test]
    fn damaged_stored_code_is_refused() {
        let packed = code(&[("main.tf", "abc")]).pack();
        for cut in 0..packed.len() {
            if cut != FIRST_LINE.len() {
                assert!(Code::unpack(&packed[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_limits_hold() {
        let mut code = Code::default();
        assert!(matches!(
            code.add("main.tf", vec![0; MAX_BYTES + 1]),
            Err(SourceError::TooBig)
        ));
        let mut code = Code::default();
        for at in 0..MAX_FILES {
            code.add(&format!("f{at}"), Vec::new()).expect("fits");
        }
        assert!(matches!(
            code.add("one-more", Vec::new()),
            Err(SourceError::TooMany)
        ));
    }
}
