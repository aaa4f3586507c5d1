//! Whether a program can run in an image made from scratch: an ELF file of this architecture without an interpreter.

/// Why a program cannot go into the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotForImage {
    /// Another kind of file: a script, or a program of another operating system.
    #[error("is not a Linux program")]
    NotElf,
    /// Its machine number.
    #[error(
        "is built for another kind of machine (number {found} instead of {expected} in its header)"
    )]
    Machine {
        /// In the file.
        found: u16,
        /// Of this build.
        expected: u16,
    },
    /// It has a `PT_INTERP` segment.
    #[error("is not static: it asks for a dynamic loader, which the image does not have")]
    Interpreter,
    /// The header points outside the bytes read.
    #[error("has a damaged header")]
    Damaged,
}

/// ELF's number of the machine that this build is for.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    0
};

/// Bytes at the start of a file that are enough for [`check`].
pub(crate) const HEAD: usize = 16 * 1024;
const PT_INTERP: u32 = 3;

/// Judges a program by the first [`HEAD`] bytes of its file.
pub(crate) fn check(head: &[u8]) -> Result<(), NotForImage> {
    let header = head.get(..64).ok_or(NotForImage::NotElf)?;
    // Magic, 64 bits, little endian.
    if header[..6] != [0x7f, b'E', b'L', b'F', 2, 1] {
        return Err(NotForImage::NotElf);
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let found = half(18);
    if found != MACHINE {
        return Err(NotForImage::Machine {
            found,
            expected: MACHINE,
        });
    }
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let start = usize::try_from(u64::from_le_bytes(offset)).map_err(|_| NotForImage::Damaged)?;
    let (size, count) = (usize::from(half(54)), usize::from(half(56)));
    for number in 0..count {
        let at = start
            .checked_add(number * size)
            .ok_or(NotForImage::Damaged)?;
        let kind = at
            .checked_add(4)
            .and_then(|end| head.get(at..end))
            .ok_or(NotForImage::Damaged)?;
        if kind == PT_INTERP.to_le_bytes() {
            return Err(NotForImage::Interpreter);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one segment of this type.
    fn program(machine: u16, segment: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&segment.to_le_bytes());
        bytes
    }

    #[test]
    fn a_static_program_of_this_machine_passes() {
        assert_eq!(check(&program(MACHINE, 1)), Ok(()));
    }

    #[test]
    fn a_program_with_an_interpreter_is_refused() {
        assert_eq!(check(&program(MACHINE, 3)), Err(NotForImage::Interpreter));
    }

    #[test]
    fn another_machine_is_refused() {
        assert!(matches!(
            check(&program(8, 1)),
            Err(NotForImage::Machine { found: 8, .. })
        ));
    }

    #[test]
    fn scripts_short_files_and_damaged_headers_are_refused() {
        assert_eq!(check(b"#!/bin/sh\n"), Err(NotForImage::NotElf));
        assert_eq!(check(&[0; 200]), Err(NotForImage::NotElf));
        let mut damaged = program(MACHINE, 1);
        damaged[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(check(&damaged), Err(NotForImage::Damaged));
    }

    #[test]
    fn the_program_that_runs_this_test_is_static() {
        use std::io::Read as _;
        let mut head = Vec::new();
        std::fs::File::open("/proc/self/exe")
            .and_then(|file| file.take(HEAD as u64).read_to_end(&mut head))
            .expect("readable");
        assert_eq!(check(&head), Ok(()));
    }
}
