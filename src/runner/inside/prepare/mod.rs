//! What `init` would leave behind, written without it.
//!
//! For code that lies in the bundle and providers that lie in the mirror, `init` leaves four things: `modules.json`, the
//! backend's settings, links to the providers, and the lock file. All four follow from what we hold, so [`plan`] works
//! them out and [`Prepared::write`] writes them. It costs no process, where `init` costs one, and reads of every provider.
//!
//! Why this is safe: the engine compares what it finds with the code and refuses, before it changes anything, whatever does
//! not fit; [`is_refusal`] knows its words, and one real `init` follows. Two mistakes it does not see, and both are
//! excluded here: an entry of `modules.json` that points at another module ([`modules::check`] reads back what was
//! written), and a backend file with the right hash but other settings (the hash is always 0, so that they are compared).
//!
//! Whatever is not understood whole is [`Unready`], with the reason for the run record, and the real `init` runs.

mod key;
mod modules;
mod providers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::modules::Entry;
use self::providers::{Address, Chosen, Mirror};
use crate::hcl::{Code, CodeFiles, LOCK_FILE, Locked, NotRead, print_lock, read_code, read_lock};
use crate::runner::engine::Kind;
use crate::runner::engine::stream::Diagnostic;
use crate::runner::job::Package;

pub(crate) use self::providers::of_state;

/// Why the real `init` has to run, in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unready(pub(crate) String);

impl Unready {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<NotRead> for Unready {
    fn from(why: NotRead) -> Self {
        Self(why.0)
    }
}

/// What a preparation follows from.
pub(crate) struct Given<'a> {
    pub(crate) kind: Kind,
    /// Digest of the engine's binary or of the image; empty where it is not known.
    pub(crate) engine_digest: &'a str,
    /// The bundle.
    pub(crate) files: &'a BTreeMap<String, Vec<u8>>,
    pub(crate) mirror: Option<&'a Path>,
    /// What the host checked of it.
    pub(crate) packages: &'a [Package],
    /// Whether checked providers may go without hashes.
    pub(crate) trust_mirror: bool,
    /// Providers that the state names, where it is at hand.
    pub(crate) in_state: &'a BTreeSet<String>,
    /// The engine's CLI configuration.
    pub(crate) configuration: &'a [u8],
}

/// The list of modules, in `.terraform`.
const MODULES: &str = "modules/modules.json";

/// Everything that is to be written.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What it was made of, as a digest.
    pub(crate) key: String,
    /// The environment's lock file, with every hash.
    pub(crate) lock: Option<String>,
    /// Providers in all, and those that the engine does not hash again.
    pub(crate) linked: usize,
    pub(crate) trusted: usize,
    codes: BTreeMap<String, Code>,
    modules: Vec<Entry>,
    backend: Option<Vec<u8>>,
    links: Vec<(PathBuf, PathBuf)>,
    /// The lock file of this run.
    run_lock: Option<String>,
}

/// `linux_amd64`, as the engines call this machine.
pub(crate) fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    format!("{}_{arch}", std::env::consts::OS)
}

