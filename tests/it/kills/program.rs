//! Kills at random instants and inside the state write, again and again: whatever was finished is in the state or named, nothing
//! that exists is planned again, and once the rest is settled the next deploy succeeds.
//!
//! Killed are the engine, its supervisor, both, and the same in a container, where the supervisor is process 1, and the
//! container itself; during an apply of 30 objects, on nothing and on what an earlier deploy made.
//!
//! A short program by default: each victim once. `WINDLASS_KILLS=50` sets how many kills each engine gets at least,
//! `WINDLASS_KILL_MINUTES=10` how long it goes on at least, and `WINDLASS_SEED` repeats a program; all are printed with what
//! happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::inside::{Bench, Ended, job};
use crate::lot::{Lot, number, seed};
use crate::support::{Engine, Launcher, Place, docker, wait_until};

mod random_kills_lose_nothing {
    #[test]
    #[ignore = "needs opentofu"]
    fn opentofu() {
        super::program(crate::support::Engine::OpenTofu);
    }

    #[test]
    #[ignore = "needs terraform"]
    fn terraform() {
        super::program(crate::support::Engine::Terraform);
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Engine,
    /// The engine that it leaves is interrupted, as the launcher does.
    Supervisor,
    SupervisorAndEngine,
    EngineInContainer,
    ProcessOne,
    Container,
}

impl Victim {
    const ALL: [Self; 6] = [
        Self::Engine,
        Self::EngineInContainer,
        Self::Supervisor,
        Self::ProcessOne,
        Self::SupervisorAndEngine,
        Self::Container,
    ];

    fn is_in_container(self) -> bool {
        matches!(
            self,
            Self::EngineInContainer | Self::ProcessOne | Self::Container
        )
    }

    /// Kills it; `supervisor` is its process as this host sees it.
    fn strike(self, supervisor: u32, container: Option<&str>) {
        let below = tree(supervisor);
        let engines = || below.iter().copied().filter(|pid| is_engine(*pid));
        match self {
            Self::Engine | Self::EngineInContainer => engines().for_each(kill),
            Self::Supervisor => {
                let engines: Vec<u32> = engines().collect();
                kill(supervisor);
                for pid in engines {
                    signal(pid, Signal::INT);
                }
                wait_until("what the supervisor left has ended", || {
                    below.iter().all(|pid| is_gone(*pid))
                });
            }
            Self::SupervisorAndEngine => {
                kill(supervisor);
                below.iter().copied().for_each(kill);
            }
            Self::ProcessOne => kill(supervisor),
            Self::Container => {
                docker(&["rm", "--force", container.expect("in a container")]);
            }
        }
    }
}

/// What a program came to.
#[derive(Debug, Default)]
struct Report {
    kills: u64,
    /// Victim, and whether the deploy was a later one.
    of: BTreeMap<(Victim, bool), u64>,
    inside_the_write: u64,
    too_late: u64,
    empty_states: u64,
    torn_states: u64,
    finished: usize,
    unrecorded: usize,
    in_flight: usize,
    imports: u64,
    dismissals: u64,
}

#[expect(
    clippy::print_stderr,
    reason = "the seed repeats a program, and the report is what it is run for"
)]
fn program(engine: Engine) {
    let minutes = number("WINDLASS_KILL_MINUTES").unwrap_or(0);
    let kills = number("WINDLASS_KILLS").unwrap_or(if minutes > 0 { 50 } else { 6 });
    let seed = seed();
    eprintln!(
        "{} WINDLASS_KILLS={kills} WINDLASS_KILL_MINUTES={minutes} WINDLASS_SEED={seed}",
        engine.name()
    );
    let mut lot = Lot::new(seed);
    let mut report = Report::default();
    let began = Instant::now();
    let image = image(engine);
    // How long an apply takes here, so that instants fall into it.
    let lengths =
        [None, Some(&*image)].map(|image| Scene::new(engine, false, image).apply_length());
    while report.kills < kills || began.elapsed() < Duration::from_secs(60 * minutes) {
        let round = report.kills as usize;
        let victim = Victim::ALL[round % 6];
        let is_later = (round / 6 + round) % 2 == seed as usize % 2;
        let image = victim.is_in_container().then_some(&*image);
        let scene = Scene::new(engine, is_later, image);
        let length = lengths[usize::from(victim.is_in_container())];
        let context = format!("kill {round} of seed {seed}, {}, {victim:?}", engine.name());
        scene.one_kill(victim, &mut lot, length, &mut report, &context);
    }
    eprintln!("{} after {:?}: {report:#?}", engine.name(), began.elapsed());
    if report.kills >= 50 {
        assert_eq!(report.of.len(), 12, "each victim, first and later");
        assert!(report.inside_the_write > 0 && report.finished > 0);
    }
}

