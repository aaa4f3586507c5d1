//! The supervisor alone: one job over standard input, events out of the spool.
//!
//! Most tests play the engine with a few lines of shell, so that it can do what real ones do only when things go wrong.
//! Streams are in clear here (`unsealed`), because these tests are about everything else.

mod engines;
pub(crate) mod prepared;
mod scripted;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Longest wait for anything; only a hanging test meets it.
const PATIENCE: Duration = Duration::from_secs(120);

/// One environment: a state directory, an engine, and any number of runs.
pub(crate) struct Bench {
    root: tempfile::TempDir,
    engine: (String, PathBuf),
    mirror: Option<PathBuf>,
    /// Where the supervisor is process 1 of a container: the image, and how many containers there were.
    image: Option<(String, Cell<u32>)>,
}

/// A run that goes on.
pub(crate) struct Going {
    child: Child,
    spool: PathBuf,
}

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
}

impl Bench {
    /// An environment with this engine.
    pub(crate) fn new(name: &str, program: &Path) -> Self {
        Self {
            root: tempfile::tempdir().expect("a temporary directory"),
            engine: (name.to_owned(), program.to_owned()),
            mirror: None,
            image: None,
        }
    }

    /// An environment whose engine is this shell script. `$1` is the command; the state is `state/terraform.tfstate`.
    pub(crate) fn scripted(script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let mut bench = Self::new("opentofu", Path::new(""));
        let program = bench.path("tofu");
        fs::write(&program, format!("#!/bin/sh\n{SAY}\n{script}\n"))
            .expect("the script is written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may run");
        bench.engine.1 = program;
        bench
    }

    /// With providers from this directory.
    pub(crate) fn with_mirror(mut self, mirror: &Path) -> Self {
        self.mirror = Some(mirror.to_owned());
        self
    }

    /// Each run in a container of this image.
    pub(crate) fn in_containers_of(mut self, image: &str) -> Self {
        self.image = Some((image.to_owned(), Cell::new(0)));
        fs::create_dir_all(self.state()).expect("a directory");
        open_to_all(&self.state());
        self
    }

