//! What the user wrote: JSON values become a [`Manifest`], or diagnostics, all of them at once.
//!
//! Knows the document only: names, shapes, unknown keys. Whether a type exists or a placeholder
//! resolves is `graph`'s to say. Start at [`check`]; operations of a request are [`edit`]'s.

mod check;
pub(crate) mod edit;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use self::check::{check_whole, kind};

/// A checked manifest. Maps are sorted by name, as every pass of the compiler walks them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Manifest {
    /// By name.
    pub(crate) workloads: BTreeMap<String, Workload>,
    /// By alias.
    pub(crate) shared: BTreeMap<String, Resource>,
}

/// One workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Workload {
    /// By alias.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Strings by key.
    pub(crate) outputs: Map<String, Value>,
    /// Whether the outputs were written as `variables`, v1's older word: pointers need it.
    pub(crate) says_variables: bool,
}

/// One resource as asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Resource {
    /// Its type.
    pub(crate) type_name: String,
    /// Its class, where given.
    pub(crate) class: Option<String>,
    /// Its id, where given.
    pub(crate) id: Option<String>,
    /// Its params, where given; `{}` is given.
    pub(crate) params: Option<Map<String, Value>>,
}

impl Manifest {
    /// The normal form that is stored: sorted, `variables` written as `outputs`.
    pub(crate) fn to_value(&self) -> Value {
        let mut root = Map::new();
        let workloads = self.workloads.iter().map(|(name, workload)| {
            let mut map = Map::new();
            if !workload.resources.is_empty() {
                map.insert("resources".into(), resources(&workload.resources));
            }
            if !workload.outputs.is_empty() {
                map.insert("outputs".into(), Value::Object(workload.outputs.clone()));
            }
            (name.clone(), Value::Object(map))
        });
        root.insert("workloads".into(), Value::Object(workloads.collect()));
        if !self.shared.is_empty() {
            root.insert("shared".into(), resources(&self.shared));
        }
        Value::Object(root)
    }
}

fn resources(all: &BTreeMap<String, Resource>) -> Value {
    let all = all.iter().map(|(alias, resource)| {
        let mut map = Map::new();
        map.insert("type".into(), resource.type_name.clone().into());
        if let Some(class) = &resource.class {
            map.insert("class".into(), class.clone().into());
        }
        if let Some(id) = &resource.id {
            map.insert("id".into(), id.clone().into());
        }
        if let Some(params) = &resource.params {
            map.insert("params".into(), Value::Object(params.clone()));
        }
        (alias.clone(), Value::Object(map))
    });
    Value::Object(all.collect())
}
