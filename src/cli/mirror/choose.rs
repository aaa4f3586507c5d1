//! Which versions of a provider are fetched: those that are named, else the newest that fits.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::hcl::versions::{self, Term, Version};
use crate::sources::mirror::registry::{Offered, Registries};
use crate::sources::mirror::{Provider, is_version};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    Exactly(String),
    /// The newest that all of these allow.
    Newest(Vec<Term>),
}

impl Choice {
    /// Reads a version or a constraint.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let bare = text.trim().trim_start_matches('=').trim();
        if is_version(bare) {
            return Ok(Self::Exactly(bare.to_owned()));
        }
        versions::terms(text).map(Self::Newest).ok_or_else(|| {
            format!("`{text}` is no version and no constraint; expected `1.2.3`, `~> 1.2` or `>= 1, < 3`")
        })
    }
}

/// Decides on versions. The registry is asked only where one has to be found.
pub(super) async fn choose(
    registries: &Registries,
    provider: &Provider,
    choices: &[Choice],
    platforms: &[String],
) -> anyhow::Result<BTreeSet<String>> {
    let mut chosen = BTreeSet::new();
    let mut offered: Option<Vec<Offered>> = None;
    for choice in choices {
        let terms = match choice {
            Choice::Exactly(version) => {
                chosen.insert(version.clone());
                continue;
            }
            Choice::Newest(terms) => terms,
        };
        let offered = match &offered {
            Some(offered) => offered,
            None => offered.insert(registries.versions(provider).await?),
        };
        match newest(offered, terms, platforms) {
            Some(version) => {
                chosen.insert(version);
            }
            None => bail!(
                "the registry has no {provider} {} for {}",
                match terms.is_empty() {
                    true => "of any version".to_owned(),
                    false => versions::print(terms.clone()),
                },
                platforms.join(", ")
            ),
        }
    }
    Ok(chosen)
}

/// The newest version that fits and is published for all of these machines. Pre-releases have to be named.
pub(super) fn newest(offered: &[Offered], terms: &[Term], platforms: &[String]) -> Option<String> {
    offered
        .iter()
        .filter(|one| platforms.iter().all(|it| one.platforms.contains(it)))
        .filter_map(|one| Version::read(&one.version))
        .filter(|version| terms.iter().all(|term| term.allows(*version)))
        .max()
        .map(|version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_fits_and_is_published_for_all_machines_is_taken() {
        let offered: Vec<Offered> = [
            ("1.9.0", &["linux_amd64", "linux_arm64"][..]),
            ("1.10.0", &["linux_amd64", "linux_arm64"]),
            ("1.11.0", &["linux_amd64"]),
            ("2.0.0-rc1", &["linux_amd64", "linux_arm64"]),
        ]
        .iter()
        .map(|(version, platforms)| Offered {
            version: (*version).to_owned(),
            platforms: platforms.iter().map(|it| (*it).to_owned()).collect(),
        })
        .collect();
        let amd = ["linux_amd64".to_owned()];
        let both = ["linux_amd64".to_owned(), "linux_arm64".to_owned()];
        let terms = |text| versions::terms(text).expect("terms");
        assert_eq!(newest(&offered, &[], &amd).as_deref(), Some("1.11.0"));
        assert_eq!(newest(&offered, &[], &both).as_deref(), Some("1.10.0"));
        let old = newest(&offered, &terms("< 1.10"), &amd);
        assert_eq!(old.as_deref(), Some("1.9.0"));
        assert_eq!(newest(&offered, &terms(">= 2"), &amd), None);
        assert_eq!(
            Choice::read("2.0.0-rc1"),
            Ok(Choice::Exactly("2.0.0-rc1".to_owned()))
        );
        assert!(Choice::read("latest").is_err());
    }
}
