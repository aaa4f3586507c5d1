//! The registry of providers, asked by its public protocol: where it is, which versions there are, where a package lies.
//!
//! What is verified: every answer comes over TLS; the archive has the digest that the registry's answer and its list of
//! checksums (`SHA256SUMS`) both name; and the list is signed by a key that the registry names for this provider, where
//! it names one ([`super::signature`]). So the registry is trusted to name digests and keys, and whoever serves the files is not.

mod fetch;

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::fetch::{FIRST_PAUSE, TRIES, cannot_write, join};
use super::address::is_version;
use super::{Provider, Wanted, hash, signature};

/// Where a host says which services it has.
const DISCOVERY: &str = "/.well-known/terraform.json";
/// Its name for this one.
const SERVICE: &str = "providers.v1";

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Not reached, or not to the end.
    #[error("`{url}` could not be fetched: {why}")]
    Unreached { url: String, why: String },
    /// It answered something else.
    #[error("`{url}` answered {status}{advice}")]
    Status {
        url: String,
        status: u16,
        advice: &'static str,
    },
    /// An address that is not asked.
    #[error("`{0}` is not asked: a registry and its packages are fetched over https only")]
    Insecure(String),
    /// An answer that is not the protocol's.
    #[error("`{url}` does not answer as a registry of providers does: {why}")]
    Form { url: String, why: String },
    /// No such provider.
    #[error("the registry has no provider `{0}`; check how its source is written")]
    NoProvider(String),
    /// No such version.
    #[error("the registry has no {provider} {version}; it has {there}")]
    NoVersion {
        provider: String,
        version: String,
        there: String,
    },
    /// Not for this platform.
    #[error("{what} is not published for this platform; it is for {there}")]
    NoPlatform { what: String, there: String },
    /// Checksums that do not fit each other.
    #[error(
        "the checksum of {what} is sha256:{answer} in the registry's answer and {list} in its list of checksums; nothing was kept"
    )]
    Checksum {
        what: String,
        answer: String,
        list: String,
    },
    /// The package is not what the registry says.
    #[error(
        "the package of {what} has the digest sha256:{found}, and the registry says sha256:{wanted}; nothing was kept"
    )]
    Digest {
        what: String,
        wanted: String,
        found: String,
    },
    /// The list of checksums is not signed by whom it should be.
    #[error("the checksums of {what} are not signed as the registry says: {why}; nothing was kept")]
    Signature { what: String, why: String },
    /// The disk.
    #[error("`{path}` cannot be written")]
    Write {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl RegistryError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreached { .. } => true,
            Self::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// A version that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) version: String,
    /// `linux_amd64`.
    pub(crate) platforms: Vec<String>,
}

/// A package that was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) sha256: String,
    /// What was verified, in words.
    pub(crate) verified: String,
}

/// Registries, and how they are asked.
pub(crate) struct Registries {
    http: reqwest::Client,
    /// Asked for everything, instead of the hosts themselves.
    instead: Option<Url>,
    /// By host.
    tokens: BTreeMap<String, String>,
}

impl Registries {
    /// `http` must follow no redirects.
    pub(crate) fn new(
        http: reqwest::Client,
        instead: Option<Url>,
        tokens: BTreeMap<String, String>,
    ) -> Self {
        Self {
            http,
            instead,
            tokens,
        }
    }

