//! Sealed streams: frames that are changed, cut, dropped, repeated or reordered open exactly as far as they are what was
//! sealed, in order; bytes of others are refused.

use std::sync::OnceLock;

use super::{Script, Target};
use crate::seal::key::Identity;
use crate::seal::ring::Keyring;
use crate::seal::stream::Opener;
use crate::seal::{Recipient, Sealer, age};

pub(super) const TARGET: Target = Target {
    name: "sealed",
    run,
    folders: &[],
    examples: || {
        vec![
            b"\x02\x03abc\x02de\x05\x01\x00\x01\x00\x00".to_vec(),
            b"\x00windlass\x01\x00\x01".to_vec(),
            b"\x01age-encryption.org/v1\n-> X25519 ".to_vec(),
            b"\x01windlass-keyring 1\n00000000000000aa AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n".to_vec(),
        ]
    },
    words: &[
        "windlass",
        "windlass-keyring 1\n",
        "age-encryption.org/v1\n",
        "-> X25519 ",
        "age1",
        "AGE-SECRET-KEY-1",
    ],
    max_bytes: 512,
    gate: 85_000,
};

/// One key for all inputs: making keys is most of the time.
fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(Identity::generate)
}

fn run(data: &[u8]) {
    let mut script = Script(data);
    match script.byte() {
        0 => assert!(
            Opener::new("run", 1, "logs", script.0, identity()).is_err(),
            "forged"
        ),
        1 => foreign(script.0),
        _ => story(&mut script),
    }
}

/// Texts and files that are not ours.
fn foreign(data: &[u8]) {
    assert!(age::open(identity(), data).is_err(), "forged");
    assert!(Keyring::new().open("place", data).is_err(), "forged");
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(recipient) = text.parse::<Recipient>() {
        assert_eq!(recipient.to_string().parse::<Recipient>(), Ok(recipient));
    }
    if let Ok(ring) = Keyring::parse(text) {
        let again = Keyring::parse(&ring.expose_secret()).expect("what we print can be read");
        let sealed = ring.seal("place", b"x");
        assert_eq!(
            again
                .open("place", &sealed)
                .expect("the same keys")
                .as_slice(),
            b"x"
        );
    }
    let _ = Identity::parse_file(text);
}

/// Seals some frames, does something to them, and opens what came of it.
fn story(script: &mut Script<'_>) {
    let (mut sealer, mut header) = Sealer::new("run", 1, "logs", &[identity().recipient()]);
    let count = 1 + script.below(6);
    let mut plain = Vec::new();
    let mut sealed = Vec::new();
    for _ in 1..count {
        let length = usize::from(script.byte() % 32);
        plain.push(script.take(length));
        sealed.push(sealer.frame(plain[plain.len() - 1]));
    }
    let length = usize::from(script.byte() % 32);
    plain.push(script.take(length));
    sealed.push(sealer.finish(plain[plain.len() - 1]));

    let mut sent = sealed.clone();
    let mut is_header_whole = true;
    while !script.is_over() && !sent.is_empty() {
        let what = script.byte() % 8;
        let at = script.below(sent.len());
        match what {
            0 => {
                let byte = script.below(sent[at].len());
                if let Some(byte) = sent[at].get_mut(byte) {
                    *byte ^= 1 << (script.byte() % 8);
                }
            }
            1 => {
                let length = script.below(sent[at].len() + 1);
                sent[at].truncate(length);
            }
            2 => drop(sent.remove(at)),
            3 => sent.push(sent[at].clone()),
            4 => {
                let other = script.below(sent.len());
                sent.swap(at, other);
            }
            5 => sent[at].extend_from_slice(script.take(3)),
            6 => {
                let byte = script.below(header.len());
                header[byte] ^= 1 << (script.byte() % 8);
                is_header_whole = false;
            }
            _ => {
                let (run, attempt, stream) = [
                    ("ruN", 1, "logs"),
                    ("run", 2, "logs"),
                    ("run", 1, "outputs"),
                ][at % 3];
                assert!(
                    Opener::new(run, attempt, stream, &header, identity()).is_err(),
                    "another stream"
                );
            }
        }
    }
    let mut opener = match Opener::new("run", 1, "logs", &header, identity()) {
        Ok(opener) => opener,
        // Two changes may undo each other, but none may be needed to refuse.
        Err(_) => return assert!(!is_header_whole, "our own header is refused"),
    };
    let mut next = 0;
    for frame in &sent {
        let is_next = sealed.get(next).is_some_and(|whole| whole == frame);
        match opener.open(frame) {
            Ok(opened) => {
                assert!(is_next, "a frame was opened that is not the next one");
                assert_eq!(opened.bytes, plain[next]);
                assert_eq!(opened.last, next + 1 == sealed.len());
                next += 1;
            }
            Err(error) => assert!(!is_next, "the next frame is refused: {error}"),
        }
    }
}
