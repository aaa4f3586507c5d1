//! What happens when engines, jobs and signals do what they should not.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Bench;

const MAIN: &[(&str, &str)] = &[("main.tf", "# nothing")];

/// A job whose run asks its engine for everything, so that a script sees every call.
fn job(action: &str, files: &[(&str, &str)]) -> Value {
    let mut job = super::job(action, files);
    job["shortcuts"] = json!({"skip_init": false, "read_outputs": false});
    job
}

fn is_started(event: &Value) -> bool {
    event["kind"]["resource"]["state"] == "started"
}

#[test]
fn a_deploy_is_told_in_order_and_ends_applied() {
    let bench = Bench::scripted(
        r#"case $1 in
        apply) planned 1; started t.a; done_ t.a id-a; state a; applied 1;;
        output) echo '{"platform_orchestrator_metadata":{"value":{"h":{"k":1}}},"web":{"sensitive":true,"value":{"url":"u"}}}';;
        esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    let finished = ended.finished();
    assert_eq!(ended.code, Some(0));
    assert_eq!(finished["outcome"], "applied");
    assert_eq!(
        (&finished["added"], &finished["total"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(finished["metadata"]["h"]["k"], 1);
    assert_eq!(
        finished["record"]["engine_processes"], 3,
        "init, apply, output"
    );
    assert_eq!(ended.text("outputs"), r#"{"web":{"url":"u"}}"#);
    assert_eq!(
        ended.kind("step"),
        ["init", "planning", "applying", "saving"]
    );
    assert!(!ended.events[0]["kind"]["accepted"].is_null());
    assert_eq!(
        ended.kind("progress").last(),
        Some(&&json!({"done": 1, "total": 1}))
    );
}

#[test]
fn a_run_that_has_nothing_to_say_says_that_it_is_alive() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
          planned 1; started t.a; until [ -e state/go ]; do sleep 0.02; done
          done_ t.a id-a; state a; applied 1;;
        output) echo '{}';; esac"#,
    );
    let mut job = job("deploy", MAIN);
    job["heartbeat_ms"] = json!(50);
    let mut going = bench.start("spool", &job);
    going.wait_for("it says that it is alive", |event| event["kind"] == "alive");
    fs::write(bench.state().join("go"), "").expect("written");
    let ended = going.ended();
    assert_eq!(ended.finished()["outcome"], "applied");
}

#[test]
fn nothing_to_change_is_said_so() {
    let bench =
        Bench::scripted("case $1 in apply) planned 0; applied 0;; output) echo '{}';; esac");
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["outcome"], "unchanged");
}

#[test]
fn after_a_kill_of_the_engine_nothing_is_applied_until_what_it_made_is_settled() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
          if [ -e state/second ]; then planned 0; applied 0; exit 0; fi
          planned 3; for n in a b; do started t.$n; done_ t.$n id-$n; done; started t.c; state a; kill -KILL $$;;
        output) echo '{}';; esac"#,
    );
    let ended = bench.run("one", &job("deploy", MAIN));
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.finished()["failure_class"], "killed");
    assert_eq!(ended.addresses("unrecorded"), ["t.b"]);
    assert_eq!(ended.addresses("in_flight"), ["t.c"]);
    fs::write(bench.state().join("second"), "").expect("written");
    for (spool, action) in [("two", "deploy"), ("three", "destroy")] {
        let again = bench.run(spool, &job(action, MAIN));
        assert_eq!(again.addresses("unrecorded"), ["t.b"], "{spool}");
        assert_eq!(again.addresses("in_flight"), ["t.c"], "{spool}");
        let finished = again.finished();
        assert_eq!(finished["failure_class"], "unsettled", "{finished}");
        assert_eq!(finished["record"]["engine_processes"], 0, "{finished}");
        let message = finished["message"].as_str().expect("text");
        for part in ["`t.b` exist", "`t.c` were", "state import", "state dismiss"] {
            assert!(message.contains(part), "{message}");
        }
    }
    let planned = bench.run("plan", &job("plan", MAIN));
    assert_eq!(planned.addresses("unrecorded"), ["t.b"]);

    let settle = |spool: &str, action: &str, addresses: &[&str]| {
        let mut wanted = job(action, MAIN);
        wanted["addresses"] = json!(addresses);
        bench.run(spool, &wanted)
    };
    let unknown = settle("unknown", "dismiss", &["t.b", "t.d"]);
    assert_eq!(unknown.finished()["failure_class"], "config_invalid");
    let message = unknown.finished()["message"].as_str().expect("text");
    assert!(
        message.contains("`t.d` is not left open here; open is `t.b`, `t.c`"),
        "{message}"
    );
    let no_id = settle("no-id", "import", &["t.c"]);
    assert_eq!(no_id.finished()["failure_class"], "config_invalid");
    assert_eq!(no_id.addresses("unrecorded"), ["t.b"], "nothing changed");
    let dismissed = settle("dismiss", "dismiss", &["t.b", "t.c"]);
    assert_eq!(dismissed.finished()["outcome"], "unchanged");
    assert!(dismissed.addresses("unrecorded").is_empty());
    assert!(dismissed.addresses("in_flight").is_empty());
    assert_eq!(
        bench.run("last", &job("deploy", MAIN)).finished()["outcome"],
        "unchanged"
    );
}