/// The runner's image with this engine.
fn image(engine: Engine) -> String {
    let place = Place::new(Launcher::Docker, engine);
    let built = place.ok(["runner-image", "build"]);
    let name = built
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("windlass-runner:"));
    name.unwrap_or_else(|| panic!("it names the image\n{built}"))
        .to_owned()
}

/// An environment, and the deployment in which the kill falls.
struct Scene {
    bench: Bench,
    engine: Engine,
    /// What the deployment that is killed asks for.
    wanted: Vec<String>,
    generation: u32,
    /// What was there before.
    earlier: BTreeSet<String>,
}

fn keys(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("k{n:02}")).collect()
}

fn address(key: &str) -> String {
    format!("terraform_data.this[\"{key}\"]")
}

impl Scene {
    /// A first deploy makes 30 objects; a later one changes 10, removes 5 and makes 20.
    fn new(engine: Engine, is_later: bool, image: Option<&str>) -> Self {
        let bench = Bench::new(engine.name(), &engine.binary());
        let mut scene = Self {
            bench: match image {
                Some(image) => bench.in_containers_of(image),
                None => bench,
            },
            engine,
            wanted: keys(0..if is_later { 15 } else { 30 }),
            generation: 1,
            earlier: BTreeSet::new(),
        };
        if is_later {
            let made = scene.run("before", "deploy");
            assert_eq!(made.finished()["outcome"], "applied", "{}", made.finished());
            scene.earlier = scene.wanted.iter().cloned().collect();
            scene.wanted = keys(5..35);
            scene.generation = 2;
        }
        scene
    }

    fn job(&self, action: &str) -> Value {
        let main = format!(
            r#"
terraform {{
  backend "local" {{
    path = "state/terraform.tfstate"
  }}
}}
resource "terraform_data" "this" {{
  for_each = toset({:?})
  input    = {}
  provisioner "local-exec" {{
    command = "sleep 0.03; echo ${{each.key}} >> state/made"
  }}
}}
"#,
            self.wanted, self.generation
        );
        let mut job = job(action, &[("main.tf", &main)]);
        job["engine"] = self.engine.name().into();
        job["output_recipients"] = json!([]);
        job
    }

    fn run(&self, spool: &str, action: &str) -> Ended {
        self.bench.run(spool, &self.job(action))
    }

    fn settle(&self, spool: &str, action: &str, addresses: &[String]) {
        let mut job = self.job(action);
        job["addresses"] = json!(addresses);
        let ended = self.bench.run(spool, &job);
        let finished = ended.finished();
        assert_eq!(
            finished["outcome"],
            "unchanged",
            "{action} {finished:#}\n{}",
            ended.text("logs")
        );
    }

    /// From the first change to the end.
    fn apply_length(&self) -> Duration {
        let ended = self.run("length", "deploy");
        let at = |event: &Value| event["at_us"].as_i64().expect("a time");
        let first = ended
            .events
            .iter()
            .find(|event| event["kind"]["step"] == "applying");
        let last = ended.events.last().map(at).expect("an end");
        let micros = last - first.map(at).expect("it applied");
        Duration::from_micros(u64::try_from(micros).expect("time goes on"))
    }

