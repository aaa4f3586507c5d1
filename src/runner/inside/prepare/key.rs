//! The key of a preparation: everything that what `init` leaves depends on, as one digest.
//!
//! Two runs with the same key were prepared alike; any part that differs gives another one. What is cleared or fixed for
//! every engine (`TF_CLI_ARGS*`, `TF_DATA_DIR`, `TF_WORKSPACE`) and credentials are no part of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::modules::Entry;
use super::providers::{Address, Chosen};
use crate::model::hex;

/// The parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    /// `opentofu` or `terraform`.
    pub(crate) engine: &'a str,
    /// Digest of its binary or image.
    pub(crate) digest: &'a str,
    /// `linux_amd64`.
    pub(crate) platform: &'a str,
    /// The lock file, with hashes.
    pub(crate) lock: &'a str,
    /// Digest of each package where it was checked.
    pub(crate) providers: &'a BTreeMap<Address, Chosen>,
    /// Every file of the bundle but the lock file.
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    /// What the module calls are.
    pub(crate) modules: &'a [Entry],
    /// Type and settings of the backend.
    pub(crate) backend: Option<&'a (String, Map<String, Value>)>,
    /// The engine's CLI configuration.
    pub(crate) configuration: &'a [u8],
}

/// `sha256:HEX` over the parts, each after its length as eight bytes, high first; lists after their own.
pub(crate) fn key(parts: &Parts<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"windlass preparation 1\n");
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    let count = |length: usize| (length as u64).to_be_bytes();
    for text in [parts.engine, parts.digest, parts.platform, parts.lock] {
        part(text.as_bytes());
    }
    part(&count(parts.providers.len()));
    for (address, chosen) in parts.providers {
        part(address.to_string().as_bytes());
        part(chosen.locked.version.as_bytes());
        part(chosen.verified.as_deref().unwrap_or("").as_bytes());
    }
    let files = parts
        .files
        .iter()
        .filter(|(path, _)| *path != crate::hcl::LOCK_FILE);
    part(&count(files.clone().count()));
    for (path, content) in files {
        part(path.as_bytes());
        part(&Sha256::digest(content));
    }
    part(&count(parts.modules.len()));
    for entry in parts.modules {
        for text in [&entry.key, &entry.source, &entry.dir] {
            part(text.as_bytes());
        }
    }
    match parts.backend {
        None => part(b""),
        Some((kind, settings)) => {
            part(kind.as_bytes());
            let settings: BTreeMap<&String, &Value> = settings.iter().collect();
            part(&serde_json::to_vec(&settings).unwrap_or_default());
        }
    }
    part(parts.configuration);
    format!("sha256:{}", hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hcl::Locked;
    use std::collections::BTreeSet;

    #[test]
    fn each_part_alone_gives_another_key() {
        let address = Address::read("a/b", "r").expect("an address");
        let chosen = Chosen {
            locked: Locked {
                version: "1.0.0".into(),
                ..Locked::default()
            },
            package: "/m".into(),
            verified: Some("h1:a".into()),
        };
        let providers = BTreeMap::from([(address.clone(), chosen.clone())]);
        let files = BTreeMap::from([("main.tf".to_owned(), b"x".to_vec())]);
        let modules = [Entry {
            key: "a".into(),
            source: "./m".into(),
            dir: "m".into(),
        }];
        let settings = |path: &str| Map::from_iter([("path".to_owned(), Value::from(path))]);
        let backend = ("local".to_owned(), settings("p"));
        let base = Parts {
            engine: "opentofu",
            digest: "sha256:1",
            platform: "linux_x",
            lock: "lock",
            providers: &providers,
            files: &files,
            modules: &modules,
            backend: Some(&backend),
            configuration: b"rc",
        };
        let other_version = BTreeMap::from([(
            address.clone(),
            Chosen {
                locked: Locked {
                    version: "1.0.1".into(),
                    ..Locked::default()
                },
                ..chosen.clone()
            },
        )]);
        let other_hash = BTreeMap::from([(
            address,
            Chosen {
                verified: Some("h1:b".into()),
                ..chosen
            },
        )]);
        let other_content = BTreeMap::from([("main.tf".to_owned(), b"y".to_vec())]);
        let other_path = BTreeMap::from([("other.tf".to_owned(), b"x".to_vec())]);
        let other_key = [Entry {
            key: "b".into(),
            ..modules[0].clone()
        }];
        let other_source = [Entry {
            source: "./n".into(),
            ..modules[0].clone()
        }];
        let other_dir = [Entry {
            dir: "n".into(),
            ..modules[0].clone()
        }];
        let other_kind = ("http".to_owned(), settings("p"));
        let other_setting = ("local".to_owned(), settings("q"));
        let none = BTreeMap::new();
        let changed = [
            Parts {
                engine: "terraform",
                ..base.clone()
            },
            Parts {
                digest: "sha256:2",
                ..base.clone()
            },
            Parts {
                platform: "linux_y",
                ..base.clone()
            },
            Parts {
                lock: "lock2",
                ..base.clone()
            },
            Parts {
                providers: &other_version,
                ..base.clone()
            },
            Parts {
                providers: &other_hash,
                ..base.clone()
            },
            Parts {
                providers: &none,
                ..base.clone()
            },
            Parts {
                files: &other_content,
                ..base.clone()
            },
            Parts {
                files: &other_path,
                ..base.clone()
            },
            Parts {
                modules: &other_key,
                ..base.clone()
            },
            Parts {
                modules: &other_source,
                ..base.clone()
            },
            Parts {
                modules: &other_dir,
                ..base.clone()
            },
            Parts {
                modules: &[],
                ..base.clone()
            },
            Parts {
                backend: Some(&other_kind),
                ..base.clone()
            },
            Parts {
                backend: Some(&other_setting),
                ..base.clone()
            },
            Parts {
                backend: None,
                ..base.clone()
            },
            Parts {
                configuration: b"rc2",
                ..base.clone()
            },
            // Where one part ends and the next begins counts.
            Parts {
                engine: "opentofus",
                digest: "ha256:1",
                ..base.clone()
            },
        ];
        let mut keys: BTreeSet<String> = changed.iter().map(key).collect();
        assert_eq!(keys.len(), changed.len());
        assert!(
            keys.insert(key(&base)),
            "none is the key of what was not changed"
        );
        assert_eq!(key(&base), key(&base.clone()));
        let lock = BTreeMap::from([
            ("main.tf".to_owned(), b"x".to_vec()),
            (crate::hcl::LOCK_FILE.to_owned(), b"z".to_vec()),
        ]);
        assert_eq!(
            key(&Parts {
                files: &lock,
                ..base.clone()
            }),
            key(&base),
            "it is a part of its own"
        );
    }
}
