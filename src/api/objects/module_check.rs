//! Whether a module may be stored: the form of its source, its code, its names, its placeholders.
//!
//! Pure. What needs the store (do the types and providers exist) is checked by `modules`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::api::body::{Fields, Problems, Text, unknown_word};
use crate::api::error::Problem;
use crate::hcl::{self, ModuleFacts};
use crate::model::diag::{nearest, pointer};
use crate::model::name::Shape;
use crate::model::{Diagnostic, Place, diag::Document};
use crate::placeholder::{self, Site};
use crate::sources::Source;
use crate::store::blobs::is_digest;
use crate::wire::objects::{Coprovisioned, Dependency, Module, ModuleParam, ParamType};

/// Most characters of inline code.
const MAX_CODE: usize = 10_000;
/// Most entries of a map or list of a module.
const MAX_ENTRIES: usize = 20;

/// The source that says "the code is here".
pub(crate) const INLINE: &str = "inline";

/// Reads a source; the error is v1's text behind `/module_source: `.
pub(crate) fn source(text: &str) -> Result<Source, String> {
    let parsed = Source::parse(text);
    match &parsed {
        Some(Source::Inline) => {}
        Some(Source::Directory(digest)) => {
            if !is_digest(digest) {
                return Err(
                    "an uploaded directory is written as dir::sha256: and 64 hexadecimal digits"
                        .into(),
                );
            }
        }
        Some(Source::Image) => {
            if text
                .split('/')
                .skip(1)
                .any(|part| matches!(part, "" | "." | ".."))
            {
                return Err("an absolute path must not contain empty, '.' or '..' elements".into());
            }
        }
        Some(Source::Git(_)) => {}
        Some(Source::Registry) => fetched_by_engine(text)?,
        None => {
            return Err("a git source must be git::https://… or git::ssh://…, with nothing but ref and depth behind the question mark".into());
        }
    }
    parsed.ok_or_else(String::new)
}

/// Checks a source that the engine itself fetches.
fn fetched_by_engine(text: &str) -> Result<(), String> {
    if text.starts_with("./") || text.starts_with("../") {
        return Err("a relative path means nothing to a server; `windlass apply` uploads the directory, and an absolute path is one inside the runner's image".into());
    }
    for host in ["github.com", "bitbucket.org"] {
        if text
            .strip_prefix(host)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(format!(
                "the short form for {host} is not supported, use git::https://{host}/…"
            ));
        }
    }
    let parts: Vec<&str> = text.split('/').collect();
    match parts.len() {
        3 | 4 => Ok(()),
        count if count > 4 && (parts[3].is_empty() || parts[4].is_empty()) => Ok(()),
        1 => Err(format!(
            "'{text}' is no module source; use inline, an absolute path, git::https://…, git::ssh://… or [HOST/]NAMESPACE/NAME/PROVIDER"
        )),
        _ => Err(format!(
            "'{text}' is no registry source, which has the form [HOST/]NAMESPACE/NAME/PROVIDER[//DIRECTORY]"
        )),
    }
}

/// Notes what is wrong with source and code of a module. `at` is where the source was given.
pub(crate) fn source_and_code(found: &mut Problems, text: &str, code: Option<&str>) {
    let at = "/module_source";
    let mut complain = |text: &str| found.invalid(at, format!("/module_source: {text}"));
    match (text == INLINE, code) {
        (true, None) => complain("module_source_code must be set when module_source is 'inline'"),
        (false, Some(_)) => {
            complain("module_source_code can only be set when module_source is 'inline'");
        }
        (true, Some(code)) if code.chars().count() > MAX_CODE => complain(&format!(
            "inline module source code is limited to {MAX_CODE} characters, use a directory or a git repository for larger modules"
        )),
        (true, Some(code)) => {
            if let Err(problem) = hcl::check_module(code) {
                found.push(Problem::invalid(
                    "/module_source_code",
                    format!(
                        "/module_source: inline module source code is not valid: {}",
                        problem.detail
                    ),
                ));
            }
        }
        (false, None) => {
            if let Err(said) = source(text) {
                complain(&said);
            }
        }
    }
}

