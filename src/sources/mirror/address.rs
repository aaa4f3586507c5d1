//! Names of providers and packages. They become parts of paths and addresses, so nothing else gets through.

use std::fmt;

/// Who owns a provider whose source does not say.
const NAMESPACE: &str = "hashicorp";

/// `HOST/NAMESPACE/TYPE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Provider {
    pub(crate) host: String,
    pub(crate) namespace: String,
    pub(crate) kind: String,
}

impl Provider {
    /// Reads a source as `required_providers` has it. One without a host is of `registry`.
    pub(crate) fn parse(source: &str, registry: &str) -> Result<Self, String> {
        let lower = source.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let (host, namespace, kind) = match parts.as_slice() {
            [kind] => (registry, NAMESPACE, *kind),
            [namespace, kind] => (registry, *namespace, *kind),
            [host, namespace, kind] => (*host, *namespace, *kind),
            _ => ("", "", ""),
        };
        if !is_host(host) || !is_name(namespace) || !is_name(kind) {
            return Err(format!(
                "`{source}` is no source of a provider; expected `NAMESPACE/TYPE` or `HOST/NAMESPACE/TYPE`"
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.host, self.namespace, self.kind)
    }
}

/// One package of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) provider: Provider,
    pub(crate) version: String,
    /// `linux_amd64`.
    pub(crate) platform: String,
}

impl Wanted {
    pub(crate) fn new(provider: Provider, version: &str, platform: &str) -> Result<Self, String> {
        if !is_version(version) {
            return Err(format!(
                "`{version}` is no version; expected one like `1.2.3`"
            ));
        }
        if !is_platform(platform) {
            return Err(format!(
                "`{platform}` is no platform; expected one like `linux_amd64`"
            ));
        }
        Ok(Self {
            provider,
            version: version.to_owned(),
            platform: platform.to_owned(),
        })
    }

    /// Where it lies in a mirror.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}", self.provider, self.version, self.platform)
    }

    /// Operating system and processor.
    pub(super) fn machine(&self) -> (&str, &str) {
        self.platform
            .split_once('_')
            .unwrap_or((&self.platform, ""))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.provider, self.version, self.platform)
    }
}

/// Whether a text is one exact version.
pub(crate) fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= 64
        && text.split('.').count() >= 3
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
}

fn is_platform(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.len() <= 16 && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    text.split_once('_')
        .is_some_and(|(system, processor)| is_word(system) && is_word(processor))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(['-', '_'])
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['-', '.'])
        && !name.contains("..")
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
        && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_the_engines_read_them_and_nothing_else_is() {
        let read = |source: &str| Provider::parse(source, "r.example").map(|p| p.to_string());
        assert_eq!(read("time").expect("read"), "r.example/hashicorp/time");
        assert_eq!(read("Acme/db").expect("read"), "r.example/acme/db");
        assert_eq!(
            read("localhost:8443/acme/db").expect("read"),
            "localhost:8443/acme/db"
        );
        for odd in [
            "",
            "/",
            "a/b/c/d",
            "../b/c",
            "a/../c",
            "x.y/.b/c",
            "h:99999/a/b",
            "a b/c",
            "a/b\\c",
            ".packages/a/b",
            "-a/b",
        ] {
            assert!(read(odd).is_err(), "{odd}");
        }
        let provider = Provider::parse("acme/db", "r.example").expect("read");
        for (version, platform) in [
            ("1.2", "linux_amd64"),
            ("v1.2.3", "linux_amd64"),
            ("1.2.3/..", "linux_amd64"),
            ("1.2.3", "linux"),
            ("1.2.3", "../x_y"),
        ] {
            let wanted = Wanted::new(provider.clone(), version, platform);
            assert!(wanted.is_err(), "{version} {platform}");
        }
    }
}
