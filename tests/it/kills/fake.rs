//! An engine that stands still where real ones are too fast: while it makes its directory ready, while it plans, with an object half made, half-way through its
//! state, and while it is asked for outputs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::dockerd::PrivateDocker;
use crate::support::{CATALOGUE, Client, Engine, Launcher, Place, docker, wait_until};

/// Where it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Initializing,
    Planning,
    Applying,
    Writing,
    Saving,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Planning => "planning",
            Self::Applying => "applying",
            Self::Writing => "writing",
            Self::Saving => "saving",
        }
    }

    /// What a run that dies there leaves open: unrecorded, in flight.
    pub(super) fn leaves(self, object: &str) -> (Vec<String>, Vec<String>) {
        let one = || vec![object.to_owned()];
        match self {
            // After the engine has ended the state is the truth.
            Self::Initializing | Self::Planning | Self::Saving => (Vec::new(), Vec::new()),
            Self::Applying => (Vec::new(), one()),
            Self::Writing => (one(), Vec::new()),
        }
    }
}

/// The scripted engine; what it does is said there.
pub(super) const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/fake");
const SCRIPT: &str = include_str!("../../engine/fake");

/// Outputs are asked for, so that there is something to save.
const BASE: &str = "workloads:\n  base:\n    resources:\n      note: {type: note, params: {text: base}}\n    outputs:\n      NOTE: ${resources.note.outputs.text}\n";

/// An environment that was deployed to once, with this engine.
pub(super) struct Fake {
    pub(super) place: Place,
    /// The daemon, where it is the test's own.
    pub(super) daemon: Option<PrivateDocker>,
    image: Option<String>,
    number: std::cell::Cell<u32>,
}

impl Fake {
    /// By the process launcher.
    pub(super) fn process() -> Self {
        Self::process_at(Place::new(Launcher::Process, Engine::OpenTofu))
    }

    /// The same, recorded in PostgreSQL.
    pub(super) fn postgres_process() -> Self {
        Self::process_at(Place::new(Launcher::Process, Engine::OpenTofu).on_postgres())
    }

    fn process_at(place: Place) -> Self {
        let program = place.write("tofu", SCRIPT);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may run");
        place.settings(&format!("engines:\n  opentofu: {}\n", program.display()));
        Self::begin(place, None, None)
    }

    /// In containers of the daemon of this machine.
    pub(super) fn docker() -> Self {
        Self::docker_at(Place::new(Launcher::Docker, Engine::OpenTofu))
    }

    /// The same, recorded in PostgreSQL.
    pub(super) fn postgres_docker() -> Self {
        Self::docker_at(Place::new(Launcher::Docker, Engine::OpenTofu).on_postgres())
    }

    fn docker_at(place: Place) -> Self {
        place.settings("");
        let name = place
            .data()
            .parent()
            .and_then(|root| root.file_name())
            .expect("a name")
            .to_string_lossy()
            .to_lowercase();
        let image = format!("windlass-test/{name}:1");
        import(&place, &[], &image);
        Self::begin(place, None, Some(image))
    }

    /// In containers of a daemon of its own.
    pub(super) fn own_daemon() -> Self {
        let daemon = PrivateDocker::started();
        let place = Place::new(Launcher::Docker, Engine::OpenTofu);
        let host = daemon.host();
        place.settings(&format!("docker_host: {host}\n"));
        import(&place, &["--host", &host], "windlass-test/fake:1");
        Self::begin(place, Some(daemon), Some("windlass-test/fake:1".to_owned()))
    }

    fn begin(place: Place, daemon: Option<PrivateDocker>, image: Option<String>) -> Self {
        let carrier = match &image {
            Some(image) => format!("type: docker, image: \"{image}\", network: none"),
            None => "type: process".to_owned(),
        };
        let runner = format!(
            "---\nkind: runner\nid: fake\nrunner_configuration: {{{carrier}, shortcuts: {{read_outputs: false, skip_init: false}}}}\nstate_storage_configuration: {{type: local}}\n"
        );
        place.write("catalogue/all.yaml", format!("{CATALOGUE}{runner}"));
        place.ok(["apply", "-f", "catalogue"]);
        place.write("base.yaml", BASE);
        let fake = Self {
            place,
            daemon,
            image: image.filter(|image| image != "windlass-test/fake:1"),
            number: std::cell::Cell::new(0),
        };
        fake.place.ok(fake.deploy());
        fake
    }

    /// A deployment with this engine.
    pub(super) fn deploy(&self) -> Vec<String> {
        let mut words = self.place.deploy("dev", "base.yaml");
        let last = words.last_mut().expect("the runner");
        *last = "fake".to_owned();
        words
    }

