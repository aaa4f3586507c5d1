//! A container daemon of a test's own, which may be stopped, killed and filled: the one of this machine belongs to everybody.
//!
//! It needs root, as every daemon does. It lives in a network namespace of its own, because a daemon takes away the bridge that
//! it is told not to use; so runners of its containers say `network: none`. Its runtime is a process of its own, as where
//! both are services of a system: a restart of the daemon leaves it alone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{as_root, kill, wait_until};

/// A daemon with directories, a socket and a runtime of its own.
pub(crate) struct PrivateDocker {
    /// Short, because sockets lie in it.
    root: tempfile::TempDir,
    /// Whether containers outlive it; counts from the next start.
    pub(crate) live_restore: bool,
}

impl PrivateDocker {
    /// One that is still to be started.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("wd-")
            .tempdir_in("/tmp")
            .expect("a directory");
        fs::create_dir(root.path().join("data")).expect("a directory");
        Self {
            root,
            live_restore: false,
        }
    }

    /// One that answers.
    pub(crate) fn started() -> Self {
        let daemon = Self::new();
        daemon.start();
        daemon
    }

    /// A file or directory of its own; `data` holds images and containers.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
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

    /// Starts it, after the first time on what it left, and waits until it answers.
    pub(crate) fn start(&self) {
        let at = |name: &str| self.path(name).display().to_string();
        let runtime = at("containerd.sock");
        fs::write(
            self.path("containerd.toml"),
            format!(
                "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{runtime}\"\n",
                at("containerd"),
                at("containerd-state"),
            ),
        )
        .expect("the settings of the runtime");
        let in_background = |words: &str| {
            let script = format!(
                "PATH=$PATH:/usr/sbin:/sbin setsid {words} </dev/null >>{} 2>&1 &",
                at("log")
            );
            assert!(as_root(&["sh", "-c", &script]), "`{words}` starts");
        };
        if !self.path("containerd.sock").exists() {
            in_background(&format!("containerd --config {}", at("containerd.toml")));
            wait_until("the runtime of the test listens", || {
                self.path("containerd.sock").exists()
            });
        }
        in_background(&format!(
            "unshare --net dockerd --data-root {} --exec-root {} --pidfile {} --host {} --group {} --containerd {runtime} \
             --bridge none --iptables=false --live-restore={}",
            at("data"),
            at("exec"),
            at("pid"),
            self.host(),
            rustix::process::getegid().as_raw(),
            self.live_restore,
        ));
        wait_until("the daemon of the test answers", || {
            self.docker(&["version"]).is_some()
        });
    }

    /// What a Docker command prints; `None`: it failed.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("docker")
            .args(["--host", &self.host()])
            .args(arguments)
            .output()
            .expect("the docker command");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.path("pid")).ok()?;
        text.trim().parse().ok()
    }

    /// Ends it with this signal (`-KILL`, `-TERM`) and waits until it has.
    pub(crate) fn end(&self, signal: &str) {
        let Some(pid) = self.pid() else { return };
        as_root(&["kill", signal, &pid.to_string()]);
        wait_until("the daemon of the test ends", || {
            fs::read_link(format!("/proc/{pid}/exe")).is_err()
        });
        let _ = fs::remove_file(self.path("pid"));
    }
}

impl Drop for PrivateDocker {
    fn drop(&mut self) {
        if let Some(all) = self.docker(&["ps", "--all", "--quiet"]) {
            for container in all.split_whitespace() {
                self.docker(&["rm", "--force", "--volumes", container]);
            }
        }
        self.end("-TERM");
        // Helpers of a daemon that was killed, and what is mounted below it.
        let exec = self.root.path().display().to_string();
        for (pid, line) in crate::support::processes() {
            if line.iter().any(|word| word.contains(&exec)) {
                kill(pid);
            }
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        for target in mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(1))
        {
            if target.starts_with(&exec) {
                as_root(&["umount", "--lazy", target]);
            }
        }
        as_root(&["rm", "-rf", "--one-file-system", &exec]);
    }
}
