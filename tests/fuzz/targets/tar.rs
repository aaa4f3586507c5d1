//! Code in archives: whatever the archive says, files stay inside the module and within the limits, nothing but plain files
//! comes out, and what comes out packs and unpacks to itself.

use super::{Script, Target};
use crate::sources::{Code, MAX_BYTES, MAX_FILES};

pub(super) const TARGET: Target = Target {
    name: "tar",
    run,
    folders: &[],
    examples: || {
        vec![
            b"\x01\x00\x00\x07main.tf\x03abc\x00\x00\x08../../up\x01x".to_vec(),
            b"\x01\x00\x00\x07main.tf\x00\x02\x00\x04link\x00".to_vec(),
            b"\x00windlass-code 1\n\0\0\0\0\0\0\0\x07main.tf\0\0\0\0\0\0\0\x01x".to_vec(),
        ]
    },
    words: &[
        "main.tf",
        "../",
        "./",
        "/etc/passwd",
        "\0\0\0\0\0\0\0\x01",
        "windlass-code 1\n",
        "ustar",
        "x.tofu",
        "\\",
    ],
    max_bytes: 4096,
    gate: 700_000,
};

/// Kinds of entries, plain files most often.
const KINDS: &[u8] = b"000000\x00725134xgLKS";

fn run(data: &[u8]) {
    let mut script = Script(data);
    let first = script.byte();
    if first == 0 {
        if let Ok(code) = Code::unpack(script.0) {
            assert_whole(&code);
        }
    } else if let Ok(code) = Code::from_tar(&archive(&mut script)) {
        assert_whole(&code);
        assert_eq!(
            Code::from_tar(&code.to_tar()).ok().as_ref(),
            Some(&code),
            "packed again"
        );
        assert_eq!(
            Code::unpack(&code.pack()).ok().as_ref(),
            Some(&code),
            "stored and read"
        );
    }
    let _ = Code::from_tar(data);
}

fn assert_whole(code: &Code) {
    let size: usize = code.files().values().map(Vec::len).sum();
    assert!(
        size <= MAX_BYTES && code.files().len() <= MAX_FILES,
        "beyond the limits"
    );
    for path in code.files().keys() {
        let path = std::path::Path::new(path);
        assert!(
            path.components()
                .all(|part| matches!(part, std::path::Component::Normal(_))),
            "{} leaves the module",
            path.display()
        );
        assert!(path.components().next().is_some() && path.as_os_str().len() <= 255);
    }
}

/// An archive with the headers that the script asks for: right checksums, everything else as it comes.
fn archive(script: &mut Script<'_>) -> Vec<u8> {
    let mut archive = Vec::new();
    while !script.is_over() && archive.len() < 1 << 16 {
        let kind = KINDS[usize::from(script.byte()) % KINDS.len()];
        let oddity = script.byte();
        let length = usize::from(script.byte() % 101);
        let name = script.take(length);
        let length = usize::from(script.byte());
        let content = script.take(length);
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..107].copy_from_slice(b"0000644");
        // Now and then a size that is not the content's.
        let size = match oddity % 16 {
            15 => 0o7_777_777_777,
            14 => content.len() + 512,
            _ => content.len(),
        };
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = kind;
        if oddity & 16 != 0 {
            header[157..168].copy_from_slice(b"/etc/passwd");
        }
        if oddity & 32 == 0 {
            header[257..265].copy_from_slice(b"ustar\x0000");
        }
        if oddity & 64 != 0 {
            header[345..347].copy_from_slice(b"..");
        }
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
