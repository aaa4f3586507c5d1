//! The servers under measurement, each a process of its own: `windlass serve`, and a bare handler beside it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

/// A token as automation brings one along.
pub(crate) const TOKEN: &str = "SU-bootstrap-token-of-the-benchmark-0123456789";
/// The organisation that it administers.
pub(crate) const ORG: &str = "acme";
/// Environments among which deployments are spread.
pub(crate) const ENVIRONMENTS: usize = 50;
/// The first word of the command line of the bare handler.
pub(crate) const CHILD: &str = "bare-handler";

/// A process that prints where it serves; killed when dropped.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(mut command: Command) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{command:?} does not start: {error}"))?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let stderr = child.stderr.take().ok_or("no output")?;
        let (sender, said) = std::sync::mpsc::channel();
        for stream in [
            Box::new(stdout) as Box<dyn std::io::Read + Send>,
            Box::new(stderr),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut heard = String::new();
        let found = said.iter().find_map(|line| {
            heard.push_str(&line);
            heard.push('\n');
            let url = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix("http://"))?;
            url.parse().ok()
        });
        let Some(address) = found else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{command:?} ended: {heard}"));
        };
        // What it says later is read and thrown away, so that no pipe fills up.
        std::thread::spawn(move || said.iter().for_each(drop));
        Ok(Self { child, address })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A handler that does nothing, over the same listener of the same framework.
pub(crate) struct Bare(Serving);

impl Bare {
    pub(crate) fn start() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg(CHILD);
        Serving::start(command).map(Self)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// What the process of [`Bare`] does: takes the body and answers with a few words.
pub(crate) fn child() -> Result<(), String> {
    async fn answer(_body: axum::body::Bytes) -> axum::Json<serde_json::Value> {
        axum::Json(json!({"id": "01900000-0000-7000-8000-000000000000", "status": "executing"}))
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime
        .block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let line = format!("http://{}\n", listener.local_addr()?);
            std::io::stdout().write_all(line.as_bytes())?;
            std::io::stdout().flush()?;
            let router = axum::Router::new().fallback(answer);
            axum::serve(listener, router).await
        })
        .map_err(|error| error.to_string())
}

