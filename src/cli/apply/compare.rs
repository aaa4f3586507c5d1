//! One object as described against the same object as it is: which fields differ.
//!
//! A field that a file leaves out has its default, so that what somebody set by hand is repaired.
//! What the server masks or adds (secrets, digests, ids, times) is not compared.

use serde_json::{Map, Value, json};

use crate::cli::kinds::{self, Kind};
use crate::cli::print;

/// How long a value may be to be shown.
const SHOWN: usize = 60;

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// Top-level field.
    pub(crate) field: &'static str,
    /// What a PATCH sends.
    pub(crate) wanted: Value,
    /// In words.
    pub(crate) words: String,
}

/// Fields of `current` that are not as `wanted` says. `owner`: compare the owner, too.
pub(crate) fn differences(
    kind: &'static Kind,
    wanted: &Map<String, Value>,
    current: &Map<String, Value>,
    owner: Option<&str>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for field in kind.fields {
        if kind.ids.contains(&field.name) {
            continue;
        }
        if field.name == "windlass" {
            found.extend(extras(kind, wanted, current, owner));
            continue;
        }
        let default = default(kind, field.name, wanted);
        let want = wanted
            .get(field.name)
            .cloned()
            .unwrap_or_else(|| default.clone());
        let have = current.get(field.name).cloned().unwrap_or(default);
        if !same(&tidy(field.name, &want), &tidy(field.name, &have)) {
            found.push(Difference {
                field: field.name,
                words: words(field.name, &have, &want),
                wanted: want,
            });
        }
    }
    found
}

/// The value of a field that is left out.
fn default(kind: &Kind, field: &str, object: &Map<String, Value>) -> Value {
    match field {
        "display_name" => object.get("id").cloned().unwrap_or(Value::Null),
        "is_developer_accessible" => json!(true),
        "description" | "module_source_code" | "resource_id" | "project_id" | "env_id"
        | "env_type_id" => json!(""),
        "resource_class" => json!(crate::model::DEFAULT_CLASS),
        "configuration" | "module_params" | "module_inputs" | "provider_mapping"
        | "dependencies" => json!({}),
        "coprovisioned" => json!([]),
        _ => {
            debug_assert!(
                kind.field(field).is_some_and(|field| field.required),
                "{field} of {} has no default",
                kind.name
            );
            Value::Null
        }
    }
}

