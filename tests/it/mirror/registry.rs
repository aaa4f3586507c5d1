//! A stand-in for a registry of providers: it speaks the public protocol, and can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::wait_until;

/// The machine that packages are for, as the engines call this one.
pub(crate) fn platform() -> String {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux_{machine}")
}

/// What is answered at a path.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Half of it, and then nothing more.
    Cut(Vec<u8>),
    /// Half of it, and then nothing until the end of the test.
    Held(Vec<u8>),
}

/// A request: its path, and the token in it.
type Asked = (String, Option<String>);

/// The stand-in.
pub(crate) struct Registry {
    address: String,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    key: Ed25519KeyPair,
}

impl Registry {
    /// Answers at a free port of this machine.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let answers = Arc::new(Mutex::new(BTreeMap::new()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (known, heard) = (Arc::clone(&answers), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, heard) = (Arc::clone(&known), Arc::clone(&heard));
                std::thread::spawn(move || serve(stream, &known, &heard));
            }
        });
        let registry = Self {
            address,
            answers,
            asked,
            key: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key"),
        };
        let services = json!({"providers.v1": "/v1/providers/", "modules.v1": "/v1/modules/"});
        registry.answer("/.well-known/terraform.json", services.to_string());
        registry
    }

    /// For `--registry`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with bytes.
    pub(crate) fn answer(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.set(path, Answer::Bytes(bytes.into()));
    }

    /// Answers in a way.
    pub(crate) fn set(&self, path: &str, answer: Answer) {
        let mut answers = self.answers.lock().expect("answers");
        answers.insert(path.to_owned(), answer);
    }

    /// What is answered at a path now.
    pub(crate) fn at(&self, path: &str) -> Vec<u8> {
        let answers = self.answers.lock().expect("answers");
        match answers.get(path) {
            Some(Answer::Bytes(bytes)) => bytes.clone(),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("requests").clone()
    }

    /// Waits until somebody asks for a path that ends so.
    pub(crate) fn wait_for(&self, end: &str) {
        wait_until(&format!("{end} is asked for"), || {
            self.asked().iter().any(|(path, _)| path.ends_with(end))
        });
    }

    /// Publishes versions of a provider, each with its archive, signed.
    pub(crate) fn publish(&self, provider: &str, versions: &[(&str, Vec<u8>)]) {
        let kind = provider.rsplit('/').next().expect("a type");
        let (system, machine) = platform()
            .split_once('_')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("a platform");
        let listed: Vec<_> = versions
            .iter()
            .map(|(version, _)| {
                json!({"version": version, "protocols": ["5.0"], "platforms": [{"os": system, "arch": machine}]})
            })
            .collect();
        self.answer(
            &format!("/v1/providers/{provider}/versions"),
            json!({"versions": listed}).to_string(),
        );
        for (version, zip) in versions {
            let name = format!("terraform-provider-{kind}_{version}_{system}_{machine}.zip");
            let sum: String = Sha256::digest(zip)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let files = format!("/files/{provider}/{version}");
            let sums = format!("{sum}  {name}\n{}  other.zip\n", "0".repeat(64));
            let answer = json!({
                "protocols": ["5.0"], "os": system, "arch": machine, "filename": name,
                "download_url": format!("{files}/{name}"), "shasum": sum,
                "shasums_url": format!("{files}/SHA256SUMS"),
                "shasums_signature_url": format!("{files}/SHA256SUMS.sig"),
                "signing_keys": {"gpg_public_keys": [{"key_id": "0", "ascii_armor": self.armored()}]},
            });
            self.answer(
                &format!("/v1/providers/{provider}/{version}/download/{system}/{machine}"),
                answer.to_string(),
            );
            self.answer(&format!("{files}/{name}"), zip.clone());
            self.answer(
                &format!("{files}/SHA256SUMS.sig"),
                self.sign(sums.as_bytes()),
            );
            self.answer(&format!("{files}/SHA256SUMS"), sums);
        }
    }

    fn key_packet(&self) -> Vec<u8> {
        let mut body = vec![4, 0, 0, 0, 1, 22, 9];
        body.extend([0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01]);
        body.extend(263_u16.to_be_bytes());
        body.push(0x40);
        body.extend(self.key.public_key().as_ref());
        body
    }

    /// The public key as registries name it.
    fn armored(&self) -> String {
        let body = self.key_packet();
        let packet = [&[0xc6, body.len() as u8], body.as_slice()].concat();
        format!(
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
            BASE64_STANDARD.encode(packet)
        )
    }

    /// A detached signature.
    pub(crate) fn sign(&self, data: &[u8]) -> Vec<u8> {
        let mut body = vec![4, 0, 22, 8, 0, 0];
        let mut trailer = body.clone();
        trailer.extend([4, 0xff, 0, 0, 0, 6]);
        let digest = Sha256::digest([data, &trailer].concat());
        let signed = self.key.sign(&digest);
        body.extend([0, 0, 0, 0]);
        for half in signed.as_ref().chunks(32) {
            let value: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
            let bits = value.len() * 8 - value[0].leading_zeros() as usize;
            body.extend((bits as u16).to_be_bytes());
            body.extend(value);
        }
        [&[0xc2, body.len() as u8], body.as_slice()].concat()
    }
}

