//! The harness: the real binary on a data directory of its own, with one launcher and one engine.
//!
//! It waits for what happens (a file that a module leaves, the end of a process) and never for time to pass. A part that
//! is missing fails the test and says how to get it. Start at [`Place`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::postgres::Postgres;

/// Longest wait for anything; only a hanging test meets it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The binary under test; `WINDLASS_TEST_PROGRAM` names a copy, which a build in between does not replace.
fn program() -> PathBuf {
    let named = std::env::var_os("WINDLASS_TEST_PROGRAM");
    named.map_or_else(|| env!("CARGO_BIN_EXE_windlass").into(), PathBuf::from)
}

/// What is waited for so long; `WINDLASS_TEST_PATIENCE` says more seconds, for what is made large by hand.
fn patience() -> Duration {
    let asked = std::env::var("WINDLASS_TEST_PATIENCE").ok();
    asked.map_or(PATIENCE, |secs| {
        Duration::from_secs(secs.parse().expect("seconds"))
    })
}

/// How runs are launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launcher {
    Docker,
    Process,
}

impl Launcher {
    /// The reserved runner.
    pub(crate) fn runner(self) -> &'static str {
        match self {
            Self::Docker => "local",
            Self::Process => "process",
        }
    }
}

/// What plans and applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    OpenTofu,
    Terraform,
}

impl Engine {
    /// As in settings and records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenTofu => "opentofu",
            Self::Terraform => "terraform",
        }
    }

    /// The binary that `tests/run` found or built.
    pub(crate) fn binary(self) -> PathBuf {
        let variable = match self {
            Self::OpenTofu => "WINDLASS_TEST_TOFU",
            Self::Terraform => "WINDLASS_TEST_TERRAFORM",
        };
        let path = PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| {
            panic!(
                "{variable} is not set: run the tests with `bash tests/run`, which gets the engines"
            )
        }));
        assert!(
            path.is_file(),
            "{variable} names `{}`, which is no file",
            path.display()
        );
        path
    }
}

/// The provider mirror that `tests/run` made.
pub(crate) fn mirror() -> PathBuf {
    let path = std::env::var_os("WINDLASS_TEST_MIRROR").map(PathBuf::from);
    path.filter(|path| path.is_dir())
        .expect("WINDLASS_TEST_MIRROR names a directory: run the tests with `bash tests/run`")
}

/// Makes one test for each launcher and engine. The body is a function of a fresh [`Place`].
macro_rules! everywhere {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        mod $name {
            use crate::support::{Engine, Launcher, Place};

            #[test]
            #[ignore = "needs docker and opentofu"]
            fn docker_opentofu() {
                super::$name(&Place::new(Launcher::Docker, Engine::OpenTofu));
            }

            #[test]
            #[ignore = "needs docker and terraform"]
            fn docker_terraform() {
                super::$name(&Place::new(Launcher::Docker, Engine::Terraform));
            }

            #[test]
            #[ignore = "needs opentofu"]
            fn process_opentofu() {
                super::$name(&Place::new(Launcher::Process, Engine::OpenTofu));
            }

            #[test]
            #[ignore = "needs terraform"]
            fn process_terraform() {
                super::$name(&Place::new(Launcher::Process, Engine::Terraform));
            }
        }
    )*};
}

/// The same with OpenTofu alone, where the engine does not matter.
macro_rules! by_both_launchers {
    ($($name:ident)*) => {$(
        mod $name {
            use crate::support::{Engine, Launcher, Place};

            #[test]
            #[ignore = "needs docker and opentofu"]
            fn docker() {
                super::$name(&Place::new(Launcher::Docker, Engine::OpenTofu));
            }

            #[test]
            #[ignore = "needs opentofu"]
            fn process() {
                super::$name(&Place::new(Launcher::Process, Engine::OpenTofu));
            }
        }
    )*};
}