/// Notes clashes and bad names of inputs and params.
pub(crate) fn names(
    found: &mut Problems,
    inputs: &Map<String, Value>,
    params: &BTreeMap<String, ModuleParam>,
    mapping: &BTreeMap<String, String>,
) {
    let shared: BTreeSet<&String> = inputs
        .keys()
        .filter(|key| params.contains_key(*key))
        .collect();
    for key in shared {
        found.invalid(
            pointer("/module_inputs", key),
            format!(
                "/module_inputs: module inputs and module parameters cannot have the same key: {key}"
            ),
        );
    }
    for (label, field, keys) in [
        (
            "module inputs",
            "/module_inputs",
            inputs.keys().collect::<Vec<_>>(),
        ),
        (
            "module parameters",
            "/module_params",
            params.keys().collect(),
        ),
        (
            "provider mapping",
            "/provider_mapping",
            mapping.keys().collect(),
        ),
    ] {
        for key in keys.into_iter().filter(|key| !Shape::Variable.fits(key)) {
            found.invalid(
                pointer(field, key),
                format!("{field}: {label}: '{key}' is not a valid identifier"),
            );
        }
    }
    if inputs.len() > MAX_ENTRIES {
        found.invalid(
            "/module_inputs",
            format!("\"/module_inputs\": maximum number of properties is {MAX_ENTRIES}"),
        );
    }
    for (name, provider) in mapping {
        let well = provider
            .split_once('.')
            .is_some_and(|(kind, id)| Shape::TofuId.fits(kind) && Shape::TofuId.fits(id));
        if !well {
            found.invalid(
                pointer("/provider_mapping", name),
                format!("invalid provider mapping: '{provider}' is not of the form TYPE.ID"),
            );
        }
    }
}

/// Notes placeholders in `value` (which lies at `at`) that may not stand there, in v1's words.
pub(crate) fn placeholders(found: &mut Problems, at: &str, value: &Value, site: Site) {
    for (below, said) in placeholder::check_value(value, site) {
        found.invalid(
            format!("{at}{below}"),
            format!("invalid configuration: {}", when_saved(&said)),
        );
    }
}

/// v1 speaks of context keys in other words when it saves than when it compiles.
fn when_saved(said: &str) -> String {
    match said.split_once("unsupported context key ") {
        Some((path, key)) => format!("{path}{key} is not a supported context placeholder key"),
        None => said.to_owned(),
    }
}

/// Warnings about params of dependencies and co-provisioned resources: v1 stores them and fails when deploying.
pub(crate) fn param_warnings(module: &Module) -> Vec<Diagnostic> {
    let params = module
        .dependencies
        .iter()
        .map(|(alias, item)| (pointer("/dependencies", alias), &item.params))
        .chain(
            module
                .coprovisioned
                .iter()
                .enumerate()
                .map(|(position, item)| (format!("/coprovisioned/{position}"), &item.params)),
        );
    let mut warnings = Vec::new();
    for (at, params) in params {
        let Some(params) = params else { continue };
        for (below, said) in placeholder::check_value(&Value::Object(params.clone()), Site::Param) {
            warnings.push(Diagnostic::warning(
                "Bad placeholder",
                format!("Deployments that use this module will be refused: {said}."),
                Place::at(Document::Request, format!("{at}/params{below}")),
            ));
        }
    }
    warnings
}

