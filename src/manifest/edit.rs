//! The operations of a request on a manifest: merge, set, drop. Applied to plain JSON, before the
//! manifest is checked, at acceptance and again at claim.
//!
//! Every place of the result remembers which operation it came from ([`Origins`]), so that a client
//! can show a problem in the file or the flag that caused it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::model::diag::{nearest, pointer};
use crate::model::{Diagnostic, Place};

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Replace everything by this manifest.
    Replace(Value),
    /// Union of workloads and of shared resources; those given here win, per key.
    Merge(Value),
    /// `PATH=VALUE` as `--set` takes them; the value is a string.
    Set {
        /// `workloads.W.outputs.K`, `workloads.W.resources.A.{type,class,id,params.K}` or `shared.A.{…}`.
        path: String,
        /// The new value.
        value: String,
    },
    /// Remove a workload.
    DropWorkload(String),
    /// Remove a shared resource.
    DropShared(String),
}

/// A manifest after all operations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edited {
    /// The result, not yet checked.
    pub(crate) manifest: Value,
    /// Where its parts came from.
    pub(crate) origins: Origins,
}

/// Which operation each part of a manifest came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Pointer of a part to operation and pointer in that operation's document.
    parts: BTreeMap<String, (usize, String)>,
}

/// Where a part came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was there before.
    Base,
    /// It came with this operation (index into the operations). The pointer is into the document of
    /// that operation; for a `Set` it is the pointer that was set.
    Operation(usize, String),
}

impl Origins {
    /// The origin of a pointer: that of the longest part it lies in.
    pub(crate) fn of(&self, at: &str) -> Origin {
        let mut prefix = at;
        loop {
            if let Some((operation, inside)) = self.parts.get(prefix) {
                return Origin::Operation(*operation, format!("{inside}{}", &at[prefix.len()..]));
            }
            match prefix.rfind('/') {
                Some(end) => prefix = &prefix[..end],
                None => return Origin::Base,
            }
        }
    }

    fn put(&mut self, at: &str, operation: usize, inside: &str) {
        self.forget(at);
        self.parts
            .insert(at.to_owned(), (operation, inside.to_owned()));
    }

    fn forget(&mut self, at: &str) {
        let below = format!("{at}/");
        self.parts
            .retain(|part, _| part != at && !part.starts_with(&below));
    }
}

/// Applies operations in order. Fails on a malformed `--set` path, on a document that is no map, and
/// on dropping what is not there; all such problems are collected.
pub(crate) fn apply(base: &Value, operations: &[Operation]) -> Result<Edited, Vec<Diagnostic>> {
    let mut edit = Edit {
        manifest: base.clone(),
        origins: Origins::default(),
        problems: Vec::new(),
    };
    for (number, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Replace(document) => {
                edit.manifest = document.clone();
                edit.origins.put("", number, "");
            }
            Operation::Merge(document) => edit.merge(number, document),
            Operation::Set { path, value } => edit.set(number, path, value),
            Operation::DropWorkload(name) => edit.drop_part(number, "workloads", "workload", name),
            Operation::DropShared(alias) => {
                edit.drop_part(number, "shared", "shared resource", alias);
            }
        }
    }
    if edit.problems.is_empty() {
        Ok(Edited {
            manifest: edit.manifest,
            origins: edit.origins,
        })
    } else {
        Err(edit.problems)
    }
}

struct Edit {
    manifest: Value,
    origins: Origins,
    problems: Vec<Diagnostic>,
}

impl Edit {
    fn refuse(&mut self, number: usize, summary: &str, detail: String, v1: Option<String>) {
        let place = Place::at(
            crate::model::diag::Document::Request,
            format!("/windlass/operations/{number}"),
        );
        self.problems.push(Diagnostic {
            v1,
            ..Diagnostic::error(summary, detail, place)
        });
    }

    fn merge(&mut self, number: usize, document: &Value) {
        let Some(given) = document.as_object() else {
            self.refuse(
                number,
                "Wrong type",
                "A manifest to merge must be a map.".into(),
                None,
            );
            return;
        };
        for (part, value) in given {
            let at = pointer("", part);
            let inner = match (part.as_str(), value.as_object()) {
                ("workloads" | "shared", Some(inner)) => inner,
                ("shared", None) if value.is_null() => continue,
                // Unknown or misshapen: handed on, for the check of the whole to tell.
                _ => {
                    self.root().insert(part.clone(), value.clone());
                    self.origins.put(&at, number, &at);
                    continue;
                }
            };
            let target = self.part(part);
            for (name, value) in inner {
                target.insert(name.clone(), value.clone());
            }
            for name in inner.keys() {
                let at = pointer(&at, name);
                self.origins.put(&at, number, &at);
            }
        }
    }

    /// The manifest as a map; whatever else it was is replaced.
    fn root(&mut self) -> &mut Map<String, Value> {
        as_map(&mut self.manifest)
    }

    fn part(&mut self, part: &str) -> &mut Map<String, Value> {
        as_map(
            self.root()
                .entry(part)
                .or_insert_with(|| Value::Object(Map::new())),
        )
    }

