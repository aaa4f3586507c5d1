//! The job: read from standard input, checked, unpacked. Nothing of it is trusted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path};
use std::sync::mpsc::SyncSender;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::child::Word;
use super::place::ROOT;
use crate::hcl::Bundle;
use crate::model::phase::FailureClass;
use crate::runner::event::seq_of;
use crate::runner::job::{Job, PROTOCOL};

/// A job is no longer than this.
const MAX_JOB: u64 = 192 * 1024 * 1024;
/// The files of a bundle together.
const MAX_FILES: usize = 64 * 1024 * 1024;
/// How many files.
const MAX_COUNT: usize = 10_000;
/// What came over standard input.
pub(crate) enum Intake {
    /// Nothing, or not all of it: the sender died. The attempt never began.
    Nothing,
    /// A document that cannot be carried out; said in clear.
    Refused(Refusal),
    /// A checked job and its files.
    Job(Box<Job>, BTreeMap<String, Vec<u8>>),
}

/// Why a job is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Whose attempt it is.
    pub(crate) run: String,
    pub(crate) attempt: u32,
    pub(crate) class: FailureClass,
    pub(crate) message: String,
}

/// Reads to the end of `input` and checks it whole.
pub(crate) fn read(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_JOB + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How a supervisor says on its standard output that a line arrived whole; no event begins like that.
pub(crate) const HEARD: &[u8] = b"{\"heard\":true}\n";

/// Reads the first line of an input that stays open, and says so. One that does not end is no job.
pub(crate) fn line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_JOB + 1).read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        Some(b'\n') => {
            let mut out = io::stdout().lock();
            // Whoever spoke may be gone.
            let _ = out.write_all(HEARD).and_then(|()| out.flush());
            Ok(bytes)
        }
        _ => Ok(Vec::new()),
    }
}

/// What may be asked of a supervisor after it has its job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `stop`: as a SIGTERM.
    Stop,
    /// `from N`: to print once more every event above N.
    From(u64),
}

impl Asked {
    /// Reads a line; `None`: it is none of these, for example another copy of the job.
    fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.get(..line.len().min(64))?).ok()?;
        match text.trim().split_once(' ') {
            Some(("from", after)) => after.parse().ok().map(Self::From),
            _ if text.trim() == "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

/// Hears what is asked until the input ends.
pub(crate) fn listen(input: &mut impl BufRead, spool: &Path, stop: &SyncSender<Word>) {
    while let Ok(line) = line(input) {
        if line.is_empty() {
            return;
        }
        match Asked::read(&line) {
            Some(Asked::Stop) => drop(stop.send(Word::Stop)),
            Some(Asked::From(after)) => {
                let _ = again(spool, after, &mut io::stdout().lock());
            }
            None => {}
        }
    }
}

/// Prints what the spool has above `after`; what is only written in part comes by itself later.
fn again(spool: &Path, after: u64, out: &mut impl io::Write) -> io::Result<()> {
    let mut events = io::BufReader::new(fs::File::open(spool)?);
    let mut line = Vec::new();
    while events.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        if seq_of(&line).is_some_and(|seq| seq > after) {
            out.write_all(&line)?;
        }
        line.clear();
    }
    out.flush()
}

/// Checks a job document.
pub(crate) fn check(bytes: &[u8]) -> Intake {
    #[derive(serde::Deserialize)]
    struct Begin {
        version: u32,
        run: String,
        attempt: u32,
    }
    // The whole document has ended or it has not: a torn one never parses.
    let begin: Begin = match serde_json::from_slice(bytes) {
        Ok(begin) => begin,
        Err(_) => return Intake::Nothing,
    };
    let refuse = |class, message| {
        Intake::Refused(Refusal {
            run: begin.run.clone(),
            attempt: begin.attempt,
            class,
            message,
        })
    };
    if bytes.len() as u64 > MAX_JOB {
        return refuse(
            FailureClass::BundleInvalid,
            format!("the job has more than {MAX_JOB} bytes"),
        );
    }
    if !(PROTOCOL.saturating_sub(1).max(1)..=PROTOCOL).contains(&begin.version) {
        return refuse(
            FailureClass::Internal,
            format!(
                "the job has version {} and this runner speaks {PROTOCOL}; build the runner image again, or update whichever is older",
                begin.version
            ),
        );
    }
    let job: Job = match serde_json::from_slice(bytes) {
        Ok(job) => job,
        Err(error) => {
            // The place only: the words could quote a value of the environment.
            return refuse(
                FailureClass::Internal,
                format!(
                    "the job is not complete (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            );
        }
    };
    match files(&job) {
        Ok(files) => Intake::Job(Box::new(job), files),
        Err(message) => refuse(FailureClass::BundleInvalid, message),
    }
}

/// Decodes and verifies the bundle.
fn files(job: &Job) -> Result<BTreeMap<String, Vec<u8>>, String> {
    if job.files.len() > MAX_COUNT {
        return Err(format!(
            "the bundle has {} files; at most {MAX_COUNT} are allowed",
            job.files.len()
        ));
    }
    let mut files = BTreeMap::new();
    let mut total = 0;
    for (path, text) in &job.files {
        if let Err(why) = check_path(path) {
            return Err(format!("the bundle holds the path `{path}`, which {why}"));
        }
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|_| format!("the file `{path}` of the bundle is damaged"))?;
        total += bytes.len();
        if total > MAX_FILES {
            return Err(format!(
                "the bundle has more than {MAX_FILES} bytes; make its modules smaller"
            ));
        }
        files.insert(path.clone(), bytes);
    }
    if !files.contains_key(ROOT) {
        return Err(format!("the bundle has no `{ROOT}`"));
    }
    let bundle = Bundle::new(files);
    if bundle.digest != job.bundle_digest {
        return Err(format!(
            "the bundle has the digest `{}` where `{}` was announced",
            bundle.digest, job.bundle_digest
        ));
    }
    Ok(bundle.files)
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > 1024 {
        return Err("is empty or too long");
    }
    if path.contains(['\\', '\0']) || path.chars().any(char::is_control) {
        return Err("has characters that are not allowed");
    }
    let clean = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    // `components` forgives `a//b` and `a/./b`; the digest would not.
    if !clean || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("is absolute or leaves the bundle");
    }
    if path == "state" || path.starts_with("state/") || path.starts_with(".terraform/") {
        return Err("is a place that is kept for the run itself");
    }
    Ok(())
}

