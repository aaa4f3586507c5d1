//! Zip archives of providers, read without trusting them.
//!
//! Only what providers are made of is read: plain files and directories, stored or deflated, no encryption, no zip64, no
//! links, nothing twice. Everything else is refused with the name of the entry. Nothing is written outside the directory
//! that is handed in, and never more than [`MOST`] bytes or [`RATIO`] times what the archive holds.
//!
//! Why our own: the few forms that providers need are less code than the options of a library that would have to be
//! switched off, and an archive that two readers could understand differently is refused here.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use sha2::{Digest as _, Sha256};

use super::crc::Crc;
use crate::model::hex;
use crate::sources::is_inside;

/// Bytes of everything in one archive.
const MOST: u64 = 8 << 30;
/// Entries.
const MOST_ENTRIES: usize = 10_000;
/// So much larger than the archive may its content be, beyond [`SMALL`].
const RATIO: u64 = 200;
const SMALL: u64 = 64 << 20;
/// Of the list of entries.
const MOST_LIST: u64 = 16 << 20;
const CHUNK: usize = 256 * 1024;

/// Why an archive was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipError {
    /// Something about its form.
    #[error("it is no zip archive of a provider: {0}")]
    Form(&'static str),
    /// A path that leaves the directory.
    #[error("the entry `{0}` does not stay inside the package")]
    Path(String),
    /// A link or a device.
    #[error("the entry `{0}` is neither a file nor a directory")]
    Special(String),
    /// The same path twice, or a file below a file.
    #[error("the entry `{0}` is there twice")]
    Twice(String),
    /// Encrypted or packed by another method.
    #[error("the entry `{0}` is packed in a way that is not read here")]
    Method(String),
    /// Not what the list says.
    #[error("the entry `{0}` is damaged")]
    Damaged(String),
    /// A bomb.
    #[error("it holds more than a provider may: 8 GiB, 10 000 files, 200 times its own size")]
    TooBig,
    /// The disk.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The archive cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

#[derive(Debug)]
struct Entry {
    name: String,
    is_directory: bool,
    is_program: bool,
    is_deflated: bool,
    crc: u32,
    packed: u64,
    size: u64,
    /// Of its own header.
    at: u64,
}

/// A file that was unpacked: its path, and its digest in hexadecimal.
pub(super) type Unpacked = (String, String);

/// Unpacks an archive into a directory that is empty, durably. Returns its files.
pub(super) fn unpack(archive: &Path, into: &Path) -> Result<Vec<Unpacked>, ZipError> {
    let file = File::open(archive).map_err(ZipError::Read)?;
    let length = file.metadata().map_err(ZipError::Read)?.len();
    let entries = entries(&file, length)?;
    let total: u64 = entries.iter().map(|entry| entry.size).sum();
    if total > MOST || total > SMALL + length.saturating_mul(RATIO) {
        return Err(ZipError::TooBig);
    }
    let mut found = Vec::new();
    let mut directories = BTreeSet::from([String::new()]);
    for entry in &entries {
        let parents = entry
            .name
            .match_indices('/')
            .map(|(at, _)| &entry.name[..at]);
        let own = entry.is_directory.then_some(entry.name.as_str());
        for directory in parents.chain(own) {
            if directories.insert(directory.to_owned()) {
                let path = into.join(directory);
                fs::DirBuilder::new()
                    .mode(0o755)
                    .create(&path)
                    .map_err(|source| cannot_write(&path, entry, source))?;
            }
        }
        if !entry.is_directory {
            found.push((entry.name.clone(), extract(&file, entry, into)?));
        }
    }
    for directory in directories.iter().rev() {
        let path = into.join(directory);
        sync(&path).map_err(|source| ZipError::Write {
            path: path.display().to_string(),
            source,
        })?;
    }
    if found.is_empty() {
        return Err(ZipError::Form("there is no file in it"));
    }
    Ok(found)
}

/// What is in a directory is there after the machine died.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn cannot_write(path: &Path, entry: &Entry, source: io::Error) -> ZipError {
    match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            ZipError::Twice(entry.name.clone())
        }
        _ => ZipError::Write {
            path: path.display().to_string(),
            source,
        },
    }
}

