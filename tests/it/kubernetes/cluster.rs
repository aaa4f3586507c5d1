//! One real node for all tests of this program, and a namespace of its own for each.
//!
//! `tests/cluster` starts it when the first test asks, and ends it when this process ends, however it does: it waits for the
//! end of its input. A machine that cannot carry a node fails the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::{CATALOGUE, Engine, Place, mirror, wait_until};

/// What ships: the accounts and their rights.
pub(super) const SHIPPED: &str = include_str!("../../../examples/kubernetes/launcher.yaml");

/// The node.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    programs: PathBuf,
    /// The runner image, as the node has it.
    pub(crate) image: String,
    /// The node lives as long as this is open.
    _input: Option<ChildStdin>,
}

/// The node, started once.
pub(crate) fn cluster() -> &'static Arc<Cluster> {
    static CLUSTER: OnceLock<Arc<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| Arc::new(Cluster::start()))
}

impl Cluster {
    #[expect(
        clippy::zombie_processes,
        reason = "it ends after this process, which is how it knows"
    )]
    fn start() -> Self {
        let programs = std::env::var_os("WINDLASS_TEST_KUBERNETES").map(PathBuf::from);
        let programs = programs.filter(|path| path.is_dir()).expect(
            "WINDLASS_TEST_KUBERNETES names a directory: run the tests with `bash tests/run`, which builds Kubernetes",
        );
        let mut script = Command::new("bash")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash starts");
        let input = script.stdin.take();
        let mut line = String::new();
        BufReader::new(script.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("it says something");
        let dir = line.trim().strip_prefix("ready ").map(PathBuf::from);
        let dir = dir.expect("a node comes up; what it said stands above");
        let image = build(&dir);
        Self {
            dir,
            programs,
            image,
            _input: input,
        }
    }

    /// Another node, which ends with its last user.
    pub(crate) fn of_its_own() -> Arc<Self> {
        Arc::new(Self::start())
    }

    /// Ends the node as a power cut does: its kubelet and every container, at once.
    pub(crate) fn stop_node(&self) {
        for name in ["kubelet", "containerd"] {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
            let words = ["stop".as_ref(), self.dir.as_os_str(), name.as_ref()];
            let status = Command::new("bash").arg(script).args(words).status();
            assert!(status.expect("bash starts").success());
        }
        let shims = format!(
            "containerd-shim.* -address {}",
            self.dir.join("c.sock").display()
        );
        let found = Command::new("pgrep")
            .args(["-f", &shims])
            .output()
            .expect("pgrep");
        for shim in String::from_utf8_lossy(&found.stdout).split_whitespace() {
            let _ = Command::new("pkill").args(["-KILL", "-P", shim]).status();
            let _ = Command::new("kill").args(["-KILL", shim]).status();
        }
    }

    /// `kubectl`, as an administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new(self.programs.join("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.dir.join("admin.kubeconfig"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `kubectl`, which must succeed, and returns what it prints.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.kubectl().args(arguments).output().expect("kubectl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Creates what a manifest says.
    pub(crate) fn apply(&self, yaml: &str) {
        let mut child = self
            .kubectl()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("kubectl");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(yaml.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "{yaml}");
    }

    /// The address of the API server.
    pub(crate) fn server(&self) -> String {
        std::fs::read_to_string(self.dir.join("server")).expect("an address")
    }
}

/// Builds the runner image and gives it to the node, as a registry would.
fn build(dir: &std::path::Path) -> String {
    let place = Place::without_engine();
    let engine = Engine::OpenTofu;
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\n",
        engine.name(),
        engine.binary().display(),
        mirror().display()
    ));
    let mut command = place.command(["runner-image", "build"]);
    command.env_remove("DOCKER_HOST");
    let output = command.output().expect("the binary starts");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "the image is built: {said}");
    let image = said
        .split(|c: char| c.is_whitespace() || c == '`')
        .find(|word| word.starts_with("windlass-runner:"))
        .expect("it names the image")
        .to_owned();
    let mut saved = Command::new("docker")
        .args(["save", &image])
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker");
    let imported = Command::new("ctr")
        .arg("--address")
        .arg(dir.join("c.sock"))
        .args(["-n", "k8s.io", "images", "import", "-"])
        .stdin(saved.stdout.take().expect("a pipe"))
        .stdout(Stdio::null())
        .status()
        .expect("ctr");
    assert!(imported.success() && saved.wait().expect("docker").success());
    image
}

