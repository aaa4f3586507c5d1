//! The provider mirror: a directory in the layout that both engines read (`HOST/NAMESPACE/TYPE/…`).

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// One package in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// `HOST/NAMESPACE/TYPE`.
    pub(crate) provider: String,
    /// Where it lies, relative to the mirror.
    pub(crate) path: PathBuf,
    /// `zh:HEX`, the SHA-256 of the archive, as lock files have it.
    pub(crate) hash: String,
}

/// The packages (zip files) of a mirror, by path, each read once.
pub(crate) fn packages(mirror: &Path) -> std::io::Result<Vec<Package>> {
    let mut found = Vec::new();
    walk(mirror, &mut Vec::new(), &mut found)?;
    found.sort_by(|one: &Package, other| one.path.cmp(&other.path));
    Ok(found)
}

fn walk(
    directory: &Path,
    below: &mut Vec<String>,
    found: &mut Vec<Package>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && below.len() < 3 {
            below.push(name);
            walk(&entry.path(), below, found)?;
            below.pop();
        } else if kind.is_file() && below.len() == 3 && name.ends_with(".zip") {
            let provider = below.join("/");
            found.push(Package {
                path: Path::new(&provider).join(&name),
                provider,
                hash: format!("zh:{}", sha256(&entry.path())?),
            });
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    use std::fmt::Write;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_mirror_are_listed_with_their_hashes() {
        let mirror = tempfile::tempdir().expect("a directory");
        let below = mirror.path().join("example.com/acme/thing");
        std::fs::create_dir_all(&below).expect("makes");
        std::fs::write(below.join("thing_1.0.0_linux_amd64.zip"), "").expect("writes");
        std::fs::write(below.join("index.json"), "{}").expect("writes");
        let packages = packages(mirror.path()).expect("reads");
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].provider, "example.com/acme/thing");
        assert_eq!(
            packages[0].hash,
            "zh:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
