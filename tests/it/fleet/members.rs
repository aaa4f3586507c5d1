//! The fleet: its database, its servers and its agents, each a process with a directory of its own.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal};
use serde_json::json;

use super::report::Report;
use super::world::World;
use crate::agents::relay::Relay;
use crate::postgres::Postgres;
use crate::server::http::Caller;
use crate::server::{ORG, TOKEN};
use crate::support::{CATALOGUE, Place, kill, processes, wait_until};

const ENGINE: &str = include_str!("../../engine/fleet");

/// Projects, over which the environments are spread.
pub(super) const PROJECTS: [&str; 3] = ["shop", "depot", "yard"];
/// Who carries the runs of tenants, by their numbers: servers, agents.
pub(super) const RUNNERS: [&str; 2] = ["near", "edge"];

const RUNNERS_AS_CODE: &str = "---\nkind: runner\nid: near\nrunner_configuration: {type: process, shortcuts: {skip_init: false}}\n\
    state_storage_configuration: {type: local}\n\
    ---\nkind: runner\nid: edge\nrunner_configuration: {type: agent, launcher: {type: process, shortcuts: {skip_init: false}}}\n\
    state_storage_configuration: {type: local}\n";

/// A process of the fleet and its directory.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) is_server: bool,
    place: Place,
    line: Vec<String>,
    /// What it says, whoever many times it is started.
    log: PathBuf,
    child: Option<Child>,
    pub(super) is_paused: bool,
}

/// All of it.
pub(super) struct Fleet {
    // Ends before the database and the directories do.
    pub(super) members: Vec<Member>,
    pub(super) database: Postgres,
    pub(super) world: Arc<World>,
    addresses: Vec<SocketAddr>,
    root: tempfile::TempDir,
    keeps: Mutex<bool>,
}

impl Fleet {
    /// Starts everything, and makes an environment for each tenant.
    pub(super) fn start(tenants: u64) -> Self {
        let root = tempfile::Builder::new()
            .prefix("windlass-test-fleet-")
            .tempdir()
            .expect("a directory");
        let world = Arc::new(World::new(root.path().join("world")));
        let engine = root.path().join("bin/tofu");
        fs::create_dir_all(root.path().join("bin")).expect("a directory");
        let script = ENGINE.replace("THE_WORLD", &root.path().join("world").to_string_lossy());
        fs::write(&engine, script).expect("written");
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).expect("it may run");
        let database = Postgres::start();
        let mut addresses = Vec::new();
        let mut members = Vec::new();
        let keyring = root.path().join("keyring");
        for name in ["server A", "server B"] {
            let place = host(&engine);
            let address = address(&addresses);
            place
                .with_variable("WINDLASS_DATABASE_URL", &database.url())
                .with_variable("WINDLASS_KEYRING_FILE", &keyring.to_string_lossy())
                .with_variable("WINDLASS_LEASE_SECONDS", "2")
                .with_variable("WINDLASS_BOOTSTRAP_ORG", ORG)
                .with_variable("WINDLASS_BOOTSTRAP_TOKEN", TOKEN);
            let listen = address.to_string();
            let line = ["serve", "--listen", &listen, "--process-runner", "true"];
            let line = line.into_iter().chain(["--rate-limit", "100000"]);
            let mut server = Member::new(name, place, root.path(), line);
            server.start();
            let caller = Caller::nobody(&format!("http://{address}"));
            wait_until(&format!("{name} serves"), || {
                assert!(server.is_up(), "{name} ended:\n{}", server.said());
                let alive = caller.attempt("GET", "/alive", None);
                alive.is_ok_and(|reply| reply.status == 200)
            });
            addresses.push(address);
            members.push(server);
        }
        let fleet = Self {
            members,
            database,
            world,
            addresses,
            root,
            keeps: Mutex::new(false),
        };
        fleet.fill(tenants);
        fleet.with_agents(&engine)
    }

    fn fill(&self, tenants: u64) {
        let client = Place::without_engine();
        client
            .with_variable("WINDLASS_URL", &format!("http://{}", self.addresses[0]))
            .with_variable("WINDLASS_ORG", ORG)
            .with_variable("WINDLASS_TOKEN", TOKEN);
        let mut catalogue = format!("{CATALOGUE}{RUNNERS_AS_CODE}");
        for project in &PROJECTS[1..] {
            catalogue.push_str(&format!("---\nkind: project\nid: {project}\n"));
        }
        for number in 0..tenants {
            let project = PROJECTS[number as usize % PROJECTS.len()];
            catalogue.push_str(&format!(
                "---\nkind: environment\nproject_id: {project}\nid: e{number}\nenv_type_id: development\n"
            ));
        }
        client.write("catalogue/all.yaml", catalogue);
        client.ok(["apply", "-f", "catalogue"]);
    }

    fn with_agents(mut self, engine: &Path) -> Self {
        let url = Relay::among(self.addresses.clone()).url();
        let line = ["agent", "--server", &url, "--launchers", "process"];
        for name in ["agent A", "agent B"] {
            let token = self.callers()[0]
                .post(
                    &format!("/orgs/{ORG}/agent-tokens"),
                    &json!({"runner_id": RUNNERS[1]}),
                )
                .ok();
            let place = host(engine);
            place.write("token", token["token"].as_str().expect("a token"));
            place.with_variable("WINDLASS_LEASE_SECONDS", "2");
            let line = line.into_iter().chain(["--capacity", "3"]);
            let mut agent = Member::new(name, place, self.root.path(), line);
            agent.line.extend(["--enrol", "@token"].map(str::to_owned));
            agent.start();
            wait_until(&format!("{name} is connected"), || {
                assert!(agent.is_up(), "{name} ended:\n{}", agent.said());
                agent.said().contains("the agent is connected")
            });
            // From now on it goes by its key.
            agent.line.truncate(agent.line.len() - 2);
            self.members.push(agent);
        }
        self
    }

    /// Where everything lies.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Leaves everything where it is, for people.
    pub(super) fn keep(&self) {
        *self.keeps.lock().expect("nobody panics") = true;
    }

    /// Callers of each server.
    pub(super) fn callers(&self) -> Vec<Caller> {
        let urls = self.addresses.iter().map(|at| format!("http://{at}"));
        urls.map(|url| Caller::with(&url, TOKEN)).collect()
    }

    /// The data directories of all members.
    pub(super) fn homes(&self) -> Vec<PathBuf> {
        self.members
            .iter()
            .map(|member| member.place.data())
            .collect()
    }

    /// Nothing is left of any run when all is over.
    pub(super) fn is_tidy(&self, report: &Report) {
        let mut left = Vec::new();
        for member in &self.members {
            let inside = member.supervisors().into_iter().chain(member.engines());
            left.extend(inside.map(|pid| format!("{}: process {pid}", member.name)));
            let spools = fs::read_dir(member.place.data().join("spool"));
            for spool in spools.into_iter().flatten().flatten() {
                left.push(format!("{}: {}", member.name, spool.path().display()));
            }
        }
        let open = self.database.ask(
            "SELECT count(*) FROM attempts WHERE ended_us IS NULL UNION ALL SELECT count(*) FROM places WHERE lease_run IS NOT NULL",
        );
        if open != "0\n0" {
            left.push(format!(
                "attempts that are open, environments that are held: {open}"
            ));
        }
        for what in left {
            report.wrong(format!("left over: {what}"));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if *self.keeps.get_mut().expect("nobody panics") || std::thread::panicking() {
            for member in &self.members {
                let to = self.root.path().join(member.name.replace(' ', "-"));
                let _ = std::process::Command::new("cp")
                    .arg("-a")
                    .arg(member.place.data())
                    .arg(to)
                    .status();
            }
            self.root.disable_cleanup(true);
        }
    }
}

