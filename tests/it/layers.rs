//! Imports run downhill, and every big dependency has one door. The two tables here are documentation:
//! the first is compared with the crate doc of `lib.rs`, so that neither can go stale.
//!
//! The test reads text, not syntax. It relies on three conventions: one `use crate::room::…` per room, `super::`
//! never leaves a room, and a unit test does not reach up either (what needs several floors is tested here beside it).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room in `src/` and the floor it stands on.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("text", 1),
    ("placeholder", 1),
    ("seal", 1),
    ("manifest", 2),
    ("catalog", 2),
    ("policy", 2),
    ("score", 3),
    ("wire", 3),
    ("graph", 4),
    ("hcl", 5),
    ("runner", 6),
    ("store", 6),
    ("sources", 6),
    ("deploy", 7),
    ("api", 8),
    ("ui", 8),
    ("cli", 9),
];

/// Crates that only some rooms may name, by the start of the path below `src/`.
const DOORS: &[(&str, &[&str])] = &[
    ("bollard", &["runner/docker"]),
    ("kube", &["runner/kubernetes"]),
    ("k8s_openapi", &["runner/kubernetes"]),
    ("sqlx", &["store/"]),
    ("hcl", &["hcl/", "hcl.rs"]),
    ("petgraph", &["graph/", "graph.rs"]),
    ("axum", &["api/", "ui/", "cli/"]),
    ("askama", &["ui/"]),
    ("clap", &["cli/"]),
    ("anyhow", &["cli/", "main.rs"]),
    ("hpke", &["seal/"]),
    ("age", &["seal/"]),
];

/// Crates that modules of ours share a name with.
const OURS_TOO: &[&str] = &["hcl", "age"];

/// What floors 0 to 5 never do: they have no clock, no chance and no world.
const NEVER_BELOW_SIX: &[&str] = &[
    "async fn",
    ".await",
    "tokio::",
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Uuid::now",
    "Uuid::new_v4",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of that folder").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The room of a file: its first folder or its name. `main.rs` and `lib.rs` wire the rooms and have none.
fn room_of(inside: &str) -> Option<&str> {
    match inside.split_once('/') {
        Some((room, _)) => Some(room),
        None => inside
            .strip_suffix(".rs")
            .filter(|name| !["main", "lib"].contains(name)),
    }
}

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor).unwrap_or_else(|| {
        panic!("the room `{room}` has no floor: add it to FLOORS and to the table in the crate doc of lib.rs")
    })
}

/// Path below `src/`, and the lines that are code with their numbers.
fn sources() -> Vec<(String, Vec<(usize, String)>)> {
    let src = src();
    let read = |file: PathBuf| {
        let inside = file.strip_prefix(&src).expect("walked from src");
        let inside = inside
            .to_str()
            .expect("names of sources are ASCII")
            .to_owned();
        let text = fs::read_to_string(&file).expect("sources are UTF-8");
        let lines = text.lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        (
            inside,
            code.map(|(number, line)| (number + 1, line.to_owned()))
                .collect(),
        )
    };
    rust_files(&src).into_iter().map(read).collect()
}

