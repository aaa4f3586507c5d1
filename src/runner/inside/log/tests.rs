use super::*;
use crate::seal::{age, key::Identity, stream::Opener};

fn job(readers: &[(&Identity, bool)]) -> Job {
    let spec = |(identity, age_file): &(&Identity, bool)| RecipientSpec {
        recipient: identity.recipient().to_string(),
        age_file: *age_file,
    };
    let text = serde_json::json!({
        "version": 1, "run": "0190-run", "attempt": 2, "deployment": "d", "action": "deploy", "files": {},
        "bundle_digest": "", "labels": {}, "engine": null, "local_state": true, "environment": {},
        "allow_downloads": false, "log_recipients": readers.iter().map(spec).collect::<Vec<_>>(),
        "output_recipients": readers.iter().map(spec).collect::<Vec<_>>(), "log_level": "info",
        "deadlines": crate::runner::job::Deadlines::default(),
    });
    serde_json::from_value(text).expect("a job")
}

/// Everything a run said, from its spool.
struct Said {
    header: Vec<u8>,
    frames: Vec<Vec<u8>>,
    age: Vec<Vec<u8>>,
}

fn said(dir: &std::path::Path) -> Said {
    let text = std::fs::read_to_string(dir.join(super::super::spool::EVENTS)).expect("a spool");
    let mut said = Said {
        header: Vec::new(),
        frames: Vec::new(),
        age: Vec::new(),
    };
    let decode = |text: String| BASE64_STANDARD.decode(text).expect("base64");
    for line in text.lines() {
        let event: Event = serde_json::from_str(line).expect("an event");
        match event.kind {
            Kind::Header { bytes, .. } => said.header = decode(bytes),
            Kind::Frame { bytes, .. } => said.frames.push(decode(bytes)),
            Kind::AgeFile { bytes, .. } => said.age.push(decode(bytes)),
            _ => {}
        }
    }
    said
}

fn opened(said: &Said, identity: &Identity) -> Vec<u8> {
    let mut opener =
        Opener::new("0190-run", 2, "logs", &said.header, identity).expect("our key fits");
    let mut text = Vec::new();
    let mut last = false;
    for frame in &said.frames {
        let opened = opener.open(frame).expect("a frame");
        text.extend(opened.bytes);
        last = opened.last;
    }
    assert!(last, "the final frame is there");
    text
}

#[test]
fn text_comes_back_by_frames_and_by_age_file_and_is_nowhere_in_clear() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Identity::generate(), Identity::generate());
    let job = job(&[(&ours, false), (&theirs, true)]);
    let mut spool = Spool::create(dir.path(), &job.run, job.attempt).expect("a spool");
    let mut log = Log::begin(&mut spool, &job).expect("readers");
    let mut expected = String::new();
    for number in 0..20_000 {
        let line = format!("planted-secret line {number}");
        log.line(&mut spool, Level::Info, &line);
        expected.push_str(&line);
        expected.push('\n');
    }
    log.line(&mut spool, Level::Debug, "not asked for");
    log.phase_end(&mut spool);
    log.line(&mut spool, Level::Error, "last");
    expected.push_str("last\n");
    log.finish(&mut spool);
    spool.sync().expect("written");
    let raw = std::fs::read_to_string(dir.path().join("events.jsonl")).expect("a spool");
    assert!(!raw.contains("planted-secret"));
    let said = said(dir.path());
    assert_eq!(said.age.len(), 2, "one at the phase end, one at the end");
    for identity in [&ours, &theirs] {
        assert!(opened(&said, identity) == expected.as_bytes());
    }
    assert!(age::open(&theirs, &said.age[1]).expect("their key fits") == expected.as_bytes());
    assert!(
        age::open(&ours, &said.age[1]).is_err(),
        "only who asked for it"
    );
}

#[test]
fn what_is_not_utf8_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let ours = Identity::generate();
    let job = job(&[(&ours, false)]);
    let mut spool = Spool::create(dir.path(), &job.run, job.attempt).expect("a spool");
    let mut log = Log::begin(&mut spool, &job).expect("readers");
    log.text(&mut spool, Level::Info, b"a\xffb");
    log.finish(&mut spool);
    spool.sync().expect("written");
    assert_eq!(opened(&said(dir.path()), &ours), "a\u{fffd}b".as_bytes());
}

#[test]
fn without_readers_nothing_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(&[]);
    let mut spool = Spool::create(dir.path(), &job.run, job.attempt).expect("a spool");
    let mut log = Log::begin(&mut spool, &job).expect("no readers");
    log.line(&mut spool, Level::Error, "x");
    log.finish(&mut spool);
    seal_whole(&mut spool, &job, StreamName::Outputs, &[], b"{}").expect("no readers");
    spool.sync().expect("written");
    assert_eq!(
        std::fs::read(dir.path().join("events.jsonl")).expect("a spool"),
        b""
    );
}

#[test]
fn of_a_log_that_is_too_long_head_and_tail_are_kept_with_a_marker() {
    let dir = tempfile::tempdir().expect("a directory");
    let ours = Identity::generate();
    let job = job(&[(&ours, true)]);
    let mut spool = Spool::create(dir.path(), &job.run, job.attempt).expect("a spool");
    let mut log = Log::begin(&mut spool, &job).expect("readers");
    log.kept = (10, 6);
    for text in ["0123456789", "lost", "tail56"] {
        log.text(&mut spool, Level::Info, text.as_bytes());
    }
    log.finish(&mut spool);
    spool.sync().expect("written");
    let said = said(dir.path());
    let text = String::from_utf8(opened(&said, &ours)).expect("text");
    assert!(text.starts_with("0123456789\n["), "{text}");
    assert!(text.contains("4 bytes of log were left out"), "{text}");
    assert!(text.ends_with("]\ntail56"), "{text}");
}

#[test]
fn the_age_file_of_a_long_log_leaves_out_its_middle_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let ours = Identity::generate();
    let job = job(&[(&ours, true)]);
    let mut spool = Spool::create(dir.path(), &job.run, job.attempt).expect("a spool");
    let mut log = Log::begin(&mut spool, &job).expect("readers");
    let block = "x".repeat(FRAME);
    let blocks = usize::try_from(AGE_BYTES).expect("small") / FRAME + 16;
    log.text(&mut spool, Level::Info, b"begin ");
    for _ in 0..blocks {
        log.text(&mut spool, Level::Info, block.as_bytes());
    }
    log.text(&mut spool, Level::Info, b" end");
    log.finish(&mut spool);
    spool.sync().expect("written");
    let said = said(dir.path());
    let last = said.age.last().expect("an age file");
    let text = String::from_utf8(age::open(&ours, last).expect("our key fits")).expect("text");
    assert!(text.starts_with("begin ") && text.ends_with(" end"));
    assert!(text.contains("bytes are not in this age file"));
    assert!(text.len() < opened(&said, &ours).len());
}
