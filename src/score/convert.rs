//! Documents to operations: one workload per document, merged into the manifest that is there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::check;
use super::shape::{Problems, short};
use super::text::{self, Bare, Scope};
use crate::manifest::edit::Operation;
use crate::model::Diagnostic;
use crate::model::diag::pointer;
use crate::model::name::Shape as Name;
use crate::text::Document;

/// Alias and type of the resource that stands for the workload itself.
const WORKLOAD: &str = "score-workload";
/// Prefix of the annotations that override its type, class and id.
const OVERRIDE: &str = "platform-orchestrator.dev/";

/// What the caller decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Image of containers whose image is `.`.
    pub(crate) default_image: Option<String>,
    /// What [`files_needed`] asked for: bytes, or why they could not be read.
    pub(crate) files: BTreeMap<(usize, String), Result<Vec<u8>, String>>,
}

/// A file that a Score file embeds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileNeeded {
    /// Position of the document.
    pub(crate) document: usize,
    /// Path as written: absolute, or relative to the directory of the Score file.
    pub(crate) source: String,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Converted {
    /// One merge per document.
    pub(crate) operations: Vec<Operation>,
    /// Names of the workloads, by document.
    pub(crate) workloads: Vec<String>,
    /// What does not stop it.
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Converted {
    /// Where a pointer into the manifest came from: position of the document and pointer into it.
    pub(crate) fn origin(&self, at: &str) -> Option<(usize, String)> {
        let rest = at.strip_prefix("/workloads/")?;
        let (name, inside) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let document = self.workloads.iter().position(|known| known == name)?;
        let own = format!("/resources/{WORKLOAD}");
        let inside = match inside.strip_prefix(&own) {
            Some(own) => own.strip_prefix("/params").unwrap_or("/metadata"),
            None => inside,
        };
        Some((document, inside.to_owned()))
    }
}

/// Files that the documents name by `source`, each once, in order. Never fails: what is wrong is told by [`convert`].
pub(crate) fn files_needed(documents: &[Document]) -> Vec<FileNeeded> {
    let mut needed = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let containers = document.value.get("containers").and_then(Value::as_object);
        for container in containers.into_iter().flat_map(Map::values) {
            let files: Vec<&Value> = match container.get("files") {
                Some(Value::Object(map)) => map.values().collect(),
                Some(Value::Array(list)) => list.iter().collect(),
                _ => Vec::new(),
            };
            for source in files
                .into_iter()
                .filter_map(|file| file.get("source")?.as_str())
            {
                let file = FileNeeded {
                    document: position,
                    source: source.to_owned(),
                };
                if !source.is_empty() && !needed.contains(&file) {
                    needed.push(file);
                }
            }
        }
    }
    needed
}

/// Converts documents; fails with everything that is wrong in any of them.
pub(crate) fn convert(
    documents: &[Document],
    options: &Options,
) -> Result<Converted, Vec<Diagnostic>> {
    let mut converted = Converted {
        operations: Vec::new(),
        workloads: Vec::new(),
        warnings: Vec::new(),
    };
    let mut found = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let mut problems = Problems::new(document);
        let modern = check::modernise(&document.value, &mut problems);
        check::check(&modern, &mut problems);
        let mut file = File {
            position,
            options,
            problems,
        };
        if let Some((name, workload)) = file.workload(modern) {
            if converted.workloads.contains(&name) {
                file.problems.error(
                    "/metadata/name",
                    "Workload given twice",
                    format!("`{name}` is the name of a workload in an earlier file. Every file needs a name of its own."),
                );
            }
            let manifest = json!({"workloads": {name.clone(): workload}});
            converted.operations.push(Operation::Merge(manifest));
            converted.workloads.push(name);
        }
        let mut of_file = file.problems.into_found();
        of_file.sort_by_key(|problem| {
            problem
                .places
                .first()
                .map(|place| (place.line, place.column))
        });
        found.extend(of_file);
    }
    if found.iter().any(Diagnostic::is_error) {
        return Err(found);
    }
    converted.warnings = found;
    Ok(converted)
}

/// One document on its way.
struct File<'a> {
    position: usize,
    options: &'a Options,
    problems: Problems<'a>,
}

