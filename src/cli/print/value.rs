//! One value as table, JSON or YAML (`-o`).

use std::io;

use serde_json::{Map, Value};

use super::table::{self, Column};

/// How to print answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// JSON, two spaces, keys as the API has them
    Json,
    /// YAML, keys sorted
    Yaml,
}

/// How to print documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Markup {
    /// YAML, keys sorted
    Yaml,
    /// JSON, two spaces, keys as the API has them
    Json,
}

impl From<Markup> for Format {
    fn from(markup: Markup) -> Self {
        match markup {
            Markup::Yaml => Self::Yaml,
            Markup::Json => Self::Json,
        }
    }
}

/// Prints one object or a list of them.
pub(crate) fn print(value: &Value, format: Format, columns: &[Column]) -> io::Result<()> {
    super::data(&text(value, format, columns))
}

/// The text that [`print()`] prints.
pub(crate) fn text(value: &Value, format: Format, columns: &[Column]) -> String {
    match format {
        Format::Json => json(value),
        Format::Yaml => yaml(value),
        Format::Table => match value {
            Value::Array(rows) => table::render(columns, rows),
            one => table::render(columns, std::slice::from_ref(one)),
        },
    }
}

/// JSON with two spaces and a newline at its end.
pub(crate) fn json(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// YAML with sorted keys.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = serde_yaml::to_string(&sorted(value)).unwrap_or_default();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The same value, every map in byte order of its keys.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            Value::Object(
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_keeps_the_order_and_yaml_sorts() {
        let value = json!({"b": {"z": 1, "a": "<&>"}, "a": []});
        assert_eq!(
            json(&value),
            "{\n  \"b\": {\n    \"z\": 1,\n    \"a\": \"<&>\"\n  },\n  \"a\": []\n}\n"
        );
        insta::assert_snapshot!(yaml(&value), @r"
        a: []
        b:
          a: <&>
          z: 1
        ");
    }

    #[test]
    fn an_empty_list_is_a_list() {
        assert_eq!(json(&json!([])), "[]\n");
        assert_eq!(yaml(&json!([])), "[]\n");
    }
}
