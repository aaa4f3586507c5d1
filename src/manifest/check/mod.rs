//! The rules of the document: keys, types, names. Every problem is found in one go, in the order of
//! the text.

use serde_json::{Map, Value};

use super::{Manifest, Resource, Workload};
use crate::model::diag::{nearest, pointer};
use crate::model::name::Shape;
use crate::model::{Diagnostic, Place, Severity, WORKLOAD_TYPE};

/// Reads a manifest. `strict` makes unknown keys errors; they are warnings otherwise.
///
/// Warnings come back beside the manifest, or with the errors.
#[cfg(test)]
pub(crate) fn check(
    value: &Value,
    strict: bool,
) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    let checked = check_whole(value, strict);
    if checked.found.iter().any(Diagnostic::is_error) {
        Err(checked.found)
    } else {
        Ok((checked.manifest, checked.found))
    }
}

/// A manifest that may have mistakes.
pub(crate) struct Checked {
    /// What could be understood.
    pub(crate) manifest: Manifest,
    /// Errors and warnings.
    pub(crate) found: Vec<Diagnostic>,
    /// Whether everything that was written is in the manifest, so that it is worth going on in spite of
    /// errors: what is found later is no mere consequence.
    pub(crate) is_whole: bool,
}

/// Reads a manifest as far as it goes.
pub(crate) fn check_whole(value: &Value, strict: bool) -> Checked {
    let mut found = Found {
        strict,
        all: Vec::new(),
        is_whole: true,
    };
    let manifest = found.manifest(value);
    Checked {
        manifest,
        found: found.all,
        is_whole: found.is_whole,
    }
}

struct Found {
    strict: bool,
    all: Vec<Diagnostic>,
    is_whole: bool,
}

impl Found {
    fn error(&mut self, summary: &str, detail: String, at: &str) -> &mut Diagnostic {
        self.all
            .push(Diagnostic::error(summary, detail, Place::manifest(at)));
        let last = self.all.len() - 1;
        &mut self.all[last]
    }

    fn manifest(&mut self, value: &Value) -> Manifest {
        let mut manifest = Manifest::default();
        let Some(root) = self.map(value, "", "the manifest") else {
            return manifest;
        };
        self.known(root, "", &["workloads", "shared"]);
        match root.get("workloads") {
            None => {
                self.is_whole = false;
                self.error(
                    "Missing key",
                    "A manifest needs `workloads`; write `workloads: {}` for none.".into(),
                    "",
                );
            }
            Some(all) => {
                if let Some(all) = self.map(all, "/workloads", "`workloads`") {
                    for (name, value) in all {
                        let at = pointer("/workloads", name);
                        self.workload_name(name, &at);
                        let workload = self.workload(value, &at);
                        manifest.workloads.insert(name.clone(), workload);
                    }
                }
            }
        }
        match root.get("shared") {
            None | Some(Value::Null) => {}
            Some(all) => {
                if let Some(all) = self.map(all, "/shared", "`shared`") {
                    for (alias, value) in all {
                        let at = pointer("/shared", alias);
                        if !Shape::WorkloadName.fits(alias) {
                            self.error(
                                "Name not allowed",
                                format!(
                                    "`{alias}` cannot be an alias of a shared resource. Use {}.",
                                    Shape::WorkloadName.words()
                                ),
                                &at,
                            )
                            .v1 = Some(format!("shared resource alias '{alias}' is invalid"));
                        }
                        if let Some(resource) = self.resource(value, &at) {
                            manifest.shared.insert(alias.clone(), resource);
                        }
                    }
                }
            }
        }
        manifest
    }