    /// All versions of a provider, as the registry lists them.
    pub(crate) async fn versions(
        &self,
        provider: &Provider,
    ) -> Result<Vec<Offered>, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            versions: Vec<Version>,
        }
        #[derive(Deserialize)]
        struct Version {
            version: String,
            #[serde(default)]
            platforms: Vec<Machine>,
        }
        #[derive(Deserialize)]
        struct Machine {
            os: String,
            arch: String,
        }
        let path = format!("{}/{}/versions", provider.namespace, provider.kind);
        let answer: Answer = match self.ask(provider, &path).await {
            Err(RegistryError::Status { status: 404, .. }) => {
                return Err(RegistryError::NoProvider(provider.to_string()));
            }
            other => other?,
        };
        let versions = answer.versions.into_iter();
        Ok(versions
            .filter(|offered| is_version(&offered.version))
            .map(|offered| Offered {
                version: offered.version,
                platforms: offered
                    .platforms
                    .iter()
                    .map(|machine| format!("{}_{}", machine.os, machine.arch))
                    .collect(),
            })
            .collect())
    }

    /// Fetches a package to `zip` and verifies it.
    pub(crate) async fn fetch(
        &self,
        wanted: &Wanted,
        zip: &Path,
    ) -> Result<Fetched, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            filename: String,
            download_url: String,
            shasum: String,
            shasums_url: String,
            #[serde(default)]
            shasums_signature_url: String,
            #[serde(default)]
            signing_keys: Keys,
        }
        #[derive(Default, Deserialize)]
        struct Keys {
            #[serde(default)]
            gpg_public_keys: Vec<Key>,
        }
        #[derive(Deserialize)]
        struct Key {
            ascii_armor: String,
        }
        let (system, processor) = wanted.machine();
        let provider = &wanted.provider;
        let path = format!(
            "{}/{}/{}/download/{system}/{processor}",
            provider.namespace, provider.kind, wanted.version
        );
        let base = self.base(provider).await?;
        let asked = join(&base, &path)?;
        let answer: Answer = match self.document(&asked, self.token(provider)).await {
            Err(RegistryError::Status { status: 404, .. }) => {
                return Err(self.why_not(wanted).await);
            }
            other => other?,
        };
        let what = wanted.to_string();
        let sums_url = join(&asked, &answer.shasums_url)?;
        let sums = self.bytes(&sums_url, None).await?;
        let listed = listed(&sums, &answer.filename);
        let shasum = answer.shasum.to_ascii_lowercase();
        if listed.as_ref() != Some(&shasum) {
            return Err(RegistryError::Checksum {
                what,
                answer: shasum,
                list: listed.map_or_else(|| "not".to_owned(), |sum| format!("sha256:{sum}")),
            });
        }
        let keys: Vec<&str> = answer
            .signing_keys
            .gpg_public_keys
            .iter()
            .map(|key| key.ascii_armor.as_str())
            .collect();
        let signed = if keys.is_empty() {
            "not signed: the registry names no key".to_owned()
        } else {
            let url = join(&asked, &answer.shasums_signature_url)?;
            let signature = self.bytes(&url, None).await?;
            let key = signature::verify(&sums, &signature, &keys).map_err(|why| {
                RegistryError::Signature {
                    what: what.clone(),
                    why,
                }
            })?;
            format!("signed by {key}")
        };
        let url = join(&asked, &answer.download_url)?;
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            match self.download(&url, zip).await {
                Ok(()) => break,
                Err(error) if left > 0 && error.may_pass() => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        let found = std::fs::File::open(zip)
            .and_then(hash::of_reader)
            .map_err(|source| cannot_write(zip, source))?;
        if found != shasum {
            return Err(RegistryError::Digest {
                what,
                wanted: shasum,
                found,
            });
        }
        let from = base.host_str().unwrap_or("a registry").to_owned();
        Ok(Fetched {
            sha256: found,
            verified: format!("from {from}; digest as in its checksums; {signed}"),
        })
    }

    /// Why there is no such package: the version, or only this platform.
    async fn why_not(&self, wanted: &Wanted) -> RegistryError {
        let versions = match self.versions(&wanted.provider).await {
            Ok(versions) => versions,
            Err(error) => return error,
        };
        let words = |words: Vec<&str>| match words.is_empty() {
            true => "nothing".to_owned(),
            false => words.join(", "),
        };
        match versions
            .iter()
            .find(|offered| offered.version == wanted.version)
        {
            Some(offered) => RegistryError::NoPlatform {
                what: wanted.to_string(),
                there: words(offered.platforms.iter().map(String::as_str).collect()),
            },
            None => RegistryError::NoVersion {
                provider: wanted.provider.to_string(),
                version: wanted.version.clone(),
                there: words(
                    versions
                        .iter()
                        .rev()
                        .take(20)
                        .map(|offered| offered.version.as_str())
                        .collect(),
                ),
            },
        }
    }

    fn token(&self, provider: &Provider) -> Option<&str> {
        self.tokens.get(&provider.host).map(String::as_str)
    }

    /// Where the registry of a provider answers: its host is asked for it.
    async fn base(&self, provider: &Provider) -> Result<Url, RegistryError> {
        let text = format!("https://{}", provider.host);
        let host = match &self.instead {
            Some(url) => url.clone(),
            None => Url::parse(&text).map_err(|_| RegistryError::Insecure(text))?,
        };
        let url = join(&host, DISCOVERY)?;
        let services: BTreeMap<String, serde_json::Value> =
            match self.document(&url, self.token(provider)).await {
                Err(RegistryError::Status { status: 404, .. }) => BTreeMap::new(),
                other => other?,
            };
        let found = services.get(SERVICE).and_then(serde_json::Value::as_str);
        let service = found.ok_or_else(|| RegistryError::Form {
            url: url.to_string(),
            why: format!("it names no service `{SERVICE}`, so there is no registry of providers"),
        })?;
        let mut base = join(&url, service)?;
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        Ok(base)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        provider: &Provider,
        path: &str,
    ) -> Result<T, RegistryError> {
        let url = join(&self.base(provider).await?, path)?;
        self.document(&url, self.token(provider)).await
    }
}

/// The digest of a file in a list of checksums.
fn listed(sums: &[u8], filename: &str) -> Option<String> {
    let text = std::str::from_utf8(sums).ok()?;
    let mut found = text.lines().filter_map(|line| {
        let (sum, name) = line.split_once(char::is_whitespace)?;
        (name.trim_start().trim_start_matches('*') == filename).then(|| sum.to_ascii_lowercase())
    });
    found
        .next()
        .filter(|sum| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_checksums_is_read_by_whole_names() {
        let sum = "a".repeat(64);
        let list = format!("{sum}  x_1.zip\n{}  *y.zip\nshort  z.zip\n", "B".repeat(64));
        assert_eq!(listed(list.as_bytes(), "x_1.zip"), Some(sum));
        assert_eq!(listed(list.as_bytes(), "y.zip"), Some("b".repeat(64)));
        for none in ["z.zip", "1.zip", "x_1", ""] {
            assert_eq!(listed(list.as_bytes(), none), None, "{none}");
        }
    }
}
