//! Entries against what exists: what to create, change, replace and remove, in an order that
//! references allow. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::compare::{Difference, differences};
use super::look::Current;
use super::read::{Entry, Files, describe, described_modules, duplicates, identity};
use crate::cli::exit::Found;
use crate::cli::kinds::{self, Kind, schema};
use crate::cli::print;
use crate::model::diag::nearest;

/// Choices of the user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Who applies.
    pub(crate) owner: Option<String>,
    /// Whether to remove what the owner applied before and the files no longer have.
    pub(crate) prune: bool,
}

/// What to do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// Objects that are as described.
    pub(crate) unchanged: usize,
    /// What `--prune` leaves alone, and why.
    pub(crate) kept: Vec<String>,
}

/// One change.
#[derive(Debug)]
pub(crate) struct Step {
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// In words.
    pub(crate) title: String,
    /// What happens.
    pub(crate) action: Action,
}

/// What happens to an object.
#[derive(Debug)]
pub(crate) enum Action {
    /// It is made of this entry.
    Create {
        /// Index of the entry.
        entry: usize,
        /// The body.
        body: Map<String, Value>,
    },
    /// These fields change.
    Update {
        /// Index of the entry.
        entry: usize,
        /// Its ids.
        ids: Vec<String>,
        /// The fields.
        differences: Vec<Difference>,
    },
    /// A rule cannot change: it is removed and made anew.
    Replace {
        /// Index of the entry.
        entry: usize,
        /// The rule that goes.
        old: String,
        /// The body.
        body: Map<String, Value>,
        /// What differs, in words.
        words: String,
    },
    /// Nobody describes it any more.
    Remove {
        /// Its ids, or the UUID of a rule.
        ids: Vec<String>,
    },
}

impl Step {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        match &self.action {
            Action::Create { .. } => print::paint(print::GOOD, format!("+ {}", self.title)),
            Action::Update { differences, .. } => {
                let words: Vec<&str> = differences.iter().map(|one| one.words.as_str()).collect();
                format!(
                    "{}: {}",
                    print::paint(print::CHANGED, format!("~ {}", self.title)),
                    words.join("; ")
                )
            }
            Action::Replace { words, .. } => {
                format!(
                    "{}: {words}",
                    print::paint(print::CHANGED, format!("~ {}", self.title))
                )
            }
            Action::Remove { .. } => print::paint(print::BAD, format!("- {}", self.title)),
        }
    }
}

impl Plan {
    /// `3 created, 1 changed, 0 removed, 12 unchanged`.
    pub(crate) fn counts(&self, future: bool) -> String {
        let count = |wanted: fn(&Action) -> bool| {
            self.steps
                .iter()
                .filter(|step| wanted(&step.action))
                .count()
        };
        let words = if future {
            ["to create", "to change", "to remove"]
        } else {
            ["created", "changed", "removed"]
        };
        format!(
            "{} {}, {} {}, {} {}, {} unchanged",
            count(|action| matches!(action, Action::Create { .. })),
            words[0],
            count(|action| matches!(action, Action::Update { .. } | Action::Replace { .. })),
            words[1],
            count(|action| matches!(action, Action::Remove { .. })),
            words[2],
            self.unchanged,
        )
    }
}