#[test]
fn a_kill_of_the_supervisor_is_worked_out_by_the_next_run() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
          if [ -e state/second ]; then planned 0; applied 0; exit 0; fi
          echo $$ > state/engine; planned 2; started t.a; done_ t.a id-a; started t.b; exec sleep 1000;;
        output) echo '{}';; esac"#,
    );
    let mut going = bench.start("one", &job("deploy", MAIN));
    going.wait_for("the second resource begins", |event| {
        is_started(event) && event["kind"]["resource"]["address"] == "t.b"
    });
    going.signal("KILL");
    assert_eq!(going.ended().code, None);
    // What a launcher does before it says that such a run has ended.
    let engine = fs::read_to_string(bench.state().join("engine")).expect("written");
    super::send("KILL", engine.trim().parse().expect("a number"));
    fs::write(bench.state().join("second"), "").expect("written");
    let next = bench.run("two", &job("deploy", MAIN));
    assert_eq!(next.addresses("unrecorded"), ["t.a"]);
    assert_eq!(next.addresses("in_flight"), ["t.b"]);
}

#[test]
fn a_request_to_stop_reaches_the_engine_once_and_the_state_is_saved() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
          trap 'echo interrupted >> state/signals; state a; kill $child; exit 1' INT
          planned 2; started t.a; sleep 1000 & child=$!; wait;;
        esac"#,
    );
    let mut going = bench.start("spool", &job("deploy", MAIN));
    going.wait_for("a resource begins", is_started);
    going.signal("TERM");
    going.signal("TERM");
    let ended = going.ended();
    assert_eq!(ended.finished()["outcome"], "cancelled");
    assert_eq!(ended.finished()["failure_class"], Value::Null);
    assert_eq!(
        fs::read_to_string(bench.state().join("signals")).expect("interrupted"),
        "interrupted\n"
    );
    assert_eq!(ended.finished()["total"], 1, "the state it saved is read");
}

#[test]
fn an_engine_that_ignores_the_first_interrupt_gets_a_second_one() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
          n=0; trap 'n=$((n+1)); [ $n = 2 ] && exit 1' INT
          planned 2; started t.a; while :; do sleep 0.05; done;;
        esac"#,
    );
    let mut wanted = job("deploy", MAIN);
    wanted["deadlines"]["grace"] = 1.into();
    let mut going = bench.start("spool", &wanted);
    going.wait_for("a resource begins", is_started);
    going.signal("INT");
    let ended = going.ended();
    assert_eq!(ended.finished()["outcome"], "cancelled");
    assert_eq!(
        ended.addresses("in_flight"),
        ["t.a"],
        "it was made to drop what it did"
    );
}

#[test]
fn an_engine_that_ignores_everything_is_killed_at_last() {
    let bench = Bench::scripted(
        "case $1 in apply) trap '' INT; planned 1; started t.a; while :; do sleep 0.05; done;; esac",
    );
    let mut wanted = job("deploy", MAIN);
    wanted["deadlines"]["grace"] = 1.into();
    let mut going = bench.start("spool", &wanted);
    going.wait_for("a resource begins", is_started);
    going.signal("TERM");
    let ended = going.ended();
    assert_eq!(ended.finished()["outcome"], "cancelled");
    assert!(
        ended.finished()["message"]
            .as_str()
            .is_some_and(|text| text.contains("was made to")),
        "{}",
        ended.finished()
    );
    assert_eq!(ended.addresses("in_flight"), ["t.a"]);
}

