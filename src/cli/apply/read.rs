//! Files to entries: every document checked against the fields of its kind, module directories read,
//! duplicates found. All problems at once, each with its place.
//!
//! Deployment manifests and Score files that lie beside the catalogue are passed over, so that an
//! example directory can be applied whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::nothing_found;
use crate::cli::deploy::place;
use crate::cli::deploy::source::SourceText;
use crate::cli::exit::{Findings, Found};
use crate::cli::kinds::{self, Kind, schema};
use crate::cli::print;
use crate::model::diag::{Diagnostic, Document, Place, nearest};
use crate::sources::{self, Code};
use crate::text;

/// How deep directories are entered.
const MAX_DEPTH: usize = 8;

/// One object as described.
pub(crate) struct Entry {
    /// Its kind.
    pub(crate) kind: &'static Kind,
    /// Its fields, without `kind`; `module_source` is final.
    pub(crate) body: Map<String, Value>,
    /// The text it stands in.
    pub(crate) text: usize,
    /// The code of a module given as `./DIR`.
    pub(crate) code: Option<Code>,
}

/// Everything that was read.
#[derive(Default)]
pub(crate) struct Files {
    /// Documents, each a text with its own places.
    pub(crate) texts: Vec<SourceText>,
    /// Entries, in the order of the texts.
    pub(crate) entries: Vec<Entry>,
}

impl Files {
    /// A problem at a pointer of an entry, with its source line.
    pub(crate) fn found(&self, entry: &Entry, diagnostic: Diagnostic) -> Found {
        let text = &self.texts[entry.text];
        let pointer = diagnostic.places.first().map_or("", |place| &place.pointer);
        let excerpt = place::in_document(text, pointer, &diagnostic);
        Found {
            diagnostic,
            excerpt,
        }
    }

    /// A problem with one field of an entry.
    pub(crate) fn problem(
        &self,
        entry: &Entry,
        summary: &str,
        detail: String,
        field: &str,
    ) -> Found {
        let document = Document::File {
            name: self.texts[entry.text].name.clone(),
        };
        let at = if field.is_empty() {
            String::new()
        } else {
            format!("/{field}")
        };
        self.found(
            entry,
            Diagnostic::error(summary, detail, Place::at(document, at)),
        )
    }
}

/// A file's name, bytes, and the directory that `./DIR` starts from.
pub(crate) struct RawFile {
    /// As the user named it.
    pub(crate) name: String,
    /// Content.
    pub(crate) bytes: Vec<u8>,
    /// Where module directories are.
    pub(crate) base: Option<PathBuf>,
}

/// Reads files, directories and standard input.
pub(crate) fn read(places: &[String]) -> anyhow::Result<Files> {
    let mut raw = Vec::new();
    for place in places {
        if place == "-" {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .context("could not read standard input")?;
            raw.push(RawFile {
                name: "standard input".into(),
                bytes,
                base: std::env::current_dir().ok(),
            });
            continue;
        }
        let path = Path::new(place);
        let meta = std::fs::metadata(path).with_context(|| format!("could not read `{place}`"))?;
        if meta.is_dir() {
            walk(path, 0, &mut raw)?;
        } else {
            raw.push(file(path)?);
        }
    }
    parse(&raw, places)
}

fn file(path: &Path) -> anyhow::Result<RawFile> {
    Ok(RawFile {
        name: path.display().to_string(),
        bytes: std::fs::read(path)
            .with_context(|| format!("could not read `{}`", path.display()))?,
        base: path.parent().map(|parent| {
            if parent.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                parent.to_owned()
            }
        }),
    })
}

/// Documents below a directory, in byte order of their paths; hidden ones are passed over.
fn walk(dir: &Path, depth: usize, raw: &mut Vec<RawFile>) -> anyhow::Result<()> {
    if depth > MAX_DEPTH {
        anyhow::bail!(
            "`{}` is nested deeper than {MAX_DEPTH} directories",
            dir.display()
        );
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("could not read `{}`", dir.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("could not read `{}`", dir.display()))?;
    paths.sort();
    // A directory with engine code is a module's, whatever else lies in it.
    let is_code = depth > 0
        && paths.iter().any(|path| {
            path.extension()
                .is_some_and(|ext| ext == "tf" || ext == "tofu")
        });
    if is_code {
        return Ok(());
    }
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, depth + 1, raw)?;
        } else if path
            .extension()
            .is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json")
        {
            raw.push(file(&path)?);
        }
    }
    Ok(())
}

