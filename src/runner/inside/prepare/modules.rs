//! `modules.json`: which module call is which directory.
//!
//! The engine believes it: an entry that points at another module that exists is applied without a word. So where an
//! entry points is derived by one pure function, [`directory`], and what was written is read back and compared with the
//! code by [`check`] before an engine sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Unready;
use crate::hcl::Code;

/// More calls are left to the engine.
const MAX_ENTRIES: usize = 100_000;
/// So are modules in modules deeper than this, which call themselves.
const MAX_DEPTH: usize = 64;

/// One module call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Names of calls from the root, joined by dots.
    #[serde(rename = "Key")]
    pub(crate) key: String,
    /// As the engine prints it.
    #[serde(rename = "Source")]
    pub(crate) source: String,
    /// Where it is, from the work directory.
    #[serde(rename = "Dir")]
    pub(crate) dir: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(rename = "Modules")]
    modules: Vec<Entry>,
}

/// Where the module with this source is, that is called from the code in `from` (`.` is the root), and its source as
/// the engine writes it. `None` for everything but a directory below the root, plainly written.
pub(crate) fn directory(from: &str, source: &str) -> Option<(String, String)> {
    let plain = source.strip_suffix('/').unwrap_or(source);
    let (up, rest) = match plain.strip_prefix("./") {
        Some(rest) => (0, rest),
        None => {
            let mut rest = plain;
            let mut up = 0;
            while let Some(further) = rest.strip_prefix("../") {
                rest = further;
                up += 1;
            }
            (up, rest)
        }
    };
    let starts_right = plain.starts_with("./") || up > 0;
    let is_name = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
    };
    if !starts_right || !rest.split('/').all(is_name) {
        return None;
    }
    let mut parts: Vec<&str> = match from {
        "." => Vec::new(),
        from => from.split('/').collect(),
    };
    let left = parts.len().checked_sub(up)?;
    parts.truncate(left);
    parts.extend(rest.split('/'));
    Some((parts.join("/"), plain.to_owned()))
}

