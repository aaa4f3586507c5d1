//! Diagnostics as rustc prints them: the source line, what is wrong under it, what to do.

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle,
};

use crate::cli::exit::Found;
use crate::model::{Severity, diag::Document};

/// Prints all of them.
pub(crate) fn each(found: &[Found]) {
    for one in found {
        super::say(format!("{}\n", render(one, true)));
    }
}

/// Prints all of them and, after more than one, how many there were.
pub(crate) fn all(found: &[Found]) {
    each(found);
    let errors = found.iter().filter(|one| one.diagnostic.is_error()).count();
    if errors > 1 {
        super::say(super::paint(
            super::BAD.bold(),
            format!("{errors} problems; nothing was changed"),
        ));
    }
}

/// One diagnostic as text; styled text is stripped by writers that are no terminal.
pub(crate) fn render(found: &Found, styled: bool) -> String {
    let diagnostic = &found.diagnostic;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let detail = super::harmless(&diagnostic.detail);
    let summary = super::harmless(&diagnostic.summary);
    let title = level.primary_title(summary.as_str());
    let place = diagnostic.places.first();
    let pointer = place.map(|place| where_in(&place.document, &place.pointer));
    let mut group: Group<'_>;
    if let Some(excerpt) = &found.excerpt {
        group = title.element(
            Snippet::source(excerpt.text.as_ref())
                .path(excerpt.name.as_str())
                .annotation(AnnotationKind::Primary.span(excerpt.span.clone())),
        );
        if let Some(pointer) = &pointer
            && !pointer.is_empty()
        {
            group = group.element(Level::NOTE.message(format!("at {pointer}")));
        }
    } else {
        group = match place {
            Some(place)
                if place.file.is_some() || pointer.as_ref().is_some_and(|p| !p.is_empty()) =>
            {
                let name = place
                    .file
                    .clone()
                    .or_else(|| pointer.clone())
                    .unwrap_or_default();
                let mut origin = Origin::path(name);
                if let Some(line) = place.line {
                    origin = origin.line(line);
                    if let Some(column) = place.column {
                        origin = origin.char_column(column);
                    }
                }
                title.element(origin)
            }
            Some(_) | None => Group::with_title(title),
        };
    }
    for also in diagnostic.places.iter().skip(1) {
        // The request's own pointer says nothing that the manifest's does not.
        if matches!(also.document, Document::Request) {
            continue;
        }
        let mut words = format!("see also {}", where_in(&also.document, &also.pointer));
        if let (Some(file), Some(line)) = (&also.file, also.line) {
            words.push_str(&format!(" ({file}:{line})"));
        }
        group = group.element(Level::NOTE.message(words));
    }
    group = group.element(Level::HELP.no_name().message(detail.as_str()));
    let renderer = if styled {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer
        .decor_style(DecorStyle::Ascii)
        .render(&[group])
        .to_string()
}

/// A place in words: a pointer, with the document where it is not the manifest.
fn where_in(document: &Document, pointer: &str) -> String {
    let pointer = super::harmless(pointer);
    match document {
        // People give it by a flag.
        Document::Request if pointer == "/windlass/runner" => "--runner".to_owned(),
        Document::Manifest | Document::Request | Document::File { .. } => pointer,
        Document::Module { id, version } => format!("module {id}@{version} {pointer}"),
        Document::Provider { id } => format!("provider {id} {pointer}"),
    }
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Excerpt;
    use crate::model::{Diagnostic, Place};

    #[test]
    fn the_source_line_the_typo_and_the_advice_are_shown() {
        let text = "workloads:\n  web:\n    resources:\n      db:\n        type: postgers\n";
        let at = text.find("postgers").expect("in the text");
        let found = Found {
            diagnostic: Diagnostic::error(
                "Unknown resource type",
                "No rule offers `postgers` here. Did you mean `postgres`?",
                Place::manifest("/workloads/web/resources/db/type"),
            ),
            excerpt: Some(Excerpt {
                name: "manifest.yaml".into(),
                text: text.into(),
                span: at..at + 8,
            }),
        };
        insta::assert_snapshot!(render(&found, false), @r"
        error: Unknown resource type
         --> manifest.yaml:5:15
          |
        5 |         type: postgers
          |               ^^^^^^^^
          |
          = note: at /workloads/web/resources/db/type
          = No rule offers `postgers` here. Did you mean `postgres`?
        ");
    }

    #[test]
    fn without_text_the_pointer_is_the_place() {
        let found = Found::from(Diagnostic::error(
            "Missing param",
            "`size` is required by module `postgres-local`.",
            Place::manifest("/shared/db"),
        ));
        insta::assert_snapshot!(render(&found, false), @r"
        error: Missing param
        --> /shared/db
         = `size` is required by module `postgres-local`.
        ");
    }
}
