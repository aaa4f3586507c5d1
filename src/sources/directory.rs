//! Code in a directory on the user's machine.

use std::fs;
use std::path::Path;

use super::{Code, MAX_BYTES, SourceError};

/// What engines and version control leave in a directory and nobody wants to send.
const LEFT_BEHIND: &[&str] = &[
    ".git",
    ".terraform",
    "terraform.tfstate",
    "terraform.tfstate.backup",
];

/// Reads all files below `path`.
pub(crate) fn read_directory(path: &Path) -> Result<Code, SourceError> {
    let mut code = Code::default();
    let found = fs::symlink_metadata(path).map_err(|error| wrong(path, &error))?;
    if found.is_symlink() {
        return Err(SourceError::Link(path.display().to_string()));
    }
    if !found.is_dir() {
        return Err(SourceError::Read {
            path: path.display().to_string(),
            why: "it is not a directory".to_owned(),
        });
    }
    walk(path, "", &mut code)?;
    code.checked()
}

fn walk(directory: &Path, prefix: &str, code: &mut Code) -> Result<(), SourceError> {
    let entries = fs::read_dir(directory).map_err(|error| wrong(directory, &error))?;
    let mut entries = entries
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(SourceError::Path(path.display().to_string()));
        };
        if LEFT_BEHIND.contains(&name.as_str()) {
            continue;
        }
        let inside = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(|error| wrong(&path, &error))?;
        if kind.is_symlink() {
            return Err(SourceError::Link(path.display().to_string()));
        } else if kind.is_dir() {
            walk(&path, &format!("{inside}/"), code)?;
        } else if kind.is_file() {
            let length = entry
                .metadata()
                .map_err(|error| wrong(&path, &error))?
                .len();
            if length > MAX_BYTES as u64 {
                return Err(SourceError::TooBig);
            }
            code.add(
                &inside,
                fs::read(&path).map_err(|error| wrong(&path, &error))?,
            )?;
        } else {
            return Err(SourceError::Special(path.display().to_string()));
        }
    }
    Ok(())
}

fn wrong(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Read {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_without_what_engines_leave_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(directory.path().join(".terraform/x")).expect("makes");
        fs::create_dir_all(directory.path().join("sub")).expect("makes");
        for name in [
            "main.tf",
            "sub/script.sh",
            "terraform.tfstate",
            ".terraform/x/y",
        ] {
            fs::write(directory.path().join(name), "x").expect("writes");
        }
        let code = read_directory(directory.path()).expect("reads");
        assert_eq!(
            code.files().keys().collect::<Vec<_>>(),
            ["main.tf", "sub/script.sh"]
        );
    }

    #[test]
    fn a_link_a_missing_directory_and_a_file_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("main.tf"), "x").expect("writes");
        assert!(read_directory(&directory.path().join("nothing")).is_err());
        assert!(read_directory(&directory.path().join("main.tf")).is_err());
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).expect("links");
        assert!(matches!(
            read_directory(directory.path()),
            Err(SourceError::Link(_))
        ));
    }
}
