//! A few questions to the container daemon, over its socket: what stands by, what bare starts cost, and removing what
//! a measurement left. Not through the `docker` command, which takes as long as what is measured.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A daemon that answered.
pub(crate) struct Docker {
    socket: PathBuf,
    pub(crate) version: String,
}

/// A container as a list tells it.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) is_running: bool,
    /// Waits for a run, and has not been used.
    pub(crate) stands_by: bool,
}

impl Docker {
    pub(crate) fn connect() -> Result<Self, String> {
        let host = std::env::var("DOCKER_HOST").ok();
        let socket = match host.as_deref() {
            None | Some("") => "/var/run/docker.sock",
            Some(host) => host
                .strip_prefix("unix://")
                .ok_or_else(|| format!("DOCKER_HOST is `{host}`: only a local socket can be compared with commands on this machine"))?,
        };
        let mut docker = Self {
            socket: socket.into(),
            version: String::new(),
        };
        let version = docker.ask("GET", "/version", None).map_err(|error| {
            format!(
                "the Docker daemon does not answer at `{socket}` ({error}): start it (`bash tests/run --parts` does, or `systemctl start docker`), or name its socket in DOCKER_HOST"
            )
        })?;
        version["Version"]
            .as_str()
            .unwrap_or("unknown")
            .clone_into(&mut docker.version);
        Ok(docker)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let said = |error: std::io::Error| error.to_string();
        let mut stream = UnixStream::connect(&self.socket).map_err(said)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .map_err(said)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        // HTTP/1.0: the answer ends where the connection does.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(said)?;
        stream.write_all(body.as_bytes()).map_err(said)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(said)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or("an answer without an end of its head")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') && status != "304" {
            return Err(format!("{method} {path}: {status} {}", body.trim()));
        }
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Containers with this label.
    pub(crate) fn containers(&self, label: &str) -> Result<Vec<Listed>, String> {
        let path = format!("/containers/json?all=1&filters={}", filter(label));
        let listed = self.ask("GET", &path, None)?;
        let listed = listed.as_array().cloned().unwrap_or_default();
        let listed = listed.iter().map(|one| Listed {
            id: one["Id"].as_str().unwrap_or_default().to_owned(),
            is_running: one["State"] == "running",
            stands_by: one["Names"][0]
                .as_str()
                .is_some_and(|name| name.starts_with("/windlass-standby-")),
        });
        Ok(listed.collect())
    }

    /// Removes all containers and volumes with this label; what is gone already does not matter.
    pub(crate) fn remove_all(&self, label: &str) {
        for one in self.containers(label).unwrap_or_default() {
            let _ = self.ask(
                "DELETE",
                &format!("/containers/{}?force=1&v=1", one.id),
                None,
            );
        }
        let path = format!("/volumes?filters={}", filter(label));
        let volumes = self.ask("GET", &path, None).unwrap_or_default();
        for volume in volumes["Volumes"].as_array().into_iter().flatten() {
            let name = volume["Name"].as_str().unwrap_or_default();
            let _ = self.ask("DELETE", &format!("/volumes/{name}?force=1"), None);
        }
    }

    /// What a container like this one costs from nothing until it is started, in milliseconds.
    pub(crate) fn bare_start(&self, like: &str, round: usize) -> Result<f64, String> {
        let seen = self.ask("GET", &format!("/containers/{like}/json"), None)?;
        let mut wanted = seen["Config"].clone();
        wanted["HostConfig"] = seen["HostConfig"].clone();
        let volume = format!("windlass-bench-{}-{round}", std::process::id());
        for mount in wanted["HostConfig"]["Mounts"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if mount["Type"] == "volume" {
                mount["Source"] = json!(volume);
            }
        }
        wanted["Labels"] = json!({});
        let started = Instant::now();
        let made = self.ask("POST", "/containers/create", Some(&wanted))?;
        let id = made["Id"].as_str().unwrap_or_default();
        let outcome = self.ask("POST", &format!("/containers/{id}/start"), None);
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let _ = self.ask("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        let _ = self.ask("DELETE", &format!("/volumes/{volume}?force=1"), None);
        outcome.map(|_| ms)
    }

    /// Memory of a container in MiB, and the processor time it used so far in milliseconds.
    pub(crate) fn usage(&self, id: &str) -> Result<(f64, f64), String> {
        let stats = self.ask("GET", &format!("/containers/{id}/stats?stream=0"), None)?;
        let memory = stats["memory_stats"]["usage"].as_f64().unwrap_or(0.0);
        let cache = stats["memory_stats"]["stats"]["cache"]
            .as_f64()
            .or_else(|| stats["memory_stats"]["stats"]["file"].as_f64())
            .unwrap_or(0.0);
        let cpu = stats["cpu_stats"]["cpu_usage"]["total_usage"]
            .as_f64()
            .unwrap_or(0.0);
        Ok(((memory - cache).max(0.0) / 1024.0 / 1024.0, cpu / 1e6))
    }
}

/// `{"label":[…]}`, escaped for a query.
fn filter(label: &str) -> String {
    let text = json!({ "label": [label] }).to_string();
    text.bytes().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