/// Writes the files below `directory`, which is new; all but the root module, which is held in memory
/// ([`Place::root_in_memory`](super::place::Place::root_in_memory)).
pub(crate) fn unpack(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for (path, bytes) in files.iter().filter(|(path, _)| *path != ROOT) {
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)?;
        }
        // Scripts of modules are run as `sh script` or by path: executable for the owner, like in a checkout.
        let mode = if bytes.starts_with(b"#!") {
            0o700
        } else {
            0o600
        };
        fs::File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&target)?
            .write_all(bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(files: &[(&str, &str)], announced: Option<&str>) -> serde_json::Value {
        let plain: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let encoded: BTreeMap<&String, String> = plain
            .iter()
            .map(|(path, bytes)| (path, BASE64_STANDARD.encode(bytes)))
            .collect();
        serde_json::json!({
            "version": PROTOCOL, "run": "r", "attempt": 1, "deployment": "d", "action": "deploy",
            "files": encoded, "bundle_digest": announced.map_or_else(|| Bundle::new(plain.clone()).digest, str::to_owned),
            "labels": {}, "engine": null, "local_state": true, "environment": {"SECRET": "s3cret"},
            "allow_downloads": false, "log_recipients": [], "output_recipients": [], "log_level": "info",
            "deadlines": crate::runner::job::Deadlines::default(),
        })
    }

    fn refused(document: &serde_json::Value) -> String {
        match check(document.to_string().as_bytes()) {
            Intake::Refused(refusal) => {
                assert!(!refusal.message.contains("s3cret"));
                refusal.message
            }
            Intake::Nothing => panic!("taken for nothing"),
            Intake::Job(..) => panic!("accepted"),
        }
    }

    #[test]
    fn a_good_job_is_taken_with_its_files() {
        let good = document(&[("main.tf", "x"), ("modules/a/v1/main.tf", "y")], None);
        let Intake::Job(job, files) = check(good.to_string().as_bytes()) else {
            panic!("not taken");
        };
        assert_eq!(job.run, "r");
        let dir = tempfile::tempdir().expect("a directory");
        unpack(dir.path(), &files).expect("written");
        assert_eq!(
            fs::read_to_string(dir.path().join("modules/a/v1/main.tf")).expect("there"),
            "y"
        );
    }

    #[test]
    fn a_torn_job_is_nothing() {
        let good = document(&[("main.tf", "x")], None).to_string();
        for torn in ["", &good[..good.len() - 1], "{}"] {
            assert!(matches!(check(torn.as_bytes()), Intake::Nothing), "{torn}");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        for path in [
            "../x",
            "/etc/x",
            "a/../../x",
            "a//b",
            "./a",
            "state/terraform.tfstate",
            "state",
            ".terraform/x",
            "a\\b",
            "a\nb",
            "",
        ] {
            let message = refused(&document(&[("main.tf", "x"), (path, "y")], None));
            assert!(
                message.contains("the bundle holds the path"),
                "{path}: {message}"
            );
        }
    }

    #[test]
    fn a_changed_bundle_is_refused() {
        let message = refused(&document(&[("main.tf", "x")], Some("sha256:0")));
        assert!(message.contains("digest"), "{message}");
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let mut job = document(&[("main.tf", "x")], None);
        job["version"] = 99.into();
        assert!(refused(&job).contains("version 99"));
    }
}
