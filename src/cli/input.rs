//! `--set`, `--set-json` and `--set-yaml`: the body of `create` and `update`.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::exit::Advised;
use super::kinds::{Kind, schema};
use crate::model::diag::Document;

/// Where a body comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Input {
    /// Set a top-level field; a value that looks like JSON is read as JSON
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The whole object as JSON: text, @FILE or - for standard input
    #[arg(long, value_name = "JSON", conflicts_with = "set_yaml")]
    pub(crate) set_json: Option<String>,
    /// The whole object as YAML: text, @FILE or - for standard input
    #[arg(long, value_name = "YAML")]
    pub(crate) set_yaml: Option<String>,
}

impl Input {
    /// The object, its ids taken from the arguments; checked against the fields of `kind`.
    pub(crate) fn body(
        &self,
        kind: &'static Kind,
        ids: &[String],
        partial: bool,
    ) -> anyhow::Result<Map<String, Value>> {
        let mut body = self.object()?;
        for (field, id) in kind.ids.iter().zip(ids) {
            body.insert((*field).to_owned(), Value::String(id.clone()));
        }
        let found = schema::check(&body, kind.fields, partial, &Document::Request, "");
        if !found.is_empty() {
            let words: Vec<String> = found
                .iter()
                .map(|one| {
                    let key = one.places.first().map_or("", |place| &place.pointer);
                    if one.summary == "Unknown key" {
                        format!(
                            "json: unknown field \"{}\". {}",
                            key.trim_start_matches('/'),
                            one.detail
                        )
                    } else if key.is_empty() {
                        one.detail.clone()
                    } else {
                        format!("{key}: {}", one.detail)
                    }
                })
                .collect();
            return Err(Advised::new(
                format!("failed to map input fields: {}", words.join("\n  ")),
                [format!(
                    "windlass create {} --help lists the fields",
                    kind.name
                )],
            )
            .into());
        }
        if partial {
            for field in kind.fixed {
                if body.contains_key(*field) {
                    bail!(
                        "`{field}` cannot change once {} {} is created",
                        schema_article(kind),
                        kind.title.to_lowercase()
                    );
                }
            }
            for field in kind.ids {
                body.remove(*field);
            }
        }
        Ok(body)
    }

    fn object(&self) -> anyhow::Result<Map<String, Value>> {
        let mut body = match (&self.set_json, &self.set_yaml) {
            (Some(text), _) => object(
                serde_json::from_str(&content(text, "--set-json")?)
                    .context("--set-json is not JSON")?,
                "--set-json",
            )?,
            (None, Some(text)) => object(
                serde_yaml::from_str(&content(text, "--set-yaml")?)
                    .context("--set-yaml is not YAML")?,
                "--set-yaml",
            )?,
            (None, None) => Map::new(),
        };
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                bail!("--set `{pair}` has no `=`: write --set KEY=VALUE");
            };
            body.insert(key.to_owned(), guess(value));
        }
        Ok(body)
    }
}

fn schema_article(kind: &Kind) -> &'static str {
    super::kinds::article(kind.title)
}

/// A value as `--set` takes it: JSON where it looks like JSON, else text.
pub(crate) fn guess(text: &str) -> Value {
    let looks_like_json = text.starts_with(['{', '['])
        || matches!(text, "true" | "false" | "null")
        || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    if looks_like_json && let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    Value::String(text.to_owned())
}

/// The text itself, the content of `@FILE`, or standard input for `-`.
pub(crate) fn content(text: &str, flag: &str) -> anyhow::Result<String> {
    if text == "-" {
        let mut all = String::new();
        std::io::stdin()
            .read_to_string(&mut all)
            .with_context(|| format!("{flag}: could not read standard input"))?;
        return Ok(all);
    }
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("{flag}: could not read `{path}`")),
        None => Ok(text.to_owned()),
    }
}

fn object(value: Value, flag: &str) -> anyhow::Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => bail!(
            "{flag} must be a map, and this is {}",
            schema::kind_of(&other)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kinds::{MODULE, PROJECT};
    use serde_json::json;

    fn set(pairs: &[&str]) -> Input {
        Input {
            set: pairs.iter().map(|pair| (*pair).to_owned()).collect(),
            ..Input::default()
        }
    }

    #[test]
    fn values_are_json_where_they_look_like_it() {
        for (text, value) in [
            ("{\"a\":1}", json!({"a": 1})),
            ("[1]", json!([1])),
            ("true", json!(true)),
            ("null", json!(null)),
            ("42", json!(42)),
            ("4.2", json!("4.2")),
            ("-1", json!("-1")),
            ("{broken", json!("{broken")),
            ("a=b", json!("a=b")),
            ("", json!("")),
        ] {
            assert_eq!(guess(text), value, "{text}");
        }
    }

    #[test]
    fn set_overlays_the_body_and_arguments_override_the_id() {
        let mut input = set(&["display_name=Web=Shop"]);
        input.set_yaml = Some("id: other\ndisplay_name: no\n".into());
        let body = input.body(&PROJECT, &["shop".into()], false).expect("fits");
        assert_eq!(
            Value::Object(body),
            json!({"id": "shop", "display_name": "Web=Shop"})
        );
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_refused_in_the_known_words() {
        let error = set(&["display_nam=x", "windlass=1"])
            .body(&PROJECT, &["shop".into()], false)
            .expect_err("refused")
            .to_string();
        insta::assert_snapshot!(error, @r#"
        failed to map input fields: json: unknown field "display_nam". `display_nam` is not a field here. Did you mean `display_name`?
          /windlass: A map with owner is expected here, and this is a number.
        "#);
    }

    #[test]
    fn what_cannot_change_is_refused_in_an_update() {
        let error = set(&["resource_type=dns"])
            .body(&MODULE, &["m".into()], true)
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "`resource_type` cannot change once a module is created"
        );
    }
}