/// The entries of a tree of calls, sorted as the engine sorts them.
pub(crate) fn entries(codes: &BTreeMap<String, Code>) -> Result<Vec<Entry>, Unready> {
    let mut found = vec![Entry {
        key: String::new(),
        source: String::new(),
        dir: ".".to_owned(),
    }];
    let mut at = 0;
    while let Some(caller) = found.get(at).cloned() {
        at += 1;
        let code = codes
            .get(&caller.dir)
            .ok_or_else(|| Unready::new(format!("the bundle has no code in `{}`", caller.dir)))?;
        if caller.key.split('.').count() > MAX_DEPTH {
            return Err(Unready::new("modules call modules too deeply"));
        }
        for (name, source) in &code.calls {
            let (dir, source) = directory(&caller.dir, source).ok_or_else(|| {
                Unready::new(format!(
                    "the module `{name}` does not come with the bundle: its source is no directory in it"
                ))
            })?;
            let key = match caller.key.as_str() {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            found.push(Entry { key, source, dir });
            if found.len() > MAX_ENTRIES {
                return Err(Unready::new("there are too many module calls"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The file.
pub(crate) fn print(entries: Vec<Entry>) -> Vec<u8> {
    serde_json::to_vec(&File { modules: entries }).unwrap_or_default()
}

/// Whether the file says what the code says: each call that there is, and no other, each in the directory of its source.
///
/// Goes the other way than [`entries`] does: from what is written to the code.
pub(crate) fn check(written: &[u8], codes: &BTreeMap<String, Code>) -> Result<(), String> {
    let file: File =
        serde_json::from_slice(written).map_err(|_| "`modules.json` cannot be read".to_owned())?;
    let by_key: BTreeMap<&str, &Entry> = file
        .modules
        .iter()
        .map(|entry| (entry.key.as_str(), entry))
        .collect();
    if by_key.len() != file.modules.len() {
        return Err("`modules.json` has an entry twice".to_owned());
    }
    let mut expected = 1;
    for (key, entry) in &by_key {
        let wrong = |what: &str| Err(format!("`modules.json` is wrong about `{key}`: {what}"));
        let Some(code) = codes.get(&entry.dir) else {
            return wrong("there is no code where it points");
        };
        expected += code.calls.len();
        if key.is_empty() {
            if entry.dir != "." || !entry.source.is_empty() {
                return wrong("the root is not the work directory");
            }
            continue;
        }
        let (above, name) = key.rsplit_once('.').unwrap_or(("", key));
        let Some(caller) = by_key.get(above) else {
            return wrong("nothing calls it");
        };
        let Some(source) = codes.get(&caller.dir).and_then(|code| code.calls.get(name)) else {
            return wrong("its caller does not call it");
        };
        match directory(&caller.dir, source) {
            Some((dir, plain)) if dir == entry.dir && plain == entry.source => {}
            _ => return wrong("it points elsewhere than its source says"),
        }
    }
    if by_key.len() == expected {
        Ok(())
    } else {
        Err("`modules.json` leaves calls out".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(tree: &[(&str, &[(&str, &str)])]) -> BTreeMap<String, Code> {
        tree.iter()
            .map(|(dir, calls)| {
                let calls = calls
                    .iter()
                    .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
                    .collect();
                let code = Code {
                    calls,
                    ..Code::default()
                };
                ((*dir).to_owned(), code)
            })
            .collect()
    }

    fn tree() -> BTreeMap<String, Code> {
        codes(&[
            (".", &[("a", "./modules/pg/v1"), ("b", "./modules/pg/v1/")]),
            ("modules/pg/v1", &[("s", "./sub"), ("o", "../../other/v1")]),
            ("modules/pg/v1/sub", &[("d", "./deep")]),
            ("modules/pg/v1/sub/deep", &[]),
            ("modules/other/v1", &[]),
        ])
    }

    /// As both engines wrote it for this very tree.
    const REAL: &str = r#"{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"a","Source":"./modules/pg/v1","Dir":"modules/pg/v1"},{"Key":"a.o","Source":"../../other/v1","Dir":"modules/other/v1"},{"Key":"a.s","Source":"./sub","Dir":"modules/pg/v1/sub"},{"Key":"a.s.d","Source":"./deep","Dir":"modules/pg/v1/sub/deep"},{"Key":"b","Source":"./modules/pg/v1","Dir":"modules/pg/v1"},{"Key":"b.o","Source":"../../other/v1","Dir":"modules/other/v1"},{"Key":"b.s","Source":"./sub","Dir":"modules/pg/v1/sub"},{"Key":"b.s.d","Source":"./deep","Dir":"modules/pg/v1/sub/deep"}]}"#;

    #[test]
    fn the_file_is_what_the_engines_write() {
        let written = print(entries(&tree()).expect("all there"));
        assert_eq!(String::from_utf8_lossy(&written), REAL);
        check(&written, &tree()).expect("it is right");
    }

    #[test]
    fn an_entry_that_points_elsewhere_is_refused() {
        for (from, to, why) in [
            // Another module that exists, of the same caller and of another.
            (
                r#""Dir":"modules/pg/v1/sub"}"#,
                r#""Dir":"modules/other/v1"}"#,
                "elsewhere",
            ),
            (
                r#""Dir":"modules/pg/v1"}"#,
                r#""Dir":"modules/other/v1"}"#,
                "elsewhere",
            ),
            (
                r#""Dir":"modules/other/v1"}"#,
                r#""Dir":"modules/nowhere"}"#,
                "no code",
            ),
            (r#""Source":"./sub""#, r#""Source":"./deep""#, "elsewhere"),
            (r#""Key":"a.s.d""#, r#""Key":"a.s.e""#, "does not call"),
            (r#""Key":"a.s.d""#, r#""Key":"x.s.d""#, "nothing calls"),
            (
                r#""Dir":"."}"#,
                r#""Dir":"modules/pg/v1"}"#,
                "work directory",
            ),
            (
                r#"{"Key":"b.o","Source":"../../other/v1","Dir":"modules/other/v1"},"#,
                "",
                "leaves calls out",
            ),
            (r#""Key":"b.o""#, r#""Key":"a.o""#, "twice"),
        ] {
            assert!(REAL.contains(from), "{from}");
            let wrong = REAL.replacen(from, to, 1);
            let said = check(wrong.as_bytes(), &tree()).expect_err(from);
            assert!(said.contains(why), "{from} -> {to}: {said}");
        }
    }

    #[test]
    fn only_directories_of_the_bundle_are_derived() {
        assert_eq!(
            directory(".", "./a/b"),
            Some(("a/b".into(), "./a/b".into()))
        );
        assert_eq!(
            directory("a/b", "../c"),
            Some(("a/c".into(), "../c".into()))
        );
        assert_eq!(directory("a/b", "../../../c"), None);
        for source in [
            "",
            ".",
            "./",
            "..",
            "../",
            "a",
            "/a",
            "./a//b",
            "./a/../b",
            "./a/./b",
            "./.",
            "git::x",
            "registry.example/a/b/c",
            "./a b",
            "./ä",
            "./a?x=1",
            "https://x/y",
            "../../..",
        ] {
            assert_eq!(directory("x/y", source), None, "{source}");
        }
        let itself = codes(&[(".", &[("a", "./m")]), ("m", &[("m", "../m")])]);
        assert!(entries(&itself).is_err(), "it would never end");
        assert!(
            entries(&codes(&[(".", &[("a", "./m")])])).is_err(),
            "not there"
        );
    }
}
