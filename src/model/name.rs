//! The shapes of names, as predicates. Lengths count Unicode characters.

/// A shape of name: which characters, how many, and what to tell a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `^[a-z](?:-?[a-z0-9]+)+$`, 2 to 100: organisations, projects, environments, types, modules.
    StdId,
    /// `^[a-z][a-z0-9_-]+$`, 2 to 100: provider types, providers, runners.
    TofuId,
    /// `^[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]$`: resource types as a manifest names them.
    TypeName,
    /// The same shape: resource classes.
    Class,
    /// Dot-separated lower-case kebab parts, 1 to 63: resource ids.
    ResourceId,
    /// `^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$`: workloads and shared aliases.
    WorkloadName,
    /// `^[a-zA-Z][a-zA-Z0-9_-]*$`: inputs, params, local provider names.
    Variable,
}

impl Shape {
    /// Whether `text` has this shape.
    pub(crate) fn fits(self, text: &str) -> bool {
        let length = text.chars().count();
        match self {
            Self::StdId => {
                (2..=100).contains(&length)
                    && text.starts_with(|c: char| c.is_ascii_lowercase())
                    && kebab(
                        text,
                        |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
                        false,
                    )
            }
            Self::TofuId => {
                (2..=100).contains(&length)
                    && text.starts_with(|c: char| c.is_ascii_lowercase())
                    && text.chars().all(|c| {
                        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'
                    })
            }
            Self::TypeName | Self::Class => {
                (2..=63).contains(&length) && kebab(text, |c| c.is_ascii_alphanumeric(), true)
            }
            Self::ResourceId => {
                (1..=63).contains(&length)
                    && text.split('.').all(|part| {
                        kebab(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), true)
                    })
            }
            Self::WorkloadName => {
                (2..=63).contains(&length)
                    && kebab(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), true)
            }
            Self::Variable => {
                text.starts_with(|c: char| c.is_ascii_alphabetic())
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            }
        }
    }

    /// The shape in words, for errors.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::StdId => {
                "2 to 100 lower-case letters, digits and single hyphens, starting with a letter"
            }
            Self::TofuId => {
                "2 to 100 lower-case letters, digits, `_` and `-`, starting with a letter"
            }
            Self::TypeName | Self::Class => {
                "2 to 63 letters, digits and hyphens, not starting or ending with a hyphen"
            }
            Self::ResourceId => {
                "1 to 63 lower-case letters, digits and hyphens in parts separated by dots"
            }
            Self::WorkloadName => {
                "2 to 63 lower-case letters, digits and hyphens, not starting or ending with a hyphen"
            }
            Self::Variable => "letters, digits, `_` and `-`, starting with a letter",
        }
    }
}

/// Whether `text` is made of `plain` characters and inner hyphens; `double` allows `--`.
fn kebab(text: &str, plain: impl Fn(char) -> bool, double: bool) -> bool {
    text.starts_with(&plain)
        && text.ends_with(&plain)
        && text.chars().all(|c| plain(c) || c == '-')
        && (double || !text.contains("--"))
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn shapes_accept_and_refuse_what_their_regexes_do() {
        for (shape, good, bad) in [
            (
                Shape::StdId,
                &["ab", "a-b1", "shop"][..],
                &["a", "-a", "a-", "a--b", "A", "1a", ""][..],
            ),
            (Shape::TofuId, &["aws", "a_", "a--"], &["a", "_a", "A1", ""]),
            (
                Shape::TypeName,
                &["s3", "K8s-x", "a--b"],
                &["a", "-ab", "ab-", "a.b"],
            ),
            (
                Shape::ResourceId,
                &["a", "shared.db", "a--b.c"],
                &["", ".a", "a.", "a..b", "-a", "A"],
            ),
            (
                Shape::WorkloadName,
                &["a1", "1a", "a--b"],
                &["a", "-a", "a_b"],
            ),
            (Shape::Variable, &["a", "A_b-1"], &["", "1a", "_a", "a.b"]),
        ] {
            for text in good {
                assert!(shape.fits(text), "{shape:?} refuses `{text}`");
            }
            for text in bad {
                assert!(!shape.fits(text), "{shape:?} accepts `{text}`");
            }
        }
    }
}