/// Parses and checks; fails with everything that is wrong.
pub(crate) fn parse(raw: &[RawFile], places: &[String]) -> anyhow::Result<Files> {
    let mut files = Files {
        texts: Vec::new(),
        entries: Vec::new(),
    };
    let mut found: Vec<Found> = Vec::new();
    let mut passed_over = Vec::new();
    for one in raw {
        let lossy: Arc<str> = String::from_utf8_lossy(&one.bytes).into();
        match text::read_all(&one.name, &one.bytes, text::Limits::DEFAULT) {
            Err(problems) => {
                found.extend(
                    problems
                        .into_iter()
                        .map(|problem| place::in_text(&one.name, &lossy, problem)),
                );
            }
            Ok(documents) => {
                for document in documents {
                    if is_something_else(&document.value) {
                        passed_over.push(one.name.clone());
                        continue;
                    }
                    files.texts.push(SourceText {
                        name: one.name.clone(),
                        text: lossy.clone(),
                        document,
                        mounted_at: String::new(),
                    });
                    let text = files.texts.len() - 1;
                    entry(&mut files, text, one.base.as_deref(), &mut found);
                }
            }
        }
    }
    let modules = described_modules(&files);
    // A module that is described elsewhere has a type that is not known yet; it has one, so it stands for it.
    found.extend(duplicates(&files, |module| {
        modules.get(module).copied().unwrap_or(module)
    }));
    if !found.is_empty() {
        return Err(Findings(found).into());
    }
    for name in passed_over {
        print::note(format!(
            "Passed over {name}: it is for `windlass deploy` or `windlass score deploy`."
        ));
    }
    if files.entries.is_empty() {
        return Err(nothing_found(places));
    }
    Ok(files)
}

/// A deployment manifest or a Score file.
fn is_something_else(value: &Value) -> bool {
    let Some(map) = value.as_object() else {
        return false;
    };
    !map.contains_key("kind")
        && (map.contains_key("workloads")
            || map
                .get("apiVersion")
                .and_then(Value::as_str)
                .is_some_and(|version| version.starts_with("score.dev/")))
}

/// Makes an entry of one document.
fn entry(files: &mut Files, text: usize, base: Option<&Path>, found: &mut Vec<Found>) {
    let source = &files.texts[text];
    let document = Document::File {
        name: source.name.clone(),
    };
    let mut refuse = |summary: &str, detail: String, pointer: &str| {
        let diagnostic = Diagnostic::error(summary, detail, Place::at(document.clone(), pointer));
        let excerpt = place::in_document(source, pointer, &diagnostic);
        found.push(Found {
            diagnostic,
            excerpt,
        });
    };
    let known = || kinds::ALL.iter().map(|kind| kind.name);
    let Some(map) = source.document.value.as_object() else {
        refuse(
            "Not an object",
            format!(
                "A document with `kind:` is expected, and this is {}.",
                schema::kind_of(&source.document.value)
            ),
            "",
        );
        return;
    };
    let Some(name) = map.get("kind").and_then(Value::as_str) else {
        refuse(
            "No kind",
            format!(
                "Every document says its `kind:`, one of {}.",
                schema::ticked(known())
            ),
            "",
        );
        return;
    };
    let Some(kind) = kinds::find(name) else {
        let hint = match nearest(name, known()).as_slice() {
            [] => format!("Use one of {}.", schema::ticked(known())),
            near => format!("Did you mean {}?", schema::or(near)),
        };
        refuse(
            "Unknown kind",
            format!("There is no kind `{name}`. {hint}"),
            "/kind",
        );
        return;
    };
    let mut body = map.clone();
    body.shift_remove("kind");
    let problems = schema::check(&body, kind.fields, false, &document, "");
    let mut sound = problems.is_empty();
    for diagnostic in problems {
        let pointer = diagnostic.places.first().map_or("", |place| &place.pointer);
        let excerpt = place::in_document(source, pointer, &diagnostic);
        found.push(Found {
            diagnostic,
            excerpt,
        });
    }
    body.retain(|_, value| !value.is_null());
    let mut code = None;
    if *kind == kinds::MODULE
        && let Some(dir) = body
            .get("module_source")
            .and_then(Value::as_str)
            .map(str::to_owned)
        && (dir.starts_with("./") || dir == ".")
    {
        match module_code(&dir, base) {
            Ok(read) => {
                body.insert(
                    "module_source".into(),
                    Value::String(format!("dir::{}", read.digest())),
                );
                code = Some(read);
            }
            Err(detail) => {
                let diagnostic = Diagnostic::error(
                    "Module directory",
                    detail,
                    Place::at(document.clone(), "/module_source"),
                );
                let excerpt = place::in_document(source, "/module_source", &diagnostic);
                found.push(Found {
                    diagnostic,
                    excerpt,
                });
                sound = false;
            }
        }
    }
    if sound {
        files.entries.push(Entry {
            kind,
            body,
            text,
            code,
        });
    }
}

