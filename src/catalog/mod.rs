//! What the platform offers: resource types, modules, providers, and the rules that pick a module.
//!
//! Plain structs with v1's field names, and [`Catalogue`], the slice of them that one environment
//! sees. Reads no files and no database; whoever has stored objects converts them. Start at
//! [`Catalogue::select`].
//!
//! Why two stages: which rule wins for a class and id is decided once per environment
//! ([`Catalogue::select`]), which of the winners serves a resource is decided per node
//! ([`Catalogue::choose`]). Losers are kept, so that `why` can name them.

mod read;
mod select;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::read::from_documents;
pub(crate) use self::select::{Catalogue, Miss};

/// A resource type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceType {
    /// Name of the type.
    pub(crate) id: String,
    /// A JSON Schema object: what a resource of this type gives.
    #[serde(default)]
    pub(crate) output_schema: Map<String, Value>,
    /// Whether a manifest should ask for it directly.
    #[serde(default = "yes")]
    pub(crate) is_developer_accessible: bool,
}

fn yes() -> bool {
    true
}

/// One version of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Module {
    /// Module id.
    pub(crate) id: String,
    /// Its version, unique among the versions of the module; UUID text for stored ones.
    pub(crate) version_id: String,
    /// The type it makes resources of.
    pub(crate) resource_type: String,
    /// `inline`, `/path`, `git::…`, `dir::sha256:…` or a registry address.
    pub(crate) module_source: String,
    /// The code of an inline module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_source_code: Option<String>,
    /// `sha256:HEX` of fetched or uploaded code; such a module is vendored into the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// What a resource of this module may and must say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) module_params: BTreeMap<String, Param>,
    /// Fixed arguments; they win over params.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) module_inputs: Map<String, Value>,
    /// Provider name inside the code to `TYPE.ID`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) provider_mapping: BTreeMap<String, String>,
    /// Private resources it depends on, by alias.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    /// Resources that come along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) coprovisioned: Vec<Coprovisioned>,
}

impl Module {
    /// `ID@VERSION`.
    pub(crate) fn full_id(&self) -> String {
        format!("{}@{}", self.id, self.version_id)
    }
}

/// A param of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Param {
    /// What its value must be.
    #[serde(rename = "type")]
    pub(crate) param_type: ParamType,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_optional: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// The type of a param.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ParamType {
    /// Text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A list of anything.
    List,
    /// A map of anything.
    Map,
    /// Anything.
    Any,
}

impl ParamType {
    /// As written in a catalogue.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::List => "list",
            Self::Map => "map",
            Self::Any => "any",
        }
    }

    /// Whether a JSON value is of this type.
    pub(crate) fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
            Self::Any => true,
        }
    }
}

/// A private resource of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// `default` where absent; `@` stands for the class of the resource that has the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// The id of that resource where absent; `@` stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Its params.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
}

/// A resource that comes along with a module's resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coprovisioned {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// As in [`Dependency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// As in [`Dependency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Its params.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) params: Option<Map<String, Value>>,
    /// Whether it is made after the resource that brings it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_dependent_on_current: bool,
    /// Whether everything that depends on that resource also depends on this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) copy_dependents_from_current: bool,
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// Type, for example `aws`.
    pub(crate) provider_type: String,
    /// Id among those of the type.
    pub(crate) id: String,
    /// `[host/]namespace/type`.
    pub(crate) source: String,
    /// For example `~> 5.0`.
    pub(crate) version_constraint: String,
    /// Arguments and nested blocks (`key[N]`) of the provider.
    #[serde(default)]
    pub(crate) configuration: Map<String, Value>,
}

impl Provider {
    /// `TYPE.ID`.
    pub(crate) fn full_id(&self) -> String {
        format!("{}.{}", self.provider_type, self.id)
    }
}

/// A rule that picks a module for a class, and maybe an id, in some environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Identity of the rule.
    #[serde(default)]
    pub(crate) id: String,
    /// The module it picks.
    pub(crate) module_id: String,
    /// Type of that module; filled from the module where empty.
    #[serde(default)]
    pub(crate) resource_type: String,
    /// Class it serves.
    #[serde(default = "default_class")]
    pub(crate) resource_class: String,
    /// Id it serves; absent: every id that no other rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<String>,
    /// Only in this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    /// Only in this environment (of that project).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_id: Option<String>,
    /// Only in environments of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env_type_id: Option<String>,
}

fn default_class() -> String {
    crate::model::DEFAULT_CLASS.to_owned()
}

/// The module that serves a resource, and why it does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    /// The module.
    pub(crate) module: Arc<Module>,
    /// Why.
    pub(crate) why: Arc<Why>,
}

/// Why a module was chosen, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Why {
    /// The rule that won; empty where the version was pinned by an earlier deployment.
    pub(crate) rule_id: String,
    /// Its scope, for example `environment type development`.
    pub(crate) scope: String,
    /// The rules that lost, each with module and scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost: Vec<String>,
}