/// Plans, or says everything that stands against it.
pub(crate) fn plan(
    files: &Files,
    current: &Current,
    options: &Options,
) -> Result<Plan, Vec<Found>> {
    let mut found = Vec::new();
    references(files, current, &mut found);
    let mut plan = Plan {
        steps: Vec::new(),
        unchanged: 0,
        kept: Vec::new(),
    };
    let types = module_types(files, current);
    found.extend(duplicates(files, |module| {
        types.get(module).copied().unwrap_or(module)
    }));
    let mut described: BTreeSet<(&str, String)> = BTreeSet::new();
    for kind in kinds::ALL.iter().copied() {
        let there: BTreeMap<String, &Map<String, Value>> = current
            .of(kind)
            .iter()
            .map(|object| (identity(kind, object, None), object))
            .collect();
        for (index, entry) in files
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.kind == kind)
        {
            let resource_type =
                text(&entry.body, "module_id").and_then(|module| types.get(module).copied());
            let key = identity(kind, &entry.body, resource_type);
            let existing = there
                .get(&key)
                .copied()
                .filter(|object| !is_built_in(object));
            described.insert((kind.name, key));
            match existing {
                None => plan.steps.push(Step {
                    kind,
                    title: describe(kind, &entry.body),
                    action: Action::Create {
                        entry: index,
                        body: with_owner(&entry.body, options),
                    },
                }),
                Some(object) => change(files, index, entry, object, options, &mut plan, &mut found),
            }
        }
    }
    if options.prune {
        prune(current, options, &described, &mut plan);
    }
    if found.is_empty() {
        Ok(plan)
    } else {
        Err(found)
    }
}

/// A type that ships with the product can be shadowed, and then it is ours.
fn is_built_in(object: &Map<String, Value>) -> bool {
    object
        .get("built_in")
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

fn change(
    files: &Files,
    index: usize,
    entry: &Entry,
    object: &Map<String, Value>,
    options: &Options,
    plan: &mut Plan,
    found: &mut Vec<Found>,
) {
    let kind = entry.kind;
    let differences = differences(kind, &entry.body, object, options.owner.as_deref());
    for difference in &differences {
        if kind.fixed.contains(&difference.field) {
            found.push(files.problem(
                entry,
                "Cannot change",
                format!(
                    "{} of an existing {} cannot change ({}). Delete it first, or give the new one another id.",
                    difference.field,
                    kind.title.to_lowercase(),
                    difference.words
                ),
                difference.field,
            ));
        }
    }
    if differences.is_empty() {
        plan.unchanged += 1;
        return;
    }
    let title = describe(kind, &entry.body);
    let action = if kind.is_rule() {
        Action::Replace {
            entry: index,
            old: text(object, "id").unwrap_or_default().to_owned(),
            body: with_owner(&entry.body, options),
            words: differences
                .iter()
                .map(|difference| difference.words.as_str())
                .collect::<Vec<_>>()
                .join("; "),
        }
    } else {
        Action::Update {
            entry: index,
            ids: kind.ids_of(&entry.body).unwrap_or_default(),
            differences,
        }
    };
    plan.steps.push(Step {
        kind,
        title,
        action,
    });
}

/// What the owner applied before and nobody describes any more, backwards.
fn prune(
    current: &Current,
    options: &Options,
    described: &BTreeSet<(&str, String)>,
    plan: &mut Plan,
) {
    let Some(owner) = options.owner.as_deref() else {
        return;
    };
    // A project cannot go while an environment that is kept is in it.
    let mut held: BTreeSet<String> = BTreeSet::new();
    for kind in kinds::ALL.iter().rev().copied() {
        for object in current.of(kind) {
            let owned = object
                .get("windlass")
                .and_then(|extras| extras.get("owner"))
                .and_then(Value::as_str)
                == Some(owner);
            if !owned || described.contains(&(kind.name, identity(kind, object, None))) {
                continue;
            }
            let title = describe(kind, object);
            let ids = kind.ids_of(object).unwrap_or_default();
            if *kind == kinds::ENVIRONMENT && current.deployed.contains(&ids.join("/")) {
                plan.kept.push(format!(
                    "{title} is kept: something was deployed to it. `windlass delete env {}` destroys it.",
                    ids.join(" ")
                ));
                held.insert(format!("project {}", ids[0]));
                held.extend(text(object, "env_type_id").map(|id| format!("environment-type {id}")));
                continue;
            }
            if held.contains(&title) {
                plan.kept.push(format!(
                    "{title} is kept: an environment that is kept needs it."
                ));
                continue;
            }
            let ids = if kind.is_rule() {
                vec![text(object, "id").unwrap_or_default().to_owned()]
            } else {
                ids
            };
            plan.steps.push(Step {
                kind,
                title,
                action: Action::Remove { ids },
            });
        }
    }
}

fn with_owner(body: &Map<String, Value>, options: &Options) -> Map<String, Value> {
    let mut body = body.clone();
    if let Some(owner) = &options.owner {
        let extras = body
            .entry("windlass")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(extras) = extras.as_object_mut() {
            extras.insert("owner".into(), Value::String(owner.clone()));
        }
    }
    if let Some(extras) = body.get_mut("windlass").and_then(Value::as_object_mut) {
        extras.shift_remove("digest");
    }
    body
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// Module to resource type: as described, else as it is.
fn module_types<'a>(files: &'a Files, current: &'a Current) -> BTreeMap<&'a str, &'a str> {
    let mut types: BTreeMap<&str, &str> = current
        .of(&kinds::MODULE)
        .iter()
        .filter_map(|module| Some((text(module, "id")?, text(module, "resource_type")?)))
        .collect();
    types.extend(
        described_modules(files)
            .into_iter()
            .filter(|(id, resource_type)| !id.is_empty() && !resource_type.is_empty()),
    );
    types
}

/// Names that exist or are described, by kind.
struct Known<'a> {
    files: &'a Files,
    current: &'a Current,
}