    /// How often each object was made, by what their modules did outside.
    fn made(&self) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.bench.state().join("made")).unwrap_or_default();
        let mut made = BTreeMap::new();
        for line in text.lines() {
            *made.entry(line.to_owned()).or_default() += 1;
        }
        made
    }

    /// Keys that the state holds, and whether each is only half made.
    fn recorded(&self) -> BTreeMap<String, bool> {
        let bytes = fs::read(self.bench.state().join("terraform.tfstate")).expect("a state");
        let state: Value = serde_json::from_slice(&bytes).expect("the state is whole");
        let resources = state["resources"].as_array().cloned().unwrap_or_default();
        let instances = resources.iter().flat_map(|resource| {
            resource["instances"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        });
        instances
            .map(|instance| {
                let key = instance["index_key"].as_str().expect("a key").to_owned();
                (key, instance["status"] == "tainted")
            })
            .collect()
    }

    /// Kills once and sees to it that nothing is lost.
    fn one_kill(
        &self,
        victim: Victim,
        lot: &mut Lot,
        length: Duration,
        report: &mut Report,
        context: &str,
    ) {
        let made_before = self.made();
        let in_write = lot.draw().is_multiple_of(3);
        let instant =
            Duration::from_micros(lot.draw() % (length.as_micros() as u64 * 9 / 10).max(1));
        let imports = lot.flip();

        let mut going = self.bench.start("killed", &self.job("deploy"));
        going.wait_for("it applies", |event| event["kind"]["step"] == "applying");
        let container = self.bench.container();
        let supervisor = match &container {
            // On a machine that is slow it may be over, and removed, before it is found.
            Some(name) => docker(&["inspect", "--format", "{{.State.Pid}}", name])
                .trim()
                .parse()
                .ok()
                .filter(|pid| *pid > 0),
            None => Some(going.id()),
        };
        let state = self.bench.state().join("terraform.tfstate");
        if in_write {
            wait_for_write(&state, length * 3);
        } else {
            std::thread::sleep(instant);
        }
        if let Some(supervisor) = supervisor {
            victim.strike(supervisor, container.as_deref());
        }
        let killed = going.ended();
        report.kills += 1;
        let of = report.of.entry((victim, self.generation > 1));
        *of.or_default() += 1;
        report.inside_the_write += u64::from(in_write);
        report.too_late += u64::from(killed.code == Some(0));
        let bytes = fs::read(&state).unwrap_or_default();
        let is_torn = serde_json::from_slice::<Value>(&bytes).is_err();
        report.empty_states += u64::from(bytes.is_empty());
        report.torn_states += u64::from(is_torn && !bytes.is_empty());

        // What is open is told by the next deploy, which does nothing while anything is.
        let next = self.run("next", "deploy");
        let owned = |field: &str| -> Vec<String> {
            next.addresses(field)
                .iter()
                .map(|address| (*address).to_owned())
                .collect()
        };
        let (unrecorded, in_flight) = (owned("unrecorded"), owned("in_flight"));
        let mut dismissed: BTreeSet<String> = BTreeSet::new();
        let last = if next.finished()["failure_class"] == "unsettled" {
            let recorded = self.recorded();
            for key in self
                .made()
                .keys()
                .filter(|key| !made_before.contains_key(*key))
            {
                let address = address(key);
                assert!(
                    recorded.contains_key(key)
                        || unrecorded.contains(&address)
                        || in_flight.contains(&address),
                    "{context}: {address} was finished, and is neither in the state nor named"
                );
                report.finished += 1;
            }
            report.unrecorded += unrecorded.len();
            report.in_flight += in_flight.len();
            let mut forget = in_flight.clone();
            if imports && !unrecorded.is_empty() {
                self.settle("import", "import", &[]);
                report.imports += 1;
            } else {
                forget.extend(unrecorded.clone());
            }
            if !forget.is_empty() {
                self.settle("dismiss", "dismiss", &forget);
                report.dismissals += 1;
            }
            dismissed.extend(forget);
            self.run("last", "deploy")
        } else {
            assert!(unrecorded.is_empty() && in_flight.is_empty(), "{context}");
            next
        };
        let finished = last.finished();
        assert!(
            ["applied", "unchanged"].contains(&finished["outcome"].as_str().expect("text")),
            "{context}: {finished:#}\n{}",
            last.text("logs")
        );
        // Made twice is only what a killed engine left half made in the state, or what somebody dismissed; what was dismissed
        // although the state has it may never have done its work.
        let again: BTreeSet<String> = last
            .kind("resource")
            .into_iter()
            .filter(|event| event["state"] == "planned")
            .filter(|event| event["action"] != "update")
            .map(|event| event["address"].as_str().expect("text").to_owned())
            .collect();
        for key in &self.wanted {
            let address = address(key);
            assert!(
                !(self.earlier.contains(key) && again.contains(&address)),
                "{context}: {address} was made by an earlier deploy and is planned again"
            );
            let times = self.made().get(key).copied().unwrap_or(0);
            let may_be_twice = dismissed.contains(&address) || again.contains(&address);
            assert!(
                times == 1
                    || (times == 2 && may_be_twice)
                    || (times == 0 && dismissed.contains(&address)),
                "{context}: {address} was made {times} times"
            );
        }
        let recorded = self.recorded();
        let held: Vec<&String> = recorded.keys().collect();
        assert_eq!(held, self.wanted.iter().collect::<Vec<_>>(), "{context}");
        assert!(recorded.values().all(|half| !half), "{context}");
    }
}

/// Waits until the engine writes its state, `patience` at most.
fn wait_for_write(state: &Path, patience: Duration) {
    let look = || {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(state)
            .ok()
            .map(|now| (now.len(), now.mtime(), now.mtime_nsec()))
    };
    let before = look();
    let until = Instant::now() + patience;
    while look() == before && Instant::now() < until {
        std::hint::spin_loop();
    }
}

/// Every process below this one.
fn tree(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let children = tasks.flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    });
    children
        .flat_map(|child| std::iter::once(child).chain(tree(child)))
        .collect()
}

fn is_engine(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    ["tofu", "terraform"].contains(&name.trim())
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process has ended; where nobody reaps orphans, its number stays.
fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
    state.starts_with(['Z', 'X'])
}
