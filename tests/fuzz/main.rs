//! Looks for inputs that break Windlass: libFuzzer around the targets that are part of the crate (`targets/`).
//!
//! ```text
//! windlass-fuzz all SECONDS       every target for so long, two at a time, from where the last run ended
//! windlass-fuzz gate              every target from nothing, with one seed and a number of inputs, so that a fast machine
//!                                 asks no more of a change than a slow one; maps and threads leave some luck in the draw
//! windlass-fuzz planted SECONDS   every target must find its planted bug within so long
//! windlass-fuzz TARGET SECONDS    one target
//! windlass-fuzz TARGET FILE…      tries these inputs only
//! ```
//!
//! Started by `bash tests/run --fuzz`, which builds it as `rustc` beside this file wants it. What it learns is kept in
//! `target/fuzz/TARGET`, outside of the repository's files, and used by the next run.
//!
//! Each target runs in a process of its own, because a crash ends it.

use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;
use std::{env, fs, thread};

use windlass::fuzz::{TARGETS, Target, plant};

/// Names the planted bug to wake.
const PLANTED: &str = "WINDLASS_FUZZ_PLANTED";
/// Set for the runs of `gate`.
const GATE: &str = "WINDLASS_FUZZ_GATE";
/// Where the inputs of `gate` come from.
const SEED: u32 = 1;
/// How long a machine may take for them that is too slow: what it has not tried by then it leaves.
const GATE_SECS: &str = "240";
/// What libFuzzer exits with when an input broke the target, took too long, or took too much memory.
const FOUND: [i32; 3] = [77, 70, 71];
/// An input that takes longer than this is a bug.
const SLOWEST_SECS: u32 = 10;
/// So is one that takes more memory.
const MOST_MEMORY_MIB: u32 = 1024;

unsafe extern "C" {
    // libFuzzer's own entry, for programs that have a `main`.
    fn LLVMFuzzerRunDriver(
        count: *mut c_int,
        arguments: *mut *mut *mut c_char,
        try_one: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
}

/// What is looked for, and from where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    All,
    Gate,
    Planted,
}

static TARGET: std::sync::OnceLock<&'static Target> = std::sync::OnceLock::new();

/// What libFuzzer calls with each input.
///
/// # Safety
///
/// `data` points to `length` bytes.
unsafe extern "C" fn try_one(data: *const u8, length: usize) -> c_int {
    let input = match length {
        0 => &[],
        // SAFETY: libFuzzer hands in a buffer of this length, which nobody changes while it is looked at.
        _ => unsafe { std::slice::from_raw_parts(data, length) },
    };
    if let Some(target) = TARGET.get() {
        (target.run)(input);
    }
    0
}

/// The library's own entry asks for this; [`try_one`] is what is called.
#[unsafe(no_mangle)]
#[expect(improper_ctypes_definitions, reason = "declared so by the library")]
extern "C" fn rust_fuzzer_test_input(_input: &[u8]) -> i32 {
    0
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let is_target = |name: &str| TARGETS.iter().find(|target| target.name == name);
    match words.as_slice() {
        [kind, seconds] if kind == "all" && is_number(seconds) => supervise(seconds, Kind::All),
        [kind] if kind == "gate" => supervise(GATE_SECS, Kind::Gate),
        [kind, seconds] if kind == "planted" && is_number(seconds) => {
            supervise(seconds, Kind::Planted)
        }
        [name, rest @ ..] if !rest.is_empty() && is_target(name).is_some() => {
            let target = is_target(name).expect("looked for just now");
            match rest {
                [seconds] if is_number(seconds) => {
                    let mut limits = vec![format!("-max_total_time={seconds}")];
                    if env::var_os(GATE).is_some() {
                        limits.extend([format!("-seed={SEED}"), format!("-runs={}", target.gate)]);
                    }
                    fuzz(target, &limits)
                }
                files => fuzz(target, files),
            }
        }
        _ => {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!(
                "usage: windlass-fuzz gate, windlass-fuzz all|planted|TARGET SECONDS, windlass-fuzz TARGET FILE…\ntargets: {}",
                names.join(" ")
            );
            ExitCode::from(2)
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

/// The repository; the program is started in it.
fn root() -> PathBuf {
    env::current_dir().expect("a current directory")
}

/// Where one target keeps what it learns. What starts from nothing does so somewhere else.
fn place(target: &Target, kind: Kind) -> PathBuf {
    let place = root().join("target/fuzz").join(target.name);
    match kind {
        Kind::All => place,
        Kind::Gate => place.with_extension("gate"),
        Kind::Planted => place.with_extension("planted"),
    }
}

/// Hands over to libFuzzer, which never comes back.
fn fuzz(target: &'static Target, more: &[String]) -> ExitCode {
    let planted = env::var(PLANTED).ok();
    if let Some(name) = &planted {
        plant(name);
    }
    let kind = match (&planted, env::var_os(GATE)) {
        (Some(_), _) => Kind::Planted,
        (None, Some(_)) => Kind::Gate,
        (None, None) => Kind::All,
    };
    let place = place(target, kind);
    let (known, examples) = (place.join("known"), place.join("examples"));
    let _ = fs::remove_dir_all(&examples);
    for folder in [&known, &examples] {
        fs::create_dir_all(folder).expect("a folder below target/fuzz");
    }
    for (number, example) in (target.examples)().iter().enumerate() {
        fs::write(examples.join(format!("built-in-{number}")), example).expect("written");
    }
    for (folder, ending) in target.folders {
        collect(&root().join(folder), ending, &examples);
    }
    collect(
        &root().join("tests/fuzz/found").join(target.name),
        "",
        &examples,
    );
    let dictionary = place.join("words");
    fs::write(&dictionary, words(target.words)).expect("written");

    let mut arguments = vec![
        "windlass-fuzz".to_owned(),
        format!("-dict={}", dictionary.display()),
        format!("-artifact_prefix={}/", place.display()),
        format!("-max_len={}", target.max_bytes),
        format!("-timeout={SLOWEST_SECS}"),
        format!("-rss_limit_mb={MOST_MEMORY_MIB}"),
        "-print_final_stats=1".to_owned(),
    ];
    arguments.extend_from_slice(more);
    if more.iter().all(|word| word.starts_with('-')) {
        arguments.push(known.display().to_string());
        arguments.push(match kind {
            // A folder is read in the order of its file system, which is not the same everywhere.
            Kind::Gate => format!("-seed_inputs=@{}", in_order(&examples, &place).display()),
            Kind::All | Kind::Planted => examples.display().to_string(),
        });
    }
    TARGET.set(target).map_err(|_| "twice").expect("set once");

    let texts: Vec<CString> = arguments
        .into_iter()
        .map(|text| CString::new(text).expect("no NUL in arguments"))
        .collect();
    let mut pointers: Vec<*mut c_char> =
        texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    let mut count = c_int::try_from(texts.len()).expect("a few arguments");
    let mut first = pointers.as_mut_ptr();
    // Any panic ends the process, also one on another thread.
    libfuzzer_sys::initialize(std::ptr::null(), std::ptr::null());
    // SAFETY: count and pointers describe `texts`, which outlives the call, and end with a null pointer as in C's `main`.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut first, try_one) };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Writes down the files of a folder by name, as libFuzzer reads a list.
fn in_order(folder: &Path, place: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).expect("a folder made just now");
    let mut paths: Vec<String> = entries
        .map(|entry| entry.expect("readable").path().display().to_string())
        .collect();
    paths.sort();
    let list = place.join("order");
    fs::write(&list, paths.join(",")).expect("written");
    list
}

/// Copies what a target starts from, so that no folder is given that holds other files.
fn collect(folder: &Path, ending: &str, into: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, ending, into);
        } else if path.to_string_lossy().ends_with(ending) {
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('/', "-");
            fs::copy(&path, into.join(name)).expect("copied");
        }
    }
}

