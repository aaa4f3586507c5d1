//! JSON of the API and of the runner's protocol: what is read, written and read again is the same, and every field that was
//! understood is written as it came.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Script, Target, none};
use crate::manifest::edit::Operation;
use crate::runner::event::Event;
use crate::runner::job::Job;
use crate::wire::deployments as d;
use crate::wire::objects as o;
use crate::wire::{ErrorBody, Page, runners as r, state as s};

pub(super) const TARGET: Target = Target {
    name: "wire",
    run,
    folders: &[("tests/fuzz/seeds/wire", ".json")],
    examples: none,
    words: &[
        "\"windlass\":{",
        "\"id\":\"",
        "\"org_id\":\"",
        "\"project_id\":\"",
        "\"env_id\":\"",
        "\"created_at\":\"",
        "\"updated_at\":\"",
        "\"manifest\":{",
        "\"operations\":[",
        "{\"merge\":{",
        "{\"set\":{\"path\":\"",
        "\"drop_workload\":\"",
        "\"from_env\":\"",
        "\"from_file\":\"",
        "\"cpus\":0.5",
        "\"shortcuts\":{",
        "\"skip_init\":false",
        "\"trust_mirror\":false",
        "\"one_process\":false",
        "\"read_outputs\":false",
        "\"use_memory\":false",
        "\"environment\":{",
        "\"mounts\":{",
        "\"kind\":{",
        "\"seq\":1",
        "\"frame\":{",
        "\"stream\":\"logs\"",
        "\"age_file\":true",
        "\"base\":\"last\"",
        "\"on_busy\":\"queue\"",
        "null",
        "true",
        "false",
        "[]",
        "{}",
    ],
    max_bytes: 4096,
    gate: 1_200_000,
};

fn run(data: &[u8]) {
    let mut script = Script(data);
    let (name, given) = match data.first() {
        Some(0) => {
            script.byte();
            changed(&mut script)
        }
        _ => {
            let Some((name, given)) = read(data) else {
                return;
            };
            (name, given)
        }
    };
    if let Some((_, check)) = TYPES.iter().find(|(known, _)| *known == name) {
        check(&given);
    }
}

/// A type's name, a space, and what may be one.
fn read(data: &[u8]) -> Option<(&str, Value)> {
    let (name, json) = std::str::from_utf8(data).ok()?.split_once(' ')?;
    Some((name, serde_json::from_str(json).ok()?))
}

/// An example to which the script does things that leave it JSON: most texts that are not like that are refused early.
fn changed(script: &mut Script<'_>) -> (&'static str, Value) {
    let example = EXAMPLES[usize::from(script.byte()) % EXAMPLES.len()];
    let (name, mut value) = read(example.as_bytes()).expect("an example can be read");
    while !script.is_over() {
        let mut at = usize::from(script.byte());
        let what = script.byte();
        let with = VALUES[usize::from(script.byte()) % VALUES.len()];
        let with: Value = serde_json::from_str(with).expect("JSON");
        let key = KEYS[usize::from(script.byte()) % KEYS.len()];
        if let Some(node) = nth(&mut value, &mut at) {
            match (what % 4, node) {
                (0, Value::Object(map)) => {
                    map.shift_remove(key);
                }
                (1 | 2, Value::Object(map)) => {
                    map.insert(key.to_owned(), with);
                }
                (1 | 2, Value::Array(list)) => list.push(with),
                (_, node) => *node = with,
            }
        }
    }
    (name, value)
}

/// The value that is reached after so many others.
fn nth<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|item| nth(item, at)),
        Value::Object(map) => map.values_mut().find_map(|item| nth(item, at)),
        _ => None,
    }
}

/// What is put into examples.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "0.5",
    "18446744073709551615",
    "4294967296",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[\"x\"]",
    "{\"x\":\"y\"}",
    "{\"from_env\":\"X\"}",
    "{\"from_file\":\"/x\"}",
    "{\"merge\":{}}",
    "{\"recipient\":\"age1\"}",
];

/// Fields that matter to somebody.
const KEYS: &[&str] = &[
    "id",
    "windlass",
    "description",
    "manifest",
    "operations",
    "shortcuts",
    "skip_init",
    "trust_mirror",
    "one_process",
    "read_outputs",
    "use_memory",
    "environment",
    "mounts",
    "cpus",
    "memory_bytes",
    "standby_secs",
    "engine",
    "image",
    "log_recipients",
    "output_recipients",
    "age_file",
    "strict",
    "base",
    "on_busy",
    "details",
    "diagnostics",
    "metrics",
    "progress",
    "queue_position",
    "attempt",
    "run",
    "unrecorded",
    "in_flight",
    "outcome",
    "failure_class",
    "kind",
    "frame",
    "header",
    "resource",
    "step",
    "finished",
    "prepared",
    "refusals",
    "x",
];

