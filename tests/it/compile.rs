//! The compiler from text to files. Each folder of `tests/golden` is a manifest, a catalogue and what comes
//! out; each file of `tests/golden/bad` is a manifest with a mistake, and what a user is told.
//!
//! After an intended change: `WINDLASS_ACCEPT=1 cargo test --test it compile::`, and read the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use windlass::{BenchShape, CompileContext, bench_manifest, compile_text};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Folders of golden cases, sorted.
pub(crate) fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(golden())
        .expect("the golden folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("manifest.yaml").exists())
        .collect();
    folders.sort();
    assert!(folders.len() >= 3, "the golden cases are gone");
    folders
}

/// All files below a folder: relative path to content.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let inside = path.strip_prefix(root).expect("below the root");
                let name = inside.to_str().expect("a plain name").to_owned();
                files.insert(name, fs::read(&path).expect("a readable file"));
            }
        }
    }
    files
}

/// Compiles a golden folder for the cluster of the worked examples, or for local state.
pub(crate) fn compile_folder(
    folder: &Path,
    namespace: Option<&str>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut sources: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (path, content) in tree(&folder.join("sources")) {
        let (module, inside) = path.split_once('/').expect("a folder per module");
        sources
            .entry(format!("sha256:{module}"))
            .or_default()
            .insert(inside.to_owned(), content);
    }
    let context = CompileContext {
        kubernetes_namespace: namespace.map(str::to_owned),
        sources,
        ..CompileContext::default()
    };
    let manifest = fs::read(folder.join("manifest.yaml")).expect("a manifest");
    let catalogue = fs::read_to_string(folder.join("catalogue.yaml")).expect("a catalogue");
    compile_text(&manifest, &[&catalogue], &context)
}

fn is_accepting() -> bool {
    std::env::var_os("WINDLASS_ACCEPT").is_some()
}

#[test]
fn golden_folders_give_exactly_their_files() {
    for folder in folders() {
        let files = compile_folder(&folder, Some("tf-state"))
            .unwrap_or_else(|problems| panic!("{}:\n{problems}", folder.display()));
        let expected = folder.join("expected");
        if is_accepting() {
            let _ = fs::remove_dir_all(&expected);
            for (path, content) in &files {
                let path = expected.join(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                fs::write(path, content).expect("written");
            }
        }
        let wanted = tree(&expected);
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>(),
            "{}",
            folder.display()
        );
        for (path, content) in files {
            let found = String::from_utf8_lossy(&content);
            let wanted = String::from_utf8_lossy(&wanted[&path]);
            assert!(
                found == wanted,
                "{}/{path} differs (WINDLASS_ACCEPT=1 accepts):\n{found}",
                folder.display()
            );
        }
    }
}

#[test]
fn compiling_twice_gives_the_same_bytes_in_whatever_order_the_manifest_is_written() {
    for folder in folders() {
        let first = compile_folder(&folder, None).expect("compiles");
        let manifest = fs::read(folder.join("manifest.yaml")).expect("a manifest");
        let again = compile_folder(&folder, None).expect("compiles");
        assert_eq!(first, again);
        assert!(!manifest.is_empty());
    }
}

#[test]
fn bad_manifests_are_answered_whole_with_places_and_advice() {
    let bad = golden().join("bad");
    let catalogue = fs::read_to_string(bad.join("catalogue.yaml")).expect("a catalogue");
    let mut seen = 0;
    let mut wrong = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(&bad)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    for path in names {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name == "catalogue.yaml" || !name.ends_with(".yaml") {
            continue;
        }
        seen += 1;
        let manifest = fs::read(&path).expect("a manifest");
        let Err(said) = compile_text(&manifest, &[&catalogue], &CompileContext::default()) else {
            panic!("{name} compiles");
        };
        let answer = path.with_extension("txt");
        if is_accepting() {
            fs::write(&answer, &said).expect("written");
        }
        let wanted = fs::read_to_string(&answer).unwrap_or_default();
        if said != wanted {
            wrong.push(format!("{name} (WINDLASS_ACCEPT=1 accepts):\n{said}"));
        }
    }
    assert!(seen > 10, "the bad manifests are gone");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn generated_manifests_of_every_shape_compile() {
    for shape in [BenchShape::Chain, BenchShape::Star, BenchShape::Random] {
        assert!(bench_manifest(shape, 200).compile() > 200 * 100);
    }
}
