//! One test binary: everything that needs several floors, a real process or a real engine.
//!
//! Tests that need a part which a machine may lack are `#[ignore]`d and fail without it; `bash tests/run` gets
//! the parts and runs them all. Start at [`support`], the harness around the real binary.

#![expect(
    clippy::disallowed_methods,
    reason = "tests drive real files and processes"
)]

mod agents;
mod api;
mod bad_input;
mod cancel;
mod cli;
mod compile;
mod contract;
mod deadlines;
mod dockerd;
mod e2e;
mod escape;
mod fire;
mod fleet;
mod fresh;
mod hosted;
mod inside;
mod kills;
mod kit;
mod kubernetes;
mod layers;
mod lot;
mod mirror;
mod postgres;
mod proxy;
mod replay;
mod secrets;
mod server;
mod settle;
mod shipped;
mod shortcuts;
mod story;
mod support;
mod terminal;
mod weather;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn no_test_file_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(folder.join("main.rs")).expect("this file");
    let declared: BTreeSet<String> = main
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("mod ")?
                .strip_suffix(';')
                .map(str::to_owned)
        })
        .collect();
    let present: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("the folder of tests")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.is_dir() && path.join("mod.rs").exists()
                || path.extension().is_some_and(|e| e == "rs")
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "main")
        .collect();
    assert_eq!(
        declared, present,
        "every file in tests/it must be declared in main.rs"
    );
}