/// One test with each engine, without a launcher.
macro_rules! by_both_engines {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            #[ignore = "needs opentofu"]
            fn opentofu() {
                super::$name(crate::support::Engine::OpenTofu);
            }

            #[test]
            #[ignore = "needs terraform"]
            fn terraform() {
                super::$name(crate::support::Engine::Terraform);
            }
        }
    )*};
}

pub(crate) use {by_both_engines, by_both_launchers, everywhere};

/// A data directory, settings and a work directory, and the binary that uses them.
pub(crate) struct Place {
    root: tempfile::TempDir,
    launcher: Option<Launcher>,
    engine: Option<Engine>,
    /// More variables for the binary.
    variables: RefCell<Vec<(String, String)>>,
    /// Its database, where that is no file.
    database: Option<RefCell<Postgres>>,
}

impl Place {
    /// With a launcher and an engine; fails where one is missing.
    pub(crate) fn new(launcher: Launcher, engine: Engine) -> Self {
        let place = Self::make(Some(launcher), Some(engine));
        place.settings(&format!(
            "engines:\n  {}: {}\nmirror: {}\n",
            engine.name(),
            engine.binary().display(),
            mirror().display()
        ));
        if launcher == Launcher::Docker {
            let answer = Command::new("docker").arg("info").output();
            assert!(
                answer.is_ok_and(|answer| answer.status.success()),
                "the Docker daemon does not answer: run the tests with `bash tests/run`, which starts it"
            );
        }
        place
    }

    /// With the process launcher and a few lines of shell as OpenTofu: for what no real engine does. `$1` is the command;
    /// the state directory is `state`.
    pub(crate) fn scripted(script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let place = Self::make(Some(Launcher::Process), None);
        let program = place.root.path().join("bin/tofu");
        fs::write(&program, format!("#!/bin/sh\n{SAY}\n{script}\n")).expect("the script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may run");
        place.settings(&format!("engines:\n  opentofu: {}\n", program.display()));
        place
    }

    /// Without an engine and with no container daemon: for everything that must be answered before a run.
    pub(crate) fn without_engine() -> Self {
        let place = Self::make(None, None);
        place.settings("");
        place
    }

    fn make(launcher: Option<Launcher>, engine: Option<Engine>) -> Self {
        let root = tempfile::Builder::new()
            .prefix("windlass-test-")
            .tempdir()
            .expect("a temporary directory");
        for name in ["home", "work", "bin"] {
            fs::create_dir(root.path().join(name)).expect("a directory");
        }
        Self {
            root,
            launcher,
            engine,
            variables: RefCell::default(),
            database: None,
        }
    }

    /// Records everything in a PostgreSQL server of its own. A copy of its data directory may work a second after it.
    pub(crate) fn on_postgres(mut self) -> Self {
        let database = Postgres::start();
        self.with_variable("WINDLASS_DATABASE_URL", &database.url())
            .with_variable("WINDLASS_LEASE_SECONDS", "1");
        self.database = Some(RefCell::new(database));
        self
    }

    /// Has its PostgreSQL server do something: see `tests/postgres`.
    pub(crate) fn tell_database(&self, word: &str) {
        let database = self.database.as_ref().expect("a server for the database");
        database.borrow_mut().tell(word);
    }

    /// Gives every further command one more variable.
    pub(crate) fn with_variable(&self, name: &str, value: &str) -> &Self {
        self.variables
            .borrow_mut()
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the settings file.
    pub(crate) fn settings(&self, yaml: &str) {
        fs::write(self.root.path().join("config.yaml"), yaml).expect("the settings are written");
    }

    /// The engine of this place.
    pub(crate) fn engine(&self) -> Engine {
        self.engine.expect("a place with an engine")
    }

    /// The launcher of this place.
    pub(crate) fn launcher(&self) -> Launcher {
        self.launcher.expect("a place with a launcher")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The directory in which commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Writes a file below the work directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("below the work directory")).expect("directories");
        fs::write(&path, content).expect("a file");
        path
    }