const EXAMPLES: &[&str] = &[
    include_str!("../seeds/wire/deployment-create.json"),
    include_str!("../seeds/wire/deployment.json"),
    include_str!("../seeds/wire/docker.json"),
    include_str!("../seeds/wire/error.json"),
    include_str!("../seeds/wire/event-resource.json"),
    include_str!("../seeds/wire/event.json"),
    include_str!("../seeds/wire/module.json"),
    include_str!("../seeds/wire/process.json"),
    include_str!("../seeds/wire/run-record.json"),
    include_str!("../seeds/wire/stream.json"),
];

/// Reads, writes and reads again.
fn check<T: Serialize + DeserializeOwned>(given: &Value) {
    let Ok(read) = T::deserialize(given) else {
        return;
    };
    let written = serde_json::to_value(&read).expect("what was read can be written");
    let again = T::deserialize(&written)
        .unwrap_or_else(|error| panic!("{error}: {written}, read from {given}"));
    assert_eq!(serde_json::to_value(&again).ok().as_ref(), Some(&written));
    assert_kept(given, &written);
}

/// The same for types whose values can be compared.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(given: &Value) {
    check::<T>(given);
    let Ok(read) = T::deserialize(given) else {
        return;
    };
    let written = serde_json::to_value(&read).expect("what was read can be written");
    assert_eq!(T::deserialize(&written).ok(), Some(read), "{written}");
}

/// Every part that was written and was there before has the value that it had; times, numbers of CPUs and defaults for
/// `null` apart.
fn assert_kept(given: &Value, written: &Value) {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => {
            for (key, value) in written {
                if let Some(was) = given.get(key).filter(|was| !was.is_null()) {
                    assert_kept(was, value);
                }
            }
        }
        (Value::Array(given), Value::Array(written)) if given.len() == written.len() => {
            given
                .iter()
                .zip(written)
                .for_each(|(a, b)| assert_kept(a, b));
        }
        (Value::Number(given), Value::Number(written)) => {
            let (a, b) = (
                given.as_f64().unwrap_or(0.0),
                written.as_f64().unwrap_or(1.0),
            );
            assert!(
                (a - b).abs() <= 0.0006 + a.abs() * 1e-12,
                "{given} became {written}"
            );
        }
        // A struct may also be given as the list of its fields.
        (Value::Array(_), Value::Object(_)) => {}
        (given, written) => assert_eq!(given, written),
    }
}

type Check = fn(&Value);

/// Every type that travels, by the name in inputs.
const TYPES: &[(&str, Check)] = &[
    ("deployment-create", check::<d::DeploymentCreate>),
    ("deployment", check::<d::Deployment>),
    ("run-record", same::<d::RunRecord>),
    ("dry-run", check::<d::DryRun>),
    ("graph", same::<d::Graph>),
    ("active-nodes", check::<Page<d::ActiveNode>>),
    ("stream", check::<d::SealedStream>),
    ("deployment-event", check::<d::DeploymentEvent>),
    ("error", check::<ErrorBody>),
    ("operations", same::<Vec<Operation>>),
    ("event", same::<Event>),
    ("job", check::<Job>),
    ("runner", same::<r::Runner>),
    ("docker", same::<r::DockerConfiguration>),
    ("process", same::<r::ProcessConfiguration>),
    (
        "kubernetes",
        same::<crate::wire::kubernetes::KubernetesConfiguration>,
    ),
    ("runner-rule", same::<r::RunnerRule>),
    ("open", same::<s::Open>),
    ("state", check::<s::StateView>),
    ("settle", check::<s::StateSettle>),
    ("metadata-key", same::<o::MetadataKey>),
    ("module", same::<o::Module>),
    ("module-version", same::<o::ModuleVersion>),
    ("module-update", check::<o::ModuleUpdate>),
    ("project", check::<o::Project>),
    ("environment-type", check::<o::EnvironmentType>),
    ("environment", check::<o::Environment>),
    ("environment-delete", check::<o::EnvironmentDelete>),
    ("module-rule", same::<o::ModuleRule>),
    ("module-rule-create", check::<o::ModuleRuleCreate>),
    ("resource-type", same::<o::ResourceType>),
    ("provider", same::<o::Provider>),
];