/// Words that stand directly after `start`, where `start` is not the end of a longer path or word.
fn words_after<'a>(line: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(start).map(move |(at, _)| {
        let rest = &line[at + start.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn imports_go_to_a_lower_floor() {
    let mut uphill = Vec::new();
    for (inside, lines) in sources() {
        let Some(room) = room_of(&inside) else {
            continue;
        };
        let here = floor(room);
        for (number, line) in lines {
            // A macro of ours names the crate by `$crate::`, which also contains `crate::`.
            for used in words_after(&line, "crate::") {
                if used != room && (used.is_empty() || floor(used) >= here) {
                    uphill.push(format!("{inside}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        uphill.is_empty(),
        "imports that do not go to a lower floor:\n{}",
        uphill.join("\n")
    );
}

#[test]
fn super_never_leaves_a_room() {
    let mut leaving = Vec::new();
    for (inside, lines) in sources() {
        if room_of(&inside).is_none() {
            continue;
        }
        // How many `super::` lead from this file to the root of the crate.
        let depth = inside.matches('/').count() + usize::from(!inside.ends_with("/mod.rs"));
        let start = format!("use {}", "super::".repeat(depth));
        for (number, line) in lines {
            // Only lines that are not indented: inside `mod tests` the count is one more.
            if line.starts_with(&start) || line.starts_with(&format!("pub(crate) {start}")) {
                leaving.push(format!("{inside}:{number}: {line}"));
            }
        }
    }
    assert!(
        leaving.is_empty(),
        "`super::` that leaves its room:\n{}",
        leaving.join("\n")
    );
}

#[test]
fn every_big_dependency_has_one_door() {
    let mut strays = Vec::new();
    for (inside, lines) in sources() {
        for (number, line) in &lines {
            for (name, doors) in DOORS {
                if doors.iter().any(|door| inside.starts_with(door)) || !names_crate(line, name) {
                    continue;
                }
                strays.push(format!("{inside}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(
        strays.is_empty(),
        "dependencies that are named outside their rooms:\n{}",
        strays.join("\n")
    );
}

/// Whether a line names the crate `name`. Some of our modules have the name of a crate; there only a `use` at the start
/// of a line counts.
fn names_crate(line: &str, name: &str) -> bool {
    let code = line.trim_start();
    let path = code.strip_prefix("pub(crate) ").unwrap_or(code);
    if let Some(used) = path.strip_prefix("use ") {
        let used = used.trim_start_matches("::");
        return used
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with("::") || rest.starts_with(" as ") || rest == ";");
    }
    !OURS_TOO.contains(&name)
        && code.match_indices(&format!("{name}::")).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
}

#[test]
fn floors_zero_to_five_touch_nothing() {
    let mut touching = Vec::new();
    for (inside, lines) in sources() {
        let Some(room) = room_of(&inside) else {
            continue;
        };
        // Sealing draws its own keys, so that no caller can repeat one; it still reads no file and no clock.
        if floor(room) >= 6 {
            continue;
        }
        for (number, line) in code_without_tests(&lines) {
            if NEVER_BELOW_SIX.iter().any(|never| line.contains(never)) {
                touching.push(format!("{inside}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(
        touching.is_empty(),
        "the compiler touches the world:\n{}",
        touching.join("\n")
    );
}

/// Lines up to the unit tests, which stand last in a file; a file of tests has none.
fn code_without_tests(lines: &[(usize, String)]) -> &[(usize, String)] {
    let first_test = lines
        .iter()
        .position(|(_, line)| line.trim_start().starts_with("#[cfg(test)]"));
    let only_tests =
        lines.iter().any(|(_, line)| line.trim_start() == "#[test]") && first_test.is_none();
    if only_tests {
        &[]
    } else {
        &lines[..first_test.unwrap_or(lines.len())]
    }
}

#[test]
fn the_crate_doc_shows_these_floors() {
    let lib = fs::read_to_string(src().join("lib.rs")).expect("lib.rs");
    let mut documented: BTreeMap<String, u8> = BTreeMap::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split('|');
        let (Some(number), Some(rooms)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Ok(number) = number.trim().parse::<u8>() else {
            continue;
        };
        for room in rooms.split(',') {
            documented.insert(room.trim().trim_matches(['`', '[', ']']).to_owned(), number);
        }
    }
    let built: Vec<String> = sources()
        .iter()
        .filter_map(|(inside, _)| room_of(inside))
        .map(str::to_owned)
        .collect();
    let expected: BTreeMap<String, u8> = FLOORS
        .iter()
        .filter(|(room, _)| built.iter().any(|b| b == room))
        .map(|(room, floor)| ((*room).to_owned(), *floor))
        .collect();
    assert_eq!(
        documented, expected,
        "the table in the crate doc of lib.rs and the rooms differ"
    );
}