    /// The binary, with nothing of this process' environment but what every shell has.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program());
        let system = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env(
                "PATH",
                format!("{}:{system}", self.root.path().join("bin").display()),
            )
            .env("HOME", self.root.path().join("home"))
            .env("WINDLASS_DATA_DIR", self.data())
            .env("WINDLASS_CONFIG_FILE", self.root.path().join("config.yaml"))
            // Whatever needs a network says so: everything else is shown to do without.
            .env("WINDLASS_DOCKER_NETWORK", "none")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        if self.launcher.is_none() {
            command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        }
        for (name, value) in &*self.variables.borrow() {
            command.env(name, value);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        let mut command = self.command(arguments);
        let line = format!("{command:?}");
        let output = command.output().expect("the binary starts");
        Done::new(line, output)
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "it must succeed\n{done}");
        done
    }

    /// Runs a command that must fail with exit code 1, the one code for errors.
    pub(crate) fn refused<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(1), "it must end with exit code 1\n{done}");
        assert!(!done.stderr.trim().is_empty(), "a refusal says why\n{done}");
        assert!(
            !done.stderr.contains("panicked"),
            "a refusal is no panic\n{done}"
        );
        done
    }

    /// Runs a command that must succeed and print one JSON document.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let done = self.ok(arguments);
        serde_json::from_str(&done.stdout)
            .unwrap_or_else(|error| panic!("it must print JSON: {error}\n{done}"))
    }

    /// Starts a command; its output goes to files, so that no pipe can fill up.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Client {
        let mut command = self.command(arguments);
        let line = format!("{command:?}");
        let open = |kind: &str| {
            tempfile::Builder::new()
                .prefix(kind)
                .tempfile_in(self.root.path())
                .expect("a file for output")
        };
        let (stdout, stderr) = (open("stdout"), open("stderr"));
        let reopened = |file: &tempfile::NamedTempFile| file.reopen().expect("the same file");
        let child = command
            .stdout(reopened(&stdout))
            .stderr(reopened(&stderr))
            .spawn()
            .expect("the binary starts");
        Client {
            line,
            child: Some(child),
            stdout,
            stderr,
        }
    }

    /// `windlass deploy PROJECT ENV SOURCE` with this place's runner and without questions.
    pub(crate) fn deploy(&self, env: &str, source: &str) -> Vec<String> {
        [
            "deploy",
            "shop",
            env,
            source,
            "--no-prompt",
            "--runner",
            self.launcher().runner(),
        ]
        .map(str::to_owned)
        .into()
    }

    /// All deployments of an environment, newest first.
    pub(crate) fn deployments(&self, env: &str) -> Vec<Value> {
        let listed = self.json(["get", "deployments", "shop", env, "-o", "json"]);
        listed.as_array().expect("a list of deployments").clone()
    }

    /// Id of the newest deployment of an environment.
    pub(crate) fn newest(&self, env: &str) -> String {
        let all = self.deployments(env);
        let newest = all.first().expect("there is a deployment");
        newest["id"].as_str().expect("an id").to_owned()
    }

    /// One deployment, whole.
    pub(crate) fn deployment(&self, id: &str) -> Value {
        self.json(["get", "deployment", id, "-o", "json"])
    }

    /// Waits for the end of a deployment; every look is a new command, which adopts what is going on.
    pub(crate) fn ended(&self, id: &str) -> Value {
        let mut last = Value::Null;
        wait_until(&format!("deployment {id} ends"), || {
            last = self.deployment(id);
            last["status"] != "executing"
        });
        last
    }

    /// Types of the active resources of an environment of `shop`, without the workloads themselves.
    pub(crate) fn resources(&self, env: &str) -> Vec<String> {
        let nodes = self.json(["get", "active-resource-nodes", "shop", env, "-o", "json"]);
        let mut types: Vec<String> = nodes
            .as_array()
            .expect("a list")
            .iter()
            .map(|node| node["resource_type"].as_str().expect("a type").to_owned())
            .filter(|name| name != "workload")
            .collect();
        types.sort_unstable();
        types
    }

    /// The one state directory; there is one per environment.
    pub(crate) fn states(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.data().join("state")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .collect()
    }

    /// Waits until a module at gate `name` stands there.
    pub(crate) fn wait_at_gate(&self, name: &str, client: &mut Client) {
        wait_until(&format!("a module stands at gate {name}"), || {
            let there = self.gate_file(name, "waiting").is_some();
            if !there && let Some(done) = client.over() {
                panic!("the command ended before its module stood at gate {name}\n{done}");
            }
            there
        });
    }

    /// Whether a module at gate `name` stands there.
    pub(crate) fn is_at_gate(&self, name: &str) -> bool {
        self.gate_file(name, "waiting").is_some()
    }

    fn gate_file(&self, name: &str, what: &str) -> Option<PathBuf> {
        let file = format!("{name}.{what}");
        self.states()
            .into_iter()
            .map(|state| state.join(&file))
            .find(|path| path.exists())
    }

    /// Lets the module at gate `name` go on.
    pub(crate) fn open_gate(&self, name: &str) {
        let waiting = self
            .gate_file(name, "waiting")
            .expect("a module stands there");
        fs::write(waiting.with_extension("go"), "").expect("the gate opens");
    }

    /// How often modules with an effect ran, in all environments.
    pub(crate) fn effects(&self) -> usize {
        let count = |state: PathBuf| {
            fs::read_to_string(state.join("effects")).map_or(0, |text| text.lines().count())
        };
        self.states().into_iter().map(count).sum()
    }

    /// Every file below the data directory with the digest of its content, without those that `leave_out` names.
    pub(crate) fn files(&self, leave_out: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let base = self.data();
        for path in walk(&base) {
            let inside = path
                .strip_prefix(&base)
                .expect("below the data directory")
                .to_owned();
            if !leave_out(&inside) {
                let bytes = fs::read(&path).unwrap_or_default();
                let digest = Sha256::digest(&bytes);
                found.insert(
                    inside,
                    digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                );
            }
        }
        found
    }

    /// Looks into the database; the connection may not write.
    pub(crate) fn in_database<T>(
        &self,
        look: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T,
    ) -> T {
        self.connected("ro", look)
    }

    /// Changes the database behind the back of the product, as a breach would.
    pub(crate) fn tamper(&self, query: &'static str) -> u64 {
        self.connected("rw", async |database| {
            let done = sqlx::query(query).execute(database).await;
            done.expect("the query").rows_affected()
        })
    }

    /// The same for changes that take some looking.
    pub(crate) fn breach<T>(
        &self,
        change: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T,
    ) -> T {
        self.connected("rw", change)
    }

    fn connected<T>(
        &self,
        mode: &str,
        look: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> T,
    ) -> T {
        use sqlx::Connection as _;
        let url = format!(
            "sqlite://{}?mode={mode}",
            self.data().join("windlass.db").display()
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut database = sqlx::SqliteConnection::connect(&url)
                .await
                .expect("the database opens");
            look(&mut database).await
        })
    }

    /// The number of rows of every table of the database.
    pub(crate) fn table_counts(&self) -> BTreeMap<String, i64> {
        self.in_database(async |database| {
            use sqlx::Row as _;
            let tables =
                sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
                    .fetch_all(&mut *database)
                    .await
                    .expect("the list of tables");
            let mut counts = BTreeMap::new();
            for table in tables {
                let name: String = table.get(0);
                let query = format!("SELECT count(*) FROM \"{name}\"");
                let row = sqlx::query(sqlx::AssertSqlSafe(query))
                    .fetch_one(&mut *database)
                    .await
                    .expect("a count");
                counts.insert(name, row.get(0));
            }
            counts
        })
    }

    /// How often the record says that this deployment ended.
    pub(crate) fn ends(&self, id: &str) -> i64 {
        if let Some(database) = &self.database {
            let query = format!(
                "SELECT count(*) FROM events WHERE deployment = '{id}' AND (what::json -> 'ended') IS NOT NULL"
            );
            let count = database.borrow().ask(&query);
            return count.parse().expect("a count");
        }
        self.in_database(async |database| {
            use sqlx::Row as _;
            let query = "SELECT count(*) FROM events WHERE deployment = $1 AND json_type(what, '$.ended') IS NOT NULL";
            let row = sqlx::query(query).bind(id).fetch_one(&mut *database).await;
            row.expect("a count").get(0)
        })
    }

    /// Where in the record of everything the end of this deployment stands.
    pub(crate) fn end_position(&self, id: &str) -> i64 {
        self.in_database(async |database| {
            use sqlx::Row as _;
            let query = "SELECT max(position) FROM events WHERE deployment = $1 AND json_type(what, '$.ended') IS NOT NULL";
            let row = sqlx::query(query).bind(id).fetch_one(&mut *database).await;
            row.expect("a position").get(0)
        })
    }

    /// Workers of this data directory that are alive.
    pub(crate) fn workers(&self) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|(_, line)| line.get(1).is_some_and(|word| word == "work"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Processes of the binary whose environment names this data directory, with their command lines.
    pub(crate) fn processes(&self) -> Vec<(i32, Vec<String>)> {
        let marker = format!("WINDLASS_DATA_DIR={}", self.data().display());
        processes()
            .into_iter()
            .filter(|(pid, line)| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let ours = environment
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == marker.as_bytes());
                ours || line
                    .iter()
                    .any(|word| word.contains(&*self.data().to_string_lossy()))
            })
            .collect()
    }

    /// Kills every worker of this data directory with SIGKILL and waits until it is gone.
    pub(crate) fn kill_workers(&self) {
        let workers = self.workers();
        assert!(!workers.is_empty(), "a worker runs while there is work");
        for pid in workers {
            kill(pid);
        }
    }

    /// Every process of the run that goes on, as this host sees it: number and name.
    pub(crate) fn runner_processes(&self) -> Vec<(i32, String)> {
        if self.launcher() == Launcher::Docker {
            let listed = self
                .containers()
                .into_iter()
                .map(|container| docker(&["top", &container, "-eo", "pid,comm"]));
            return listed
                .flat_map(|text| {
                    let rows = text.lines().skip(1).filter_map(|line| {
                        let (pid, name) = line.trim().split_once(' ')?;
                        Some((pid.parse().ok()?, name.trim().to_owned()))
                    });
                    rows.collect::<Vec<_>>()
                })
                .collect();
        }
        let leaders: Vec<i32> = self
            .processes()
            .into_iter()
            .filter(|(_, line)| line.get(1).is_some_and(|word| word == "inside"))
            .map(|(pid, _)| pid)
            .collect();
        let sessions = processes().into_iter().filter_map(|(pid, _)| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
            // State, parent, group, session.
            let session = stat.rsplit_once(") ")?.1.split(' ').nth(3)?.parse().ok()?;
            leaders.contains(&session).then_some((pid, name))
        });
        sessions.collect()
    }

    /// Kills the engine that runs with SIGKILL.
    pub(crate) fn kill_engine(&self) {
        let engines: Vec<i32> = self
            .runner_processes()
            .into_iter()
            .filter(|(_, name)| ["tofu", "terraform"].contains(&name.as_str()))
            .map(|(pid, _)| pid)
            .collect();
        assert!(!engines.is_empty(), "an engine runs");
        engines.into_iter().for_each(kill);
    }

    /// Kills the supervisor with SIGKILL: process 1 of a container, which takes everything in it along.
    pub(crate) fn kill_supervisor(&self) {
        let supervisors: Vec<i32> = self
            .runner_processes()
            .into_iter()
            .filter(|(_, name)| name == "windlass")
            .map(|(pid, _)| pid)
            .collect();
        assert!(!supervisors.is_empty(), "a supervisor runs");
        supervisors.into_iter().for_each(kill);
    }

    /// The label that every container of this data directory carries.
    pub(crate) fn label(&self) -> Option<String> {
        let format = fs::read_to_string(self.data().join("format")).ok()?;
        let format: Value = serde_json::from_str(&format).ok()?;
        Some(format!("windlass={}", format["instance"].as_str()?))
    }

    /// Ids of the containers of this data directory, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let Some(label) = self.label() else {
            return Vec::new();
        };
        docker(&[
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            &format!("label={label}"),
        ])
        .lines()
        .map(str::to_owned)
        .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.data().join("work.log");
            if let Ok(text) = fs::read_to_string(&log) {
                #[expect(clippy::print_stderr, reason = "what failed should be seen")]
                {
                    eprintln!("--- {}\n{text}", log.display());
                }
            }
        }
        for (pid, _) in self.processes() {
            kill(pid);
        }
        if self.launcher == Some(Launcher::Docker) {
            for container in self.containers() {
                docker(&["rm", "--force", "--volumes", &container]);
            }
            if let Some(label) = self.label() {
                let volumes = docker(&[
                    "volume",
                    "ls",
                    "--quiet",
                    "--filter",
                    &format!("label={label}"),
                ]);
                for volume in volumes.lines() {
                    docker(&["volume", "rm", "--force", volume]);
                }
            }
        }
    }
}