/// A directory whose engine is the script.
fn host(engine: &Path) -> Place {
    let place = Place::scripted("exit 1");
    place.settings(&format!(
        "engines:\n  opentofu: {}\nparallel_runs: 3\n",
        engine.display()
    ));
    place
}

/// One that nobody gets by asking for any, so that it is free again after each kill.
fn address(taken: &[SocketAddr]) -> SocketAddr {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let mut ports: VecDeque<u16> = (first..first + 1000).collect();
    loop {
        let port = ports.pop_front().expect("a free port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !taken.contains(&address) && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Member {
    fn new<'a>(
        name: &'static str,
        place: Place,
        root: &Path,
        line: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            name,
            is_server: name.starts_with("server"),
            place,
            line: line.into_iter().map(str::to_owned).collect(),
            log: root.join(format!("{}.log", name.replace(' ', "-"))),
            child: None,
            is_paused: false,
        }
    }

    /// Starts it, as often as one likes.
    pub(super) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a file");
        let child = self
            .place
            .command(&self.line)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
        self.is_paused = false;
    }

    /// What it has said since the beginning.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The name under which it holds runs.
    pub(super) fn instance(&self) -> String {
        let label = self.place.label().expect("it was started");
        label.trim_start_matches("windlass=").to_owned()
    }

    /// Whether it runs, or stands still.
    pub(super) fn is_up(&mut self) -> bool {
        let Some(child) = &mut self.child else {
            return false;
        };
        let is_over = child.try_wait().expect("a child").is_some();
        if is_over {
            self.child = None;
        }
        !is_over
    }

    /// Sends a signal to it.
    pub(super) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is up");
        send(i32::try_from(child.id()).expect("a process id"), signal);
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().expect("a child");
        }
    }

    /// Supervisors of its runs.
    pub(super) fn supervisors(&self) -> Vec<i32> {
        let ours = self.place.processes().into_iter();
        ours.filter(|(_, line)| line.get(1).is_some_and(|word| word == "inside"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Engines of its runs, and what these have started.
    pub(super) fn engines(&self) -> Vec<i32> {
        let data = self.place.data();
        let is_here = |pid: &i32| {
            let directory = fs::read_link(format!("/proc/{pid}/cwd"));
            directory.is_ok_and(|directory| directory.starts_with(&data))
        };
        let all = processes().into_iter().map(|(pid, _)| pid);
        all.filter(is_here).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        for pid in self.supervisors().into_iter().chain(self.engines()) {
            kill(pid);
        }
    }
}

/// Sends a signal to a process that may be gone.
pub(super) fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
