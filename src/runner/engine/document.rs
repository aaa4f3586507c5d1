//! Documents of the engine: `output -json`, `show -json PLAN`, and the state file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The root output that is published in clear, on purpose.
pub(crate) const METADATA: &str = "platform_orchestrator_metadata";

/// What stands for a value that only `apply` can know.
pub(crate) const UNKNOWN: &str = "(known after apply)";

/// Outputs of a run: per workload, sealed; and metadata per node hash, in clear.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outputs {
    /// Root output name (workload) → value.
    pub(crate) workloads: Map<String, Value>,
    /// Node hash → metadata.
    pub(crate) metadata: BTreeMap<String, Map<String, Value>>,
}

/// Why a document could not be used. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// Not JSON.
    #[error(
        "`{command}` of the engine did not print a JSON document (line {line}, column {column})"
    )]
    NotJson {
        command: &'static str,
        line: usize,
        column: usize,
    },
}

fn parse<T: serde::de::DeserializeOwned>(
    command: &'static str,
    bytes: &[u8],
) -> Result<T, DocumentError> {
    // The error of serde_json may quote values, so only its place is kept.
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str(&text).map_err(|error| DocumentError::NotJson {
        command,
        line: error.line(),
        column: error.column(),
    })
}

/// Reads `output -json`.
pub(crate) fn outputs(bytes: &[u8]) -> Result<Outputs, DocumentError> {
    // Not a `BTreeMap`: the order in which the engine lists outputs is kept.
    parse("output", bytes).map(split)
}

/// Parts outputs into those of workloads and metadata.
fn split(read: Map<String, Value>) -> Outputs {
    #[derive(Deserialize)]
    struct Output {
        #[serde(default)]
        value: Value,
    }
    let mut found = Outputs::default();
    for (name, output) in read {
        let output = Output::deserialize(output).unwrap_or(Output { value: Value::Null });
        if name == METADATA {
            found.metadata = metadata(output.value);
        } else {
            found.workloads.insert(name, output.value);
        }
    }
    found
}

/// Outputs as the last `outputs` line of an apply has them. `None` where any of them is sensitive, and so left out.
pub(crate) fn outputs_of_stream(read: &Map<String, Value>) -> Option<Outputs> {
    let is_whole = read.values().all(|output| {
        output.get("sensitive") == Some(&Value::Bool(false)) && output.get("value").is_some()
    });
    is_whole.then(|| split(read.clone()))
}

/// Outputs as a state file has them: the very values that `output -json` prints. `None` where it is not a state that we
/// know, for example an encrypted one.
pub(crate) fn outputs_of_state(bytes: &[u8]) -> Option<Outputs> {
    #[derive(Deserialize)]
    struct State {
        version: u64,
        lineage: String,
        outputs: Map<String, Value>,
    }
    let state: State = serde_json::from_slice(bytes).ok()?;
    let is_known = state.version == 4
        && !state.lineage.is_empty()
        && state
            .outputs
            .values()
            .all(|output| output.get("value").is_some());
    is_known.then(|| split(state.outputs))
}

/// The metadata of the last `outputs` line of an apply: it is not sensitive, so its value is there.
pub(crate) fn metadata_of_stream(
    outputs: &Map<String, Value>,
) -> Option<BTreeMap<String, Map<String, Value>>> {
    Some(metadata(outputs.get(METADATA)?.get("value")?.clone()))
}

fn metadata(value: Value) -> BTreeMap<String, Map<String, Value>> {
    let Value::Object(nodes) = value else {
        return BTreeMap::new();
    };
    nodes
        .into_iter()
        .filter_map(|(node, value)| match value {
            Value::Object(map) => Some((node, map)),
            _ => None,
        })
        .collect()
}

/// Whether a planned `outputs` line changes any output.
pub(crate) fn outputs_change(outputs: &Map<String, Value>) -> bool {
    outputs.values().any(|output| {
        output
            .get("action")
            .and_then(Value::as_str)
            .is_some_and(|action| !matches!(action, "noop" | ""))
    })
}

/// What a plan says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Planned {
    /// Root output name (workload) → planned value, unknown parts as [`UNKNOWN`]; deleted ones are null.
    pub(crate) workloads: Map<String, Value>,
    /// Whether any output, metadata included, would change.
    pub(crate) outputs_changed: bool,
}

