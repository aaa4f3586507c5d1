//! Whether two states are the same, and which of two is newer: for a state that is taken from one place to another.
//!
//! Engines write the same state in more than one way: one writes it anew when it is asked for, in its own order and with its
//! own version in it, and leaves out what is empty. So the content is compared and not the bytes.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What is compared.
#[derive(Debug)]
pub(crate) struct Content {
    /// Which history it is of.
    pub(crate) lineage: String,
    /// Where in it.
    pub(crate) serial: u64,
    resources: BTreeSet<String>,
    outputs: Map<String, Value>,
}

#[derive(Deserialize)]
struct Raw {
    version: u64,
    lineage: String,
    serial: u64,
    #[serde(default)]
    resources: Vec<Map<String, Value>>,
    #[serde(default)]
    outputs: Map<String, Value>,
}

impl Content {
    /// Reads a state in clear; `None` when it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let raw: Raw = serde_json::from_slice(bytes).ok()?;
        if raw.version == 0 {
            return None;
        }
        let mut resources = BTreeSet::new();
        for mut block in raw.resources {
            let instances = block.remove("instances");
            // Engines forget a block that holds nothing.
            for instance in instances.as_ref().and_then(Value::as_array)? {
                let mut one = block.clone();
                one.insert("instance".to_owned(), instance.clone());
                resources.insert(filled(Value::Object(one)).to_string());
            }
        }
        Some(Self {
            lineage: raw.lineage,
            serial: raw.serial,
            resources,
            outputs: raw
                .outputs
                .into_iter()
                .map(|(name, output)| (name, filled(output)))
                .collect(),
        })
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.outputs.is_empty()
    }

    /// Whether both are of one history and hold the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.lineage == other.lineage
            && self.resources == other.resources
            && self.outputs == other.outputs
    }
}

/// Without what is empty, at every depth, and with sorted keys.
fn filled(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            let mut kept: Vec<(String, Value)> = map
                .into_iter()
                .map(|(key, value)| (key, filled(value)))
                .filter(|(_, value)| !is_empty(value))
                .collect();
            kept.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(kept.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(filled).collect()),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(state: &Value) -> Content {
        Content::read(state.to_string().as_bytes()).expect("a state")
    }

    #[test]
    fn what_an_engine_writes_anew_is_the_same_and_any_other_value_is_not() {
        let instance = |id: &str| json!({"schema_version": 0, "attributes": {"id": id, "x": null}, "sensitive_attributes": []});
        let block = |name: &str, id: &str| json!({"mode": "managed", "type": "t", "name": name, "provider": "p", "instances": [instance(id)]});
        let state = |serial: u64, resources: Value| {
            json!({"version": 4, "serial": serial, "lineage": "l", "outputs": {"o": {"value": 1, "type": "number"}},
                   "resources": resources})
        };
        let one = content(&state(3, json!([block("a", "1"), block("b", "2")])));
        let mut other = state(4, json!([block("b", "2"), block("a", "1")]));
        other["terraform_version"] = json!("1.9.9");
        other["check_results"] = Value::Null;
        other["resources"][0]["instances"][0]
            .as_object_mut()
            .expect("an object")
            .remove("sensitive_attributes");
        assert!(one.is_same(&content(&other)));
        assert!(!one.is_same(&content(&state(3, json!([block("a", "1")])))));
        assert!(!one.is_same(&content(&state(
            3,
            json!([block("a", "1"), block("b", "3")])
        ))));
        other["lineage"] = json!("m");
        assert!(!one.is_same(&content(&other)));
        let mut empty = state(1, json!([]));
        assert!(!content(&empty).is_empty(), "an output");
        empty["outputs"] = json!({});
        assert!(content(&empty).is_empty());
        for bad in ["", "{}", "[]", "{\"version\": 4, \"serial\": 1}"] {
            assert!(Content::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
