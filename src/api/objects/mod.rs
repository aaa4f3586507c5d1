//! Handlers for projects, environments and the catalogue: one file per noun, checks and routes together.

pub(crate) mod available;
pub(crate) mod environment_types;
pub(crate) mod environments;
pub(crate) mod metadata_keys;
pub(crate) mod module_check;
pub(crate) mod module_rules;
pub(crate) mod modules;
pub(crate) mod organizations;
pub(crate) mod projects;
pub(crate) mod providers;
pub(crate) mod resource_types;
pub(crate) mod runner_configuration;
pub(crate) mod runner_rules;
pub(crate) mod runners;
