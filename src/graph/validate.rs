//! Params against what the module declares, and placeholders against what a type gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use serde_json::{Map, Value};

use super::collect::{Problems, error, module_places, node_places, param_places};
use super::{Node, ResourceGraph};
use crate::catalog::{Module, ParamType};
use crate::model::diag::{nearest, pointer};
use crate::model::name::Shape;
use crate::placeholder::{OutputPath, Part, Placeholder, Segment, split};

/// Names that mean something else in a module block.
const RESERVED: &[&str] = &[
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "providers",
    "source",
    "version",
];

/// Checks the params of every node.
pub(super) fn params(graph: &ResourceGraph, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for index in graph.sorted().iter().copied() {
        let node = graph.at(index);
        let Some(module) = &node.module else { continue };
        if seen.insert((module.id.as_str(), module.version_id.as_str())) {
            argument_names(graph, index, module, problems);
        }
        node_params(graph, index, node, module, problems);
    }
}

fn argument_names(
    graph: &ResourceGraph,
    index: NodeIndex,
    module: &Module,
    problems: &mut Problems,
) {
    let inputs = module.module_inputs.keys().map(|n| (n, "/module_inputs"));
    let params = module.module_params.keys().map(|n| (n, "/module_params"));
    for (name, at) in inputs.chain(params) {
        if Shape::Variable.fits(name) && !RESERVED.contains(&name.as_str()) {
            continue;
        }
        problems.push(error(
            "Name not allowed",
            format!(
                "`{name}` cannot be an argument of the module `{}`. Use {}, and none of {}.",
                module.id,
                Shape::Variable.words(),
                RESERVED.join(", ")
            ),
            module_places(graph, index, &pointer(at, name)),
            format!("'{name}' is not a valid identifier"),
        ));
    }
}

fn node_params(
    graph: &ResourceGraph,
    index: NodeIndex,
    node: &Node,
    module: &Module,
    problems: &mut Problems,
) {
    let v1 = |what: String| {
        format!(
            "node '{}': uses module {} {what}",
            node.key,
            module.full_id()
        )
    };
    let empty = Map::new();
    let given = node.params.as_ref().unwrap_or(&empty);
    for (name, param) in &module.module_params {
        let wanted = param.param_type.as_str();
        match given.get(name).filter(|value| !value.is_null()) {
            None if param.is_optional => {}
            None => problems.push(error(
                "Missing param",
                format!(
                    "The module `{}`, which makes `{}`, needs the param `{name}` ({wanted}).",
                    module.id,
                    node.key.short()
                ),
                if node.params.is_some() {
                    param_places(graph, index, "/params")
                } else {
                    node_places(graph, index, "")
                },
                v1(format!("which requires {wanted} param '{name}' to be set")),
            )),
            Some(value) if fits(param.param_type, value) => {}
            Some(value) => problems.push(error(
                "Wrong param type",
                format!(
                    "The module `{}` wants the param `{name}` to be a {wanted}, but this is {}.",
                    module.id,
                    crate::manifest::kind(value)
                ),
                param_places(graph, index, &pointer("/params", name)),
                v1(format!(
                    "which expects param '{name}' to be of type '{wanted}' but got '{}'",
                    go_type(value)
                )),
            )),
        }
    }
    for name in given.keys() {
        if module.module_params.contains_key(name) {
            continue;
        }
        let known: Vec<&str> = module.module_params.keys().map(String::as_str).collect();
        let advice = match nearest(name, known.iter().copied()).first() {
            Some(near) => format!("Did you mean `{near}`? It has: {}.", known.join(", ")),
            None if known.is_empty() => "It has none.".into(),
            None => format!("It has: {}.", known.join(", ")),
        };
        problems.push(error(
            "Unknown param",
            format!(
                "The module `{}`, which makes `{}`, has no param `{name}`. {advice}",
                module.id,
                node.key.short()
            ),
            param_places(graph, index, &pointer("/params", name)),
            v1(format!("which does not define module_param '{name}'")),
        ));
    }
}

