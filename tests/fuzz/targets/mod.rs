//! What the fuzz program calls: one target for each parser and printer, each with an oracle that says more than "it did
//! not panic".
//!
//! Compiled into the crate itself, because what it calls is private: with the feature `fuzz` for the program in
//! `tests/fuzz/main.rs`, and for `cargo test`, which tries every target with what it starts from and with every input that
//! ever broke one (`tests/fuzz/found/TARGET/NAME`). A target takes any bytes and panics where something is wrong.
//!
//! With the feature `fuzz` the code also holds one planted bug per target, asleep until [`plant`] names it: a target that
//! does not find its own proves nothing. `grep -r is_planted src` shows them.

mod hcl;
mod json;
mod placeholder;
mod score;
mod sealed;
mod stream;
mod tar;
mod wire;
mod yaml;

use crate::model::Diagnostic;
use crate::text::Limits;

/// One target.
pub struct Target {
    /// As on the command line and in planted bugs.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&[u8]),
    /// Where inputs to start from are, relative to the repository; with the endings of their names.
    pub folders: &'static [(&'static str, &'static str)],
    /// More inputs to start from.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// Words that inputs are made of.
    pub words: &'static [&'static str],
    /// Longest input worth trying, in bytes.
    pub max_bytes: usize,
    /// How many inputs a change has to stand before it lands: about forty seconds' worth. A number and not a time, so that
    /// a fast machine asks for no more than a slow one.
    pub gate: u32,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    yaml::TARGET,
    json::TARGET,
    placeholder::TARGET,
    score::TARGET,
    hcl::TARGET,
    stream::TARGET,
    sealed::TARGET,
    tar::TARGET,
    wire::TARGET,
];

/// Wakes the planted bug of one target, once and for the whole process.
#[cfg(feature = "fuzz")]
pub fn plant(target: &str) {
    crate::model::planted::plant(target);
}

/// No more examples than the folders have.
fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Limits that a small input can reach.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    nodes: 5_000,
    depth: 64,
};

/// The lines of a text as YAML counts them.
fn lines(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        lines.push(&rest[..at]);
        rest = rest[at..]
            .strip_prefix("\r\n")
            .unwrap_or_else(|| &rest[at + 1..]);
    }
    lines.push(rest);
    lines
}

/// Every place of a problem is in the text, and there is something to say.
fn assert_told(problems: &[Diagnostic], lines: &[&str]) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        assert!(!problem.summary.is_empty() && !problem.detail.is_empty());
        for place in &problem.places {
            let (Some(line), Some(column)) = (place.line, place.column) else {
                continue;
            };
            // The end of the text may be told as the line after the last.
            let length = match lines.get(line.wrapping_sub(1)) {
                Some(line) => line.chars().count(),
                None if line == lines.len() + 1 => 0,
                None => panic!("line {line} of {}: {problem:?}", lines.len()),
            };
            assert!(
                (1..=length + 1).contains(&column),
                "column {column} of {length}: {problem:?}"
            );
        }
    }
}

/// Takes an input apart that is a program rather than a text: numbers and pieces, until it is used up.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, 0 at the end.
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `below`.
    fn below(&mut self, below: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number % below.max(1)
    }

    /// Up to `length` bytes.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        head
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "inputs to try lie in files")]
mod tests {
    use std::path::Path;

    use super::*;

    fn files(folder: &Path, ending: &str, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of inputs") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, ending, found);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_target_takes_what_it_starts_from_and_what_once_broke_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for target in TARGETS {
            let mut inputs = (target.examples)();
            let mut paths = Vec::new();
            for (folder, ending) in target.folders {
                let before = paths.len();
                files(&root.join(folder), ending, &mut paths);
                assert!(paths.len() > before, "nothing in {folder}");
            }
            let found = root.join("tests/fuzz/found").join(target.name);
            if found.is_dir() {
                files(&found, "", &mut paths);
            }
            inputs.extend(paths.iter().map(|path| std::fs::read(path).expect("reads")));
            assert!(!inputs.is_empty(), "{} starts from nothing", target.name);
            for input in inputs {
                let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
                let tried = std::panic::catch_unwind(|| (target.run)(&input));
                assert!(tried.is_ok(), "{} fails at {shown:?}", target.name);
            }
        }
    }

    #[test]
    fn inputs_that_once_broke_something_belong_to_a_target() {
        let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/found");
        for entry in std::fs::read_dir(found).expect("the folder of what was found") {
            let name = entry.expect("an entry").file_name();
            assert!(
                TARGETS
                    .iter()
                    .any(|target| name.to_str() == Some(target.name)),
                "{}",
                name.display()
            );
        }
    }
}