/// Reads a module's directory, which must lie below that of the file.
fn module_code(dir: &str, base: Option<&Path>) -> Result<Code, String> {
    if dir.split('/').any(|part| part == "..") {
        return Err(format!(
            "`{dir}` leads out by `..`. The directory must lie beside or below the file."
        ));
    }
    let Some(base) = base else {
        return Err(format!("`{dir}` needs a file that lies in a directory."));
    };
    let path = base.join(dir.trim_start_matches("./"));
    sources::read_directory(&path).map_err(|error| {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            words.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        format!("`{dir}` cannot be used: {words}.")
    })
}

/// Module to resource type, as described.
pub(crate) fn described_modules(files: &Files) -> BTreeMap<&str, &str> {
    files
        .entries
        .iter()
        .filter(|entry| *entry.kind == kinds::MODULE)
        .filter_map(|entry| {
            Some((
                entry.body.get("id")?.as_str()?,
                entry.body.get("resource_type")?.as_str()?,
            ))
        })
        .collect()
}

/// Two documents that describe the same object; `type_of` is the resource type of a module.
pub(crate) fn duplicates<'a>(files: &'a Files, type_of: impl Fn(&'a str) -> &'a str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut seen: BTreeMap<(usize, String), &Entry> = BTreeMap::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    for entry in &files.entries {
        let position = kinds::ALL
            .iter()
            .position(|kind| *kind == entry.kind)
            .unwrap_or(0);
        let resource_type = entry
            .body
            .get("module_id")
            .and_then(Value::as_str)
            .map(&type_of);
        let identity = identity(entry.kind, &entry.body, resource_type);
        if let Some(first) = seen.get(&(position, identity.clone())) {
            let what = if entry.kind.is_rule() {
                "rule for the same case"
            } else {
                "document for the same object"
            };
            let text = &files.texts[first.text];
            let at = text.document.place("").map_or(0, |(line, _)| line);
            let title = describe(entry.kind, &entry.body);
            if told.insert(format!("{title}{}", entry.text)) {
                found.push(files.problem(
                    entry,
                    "Described twice",
                    format!(
                        "{title}: the first {what} is at {}:{at}. Remove one of them.",
                        text.name
                    ),
                    "",
                ));
            }
        } else {
            seen.insert((position, identity), entry);
        }
    }
    found
}

/// What makes an object that object: its ids, or the conflict key of a rule. The resource type of a
/// module rule is that of its module.
pub(crate) fn identity(
    kind: &Kind,
    body: &Map<String, Value>,
    resource_type: Option<&str>,
) -> String {
    let fields = if kind.is_rule() {
        kind.conflict_key
    } else {
        kind.ids
    };
    let text = |field: &str| {
        let value = body.get(field).and_then(Value::as_str).unwrap_or_default();
        match field {
            "resource_class" if value.is_empty() => crate::model::DEFAULT_CLASS,
            "resource_type" if value.is_empty() => resource_type.unwrap_or_default(),
            _ => value,
        }
        .to_owned()
    };
    fields
        .iter()
        .map(|field| text(field))
        .collect::<Vec<_>>()
        .join("\u{0}")
}