    fn workload_name(&mut self, name: &str, at: &str) {
        let v1 = || format!("workload name '{name}' is invalid");
        if !Shape::WorkloadName.fits(name) {
            self.error(
                "Name not allowed",
                format!(
                    "`{name}` cannot name a workload. Use {}.",
                    Shape::WorkloadName.words()
                ),
                at,
            )
            .v1 = Some(v1());
        } else if name.starts_with(|c: char| c.is_ascii_digit()) {
            self.error(
                "Name not allowed",
                format!(
                    "`{name}` starts with a digit, and the name of a workload becomes the name of an output in the generated code, which must start with a letter. Rename it, for example to `w{name}`."
                ),
                at,
            )
            .v1 = Some(v1());
        }
    }

    fn workload(&mut self, value: &Value, at: &str) -> Workload {
        let mut workload = Workload::default();
        if value.is_null() {
            return workload;
        }
        let Some(map) = self.map(value, at, "a workload") else {
            return workload;
        };
        self.known(map, at, &["resources", "outputs", "variables"]);
        if let Some(all) = map.get("resources").filter(|all| !all.is_null()) {
            let inner = pointer(at, "resources");
            if let Some(all) = self.map(all, &inner, "`resources`") {
                for (alias, value) in all {
                    let at = pointer(&inner, alias);
                    self.alias(alias, &at);
                    if let Some(resource) = self.resource(value, &at) {
                        workload.resources.insert(alias.clone(), resource);
                    }
                }
            }
        }
        let present = |key| map.get(key).filter(|value| !value.is_null());
        match (present("outputs"), present("variables")) {
            (Some(_), Some(_)) => {
                self.error(
                    "Outputs given twice",
                    "`variables` is the old word for `outputs`. Move everything to `outputs`."
                        .into(),
                    &pointer(at, "variables"),
                )
                .v1 = Some(
                    "variables and outputs cannot be used together, please use outputs instead"
                        .into(),
                );
            }
            (Some(outputs), None) => {
                workload.outputs = self.outputs(outputs, &pointer(at, "outputs"));
            }
            (None, Some(outputs)) => {
                workload.outputs = self.outputs(outputs, &pointer(at, "variables"));
                workload.says_variables = true;
            }
            (None, None) => {}
        }
        workload
    }

    fn alias(&mut self, alias: &str, at: &str) {
        let fits = (1..=63).contains(&alias.len())
            && alias
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fits {
            self.error(
                "Name not allowed",
                format!(
                    "`{alias}` cannot be an alias of a resource. Use 1 to 63 letters, digits, `_` and `-`, so that placeholders can name it."
                ),
                at,
            );
        }
    }

