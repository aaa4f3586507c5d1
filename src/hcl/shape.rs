//! The type of a variable, as far as it says which fields of an object it takes.
//!
//! Source: type constraints of the engine's language (`object({…})`, `map(T)`, `list(T)`, `optional(T, …)`). The engine
//! silently drops a field that an object type does not name, so whoever writes one should be told.

use std::collections::BTreeMap;

use hcl::Expression;
use hcl::expr::ObjectKey;
use serde_json::Value;

use crate::model::diag::pointer;

/// What a variable takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object of these fields; others are dropped.
    Object(BTreeMap<String, Shape>),
    /// Any number of these: a map, a list, a set.
    Many(Box<Shape>),
    /// Something that drops nothing, or a type that is not read here.
    Open,
}

impl Shape {
    /// Reads the `type` of a variable.
    pub(super) fn of(expression: &Expression) -> Self {
        let Expression::FuncCall(call) = expression else {
            return Self::Open;
        };
        match (call.name.name.as_str(), &call.args[..]) {
            ("object", [Expression::Object(fields)]) => Self::Object(
                fields
                    .iter()
                    .filter_map(|(key, value)| Some((name_of(key)?, Self::of(value))))
                    .collect(),
            ),
            ("map" | "list" | "set", [inner]) => Self::Many(Box::new(Self::of(inner))),
            ("optional", [inner, ..]) => Self::of(inner),
            _ => Self::Open,
        }
    }

    /// Whether nothing of `value` is dropped.
    pub(crate) fn keeps(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Object(fields), Value::Object(map)) => map.iter().all(|(name, inner)| {
                let shape = fields.get(name);
                shape.is_some_and(|shape| shape.keeps(inner))
            }),
            (Self::Many(shape), Value::Object(map)) => map.values().all(|inner| shape.keeps(inner)),
            (Self::Many(shape), Value::Array(list)) => list.iter().all(|inner| shape.keeps(inner)),
            _ => true,
        }
    }

    /// Pointers of the fields of `value` that are dropped, below `at`.
    pub(crate) fn dropped(&self, value: &Value, at: &str, found: &mut Vec<String>) {
        match (self, value) {
            (Self::Object(fields), Value::Object(map)) => {
                for (name, inner) in map {
                    match fields.get(name) {
                        Some(shape) => shape.dropped(inner, &pointer(at, name), found),
                        None => found.push(pointer(at, name)),
                    }
                }
            }
            (Self::Many(shape), Value::Object(map)) => {
                for (name, inner) in map {
                    shape.dropped(inner, &pointer(at, name), found);
                }
            }
            (Self::Many(shape), Value::Array(list)) => {
                for (position, inner) in list.iter().enumerate() {
                    shape.dropped(inner, &format!("{at}/{position}"), found);
                }
            }
            _ => {}
        }
    }
}

fn name_of(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Identifier(name) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(Expression::String(name)) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dropped(code: &str, value: &Value) -> Vec<String> {
        let body = hcl::parse(&format!("type = {code}")).expect("HCL");
        let attribute = body.attributes().next().expect("one");
        let mut found = Vec::new();
        let shape = Shape::of(attribute.expr());
        shape.dropped(value, "/p", &mut found);
        assert_eq!(shape.keeps(value), found.is_empty(), "{code}");
        found
    }

    #[test]
    fn only_what_an_object_type_leaves_out_is_dropped() {
        let code = "map(object({image = string, \"args\" = optional(list(string), []), ports = optional(list(object({port = number})))}))";
        assert_eq!(
            dropped(
                code,
                &json!({"a": {"image": "x", "probe": 1}, "b": {"args": [1], "ports": [{"port": 1, "name": "n"}], "z/": {}}})
            ),
            ["/p/a/probe", "/p/b/ports/0/name", "/p/b/z~1"]
        );
        for open in ["any", "string", "map(any)", "tuple([string])", "object({})"] {
            let expected: &[&str] = if open == "object({})" { &["/p/x"] } else { &[] };
            assert_eq!(dropped(open, &json!({"x": {"y": 1}})), expected, "{open}");
        }
    }
}