/// A dictionary as libFuzzer reads it.
fn words(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        text.push('"');
        for byte in word.bytes() {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => text += &format!("\\x{byte:02X}"),
            }
        }
        text += "\"\n";
    }
    text
}

/// Runs every target, two at a time, and tells how each went.
fn supervise(seconds: &str, kind: Kind) -> ExitCode {
    let left = Mutex::new(TARGETS.iter());
    let failed = Mutex::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(target) = left.lock().expect("no panic while held").next() else {
                        return;
                    };
                    if !went_well(target, seconds, kind) {
                        *failed.lock().expect("no panic while held") = true;
                    }
                }
            });
        }
    });
    ExitCode::from(u8::from(failed.into_inner().expect("no panic while held")))
}

/// Runs one target in a process of its own.
fn went_well(target: &Target, seconds: &str, kind: Kind) -> bool {
    let (place, planted) = (place(target, kind), kind == Kind::Planted);
    if kind != Kind::All {
        let _ = fs::remove_dir_all(&place);
    }
    fs::create_dir_all(&place).expect("a folder below target/fuzz");
    let log = place.join("log");
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(&program);
    command
        .args([target.name, seconds])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(fs::File::create(&log).expect("a log below target/fuzz"));
    match kind {
        Kind::All => command.env_remove(GATE).env_remove(PLANTED),
        Kind::Gate => command.env(GATE, "1").env_remove(PLANTED),
        Kind::Planted => command.env(PLANTED, target.name),
    };
    let start = Instant::now();
    let code = command.status().expect("the program starts").code();
    let log = fs::read_to_string(&log).unwrap_or_default();
    let (name, took) = (target.name, start.elapsed().as_secs_f32());
    let was_found = code.is_some_and(|code| FOUND.contains(&code));
    match (was_found, planted) {
        (true, true) => println!("fuzz: {name:12} finds its planted bug in {took:.1} s"),
        (false, true) => eprintln!(
            "fuzz: {name} does NOT find its planted bug in {took:.0} s (exit code {code:?})"
        ),
        (false, false) if code == Some(0) => {
            let value = |key: &str| {
                let line = log.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap_or(" ?")
                    .trim()
                    .trim_start_matches(':')
                    .trim()
                    .to_owned()
            };
            println!(
                "fuzz: {name:12} nothing found in {took:.0} s: {} inputs, {} MiB",
                value("stat::number_of_executed_units"),
                value("stat::peak_rss_mb"),
            );
        }
        (_, false) => {
            let from = log.lines().count().saturating_sub(60);
            let end: Vec<&str> = log.lines().skip(from).collect();
            eprintln!("{}", end.join("\n"));
            let input = log
                .lines()
                .rev()
                .find_map(|line| line.split("Test unit written to ").nth(1));
            let bytes = input.and_then(|input| fs::read(input).ok());
            eprintln!(
                "fuzz: {name} FOUND SOMETHING (exit code {code:?}). The input in hexadecimal: {}\nAgain:\n  {} {name} {}",
                bytes
                    .iter()
                    .flatten()
                    .fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
                program.display(),
                input.unwrap_or("FILE")
            );
        }
    }
    was_found == planted && (planted || code == Some(0))
}
