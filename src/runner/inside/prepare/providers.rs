//! Providers: which ones the code and the state need, which versions of the mirror they are, and the lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Unready;
use crate::hcl::versions::{self, Version};
use crate::hcl::{Code, Locked};
use crate::runner::job::Package;

/// The provider that is part of the engine: never installed, never locked.
const BUILT_IN: &str = "terraform.io/builtin/terraform";
/// Who owns a provider where its source does not say.
const NAMESPACE: &str = "hashicorp";

/// `HOST/NAMESPACE/TYPE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(String);

impl Address {
    /// Reads a source as written; what it leaves out is the engine's default.
    pub(crate) fn read(source: &str, registry: &str) -> Option<Self> {
        let source = source.to_ascii_lowercase();
        let parts: Vec<&str> = source.split('/').collect();
        let is_plain = |part: &&str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
        };
        if !parts.iter().all(is_plain) {
            return None;
        }
        Some(Self(match parts.as_slice() {
            ["terraform"] => BUILT_IN.to_owned(),
            [kind] => format!("{registry}/{NAMESPACE}/{kind}"),
            [namespace, kind] => format!("{registry}/{namespace}/{kind}"),
            [host, namespace, kind] => format!("{host}/{namespace}/{kind}"),
            _ => return None,
        }))
    }
}

impl Address {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every provider that the code and the state need, with what the code says of its version.
pub(crate) fn required<'a>(
    codes: impl Iterator<Item = &'a Code>,
    in_state: &BTreeSet<String>,
    registry: &str,
) -> Result<BTreeMap<Address, Vec<versions::Term>>, Unready> {
    let mut all: BTreeMap<Address, Vec<versions::Term>> = BTreeMap::new();
    for code in codes {
        for (local, wanted) in &code.required {
            let source = wanted.source.as_deref().unwrap_or(local);
            let address = Address::read(source, registry).ok_or_else(|| {
                Unready::new(format!("what is required as `{local}` is not read here"))
            })?;
            let terms = all.entry(address.clone()).or_default();
            if let Some(version) = &wanted.version {
                terms.extend(versions::terms(version).ok_or_else(|| {
                    Unready::new(format!(
                        "the version constraint of the provider `{address}` is not read here"
                    ))
                })?);
            }
        }
        for name in code
            .uses
            .iter()
            .filter(|name| !code.required.contains_key(*name))
        {
            let address = Address::read(name, registry)
                .ok_or_else(|| Unready::new("a provider has a name that is not read here"))?;
            all.entry(address).or_default();
        }
    }
    for address in in_state {
        all.entry(Address(address.clone())).or_default();
    }
    all.remove(&Address(BUILT_IN.to_owned()));
    Ok(all)
}

/// Addresses of the providers that a state file names.
pub(crate) fn of_state(state: &[u8]) -> BTreeSet<String> {
    #[derive(serde::Deserialize)]
    struct State {
        #[serde(default)]
        resources: Vec<Resource>,
    }
    #[derive(serde::Deserialize)]
    struct Resource {
        #[serde(default)]
        provider: String,
    }
    let state: State = serde_json::from_slice(state).unwrap_or(State {
        resources: Vec::new(),
    });
    state
        .resources
        .iter()
        .filter_map(|resource| {
            let (_, rest) = resource.provider.split_once("provider[\"")?;
            Some(rest.split_once("\"]")?.0.to_owned())
        })
        .collect()
}

/// A provider as the run gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// As recorded for the environment.
    pub(crate) locked: Locked,
    /// Its directory in the mirror.
    pub(crate) package: PathBuf,
    /// Hash of the package, where it was checked when it was seen in the mirror and agrees with the lock file.
    pub(crate) verified: Option<String>,
}

/// Whether the code still allows what is locked. A version that is not read here is the engine's to judge.
pub(crate) fn allows(terms: &[versions::Term], locked: &Locked) -> bool {
    Version::read(&locked.version)
        .is_none_or(|version| terms.iter().all(|term| term.allows(version)))
}

/// Where providers are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mirror<'a> {
    pub(crate) path: &'a Path,
    /// What the host found in it.
    pub(crate) packages: &'a [Package],
    /// `linux_amd64`.
    pub(crate) platform: &'a str,
}

