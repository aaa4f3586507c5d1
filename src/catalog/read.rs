//! Catalogue documents (`kind: module`, …) to structs, as `apply` files hold them. For goldens,
//! examples and anything else that has files and no store.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Catalogue, Module, Provider, ResourceType, Rule};
use crate::model::diag::Document as Origin;
use crate::model::{Context, Diagnostic, Place};
use crate::text::Document;

/// Kinds that `apply` knows and that are no part of a catalogue.
const OTHER_KINDS: &[&str] = &[
    "environment-type",
    "project",
    "environment",
    "runner",
    "runner-rule",
];

/// Fields that every kind may have and that are no concern of the compiler.
const EXTRA: &[&str] = &["kind", "windlass", "description", "display_name", "org_id"];

/// Reads documents into the catalogue of one environment. A module without `version_id` has version
/// `v1`; a rule without `id` is named by its position.
pub(crate) fn from_documents(
    context: &Context,
    documents: &[Document],
) -> Result<Catalogue, Vec<Diagnostic>> {
    let (mut types, mut modules, mut rules, mut providers) = (vec![], vec![], vec![], vec![]);
    let mut problems = Vec::new();
    for document in documents {
        let Some(map) = document.value.as_object() else {
            problems.push(refuse(document, "", "a catalogue document must be a map"));
            continue;
        };
        let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "resource-type" => types.extend(take::<ResourceType>(document, map, &mut problems)),
            "module" => {
                let mut map = map.clone();
                map.entry("version_id").or_insert_with(|| "v1".into());
                if let Some(digest) = map.get("windlass").and_then(|ours| ours.get("digest")) {
                    let digest = digest.clone();
                    map.insert("digest".into(), digest);
                }
                modules.extend(take::<Module>(document, &map, &mut problems));
            }
            "module-rule" => {
                let mut map = map.clone();
                let position = format!("rule-{}", rules.len() + 1);
                map.entry("id").or_insert_with(|| position.into());
                rules.extend(take::<Rule>(document, &map, &mut problems));
            }
            "provider" => providers.extend(take::<Provider>(document, map, &mut problems)),
            other if OTHER_KINDS.contains(&other) => {}
            other => problems.push(refuse(
                document,
                "/kind",
                &format!("`{other}` is no kind of catalogue document"),
            )),
        }
    }
    if problems.is_empty() {
        Ok(Catalogue::select(context, types, modules, rules, providers))
    } else {
        Err(problems)
    }
}

fn take<T: DeserializeOwned>(
    document: &Document,
    map: &Map<String, Value>,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let plain: Map<String, Value> = map
        .iter()
        .filter(|(key, value)| !EXTRA.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    match serde_json::from_value(Value::Object(plain)) {
        Ok(found) => Some(found),
        Err(error) => {
            problems.push(refuse(document, "", &error.to_string()));
            None
        }
    }
}

fn refuse(document: &Document, pointer: &str, why: &str) -> Diagnostic {
    let mut place = Place::at(
        Origin::File {
            name: document.name.clone(),
        },
        pointer,
    );
    document.locate(&mut place);
    Diagnostic::error(
        "Catalogue document not understood",
        format!("{why}."),
        place,
    )
}