/// An object in words: `module web`, `module-rule web (project shop)`.
pub(crate) fn describe(kind: &Kind, body: &Map<String, Value>) -> String {
    let text = |field: &str| {
        body.get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if !kind.is_rule() {
        let ids: Vec<String> = kind
            .ids
            .iter()
            .map(|field| text(field).unwrap_or("?").to_owned())
            .collect();
        return format!("{} {}", kind.name, kind.label(&ids));
    }
    let picks = text("module_id")
        .or_else(|| text("runner_id"))
        .unwrap_or("?");
    let mut scope = Vec::new();
    for (field, word) in [
        ("resource_class", "class"),
        ("resource_id", "resource"),
        ("project_id", "project"),
        ("env_id", "environment"),
        ("env_type_id", "environment type"),
    ] {
        if let Some(value) = text(field)
            && !(field == "resource_class" && value == crate::model::DEFAULT_CLASS)
        {
            scope.push(format!("{word} {value}"));
        }
    }
    if scope.is_empty() {
        format!("{} {picks}", kind.name)
    } else {
        format!("{} {picks} ({})", kind.name, scope.join(", "))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn raw(name: &str, text: &str) -> RawFile {
        RawFile {
            name: name.into(),
            bytes: text.as_bytes().to_vec(),
            base: None,
        }
    }

    fn problems(text: &str) -> String {
        let error = parse(&[raw("all.yaml", text)], &["all.yaml".into()])
            .err()
            .expect("refused");
        let Some(Findings(found)) = error.downcast_ref::<Findings>() else {
            return error.to_string();
        };
        found
            .iter()
            .map(|one| print::diagnostic::render(one, false))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn every_problem_of_every_document_is_found_with_its_place() {
        insta::assert_snapshot!(problems(
            "kind: project\nid: shop\ndisplay: Shop\n---\nkind: projekt\nid: x\n---\nkind: environment\nid: dev\n"
        ), @r#"
        error: Unknown key
         --> all.yaml:3:1
          |
        3 | display: Shop
          | ^^^^^^^
          |
          = note: at /display
          = `display` is not a field here. Did you mean `display_name`?
        error: Unknown kind
         --> all.yaml:5:7
          |
        5 | kind: projekt
          |       ^^^^^^^
          |
          = note: at /kind
          = There is no kind `projekt`. Did you mean `project`?
        error: Missing field
         --> all.yaml:8:1
          |
        8 | kind: environment
          | ^^^^
          |
          = `project_id` is required: the project it belongs to.
        error: Missing field
         --> all.yaml:8:1
          |
        8 | kind: environment
          | ^^^^
          |
          = `env_type_id` is required: its environment type.
        "#);
    }

    #[test]
    fn the_same_rule_twice_is_found_although_rules_have_no_id() {
        let text = problems(
            "kind: module-rule\nmodule_id: a\n---\nkind: module-rule\nmodule_id: a\nresource_class: default\n",
        );
        assert!(text.contains("all.yaml:1"), "{text}");
        assert!(text.contains("Described twice"), "{text}");
    }

    #[test]
    fn manifests_and_score_files_beside_the_catalogue_are_passed_over() {
        let files = parse(
            &[
                raw("m.yaml", "workloads: {}\n"),
                raw("s.yaml", "apiVersion: score.dev/v1b1\n"),
                raw("p.yaml", "kind: project\nid: shop\n"),
            ],
            &[],
        )
        .expect("reads");
        assert_eq!(files.entries.len(), 1);
    }

    #[test]
    fn rules_are_told_by_what_they_pick_and_where() {
        let body = serde_json::json!({"module_id": "pg", "project_id": "shop", "resource_class": "default"});
        assert_eq!(
            describe(&kinds::MODULE_RULE, body.as_object().expect("a map")),
            "module-rule pg (project shop)"
        );
    }
}