/// Our own fields: only those that the file or `--owner` names.
fn extras(
    kind: &Kind,
    wanted: &Map<String, Value>,
    current: &Map<String, Value>,
    owner: Option<&str>,
) -> Option<Difference> {
    let map = |object: &Map<String, Value>| {
        object
            .get("windlass")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (mut want, mut have) = (map(wanted), map(current));
    if let Some(owner) = owner {
        want.insert("owner".into(), json!(owner));
    } else if !wanted.contains_key("windlass") {
        return None;
    }
    // The digest is the server's; the owner stays whoever it is unless somebody names one.
    want.shift_remove("digest");
    have.shift_remove("digest");
    if !want.contains_key("owner")
        && let Some(owner) = have.get("owner")
    {
        want.insert("owner".into(), owner.clone());
    }
    if *kind == kinds::ENVIRONMENT_TYPE && !wanted.contains_key("windlass") {
        // `--owner` alone says nothing about recipients.
        for (key, value) in &have {
            want.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    let (want, have) = (Value::Object(want), Value::Object(have));
    let (tidy_want, tidy_have) = (tidy("windlass", &want), tidy("windlass", &have));
    (tidy_want != tidy_have).then(|| Difference {
        field: "windlass",
        words: words("windlass", &tidy_have, &tidy_want),
        wanted: want,
    })
}

/// Drops what means the same as its absence, where the shape is known.
fn tidy(field: &str, value: &Value) -> Value {
    let structured = matches!(
        field,
        "module_params"
            | "dependencies"
            | "coprovisioned"
            | "windlass"
            | "runner_configuration"
            | "state_storage_configuration"
    );
    if structured {
        without_nothing(value, 0)
    } else {
        value.clone()
    }
}

fn without_nothing(value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| {
                    !(value.is_null()
                        || **value == json!(false)
                        || (key.as_str() == "params" && **value == json!({}))
                        || (**value == json!([]) && depth == 0))
                })
                .map(|(key, value)| {
                    // Params of a dependency are the user's own and stay as they are.
                    let inner = if key == "params" {
                        value.clone()
                    } else {
                        without_nothing(value, depth + 1)
                    };
                    (key.clone(), inner)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| without_nothing(item, depth + 1))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Equality; a masked secret equals any text, and `1` equals `1.0`.
fn same(want: &Value, have: &Value) -> bool {
    match (want, have) {
        (Value::String(_), Value::String(have)) if have == "SECRET" => true,
        (Value::Number(want), Value::Number(have)) => {
            want == have || want.as_f64() == have.as_f64()
        }
        (Value::Object(want), Value::Object(have)) => {
            want.len() == have.len()
                && want
                    .iter()
                    .all(|(key, value)| have.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(want), Value::Array(have)) => {
            want.len() == have.len() && want.iter().zip(have).all(|(want, have)| same(want, have))
        }
        _ => want == have,
    }
}

/// A difference in words, as deep as one value.
fn words(path: &str, have: &Value, want: &Value) -> String {
    if let (Value::Object(have), Value::Object(want)) = (have, want) {
        let mut parts = Vec::new();
        for (key, value) in want {
            match have.get(key) {
                Some(old) if same(value, old) => {}
                Some(old) => parts.push(words(&format!("{path}.{key}"), old, value)),
                None => parts.push(format!("{path}.{key} added: {}", shown(value))),
            }
        }
        for key in have.keys().filter(|key| !want.contains_key(*key)) {
            parts.push(format!("{path}.{key} removed"));
        }
        return parts.join("; ");
    }
    if path == "module_source_code" {
        let lines = |value: &Value| value.as_str().map_or(0, |text| text.lines().count());
        return format!("{path}: {} lines, {} before", lines(want), lines(have));
    }
    format!("{path}: {} → {}", shown(have), shown(want))
}

fn shown(value: &Value) -> String {
    let text = print::harmless(&value.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    let mut short: String = text.chars().take(SHOWN).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kinds::{MODULE, PROJECT, RUNNER};

    fn told(
        kind: &'static Kind,
        wanted: Value,
        current: Value,
        owner: Option<&str>,
    ) -> Vec<String> {
        let map = |value: Value| value.as_object().cloned().expect("a map");
        differences(kind, &map(wanted), &map(current), owner)
            .into_iter()
            .map(|difference| difference.words)
            .collect()
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let wanted = json!({"id": "m", "resource_type": "t", "module_source": "inline", "module_source_code": "",
            "module_params": {"a": {"type": "string"}}, "dependencies": {"d": {"type": "x"}}});
        let current = json!({"id": "m", "org_id": "o", "resource_type": "t", "module_source": "inline",
            "module_source_code": "", "module_params": {"a": {"type": "string", "is_optional": false}},
            "module_inputs": {}, "provider_mapping": {}, "dependencies": {"d": {"type": "x", "params": {}}},
            "coprovisioned": [], "version_id": "v", "created_at": "c", "windlass": {"digest": "sha256:x"}});
        assert_eq!(told(&MODULE, wanted, current, None), Vec::<String>::new());
    }

    #[test]
    fn what_was_set_by_hand_goes_back_to_its_default() {
        assert_eq!(
            told(
                &PROJECT,
                json!({"id": "shop"}),
                json!({"id": "shop", "display_name": "By hand"}),
                None
            ),
            ["display_name: \"By hand\" → \"shop\""]
        );
        let inputs = json!({"id": "m", "resource_type": "t", "module_source": "/x", "module_inputs": {"a": null, "b": 2}});
        let now = json!({"id": "m", "resource_type": "t", "module_source": "/x", "module_inputs": {"b": 3, "c": 1}});
        assert_eq!(
            told(&MODULE, inputs, now, None),
            ["module_inputs.a added: null; module_inputs.b: 3 → 2; module_inputs.c removed"]
        );
    }

    #[test]
    fn owners_count_only_when_named() {
        let (wanted, current) = (
            json!({"id": "p"}),
            json!({"id": "p", "display_name": "p", "windlass": {"owner": "x"}}),
        );
        assert!(told(&PROJECT, wanted.clone(), current.clone(), None).is_empty());
        assert!(told(&PROJECT, wanted.clone(), current.clone(), Some("x")).is_empty());
        assert_eq!(
            told(&PROJECT, wanted, current, Some("y")),
            ["windlass.owner: \"x\" → \"y\""]
        );
    }

    #[test]
    fn a_masked_secret_is_taken_as_unchanged() {
        let runner = |token: &str| {
            json!({"id": "r", "runner_configuration": {"type": "kubernetes", "cluster": {"auth": {"service_account_token": token}}},
                   "state_storage_configuration": {"type": "local"}})
        };
        assert!(told(&RUNNER, runner("real"), runner("SECRET"), None).is_empty());
    }
}
