//! A package as a zip archive: the one that it came in, or one made of its files, which are stored as they are.
//!
//! The same files make the same bytes: sorted, without times, and with the one mode that a file of a provider has.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Take};
use std::path::{Path, PathBuf};

use super::crc::Crc;
use super::hash;

/// What follows next.
enum Piece {
    Bytes(io::Cursor<Vec<u8>>),
    Unopened(PathBuf, u64),
    File(Take<File>),
}

/// Bytes of an archive, read from where they lie.
pub(crate) struct Archive {
    /// In bytes.
    pub(crate) length: u64,
    left: VecDeque<Piece>,
}

impl Archive {
    /// One that lies there.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            length,
            left: [Piece::File(file.take(length))].into(),
        })
    }

    /// One made of the files below `root`. Reads each once, for its checksum.
    pub(super) fn of_directory(root: &Path) -> io::Result<Self> {
        let mut pieces = VecDeque::new();
        let mut list = Vec::new();
        let mut at = 0_u64;
        let files = hash::list(root)?;
        for (name, path) in &files {
            let (crc, size) = checksum(path)?;
            let too_large = || io::Error::other("the package is larger than 4 GiB");
            let (size32, at32) = (
                u32::try_from(size).map_err(|_| too_large())?,
                u32::try_from(at).map_err(|_| too_large())?,
            );
            let common = common(crc, size32, name);
            let mut header = b"PK\x03\x04\x0a\0".to_vec();
            header.extend(&common);
            header.extend(name.as_bytes());
            list.extend(b"PK\x01\x02\x14\x03\x0a\0");
            list.extend(&common);
            list.extend([0; 6]);
            // A regular file that everybody may read and execute.
            list.extend((0o100_755_u32 << 16).to_le_bytes());
            list.extend(at32.to_le_bytes());
            list.extend(name.as_bytes());
            at += header.len() as u64 + size;
            pieces.push_back(Piece::Bytes(io::Cursor::new(header)));
            pieces.push_back(Piece::Unopened(path.clone(), size));
        }
        let count = u16::try_from(files.len())
            .map_err(|_| io::Error::other("the package has more than 65 535 files"))?;
        let list_length = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let start =
            u32::try_from(at).map_err(|_| io::Error::other("the package is larger than 4 GiB"))?;
        list.extend(b"PK\x05\x06\0\0\0\0");
        list.extend(count.to_le_bytes());
        list.extend(count.to_le_bytes());
        list.extend(list_length.to_le_bytes());
        list.extend(start.to_le_bytes());
        list.extend([0; 2]);
        let length = at + list.len() as u64;
        pieces.push_back(Piece::Bytes(io::Cursor::new(list)));
        Ok(Self {
            length,
            left: pieces,
        })
    }
}

/// What the header of an entry and its line in the list have in common: flags, method, time, checksum, sizes, lengths.
fn common(crc: u32, size: u32, name: &str) -> Vec<u8> {
    // Names are UTF-8; stored; 1980-01-01.
    let mut bytes = vec![0, 8, 0, 0, 0, 0, 0x21, 0];
    bytes.extend(crc.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn checksum(path: &Path) -> io::Result<(u32, u64)> {
    let mut file = File::open(path)?;
    let (mut crc, mut size) = (Crc::new(), 0);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((crc.finish(), size)),
            count => {
                crc.update(&chunk[..count]);
                size += count as u64;
            }
        }
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.left.front_mut() {
            let count = match first {
                Piece::Bytes(bytes) => bytes.read(buffer)?,
                Piece::File(file) => file.read(buffer)?,
                Piece::Unopened(path, size) => {
                    let file = File::open(&*path)?;
                    if file.metadata()?.len() != *size {
                        return Err(io::Error::other("the package was written to meanwhile"));
                    }
                    *first = Piece::File(file.take(*size));
                    continue;
                }
            };
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.left.pop_front();
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mirror::zip::unpack;
    use std::fs;

    #[test]
    fn an_archive_of_a_directory_is_the_same_each_time_and_unpacks_to_it() {
        let from = tempfile::tempdir().expect("a directory");
        fs::create_dir(from.path().join("docs")).expect("made");
        fs::write(from.path().join("docs/a"), vec![7; 300_000]).expect("written");
        fs::write(from.path().join("terraform-provider-x"), "program").expect("written");
        let read = || {
            let mut archive = Archive::of_directory(from.path()).expect("made");
            let mut bytes = Vec::new();
            archive.read_to_end(&mut bytes).expect("read");
            assert_eq!(bytes.len() as u64, archive.length);
            bytes
        };
        let bytes = read();
        assert_eq!(bytes, read());
        let file = from.path().join("x.zip");
        fs::write(&file, bytes).expect("written");
        let into = tempfile::tempdir().expect("a directory");
        let found = unpack(&file, into.path()).expect("unpacked");
        assert_eq!(found.len(), 2);
        fs::remove_file(file).expect("removed");
        assert_eq!(
            hash::of_directory(from.path()).expect("hashed"),
            hash::of_directory(into.path()).expect("hashed")
        );
    }
}