    fn set(&mut self, number: usize, path: &str, value: &str) {
        let segments: Vec<&str> = path.split('.').collect();
        let is_good = match segments.as_slice() {
            ["workloads", _, "outputs", _] => true,
            ["workloads", _, "resources", _, rest @ ..] | ["shared", _, rest @ ..] => {
                matches!(rest, ["type" | "class" | "id"] | ["params", _])
            }
            _ => false,
        };
        if !is_good || segments.iter().any(|segment| segment.is_empty()) {
            self.refuse(
                number,
                "Invalid --set path",
                format!(
                    "`{path}` is none of `workloads.W.outputs.K`, `workloads.W.resources.A.type`, `.class`, `.id`, `.params.K`, and `shared.A.` with the same endings."
                ),
                Some(format!("invalid --set path '{path}'")),
            );
            return;
        }
        let mut target = self.root();
        let (last, parents) = segments.split_last().unwrap_or((&"", &[]));
        let mut at = String::new();
        for segment in parents {
            // A workload that says `variables` keeps its word; both words at once are refused.
            let mut key = *segment;
            if key == "outputs" && target.contains_key("variables") {
                key = "variables";
            }
            at = pointer(&at, key);
            target = as_map(target.entry(key).or_insert_with(|| json!({})));
        }
        at = pointer(&at, last);
        target.insert((*last).to_owned(), value.into());
        self.origins.put(&at, number, &at);
    }

    fn drop_part(&mut self, number: usize, part: &str, word: &str, name: &str) {
        let at = pointer(&pointer("", part), name);
        let target = self.part(part);
        if target.shift_remove(name).is_some() {
            self.origins.forget(&at);
            return;
        }
        let known: Vec<String> = target.keys().cloned().collect();
        let advice = match nearest(name, known.iter().map(String::as_str)).first() {
            Some(near) => format!("Did you mean `{near}`?"),
            None if known.is_empty() => "There are none.".into(),
            None => format!("There are: {}.", known.join(", ")),
        };
        self.refuse(
            number,
            "Nothing to drop",
            format!("There is no {word} `{name}` in the manifest. {advice}"),
            None,
        );
    }
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str, value: &str) -> Operation {
        Operation::Set {
            path: path.into(),
            value: value.into(),
        }
    }

    #[test]
    fn merge_replaces_whole_workloads_and_keeps_the_others() {
        let base = json!({"workloads": {"a": {"outputs": {"X": "1"}}, "b": {}}, "shared": {"db": {"type": "postgres"}}});
        let edited = apply(
            &base,
            &[Operation::Merge(
                json!({"workloads": {"a": {"resources": {}}}, "shared": {"mq": {"type": "queue"}}}),
            )],
        )
        .expect("good");
        assert_eq!(
            edited.manifest,
            json!({"workloads": {"a": {"resources": {}}, "b": {}}, "shared": {"db": {"type": "postgres"}, "mq": {"type": "queue"}}})
        );
        let from = |at: &str| edited.origins.of(at);
        assert_eq!(
            from("/workloads/a/resources/x"),
            Origin::Operation(0, "/workloads/a/resources/x".into())
        );
        assert_eq!(from("/workloads/b"), Origin::Base);
        assert_eq!(from("/workloads"), Origin::Base);
    }

    #[test]
    fn set_makes_missing_parents_and_its_origin_is_the_flag() {
        let edited = apply(
            &json!({"workloads": {}}),
            &[
                Operation::Replace(
                    json!({"workloads": {"w": {"resources": {"db": {"type": "x"}}}}}),
                ),
                set("workloads.w.resources.db.params.size", "small"),
                set("shared.dns.type", "dns"),
            ],
        )
        .expect("good");
        assert_eq!(
            edited.manifest,
            json!({"workloads": {"w": {"resources": {"db": {"type": "x", "params": {"size": "small"}}}}}, "shared": {"dns": {"type": "dns"}}})
        );
        let at = "/workloads/w/resources/db/params/size";
        assert_eq!(edited.origins.of(at), Origin::Operation(1, at.into()));
        assert_eq!(
            edited.origins.of("/workloads/w/resources/db/type"),
            Origin::Operation(0, "/workloads/w/resources/db/type".into())
        );
    }

    #[test]
    fn set_keeps_the_old_word_for_outputs() {
        let base = json!({"workloads": {"w": {"variables": {"A": "1"}}}});
        let edited = apply(&base, &[set("workloads.w.outputs.B", "2")]).expect("good");
        assert_eq!(
            edited.manifest,
            json!({"workloads": {"w": {"variables": {"A": "1", "B": "2"}}}})
        );
    }

    #[test]
    fn problems_of_all_operations_are_told_together() {
        let problems = apply(
            &json!({"workloads": {"web": {}}}),
            &[
                set("workloads.web.image", "x"),
                set("shared..type", "x"),
                Operation::DropWorkload("wbe".into()),
                Operation::DropShared("db".into()),
                Operation::Merge(json!([])),
            ],
        )
        .expect_err("refused");
        assert_eq!(problems.len(), 5);
        assert!(
            problems[0]
                .v1
                .as_deref()
                .is_some_and(|v1| v1.starts_with("invalid --set path"))
        );
        assert!(problems[2].detail.ends_with("Did you mean `web`?"));
        assert_eq!(problems[3].places[0].pointer, "/windlass/operations/3");
    }

    #[test]
    fn what_was_dropped_and_merged_again_has_its_new_origin() {
        let edited = apply(
            &json!({"workloads": {"a": {}}}),
            &[
                Operation::DropWorkload("a".into()),
                Operation::Merge(json!({"workloads": {"a": {"outputs": {}}}})),
            ],
        )
        .expect("good");
        assert_eq!(
            edited.origins.of("/workloads/a"),
            Origin::Operation(1, "/workloads/a".into())
        );
    }
}
