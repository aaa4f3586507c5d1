//! The scripted engine is held to what both real engines do: arguments, exit codes, stream, lock and state.
//!
//! Each test is the same story told to three engines in a directory of their own. Where the real ones differ from each other,
//! nothing is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use super::fake::PROGRAM;
use crate::support::{Engine, wait_until};

/// One test for each engine.
macro_rules! of_three {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::kills::conformance::Subject;
            use crate::support::Engine;

            #[test]
            #[ignore = "with the engines it is compared with"]
            fn fake() {
                super::$name(&Subject::fake());
            }

            #[test]
            #[ignore = "needs opentofu"]
            fn opentofu() {
                super::$name(&Subject::real(Engine::OpenTofu));
            }

            #[test]
            #[ignore = "needs terraform"]
            fn terraform() {
                super::$name(&Subject::real(Engine::Terraform));
            }
        }
    )*};
}

of_three! {
    it_says_what_it_is
    a_plan_tells_by_its_code_whether_there_is_something_to_do
    an_apply_tells_everything_in_order_and_writes_the_state
    what_is_there_is_not_made_again
    an_argument_that_is_not_known_fails
    while_one_applies_another_is_refused_and_told_who_has_the_lock
    an_interrupted_apply_saves_what_it_began_and_lets_go_of_the_lock
    after_a_kill_the_next_one_gets_the_lock
    a_destroy_leaves_nothing
}

/// An object that is made once there is `state/go`, where somebody waits for it.
const GATED: &str = r#"
terraform {
  backend "local" {
    path = "state/terraform.tfstate"
  }
}
resource "terraform_data" "this" {
  provisioner "local-exec" {
    command = "if [ -e state/stage ]; then touch state/standing; until [ -e state/go ]; do sleep 0.05; done; rm -f state/standing state/go; fi"
  }
}
"#;

/// An engine and a directory in which it wants one object.
struct Subject {
    program: PathBuf,
    root: tempfile::TempDir,
}

impl Subject {
    fn fake() -> Self {
        Self::at(PROGRAM.into())
    }

    fn real(engine: Engine) -> Self {
        Self::at(engine.binary())
    }

    fn at(program: PathBuf) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("state")).expect("made");
        fs::write(root.path().join("main.tf"), GATED).expect("written");
        fs::write(root.path().join("state/number"), "1").expect("written");
        let subject = Self { program, root };
        let done = subject.run(&["init", "-input=false", "-no-color"]);
        assert!(done.status.success(), "{done:?}");
        subject
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        Told::of(self.command(arguments).output().expect("it starts"))
    }

    fn apply(&self) -> Told {
        self.run(APPLY)
    }

    /// An apply that stands still with its object half made.
    fn standing(&self) -> Child {
        fs::write(self.path("state/stage"), "applying").expect("written");
        let mut child = self.command(APPLY).spawn().expect("it starts");
        wait_until("it stands", || {
            assert!(child.try_wait().expect("ours").is_none(), "it ended");
            self.path("state/standing").exists()
        });
        fs::remove_file(self.path("state/stage")).expect("removed");
        child
    }

    /// Lets go whatever stands.
    fn go(&self) {
        fs::write(self.path("state/go"), "").expect("written");
    }

    fn state(&self) -> Value {
        let text = fs::read_to_string(self.path("state/terraform.tfstate")).expect("a state");
        serde_json::from_str(&text).expect("JSON")
    }

    fn is_locked(&self) -> bool {
        self.path("state/.terraform.tfstate.lock.info").exists()
    }
}

const APPLY: &[&str] = &[
    "apply",
    "-auto-approve",
    "-input=false",
    "-no-color",
    "-json",
];

/// What a call came to.
#[derive(Debug)]
struct Told {
    status: ExitStatus,
    lines: Vec<Value>,
}

impl Told {
    fn of(output: std::process::Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Self {
            status: output.status,
            lines: text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        }
    }

    /// Kinds of lines that we act on, in order, with what they count.
    fn story(&self) -> Vec<String> {
        let told = |line: &Value| {
            let kind = line["type"].as_str()?;
            for key in ["@level", "@message"] {
                assert!(line[key].is_string(), "{line}");
            }
            match kind {
                "change_summary" => {
                    let changes = &line["changes"];
                    Some(format!(
                        "{} +{} -{}",
                        changes["operation"].as_str()?,
                        changes["add"],
                        changes["remove"]
                    ))
                }
                "apply_start" | "apply_complete" | "apply_errored" => {
                    let hook = &line["hook"];
                    assert!(hook["resource"]["addr"].is_string(), "{line}");
                    Some(format!("{kind} {}", hook["action"].as_str()?))
                }
                _ => None,
            }
        };
        self.lines.iter().filter_map(told).collect()
    }

