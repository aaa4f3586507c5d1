//! The objects of the catalogue as one table: names, paths, fields, columns. `create`, `update`,
//! `get`, `delete` and `apply` all read it, so that a new kind is one entry.
//!
//! Start at [`Kind`] and [`ALL`], which is in the order in which references allow creation.

pub(crate) mod schema;
mod table;

use serde_json::{Map, Value};

use self::schema::Field;
use crate::cli::print::table::Column;

pub(crate) use self::table::*;

/// One kind of object.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The singular command name, also `kind:` in apply files.
    pub(crate) name: &'static str,
    /// For sentences, upper case first.
    pub(crate) title: &'static str,
    /// The fields that identify it, in the order of the positional arguments; empty for rules.
    pub(crate) ids: &'static [&'static str],
    /// For rules: the fields that make two of them the same rule.
    pub(crate) conflict_key: &'static [&'static str],
    /// Last segment of the collection's path.
    pub(crate) segment: &'static str,
    /// Everything `create` takes.
    pub(crate) fields: &'static [Field],
    /// Fields that cannot change once created, beside the ids.
    pub(crate) fixed: &'static [&'static str],
    /// Columns of one object.
    pub(crate) columns: &'static [Column],
    /// Columns of a list.
    pub(crate) list_columns: &'static [Column],
    /// Whether lists leave fields out, so that each object has to be read for the whole of it.
    pub(crate) lists_are_short: bool,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Kind {
    /// Whether it is a rule: no id of its own choosing, and no update.
    pub(crate) fn is_rule(&self) -> bool {
        self.ids.is_empty()
    }

    /// Path of the collection below the organisation. `ids` are the positional arguments.
    pub(crate) fn collection(&self, ids: &[String]) -> String {
        match (self.name, ids) {
            ("environment", [project, ..]) => format!("projects/{}/envs", segment(project)),
            ("environment", []) => "envs".to_owned(),
            _ => self.segment.to_owned(),
        }
    }

    /// Path of one object below the organisation. A rule is found by its UUID.
    pub(crate) fn item(&self, ids: &[String]) -> String {
        let own = match self.name {
            "environment" => &ids[1.min(ids.len())..],
            _ => ids,
        };
        own.iter().fold(self.collection(ids), |path, id| {
            format!("{path}/{}", segment(id))
        })
    }

    /// The ids of an object as the server or a file has it.
    pub(crate) fn ids_of(&self, object: &Map<String, Value>) -> Option<Vec<String>> {
        self.ids
            .iter()
            .map(|field| object.get(*field)?.as_str().map(str::to_owned))
            .collect()
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// How an object is called in sentences: `shop/staging`, `kubernetes.default`, `web`.
    pub(crate) fn label(&self, ids: &[String]) -> String {
        match self.name {
            "provider" => ids.join("."),
            _ => ids.join("/"),
        }
    }

    /// The fields as help text.
    pub(crate) fn help(&self) -> String {
        let width = self
            .fields
            .iter()
            .map(|field| field.name.len())
            .max()
            .unwrap_or(0);
        let mut text = format!(
            "Fields of {} {}:\n",
            article(self.title),
            self.title.to_lowercase()
        );
        for field in self.fields {
            let need = if field.required { ", required" } else { "" };
            text.push_str(&format!(
                "  {:width$}  {} ({}{need})\n",
                field.name,
                field.about,
                field.shape.words(),
            ));
        }
        text.trim_end().to_owned()
    }
}

/// `a` or `an`.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    }
}

/// The kind of this name.
pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().copied().find(|kind| kind.name == name)
}

/// A path segment: everything but unreserved characters is percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'~')
            || (byte == b'.' && text != "." && text != "..")
        {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_contract() {
        let ids = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ENVIRONMENT.item(&ids(&["shop", "dev"])),
            "projects/shop/envs/dev"
        );
        assert_eq!(
            PROVIDER.item(&ids(&["aws", "default"])),
            "module-providers/aws/default"
        );
        assert_eq!(MODULE.item(&ids(&["a/../b"])), "modules/a%2F..%2Fb");
        assert_eq!(PROJECT.item(&ids(&[".."])), "projects/%2E%2E");
        assert_eq!(MODULE_RULE.item(&ids(&["u-1"])), "module-rules/u-1");
    }

    #[test]
    fn the_help_lists_every_field() {
        insta::assert_snapshot!(PROJECT.help(), @r#"
        Fields of a project:
          id            the id, for example `shop` (a text, required)
          display_name  for people, 2 to 60 characters (a text)
          windlass      our own fields (a map with owner)
        "#);
    }
}