/// Warnings about what a module says of its code and the code does not bear out. Only warnings: v1 stores
/// such a module, and the engine has the last word.
pub(crate) fn code_warnings(
    module: &Module,
    facts: &ModuleFacts,
    output_schema: Option<&Map<String, Value>>,
) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let mut warn = |summary: &str, detail: String, at: String| {
        let place = Place::at(Document::Request, at);
        warnings.push(Diagnostic::warning(summary, detail, place));
    };
    let known: Vec<&str> = facts.variables.keys().map(String::as_str).collect();
    let given = module
        .module_inputs
        .keys()
        .map(|name| ("/module_inputs", name));
    let asked = module
        .module_params
        .keys()
        .map(|name| ("/module_params", name));
    for (field, name) in given.chain(asked) {
        if !facts.variables.contains_key(name) {
            let detail = match nearest(name, known.iter().copied()).first() {
                Some(near) => format!(
                    "The code declares no variable `{name}`, so every deployment will fail. Did you mean `{near}`?"
                ),
                None => format!(
                    "The code declares no variable `{name}`, so every deployment will fail. It declares: {}.",
                    known.join(", ")
                ),
            };
            warn("Unknown variable", detail, pointer(field, name));
        }
    }
    for (name, is_needed) in &facts.variables {
        let param = module.module_params.get(name);
        if !is_needed || module.module_inputs.contains_key(name) {
            continue;
        }
        match param {
            None => warn(
                "Variable without a value",
                format!(
                    "The code needs a value for its variable `{name}`. Make it an input or a param, or give it a default."
                ),
                "/module_params".to_owned(),
            ),
            Some(param) if param.is_optional => warn(
                "Variable without a value",
                format!(
                    "The param `{name}` is optional, but the variable has no default in the code: a resource that leaves it out will fail."
                ),
                pointer("/module_params", name),
            ),
            Some(_) => {}
        }
    }
    let promised = output_schema
        .and_then(|schema| schema.get("required")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for name in promised.filter(|name| !facts.outputs.contains(*name)) {
        warn(
            "Missing output",
            format!(
                "Resources of the type `{}` have the output `{name}`, but the code declares none of that name.",
                module.resource_type
            ),
            "/module_source".to_owned(),
        );
    }
    warnings
}

/// Reads `module_params`.
pub(crate) fn params(
    found: &mut Problems,
    fields: &mut Fields,
) -> Option<BTreeMap<String, ModuleParam>> {
    let at = fields.at("module_params");
    let map = fields.map(found, "module_params")?;
    let mut params = BTreeMap::new();
    for (name, value) in map {
        let at = pointer(&at, &name);
        let Some(mut inside) = object(found, &at, value) else {
            continue;
        };
        const TYPES: [(&str, ParamType); 6] = [
            ("string", ParamType::String),
            ("number", ParamType::Number),
            ("bool", ParamType::Bool),
            ("list", ParamType::List),
            ("map", ParamType::Map),
            ("any", ParamType::Any),
        ];
        let word = inside.required_text(found, "type", Text::up_to(usize::MAX));
        let known = TYPES.iter().find(|(text, _)| *text == word);
        if known.is_none() && !word.is_empty() {
            let at = inside.at("type");
            found.push(
                Problem::invalid(
                    &at,
                    format!("\"{at}\": value is not one of the allowed values"),
                )
                .explained(unknown_word(&word, &TYPES.map(|(text, _)| text))),
            );
        }
        params.insert(
            name,
            ModuleParam {
                param_type: known.map_or(ParamType::Any, |(_, kind)| *kind),
                is_optional: inside.flag(found, "is_optional").unwrap_or(false),
                description: inside.text(found, "description", Text::up_to(usize::MAX)),
            },
        );
    }
    Some(params)
}

/// Reads `provider_mapping`.
pub(crate) fn mapping(
    found: &mut Problems,
    fields: &mut Fields,
) -> Option<BTreeMap<String, String>> {
    let at = fields.at("provider_mapping");
    let map = fields.map(found, "provider_mapping")?;
    let mut mapping = BTreeMap::new();
    for (name, value) in map {
        match value {
            Value::String(text) => {
                mapping.insert(name, text);
            }
            _ => {
                let at = pointer(&at, &name);
                found.invalid(&at, format!("\"{at}\": value must be a string"));
            }
        }
    }
    if mapping.len() > MAX_ENTRIES {
        found.invalid(
            &at,
            format!("\"{at}\": maximum number of properties is {MAX_ENTRIES}"),
        );
    }
    Some(mapping)
}

/// Reads `dependencies`.
pub(crate) fn dependencies(
    found: &mut Problems,
    fields: &mut Fields,
) -> Option<BTreeMap<String, Dependency>> {
    let at = fields.at("dependencies");
    let map = fields.map(found, "dependencies")?;
    if map.len() > MAX_ENTRIES {
        found.invalid(
            &at,
            format!("\"{at}\": maximum number of properties is {MAX_ENTRIES}"),
        );
    }
    let mut dependencies = BTreeMap::new();
    for (alias, value) in map {
        let Some(mut inside) = object(found, &pointer(&at, &alias), value) else {
            continue;
        };
        let (type_name, class, id, params) = wanted_resource(found, &mut inside);
        dependencies.insert(
            alias,
            Dependency {
                type_name,
                class,
                id,
                params,
            },
        );
    }
    Some(dependencies)
}