fn extract(file: &File, entry: &Entry, into: &Path) -> Result<String, ZipError> {
    let damaged = || ZipError::Damaged(entry.name.clone());
    let path = into.join(&entry.name);
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(if entry.is_program { 0o755 } else { 0o644 })
        .open(&path)
        .map_err(|source| cannot_write(&path, entry, source))?;
    // The mask of this process is another one on a server; a run reads the package as another user.
    let mode = if entry.is_program { 0o755 } else { 0o644 };
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    out.set_permissions(permissions)
        .map_err(|source| cannot_write(&path, entry, source))?;
    let mut from = data_at(file, entry)?;
    let (mut crc, mut hash, mut size) = (Crc::new(), Sha256::new(), 0_u64);
    let mut write = |bytes: &[u8]| -> Result<(), ZipError> {
        size += bytes.len() as u64;
        if size > entry.size {
            return Err(damaged());
        }
        crc.update(bytes);
        hash.update(bytes);
        out.write_all(bytes)
            .map_err(|source| cannot_write(&path, entry, source))
    };
    let mut left = entry.packed;
    let (mut input, mut output) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut is_over = !entry.is_deflated;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact_at(&mut input[..take], from)
            .map_err(ZipError::Read)?;
        from += take as u64;
        left -= take as u64;
        if !entry.is_deflated {
            write(&input[..take])?;
            continue;
        }
        let mut rest = &input[..take];
        loop {
            if is_over {
                return Err(damaged()); // More after the end of the stream.
            }
            let done = inflate(&mut state, rest, &mut output, MZFlush::None);
            write(&output[..done.bytes_written])?;
            rest = &rest[done.bytes_consumed..];
            match done.status {
                Ok(MZStatus::StreamEnd) => is_over = true,
                Ok(_) if done.bytes_written == output.len() || !rest.is_empty() => {
                    if done.bytes_written == 0 && done.bytes_consumed == 0 {
                        return Err(damaged());
                    }
                    continue;
                }
                // All of this input is used up.
                Ok(_) | Err(miniz_oxide::MZError::Buf) if rest.is_empty() => {}
                Ok(_) | Err(_) => return Err(damaged()),
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    if !is_over || size != entry.size || crc.finish() != entry.crc {
        return Err(damaged());
    }
    out.sync_all()
        .map_err(|source| cannot_write(&path, entry, source))?;
    Ok(hex(&hash.finalize()))
}

/// Where the bytes of an entry begin; its own header must say the same as the list.
fn data_at(file: &File, entry: &Entry) -> Result<u64, ZipError> {
    let mut header = [0; 30];
    file.read_exact_at(&mut header, entry.at)
        .map_err(ZipError::Read)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(ZipError::Damaged(entry.name.clone()));
    }
    let name = usize::from(u16_at(&header, 26));
    let extra = u64::from(u16_at(&header, 28));
    let mut own = vec![0; name];
    file.read_exact_at(&mut own, entry.at + 30)
        .map_err(ZipError::Read)?;
    let own = own.strip_suffix(b"/").unwrap_or(&own);
    if own != entry.name.as_bytes() {
        return Err(ZipError::Damaged(entry.name.clone()));
    }
    Ok(entry.at + 30 + name as u64 + extra)
}

/// The list of entries, in the order in which they lie, none over another.
fn entries(file: &File, length: u64) -> Result<Vec<Entry>, ZipError> {
    let tail_length = length.min(22 + 65_536);
    let tail_at = length - tail_length;
    let mut tail = vec![0; usize::try_from(tail_length).unwrap_or(0)];
    file.read_exact_at(&mut tail, tail_at)
        .map_err(ZipError::Read)?;
    let end = (0..(tail.len() + 1).saturating_sub(22))
        .rev()
        .find(|at| tail[*at..].starts_with(b"PK\x05\x06"))
        .ok_or(ZipError::Form("it has no end, as if it had been cut off"))?;
    let comment = usize::from(u16_at(&tail, end + 20));
    if end + 22 + comment != tail.len() {
        return Err(ZipError::Form("something follows its end"));
    }
    let count = usize::from(u16_at(&tail, end + 10));
    let (size, at) = (
        u64::from(u32_at(&tail, end + 12)),
        u64::from(u32_at(&tail, end + 16)),
    );
    if u16_at(&tail, end + 8) != u16_at(&tail, end + 10) || u32_at(&tail, end + 4) != 0 {
        return Err(ZipError::Form("it is one of several parts"));
    }
    if count == 0xffff || at == 0xffff_ffff {
        return Err(ZipError::Form("it is a zip64 archive"));
    }
    if count > MOST_ENTRIES || size > MOST_LIST {
        return Err(ZipError::TooBig);
    }
    if at + size != tail_at + end as u64 {
        return Err(ZipError::Form("its list is not where it should be"));
    }
    let mut list = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut list, at).map_err(ZipError::Read)?;
    let mut found = Vec::with_capacity(count);
    let mut names = BTreeSet::new();
    let mut rest = list.as_slice();
    for _ in 0..count {
        let (entry, length) = entry(rest)?;
        if !names.insert(entry.name.clone()) {
            return Err(ZipError::Twice(entry.name));
        }
        rest = &rest[length..];
        found.push(entry);
    }
    if !rest.is_empty() {
        return Err(ZipError::Form("its list holds more than it says"));
    }
    found.sort_by_key(|entry: &Entry| entry.at);
    let ends = found.iter().skip(1).map(|entry| entry.at).chain([at]);
    for (entry, end) in found.iter().zip(ends) {
        // The header of an entry has 30 bytes and its name at least.
        let needs = 30 + entry.name.len() as u64 + entry.packed;
        if entry.at.checked_add(needs).is_none_or(|over| over > end) {
            return Err(ZipError::Damaged(entry.name.clone()));
        }
    }
    Ok(found)
}