/// Works out what `init` would leave.
pub(crate) fn plan(given: &Given<'_>) -> Result<Prepared, Unready> {
    let registry = given.kind.registry();
    let codes = codes(given.files)?;
    let modules = modules::entries(&codes)?;
    let required = providers::required(codes.values(), given.in_state, registry)?;
    let platform = platform();
    let old = match given.files.get(LOCK_FILE) {
        Some(bytes) => Some(
            std::str::from_utf8(bytes).map_err(|_| Unready::new("the lock file is not UTF-8"))?,
        ),
        None => None,
    };
    let locked = old
        .map_or_else(|| Some(BTreeMap::new()), read_lock)
        .ok_or_else(|| Unready::new("the lock file is not read here"))?;
    let chosen = match given.mirror {
        _ if required.is_empty() => BTreeMap::new(),
        None => return Err(Unready::new("there is no provider mirror")),
        Some(path) => Mirror {
            path,
            packages: given.packages,
            platform: &platform,
        }
        .choose(&required, &locked)?,
    };
    let program = given.kind.binary();
    let is_locked = chosen
        .iter()
        .all(|(address, chosen)| locked.get(address.as_str()) == Some(&chosen.locked));
    let lock = match old {
        Some(old) if is_locked => Some(old.to_owned()),
        _ if chosen.is_empty() => None,
        _ => {
            let all = chosen
                .iter()
                .map(|(address, chosen)| (address.as_str(), &chosen.locked));
            Some(print_lock(all, program))
        }
    };
    let root = codes.get(".").cloned().unwrap_or_default();
    let key = key::key(&key::Parts {
        engine: given.kind.as_str(),
        digest: given.engine_digest,
        platform: &platform,
        lock: lock.as_deref().unwrap_or(""),
        providers: &chosen,
        files: given.files,
        modules: &modules,
        backend: root.backend.as_ref(),
        configuration: given.configuration,
    });
    let trusts = |chosen: &Chosen| given.trust_mirror && chosen.verified.is_some();
    let for_run: Vec<(&Address, Locked)> = chosen
        .iter()
        .map(|(address, chosen)| {
            let mut locked = chosen.locked.clone();
            if trusts(chosen) {
                locked.hashes.clear();
            }
            (address, locked)
        })
        .collect();
    let run_lock = (!for_run.is_empty()).then(|| {
        print_lock(
            for_run
                .iter()
                .map(|(address, locked)| (address.as_str(), locked)),
            program,
        )
    });
    let links = chosen
        .iter()
        .map(|(address, chosen)| {
            let place = format!("{address}/{}", chosen.locked.version);
            (Path::new(&place).join(&platform), chosen.package.clone())
        })
        .collect();
    Ok(Prepared {
        key,
        lock,
        linked: chosen.len(),
        trusted: chosen.values().filter(|chosen| trusts(chosen)).count(),
        backend: root
            .backend
            .as_ref()
            .map(|(kind, settings)| backend(kind, settings)),
        codes,
        modules,
        links,
        run_lock,
    })
}

/// The lock file without the versions that the code allows no longer, where there are any: `init` keeps to what is locked,
/// and would refuse. What is not read here is left as it is.
pub(crate) fn freed_lock(
    kind: Kind,
    files: &BTreeMap<String, Vec<u8>>,
    in_state: &BTreeSet<String>,
) -> Option<String> {
    let old = std::str::from_utf8(files.get(LOCK_FILE)?).ok()?;
    let mut locked = read_lock(old)?;
    let codes = codes(files).ok()?;
    let required = providers::required(codes.values(), in_state, kind.registry()).ok()?;
    let before = locked.len();
    for (address, terms) in &required {
        if locked
            .get(address.as_str())
            .is_some_and(|locked| !providers::allows(terms, locked))
        {
            locked.remove(address.as_str());
        }
    }
    let entries = locked
        .iter()
        .map(|(address, locked)| (address.as_str(), locked));
    (locked.len() < before).then(|| print_lock(entries, kind.binary()))
}