impl Mirror<'_> {
    /// Finds each provider: as locked, else the newest that the code allows. A locked version that the code allows no
    /// longer is no reason to be stuck: whoever changed the code asked for another.
    pub(crate) fn choose(
        &self,
        required: &BTreeMap<Address, Vec<versions::Term>>,
        lock: &BTreeMap<String, Locked>,
    ) -> Result<BTreeMap<Address, Chosen>, Unready> {
        required
            .iter()
            .map(|(address, terms)| {
                let chosen = match lock.get(&address.0) {
                    Some(locked) if allows(terms, locked) => self.as_locked(address, locked)?,
                    Some(_) | None => self.newest(address, terms)?,
                };
                Ok((address.clone(), chosen))
            })
            .collect()
    }

    fn as_locked(&self, address: &Address, locked: &Locked) -> Result<Chosen, Unready> {
        let version = Version::read(&locked.version).ok_or_else(|| {
            Unready::new(format!(
                "the locked version of `{address}` is not read here"
            ))
        })?;
        let package = self.package(address, version);
        if !package.is_dir() {
            return Err(Unready::new(format!(
                "the mirror has no unpacked `{address}` {version}"
            )));
        }
        let verified = self
            .hash(address, version)
            .filter(|hash| locked.hashes.contains(*hash))
            .map(str::to_owned);
        Ok(Chosen {
            locked: locked.clone(),
            package,
            verified,
        })
    }

    fn newest(&self, address: &Address, terms: &[versions::Term]) -> Result<Chosen, Unready> {
        let mut newest = None;
        for entry in std::fs::read_dir(self.path.join(&address.0))
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".zip") {
                return Err(Unready::new(format!("the mirror has `{address}` packed")));
            }
            let version = Version::read(&name).filter(|version| {
                terms.iter().all(|term| term.allows(*version))
                    && self.package(address, *version).is_dir()
            });
            newest = newest.max(version);
        }
        let version =
            newest.ok_or_else(|| Unready::new(format!("the mirror has no fitting `{address}`")))?;
        let hash = self.hash(address, version).ok_or_else(|| {
            Unready::new(format!(
                "`{address}` {version} is new here and was not checked"
            ))
        })?;
        Ok(Chosen {
            locked: Locked {
                version: version.to_string(),
                constraints: versions::print(terms.to_vec()),
                hashes: BTreeSet::from([hash.to_owned()]),
            },
            package: self.package(address, version),
            verified: Some(hash.to_owned()),
        })
    }

    fn package(&self, address: &Address, version: Version) -> PathBuf {
        self.path
            .join(&address.0)
            .join(version.to_string())
            .join(self.platform)
    }

    fn hash(&self, address: &Address, version: Version) -> Option<&str> {
        let version = version.to_string();
        self.packages
            .iter()
            .find(|package| {
                package.provider == address.0
                    && package.version == version
                    && package.platform == self.platform
            })
            .map(|package| package.hash.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str, hash: &str) -> Package {
        Package {
            provider: "r/n/t".to_owned(),
            version: version.to_owned(),
            platform: "linux_x".to_owned(),
            hash: hash.to_owned(),
        }
    }

    fn choose(wanted: &str, lock: &str, packages: &[Package]) -> Result<Chosen, Unready> {
        let mirror = tempfile::tempdir().expect("a directory");
        for version in ["0.9.0", "0.14.2", "1.0.0", "2.0.0-beta"] {
            let path = mirror.path().join("r/n/t").join(version).join("linux_x");
            std::fs::create_dir_all(path).expect("made");
        }
        std::fs::create_dir_all(mirror.path().join("r/n/t/3.0.0/linux_other")).expect("made");
        let required = BTreeMap::from([(
            Address("r/n/t".to_owned()),
            versions::terms(wanted).expect("terms"),
        )]);
        Mirror {
            path: mirror.path(),
            packages,
            platform: "linux_x",
        }
        .choose(
            &required,
            &crate::hcl::read_lock(lock).expect("a lock file"),
        )
        .map(|mut all| all.pop_first().expect("one").1)
    }

    #[test]
    fn the_newest_that_is_allowed_and_checked_is_chosen() {
        let checked = [package("0.14.2", "h1:a"), package("1.0.0", "h1:b")];
        let chosen = choose("", "", &checked).expect("there");
        assert_eq!(chosen.locked.version, "1.0.0");
        assert_eq!(chosen.verified.as_deref(), Some("h1:b"));
        assert_eq!(
            choose("< 1", "", &checked).expect("there").locked.version,
            "0.14.2"
        );
        assert!(choose("> 1", "", &checked).is_err(), "none fits");
        assert!(choose("< 0.14", "", &checked).is_err(), "never checked");
    }

    #[test]
    fn a_lock_file_is_followed_and_a_hash_counts_only_where_it_agrees() {
        let lock = |version: &str, hash: &str| {
            format!(
                "provider \"r/n/t\" {{\n  version = \"{version}\"\n  hashes = [\"{hash}\"]\n}}\n"
            )
        };
        let checked = [package("0.14.2", "h1:a")];
        let chosen = choose("", &lock("0.14.2", "h1:a"), &checked).expect("there");
        assert_eq!(chosen.verified.as_deref(), Some("h1:a"));
        let other = choose("", &lock("0.14.2", "h1:other"), &checked).expect("there");
        assert_eq!(other.verified, None, "the engine is to compare");
        let unknown = choose("", &lock("0.9.0", "h1:a"), &checked).expect("there");
        assert_eq!(unknown.verified, None);
        assert!(choose(">= 1", &lock("0.14.2", "h1:a"), &checked).is_err());
        let both = [package("0.14.2", "h1:a"), package("1.0.0", "h1:b")];
        let newer = choose(">= 1", &lock("0.14.2", "h1:a"), &both).expect("there");
        assert_eq!(newer.locked.version, "1.0.0", "the code asks for another");
        assert!(
            choose("", &lock("0.1.0", "h1:a"), &checked).is_err(),
            "not there"
        );
    }

    #[test]
    fn providers_of_a_state_are_needed_too() {
        let state = br#"{"resources": [
            {"provider": "provider[\"terraform.io/builtin/terraform\"]"},
            {"provider": "module.x.provider[\"r/n/t\"].alias"},
            {"provider": "provider[\"r/n/u\"].a[\"k\"]"}]}"#;
        let named = of_state(state);
        let required = required([].into_iter(), &named, "r").expect("read");
        let names: Vec<String> = required.keys().map(Address::to_string).collect();
        assert_eq!(names, ["r/n/t", "r/n/u"]);
    }
}
