//! Reads one placeholder. Errors are v1's, byte offset and all.

use std::fmt;

use super::{Direction, Filter, OutputPath, Placeholder, Segment, Step};

/// Why the text between `${` and `}` is no placeholder. Offsets count bytes from after `${`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// What was between the braces.
    pub(crate) inner: String,
    /// Where it goes wrong.
    pub(crate) offset: usize,
    /// What could stand there.
    pub(crate) expected: &'static [&'static str],
    /// What stands there, in words.
    pub(crate) got: String,
    /// Whether the placeholder followed a dollar sign: `$${…}` is often meant as an escape.
    pub(crate) after_dollar: bool,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid placeholder '{}': @{}: expected {}; got {}",
            self.inner,
            self.offset,
            one_of(self.expected),
            self.got
        )
    }
}

/// Joins alternatives as v1 does.
fn one_of(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [a, b] => format!("either {a} or {b}"),
        [most @ .., last] => format!("one of {}, or {last}", most.join(", ")),
    }
}

const START: &[&str] = &[
    "context.",
    "self.outputs.",
    "var.",
    "resources.",
    "shared.",
    "select.",
];
const FUNCTIONS: &[&str] = &["dependencies(", "consumers("];
const FUNCTION_OR_OUTPUTS: &[&str] = &["dependencies(", "consumers(", "outputs."];

/// Reads what stands between `${` and `}`.
pub(crate) fn parse(inner: &str) -> Result<Placeholder<'_>, SyntaxError> {
    let mut reader = Reader { text: inner, at: 0 };
    let placeholder = reader.placeholder()?;
    if reader.at < inner.len() {
        return Err(reader.expected(&["end of line"]));
    }
    Ok(placeholder)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn placeholder(&mut self) -> Result<Placeholder<'a>, SyntaxError> {
        if self.take("context.") {
            Ok(Placeholder::Context(self.key()?))
        } else if self.take("var.") {
            Ok(Placeholder::Variable(self.key()?))
        } else if self.take("self.outputs.") {
            Ok(Placeholder::Own(self.path()?))
        } else if self.take("resources.") {
            let alias = self.key()?;
            self.outputs()?;
            Ok(Placeholder::Resource {
                alias,
                path: self.path()?,
            })
        } else if self.take("shared.") {
            let alias = self.key()?;
            self.outputs()?;
            Ok(Placeholder::Shared {
                alias,
                path: self.path()?,
            })
        } else if self.take("select.") {
            self.selector()
        } else {
            Err(self.expected(START))
        }
    }

    fn selector(&mut self) -> Result<Placeholder<'a>, SyntaxError> {
        let mut steps = Vec::new();
        loop {
            let direction = if self.take("dependencies(") {
                Direction::Dependencies
            } else if self.take("consumers(") {
                Direction::Consumers
            } else if !steps.is_empty() && self.take("outputs.") {
                return Ok(Placeholder::Select {
                    steps,
                    path: self.path()?,
                });
            } else {
                return Err(self.expected(if steps.is_empty() {
                    FUNCTIONS
                } else {
                    FUNCTION_OR_OUTPUTS
                }));
            };
            let filter = self.filter()?;
            if !self.take(").") {
                return Err(self.expected(&["\").\""]));
            }
            steps.push(Step {
                direction,
                filter: Filter { text: filter },
            });
        }
    }

    fn filter(&mut self) -> Result<&'a str, SyntaxError> {
        let length = self.filter_length();
        if length == 0 {
            return Err(self.expected(&["filter"]));
        }
        let quoted = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(&quoted[1..length - 1])
    }

    /// Length of the quoted filter that starts here; 0 for none.
    fn filter_length(&self) -> usize {
        let rest = &self.text[self.at..];
        let Some(inside) = rest.strip_prefix('\'') else {
            return 0;
        };
        let length = inside
            .find(|c: char| !(is_key(c) || matches!(c, '@' | '#' | '.')))
            .unwrap_or(inside.len());
        if inside[length..].starts_with('\'') {
            length + 2
        } else {
            0
        }
    }

    fn outputs(&mut self) -> Result<(), SyntaxError> {
        if self.take(".outputs.") {
            Ok(())
        } else {
            Err(self.expected(&["\".outputs.\""]))
        }
    }

    fn path(&mut self) -> Result<OutputPath<'a>, SyntaxError> {
        let output = self.key()?;
        let mut rest = Vec::new();
        loop {
            if self.take(".") {
                let key = self.key()?;
                rest.push(match index(key) {
                    Some(position) => Segment::Index(position),
                    None => Segment::Key(key),
                });
            } else if self.text[self.at..].starts_with('[') {
                let after = &self.text[self.at + 1..];
                let digits = after
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(after.len());
                match index(&after[..digits]) {
                    Some(position) if after[digits..].starts_with(']') => {
                        rest.push(Segment::Index(position));
                        self.at += digits + 2;
                    }
                    _ => {
                        self.at += 1;
                        return Err(self.expected(&["list position"]));
                    }
                }
            } else {
                return Ok(OutputPath { output, rest });
            }
        }
    }

    fn key(&mut self) -> Result<&'a str, SyntaxError> {
        let length = self.key_length(self.at);
        if length == 0 {
            return Err(self.expected(&["key"]));
        }
        let key = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(key)
    }

    fn key_length(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        rest.find(|c: char| !is_key(c)).unwrap_or(rest.len())
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expected(&self, expected: &'static [&'static str]) -> SyntaxError {
        let rest = &self.text[self.at..];
        let token = match rest.chars().next() {
            None => None,
            Some('.') => Some(1 + self.key_length(self.at + 1)),
            Some(')') => Some(if rest.starts_with(").") { 2 } else { 1 }),
            Some('\'') if self.filter_length() > 0 => Some(self.filter_length()),
            Some(c) if is_key(c) => Some(self.key_length(self.at)),
            Some(_) => Some(0),
        };
        SyntaxError {
            inner: self.text.to_owned(),
            offset: self.at,
            expected,
            got: match token {
                None => "end of line".into(),
                Some(0) => format!(
                    "unknown/invalid token {:?}",
                    rest.chars().next().unwrap_or(' ').to_string()
                ),
                Some(length) => format!("\"{}\"", &rest[..length]),
            },
            after_dollar: false,
        }
    }
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A position in a list: digits without a leading zero.
fn index(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    #[cfg(feature = "fuzz")]
    let plain = plain || crate::model::planted::is_planted("placeholder");
    (plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}
