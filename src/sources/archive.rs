//! Code as a tar archive: how it travels from client to server and out of git.

use std::io::Read;

use tar::EntryType;

use super::{Code, MAX_BYTES, SourceError};

impl Code {
    /// Packs an archive with fixed times, owners and modes.
    pub(crate) fn to_tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in self.files() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(EntryType::Regular);
            // Writing into memory cannot fail, and the path was checked when it came in.
            let _ = builder.append_data(&mut header, path, content.as_slice());
        }
        builder.into_inner().unwrap_or_default()
    }

    /// Reads an archive, trusting nothing in it.
    pub(crate) fn from_tar(bytes: &[u8]) -> Result<Self, SourceError> {
        let mut code = Self::default();
        let mut archive = tar::Archive::new(bytes);
        for entry in archive.entries().map_err(SourceError::Archive)? {
            let mut entry = entry.map_err(SourceError::Archive)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {}
                EntryType::Directory | EntryType::XGlobalHeader | EntryType::XHeader => continue,
                EntryType::Symlink | EntryType::Link => return Err(SourceError::Link(path)),
                _ => return Err(SourceError::Special(path)),
            }
            if path.contains('\u{fffd}') {
                return Err(SourceError::Path(path));
            }
            let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            let mut content = Vec::new();
            (&mut entry)
                .take(MAX_BYTES as u64 + 1)
                .read_to_end(&mut content)
                .map_err(SourceError::Archive)?;
            code.add(&path, content)?;
        }
        code.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_back_and_is_the_same_every_time() {
        let mut code = Code::default();
        code.add("main.tf", b"x".to_vec()).expect("fits");
        code.add("a/b.sh", b"y".to_vec()).expect("fits");
        let tar = code.to_tar();
        assert_eq!(tar, code.to_tar());
        assert_eq!(Code::from_tar(&tar).expect("reads"), code);
    }

    fn one(entry_type: EntryType, name: &str, link: Option<&str>) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_entry_type(entry_type);
        // Raw, because the crate itself refuses to write `..`.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.set_link_name(link).expect("a link name");
        }
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("memory");
        builder.into_inner().expect("memory")
    }

    #[test]
    fn links_and_paths_that_leave_are_refused() {
        let link = one(EntryType::Symlink, "main.tf", Some("/etc/passwd"));
        assert!(matches!(Code::from_tar(&link), Err(SourceError::Link(_))));
        let hard = one(EntryType::Link, "main.tf", Some("other"));
        assert!(matches!(Code::from_tar(&hard), Err(SourceError::Link(_))));
        let up = one(EntryType::Regular, "../main.tf", None);
        assert!(matches!(Code::from_tar(&up), Err(SourceError::Path(_))));
        let device = one(EntryType::Char, "main.tf", None);
        assert!(matches!(
            Code::from_tar(&device),
            Err(SourceError::Special(_))
        ));
    }

    #[test]
    fn an_archive_that_is_none_or_has_no_code_is_refused() {
        assert!(
            Code::from_tar(b"this is no archive, although it is long enough to be looked at")
                .is_err()
        );
        let mut code = Code::default();
        code.add("README.md", b"x".to_vec()).expect("fits");
        assert!(matches!(
            Code::from_tar(&code.to_tar()),
            Err(SourceError::NoCode)
        ));
    }
}