/// A data directory with a runner `k8s` in a namespace of its own, made as the example says.
pub(crate) struct Ground {
    pub(crate) place: Place,
    pub(crate) namespace: String,
    node: Arc<Cluster>,
}

impl Ground {
    /// With what ships.
    pub(crate) fn new() -> Self {
        Self::with(SHIPPED, json!({}))
    }

    /// With these rights, and more keys of the runner.
    pub(crate) fn with(shipped: &str, more: Value) -> Self {
        Self::on(cluster(), shipped, more)
    }

    /// The same on this node.
    pub(crate) fn on(cluster: &Arc<Cluster>, shipped: &str, more: Value) -> Self {
        Self::of(cluster, Place::without_engine(), shipped, more)
    }

    /// The same with this data directory.
    pub(crate) fn of(cluster: &Arc<Cluster>, place: Place, shipped: &str, more: Value) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster.apply(
            &shipped
                .replace(
                    "namespace: windlass\n",
                    &format!("namespace: {namespace}\n"),
                )
                .replace("namespace: windlass}", &format!("namespace: {namespace}}}"))
                .replace("  name: windlass\n", &format!("  name: {namespace}\n")),
        );
        let ground = Self {
            place,
            namespace,
            node: Arc::clone(cluster),
        };
        ground
            .place
            .settings(&format!("runner_image: {}\n", cluster.image));
        ground.runner("k8s", more);
        ground.place.write("catalogue/all.yaml", CATALOGUE);
        ground.place.ok(["apply", "-f", "catalogue"]);
        ground
    }

    /// Makes a runner of this namespace; `more` is laid over its configuration.
    pub(crate) fn runner(&self, id: &str, more: Value) {
        let body = self.body(more);
        self.place
            .ok(["create", "runner", id, "--set-json", &body.to_string()]);
    }

    /// A runner, as it is sent.
    pub(crate) fn body(&self, more: Value) -> Value {
        let cluster = &self.node;
        let account = [
            "create",
            "token",
            "windlass-launcher",
            "-n",
            &self.namespace,
        ];
        let authority = std::fs::read(cluster.dir.join("ca.crt")).expect("a certificate");
        let authority = base64::prelude::BASE64_STANDARD.encode(authority);
        let mut configuration = json!({
            "type": "kubernetes",
            "job": {"namespace": self.namespace, "service_account": "windlass-job"},
            "cluster": {
                "cluster_data": {"certificate_authority_data": authority, "server": cluster.server()},
                "auth": {"service_account_token": cluster.ask(&account).trim()},
            },
            "deadlines": {"grace": 20, "finish": 20},
        });
        merge(&mut configuration, more);
        json!({
            "runner_configuration": configuration,
            "state_storage_configuration": {"type": "kubernetes", "namespace": self.namespace},
        })
    }

    /// `windlass deploy` with that runner.
    pub(crate) fn deploy(&self, env: &str, source: &str) -> Vec<String> {
        let words = [
            "deploy",
            "shop",
            env,
            source,
            "--no-prompt",
            "--runner",
            "k8s",
        ];
        words.map(str::to_owned).into()
    }

    /// Objects of the namespace.
    pub(crate) fn get(&self, kind: &str) -> Vec<Value> {
        let text = self
            .node
            .ask(&["get", kind, "-n", &self.namespace, "-o", "json"]);
        let mut list: Value = serde_json::from_str(&text).expect("JSON");
        match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// Waits until no Job and no pod is left.
    pub(crate) fn is_clean(&self) {
        wait_until("the Job and its pod are gone", || {
            self.get("jobs").is_empty() && self.get("pods").is_empty()
        });
    }
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