    fn outputs(&mut self, value: &Value, at: &str) -> Map<String, Value> {
        let Some(map) = self.map(value, at, "outputs") else {
            return Map::new();
        };
        let mut entries: Vec<(&String, &Value)> = map.iter().collect();
        for (key, value) in &entries {
            let at = || pointer(at, key);
            if !is_identifier(key) {
                self.error(
                    "Name not allowed",
                    format!(
                        "`{key}` cannot be the key of an output. Use letters, digits, `_` and `-`, not starting with a digit or `-`."
                    ),
                    &at(),
                );
            }
            if !value.is_string() {
                self.wrong_type(value, &at(), "The value of an output", "a string", "Put it in quotes; a placeholder alone in quotes keeps the type of what it stands for.");
            }
        }
        entries.retain(|(_, value)| value.is_string());
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn resource(&mut self, value: &Value, at: &str) -> Option<Resource> {
        let map = self.map(value, at, "a resource")?;
        self.known(map, at, &["type", "class", "id", "params"]);
        let type_name = match map.get("type") {
            None | Some(Value::Null) => {
                self.is_whole = false;
                self.error(
                    "Missing key",
                    "A resource needs a `type`, for example `type: postgres`.".into(),
                    at,
                );
                None
            }
            Some(_) => self.name(
                map,
                at,
                "type",
                Shape::TypeName,
                "type must be a valid resource type",
            ),
        };
        if type_name.as_deref() == Some(WORKLOAD_TYPE) {
            self.is_whole = false;
            self.error(
                "Reserved resource type",
                "The type `workload` stands for the workloads themselves and cannot be asked for. Choose another type.".into(),
                &pointer(at, "type"),
            );
        }
        let class = self.name(
            map,
            at,
            "class",
            Shape::Class,
            "class must be a valid identifier of alphanumerics and hyphens",
        );
        let id = self.name(
            map,
            at,
            "id",
            Shape::ResourceId,
            "id must be a valid resource id",
        );
        let params = match map.get("params") {
            None | Some(Value::Null) => None,
            Some(params) => {
                let inner = pointer(at, "params");
                let map = self.map(params, &inner, "`params`");
                if map.is_some() {
                    self.numbers(params, &inner);
                }
                map.cloned()
            }
        };
        Some(Resource {
            type_name: type_name?,
            class,
            id,
            params,
        })
    }

    /// Warns of numbers that were rounded before they came here.
    fn numbers(&mut self, value: &Value, at: &str) {
        match value {
            Value::Number(number) => {
                if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                    && float.fract() == 0.0
                    && float.abs() >= 9_007_199_254_740_992.0
                {
                    self.all.push(Diagnostic::warning(
                        "Number may be rounded",
                        format!("`{number}` has more digits than a number can keep. Put it in quotes if every digit counts."),
                        Place::manifest(at),
                    ));
                }
            }
            Value::Array(list) => {
                for (position, item) in list.iter().enumerate() {
                    if may_be_rounded(item) {
                        self.numbers(item, &pointer(at, &position.to_string()));
                    }
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    if may_be_rounded(item) {
                        self.numbers(item, &pointer(at, key));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    fn name(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        key: &str,
        shape: Shape,
        v1: &str,
    ) -> Option<String> {
        let value = map.get(key).filter(|value| !value.is_null())?;
        let at = || pointer(at, key);
        let Some(text) = value.as_str() else {
            self.wrong_type(
                value,
                &at(),
                &format!("`{key}`"),
                "a string",
                "Put it in quotes.",
            );
            return None;
        };
        if !shape.fits(text) {
            self.is_whole = false;
            self.error(
                "Name not allowed",
                format!("`{text}` cannot be a {key}. Use {}.", shape.words()),
                &at(),
            )
            .v1 = Some(v1.into());
            return None;
        }
        Some(text.to_owned())
    }

    fn map<'a>(
        &mut self,
        value: &'a Value,
        at: &str,
        what: &str,
    ) -> Option<&'a Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.wrong_type(
                value,
                at,
                what,
                "a map",
                "Write `key: value` pairs below it.",
            );
        }
        map
    }

    fn wrong_type(&mut self, value: &Value, at: &str, what: &str, want: &str, advice: &str) {
        let mut letters = what.chars();
        self.is_whole = false;
        let what = letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        });
        self.error(
            "Wrong type",
            format!(
                "{what} must be {want}, but this is {}. {advice}",
                kind(value)
            ),
            at,
        );
    }

    fn known(&mut self, map: &Map<String, Value>, at: &str, keys: &[&str]) {
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            let hint = match nearest(key, keys.iter().copied()).first() {
                Some(near) => {
                    self.is_whole = false;
                    format!(" Did you mean `{near}`?")
                }
                None => String::new(),
            };
            let known = keys
                .iter()
                .filter(|key| **key != "variables")
                .map(|key| format!("`{key}`"))
                .collect::<Vec<_>>()
                .join(", ");
            self.all.push(Diagnostic {
                severity: if self.strict {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                ..Diagnostic::error(
                    "Unknown key",
                    format!("`{key}` is not known here; known are {known}.{hint}"),
                    Place::manifest(pointer(at, key)),
                )
            });
        }
    }
}

/// Whether a value is worth a look for numbers that were rounded.
fn may_be_rounded(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(may_be_rounded),
        Value::Object(map) => map.values().any(may_be_rounded),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Whether a text is an identifier of HCL, restricted to ASCII.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The type of a value for people.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests;