#[test]
fn a_phase_that_takes_too_long_is_stopped_and_named() {
    let bench = Bench::scripted(
        "case $1 in apply) trap 'kill $child; exit 1' INT; sleep 1000 & child=$!; wait;; esac",
    );
    let mut wanted = job("deploy", MAIN);
    wanted["deadlines"]["plan"] = 1.into();
    let ended = bench.run("spool", &wanted);
    assert_eq!(ended.finished()["failure_class"], "timeout");
    let message = ended.finished()["message"].as_str().expect("text");
    assert!(
        message.contains("`plan`") && message.contains("1 s"),
        "{message}"
    );
}

#[test]
fn the_holder_of_the_lock_is_in_the_message() {
    let bench = Bench::scripted(
        r#"case $1 in apply)
        said diagnostic '"diagnostic":{"severity":"error","summary":"Error acquiring the state lock","detail":"Lock Info:\n  ID:        7\n  Who:       ci@build-3\n"}'; exit 1;; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["failure_class"], "lock_held");
    let message = ended.finished()["message"].as_str().expect("text");
    assert!(message.contains("ci@build-3"), "{message}");
}

#[test]
fn a_failure_is_in_clear_by_place_and_in_the_log_by_word() {
    let bench = Bench::scripted(
        r#"case $1 in apply) planned 1
        said diagnostic '"diagnostic":{"severity":"error","summary":"it broke","detail":"the password is s3cret","address":"module.db_default_main_1.t.a","range":{"filename":"modules/pg/v1/main.tf","start":{"line":7}}}'; exit 1;;
        output) echo '{}';; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["failure_class"], "apply_failed");
    let clear = ended.kind("diagnostic");
    assert_eq!(clear[0]["resource"], "type=db,class=default,id=main");
    assert_eq!(
        (&clear[0]["module_id"], &clear[0]["line"]),
        (&json!("pg"), &json!(7))
    );
    assert!(!clear[0].to_string().contains("s3cret"));
    assert!(!ended.finished().to_string().contains("s3cret"));
    assert!(ended.text("logs").contains("the password is s3cret"));
}

#[test]
fn a_failure_before_anything_was_planned_is_the_plans() {
    let bench = Bench::scripted("case $1 in apply) exit 1;; esac");
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["failure_class"], "plan_failed");
    assert_eq!(
        ended.finished()["record"]["engine_processes"],
        2,
        "no outputs are asked for"
    );
}

#[test]
fn a_megabyte_on_one_line_and_bytes_that_are_not_text_come_through() {
    let bench = Bench::scripted(
        r#"case $1 in
        apply) head -c 1000000 /dev/zero | tr '\0' x; echo; printf 'a\377b\n'
          printf '{"@level":"info","@message":"'; head -c 1000000 /dev/zero | tr '\0' y; echo '","type":"log"}'
          planned 1; applied 1; state a;;
        output) printf '{"web":{"value":"'; head -c 1000000 /dev/zero | tr '\0' z; echo '"}}';; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["outcome"], "applied");
    let log = ended.text("logs");
    assert!(log.contains(&"x".repeat(1_000_000)) && log.contains(&"y".repeat(1_000_000)));
    assert!(log.contains("a\u{fffd}b"));
    assert!(ended.text("outputs").contains(&"z".repeat(1_000_000)));
}

#[test]
fn a_long_diagnostic_and_colours_come_through_and_leave_the_clear_part_short() {
    let bench = Bench::scripted(
        r#"case $1 in
        apply) planned 1; printf '\033[31mred\033[0m and [TRACE] words\n' >&2
          printf '{"@level":"error","@message":"m","type":"diagnostic","diagnostic":{"severity":"error","summary":"it broke","detail":"'
          head -c 200000 /dev/zero | tr '\0' d; echo '"}}'; exit 1;;
        output) echo '{}';; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    let finished = ended.finished();
    assert_eq!(finished["failure_class"], "apply_failed", "{finished}");
    assert!(finished.to_string().len() < 4096);
    assert!(ended.kind("diagnostic")[0].to_string().len() < 4096);
    let log = ended.text("logs");
    assert!(log.contains(&"d".repeat(200_000)));
    assert!(log.contains("\u{1b}[31mred") && log.contains("[TRACE] words"));
}

#[test]
fn what_a_module_leaves_running_is_ended() {
    let bench = Bench::scripted(
        r#"case $1 in apply) planned 1
          sleep 1000 & echo $! >> state/left
          setsid sleep 1000 & echo $! >> state/left
          applied 1; state a;;
        output) echo '{}';; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["outcome"], "applied");
    let left = fs::read_to_string(bench.state().join("left")).expect("they were started");
    assert_eq!(left.lines().count(), 2);
    for pid in left.lines() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        assert_ne!(name.trim(), "sleep", "process {pid} lives on");
    }
}

