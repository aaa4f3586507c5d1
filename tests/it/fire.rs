//! Sealing under fire: logs longer than memory should hold, lines that never end, bytes that are no text, and stored bytes
//! that somebody has changed.
//!
//! The engine is a few lines of shell where a real one would be too slow to say that much.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::{Place, by_both_launchers, peak_mib, wait_until};

/// What any process of ours may hold in memory while a longer log goes through it.
const BOUND_MIB: u64 = 88;

const MANIFEST: &str = "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: x}}\n    outputs: {KEY: kept}\n";

/// A place whose engine runs this for `apply`.
fn place(apply: &str) -> Place {
    let state = r#"{"version":4,"serial":2,"lineage":"l","outputs":{"web":{"value":{"KEY":"kept"},"type":["object",{"KEY":"string"}],"sensitive":true}},"resources":[]}"#;
    let place = Place::scripted(&format!(
        "case $1 in apply) planned 0; {apply}; echo '{state}' > state/terraform.tfstate; applied 0; said outputs '\"outputs\":{{\"web\":{{\"sensitive\":true}}}}';; output) exit 9;; esac"
    ));
    prepared(place)
}

fn prepared(place: Place) -> Place {
    place.write("catalogue/all.yaml", crate::support::CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("m.yaml", MANIFEST);
    place
}

/// Prints lines `0000001 words` up to a number, as the engine's stream.
fn lines(count: usize, words: &str) -> String {
    format!(
        "seq -f %07.0f {count} | sed 's/.*/{{\"@level\":\"info\",\"@message\":\"& {words}\",\"type\":\"log\"}}/'"
    )
}

/// Reads what `windlass logs` prints while watching how much memory it takes; calls `each` for every line.
fn read_log(place: &Place, id: &str, mut each: impl FnMut(&str)) -> u64 {
    let mut child = place
        .command(["logs", id])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let pid = i32::try_from(child.id()).expect("small");
    let mut reader = BufReader::with_capacity(1 << 20, child.stdout.take().expect("piped"));
    let (mut line, mut peak, mut count) = (String::new(), 0, 0_u32);
    while reader.read_line(&mut line).expect("text") > 0 {
        each(line.trim_end_matches('\n'));
        line.clear();
        count += 1;
        if count.is_multiple_of(500) {
            peak = peak.max(peak_mib(pid));
        }
    }
    assert!(child.wait().expect("it ends").success());
    peak
}

#[test]
fn a_long_log_is_kept_whole_and_nobody_holds_it_in_memory() {
    let count = log_lines();
    let words = "x".repeat(1000);
    let place = place(&format!(
        "{}; touch state/gate.waiting; until [ -e state/gate.go ]; do sleep 0.02; done",
        lines(count, &words)
    ));
    let mut deploy = place.deploy("dev", "m.yaml");
    deploy.push("--no-wait".to_owned());
    place.ok(deploy);
    let id = place.newest("dev");
    // The engine has said everything; whether all of it is stored yet is seen in the record.
    wait_until("all of the log is stored", || {
        sealed_bytes(&place) > count as i64 * 1008
    });
    let mut peaks = Vec::new();
    for (pid, line) in place.processes() {
        if ["work", "inside"].contains(&line[1].as_str()) {
            peaks.push((line[1].clone(), peak_mib(pid)));
        }
    }
    assert_eq!(peaks.len(), 2, "worker and supervisor: {peaks:?}");
    wait_until("the engine stands at its gate", || {
        !place.states().is_empty() && place.states()[0].join("gate.waiting").exists()
    });
    place.open_gate("gate");
    assert_eq!(place.ended(&id)["status"], "succeeded");
    let mut next = 0;
    let peak = read_log(&place, &id, |line| {
        if let Some((number, rest)) = line.split_once(' ')
            && let Ok(number) = number.parse::<usize>()
        {
            next += 1;
            assert_eq!(number, next, "no line is lost, none comes twice");
            assert!(rest == words, "line {number} is whole");
        }
    });
    assert_eq!(next, count);
    peaks.push(("logs".to_owned(), peak));
    for (who, peak) in &peaks {
        assert!(
            (1..BOUND_MIB).contains(peak),
            "{who} held {peak} MiB: {peaks:?}"
        );
    }
}

/// 110 MB of log; `WINDLASS_LOG_LINES=1050000` makes it almost the 1 GiB that is kept whole.
fn log_lines() -> usize {
    let wanted = std::env::var("WINDLASS_LOG_LINES").ok();
    wanted.map_or(110_000, |lines| lines.parse().expect("a number of lines"))
}

/// Bytes of log in the record.
fn sealed_bytes(place: &Place) -> i64 {
    place.in_database(async |database| {
        use sqlx::Row as _;
        let query = "SELECT coalesce(sum(length(bytes)), 0) FROM frames WHERE stream = 'logs'";
        sqlx::query(query)
            .fetch_one(database)
            .await
            .expect("a sum")
            .get(0)
    })
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let place = place(&lines(20_000, &"x".repeat(500)));
    place.ok(place.deploy("dev", "m.yaml"));
    let id = place.newest("dev");
    let mut child = place
        .command(["logs", &id])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut first = [0; 100];
    child
        .stdout
        .take()
        .expect("piped")
        .read_exact(&mut first)
        .expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_line_of_100_mb_and_bytes_that_are_no_text_are_kept() {
    // 100 MB without a line end: in a message of the engine, then bare; then bytes that are no text.
    let long = "head -c 100000000 /dev/zero | tr '\\0' a";
    let place = place(&format!(
        "printf '{{\"@level\":\"info\",\"@message\":\"'; {long}; printf '\",\"type\":\"log\"}}\\n'; \
         printf 'no text: \\377\\303(\\n'; printf 'after\\n'"
    ));
    place.ok(place.deploy("dev", "m.yaml"));
    let mut seen = Vec::new();
    read_log(&place, &place.newest("dev"), |line| {
        let count = line.bytes().filter(|byte| *byte == b'a').count();
        seen.push((count, line.get(..20).unwrap_or(line).to_owned()));
    });
    assert!(
        seen.iter().any(|(count, _)| *count >= 100_000_000),
        "{seen:?}"
    );
    let words: Vec<&str> = seen.iter().map(|(_, words)| words.as_str()).collect();
    assert!(words.contains(&"no text: \u{fffd}\u{fffd}("), "{words:?}");
    assert!(words.contains(&"after"), "{words:?}");
}

by_both_launchers! {
    a_real_engine_prints_a_long_line_and_gives_back_a_megabyte
}

/// A module that prints a line of `size` bytes and what is no text, and whose output is a megabyte.
fn a_real_engine_prints_a_long_line_and_gives_back_a_megabyte(place: &Place) {
    place.write(
        "catalogue/all.yaml",
        crate::support::CATALOGUE.to_owned() + LOUD,
    );
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "loud.yaml",
        "workloads:\n  web:\n    resources:\n      loud: {type: loud}\n    outputs:\n      BIG: ${resources.loud.outputs.big}\n",
    );
    let done = place.ok(place.deploy("dev", "loud.yaml"));
    assert!(!done.stderr.contains("Warning"), "{done}");
    let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    let big = outputs["web"]["BIG"].as_str().expect("a text");
    assert!(
        big.len() == 1 << 20 && big.bytes().all(|byte| byte == b'b'),
        "{} bytes",
        big.len()
    );
    let (mut longest, mut words) = (0, String::new());
    read_log(place, &place.newest("dev"), |line| {
        longest = longest.max(line.len());
        if line.len() < 200 {
            words.push_str(line);
        }
    });
    assert!(longest > LOUD_BYTES, "the line is whole: {longest} bytes");
    assert!(words.contains("no text: \u{fffd}"), "{words}");
}

/// Both engines drop what a program prints in a longer line than 64 KiB.
const LOUD_BYTES: usize = 60_000;
const LOUD: &str = r#"
---
kind: resource-type
id: loud
output_schema: {type: object, properties: {big: {type: string}}}
---
kind: module
id: loud
resource_type: loud
module_source: inline
module_source_code: |
  resource "terraform_data" "this" {
    input = join("", [for _ in range(1024) : join("", [for _ in range(1024) : "b"])])
    provisioner "local-exec" {
      command = "head -c 60000 /dev/zero | tr '\\0' a; echo; printf 'no text: \\377\\n'; echo after"
    }
  }
  output "big" {
    value = terraform_data.this.output
  }
---
kind: module-rule
module_id: loud
"#;

#[test]
fn changed_bytes_are_found_and_said() {
    let place = place(&format!(
        "{}; sleep 0.2; {}",
        lines(3000, "a"),
        lines(3000, "b")
    ));
    let deploy = || {
        place.ok(place.deploy("dev", "m.yaml"));
        place.newest("dev")
    };
    for (what, query, says) in TAMPERED {
        let id = deploy();
        assert!(frame_count(&place, &id) > 2, "more than two frames");
        assert!(place.tamper(query) > 0, "{what}: something is changed");
        place.refused(["logs", &id]).says(&[says]);
    }
    for (what, query, says) in TAMPERED_OUTPUTS {
        let id = deploy();
        let outputs = place.json(["get", "outputs", &id, "-o", "json"]);
        assert_eq!(outputs["web"]["KEY"], "kept");
        assert!(place.tamper(query) > 0, "{what}: something is changed");
        place.refused(["get", "outputs", &id]).says(&[says]);
    }
}

/// Frames of the log of a deployment.
fn frame_count(place: &Place, id: &str) -> i64 {
    place.in_database(async |database| {
        use sqlx::Row as _;
        let query = "SELECT last FROM streams WHERE deployment = $1 AND stream = 'logs'";
        let row = sqlx::query(query).bind(id).fetch_one(database).await;
        row.expect("a stream").get(0)
    })
}

/// What is done to the newest outputs, and what is said of it.
const TAMPERED_OUTPUTS: &[(&str, &str, &str)] = &[
    (
        "one byte",
        "UPDATE frames SET bytes = CAST(substr(bytes, 1, 12) || x'00' || substr(bytes, 14) AS BLOB) WHERE number = 1 AND stream = 'outputs' AND run = (SELECT max(run) FROM frames)",
        "the key is wrong or the data was altered",
    ),
    (
        "the end is missing",
        "DELETE FROM frames WHERE number = 2 AND stream = 'outputs' AND run = (SELECT max(run) FROM frames)",
        "were cut off",
    ),
    (
        "the log in place of the outputs",
        "UPDATE frames SET bytes = (SELECT bytes FROM frames o WHERE o.run = frames.run AND o.stream = 'logs' AND o.number = 1) WHERE number = 1 AND stream = 'outputs' AND run = (SELECT max(run) FROM frames)",
        "the key is wrong or the data was altered",
    ),
];

/// What is done to the newest log, and what is said of it.
const TAMPERED: &[(&str, &str, &str)] = &[
    (
        "one byte",
        "UPDATE frames SET bytes = CAST(substr(bytes, 1, 20) || x'00' || substr(bytes, 22) AS BLOB) WHERE number = 2 AND stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "the key is wrong or the data was altered",
    ),
    (
        "a frame is missing",
        "DELETE FROM frames WHERE number = 2 AND stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "frames are missing or out of order",
    ),
    (
        "a frame twice",
        "UPDATE frames SET bytes = (SELECT bytes FROM frames o WHERE o.run = frames.run AND o.stream = 'logs' AND o.number = 1) WHERE number = 2 AND stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "came a second time",
    ),
    (
        "a frame of another log",
        "UPDATE frames SET bytes = (SELECT bytes FROM frames o WHERE o.run = (SELECT min(run) FROM frames) AND o.stream = 'logs' AND o.number = 2) WHERE number = 2 AND stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "the key is wrong or the data was altered",
    ),
    (
        "the end is missing",
        "DELETE FROM frames WHERE number = (SELECT max(number) FROM frames WHERE stream = 'logs' AND run = (SELECT max(run) FROM frames)) AND stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "were cut off",
    ),
    (
        "everything is missing",
        "DELETE FROM frames WHERE run = (SELECT max(run) FROM frames)",
        "has no log",
    ),
    (
        "the header of another log",
        "UPDATE streams SET header = (SELECT header FROM streams WHERE stream = 'logs' ORDER BY run LIMIT 1) WHERE stream = 'logs' AND run = (SELECT max(run) FROM frames)",
        "not sealed to this key",
    ),
];
