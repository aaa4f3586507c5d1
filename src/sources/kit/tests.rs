use super::*;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

fn key(seed: u8) -> SecretKey {
    // PKCS #8 of a fixed seed, so that bytes can be compared.
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend([seed; 32]);
    SecretKey::of_seed(&der)
}

fn provider(name: &str) -> What {
    What::Provider {
        provider: name.to_owned(),
        version: "1.0.0".to_owned(),
        platform: "linux_amd64".to_owned(),
        verified: "by hand".to_owned(),
    }
}

fn part(what: What, bytes: &'static [u8]) -> Part<'static> {
    Part {
        what,
        open: Box::new(move || Ok(Box::new(bytes) as Box<dyn Read>)),
    }
}

fn parts() -> Vec<Part<'static>> {
    vec![
        part(provider("r.example/acme/db"), b"the archive"),
        part(
            What::Engine {
                engine: "opentofu".to_owned(),
                platform: "linux_amd64".to_owned(),
            },
            b"the program",
        ),
        part(
            What::Code {
                digest: format!("sha256:{}", "a".repeat(64)),
                sources: vec!["git::https://example.com/x".to_owned()],
            },
            b"",
        ),
    ]
}

fn kit(parts: Vec<Part<'_>>, key: &SecretKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(parts, key, &mut bytes).expect("written");
    bytes
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("kept").extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything in a kit: what, and its bytes.
fn read(bytes: &[u8], trusted: &PublicKey) -> Result<Vec<(What, Vec<u8>)>, KitError> {
    let mut reader = Reader::open(bytes, |key| key == trusted)?;
    let mut found = Vec::new();
    loop {
        let kept = Kept::default();
        let to = kept.clone();
        match reader.next(move |_| Ok(Box::new(to) as Box<dyn Write>))? {
            Some(entry) => found.push((entry.what, kept.0.lock().expect("kept").clone())),
            None => return Ok(found),
        }
    }
}

#[test]
fn the_same_content_makes_the_same_bytes_and_reads_back() {
    let key = key(1);
    let bytes = kit(parts(), &key);
    let mut turned = parts();
    turned.reverse();
    assert_eq!(bytes, kit(turned, &key));
    let found = read(&bytes, &key.public()).expect("read");
    let contents: Vec<&[u8]> = found.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(contents, [&b""[..], b"the program", b"the archive"]);
    let text = SecretKey::generate().expect("random");
    let made = SecretKey::parse(&text).expect("a key");
    assert_eq!(made.public().to_string().parse(), Ok(made.public()));
    assert!(SecretKey::parse("ed25519-secret:x").is_err());
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let key = key(1);
    let bytes = kit(parts(), &key);
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut], &key.public()).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(read(&changed, &key.public()).is_err(), "byte {at}");
    }
    let mut more = bytes;
    more.push(0);
    assert!(matches!(read(&more, &key.public()), Err(KitError::More)));
}

#[test]
fn who_signed_is_said_where_nobody_trusts_them() {
    let bytes = kit(parts(), &key(1));
    let error = read(&bytes, &key(2).public())
        .expect_err("unknown")
        .to_string();
    assert!(error.contains(&key(1).public().to_string()), "{error}");
}

#[test]
fn names_that_lead_elsewhere_are_refused_although_they_are_signed() {
    let key = key(1);
    let engine = |engine: &str, platform: &str| What::Engine {
        engine: engine.to_owned(),
        platform: platform.to_owned(),
    };
    for what in [
        provider("../../etc/x"),
        provider("r.example/../x"),
        provider("acme/db"),
        engine("../opentofu", "linux_amd64"),
        engine("opentofu", "../x"),
        What::Code {
            digest: "sha256:../x".to_owned(),
            sources: Vec::new(),
        },
    ] {
        let bytes = kit(vec![part(what.clone(), b"x")], &key);
        assert!(
            matches!(read(&bytes, &key.public()), Err(KitError::Head(_))),
            "{what}"
        );
    }
    let twice = vec![
        part(provider("r.example/acme/db"), b"x"),
        part(provider("r.example/acme/db"), b"y"),
    ];
    assert!(matches!(
        read(&kit(twice, &key), &key.public()),
        Err(KitError::Head(_))
    ));
}
