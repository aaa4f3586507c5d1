//! Versions and constraints of providers, as far as choosing from a mirror needs them.
//!
//! Pre-releases and everything else unusual are no version here, so that the engine's own choice is asked for.

use std::fmt;

/// Three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u64; 3]);

impl Version {
    /// Reads `1.2.3`; `None` for any other form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match numbers(text)?.as_slice() {
            [a, b, c] => Some(Self([*a, *b, *c])),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a}.{b}.{c}")
    }
}

fn numbers(text: &str) -> Option<Vec<u64>> {
    text.split('.')
        .map(|part| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'));
            part.parse().ok().filter(|_| is_number)
        })
        .collect()
}

/// How a version is compared; in the order in which the engines sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Greater,
    AtLeast,
    /// `~>` with three numbers: only the last may grow.
    Patch,
    /// `~>` with two: only the last two may.
    Minor,
    AtMost,
    Less,
    Not,
    Exactly,
}

/// One term of a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term {
    boundary: Version,
    operator: Operator,
}

/// Reads `>= 1.2, < 2`. `None` where a term has a form that is not known here.
pub(crate) fn terms(text: &str) -> Option<Vec<Term>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|term| one(term.trim())).collect()
}

fn one(text: &str) -> Option<Term> {
    let at = text.find(|c: char| c.is_ascii_digit())?;
    let (operator, number) = text.split_at(at);
    let parts = numbers(number.trim_end())?;
    let (boundary, count) = match parts.as_slice() {
        [a] => (Version([*a, 0, 0]), 1),
        [a, b] => (Version([*a, *b, 0]), 2),
        [a, b, c] => (Version([*a, *b, *c]), 3),
        _ => return None,
    };
    let operator = match (operator.trim_end(), count) {
        ("" | "=", 3) => Operator::Exactly,
        ("!=", 3) => Operator::Not,
        (">", _) => Operator::Greater,
        (">=", _) => Operator::AtLeast,
        ("<", _) => Operator::Less,
        ("<=", _) => Operator::AtMost,
        ("~>", 3) => Operator::Patch,
        ("~>", 2) => Operator::Minor,
        _ => return None,
    };
    Some(Term { boundary, operator })
}

impl Term {
    /// Whether `version` is allowed.
    pub(crate) fn allows(&self, version: Version) -> bool {
        let (Version([major, minor, _]), boundary) = (version, self.boundary);
        let Version([wanted_major, wanted_minor, _]) = boundary;
        match self.operator {
            Operator::Greater => version > boundary,
            Operator::AtLeast => version >= boundary,
            Operator::Less => version < boundary,
            Operator::AtMost => version <= boundary,
            Operator::Not => version != boundary,
            Operator::Exactly => version == boundary,
            Operator::Patch => {
                version >= boundary && (major, minor) == (wanted_major, wanted_minor)
            }
            Operator::Minor => version >= boundary && major == wanted_major,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version([major, minor, _]) = self.boundary;
        match self.operator {
            Operator::Minor => write!(f, "~> {major}.{minor}"),
            Operator::Exactly => write!(f, "{}", self.boundary),
            other => {
                let sign = match other {
                    Operator::Greater => ">",
                    Operator::AtLeast => ">=",
                    Operator::Less => "<",
                    Operator::AtMost => "<=",
                    Operator::Not => "!=",
                    Operator::Patch | Operator::Minor | Operator::Exactly => "~>",
                };
                write!(f, "{sign} {}", self.boundary)
            }
        }
    }
}

/// Terms as a lock file has them: each once, sorted, joined.
pub(crate) fn print(mut terms: Vec<Term>) -> String {
    terms.sort();
    terms.dedup();
    let words: Vec<String> = terms.iter().map(Term::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_allow_what_the_engines_allow() {
        for (constraint, good, bad) in [
            ("1.2.3", &["1.2.3"][..], &["1.2.4"][..]),
            ("= 1.2.3", &["1.2.3"], &["1.2.2"]),
            ("!= 1.2.3", &["1.2.4"], &["1.2.3"]),
            (">= 1.2, < 2", &["1.2.0", "1.99.0"], &["1.1.9", "2.0.0"]),
            (">1.2.0,<=1.3", &["1.2.1", "1.3.0"], &["1.2.0", "1.3.1"]),
            ("~> 1.2", &["1.2.0", "1.9.9"], &["1.1.0", "2.0.0"]),
            ("~> 1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
            ("", &["0.0.1"], &[]),
        ] {
            let terms = terms(constraint).expect(constraint);
            let allowed = |text: &str| {
                let version = Version::read(text).expect("a version");
                terms.iter().all(|term| term.allows(version))
            };
            assert!(good.iter().all(|text| allowed(text)), "{constraint}");
            assert!(!bad.iter().any(|text| allowed(text)), "{constraint}");
        }
        for odd in [
            "~> 1",
            "1.2",
            "v1.2.3",
            ">= 1.0.0-beta",
            "1.2.*",
            "latest",
            "=> 1.0",
            "1,,2",
        ] {
            assert_eq!(terms(odd), None, "{odd}");
        }
        assert_eq!(Version::read("1.2.3-beta"), None);
        assert_eq!(Version::read("01.2.3"), None);
    }

    #[test]
    fn constraints_print_as_in_lock_files() {
        let mut all = terms(">= 0.10, < 1.0.0").expect("read");
        all.extend(terms("~> 0.14, >= 0.10.0").expect("read"));
        assert_eq!(print(all), ">= 0.10.0, ~> 0.14, < 1.0.0");
    }
}