/// A command that has ended.
pub(crate) struct Done {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    fn new(line: String, output: Output) -> Self {
        Self {
            line,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails unless standard error contains every one of these.
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.stderr.contains(word), "it must say `{word}`\n{self}");
        }
        self
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "--- {}\n--- exit code {:?}", self.line, self.code)?;
        writeln!(
            f,
            "--- standard output\n{}\n--- standard error\n{}",
            self.stdout, self.stderr
        )
    }
}

/// A command that is going on.
pub(crate) struct Client {
    line: String,
    child: Option<Child>,
    stdout: tempfile::NamedTempFile,
    stderr: tempfile::NamedTempFile,
}

impl Client {
    /// The command, if it has ended.
    pub(crate) fn over(&mut self) -> Option<Done> {
        let status = self.child.as_mut()?.try_wait().expect("a child")?;
        self.child = None;
        Some(self.done(status))
    }

    /// Whether it has said this on standard error so far.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        let said = fs::read(self.stderr.path()).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(words)
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Done {
        let mut done = None;
        wait_until(&format!("{} ends", self.line), || {
            done = self.over();
            done.is_some()
        });
        done.expect("it has ended")
    }

    /// What it has said until now, on both streams.
    pub(crate) fn said(&self) -> String {
        let read = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&fs::read(file.path()).unwrap_or_default()).into_owned()
        };
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    /// SIGTERM; it may still be going on afterwards.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// SIGINT, as from Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// SIGSTOP: it stands still until [`resume`](Self::resume).
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it is going on");
        let pid = i32::try_from(child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().expect("it is going on");
        child.kill().expect("a signal");
        child.wait().expect("a child");
    }

    fn done(&self, status: std::process::ExitStatus) -> Done {
        let read = |file: &tempfile::NamedTempFile| fs::read(file.path()).unwrap_or_default();
        let output = Output {
            status,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        };
        Done::new(self.line.clone(), output)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `condition` holds. This is the one place that looks again and again; what it looks for is an event.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let (started, patience) = (Instant::now(), patience());
    while !condition() {
        assert!(
            started.elapsed() < patience,
            "waited {} s in vain until {what}",
            patience.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills one process and waits until the kernel has let go of it.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    wait_until(&format!("process {pid} is gone"), || {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which stands in parentheses; a zombie runs no more.
        status.is_empty()
            || status
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with(['Z', 'X']))
    });
}

/// Every process of this machine with its command line.
pub(crate) fn processes() -> Vec<(i32, Vec<String>)> {
    let entries = fs::read_dir("/proc").expect("processes");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline"))
            .ok()
            .filter(|line| !line.is_empty())?;
        let words = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned());
        Some((pid, words.collect()))
    })
    .collect()
}