fn serve(
    mut stream: TcpStream,
    answers: &Mutex<BTreeMap<String, Answer>>,
    asked: &Mutex<Vec<Asked>>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.trim().to_owned())
    });
    asked.lock().expect("requests").push((path.clone(), token));
    let answer = answers.lock().expect("answers").get(&path).cloned();
    let line = |status: u16, more: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n"
        )
    };
    let half = |bytes: &[u8]| {
        [
            line(200, "", bytes.len()).as_bytes(),
            &bytes[..bytes.len() / 2],
        ]
        .concat()
    };
    let bytes = match &answer {
        None => line(404, "", 0).into_bytes(),
        Some(Answer::Status(status)) => line(*status, "", 0).into_bytes(),
        Some(Answer::Redirect(to)) => line(302, &format!("location: {to}\r\n"), 0).into_bytes(),
        Some(Answer::Bytes(bytes)) => [line(200, "", bytes.len()).as_bytes(), bytes].concat(),
        Some(Answer::Cut(bytes) | Answer::Held(bytes)) => half(bytes),
    };
    let _ = stream.write_all(&bytes);
    if matches!(answer, Some(Answer::Held(_))) {
        // Whoever asked has to give up first.
        let _ = stream.read(&mut byte);
    }
}

/// A zip archive that stores its files; the names are as they are given, hostile ones too.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let at = out.len() as u32;
        let mut common = vec![0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc(content).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04\x0a\0");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*content);
        list.extend(b"PK\x01\x02\x14\x03\x0a\0");
        list.extend(&common);
        list.extend([0; 6]);
        list.extend((0o100_755_u32 << 16).to_le_bytes());
        list.extend(at.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (at, size, count) = (out.len() as u32, list.len() as u32, files.len() as u16);
    out.extend(list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|at| {
            (0..8).fold(at, |value, _| {
                if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                }
            })
        })
        .collect();
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        table[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

/// The archive of a provider that `tests/run` built.
pub(crate) fn real(mirror: &Path, provider: &str, version: &str) -> Vec<u8> {
    let host = std::fs::read_dir(mirror)
        .expect("hosts")
        .flatten()
        .next()
        .expect("a host");
    let package = host.path().join(provider).join(version).join(platform());
    let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(&package)
        .unwrap_or_else(|error| panic!("{}: {error}", package.display()))
        .flatten()
        .map(|entry| {
            let name = entry.file_name().into_string().expect("text");
            (name, std::fs::read(entry.path()).expect("read"))
        })
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    zip(&files)
}
