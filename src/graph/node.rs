//! Nodes and edges, and the names that reach state: hashes and aliases.

use std::collections::BTreeMap;
use std::ops::BitOr;
use std::sync::Arc;

use base64::Engine as _;
use petgraph::stable_graph::NodeIndex;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::catalog::{Module, Why};
use crate::model::{ResourceKey, hex};

/// One resource, or a workload.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Its identity.
    pub(crate) key: ResourceKey,
    /// Params as asked for; of a workload: its outputs. `None`: nobody gave any.
    pub(crate) params: Option<Map<String, Value>>,
    /// In whose words the params are: the node whose aliases their placeholders mean. `None` for shared
    /// resources, whose params mean their own module's aliases.
    pub(crate) params_of: Option<NodeIndex>,
    /// Everybody who asked for it, first come first.
    pub(crate) declared: Vec<Declared>,
    /// Position in `declared` of the one whose params are used.
    pub(crate) params_from: usize,
    /// What makes it; `None` for workloads.
    pub(crate) module: Option<Arc<Module>>,
    /// Why that module.
    pub(crate) why: Option<Arc<Why>>,
    /// By the provider's name inside the module's code.
    pub(crate) providers: BTreeMap<String, ProviderUse>,
    /// Only here so that what it made can be destroyed.
    pub(crate) leaving: bool,
}

impl Node {
    /// A node without module.
    pub(super) fn new(
        key: ResourceKey,
        params: Option<Map<String, Value>>,
        declared: Declared,
    ) -> Self {
        Self {
            key,
            params,
            params_of: None,
            declared: vec![declared],
            params_from: 0,
            module: None,
            why: None,
            providers: BTreeMap::new(),
            leaving: false,
        }
    }
}

/// Who asked for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Declared {
    /// It is a workload; whether its outputs were written as `variables`.
    Workload {
        /// v1's older word.
        says_variables: bool,
    },
    /// A shared resource of the manifest, by alias.
    Shared(String),
    /// A resource of a workload, by alias.
    Resource(NodeIndex, String),
    /// A dependency of a node's module, by alias.
    Dependency(NodeIndex, String),
    /// Brought along by a node's module; position in its list.
    Coprovisioned(NodeIndex, usize),
    /// An earlier deployment.
    Earlier,
}

impl Declared {
    /// The node in whose words params declared here are.
    pub(crate) fn by(&self) -> Option<NodeIndex> {
        match self {
            Self::Workload { .. } | Self::Shared(_) | Self::Earlier => None,
            Self::Resource(by, _) | Self::Dependency(by, _) | Self::Coprovisioned(by, _) => {
                Some(*by)
            }
        }
    }
}

/// A provider as one node uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderUse {
    /// `TYPE.ID`.
    pub(crate) full_id: String,
    /// Hex SHA-256 over the provider and what its placeholders mean for this node: equal hashes share
    /// one provider block.
    pub(crate) variant: String,
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Its name, or [`anonymous_alias`] of the target.
    pub(crate) alias: String,
    /// What it is there for.
    pub(crate) uses: Uses,
}

/// A set of reasons for an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uses(pub(super) u8);

impl Uses {
    /// Manifest or module say so.
    pub(crate) const DECLARED: Self = Self(1);
    /// A placeholder in the node's params (of a workload: outputs).
    pub(crate) const PARAM: Self = Self(2);
    /// A placeholder in the configuration of a provider of the node.
    pub(crate) const PROVIDER: Self = Self(4);
    /// A placeholder in the inputs of the node's module.
    pub(crate) const INPUT: Self = Self(8);
    /// A placeholder in a param that an input of the same name hides.
    pub(crate) const HIDDEN: Self = Self(16);
    /// A selector in the node's params; other selectors do not see it.
    pub(crate) const SELECTED: Self = Self(32);

    /// Whether any of these reasons is among them.
    pub(crate) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// Whether the generated code refers from one block to the other.
    pub(crate) fn is_reference(self) -> bool {
        self.has(Self::PARAM | Self::SELECTED | Self::PROVIDER | Self::INPUT)
    }
}

impl BitOr for Uses {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The name of a node in metadata, active resources and diffs: hex SHA-256 of environment UUID,
/// type, class and id, joined by spaces.
pub(crate) fn node_hash(env_uuid: &str, key: &ResourceKey) -> String {
    let mut hash = Sha256::new();
    for (position, part) in [env_uuid, &key.type_name, &key.class, &key.id]
        .into_iter()
        .enumerate()
    {
        if position > 0 {
            hash.update(b" ");
        }
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// The alias of an edge that nobody named: base64 without padding of SHA-256 over the target's type,
/// class and id, separated by NUL.
pub(crate) fn anonymous_alias(target: &ResourceKey) -> String {
    let mut hash = Sha256::new();
    hash.update(target.type_name.as_bytes());
    hash.update([0]);
    hash.update(target.class.as_bytes());
    hash.update([0]);
    hash.update(target.id.as_bytes());
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_aliases_are_those_of_existing_state() {
        assert_eq!(
            node_hash(
                "00000000-0000-0000-0000-000000000000",
                &ResourceKey::new("child", "default", "workloads.work.thing1")
            ),
            "759f8726a215a812ebaed113331079d4d2d95e6c906c9f96ac4d7726870db831"
        );
        assert_eq!(
            anonymous_alias(&ResourceKey::new("y", "default", "workloads.one.a")),
            "Ct5HPH03rB5dHWLFetjO3RZfmXx1c9NxdYYb/dNwl98"
        );
        assert_eq!(
            anonymous_alias(&ResourceKey::new("c", "default", "common")),
            "rOwvUd8Ysad3LS+Jrlidxyi/VSQa11kBnBQ1+aZEnxw"
        );
    }
}