/// The first entry of a list, and how long it is in there.
fn entry(list: &[u8]) -> Result<(Entry, usize), ZipError> {
    let cut = ZipError::Form("its list is damaged");
    if list.len() < 46 || !list.starts_with(b"PK\x01\x02") {
        return Err(cut);
    }
    let name_length = usize::from(u16_at(list, 28));
    let length = 46 + name_length + usize::from(u16_at(list, 30)) + usize::from(u16_at(list, 32));
    if list.len() < length {
        return Err(cut);
    }
    let name = std::str::from_utf8(&list[46..46 + name_length])
        .map_err(|_| ZipError::Path(String::from_utf8_lossy(&list[46..46 + name_length]).into()))?;
    let is_directory = name.ends_with('/');
    let name = name.strip_suffix('/').unwrap_or(name);
    if !is_inside(name) {
        return Err(ZipError::Path(name.to_owned()));
    }
    let is_unix = list[5] == 3;
    let mode = if is_unix { u32_at(list, 38) >> 16 } else { 0 };
    match (mode & 0o170_000, is_directory) {
        (0, _) | (0o100_000, false) | (0o040_000, true) => {}
        _ => return Err(ZipError::Special(name.to_owned())),
    }
    let method = u16_at(list, 10);
    if u16_at(list, 8) & 1 != 0 || ![0, 8].contains(&method) {
        return Err(ZipError::Method(name.to_owned()));
    }
    let entry = Entry {
        is_program: mode & 0o111 != 0 || name.starts_with("terraform-provider-"),
        name: name.to_owned(),
        is_directory,
        is_deflated: method == 8,
        crc: u32_at(list, 16),
        packed: u64::from(u32_at(list, 20)),
        size: u64::from(u32_at(list, 24)),
        at: u64::from(u32_at(list, 42)),
    };
    if [entry.packed, entry.size].contains(&0xffff_ffff) {
        return Err(ZipError::Form("it is a zip64 archive"));
    }
    if entry.is_directory && entry.size != 0 || method == 0 && entry.packed != entry.size {
        return Err(ZipError::Damaged(entry.name));
    }
    Ok((entry, length))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
#[path = "zip_tests.rs"]
mod tests;
