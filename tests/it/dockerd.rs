//! A container daemon of a test's own, which may be killed: the one of this machine belongs to everybody.
//!
//! It needs root, as every daemon does. It lives in a network namespace of its own, because a daemon takes away the bridge that
//! it is told not to use; so runners of its containers say `network: none`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{kill, wait_until};

/// A daemon with directories, a socket and a containerd of its own.
pub(crate) struct PrivateDocker {
    root: tempfile::TempDir,
    daemon: Option<Child>,
}

impl PrivateDocker {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        let root = tempfile::Builder::new()
            .prefix("windlass-dockerd-")
            .tempdir()
            .expect("a temporary directory");
        let mut docker = Self { root, daemon: None };
        docker.restart();
        docker
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// The same for the setting `docker_host`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What a Docker command prints, asked of this daemon.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker")
            .args(["--host", &self.host()])
            .args(arguments)
            .output()
            .expect("the docker command");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts it, after the first time on what it left.
    pub(crate) fn restart(&mut self) {
        assert!(self.daemon.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--", "dockerd"])
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--host", &self.host(), "--bridge", "none"])
            .args([
                "--iptables=false",
                "--ip6tables=false",
                "--ip-forward=false",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .process_group(0);
        self.daemon = Some(command.spawn().expect("dockerd starts"));
        wait_until("the daemon answers", || {
            let over = self.daemon.as_mut().expect("started").try_wait();
            assert!(
                over.expect("a child").is_none(),
                "the daemon ended: {}",
                fs::read_to_string(self.path("log")).unwrap_or_default()
            );
            !self
                .docker(&["version", "--format", "{{.Server.Version}}"])
                .trim()
                .is_empty()
        });
    }

    /// SIGKILL to the daemon and its containerd. What runs in containers goes on until it is started again.
    pub(crate) fn kill9(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        daemon.kill().expect("a signal");
        daemon.wait().expect("a child");
        let pid = self.path("exec/containerd/containerd.pid");
        if let Some(containerd) = fs::read_to_string(&pid)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            kill(containerd);
        }
        // Where nobody reaps orphans, a dead process looks alive to who only has its number.
        let _ = fs::remove_file(pid);
    }
}

impl Drop for PrivateDocker {
    fn drop(&mut self) {
        if self.daemon.is_none() && !std::thread::panicking() {
            self.restart();
        }
        let containers = self.docker(&["ps", "--all", "--quiet"]);
        for container in containers.lines() {
            self.docker(&["rm", "--force", "--volumes", container]);
        }
        if let Some(mut daemon) = self.daemon.take() {
            if let Some(pid) = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = daemon.wait();
        }
        // It mounts this over itself, and only one that ends well takes it away.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path("data"))
            .stderr(Stdio::null())
            .status();
    }
}
