//! The same deploy through the binary of this build: a data directory and settings of its own, nothing of this
//! process' environment, and everything that it leaves behind removed outside the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::case::{Case, check_state};
use crate::docker::Docker;
use crate::hand::Took;
use crate::machine::Counters;
use crate::parts::Parts;
use crate::report;

/// Longest wait for a process or container that should come or go.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a run is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launch {
    Process,
    /// A fresh container for each run.
    Cold,
    /// After a deploy a container waits for the next one.
    Standby,
}

impl Launch {
    fn runner(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Cold => "cold",
            Self::Standby => "local",
        }
    }

    fn needs_docker(self) -> bool {
        self != Self::Process
    }
}

/// Whether outputs are read as well, which the three commands do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    Skipped,
    Read,
}

/// A deploy, and what its record says.
pub(crate) struct Deployed {
    pub(crate) took: Took,
    /// When the client was started.
    pub(crate) asked: SystemTime,
    /// The deployment, whole.
    pub(crate) record: Value,
}

impl Deployed {
    /// A number of the run's record.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.record["windlass"]["run"][name].as_f64().unwrap_or(0.0)
    }

    pub(crate) fn word(&self, name: &str) -> &str {
        self.record["windlass"]["run"][name]
            .as_str()
            .unwrap_or_default()
    }
}

/// One data directory with its catalogue applied.
pub(crate) struct Ours<'a> {
    parts: &'a Parts,
    case: Case,
    launch: Launch,
    root: TempDir,
}

