//! Stored catalogue objects as the compiler's own structs.
//!
//! Why here: `catalog` stands below `wire` and cannot name its types.

use crate::catalog;
use crate::wire::objects as wire;

impl From<&wire::ResourceType> for catalog::ResourceType {
    fn from(from: &wire::ResourceType) -> Self {
        Self {
            id: from.id.clone(),
            output_schema: from.output_schema.clone(),
            is_developer_accessible: from.is_developer_accessible,
        }
    }
}

impl From<&wire::ModuleParam> for catalog::Param {
    fn from(from: &wire::ModuleParam) -> Self {
        Self {
            param_type: match from.param_type {
                wire::ParamType::String => catalog::ParamType::String,
                wire::ParamType::Number => catalog::ParamType::Number,
                wire::ParamType::Bool => catalog::ParamType::Bool,
                wire::ParamType::List => catalog::ParamType::List,
                wire::ParamType::Map => catalog::ParamType::Map,
                wire::ParamType::Any => catalog::ParamType::Any,
            },
            is_optional: from.is_optional,
            description: from.description.clone(),
        }
    }
}

impl From<&wire::Dependency> for catalog::Dependency {
    fn from(from: &wire::Dependency) -> Self {
        Self {
            type_name: from.type_name.clone(),
            class: from.class.clone(),
            id: from.id.clone(),
            params: from.params.clone(),
        }
    }
}

impl From<&wire::Coprovisioned> for catalog::Coprovisioned {
    fn from(from: &wire::Coprovisioned) -> Self {
        Self {
            type_name: from.type_name.clone(),
            class: from.class.clone(),
            id: from.id.clone(),
            params: from.params.clone(),
            is_dependent_on_current: from.is_dependent_on_current,
            copy_dependents_from_current: from.copy_dependents_from_current,
        }
    }
}

impl From<&wire::Module> for catalog::Module {
    fn from(from: &wire::Module) -> Self {
        Self {
            id: from.id.clone(),
            version_id: from.version_id.clone(),
            resource_type: from.resource_type.clone(),
            module_source: from.module_source.clone(),
            module_source_code: from.module_source_code.clone(),
            digest: from
                .windlass
                .as_ref()
                .and_then(|ours| ours.digest.clone())
                .or_else(|| from.module_source.strip_prefix("dir::").map(str::to_owned)),
            module_params: from
                .module_params
                .iter()
                .map(|(name, param)| (name.clone(), param.into()))
                .collect(),
            module_inputs: from.module_inputs.clone(),
            provider_mapping: from.provider_mapping.clone(),
            dependencies: from
                .dependencies
                .iter()
                .map(|(alias, dependency)| (alias.clone(), dependency.into()))
                .collect(),
            coprovisioned: from.coprovisioned.iter().map(Into::into).collect(),
        }
    }
}

impl From<&wire::Provider> for catalog::Provider {
    fn from(from: &wire::Provider) -> Self {
        Self {
            provider_type: from.provider_type.clone(),
            id: from.id.clone(),
            source: from.source.clone(),
            version_constraint: from.version_constraint.clone().unwrap_or_default(),
            configuration: from.configuration.clone().unwrap_or_default(),
        }
    }
}

impl From<&wire::ModuleRule> for catalog::Rule {
    fn from(from: &wire::ModuleRule) -> Self {
        Self {
            id: from.id.clone(),
            module_id: from.module_id.clone(),
            resource_type: from.resource_type.clone(),
            resource_class: from.resource_class.clone(),
            resource_id: from.resource_id.clone(),
            project_id: from.project_id.clone(),
            env_id: from.env_id.clone(),
            env_type_id: from.env_type_id.clone(),
        }
    }
}