/// Reads `show -json PLAN`.
pub(crate) fn planned(bytes: &[u8]) -> Result<Planned, DocumentError> {
    #[derive(Deserialize)]
    struct Plan {
        #[serde(default)]
        output_changes: Map<String, Value>,
    }
    let plan: Plan = parse("show", bytes)?;
    let mut found = Planned::default();
    for (name, change) in plan.output_changes {
        let actions = change.get("actions").and_then(Value::as_array);
        let deleted = actions.is_some_and(|all| all.len() == 1 && all[0] == "delete");
        let unchanged = actions.is_some_and(|all| all.iter().all(|action| action == "no-op"));
        found.outputs_changed |= !unchanged;
        if name == METADATA {
            continue;
        }
        let after = change.get("after").cloned().unwrap_or(Value::Null);
        let unknown = change.get("after_unknown").unwrap_or(&Value::Null);
        let value = if deleted {
            Value::Null
        } else {
            with_unknown(after, unknown)
        };
        found.workloads.insert(name, value);
    }
    Ok(found)
}

/// Puts [`UNKNOWN`] wherever `unknown` is true; it has the shape of the value, or is one boolean for all of it.
fn with_unknown(value: Value, unknown: &Value) -> Value {
    match (value, unknown) {
        (_, Value::Bool(true)) => Value::String(UNKNOWN.to_owned()),
        (Value::Object(mut map), Value::Object(parts)) => {
            for (key, part) in parts {
                let before = map.get(key).cloned().unwrap_or(Value::Null);
                let keep = map.contains_key(key);
                let after = with_unknown(before, part);
                // A key that only the mask has is unknown; one that it calls known stays absent.
                if keep || !after.is_null() {
                    map.insert(key.clone(), after);
                }
            }
            Value::Object(map)
        }
        (Value::Null, Value::Object(parts)) => {
            with_unknown(Value::Object(Map::new()), &{ Value::Object(parts.clone()) })
        }
        (Value::Array(list), Value::Array(parts)) => Value::Array(
            (0..list.len().max(parts.len()))
                .map(|at| {
                    with_unknown(
                        list.get(at).cloned().unwrap_or(Value::Null),
                        parts.get(at).unwrap_or(&Value::Null),
                    )
                })
                .collect(),
        ),
        (value, _) => value,
    }
}

/// What a state file holds, as far as we look into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Address → the scalar attributes of its objects (current and deposed), so that an object can be recognised by its id.
    objects: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// Addresses of objects that the engine calls half made: it replaces them.
    half: BTreeSet<String>,
    /// Managed objects.
    pub(crate) managed: u64,
}

#[derive(Deserialize)]
struct RawState {
    version: u64,
    #[serde(default)]
    resources: Vec<RawResource>,
}

#[derive(Deserialize)]
struct RawResource {
    #[serde(default)]
    module: String,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    instances: Vec<RawInstance>,
}

#[derive(Deserialize)]
struct RawInstance {
    #[serde(default)]
    index_key: Value,
    #[serde(default)]
    attributes: Value,
    #[serde(default)]
    status: String,
}

impl State {
    /// Reads a state file; `None` when it is empty, torn or not one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let raw: RawState = serde_json::from_slice(bytes).ok()?;
        if raw.version == 0 {
            return None;
        }
        let mut state = Self::default();
        for resource in raw.resources.iter().filter(|raw| raw.mode == "managed") {
            for instance in &resource.instances {
                let address = address_of(
                    &resource.module,
                    &resource.kind,
                    &resource.name,
                    &instance.index_key,
                );
                let attributes = match &instance.attributes {
                    Value::Object(map) => map
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), scalar(value)?)))
                        .collect(),
                    _ => BTreeMap::new(),
                };
                if instance.status == "tainted" {
                    state.half.insert(address.clone());
                }
                state.objects.entry(address).or_default().push(attributes);
                state.managed += 1;
            }
        }
        Some(state)
    }

    /// Whether the state knows this object: the address, and the id where one is known.
    pub(crate) fn holds(&self, address: &str, id: Option<(&str, &str)>) -> bool {
        match (self.objects.get(address), id) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(objects), Some((key, value))) => objects
                .iter()
                .any(|attributes| attributes.get(key).is_none_or(|held| held == value)),
        }
    }

    /// Whether the engine knows that the object at this address is only half made.
    pub(crate) fn is_half_made(&self, address: &str) -> bool {
        self.half.contains(address)
    }

    /// Whether both know the same objects at this address.
    pub(crate) fn agrees(&self, other: &Self, address: &str) -> bool {
        let ids = |state: &Self| {
            let objects = state.objects.get(address).into_iter().flatten();
            let mut ids: Vec<_> = objects.map(|object| object.get("id").cloned()).collect();
            ids.sort();
            ids
        };
        ids(self) == ids(other)
    }

    /// Addresses in it, sorted.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }
}