/// Runs a command as root, with `sudo` where that is needed.
pub(crate) fn as_root(words: &[&str]) -> bool {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(words[0])
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", words[0]]);
        command
    };
    let output = command.args(&words[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

/// What a Docker command prints.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("the docker command");
    // Some commands print logs of a container on standard error, which is wanted as well.
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Every file below a directory.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Words of an engine, for scripts: `said TYPE JSON-FIELDS`, `planned N`, `applied N`.
const SAY: &str = r#"
said() { printf '{"@level":"info","@message":"%s","type":"%s"%s}\n' "$1" "$1" "${2:+,$2}"; }
planned() { said change_summary "\"changes\":{\"add\":$1,\"change\":0,\"remove\":0,\"operation\":\"plan\"}"; }
applied() { said change_summary "\"changes\":{\"add\":$1,\"change\":0,\"remove\":0,\"operation\":\"apply\"}"; }
[ "$1" = version ] && { echo '{"terraform_version":"1.12.6","platform":"linux_amd64","provider_selections":{}}'; exit; }
"#;

/// The largest amount of memory that a process ever held, in MiB; 0 when it is gone.
pub(crate) fn peak_mib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

/// Feeds standard input to a command of a place and runs it to its end.
pub(crate) fn with_input(mut command: Command, input: &[u8]) -> Done {
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // A command may refuse before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join();
    Done::new(line, output)
}

/// A catalogue for tests: two environment types with an environment each, and modules that only need the engine.
///
/// `note` keeps a text and gives it back; `gate` waits until the test lets it go on; `effect` counts how often it ran;
/// `broken` fails while applying; `secret` computes a value, prints it and gives it back.
pub(crate) const CATALOGUE: &str = r#"
kind: environment-type
id: development
---
kind: environment-type
id: production
---
kind: project
id: shop
---
kind: environment
project_id: shop
id: dev
env_type_id: development
---
kind: environment
project_id: shop
id: live
env_type_id: production
---
kind: resource-type
id: note
output_schema: {type: object, properties: {text: {type: string}}}
---
kind: module
id: note
resource_type: note
module_source: inline
module_params: {text: {type: string}}
module_source_code: |
  variable "text" {
    type = string
  }
  resource "terraform_data" "this" {
    input = var.text
  }
  output "text" {
    value = terraform_data.this.output
  }
---
kind: module-rule
module_id: note
---
kind: resource-type
id: gate
output_schema: {type: object, properties: {}}
---
kind: module
id: gate
resource_type: gate
module_source: inline
module_params: {name: {type: string}}
module_source_code: |
  variable "name" {
    type = string
  }
  resource "terraform_data" "this" {
    input = var.name
    provisioner "local-exec" {
      command = "touch state/$GATE.waiting; n=0; until [ -e state/$GATE.go ] || [ $n -gt 6000 ]; do n=$((n+1)); sleep 0.02; done; rm -f state/$GATE.*"
      environment = {
        GATE = var.name
      }
    }
  }
---
kind: module-rule
module_id: gate
---
kind: resource-type
id: effect
output_schema: {type: object, properties: {}}
---
kind: module
id: effect
resource_type: effect
module_source: inline
module_params: {round: {type: string}}
module_source_code: |
  variable "round" {
    type = string
  }
  resource "terraform_data" "this" {
    triggers_replace = var.round
    provisioner "local-exec" {
      command = "echo ran >> state/effects"
    }
  }
---
kind: module-rule
module_id: effect
---
kind: resource-type
id: broken
output_schema: {type: object, properties: {}}
---
kind: module
id: broken
resource_type: broken
module_source: inline
module_source_code: |
  resource "terraform_data" "this" {
    provisioner "local-exec" {
      command = "echo words-of-the-engine; exit 3"
    }
  }
---
kind: module-rule
module_id: broken
"#;