    fn errors(&self) -> Vec<&Value> {
        let diagnostics = self.lines.iter().map(|line| &line["diagnostic"]);
        diagnostics
            .filter(|diagnostic| diagnostic["severity"] == "error")
            .collect()
    }
}

fn it_says_what_it_is(subject: &Subject) {
    let output = subject.command(&["version", "-json"]).output();
    let output = output.expect("it starts");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(said["terraform_version"].is_string(), "{said}");
    assert!(output.status.success());
}

fn a_plan_tells_by_its_code_whether_there_is_something_to_do(subject: &Subject) {
    let plan = [
        "plan",
        "-input=false",
        "-no-color",
        "-json",
        "-detailed-exitcode",
        "-out=plan",
    ];
    let told = subject.run(&plan);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert_eq!(told.story(), ["plan +1 -0"]);
    assert!(size(&subject.path("plan")) > 0);
    assert!(!subject.is_locked());
    assert!(subject.apply().status.success());
    let told = subject.run(&plan);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(told.story(), ["plan +0 -0"]);
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("there").len()
}

fn an_apply_tells_everything_in_order_and_writes_the_state(subject: &Subject) {
    let told = subject.apply();
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(
        told.story(),
        [
            "plan +1 -0",
            "apply_start create",
            "apply_complete create",
            "apply +1 -0"
        ]
    );
    let complete = told
        .lines
        .iter()
        .find(|line| line["type"] == "apply_complete")
        .expect("told");
    assert_eq!(complete["hook"]["id_key"], "id", "{complete}");
    assert!(complete["hook"]["id_value"].is_string(), "{complete}");
    let state = subject.state();
    assert_eq!(state["version"], 4);
    assert!(state["serial"].as_u64().is_some_and(|serial| serial > 0));
    assert!(state["lineage"].is_string());
    assert_eq!(state["resources"].as_array().map(Vec::len), Some(1));
    assert!(!subject.is_locked());
    let outputs = subject.run(&["output", "-no-color", "-json"]);
    assert_eq!(outputs.lines, [serde_json::json!({})]);
}

fn what_is_there_is_not_made_again(subject: &Subject) {
    assert!(subject.apply().status.success());
    let before = subject.state();
    let told = subject.apply();
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(told.story(), ["plan +0 -0", "apply +0 -0"]);
    assert_eq!(subject.state(), before);
}

fn an_argument_that_is_not_known_fails(subject: &Subject) {
    let told = subject.run(&["apply", "-json", "-auto-approve", "-nonsense"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
}

fn while_one_applies_another_is_refused_and_told_who_has_the_lock(subject: &Subject) {
    let first = subject.standing();
    assert!(subject.is_locked());
    let info = fs::read(subject.path("state/.terraform.tfstate.lock.info")).expect("there");
    let info: Value = serde_json::from_slice(&info).expect("JSON");
    for key in ["ID", "Operation", "Who", "Created"] {
        assert!(info[key].is_string(), "{info}");
    }
    let refused = subject.apply();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.story().is_empty(), "{refused:?}");
    let errors = refused.errors();
    assert_eq!(errors[0]["summary"], "Error acquiring the state lock");
    let id = info["ID"].as_str().expect("text");
    assert!(
        errors[0]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(id))
    );
    subject.go();
    let told = Told::of(first.wait_with_output().expect("it ends"));
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(!subject.is_locked());
}

fn an_interrupted_apply_saves_what_it_began_and_lets_go_of_the_lock(subject: &Subject) {
    let child = subject.standing();
    crate::inside::send("INT", child.id());
    let told = Told::of(child.wait_with_output().expect("it ends"));
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(!told.errors().is_empty(), "{told:?}");
    let instance = &subject.state()["resources"][0]["instances"][0];
    assert_eq!(instance["status"], "tainted", "{instance}");
    assert!(!subject.is_locked());
    let again = subject.apply();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let instance = &subject.state()["resources"][0]["instances"][0];
    assert_eq!(instance["status"], Value::Null);
}

fn after_a_kill_the_next_one_gets_the_lock(subject: &Subject) {
    let mut child = subject.standing();
    child.kill().expect("killed");
    child.wait().expect("ours");
    assert!(subject.is_locked(), "the file says who had it");
    // What a real engine had started for the object stands still and is nobody's.
    subject.go();
    let again = subject.apply();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(
        subject.state()["resources"].as_array().map(Vec::len),
        Some(1)
    );
    assert!(!subject.is_locked());
}

fn a_destroy_leaves_nothing(subject: &Subject) {
    assert!(subject.apply().status.success());
    let told = subject.run(&[
        "destroy",
        "-auto-approve",
        "-input=false",
        "-no-color",
        "-json",
    ]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(
        told.story(),
        [
            "plan +0 -1",
            "apply_start delete",
            "apply_complete delete",
            "destroy +0 -1"
        ]
    );
    assert_eq!(subject.state()["resources"], serde_json::json!([]));
}
