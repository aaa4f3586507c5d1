//! Exit codes and the errors that end a command. The codes are documented here and nowhere else.
//!
//! Why one place: scripts and CI live by them, so they must not be spread over the commands.

use std::fmt;

use crate::model::Diagnostic;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done; with `--detailed-exitcode`: nothing to change.
    pub(crate) const OK: Self = Self(0);
    /// Any error: usage, refused input, a failed deployment.
    pub(crate) const FAILED: Self = Self(1);
    /// Only with `--detailed-exitcode`: there are changes, or changes were made.
    pub(crate) const CHANGES: Self = Self(2);
    /// Interrupted before anything was submitted (128 + SIGINT).
    pub(crate) const INTERRUPTED: Self = Self(130);
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// An error with advice: printed as `Error: …`, then one `Suggestion:` block.
#[derive(Debug)]
pub(crate) struct Advised {
    message: String,
    /// Sentences or commands, one a line.
    pub(crate) suggestions: Vec<String>,
}

impl Advised {
    /// An error with what can be done about it.
    pub(crate) fn new(
        message: impl Into<String>,
        suggestions: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            message: message.into(),
            suggestions: suggestions.into_iter().map(Into::into).collect(),
        }
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advised {}

/// Everything that is wrong with what the user gave, with places; printed with source lines.
#[derive(Debug)]
pub(crate) struct Findings(pub(crate) Vec<Found>);

/// One problem, and the text around its main place where the client has it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The problem.
    pub(crate) diagnostic: Diagnostic,
    /// What its main place points into.
    pub(crate) excerpt: Option<Excerpt>,
}

/// A text and the bytes of it that a problem is about.
#[derive(Debug, Clone)]
pub(crate) struct Excerpt {
    /// File as the user named it, `standard input`, or the flag.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: std::sync::Arc<str>,
    /// Byte range.
    pub(crate) span: std::ops::Range<usize>,
}

impl From<Diagnostic> for Found {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            diagnostic,
            excerpt: None,
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(&one.diagnostic.summary),
            many => write!(f, "{} problems", many.len()),
        }
    }
}

impl std::error::Error for Findings {}

/// The reason was already printed; only the exit code is left.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as printed above")
    }
}

impl std::error::Error for Told {}