#[test]
fn the_environment_of_the_engine_is_built_from_nothing() {
    let bench = Bench::scripted(
        "case $1 in apply) env > state/env; planned 0; applied 0;; output) echo '{}';; esac",
    );
    let mut wanted = job("deploy", MAIN);
    wanted["environment"] = json!({"TF_VAR_password": "from the runner"});
    assert_eq!(bench.run("spool", &wanted).code, Some(0));
    let env = fs::read_to_string(bench.state().join("env")).expect("written");
    assert!(
        !env.contains("HOST_SECRET") && !env.contains("TF_LOG"),
        "{env}"
    );
    for expected in [
        "TF_VAR_password=from the runner",
        "TF_IN_AUTOMATION=1",
        "TF_INPUT=0",
        "CHECKPOINT_DISABLE=1",
        "TF_CLI_CONFIG_FILE=",
        "TMPDIR=",
    ] {
        assert!(env.contains(expected), "{expected} is not in\n{env}");
    }
}

#[test]
fn no_engine_ever_starts_on_an_empty_or_torn_state() {
    let bench = Bench::scripted(
        r#"[ -s state/terraform.tfstate ] || exit 9
        case $1 in apply) cp state/terraform.tfstate state/seen; planned 1; state a; applied 1;;
        plan) cp state/terraform.tfstate state/../seen;; output) echo '{}';; esac"#,
    );
    assert_eq!(bench.run("one", &job("deploy", MAIN)).code, Some(0));
    assert_eq!(bench.run("two", &job("deploy", MAIN)).code, Some(0));
    let whole = fs::read(bench.state().join("terraform.tfstate")).expect("there");
    for (spool, torn) in [("empty", &b""[..]), ("torn", &whole[..30])] {
        fs::write(bench.state().join("terraform.tfstate"), torn).expect("torn");
        let ended = bench.run(spool, &job("deploy", MAIN));
        assert_eq!(ended.code, Some(0), "{spool}: {}", ended.finished());
        assert_eq!(fs::read(bench.state().join("seen")).expect("seen"), whole);
        assert!(ended.text("logs").contains("empty or torn"));
    }
}

#[test]
fn a_plan_leaves_the_state_directory_alone() {
    let bench = Bench::scripted(
        r#"case $1 in plan) echo lock > state/.terraform.tfstate.lock.info; rm state/.terraform.tfstate.lock.info
          for a in "$@"; do case $a in -out=*) echo plan > "${a#-out=}";; esac; done; planned 1; exit 2;;
        show) [ "$(cat "$4" 2>/dev/null || cat "$3")" = plan ] && if [ "$3" = -json ]; then echo '{"output_changes":{"web":{"actions":["create"],"after_unknown":true}}}'; else echo 'the human plan'; fi;; esac"#,
    );
    let ended = bench.run("spool", &job("plan", MAIN));
    assert_eq!(
        ended.finished()["outcome"],
        "planned",
        "{}",
        ended.finished()
    );
    assert_eq!(ended.finished()["added"], 1);
    assert!(
        !bench.state().exists(),
        "nothing was there, nothing is there"
    );
    assert_eq!(ended.text("outputs"), r#"{"web":"(known after apply)"}"#);
    assert!(ended.text("logs").contains("the human plan"));
    assert!(!has_plan(&bench.path("spool")), "no plan lies on the disk");
}

fn has_plan(dir: &Path) -> bool {
    fs::read_dir(dir).expect("a directory").any(|entry| {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        kind.is_dir() && has_plan(&entry.path())
            || kind.is_file() && fs::read(entry.path()).is_ok_and(|bytes| bytes == b"plan\n")
    })
}

#[test]
fn a_state_that_could_not_be_written_is_kept() {
    let bench = Bench::scripted(
        "case $1 in apply) planned 1; started t.a; done_ t.a id-a; echo rescued > errored.tfstate; exit 1;; esac",
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.finished()["failure_class"], "state_write_failed");
    assert_eq!(ended.addresses("unrecorded"), ["t.a"]);
    let message = ended.finished()["message"].as_str().expect("text");
    let name = message.split('`').nth(1).expect("a name");
    assert_eq!(
        fs::read_to_string(bench.state().join(name)).expect("kept"),
        "rescued\n"
    );
}

