//! The words everybody uses: ids, checked names, phases, diagnostics.
//!
//! Floor 0: `std` and `serde` only, no I/O, no clock, no randomness. Start at [`ResourceKey`], the
//! identity of a node in one environment, and at [`phase`], the life of a deployment.

pub(crate) mod access;
pub(crate) mod diag;
pub(crate) mod name;
pub(crate) mod phase;
#[cfg(feature = "fuzz")]
pub(crate) mod planted;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::diag::{Diagnostic, Place, Severity};

/// The class of a resource whose declaration names none.
pub(crate) const DEFAULT_CLASS: &str = "default";

/// The type of the nodes that stand for workloads; reserved.
pub(crate) const WORKLOAD_TYPE: &str = "workload";

/// The identity of a node in one environment: type, class and id. Ordered by these three, byte-wise.
///
/// Text form (JSON keys of stored graphs, error messages): `type=T,class=C,id=I`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ResourceKey {
    /// Resource type, for example `postgres`.
    pub(crate) type_name: String,
    /// Resource class; never empty.
    pub(crate) class: String,
    /// Resource id, for example `shared.db` or `workloads.web.db`.
    pub(crate) id: String,
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
    text
}

impl ResourceKey {
    /// Makes a key of its three parts.
    pub(crate) fn new(
        type_name: impl Into<String>,
        class: impl Into<String>,
        id: impl Into<String>,
    ) -> Self {
        Self {
            type_name: type_name.into(),
            class: class.into(),
            id: id.into(),
        }
    }

    /// The key of the node that stands for a workload.
    pub(crate) fn workload(name: &str) -> Self {
        Self::new(WORKLOAD_TYPE, DEFAULT_CLASS, name)
    }

    /// Whether this is the node of a workload.
    pub(crate) fn is_workload(&self) -> bool {
        self.type_name == WORKLOAD_TYPE
    }

    /// The form shown in diffs: `T.C@I`.
    pub(crate) fn short(&self) -> String {
        [&self.type_name, ".", &self.class, "@", &self.id].concat()
    }

    /// Reads the text form; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (type_name, rest) = text.strip_prefix("type=")?.split_once(",class=")?;
        let (class, id) = rest.split_once(",id=")?;
        let bad = |part: &str| part.is_empty() || part.contains(',');
        (!bad(type_name) && !bad(class) && !id.is_empty()).then(|| Self::new(type_name, class, id))
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "type={},class={},id={}",
            self.type_name, self.class, self.id
        )
    }
}

impl Serialize for ResourceKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a resource key")))
    }
}

/// Where a deployment happens: the values of `${context.*}` and the identity of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    /// Organisation.
    pub(crate) org_id: String,
    /// Project.
    pub(crate) project_id: String,
    /// Environment, unique in its project.
    pub(crate) env_id: String,
    /// Type of the environment.
    pub(crate) env_type_id: String,
    /// Immutable identity of the environment, lower-case hyphenated UUID; names the state.
    pub(crate) env_uuid: String,
}
