//! Names that reach state: labels of modules, names of providers. They follow v1 to the letter, so that
//! existing state is adopted without destroying anything.

use sha2::{Digest as _, Sha256};

use crate::catalog::Provider;
use crate::model::ResourceKey;

/// The label of a resource's module block.
pub(crate) fn module_label(key: &ResourceKey) -> String {
    let base = [key.type_name.as_str(), &key.class, &key.id].join("_");
    let mut label = String::with_capacity(base.len().min(91) + 9);
    label.extend(base.chars().filter(|c| is_plain(*c)).take(91));
    label.push('_');
    label.push_str(&short_hash(base.as_bytes()));
    label
}

/// Local name and alias of a provider variant.
///
/// v1 removes `_` and does not look at hyphens; names that the engine refuses for their hyphens never
/// reached any state, so there they are folded.
pub(super) fn provider_name(provider: &Provider, variant: &str) -> String {
    let end = variant.len().min(8);
    let name = format!(
        "{}-{}-{}",
        provider.provider_type,
        provider.id,
        &variant[..end]
    );
    let mut folded = String::with_capacity(name.len());
    for letter in name.chars().filter(|c| *c != '_') {
        if letter != '-' || !folded.ends_with('-') {
            folded.push(letter);
        }
    }
    folded
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn short_hash(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!(
        "{:08x}",
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    )
}

/// Whether a text can stand as an identifier of HCL; ASCII only.
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether it can also be an unquoted key of an object.
pub(super) fn is_bare_key(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "for", "if", "in", "else", "endif", "endfor", "null", "true", "false",
    ];
    is_identifier(text) && !WORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_existing_state() {
        let label = |t: &str, c: &str, i: &str| module_label(&ResourceKey::new(t, c, i));
        assert_eq!(
            label("k8s-namespace", "default", "workloads.sample.ns"),
            "k8s-namespace_default_workloadssamplens_b55c1617"
        );
        assert_eq!(
            label("postgres", "default", "shared.db"),
            "postgres_default_shareddb_3d8ff0d2"
        );
        assert_eq!(
            label("s3", "archive", "workloads.api.bucket"),
            "s3_archive_workloadsapibucket_763a606c"
        );
        let long = label("type", "class", &"x".repeat(200));
        assert_eq!(long.len(), 91 + 9);
    }

    #[test]
    fn provider_names_lose_underscores_and_fold_hyphens() {
        let name = |t: &str, id: &str| {
            let provider = Provider {
                provider_type: t.into(),
                id: id.into(),
                source: String::new(),
                version_constraint: String::new(),
                configuration: serde_json::Map::new(),
            };
            provider_name(&provider, "5d5ec199aaaa")
        };
        assert_eq!(name("aws", "main"), "aws-main-5d5ec199");
        assert_eq!(name("a_b", "c_"), "ab-c-5d5ec199");
        assert_eq!(name("a--b", "c-"), "a-b-c-5d5ec199");
    }
}