impl<'a> Ours<'a> {
    /// Everything that exists before somebody types the first deploy.
    pub(crate) fn new(
        parts: &'a Parts,
        case: Case,
        launch: Launch,
        mirror: &Path,
    ) -> Result<Self, String> {
        let root = tempfile::Builder::new()
            .prefix("windlass-bench-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let settings = format!(
            "engines:\n  {}: {}\nmirror: {}\nallow_downloads: false\n",
            parts.engine.name,
            parts.engine.path.display(),
            mirror.display()
        );
        let prepare = || {
            fs::create_dir(root.path().join("home"))?;
            fs::write(root.path().join("config.yaml"), settings)?;
            fs::write(root.path().join("catalogue.yaml"), case.catalogue())
        };
        prepare().map_err(|error| format!("the place could not be made: {error}"))?;
        let place = Self {
            parts,
            case,
            launch,
            root,
        };
        place.run(&["apply", "-f", "catalogue.yaml"])?;
        Ok(place)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn docker(&self) -> Option<&Docker> {
        self.parts
            .docker
            .as_ref()
            .ok()
            .filter(|_| self.launch.needs_docker())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.parts.windlass);
        command
            .args(arguments)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .env("WINDLASS_DATA_DIR", self.data())
            .env("WINDLASS_CONFIG_FILE", self.root.path().join("config.yaml"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        if let Some(host) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// A command that must succeed; what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self
            .command(arguments)
            .output()
            .map_err(|error| format!("windlass does not start: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!(
            "`windlass {}` failed ({}): {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let text = self.run(arguments)?;
        serde_json::from_str(&text)
            .map_err(|error| format!("`windlass {}`: {error}", arguments.join(" ")))
    }

    /// Writes the manifest; returns its name.
    pub(crate) fn manifest(&self, text: &str) -> Result<&'static str, String> {
        let path = self.root.path().join("manifest.yaml");
        fs::write(path, self.case.manifest(text)).map_err(|error| error.to_string())?;
        Ok("manifest.yaml")
    }

    /// Writes a file beside the manifest.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), String> {
        fs::write(self.root.path().join(name), text).map_err(|error| error.to_string())
    }

    /// Adds settings.
    pub(crate) fn settings(&self, more: &str) -> Result<(), String> {
        let path = self.root.path().join("config.yaml");
        let before = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        fs::write(path, before + more).map_err(|error| error.to_string())
    }

    /// The arguments of a deploy that is not waited for.
    pub(crate) fn queued<'b>(&self, environment: &'b str, file: &'b str) -> [&'b str; 9] {
        [
            "deploy",
            "shop",
            environment,
            file,
            "--no-prompt",
            "--no-wait",
            "--skip-outputs",
            "--runner",
            self.launch.runner(),
        ]
    }

    /// The arguments of a deploy.
    pub(crate) fn arguments(&self, file: &'static str, outputs: Outputs) -> Vec<&'static str> {
        let mut arguments = vec!["deploy", "shop", "dev", file, "--no-prompt", "--runner"];
        arguments.push(self.launch.runner());
        if outputs == Outputs::Skipped {
            arguments.push("--skip-outputs");
        }
        arguments
    }

    /// Deploys, and looks afterwards whether that is what happened.
    pub(crate) fn deploy(&self, text: &str, outputs: Outputs) -> Result<Deployed, String> {
        let file = self.manifest(text)?;
        let arguments = self.arguments(file, outputs);
        let complaints = self.root.path().join("stderr");
        let stderr = fs::File::create(&complaints).map_err(|error| error.to_string())?;
        let mut command = self.command(&arguments);
        command.stdout(Stdio::null()).stderr(stderr);
        let counters = Counters::now();
        let asked = SystemTime::now();
        let started = Instant::now();
        let status = command
            .status()
            .map_err(|error| format!("windlass does not start: {error}"))?;
        let wall_ms = started.elapsed().as_secs_f64() * 1e3;
        let spent = counters.since();
        if !status.success() {
            let words = fs::read_to_string(&complaints).unwrap_or_default();
            return Err(format!("the deploy failed ({status}): {}", words.trim()));
        }
        let state = fs::read_dir(self.data().join("state"))
            .ok()
            .and_then(|mut entries| entries.next()?.ok())
            .ok_or("the deploy left no state")?;
        check_state(&state.path().join("terraform.tfstate"), self.case, text)?;
        Ok(Deployed {
            took: Took {
                wall_ms,
                init_ms: 0.0,
                spent,
            },
            asked,
            record: self.newest()?,
        })
    }

    /// The newest deployment.
    pub(crate) fn newest(&self) -> Result<Value, String> {
        let listed = self.json(&["get", "deployments", "shop", "dev", "-o", "json"])?;
        let id = listed[0]["id"].as_str().unwrap_or_default().to_owned();
        self.json(&["get", "deployment", &id, "-o", "json"])
    }

    /// Waits until what a deploy leaves to do is done: a container stands by, or the worker has ended.
    pub(crate) fn settle(&self, text: &str) -> Result<(), String> {
        if self.launch != Launch::Standby {
            return wait(|| self.workers().is_empty())
                .ok_or_else(|| "the worker did not end after its last run".to_owned());
        }
        for attempt in 1.. {
            let patience = Instant::now() + Duration::from_secs(5);
            while Instant::now() < patience {
                if self.standing_by().is_some() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if attempt > 6 {
                break;
            }
            report::say("  no container stands by, perhaps others have both places; once more");
            self.deploy(text, Outputs::Skipped)?;
        }
        Err("no container stands by after a deploy. At most two of a host do; see who has them: docker ps --filter label=windlass.kind=standby".to_owned())
    }

    /// The container that stands by, if nothing else of this place runs.
    pub(crate) fn standing_by(&self) -> Option<String> {
        let containers = self.docker()?.containers(&self.label()?).ok()?;
        match &containers[..] {
            [one] if one.stands_by && one.is_running => Some(one.id.clone()),
            _ => None,
        }
    }

    /// The label of everything that this place has in the daemon.
    fn label(&self) -> Option<String> {
        let format = fs::read_to_string(self.data().join("format")).ok()?;
        let format: Value = serde_json::from_str(&format).ok()?;
        Some(format!("windlass={}", format["instance"].as_str()?))
    }

    /// Workers of this place.
    pub(crate) fn workers(&self) -> Vec<i32> {
        let data = self.data().to_string_lossy().into_owned();
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == data.as_bytes())
        })
        .collect()
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        for pid in self.workers() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        if wait(|| self.workers().is_empty()).is_none() {
            report::say("warning: a worker did not end when it was told to");
        }
        if let (Some(docker), Some(label)) = (self.docker(), self.label()) {
            docker.remove_all(&label);
        }
    }
}

/// Looks again and again; `None`: it did not come true.
fn wait(mut condition: impl FnMut() -> bool) -> Option<()> {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(())
}
