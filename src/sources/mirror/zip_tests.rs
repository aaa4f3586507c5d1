use super::*;
use miniz_oxide::deflate::compress_to_vec;

/// An entry as a test wants it, honest or not.
struct Made<'a> {
    name: &'a str,
    mode: u32,
    method: u16,
    bytes: Vec<u8>,
    size: u32,
    crc: u32,
}

fn made<'a>(name: &'a str, content: &[u8]) -> Made<'a> {
    let mut crc = Crc::new();
    crc.update(content);
    Made {
        name,
        mode: 0o100_755,
        method: 8,
        bytes: compress_to_vec(content, 6),
        size: content.len() as u32,
        crc: crc.finish(),
    }
}

fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = out.len() as u32;
        let mut common = 8_u16.to_le_bytes().to_vec();
        common.extend(entry.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(entry.crc.to_le_bytes());
        common.extend((entry.bytes.len() as u32).to_le_bytes());
        common.extend(entry.size.to_le_bytes());
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(&common);
        out.extend(entry.name.as_bytes());
        out.extend(&entry.bytes);
        list.extend(b"PK\x01\x02\x14\x03\x14\0");
        list.extend(&common);
        list.extend([0; 6]);
        list.extend((entry.mode << 16).to_le_bytes());
        list.extend(at.to_le_bytes());
        list.extend(entry.name.as_bytes());
    }
    let (at, size) = (out.len() as u32, list.len() as u32);
    out.extend(list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        out.extend((entries.len() as u16).to_le_bytes());
    }
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// Unpacks bytes; also gives the names of everything that lies beside and in the directory afterwards.
fn unpacked(bytes: &[u8]) -> (Result<Vec<Unpacked>, ZipError>, Vec<String>) {
    let root = tempfile::tempdir().expect("a directory");
    let (file, into) = (root.path().join("it.zip"), root.path().join("into"));
    fs::write(&file, bytes).expect("written");
    fs::create_dir(&into).expect("made");
    let result = unpack(&file, &into);
    let mut names = Vec::new();
    for entry in fs::read_dir(root.path()).expect("listed") {
        names.push(
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("text"),
        );
    }
    names.sort();
    (result, names)
}

#[test]
fn plain_files_are_unpacked_with_their_digests() {
    let large = vec![3; 2 * CHUNK + 17];
    let mut stored = made("README", b"text");
    (stored.method, stored.bytes) = (0, b"text".to_vec());
    let bytes = archive(&[
        made("terraform-provider-x_v1.0.0", &large),
        stored,
        made("docs/a/b", b""),
    ]);
    let found = unpacked(&bytes).0.expect("unpacked");
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["terraform-provider-x_v1.0.0", "README", "docs/a/b"]);
    assert_eq!(found[0].1, hex(&Sha256::digest(&large)));
}

#[test]
fn what_leaves_the_directory_or_is_no_file_is_refused_by_name() {
    let link = Made {
        mode: 0o120_777,
        ..made("link", b"/etc/passwd")
    };
    let device = Made {
        mode: 0o020_666,
        ..made("device", b"")
    };
    for (entry, says) in [
        (made("../x", b"1"), "`../x` does not stay"),
        (made("/x", b"1"), "`/x` does not stay"),
        (made("a/../../x", b"1"), "does not stay"),
        (made("a\\x", b"1"), "does not stay"),
        (made("a//x", b"1"), "does not stay"),
        (link, "`link` is neither"),
        (device, "`device` is neither"),
    ] {
        let (result, names) = unpacked(&archive(&[entry]));
        let error = result.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(names, ["into", "it.zip"], "nothing lies beside it");
    }
    for twice in [
        [made("a", b"1"), made("a", b"2")],
        [made("a", b"1"), made("a/b", b"2")],
    ] {
        let error = unpacked(&archive(&twice)).0.expect_err("twice").to_string();
        assert!(error.contains("twice"), "{error}");
    }
}

#[test]
fn bombs_are_refused_before_anything_is_written() {
    let zeros = vec![0; 1 << 20];
    let honest = Made {
        size: 3 << 30,
        ..made("zeros", &zeros)
    };
    assert!(matches!(
        unpacked(&archive(&[honest])).0,
        Err(ZipError::TooBig)
    ));
    // Says that it is small, and is not.
    let lying = Made {
        size: 10,
        ..made("zeros", &zeros)
    };
    assert!(matches!(
        unpacked(&archive(&[lying])).0,
        Err(ZipError::Damaged(_))
    ));
    // Two names for the same bytes.
    let mut bytes = archive(&[made("a", &zeros), made("b", &zeros)]);
    let second = bytes
        .windows(4)
        .rposition(|window| window == b"PK\x01\x02")
        .expect("the list");
    bytes[second + 42..second + 46].fill(0);
    assert!(unpacked(&bytes).0.is_err());
}

#[test]
fn every_cut_and_every_changed_byte_is_refused_or_makes_the_same() {
    let bytes = archive(&[made("a", b"some text, some text"), made("b/c", b"more")]);
    let good = unpacked(&bytes).0.expect("unpacked");
    for cut in 0..bytes.len() {
        assert!(unpacked(&bytes[..cut]).0.is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        if let Ok(found) = unpacked(&changed).0 {
            let digests = |found: &[Unpacked]| -> Vec<String> {
                found.iter().map(|(_, digest)| digest.clone()).collect()
            };
            assert_eq!(digests(&found), digests(&good), "byte {at}");
        }
    }
}