/// The code of every directory that is called, from the root on.
fn codes(files: &BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, Code>, Unready> {
    let mut lying: BTreeMap<&str, CodeFiles<'_>> = BTreeMap::new();
    for (path, content) in files {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        lying.entry(directory).or_default().insert(name, content);
    }
    let mut codes = BTreeMap::new();
    let mut next = BTreeSet::from([".".to_owned()]);
    while !next.is_empty() {
        let wave = next
            .iter()
            .map(|directory| {
                let files = lying.get(directory.as_str()).ok_or_else(|| {
                    Unready::new(format!("the bundle has no code in `{directory}`"))
                })?;
                Ok((directory.clone(), files.clone()))
            })
            .collect::<Result<BTreeMap<_, _>, Unready>>()?;
        let read = read_code(&wave)?;
        next = read
            .iter()
            .flat_map(|(directory, code)| {
                code.calls
                    .values()
                    .filter_map(|source| Some(modules::directory(directory, source)?.0))
            })
            .collect();
        codes.extend(read);
        next.retain(|directory| !codes.contains_key(directory));
    }
    Ok(codes)
}

/// The backend file. With the hash 0 the engine compares the settings with the block instead of believing them.
fn backend(kind: &str, settings: &Map<String, Value>) -> Vec<u8> {
    json!({"version": 3, "backend": {"type": kind, "config": settings, "hash": 0}})
        .to_string()
        .into_bytes()
}

impl Prepared {
    /// Writes all of it into a work directory where nothing of it is yet, and reads back what the engine would believe.
    pub(crate) fn write(&self, work: &Path) -> io::Result<()> {
        let data = work.join(".terraform");
        fs::create_dir_all(&data)?;
        if self.calls_modules() {
            fs::create_dir(data.join("modules"))?;
            let list = modules::print(self.modules.clone());
            fs::write(data.join(MODULES), list)?;
        }
        if let Some(backend) = &self.backend {
            fs::write(data.join("terraform.tfstate"), backend)?;
        }
        for (place, package) in &self.links {
            let link = data.join("providers").join(place);
            fs::create_dir_all(link.parent().unwrap_or(&data))?;
            std::os::unix::fs::symlink(package, link)?;
        }
        match &self.run_lock {
            Some(lock) => fs::write(work.join(LOCK_FILE), lock)?,
            None => remove(&work.join(LOCK_FILE))?,
        }
        Ok(())
    }

    /// Whether each module is where its source says, in the file that lies there now.
    pub(crate) fn check(&self, work: &Path) -> Result<(), String> {
        let file = work.join(".terraform").join(MODULES);
        if !self.calls_modules() && !file.exists() {
            return Ok(());
        }
        let written = fs::read(file)
            .map_err(|error| format!("`modules.json` cannot be read: {}", error.kind()))?;
        modules::check(&written, &self.codes)
    }

    /// Without a call there is no list: the root alone needs none.
    fn calls_modules(&self) -> bool {
        self.modules.len() > 1
    }
}

/// Takes a preparation away, so that `init` begins with what the bundle holds.
pub(crate) fn undo(work: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    match fs::remove_dir_all(work.join(".terraform")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match files.get(LOCK_FILE) {
        Some(lock) => fs::write(work.join(LOCK_FILE), lock),
        None => remove(&work.join(LOCK_FILE)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether an engine refuses what it found prepared. All of these come before anything is changed.
pub(crate) fn is_refusal(diagnostic: &Diagnostic) -> bool {
    const SUMMARIES: &[&str] = &[
        "Module not installed",
        "Module source has changed",
        "Module version requirements have changed",
        "Backend initialization required",
        "Inconsistent dependency lock file",
        "Required plugins are not installed",
        "Failed to load plugin schemas",
        "failed to read provider configuration schema",
        "failed to read schema for",
    ];
    let summary = &diagnostic.summary;
    diagnostic.error
        && (SUMMARIES.iter().any(|known| summary.starts_with(known))
            || summary.contains("does not match any of the checksums"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(work: &Path) -> (Prepared, BTreeMap<String, Vec<u8>>) {
        let files: BTreeMap<String, Vec<u8>> = [
            ("main.tf", "terraform {\n  backend \"local\" {\n    path = \"p\"\n  }\n}\nmodule \"a\" {\n  source = \"./m/a\"\n}\nmodule \"b\" {\n  source = \"./m/b\"\n}\n"),
            ("m/a/main.tf", ""),
            ("m/b/main.tf", ""),
            (LOCK_FILE, "# nothing\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into();
        let prepared = plan(&Given {
            kind: Kind::OpenTofu,
            engine_digest: "sha256:1",
            files: &files,
            mirror: None,
            packages: &[],
            trust_mirror: true,
            in_state: &BTreeSet::new(),
            configuration: b"",
        })
        .expect("all at hand");
        prepared.write(work).expect("written");
        (prepared, files)
    }

    #[test]
    fn a_list_on_the_disk_that_points_elsewhere_is_refused_before_an_engine_sees_it() {
        let work = tempfile::tempdir().expect("a directory");
        let (prepared, files) = prepared(work.path());
        prepared.check(work.path()).expect("as written");
        let list = work.path().join(".terraform").join(MODULES);
        let text = fs::read_to_string(&list).expect("read");
        let wrong = text.replace("\"Dir\":\"m/b\"", "\"Dir\":\"m/a\"");
        assert_ne!(text, wrong);
        fs::write(&list, wrong).expect("written");
        let why = prepared.check(work.path()).expect_err("refused");
        assert!(why.contains("points elsewhere"), "{why}");
        fs::remove_file(&list).expect("removed");
        assert!(prepared.check(work.path()).is_err(), "no list");
        undo(work.path(), &files).expect("undone");
        assert!(!work.path().join(".terraform").exists());
        assert_eq!(
            fs::read(work.path().join(LOCK_FILE)).expect("there"),
            b"# nothing\n"
        );
    }

    #[test]
    fn the_backend_file_never_has_a_hash_that_would_be_believed() {
        let work = tempfile::tempdir().expect("a directory");
        prepared(work.path());
        let file = fs::read(work.path().join(".terraform/terraform.tfstate")).expect("there");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        assert_eq!(
            file["backend"],
            json!({"type": "local", "config": {"path": "p"}, "hash": 0})
        );
    }

    #[test]
    fn a_lock_that_the_code_has_outgrown_is_let_go_and_no_other() {
        let lock = |name: &str, version: &str| {
            format!(
                "\nprovider \"registry.opentofu.org/acme/{name}\" {{\n  version = \"{version}\"\n}}\n"
            )
        };
        let freed = |wanted: &str| {
            let main = format!(
                "terraform {{\n  required_providers {{\n    a = {{\n      source = \"acme/a\"\n      version = \"{wanted}\"\n    }}\n    b = {{\n      source = \"acme/b\"\n    }}\n  }}\n}}\n"
            );
            let locks = lock("a", "1.0.0") + &lock("b", "1.0.0");
            let files = BTreeMap::from([
                ("main.tf".to_owned(), main.into_bytes()),
                (LOCK_FILE.to_owned(), locks.into_bytes()),
            ]);
            freed_lock(Kind::OpenTofu, &files, &BTreeSet::new())
        };
        assert_eq!(freed(">= 1"), None);
        let left = freed(">= 2").expect("one goes");
        let left = read_lock(&left).expect("a lock file");
        assert_eq!(
            left.keys().collect::<Vec<_>>(),
            ["registry.opentofu.org/acme/b"]
        );
    }

    #[test]
    fn what_is_not_in_the_bundle_or_the_mirror_is_left_to_init() {
        let why = |main: &str| {
            let files = BTreeMap::from([("main.tf".to_owned(), main.as_bytes().to_vec())]);
            let given = Given {
                kind: Kind::Terraform,
                engine_digest: "",
                files: &files,
                mirror: Some(Path::new("/nonexistent")),
                packages: &[],
                trust_mirror: true,
                in_state: &BTreeSet::new(),
                configuration: b"",
            };
            plan(&given).expect_err(main).0
        };
        assert!(why("module \"a\" {\n  source = \"acme/pg/aws\"\n}\n").contains("`a`"));
        assert!(why("module \"a\" {\n  source = \"/m\"\n}\n").contains("`a`"));
        assert!(why("module \"a\" {\n  source = \"./m\"\n}\n").contains("no code in `m`"));
        assert!(why("resource \"time_static\" \"a\" {}\n").contains("hashicorp/time"));
    }
}