/// Whether a value is of a type, or is one placeholder and nothing else, which may become any type.
/// Values of `context` are always strings.
fn fits(wanted: ParamType, value: &Value) -> bool {
    if wanted.fits(value) {
        return true;
    }
    let Some(text) = value.as_str() else {
        return false;
    };
    // What cannot be read is told where placeholders are resolved.
    let Ok(parts) = split(text) else { return true };
    matches!(parts.as_slice(), [Part::Placeholder(_, placeholder)] if !matches!(placeholder, Placeholder::Context(_)))
}

/// v1 shows the names of the language it was written in.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// What is wrong with an output path into a node, if anything: summary and detail.
///
/// The type's schema is a promise, the module's code (where it can be read) is the truth: an output that
/// the code has is good even if the schema does not name it, and one that the code lacks is not.
pub(super) fn output_problem(
    graph: &ResourceGraph,
    to: NodeIndex,
    path: &OutputPath<'_>,
    known_outputs: &dyn Fn(&Module) -> Option<Arc<BTreeSet<String>>>,
) -> Option<(&'static str, String)> {
    let node = graph.at(to);
    let module = node.module.as_ref()?;
    let schema = graph
        .types
        .get(&node.key.type_name)
        .map(|resource_type| &resource_type.output_schema);
    let miss = schema.and_then(|schema| schema_miss(schema, path));
    if miss.is_none() && schema.is_none_or(|schema| !schema.contains_key("properties")) {
        return None;
    }
    let known = known_outputs(module);
    let whose = || {
        let (key, type_name) = (node.key.short(), &node.key.type_name);
        format!("`{key}` is a resource of type `{type_name}`")
    };
    match (miss, known) {
        (None, Some(known)) if !known.contains(path.output) => {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            Some((
                "Module lacks an output",
                format!(
                    "{}, which promises the output `{}`, but the code of its module `{}` has no such output. {} The platform team has to correct the module or the type.",
                    whose(),
                    path.output,
                    module.id,
                    has(path.output, &names)
                ),
            ))
        }
        (None, _) => None,
        (Some(miss), Some(known)) if miss.depth == 0 && known.contains(path.output) => None,
        (Some(miss), _) => {
            let names: Vec<&str> = miss.known.iter().map(String::as_str).collect();
            Some((
                "Unknown output",
                format!(
                    "{}, which has no output `{}`. {}",
                    whose(),
                    miss.asked,
                    has(&miss.last, &names)
                ),
            ))
        }
    }
}

fn has(word: &str, known: &[&str]) -> String {
    let listed = if known.is_empty() {
        "It has none.".to_owned()
    } else {
        format!("It has: {}.", known.join(", "))
    };
    match nearest(word, known.iter().copied()).first() {
        Some(near) => format!("Did you mean `{near}`? {listed}"),
        None => listed,
    }
}

/// Where a path leaves a schema.
struct SchemaMiss {
    /// How many segments were good.
    depth: usize,
    /// The path up to the bad segment.
    asked: String,
    /// The bad segment.
    last: String,
    /// What is there instead.
    known: Vec<String>,
}

/// Follows a path through `properties` and `items`. Anything else in a schema means: cannot tell.
fn schema_miss(schema: &Map<String, Value>, path: &OutputPath<'_>) -> Option<SchemaMiss> {
    const UNSURE: &[&str] = &["$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties"];
    let first = Segment::Key(path.output);
    let mut schema = schema;
    for (depth, segment) in std::iter::once(&first).chain(&path.rest).enumerate() {
        if schema.keys().any(|word| UNSURE.contains(&word.as_str())) {
            return None;
        }
        match segment {
            Segment::Index(_) => schema = schema.get("items")?.as_object()?,
            Segment::Key(key) => {
                let properties = schema.get("properties")?.as_object()?;
                match properties.get(*key) {
                    Some(inner) => schema = inner.as_object()?,
                    None => {
                        let is_open = match schema.get("additionalProperties") {
                            None => false,
                            Some(more) => more != &Value::Bool(false),
                        };
                        let asked = || OutputPath {
                            output: path.output,
                            rest: path.rest[..depth].to_vec(),
                        };
                        return (!is_open).then(|| SchemaMiss {
                            depth,
                            asked: asked().to_string(),
                            last: (*key).to_owned(),
                            known: properties.keys().cloned().collect(),
                        });
                    }
                }
            }
        }
    }
    None
}
