//! The document of the API as tests walk through it.

use serde_json::{Map, Value};

/// One operation of the document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) said: Value,
}

impl Operation {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Parameters of a place (`path`, `query`, `header`): name and schema.
    pub(crate) fn parameters(&self, place: &str) -> Vec<(&str, &Value)> {
        let all = self.said["parameters"].as_array().into_iter().flatten();
        all.filter(|parameter| parameter["in"] == place)
            .map(|parameter| {
                (
                    parameter["name"].as_str().expect("a name"),
                    &parameter["schema"],
                )
            })
            .collect()
    }

    pub(crate) fn answers(&self, status: &str) -> bool {
        self.said["responses"].get(status).is_some()
    }

    pub(crate) fn takes_json(&self) -> bool {
        self.said["requestBody"]["content"]
            .get("application/json")
            .is_some()
    }
}

/// The document.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("paths");
        paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .expect("operations")
                    .iter()
                    .map(|(method, said)| Operation {
                        method: method.to_ascii_uppercase(),
                        path: path.clone(),
                        said: said.clone(),
                    })
            })
            .collect()
    }

    /// A schema with its references followed.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(to) => {
                let found = self.0.pointer(to.trim_start_matches('#'));
                self.resolve(found.unwrap_or_else(|| panic!("{to} is not there")))
            }
            None => schema,
        }
    }

    /// The schemas that a value of this one may have: of unions each, of what may be null the other.
    pub(crate) fn either<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let list = schema["oneOf"]
            .as_array()
            .or_else(|| schema["anyOf"].as_array());
        match list {
            None => vec![schema],
            Some(list) => list
                .iter()
                .flat_map(|one| self.either(one))
                .filter(|one| one["type"] != "null")
                .collect(),
        }
    }

    /// Properties of an object and the names of those that are required, parts of it merged.
    pub(crate) fn properties(&self, schema: &Value) -> (Map<String, Value>, Vec<String>) {
        let schema = self.resolve(schema);
        let mut all = schema["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let named = schema["required"].as_array().into_iter().flatten();
        let mut required: Vec<String> = named
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let (more, needed) = self.properties(part);
            all.extend(more);
            required.extend(needed);
        }
        (all, required)
    }

    /// The words that a text may be, where only some are allowed.
    pub(crate) fn words(&self, schema: &Value) -> Vec<String> {
        let of = self.either(schema);
        let words = of.iter().filter_map(|one| one["enum"].as_array()).flatten();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }
}
