//! What we tell a user about a document: the problem, its place, what is available, what to do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// The request is refused.
    Error,
    /// The request goes on.
    Warning,
}

/// Which document a [`Place`] points into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Document {
    /// The deployment manifest of the request (after merge and set).
    Manifest,
    /// The body of the request itself.
    Request,
    /// A module of the catalogue.
    Module {
        /// Module id.
        id: String,
        /// Version of the module.
        version: String,
    },
    /// A provider of the catalogue.
    Provider {
        /// `TYPE.ID`.
        id: String,
    },
    /// A file given by the user that is no manifest (an `apply` file, a Score file).
    File {
        /// As the user named it.
        name: String,
    },
}

/// A point in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub(crate) struct Place {
    /// The document.
    pub(crate) document: Document,
    /// RFC 6901 JSON pointer into it; empty for the whole document.
    pub(crate) pointer: String,
    /// 1-based line, where the text is at hand (the client fills it for pointers from a server).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// 1-based column in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    /// The file the text came from, as the user named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

impl Place {
    /// A place without text coordinates.
    pub(crate) fn at(document: Document, pointer: impl Into<String>) -> Self {
        Self {
            document,
            pointer: pointer.into(),
            line: None,
            column: None,
            file: None,
        }
    }

    /// A place in the manifest.
    pub(crate) fn manifest(pointer: impl Into<String>) -> Self {
        Self::at(Document::Manifest, pointer)
    }
}

/// One problem, told to the person who can fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Diagnostic {
    /// Error or warning.
    pub(crate) severity: Severity,
    /// The same words every time for the same problem, for example `Unknown resource type`.
    pub(crate) summary: String,
    /// Full sentences: what, what was expected, what is available, what to do.
    pub(crate) detail: String,
    /// Where; the first place is the main one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) places: Vec<Place>,
    /// The wording that v1 clients and checklists know, where it differs from `detail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v1: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub(crate) fn error(
        summary: impl Into<String>,
        detail: impl Into<String>,
        place: Place,
    ) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            places: vec![place],
            v1: None,
        }
    }

    /// A warning.
    pub(crate) fn warning(
        summary: impl Into<String>,
        detail: impl Into<String>,
        place: Place,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(summary, detail, place)
        }
    }

    /// The same with the wording of v1.
    pub(crate) fn v1(mut self, text: impl Into<String>) -> Self {
        self.v1 = Some(text.into());
        self
    }

    /// Whether it is an error.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Appends one segment to a JSON pointer, escaped as RFC 6901 says.
pub(crate) fn pointer(base: &str, segment: &str) -> String {
    let mut pointer = String::with_capacity(base.len() + 1 + segment.len());
    pointer.push_str(base);
    pointer.push('/');
    if segment.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(segment);
    }
    pointer
}

/// Names from `known` that a mistyped `word` could have been, nearest first, at most three.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(far, name)| *far <= 1 + word.len().max(name.len()) / 3)
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Optimal string alignment distance, on bytes: good enough for identifiers.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut cost = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_strangers_not_at_all() {
        let known = ["postgres", "redis", "dns", "postgres-replica"];
        assert_eq!(nearest("postgers", known), ["postgres"]);
        assert_eq!(nearest("kafka", known), Vec::<&str>::new());
    }

    #[test]
    fn a_pointer_segment_is_escaped() {
        assert_eq!(pointer("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
