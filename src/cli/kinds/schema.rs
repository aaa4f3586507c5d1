//! The shape of an object's fields, and the check of a document against it: unknown keys with the
//! nearest known one, wrong types, missing fields. All problems at once.

use serde_json::{Map, Value};

use crate::model::diag::{Diagnostic, Document, Place, nearest, pointer};

/// A field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    /// Key.
    pub(crate) name: &'static str,
    /// What may stand there.
    pub(crate) shape: Shape,
    /// Whether creation needs it.
    pub(crate) required: bool,
    /// Half a sentence for help.
    pub(crate) about: &'static str,
}

/// What may stand in a place.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A map of anything.
    Free,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// These fields and no others.
    Record(&'static [Field]),
    /// Any keys, each value of this shape.
    Map(&'static Shape),
    /// A list of this shape.
    List(&'static Shape),
}

impl Shape {
    /// For help and errors.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Flag => "true or false".into(),
            Self::Free => "a map".into(),
            Self::OneOf(texts) => format!("one of {}", texts.join(", ")),
            Self::Record(fields) => format!(
                "a map with {}",
                fields
                    .iter()
                    .map(|field| field.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::Map(Self::Record(_)) => "a map of maps".into(),
            Self::Map(inner) => format!("a map: each value {}", inner.words()),
            Self::List(Self::Record(_)) => "a list of maps".into(),
            Self::List(inner) => format!("a list: each item {}", inner.words()),
        }
    }
}

/// Checks a whole object. `partial` (for updates) does not ask for required fields.
pub(crate) fn check(
    object: &Map<String, Value>,
    fields: &'static [Field],
    partial: bool,
    document: &Document,
    base: &str,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    record(object, fields, partial, document, base, &mut found);
    found
}

fn record(
    object: &Map<String, Value>,
    fields: &'static [Field],
    partial: bool,
    document: &Document,
    base: &str,
    found: &mut Vec<Diagnostic>,
) {
    for (key, value) in object {
        let at = pointer(base, key);
        match fields.iter().find(|field| field.name == key) {
            // Null and absent mean the same.
            Some(_) if value.is_null() => {}
            Some(field) => shape(value, &field.shape, document, &at, found),
            None => found.push(unknown_key(key, fields, document, &at)),
        }
    }
    if !partial {
        for field in fields.iter().filter(|field| field.required) {
            if object.get(field.name).is_none_or(Value::is_null) {
                found.push(Diagnostic::error(
                    "Missing field",
                    format!("`{}` is required: {}.", field.name, field.about),
                    Place::at(document.clone(), base),
                ));
            }
        }
    }
}

/// The diagnostic for a key that no field has.
pub(crate) fn unknown_key(
    key: &str,
    fields: &[Field],
    document: &Document,
    at: &str,
) -> Diagnostic {
    let names = || fields.iter().map(|field| field.name);
    let hint = match nearest(key, names()).as_slice() {
        [] => format!("Known here: {}.", ticked(names())),
        [near, ..] => format!("Did you mean `{near}`?"),
    };
    Diagnostic::error(
        "Unknown key",
        format!("`{key}` is not a field here. {hint}"),
        Place::at(document.clone(), at),
    )
}

fn shape(
    value: &Value,
    shape_wanted: &'static Shape,
    document: &Document,
    at: &str,
    found: &mut Vec<Diagnostic>,
) {
    let mut wrong = || {
        found.push(Diagnostic::error(
            "Wrong type",
            format!(
                "{} is expected here, and this is {}.",
                upper_first(&shape_wanted.words()),
                kind_of(value)
            ),
            Place::at(document.clone(), at),
        ));
    };
    match (shape_wanted, value) {
        (Shape::Text, Value::String(_))
        | (Shape::Flag, Value::Bool(_))
        | (Shape::Free, Value::Object(_)) => {}
        (Shape::OneOf(texts), Value::String(text)) => {
            if !texts.contains(&text.as_str()) {
                let hint = match nearest(text, texts.iter().copied()).as_slice() {
                    [] => format!("Use one of {}.", ticked(texts.iter().copied())),
                    near => format!("Did you mean {}?", or(near)),
                };
                found.push(Diagnostic::error(
                    "Unknown value",
                    format!("`{text}` is not known here. {hint}"),
                    Place::at(document.clone(), at),
                ));
            }
        }
        (Shape::Record(fields), Value::Object(map)) => {
            record(map, fields, false, document, at, found);
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                shape(value, inner, document, &pointer(at, key), found);
            }
        }
        (Shape::List(inner), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                shape(
                    value,
                    inner,
                    document,
                    &pointer(at, &index.to_string()),
                    found,
                );
            }
        }
        (
            Shape::Text
            | Shape::Flag
            | Shape::Free
            | Shape::OneOf(_)
            | Shape::Record(_)
            | Shape::Map(_)
            | Shape::List(_),
            _,
        ) => wrong(),
    }
}

/// A JSON type in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn ticked<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `` `a` or `b` ``.
pub(crate) fn or(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kinds::MODULE;
    use serde_json::json;

    #[test]
    fn every_problem_is_found_at_once_with_the_nearest_name() {
        let body = json!({
            "id": "web",
            "module_sorce": "inline",
            "module_params": {"size": {"type": "strin", "optional": true}},
            "module_inputs": [],
        });
        let found = check(
            body.as_object().expect("a map"),
            MODULE.fields,
            false,
            &Document::Request,
            "",
        );
        let lines: Vec<String> = found
            .iter()
            .map(|d| format!("{} {}: {}", d.places[0].pointer, d.summary, d.detail))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        /module_sorce Unknown key: `module_sorce` is not a field here. Did you mean `module_source`?
        /module_params/size/type Unknown value: `strin` is not known here. Did you mean `string`?
        /module_params/size/optional Unknown key: `optional` is not a field here. Did you mean `is_optional`?
        /module_inputs Wrong type: A map is expected here, and this is a list.
         Missing field: `resource_type` is required: the resource type it provides.
         Missing field: `module_source` is required: `inline`, `./DIR` (in apply files), `/path` in the image, `git::https://…` or a registry source.
        "#);
    }
}