/// An address as the engines print it: a number bare, a text quoted, with markers of templates doubled.
pub(crate) fn address_of(module: &str, kind: &str, name: &str, index: &Value) -> String {
    let mut address = String::new();
    if !module.is_empty() {
        address.push_str(module);
        address.push('.');
    }
    address.push_str(kind);
    address.push('.');
    address.push_str(name);
    if !index.is_null() {
        let index = index.to_string().replace("${", "$${").replace("%{", "%%{");
        address.push_str(&format!("[{index}]"));
    }
    address
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_parts_are_marked_where_they_are() {
        let plan = json!({"format_version": "1.2", "output_changes": {
            "web": {"actions": ["create"], "before": null, "after": {"a": 1, "l": [1, null]},
                    "after_unknown": {"b": true, "c": {"d": true, "e": false}, "l": [false, true]},
                    "before_sensitive": false, "after_sensitive": {"a": true}},
            "all": {"actions": ["update"], "after_unknown": true, "after_sensitive": true},
            "gone": {"actions": ["delete"], "before": 1, "after": null, "after_unknown": false},
            "same": {"actions": ["no-op"], "after": "x", "after_unknown": false},
            METADATA: {"actions": ["no-op"], "after": {}, "after_unknown": false},
        }});
        let planned = planned(plan.to_string().as_bytes()).expect("a plan");
        assert!(planned.outputs_changed);
        assert_eq!(
            Value::Object(planned.workloads),
            json!({"web": {"a": 1, "l": [1, UNKNOWN], "b": UNKNOWN, "c": {"d": UNKNOWN}},
                   "all": UNKNOWN, "gone": null, "same": "x"})
        );
    }

    #[test]
    fn outputs_are_split_into_workloads_and_metadata() {
        let read = outputs(
            json!({METADATA: {"sensitive": false, "type": "x", "value": {"h": {"k": 1}, "odd": 3}},
                   "web": {"sensitive": true, "type": "x", "value": {"url": "u"}}})
            .to_string()
            .as_bytes(),
        )
        .expect("outputs");
        assert_eq!(Value::Object(read.workloads), json!({"web": {"url": "u"}}));
        assert_eq!(read.metadata.len(), 1);
        let error = outputs(b"Warning: secret").expect_err("not JSON");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_state_knows_addresses_and_ids_and_refuses_torn_files() {
        let text = json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {}, "resources": [
            {"mode": "managed", "type": "terraform_data", "name": "a", "instances": [{"attributes": {"id": "1"}}]},
            {"module": "module.x[\"k\"]", "mode": "managed", "type": "t", "name": "b",
             "instances": [{"index_key": 0, "attributes": {"id": "2"}}, {"index_key": "q\"", "attributes": {"id": "3"}}]},
            {"mode": "data", "type": "t", "name": "c", "instances": [{"attributes": {}}]},
        ]})
        .to_string();
        let state = State::read(text.as_bytes()).expect("a state");
        assert_eq!(state.managed, 3);
        assert!(state.holds("terraform_data.a", Some(("id", "1"))));
        assert!(!state.holds("terraform_data.a", Some(("id", "9"))));
        assert!(state.holds("module.x[\"k\"].t.b[0]", None));
        assert!(state.holds("module.x[\"k\"].t.b[\"q\\\"\"]", Some(("id", "3"))));
        assert!(!state.holds("data.t.c", None));
        for torn in [&b""[..], &text.as_bytes()[..40], b"null", b"{}"] {
            assert_eq!(State::read(torn), None);
        }
    }
}