    fn file(&self, name: &str) -> PathBuf {
        let [state] = &self.place.states()[..] else {
            panic!("one environment was deployed to");
        };
        state.join(name)
    }

    /// Deploys the next object until the engine stands still; returns the client, the deployment and the object's address.
    pub(super) fn stand(&self, stage: Stage) -> (Client, String, String) {
        self.number.set(self.number.get() + 1);
        let number = self.number.get().to_string();
        fs::write(self.file("number"), &number).expect("written");
        fs::write(self.file("stage"), stage.word()).expect("written");
        for name in ["number", "stage"] {
            // The runner's user is another where we are root.
            fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o644)).expect("set");
        }
        let mut client = self.place.start(self.deploy());
        wait_until(&format!("the engine stands while {}", stage.word()), || {
            if let Some(done) = client.over() {
                panic!("the command ended before\n{done}");
            }
            self.is_standing()
        });
        let id = self.place.newest("dev");
        (client, id, format!("t.a{number}"))
    }

    /// Whoever begins after this stands nowhere.
    pub(super) fn stand_no_more(&self) {
        fs::remove_file(self.file("stage")).expect("it was told where to stand");
    }

    /// Lets it go on.
    pub(super) fn go(&self) {
        fs::write(self.file("go"), "").expect("written");
    }

    /// Whether it stands still.
    pub(super) fn is_standing(&self) -> bool {
        self.file("standing").exists()
    }

    /// What is open.
    pub(super) fn open(&self) -> (Vec<String>, Vec<String>) {
        let view = self
            .place
            .json(["state", "list", "shop", "dev", "-o", "json"]);
        let list = |name: &str| {
            let all = view[name].as_array().cloned().unwrap_or_default();
            let texts = all
                .iter()
                .map(|address: &Value| address.as_str().expect("text").to_owned());
            texts.collect()
        };
        (list("unrecorded"), list("in_flight"))
    }

    /// What is open is refused, then dismissed; the next deploy succeeds.
    pub(super) fn goes_on(&self, context: &str) {
        for name in ["stage", "standing", "go"] {
            let _ = fs::remove_file(self.file(name));
        }
        let (unrecorded, in_flight) = self.open();
        let all: Vec<String> = unrecorded.into_iter().chain(in_flight).collect();
        if !all.is_empty() {
            let named: Vec<String> = all.iter().map(|address| format!("`{address}`")).collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            self.place.refused(self.deploy()).says(&named);
            let mut dismiss = vec![
                "state",
                "dismiss",
                "shop",
                "dev",
                "--no-prompt",
                "--runner",
                "fake",
            ];
            dismiss.extend(all.iter().map(String::as_str));
            self.place.ok(dismiss);
        }
        let done = self.place.run(self.deploy());
        assert_eq!(done.code, Some(0), "{context}\n{done}");
        assert_eq!(self.open(), (Vec::new(), Vec::new()), "{context}");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for (pid, _) in self.place.processes() {
            crate::support::kill(pid);
        }
        if let Some(image) = &self.image {
            for container in self.place.containers() {
                docker(&["rm", "--force", "--volumes", &container]);
            }
            docker(&["rmi", "--force", image]);
        }
    }
}

/// An image of a static shell and the script, made without a build.
fn import(place: &Place, to: &[&str], image: &str) {
    let root = place.work().join("image");
    let bin = root.join("bin");
    for folder in ["bin", "tmp"] {
        fs::create_dir_all(root.join(folder)).expect("a directory");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    fs::copy(
        busybox.expect("a static shell: run the tests with `bash tests/run`"),
        bin.join("busybox"),
    )
    .expect("copied");
    for applet in [
        "sh", "cat", "touch", "sleep", "rm", "printf", "test", "[", "sed", "grep",
    ] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("a link");
    }
    fs::write(bin.join("tofu"), SCRIPT).expect("written");
    fs::set_permissions(bin.join("tofu"), fs::Permissions::from_mode(0o755)).expect("it may run");
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .args(["--owner=0", "--group=0", "-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar starts");
    let stream = tar.stdout.take().expect("piped");
    let imported = Command::new("docker")
        .args(to)
        .args(["import", "-", image])
        .stdin(stream)
        .stdout(Stdio::null())
        .status();
    assert!(
        imported.is_ok_and(|status| status.success()),
        "the image is imported"
    );
    assert!(tar.wait().is_ok_and(|status| status.success()), "tar works");
}
