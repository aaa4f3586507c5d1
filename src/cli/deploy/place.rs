//! From a JSON pointer in an answer back to what the user typed: a line of the file, or a flag.
//!
//! Operations are looked at from last to first, because later ones win; what no operation brought was
//! deployed before and has no text here.

use std::ops::Range;
use std::sync::Arc;

use super::source::{Request, SourceText};
use crate::cli::exit::{Excerpt, Found};
use crate::manifest::edit::Operation;
use crate::model::Place;
use crate::model::diag::{Diagnostic, Document, pointer};

/// Finds the text of every problem.
pub(crate) fn locate(request: &Request, diagnostics: Vec<Diagnostic>) -> Vec<Found> {
    diagnostics
        .into_iter()
        .map(|diagnostic| {
            let excerpt = diagnostic
                .places
                .iter()
                .find_map(|place| excerpt(request, place, &diagnostic));
            Found {
                diagnostic,
                excerpt,
            }
        })
        .collect()
}

/// A problem of a text that could not be parsed at all: its line and column are known already.
pub(crate) fn in_text(name: &str, text: &Arc<str>, diagnostic: Diagnostic) -> Found {
    let excerpt = diagnostic.places.first().and_then(|place| {
        let start = offset(text, place.line?, place.column.unwrap_or(1))?;
        Some(Excerpt {
            name: name.to_owned(),
            text: text.clone(),
            span: token(text, start),
        })
    });
    Found {
        diagnostic,
        excerpt,
    }
}

fn excerpt(request: &Request, place: &Place, diagnostic: &Diagnostic) -> Option<Excerpt> {
    match &place.document {
        Document::Manifest => in_manifest(request, &place.pointer, diagnostic),
        Document::Request => {
            let mut rest = place
                .pointer
                .strip_prefix("/windlass/operations/")?
                .splitn(3, '/');
            let operation = request
                .operations
                .get(rest.next()?.parse::<usize>().ok()?)?;
            match operation {
                // `N/replace/POINTER` is a place of the document itself.
                Operation::Replace(_) | Operation::Merge(_) => {
                    rest.next()?;
                    let inner = rest
                        .next()
                        .map_or_else(String::new, |inner| format!("/{inner}"));
                    in_document(request.texts.first()?, &inner, diagnostic)
                }
                _ => flag(operation),
            }
        }
        Document::File { name } => {
            let text = request.texts.iter().find(|text| text.name == *name)?;
            in_document(text, &place.pointer, diagnostic)
        }
        Document::Module { .. } | Document::Provider { .. } => None,
    }
}

fn in_manifest(request: &Request, at: &str, diagnostic: &Diagnostic) -> Option<Excerpt> {
    if let Some(score) = &request.score {
        let (document, inner) = score.origin(at)?;
        return in_document(request.texts.get(document)?, &inner, diagnostic);
    }
    for operation in request.operations.iter().rev() {
        match operation {
            Operation::Set { path, .. } => {
                let set = path
                    .split('.')
                    .fold(String::new(), |base, part| pointer(&base, part));
                if at == set || at.starts_with(&format!("{set}/")) {
                    return flag(operation);
                }
            }
            Operation::Merge(_) => {
                // Merging goes by workload and by shared alias: two segments.
                let part: String = at.split('/').take(3).collect::<Vec<_>>().join("/");
                if let Some(text) = request.texts.first()
                    && (at.is_empty() || text.document.value.pointer(&part).is_some())
                {
                    return in_document(text, at, diagnostic);
                }
            }
            Operation::Replace(_) => return in_document(request.texts.first()?, at, diagnostic),
            Operation::DropWorkload(_) | Operation::DropShared(_) => {}
        }
    }
    None
}

