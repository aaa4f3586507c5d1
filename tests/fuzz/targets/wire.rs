//! JSON of the API and of the runner's protocol: what is read, written and read again is the same, and every field that was
//! understood is written as it came.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Target, none};
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
};

fn run(data: &[u8]) {
    // A type's name, a space, and what may be one.
    let Some(space) = data.iter().position(|byte| *byte == b' ') else {
        return;
    };
    let (name, rest) = (&data[..space], &data[space + 1..]);
    let Ok(given) = serde_json::from_slice::<Value>(rest) else {
        return;
    };
    if let Some((_, check)) = TYPES.iter().find(|(known, _)| known.as_bytes() == name) {
        check(&given);
    }
}

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