/// A PostgreSQL server that ends with this.
pub(crate) struct Postgres {
    child: Child,
    _said: BufReader<ChildStdout>,
    home: String,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self, String> {
        let mut child = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres"))
            .args([
                "fsync=on",
                "synchronous_commit=on",
                "full_page_writes=on",
                "autovacuum=on",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no bash: {error}"))?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut home = String::new();
        said.read_line(&mut home)
            .map_err(|error| error.to_string())?;
        match home.trim() {
            "" => Err("PostgreSQL is missing: `bash tests/run` installs it".to_owned()),
            path => Ok(Self {
                child,
                _said: said,
                home: path.to_owned(),
            }),
        }
    }

    fn url(&self) -> String {
        format!("postgres://windlass@localhost/postgres?host={}", self.home)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// `windlass serve` with a project, environments and a module; its one place for runs can be taken for good, so that
/// what is accepted stays in line and no engine disturbs the measurement.
pub(crate) struct Place {
    root: TempDir,
    database: Option<String>,
    serving: Option<Serving>,
}

impl Place {
    pub(crate) fn new(postgres: Option<&Postgres>) -> Result<Self, String> {
        let root = tempfile::Builder::new()
            .prefix("windlass-bench-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let place = Self {
            root,
            database: postgres.map(Postgres::url),
            serving: None,
        };
        place
            .write()
            .map_err(|error| format!("the place could not be made: {error}"))?;
        Ok(place)
    }

    fn write(&self) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let root = self.root.path();
        fs::create_dir(root.join("home"))?;
        // The engine works until it is let go, or this place is gone.
        let engine = root.join("tofu");
        let text = "#!/bin/sh\n\
             [ \"$1\" = version ] && { echo '{\"terraform_version\":\"1.12.6\",\"platform\":\"linux_amd64\",\"provider_selections\":{}}'; exit; }\n\
             [ \"$1\" = apply ] || exit 0\n\
             while [ -e \"$0.held\" ]; do sleep 0.2; done\n";
        fs::write(&engine, text)?;
        fs::write(root.join("tofu.held"), "")?;
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755))?;
        let settings = format!(
            "engines:\n  opentofu: {}\nparallel_runs: 1\n",
            engine.display()
        );
        fs::write(root.join("config.yaml"), settings)?;
        let mut catalogue = String::from(
            "kind: environment-type\nid: development\n---\nkind: project\nid: shop\n---\n\
             kind: resource-type\nid: item\noutput_schema: {type: object, properties: {text: {type: string}}}\n---\n\
             kind: module-rule\nmodule_id: item\n---\n\
             kind: module\nid: item\nresource_type: item\nmodule_source: inline\n\
             module_params: {text: {type: string}, size: {type: number}}\nmodule_source_code: |\n  \
             variable \"text\" {\n    type = string\n  }\n  variable \"size\" {\n    type = number\n  }\n  \
             output \"text\" {\n    value = var.text\n  }\n",
        );
        for number in 0..=ENVIRONMENTS {
            catalogue.push_str(&format!(
                "---\nkind: environment\nproject_id: shop\nid: e{number}\nenv_type_id: development\n"
            ));
        }
        fs::write(root.join("catalogue.yaml"), catalogue)
    }

    /// Lets the engines end at once.
    pub(crate) fn release(&self) -> Result<(), String> {
        fs::remove_file(self.root.path().join("tofu.held")).map_err(|error| error.to_string())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command
            .args(arguments)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .env("WINDLASS_DATA_DIR", self.data())
            .env("WINDLASS_CONFIG_FILE", self.root.path().join("config.yaml"))
            .env("WINDLASS_BOOTSTRAP_ORG", ORG)
            .env("WINDLASS_BOOTSTRAP_TOKEN", TOKEN)
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .env("NO_COLOR", "1");
        if let Some(url) = &self.database {
            command.env("WINDLASS_DATABASE_URL", url);
        }
        command
    }

    /// Serves.
    pub(crate) fn serve(&mut self) -> Result<(), String> {
        let command = self.command(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--rate-limit",
            "0",
            "--process-runner",
            "true",
        ]);
        self.serving = Some(Serving::start(command)?);
        Ok(())
    }

    /// Brings in the catalogue.
    pub(crate) fn apply(&self) -> Result<(), String> {
        let output = self
            .command(&["apply", "-f", "catalogue.yaml"])
            .env("WINDLASS_URL", format!("http://{}", self.address()?))
            .env("WINDLASS_ORG", ORG)
            .env("WINDLASS_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("windlass does not start: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub(crate) fn stop(&mut self) {
        self.serving = None;
    }

    pub(crate) fn address(&self) -> Result<SocketAddr, String> {
        let serving = self.serving.as_ref().ok_or("nothing serves")?;
        Ok(serving.address)
    }

    /// Memory of the server, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64, String> {
        let serving = self.serving.as_ref().ok_or("nothing serves")?;
        let path = format!("/proc/{}/status", serving.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok())
            .map(|kib| kib / 1024.0)
            .ok_or_else(|| format!("{path} does not say how much memory"))
    }

    /// A deployment of this many nodes to environment number N; in line if need be.
    pub(crate) fn deployment(environment: usize, nodes: usize) -> String {
        let resources: serde_json::Map<String, serde_json::Value> = (0..nodes)
            .map(|number| {
                let params = json!({"text": "steady", "size": number});
                (
                    format!("r{number}"),
                    json!({"type": "item", "params": params}),
                )
            })
            .collect();
        json!({
            "project_id": "shop", "env_id": format!("e{environment}"), "mode": "deploy",
            "manifest": {"workloads": {"web": {"resources": resources}}},
            "windlass": {"on_busy": "queue", "runner": "process"},
        })
        .to_string()
    }
}