/// The place of a pointer in a parsed text.
pub(crate) fn in_document(text: &SourceText, at: &str, diagnostic: &Diagnostic) -> Option<Excerpt> {
    let inner = at.strip_prefix(text.mounted_at.as_str())?;
    let about_key = diagnostic.summary.contains("key") || diagnostic.summary.contains("name");
    let is_scalar = text
        .document
        .value
        .pointer(inner)
        .is_some_and(|value| !value.is_object() && !value.is_array());
    let (line, column) = if is_scalar && !about_key {
        text.document.value_place(inner)?
    } else {
        text.document.place(inner)?
    };
    let start = offset(&text.text, line, column)?;
    Some(Excerpt {
        name: text.name.clone(),
        text: text.text.clone(),
        span: token(&text.text, start),
    })
}

/// A flag as the text that a problem points into.
fn flag(operation: &Operation) -> Option<Excerpt> {
    let text = match operation {
        Operation::Set { path, value } => format!("--set {path}={value}"),
        Operation::DropWorkload(name) => format!("--drop-workload {name}"),
        Operation::DropShared(alias) => format!("--drop-shared {alias}"),
        Operation::Replace(_) | Operation::Merge(_) => return None,
    };
    let start = text.find(' ').map_or(0, |space| space + 1);
    Some(Excerpt {
        name: "command line".into(),
        span: start..text.len(),
        text: text.into(),
    })
}

/// Byte offset of a line and column, both from 1, the column in characters.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let rest = &text[start..];
    let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let column = rest
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(rest.len(), |(at, _)| at);
    Some(start + column)
}

/// The word, quoted text or rest of a line that begins at `start`.
fn token(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let first = line.chars().next();
    let len = match first {
        Some(quote @ ('"' | '\'')) => line[1..].find(quote).map_or(line.len(), |end| end + 2),
        Some('{' | '[' | '|' | '>') => 1,
        _ => line
            .char_indices()
            .find(|(at, c)| {
                let next = line[at + c.len_utf8()..].chars().next();
                matches!(c, ',' | '}' | ']')
                    || (*c == ':' && next.is_none_or(char::is_whitespace))
                    || (c.is_whitespace() && next == Some('#'))
            })
            .map_or(line.trim_end().len(), |(at, _)| at),
    };
    start..start + len.max(usize::from(!line.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::deploy::source::read_document;
    use crate::wire::deployments::Base;

    const TEXT: &str =
        "workloads:\n  web:\n    resources:\n      db: {type: postgers, clas: big}  # here\n";

    fn request(operations: Vec<Operation>) -> Request {
        Request {
            project: "p".into(),
            env: "e".into(),
            base: Base::Empty,
            operations,
            rollback_to: None,
            strict: true,
            texts: vec![read_document("m.yaml", TEXT.as_bytes()).expect("parses")],
            score: None,
        }
    }

    fn pointed(request: &Request, summary: &str, at: &str) -> Option<String> {
        let diagnostic = Diagnostic::error(summary, "", Place::manifest(at));
        locate(request, vec![diagnostic])[0]
            .excerpt
            .as_ref()
            .map(|excerpt| format!("{}: {}", excerpt.name, &excerpt.text[excerpt.span.clone()]))
    }

    #[test]
    fn a_pointer_leads_to_the_value_or_to_the_key() {
        let request = request(vec![Operation::Replace(serde_json::Value::Null)]);
        let at = "/workloads/web/resources/db";
        assert_eq!(
            pointed(&request, "Unknown resource type", &format!("{at}/type")),
            Some("m.yaml: postgers".into())
        );
        assert_eq!(
            pointed(&request, "Unknown key", &format!("{at}/clas")),
            Some("m.yaml: clas".into())
        );
        assert_eq!(
            pointed(&request, "Missing param", &format!("{at}/params/x")),
            Some("m.yaml: db".into())
        );
    }

    #[test]
    fn what_a_flag_brought_is_shown_as_the_flag() {
        let request = request(vec![
            Operation::Merge(serde_json::Value::Null),
            Operation::Set {
                path: "workloads.web.resources.db.type".into(),
                value: "postgers".into(),
            },
        ]);
        assert_eq!(
            pointed(
                &request,
                "Unknown resource type",
                "/workloads/web/resources/db/type"
            ),
            Some("command line: workloads.web.resources.db.type=postgers".into())
        );
        assert_eq!(
            pointed(&request, "x", "/workloads/api/resources/db/type"),
            None
        );
    }
}