impl File<'_> {
    /// Name and workload, as far as they can be told: after a problem the result is not used.
    fn workload(&mut self, mut score: Value) -> Option<(String, Value)> {
        let score = score.as_object_mut()?;
        let metadata = score.get("metadata")?.as_object()?.clone();
        let name = metadata.get("name")?.as_str()?.to_owned();
        let declared = score
            .get("resources")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let scope = Scope {
            metadata: &metadata,
            resources: Some(&declared),
        };

        let mut containers = score.shift_remove("containers").unwrap_or_default();
        if let Value::Object(containers) = &mut containers {
            for (name, container) in containers {
                self.container(&pointer("/containers", name), container, &scope);
            }
        }
        let mut service = score.shift_remove("service").unwrap_or_else(|| json!({}));
        self.literals("/service", &mut service);
        let mut shown = Value::Object(metadata.clone());
        self.literals("/metadata", &mut shown);

        let mut own = self.own(&metadata);
        own.insert(
            "params".into(),
            json!({"metadata": shown, "containers": containers, "service": service}),
        );
        let mut resources = Map::new();
        resources.insert(WORKLOAD.into(), Value::Object(own));
        for (alias, resource) in &declared {
            let at = pointer("/resources", alias);
            if alias == WORKLOAD {
                self.problems.error(
                    &at,
                    "Name not allowed",
                    format!("`{WORKLOAD}` stands for the workload itself. Give the resource another name."),
                );
                continue;
            }
            resources.insert(alias.clone(), self.resource(&at, resource, &scope));
        }
        Some((name, json!({"resources": resources})))
    }

    /// Type, class and id of the resource that stands for the workload.
    fn own(&mut self, metadata: &Map<String, Value>) -> Map<String, Value> {
        let mut own = Map::new();
        own.insert("type".into(), WORKLOAD.into());
        let annotations = metadata.get("annotations").and_then(Value::as_object);
        for (key, value) in annotations.into_iter().flatten() {
            let Some(what) = key.strip_prefix(OVERRIDE) else {
                continue;
            };
            let (field, shape) = match what {
                "resType" => ("type", Name::TypeName),
                "resClass" => ("class", Name::Class),
                "resId" => ("id", Name::ResourceId),
                _ => continue,
            };
            let Some(text) = value.as_str() else { continue };
            if !shape.fits(text) {
                self.problems.error(
                    &pointer("/metadata/annotations", key),
                    "Not allowed here",
                    format!("`{}` is given; expected {}.", short(text), shape.words()),
                );
            }
            own.insert(field.into(), text.into());
        }
        own
    }

    fn resource(&mut self, at: &str, resource: &Value, scope: &Scope<'_>) -> Value {
        let mut ours = Map::new();
        for field in ["type", "class"] {
            if let Some(value) = resource.get(field) {
                ours.insert(field.into(), value.clone());
            }
        }
        if let Some(id) = resource.get("id").and_then(Value::as_str) {
            let fits = Name::ResourceId.fits(id);
            let id = format!("shared.{id}");
            if fits && !Name::ResourceId.fits(&id) {
                self.problems.error(
                    &format!("{at}/id"),
                    "Not allowed here",
                    "The id becomes part of `shared.ID`, which has at most 63 characters: take at most 56.",
                );
            }
            ours.insert("id".into(), id.into());
        }
        if let Some(params) = resource.get("params") {
            let mut params = params.clone();
            self.expand(&format!("{at}/params"), &mut params, scope, Bare::Refused);
            ours.insert("params".into(), params);
        }
        if resource.get("metadata").is_some() {
            self.problems.warning(
                &format!("{at}/metadata"),
                "Not passed on",
                "Metadata of a resource has no place in a manifest and is left out.",
            );
        }
        Value::Object(ours)
    }

    fn container(&mut self, at: &str, container: &mut Value, scope: &Scope<'_>) {
        let Value::Object(container) = container else {
            return;
        };
        for (field, value) in container.iter_mut() {
            let inside = pointer(at, field);
            match field.as_str() {
                "image" if value == "." => match &self.options.default_image {
                    Some(image) => *value = image.clone().into(),
                    None => self.problems.error(
                        &inside,
                        "No image",
                        "The image is `.`: it is chosen when the file is deployed. Give it with `--default-image IMAGE`.",
                    ),
                },
                "variables" => self.expand(&inside, value, scope, Bare::Refused),
                "files" => {
                    for (path, file) in value.as_object_mut().into_iter().flatten() {
                        self.file(&pointer(&inside, path), file, scope);
                    }
                }
                "volumes" => {
                    for (path, volume) in value.as_object_mut().into_iter().flatten() {
                        self.volume(&pointer(&inside, path), volume, scope);
                    }
                }
                _ => self.literals(&inside, value),
            }
        }
    }

    fn volume(&mut self, at: &str, volume: &mut Value, scope: &Scope<'_>) {
        for (field, value) in volume.as_object_mut().into_iter().flatten() {
            let inside = pointer(at, field);
            if field == "source" {
                self.expand(&inside, value, scope, Bare::Source);
            } else {
                self.literals(&inside, value);
            }
        }
    }

    /// Embeds the contents of a file and makes its text one of the manifest.
    fn file(&mut self, at: &str, file: &mut Value, scope: &Scope<'_>) {
        let Value::Object(file) = file else { return };
        let verbatim = file.shift_remove("noExpand") == Some(Value::Bool(true));
        let mut from = format!("{at}/content");
        if let Some(source) = file.shift_remove("source")
            && !file.contains_key("content")
        {
            from = format!("{at}/source");
            match self.read(&source) {
                Ok(bytes) => match String::from_utf8(bytes) {
                    Ok(text) => file.insert("content".into(), text.into()),
                    Err(error) => file.insert(
                        "binaryContent".into(),
                        text::base64(error.as_bytes()).into(),
                    ),
                },
                Err(reason) => {
                    self.problems.error(&from, "File not readable", reason);
                    return;
                }
            };
        }
        let Some(Value::String(content)) = file.get("content") else {
            return;
        };
        if verbatim && content.contains("$\\{") {
            // Our escape cannot be escaped; bytes need none.
            let bytes = text::base64(content.as_bytes());
            file.shift_remove("content");
            file.insert("binaryContent".into(), bytes.into());
            return;
        }
        let made = if verbatim {
            text::literal(content).map_err(|reason| vec![reason])
        } else {
            text::expand(content, scope, Bare::Refused)
        };
        match made {
            Ok(text) => {
                file.insert("content".into(), text.into());
            }
            Err(reasons) => {
                for reason in reasons {
                    self.problems.error(&from, "Placeholder", reason);
                }
            }
        }
    }

    fn read(&self, source: &Value) -> Result<Vec<u8>, String> {
        let source = source.as_str().unwrap_or_default();
        match self.options.files.get(&(self.position, source.to_owned())) {
            Some(Ok(bytes)) => Ok(bytes.clone()),
            Some(Err(reason)) => Err(format!("`{}` cannot be read: {reason}.", short(source))),
            None => Err(format!("`{}` was not read.", short(source))),
        }
    }

    /// Expands every string of a value.
    fn expand(&mut self, at: &str, value: &mut Value, scope: &Scope<'_>, bare: Bare) {
        self.strings(at, value, &|text| text::expand(text, scope, bare));
    }

    /// Makes every string of a value a literal of the manifest.
    fn literals(&mut self, at: &str, value: &mut Value) {
        self.strings(at, value, &|text| {
            text::literal(text).map_err(|reason| vec![reason])
        });
    }

    fn strings(
        &mut self,
        at: &str,
        value: &mut Value,
        change: &dyn Fn(&str) -> Result<String, Vec<String>>,
    ) {
        match value {
            Value::String(text) if text.contains('$') => match change(text) {
                Ok(changed) => *text = changed,
                Err(reasons) => {
                    for reason in reasons {
                        self.problems.error(at, "Placeholder", reason);
                    }
                }
            },
            Value::Array(list) => {
                for (position, item) in list.iter_mut().enumerate() {
                    self.strings(&format!("{at}/{position}"), item, change);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.strings(&pointer(at, key), item, change);
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