/// Reads `coprovisioned`.
pub(crate) fn coprovisioned(
    found: &mut Problems,
    fields: &mut Fields,
) -> Option<Vec<Coprovisioned>> {
    let at = fields.at("coprovisioned");
    let list = fields.list(found, "coprovisioned")?;
    if list.len() > MAX_ENTRIES {
        found.invalid(
            &at,
            format!("\"{at}\": maximum number of items is {MAX_ENTRIES}"),
        );
    }
    let mut items = Vec::new();
    for (position, value) in list.into_iter().enumerate() {
        let Some(mut inside) = object(found, &format!("{at}/{position}"), value) else {
            continue;
        };
        let (type_name, class, id, params) = wanted_resource(found, &mut inside);
        items.push(Coprovisioned {
            type_name,
            class,
            id,
            params,
            is_dependent_on_current: inside
                .flag(found, "is_dependent_on_current")
                .unwrap_or(false),
            copy_dependents_from_current: inside
                .flag(found, "copy_dependents_from_current")
                .unwrap_or(false),
        });
    }
    Some(items)
}

/// A resource class.
pub(crate) const CLASS: Text = Text {
    min: 1,
    max: 63,
    fits: |text| Shape::Class.fits(text),
    text: "resource class must be a valid identifier of alphanumerics and hyphens",
};

/// A resource id.
pub(crate) const RESOURCE_ID: Text = Text {
    min: 1,
    max: 63,
    fits: |text| Shape::ResourceId.fits(text),
    text: "resource id must be a valid resource id with one or more dot-separated parts of lowercase alphanumerics and hyphens",
};

type WantedResource = (
    String,
    Option<String>,
    Option<String>,
    Option<Map<String, Value>>,
);

fn wanted_resource(found: &mut Problems, fields: &mut Fields) -> WantedResource {
    let type_name = Text {
        min: 2,
        max: 63,
        fits: |text| Shape::TypeName.fits(text),
        text: "type must be a valid resource type",
    };
    let wanted = (
        fields.required_text(found, "type", type_name),
        fields.text(found, "class", CLASS),
        fields.text(found, "id", RESOURCE_ID),
        fields
            .map(found, "params")
            .filter(|params| !params.is_empty()),
    );
    let most = wanted.3.as_ref().map_or(0, Map::len);
    if most > MAX_ENTRIES {
        let at = fields.at("params");
        found.invalid(
            &at,
            format!("\"{at}\": maximum number of properties is {MAX_ENTRIES}"),
        );
    }
    wanted
}

fn object(found: &mut Problems, at: &str, value: Value) -> Option<Fields> {
    match value {
        Value::Object(map) => Some(Fields::new(at, map)),
        _ => {
            found.invalid(at, format!("\"{at}\": value must be an object"));
            None
        }
    }
}

/// The resource types that a module names.
pub(crate) fn types_of(
    resource_type: Option<&str>,
    dependencies: &BTreeMap<String, Dependency>,
    coprovisioned: &[Coprovisioned],
) -> BTreeSet<String> {
    resource_type
        .into_iter()
        .map(str::to_owned)
        .chain(dependencies.values().map(|item| item.type_name.clone()))
        .chain(coprovisioned.iter().map(|item| item.type_name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_and_refused_as_v1_does() {
        for text in [
            "inline",
            "/modules/my-s3",
            "git::https://example.org/o/r//sub/dir?ref=v1",
            "git::ssh://git@example.org/o/r",
            "acme/k8ss/generic@v1",
            "host.example/ns/name/provider",
            "ns/name/provider//sub/dir",
            "host.example/ns/name/provider//sub",
            "s3://bucket/module.zip",
        ] {
            assert!(source(text).is_ok(), "{text}");
        }
        for text in [
            "redis",
            "a/b",
            "/a/../b",
            "/a//b",
            "/",
            "git::http://x/y",
            "github.com/o/r",
            "bitbucket.org/o/r",
            "a/b/c/d/e",
            "dir::sha256:12",
            "./x",
        ] {
            assert!(source(text).is_err(), "{text}");
        }
    }
}
