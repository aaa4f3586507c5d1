//! Hashes of packages: `zh:` of the archive, `h1:` of what is in it, as lock files have them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::hcl::package_hash;
use crate::model::hex;

/// `h1:…` of unpacked files.
pub(super) fn of_directory(root: &Path) -> io::Result<String> {
    let digests = list(root)?
        .into_iter()
        .map(|(name, path)| Ok((name, of_reader(File::open(path)?)?)))
        .collect::<io::Result<Vec<(String, String)>>>()?;
    Ok(package_hash(
        digests
            .iter()
            .map(|(name, digest)| (name.as_str(), digest.as_str())),
    ))
}

/// SHA-256 in hexadecimal.
pub(super) fn of_reader(mut from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&chunk[..count]),
        }
    }
}

/// Regular files below `root` with their names there, sorted. Anything else is refused.
pub(super) fn list(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut left = vec![(String::new(), root.to_owned())];
    while let Some((prefix, directory)) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let odd = || {
                io::Error::other(format!(
                    "`{}` is no plain file with a plain name",
                    entry.path().display()
                ))
            };
            let name = entry.file_name().into_string().map_err(|_| odd())?;
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push((format!("{name}/"), entry.path()));
            } else if kind.is_file() && !name.contains('\n') {
                files.push((name, entry.path()));
            } else {
                return Err(odd());
            }
        }
    }
    files.sort();
    Ok(files)
}
