//! Projects, environments and the catalogue, as v1 has them. `XCreate` is a request, `XUpdate` a
//! PATCH (absent and `null` both mean: leave alone), `X` an answer.

mod metadata_keys;
mod modules;
mod projects;
mod rules;
mod types;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::metadata_keys::*;
pub(crate) use self::modules::*;
pub(crate) use self::projects::*;
pub(crate) use self::rules::*;
pub(crate) use self::types::*;

/// Our fields on any catalogue object; the whole object is absent when empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectExtras {
    /// Who applied it (`windlass apply --owner`); what `--prune` goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
}