#[test]
fn a_destroy_is_believed_only_when_the_state_is_empty() {
    let bench = Bench::scripted(
        "case $1 in destroy) planned 1; [ -e state/keep ] && state a || state; applied 0;; esac",
    );
    fs::create_dir(bench.state()).expect("made");
    fs::write(bench.state().join("keep"), "").expect("written");
    let kept = bench.run("one", &job("destroy", MAIN));
    assert_eq!(kept.finished()["failure_class"], "destroy_failed");
    assert_eq!(kept.finished()["state_empty"], false);
    fs::remove_file(bench.state().join("keep")).expect("removed");
    let gone = bench.run("two", &job("destroy", MAIN));
    assert_eq!(gone.finished()["outcome"], "destroyed");
    assert_eq!(gone.finished()["state_empty"], true);
}

#[test]
fn an_engine_too_old_for_an_init_stream_is_asked_without() {
    let bench = Bench::scripted(
        r#"case $1 in init) for a in "$@"; do [ "$a" = -json ] && { echo "Error parsing command-line flags: flag provided but not defined: -json" >&2; exit 1; }; done; echo done;;
        apply) planned 0; applied 0;; output) echo '{}';; esac"#,
    );
    let ended = bench.run("spool", &job("deploy", MAIN));
    assert_eq!(ended.code, Some(0), "{}", ended.finished());
}

#[test]
fn without_a_job_nothing_is_said() {
    let bench = Bench::scripted("exit 1");
    let whole = job("deploy", MAIN).to_string();
    for (spool, input) in [("none", ""), ("torn", &whole[..whole.len() / 2])] {
        let ended = bench.start_with(spool, input.as_bytes()).ended();
        assert_eq!((ended.code, ended.events.len()), (Some(3), 0), "{spool}");
    }
    let mut waiting = bench.command("standby").spawn().expect("it starts");
    super::send("TERM", waiting.id());
    let status = waiting.wait().expect("our child");
    assert!(!status.success());
}

#[test]
fn a_supervisor_that_nobody_needs_ends_by_itself() {
    let bench = Bench::scripted("exit 1");
    let mut waiting = bench
        .command("spool")
        .args(["--wait", "1"])
        .spawn()
        .expect("it starts");
    assert_eq!(waiting.wait().expect("our child").code(), Some(3));
}

#[test]
fn a_changed_bundle_is_refused_with_its_class() {
    let bench = Bench::scripted("exit 1");
    let mut wanted = job("deploy", MAIN);
    wanted["files"]["other.tf"] = "eA==".into();
    let ended = bench.run("spool", &wanted);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.finished()["failure_class"], "bundle_invalid");
    assert_eq!(ended.events.len(), 1, "it was never accepted");
}

#[test]
fn an_attempt_is_never_carried_out_twice() {
    let bench = Bench::scripted(
        "case $1 in apply) echo x >> state/effects; planned 0; applied 0;; output) echo '{}';; esac",
    );
    let wanted = job("deploy", MAIN);
    assert_eq!(bench.run("spool", &wanted).code, Some(0));
    assert_eq!(bench.run("spool", &wanted).code, Some(4));
    assert_eq!(
        fs::read_to_string(bench.state().join("effects")).expect("one"),
        "x\n"
    );
}

#[test]
fn a_missing_engine_is_named() {
    let bench = Bench::new("opentofu", Path::new("/nonexistent/tofu"));
    let mut wanted = job("deploy", MAIN);
    wanted["engine"] = "opentofu".into();
    let mut command = bench.command("spool");
    command.env("PATH", "/nonexistent");
    let mut child = command.spawn().expect("it starts");
    std::io::Write::write_all(
        &mut child.stdin.take().expect("a pipe"),
        wanted.to_string().as_bytes(),
    )
    .expect("written");
    child.wait().expect("our child");
    let ended = super::Ended {
        code: Some(1),
        events: super::events(&bench.path("spool")),
    };
    assert_eq!(ended.finished()["failure_class"], "engine_missing");
    let message = ended.finished()["message"].as_str().expect("text");
    assert!(message.contains("`tofu`"), "{message}");
}

/// What an engine says of a module that it does not know.
const REFUSAL: &str = r#"printf '{"@level":"error","@message":"Error: Module not installed","type":"diagnostic","diagnostic":{"severity":"error","summary":"Module not installed"}}\n'"#;