    /// The container of the newest run, where runs are in containers.
    pub(crate) fn container(&self) -> Option<String> {
        let (_, count) = self.image.as_ref()?;
        let place = self.root.path().file_name()?.to_string_lossy().into_owned();
        let place = place.trim_start_matches('.');
        Some(format!("windlass-test-{place}-{}", count.get()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn command(&self, spool: &str) -> Command {
        let spool = self.path(spool);
        fs::create_dir_all(&spool).expect("a spool");
        if let Some((image, count)) = &self.image {
            count.set(count.get() + 1);
            open_to_all(&spool);
            return self.container_command(image, &spool);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command
            .arg("inside")
            .args(["--session", "--launcher", "process", "--wait", "60"])
            .arg("--spool")
            .arg(spool)
            .arg("--state")
            .arg(self.state())
            .arg("--engine")
            .arg(format!("{}={}", self.engine.0, self.engine.1.display()))
            .env("HOST_SECRET", "not for the engine")
            .env("TF_LOG", "trace")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        if let Some(mirror) = &self.mirror {
            command.arg("--mirror").arg(mirror);
        }
        command
    }

    fn container_command(&self, image: &str, spool: &Path) -> Command {
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        let user = match uid.is_root() {
            true => "65532:65532".to_owned(),
            false => format!("{}:{}", uid.as_raw(), gid.as_raw()),
        };
        let mut command = Command::new("docker");
        command
            .args([
                "run",
                "--rm",
                "--interactive",
                "--network",
                "none",
                "--log-driver",
                "none",
            ])
            .args(["--tmpfs", "/tmp", "--workdir", "/spool", "--user", &user])
            .args(["--name", &self.container().expect("in containers")])
            .arg("--volume")
            .arg(format!("{}:/spool", spool.display()))
            .arg("--volume")
            .arg(format!("{}:/state", self.state().display()))
            .args(["--entrypoint", "/windlass", image])
            .args(["inside", "--wait", "60"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        command
    }

    /// Starts a run in the spool of this name.
    pub(crate) fn start(&self, spool: &str, job: &Value) -> Going {
        self.start_with(spool, job.to_string().as_bytes())
    }

    pub(crate) fn start_with(&self, spool: &str, input: &[u8]) -> Going {
        let mut child = self.command(spool).spawn().expect("the supervisor starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may refuse the job before all of it is written.
        let _ = stdin.write_all(input);
        drop(stdin);
        Going {
            child,
            spool: self.path(spool),
        }
    }

    /// A whole run.
    pub(crate) fn run(&self, spool: &str, job: &Value) -> Ended {
        self.start(spool, job).ended()
    }
}

/// The user of a container is another where we are root.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("set");
}

impl Going {
    /// Waits until the spool has an event that `is` it.
    pub(crate) fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !events(&self.spool).iter().any(&is) {
            assert!(Instant::now() < until, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    pub(crate) fn ended(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status.code();
            }
            assert!(Instant::now() < until, "the supervisor does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended {
            code,
            events: events(&self.spool),
        }
    }
}

/// Sends a signal by its name.
pub(crate) fn send(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .arg(format!("-{signal}"))
        .arg(pid.to_string())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "kill works");
}

fn events(spool: &Path) -> Vec<Value> {
    let text = fs::read(spool.join("events.jsonl")).unwrap_or_default();
    text.split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .map(|line| serde_json::from_slice(line).expect("each line is an event"))
        .collect()
}

impl Ended {
    /// The last event; numbers have no gaps and nothing follows it.
    pub(crate) fn finished(&self) -> &Value {
        for (at, event) in self.events.iter().enumerate() {
            assert_eq!(event["seq"], at as u64 + 1, "numbers have no gaps");
        }
        let ends: Vec<usize> = (0..self.events.len())
            .filter(|at| !self.events[*at]["kind"]["finished"].is_null())
            .collect();
        assert_eq!(ends, [self.events.len() - 1], "one end, the last event");
        &self.events[ends[0]]["kind"]["finished"]
    }

    /// All events of a kind.
    pub(crate) fn kind(&self, kind: &str) -> Vec<&Value> {
        self.events
            .iter()
            .map(|event| &event["kind"][kind])
            .filter(|inner| !inner.is_null())
            .collect()
    }

    /// The text of an unsealed stream.
    pub(crate) fn text(&self, stream: &str) -> String {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let frames: Vec<&Value> = self
            .kind("frame")
            .into_iter()
            .filter(|frame| frame["stream"] == stream)
            .collect();
        for (at, frame) in frames.iter().enumerate() {
            assert_eq!(frame["number"], at as u64 + 1);
            assert_eq!(frame["last"], at + 1 == frames.len());
        }
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| {
                BASE64_STANDARD
                    .decode(frame["bytes"].as_str().expect("text"))
                    .expect("base64")
            })
            .collect();
        String::from_utf8(bytes).expect("a stream is UTF-8")
    }

    pub(crate) fn addresses(&self, field: &str) -> Vec<&str> {
        self.finished()[field]
            .as_array()
            .expect("a list")
            .iter()
            .map(|address| address.as_str().expect("text"))
            .collect()
    }
}

/// A job for these files.
pub(crate) fn job(action: &str, files: &[(&str, &str)]) -> Value {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let mut hash = Sha256::new();
    hash.update(b"windlass bundle 1\n");
    for (path, content) in &files {
        for part in [path, content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let encoded: BTreeMap<&str, String> = files
        .iter()
        .map(|(path, content)| (*path, BASE64_STANDARD.encode(content)))
        .collect();
    // Any key: nothing is sealed to it here.
    let reader =
        json!([{"recipient": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}]);
    json!({
        "version": 1, "run": "01900000-0000-7000-8000-000000000001", "attempt": 1, "deployment": "d",
        "action": action, "files": encoded, "bundle_digest": format!("sha256:{digest}"),
        "labels": {"db_default_main_1": {"resource": "type=db,class=default,id=main", "module_id": "pg", "module_version": "v1"}},
        "engine": null, "local_state": true, "environment": {}, "allow_downloads": false,
        "log_recipients": reader, "output_recipients": reader, "log_level": "info",
        "deadlines": {"init": 60, "plan": 60, "apply": 60, "destroy": 60, "finish": 60, "grace": 60},
        "unsealed": true,
    })
}

/// Words of an engine, for scripts: `said TYPE JSON-FIELDS`, `started ADDRESS`, `done_ ADDRESS ID`, `planned N`, `applied N`,
/// and `state NAME…`, which writes a state that holds these.
const SAY: &str = r#"
said() { printf '{"@level":"info","@message":"%s","type":"%s"%s}\n' "$1" "$1" "${2:+,$2}"; }
started() { said apply_start "\"hook\":{\"resource\":{\"addr\":\"$1\"},\"action\":\"create\"}"; }
done_() { said apply_complete "\"hook\":{\"resource\":{\"addr\":\"$1\"},\"action\":\"create\",\"id_key\":\"id\",\"id_value\":\"$2\"}"; }
planned() { said change_summary "\"changes\":{\"add\":$1,\"change\":0,\"remove\":0,\"operation\":\"plan\"}"; }
applied() { said change_summary "\"changes\":{\"add\":$1,\"change\":0,\"remove\":0,\"operation\":\"apply\"}"; }
state() {
  list=; for name in "$@"; do list="$list${list:+,}{\"mode\":\"managed\",\"type\":\"t\",\"name\":\"$name\",\"instances\":[{\"attributes\":{\"id\":\"id-$name\"}}]}"; done
  printf '{"version":4,"serial":2,"lineage":"l","outputs":{},"resources":[%s]}' "$list" > state/terraform.tfstate
}
"#;