impl Known<'_> {
    fn names(&self, kind: &'static Kind) -> BTreeSet<String> {
        self.current
            .of(kind)
            .iter()
            .chain(
                self.files
                    .entries
                    .iter()
                    .filter(|entry| entry.kind == kind)
                    .map(|entry| &entry.body),
            )
            .filter_map(|object| Some(kind.label(&kind.ids_of(object)?)))
            .collect()
    }
}

/// References to what neither exists nor is described.
fn references(files: &Files, current: &Current, found: &mut Vec<Found>) {
    let known = Known { files, current };
    let projects = known.names(&kinds::PROJECT);
    let environment_types = known.names(&kinds::ENVIRONMENT_TYPE);
    let types = known.names(&kinds::RESOURCE_TYPE);
    let providers = known.names(&kinds::PROVIDER);
    let modules = known.names(&kinds::MODULE);
    let mut runners = known.names(&kinds::RUNNER);
    runners.extend([
        crate::wire::runners::LOCAL.to_owned(),
        crate::wire::runners::PROCESS.to_owned(),
    ]);
    for entry in &files.entries {
        let mut missing = |kind: &Kind,
                           name: Option<&str>,
                           known: &BTreeSet<String>,
                           field: &str| {
            let Some(name) = name.filter(|name| !known.contains(*name)) else {
                return;
            };
            let hint = match nearest(name, known.iter().map(String::as_str)).as_slice() {
                [] if known.is_empty() => format!("There is no {} yet.", kind.title.to_lowercase()),
                [] => format!(
                    "There are {}.",
                    schema::ticked(known.iter().map(String::as_str).take(12))
                ),
                near => format!("Did you mean {}?", schema::or(near)),
            };
            found.push(files.problem(
                entry,
                &format!("Unknown {}", kind.title.to_lowercase()),
                format!("`{name}` neither exists nor is described in these files. {hint}"),
                field,
            ));
        };
        let body = &entry.body;
        match entry.kind.name {
            "environment" => {
                missing(
                    &kinds::PROJECT,
                    text(body, "project_id"),
                    &projects,
                    "project_id",
                );
                missing(
                    &kinds::ENVIRONMENT_TYPE,
                    text(body, "env_type_id"),
                    &environment_types,
                    "env_type_id",
                );
            }
            "module" => {
                missing(
                    &kinds::RESOURCE_TYPE,
                    text(body, "resource_type"),
                    &types,
                    "resource_type",
                );
                for (alias, dependency) in body
                    .get("dependencies")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    let name = dependency.get("type").and_then(Value::as_str);
                    missing(
                        &kinds::RESOURCE_TYPE,
                        name,
                        &types,
                        &format!("dependencies/{}/type", escaped(alias)),
                    );
                }
                for (index, other) in body
                    .get("coprovisioned")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .enumerate()
                {
                    let name = other.get("type").and_then(Value::as_str);
                    missing(
                        &kinds::RESOURCE_TYPE,
                        name,
                        &types,
                        &format!("coprovisioned/{index}/type"),
                    );
                }
                for (local, name) in body
                    .get("provider_mapping")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    missing(
                        &kinds::PROVIDER,
                        name.as_str(),
                        &providers,
                        &format!("provider_mapping/{}", escaped(local)),
                    );
                }
            }
            "module-rule" => {
                missing(
                    &kinds::MODULE,
                    text(body, "module_id"),
                    &modules,
                    "module_id",
                );
                missing(
                    &kinds::ENVIRONMENT_TYPE,
                    text(body, "env_type_id"),
                    &environment_types,
                    "env_type_id",
                );
            }
            "runner-rule" => {
                missing(
                    &kinds::RUNNER,
                    text(body, "runner_id"),
                    &runners,
                    "runner_id",
                );
                missing(
                    &kinds::ENVIRONMENT_TYPE,
                    text(body, "env_type_id"),
                    &environment_types,
                    "env_type_id",
                );
            }
            _ => {}
        }
    }
}

fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::apply::read::{parse, tests::raw};
    use serde_json::json;

    fn files(text: &str) -> Files {
        parse(&[raw("all.yaml", text)], &[]).expect("reads")
    }

    fn current(objects: &[(&'static str, Value)]) -> Current {
        let mut current = Current::default();
        for (kind, object) in objects {
            current
                .objects
                .entry(kind)
                .or_default()
                .push(object.as_object().cloned().expect("a map"));
        }
        current
    }

    fn lines(plan: &Plan) -> String {
        plan.steps
            .iter()
            .map(|step| anstream::adapter::strip_str(&step.line()).to_string())
            .chain(plan.kept.iter().map(|kept| format!("kept: {kept}")))
            .collect::<Vec<_>>()
            .join("\n")
    }

    const TEXT: &str = "kind: module-rule\nmodule_id: pg\n---\nkind: environment\nproject_id: shop\nid: dev\nenv_type_id: development\n---\nkind: module\nid: pg\nresource_type: postgres\nmodule_source: /m/pg\n---\nkind: project\nid: shop\n---\nkind: resource-type\nid: postgres\noutput_schema: {}\n---\nkind: environment-type\nid: development\n";

    #[test]
    fn the_order_follows_from_references_and_not_from_the_files() {
        let plan = plan(&files(TEXT), &Current::default(), &Options::default()).expect("plans");
        insta::assert_snapshot!(lines(&plan), @r"
        + environment-type development
        + project shop
        + resource-type postgres
        + module pg
        + environment shop/dev
        + module-rule pg
        ");
    }

    #[test]
    fn what_is_as_described_is_left_alone_and_what_was_altered_is_named() {
        let there = current(&[
            (
                "environment-type",
                json!({"id": "development", "display_name": "development"}),
            ),
            ("project", json!({"id": "shop", "display_name": "Altered"})),
            (
                "resource-type",
                json!({"id": "postgres", "output_schema": {}, "is_developer_accessible": true, "built_in": false}),
            ),
            (
                "module",
                json!({"id": "pg", "resource_type": "postgres", "module_source": "/m/pg"}),
            ),
            (
                "environment",
                json!({"id": "dev", "project_id": "shop", "env_type_id": "development", "display_name": "dev"}),
            ),
            (
                "module-rule",
                json!({"id": "u", "module_id": "old", "resource_type": "postgres", "resource_class": "default"}),
            ),
        ]);
        let plan = plan(&files(TEXT), &there, &Options::default()).expect("plans");
        insta::assert_snapshot!(format!("{}\n{}", lines(&plan), plan.counts(true)), @r#"
        ~ project shop: display_name: "Altered" → "shop"
        ~ module-rule pg: module_id: "old" → "pg"
        0 to create, 2 to change, 0 to remove, 4 unchanged
        "#);
    }

    #[test]
    fn rules_of_modules_that_are_there_already_are_told_apart_by_the_types_of_these() {
        let rule = |module: &str| format!("kind: module-rule\nmodule_id: {module}\n");
        let module =
            |id: &str, of: &str| json!({"id": id, "resource_type": of, "module_source": "/m"});
        let there = current(&[
            ("resource-type", json!({"id": "postgres"})),
            ("resource-type", json!({"id": "dns"})),
            ("module", module("pg", "postgres")),
            ("module", module("pg-cluster", "postgres")),
            ("module", module("dns", "dns")),
        ]);
        let text = [rule("pg"), rule("dns")].join("---\n");
        plan(&files(&text), &there, &Options::default()).expect("two cases");
        let text = [rule("pg"), rule("pg-cluster")].join("---\n");
        let found = plan(&files(&text), &there, &Options::default()).expect_err("one case");
        assert_eq!(found[0].diagnostic.summary, "Described twice");
    }

    #[test]
    fn unknown_references_are_all_found_before_anything_happens() {
        let text = "kind: module\nid: pg\nresource_type: postgers\nmodule_source: /m\nprovider_mapping: {aws: aws.default}\n---\nkind: environment\nproject_id: shop\nid: dev\nenv_type_id: dev\n";
        let there = current(&[("resource-type", json!({"id": "postgres"}))]);
        let found = plan(&files(text), &there, &Options::default()).expect_err("refused");
        let words: Vec<&str> = found
            .iter()
            .map(|one| one.diagnostic.detail.as_str())
            .collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        `postgers` neither exists nor is described in these files. Did you mean `postgres`?
        `aws.default` neither exists nor is described in these files. There is no provider yet.
        `shop` neither exists nor is described in these files. There is no project yet.
        `dev` neither exists nor is described in these files. There is no environment type yet.
        ");
    }

    #[test]
    fn what_cannot_change_is_refused() {
        let there = current(&[
            ("resource-type", json!({"id": "dns"})),
            (
                "module",
                json!({"id": "pg", "resource_type": "dns", "module_source": "/m/pg"}),
            ),
        ]);
        let found = plan(&files(TEXT), &there, &Options::default()).expect_err("refused");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].diagnostic.summary, "Cannot change");
    }

    #[test]
    fn pruning_removes_only_what_the_owner_applied_and_never_what_has_state() {
        let owned = |mut object: Value, owner: &str| {
            object["windlass"] = json!({"owner": owner});
            object
        };
        let mut there = current(&[
            (
                "project",
                owned(json!({"id": "shop", "display_name": "shop"}), "me"),
            ),
            (
                "project",
                owned(json!({"id": "old", "display_name": "old"}), "me"),
            ),
            (
                "project",
                owned(json!({"id": "live", "display_name": "live"}), "me"),
            ),
            (
                "project",
                owned(json!({"id": "other", "display_name": "other"}), "you"),
            ),
            ("project", json!({"id": "nobodys", "display_name": "x"})),
            (
                "environment",
                owned(
                    json!({"id": "e", "project_id": "old", "env_type_id": "t"}),
                    "me",
                ),
            ),
            (
                "environment",
                owned(
                    json!({"id": "e", "project_id": "live", "env_type_id": "t"}),
                    "me",
                ),
            ),
        ]);
        there.deployed.insert("live/e".into());
        let options = Options {
            owner: Some("me".into()),
            prune: true,
        };
        let plan = plan(&files("kind: project\nid: shop\n"), &there, &options).expect("plans");
        insta::assert_snapshot!(lines(&plan), @r"
        - environment old/e
        - project old
        kept: environment live/e is kept: something was deployed to it. `windlass delete env live e` destroys it.
        kept: project live is kept: an environment that is kept needs it.
        ");
    }
}