#[test]
fn a_refused_preparation_is_answered_by_one_init_and_one_repeat() {
    let bench = Bench::scripted(&format!(
        "case $1 in
        init) test ! -e .terraform && touch known;;
        apply) if [ -e known ]; then planned 1; started t.a; done_ t.a id-a; state a; applied 1
          else test -e .terraform || exit 7; {REFUSAL}; exit 1; fi;; esac"
    ));
    let ended = bench.run("spool", &super::job("deploy", MAIN));
    let finished = ended.finished();
    assert_eq!(finished["outcome"], "applied", "{finished}");
    let record = &finished["record"];
    assert_eq!(record["refusals"], 1);
    assert_eq!(record["engine_processes"], 3, "refused, init, applied");
    assert_eq!(
        record["init"],
        "ran after a preparation; no providers needed"
    );
    assert_eq!(
        record["shortcuts"]["init"],
        "ran: the engine refused what was prepared"
    );
    assert!(
        ended.kind("diagnostic").is_empty(),
        "the refusal is no error of the deployment"
    );
    assert!(ended.text("logs").contains("Module not installed"));
}

#[test]
fn a_refusal_after_the_real_init_is_an_error_like_any_other() {
    let bench = Bench::scripted(&format!("case $1 in apply) {REFUSAL}; exit 1;; esac"));
    let ended = bench.run("spool", &super::job("deploy", MAIN));
    let finished = ended.finished();
    assert_eq!(finished["failure_class"], "plan_failed", "{finished}");
    assert_eq!(finished["record"]["refusals"], 1);
    assert_eq!(finished["record"]["engine_processes"], 3, "no endless loop");
    assert_eq!(ended.kind("diagnostic").len(), 1);
}

#[test]
fn a_failure_that_is_no_refusal_is_told_and_not_repeated() {
    let bench = Bench::scripted(
        r#"case $1 in apply) printf '{"@level":"error","@message":"x","type":"diagnostic","diagnostic":{"severity":"error","summary":"Reference to undeclared module"}}\n'; exit 1;; esac"#,
    );
    let ended = bench.run("spool", &super::job("deploy", MAIN));
    let finished = ended.finished();
    assert_eq!(finished["failure_class"], "plan_failed", "{finished}");
    assert_eq!(finished["record"]["engine_processes"], 1);
    assert_eq!(finished["record"]["refusals"], Value::Null);
    assert_eq!(ended.kind("diagnostic").len(), 1);
}

#[test]
fn two_processes_where_one_is_switched_off() {
    let bench = Bench::scripted(
        r#"case $1 in
        plan) planned 1; for word; do case $word in -out=*) echo the plan > "${word#-out=}";; esac; done; exit 2;;
        apply) for word; do last=$word; done; test "$(cat "$last")" = 'the plan' || exit 9
          started t.a; done_ t.a id-a; state a; applied 1;; esac"#,
    );
    let mut wanted = super::job("deploy", MAIN);
    wanted["shortcuts"] = json!({"one_process": false});
    let ended = bench.run("one", &wanted);
    let finished = ended.finished();
    assert_eq!(finished["outcome"], "applied", "{finished}");
    assert_eq!(finished["record"]["engine_processes"], 2, "plan, apply");
    assert_eq!(ended.kind("step"), ["planning", "applying", "saving"]);
    assert_eq!(
        ended.kind("progress").last(),
        Some(&&json!({"done": 1, "total": 1}))
    );
}

#[test]
fn a_plan_that_the_state_has_outgrown_is_said_to_be_stale() {
    let bench = Bench::scripted(
        r#"case $1 in
        plan) planned 1; for word; do case $word in -out=*) echo the plan > "${word#-out=}";; esac; done; exit 2;;
        apply) said diagnostic '"diagnostic":{"severity":"error","summary":"Saved plan is stale","detail":"The given plan file can no longer be applied because the state was changed by another operation after the plan was created."}'; exit 1;; esac"#,
    );
    let mut wanted = super::job("deploy", MAIN);
    wanted["shortcuts"] = json!({"one_process": false});
    let ended = bench.run("one", &wanted);
    let finished = ended.finished();
    assert_eq!(finished["failure_class"], "stale_plan", "{finished}");
    let message = finished["message"].as_str().expect("text");
    assert!(message.contains("nothing was applied"), "{message}");
}

#[test]
fn a_plan_without_changes_is_not_applied() {
    let bench = Bench::scripted("case $1 in plan) planned 0;; apply) exit 9;; esac");
    let mut wanted = super::job("deploy", MAIN);
    wanted["shortcuts"] = json!({"one_process": false});
    let ended = bench.run("one", &wanted);
    let finished = ended.finished();
    assert_eq!(finished["outcome"], "unchanged", "{finished}");
    assert_eq!(finished["record"]["engine_processes"], 1);
}
