//! What the engines of the fleet did, as they left it outside of every state, and whether the record agrees with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A directory for each environment that an engine was at; `tests/engine/fleet` says what is in it.
pub(super) struct World {
    root: PathBuf,
}

/// What engines did to one environment.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// How often they began to apply a deployment, by its number.
    pub(super) begun: BTreeMap<u64, u64>,
    /// What must never be.
    pub(super) faults: Vec<String>,
}

impl World {
    pub(super) fn new(root: PathBuf) -> Self {
        fs::create_dir_all(&root).expect("a directory");
        Self { root }
    }

    fn lines(&self, env: &str, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.root.join(env).join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Who applied what, in which order.
    pub(super) fn trace(&self, env: &str) -> Trace {
        let mut trace = Trace::default();
        let mut last = 0;
        for line in self.lines(env, "trace") {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["begin", _, "apply", mark] => {
                    let mark: u64 = mark.parse().expect("a number");
                    *trace.begun.entry(mark).or_default() += 1;
                    if mark <= last {
                        trace
                            .faults
                            .push(format!("deployment {mark} was applied after {last}"));
                    }
                    last = mark;
                }
                ["begin" | "end", ..] => {}
                _ => trace.faults.push(format!("two engines at once: {line}")),
            }
        }
        trace
    }

    /// Things that there are.
    fn things(&self, env: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.root.join(env).join("things"));
        let names = entries.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Somebody is about to say of things that may be there that he sees to them himself.
    pub(super) fn dismiss(&self, env: &str, names: &BTreeSet<String>) {
        let mut log = File::options()
            .append(true)
            .create(true)
            .open(self.root.join(env).join("log"))
            .expect("an engine was there");
        for name in names {
            writeln!(log, "dismissed {name}").expect("written");
        }
    }

    /// What is wrong with the things of an environment: those that there are and of which neither `state` nor `open` knows,
    /// nor somebody who dismissed them, and those that were made although they were there.
    pub(super) fn strays(
        &self,
        env: &str,
        state: &BTreeSet<String>,
        open: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let mut faults = Vec::new();
        for line in self.lines(env, "log") {
            let (what, name) = line.split_once(' ').expect("two words");
            let before = last.insert(name.to_owned(), what.to_owned());
            if what == "again" && before.is_some_and(|before| before != "dismissed") {
                faults.push(format!("{name} was made although it was there"));
            }
        }
        for name in self.things(env) {
            let is_dismissed = last.get(&name).is_some_and(|what| what == "dismissed");
            if !(state.contains(&name) || open.contains(&name) || is_dismissed) {
                faults.push(format!("{name} is there and nobody knows of it"));
            }
        }
        faults
    }

    /// Things that a state holds and that are not there.
    pub(super) fn missing(&self, env: &str, state: &BTreeSet<String>) -> Vec<String> {
        let there = self.things(env);
        state.difference(&there).cloned().collect()
    }
}

/// Names of what a state in one of these data directories holds, and whether it can be read; nothing where there is none.
pub(super) fn state(homes: &[PathBuf], env: &str) -> Result<BTreeSet<String>, String> {
    let mut found: Vec<&Path> = homes.iter().map(PathBuf::as_path).collect();
    found.retain(|home| home.join("state").join(env).exists());
    let [home] = found[..] else {
        return match found.is_empty() {
            true => Ok(BTreeSet::new()),
            false => Err(format!("the state of {env} lies in {found:?}")),
        };
    };
    let directory = home.join("state").join(env);
    // A torn file counts as the copy beside it.
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&fs::read(directory.join(name)).ok()?).ok()
    };
    let state = read("terraform.tfstate").or_else(|| read("terraform.tfstate.windlass"));
    let Some(state) = state else {
        return Ok(BTreeSet::new());
    };
    let resources = state["resources"].as_array().cloned().unwrap_or_default();
    let name = |resource: &Value| resource["name"].as_str().expect("a name").to_owned();
    Ok(resources.iter().map(name).collect())
}
