//! The worker against a desk in memory and carriers made of nothing, killed at every point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Launchers, run_with};
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::event::{Event, Finished, Kind};
use crate::runner::job::{Action, Deadlines, Job, PROTOCOL};
use crate::runner::{
    Adoptable, Assignment, Awaited, Desk, DeskError, Exit, Handle, Launch, LaunchError, Launcher,
    RunEnd, RunKey,
};
use crate::wire::deployments::RunRecord;
use crate::wire::runners::DockerConfiguration;
use crate::wire::state::Open;

fn assignment(key: &RunKey) -> Assignment {
    Assignment {
        key: key.clone(),
        env_uuid: format!("env-{}", key.run),
        job: Job {
            version: PROTOCOL,
            run: key.run.clone(),
            attempt: key.attempt,
            deployment: "deployment".to_owned(),
            action: Action::Deploy,
            files: BTreeMap::new(),
            bundle_digest: String::new(),
            labels: BTreeMap::new(),
            engine: None,
            local_state: true,
            encryption: None,
            move_to: None,
            state: None,
            left_open: Default::default(),
            environment: BTreeMap::new(),
            allow_downloads: false,
            log_recipients: Vec::new(),
            output_recipients: Vec::new(),
            addresses: Vec::new(),
            ids: BTreeMap::new(),
            log_level: "info".to_owned(),
            deadlines: Deadlines::default(),
            shortcuts: crate::wire::runners::Shortcuts::default(),
            packages: Vec::new(),
            network_mirror: None,
            engine_digest: String::new(),
            heartbeat_ms: crate::runner::job::heartbeat_ms(),
            unsealed: false,
        },
        launch: Launch::Docker(DockerConfiguration::default()),
    }
}

fn event(key: &RunKey, seq: u64, kind: Kind) -> Event {
    Event {
        v: PROTOCOL,
        run: key.run.clone(),
        attempt: key.attempt,
        seq,
        at_us: 0,
        kind,
    }
}

/// What a supervisor says that does three things and ends well.
fn script(key: &RunKey) -> Vec<Event> {
    let finished = Finished {
        outcome: Outcome::Applied,
        failure_class: None,
        message: String::new(),
        total: None,
        added: 0,
        changed: 0,
        removed: 0,
        metadata: BTreeMap::new(),
        lock_file: None,
        state_empty: false,
        unrecorded: Vec::new(),
        in_flight: Vec::new(),
        record: RunRecord::default(),
    };
    let step = crate::model::phase::Step::Applying;
    vec![
        event(
            key,
            1,
            Kind::Accepted {
                bundle_digest: String::new(),
            },
        ),
        event(key, 2, Kind::Step(step)),
        event(key, 3, Kind::Finished(Box::new(finished))),
    ]
}

/// Where the worker is killed. The call's effect is had; its answer never comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Claim,
    Ensure,
    Launched,
    Give,
    Event(u64),
    Complete,
    Remove,
}

/// Everything that outlives a worker: the database, the daemon, and the points at which workers die.
#[derive(Default)]
struct World {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    queued: Vec<String>,
    running: BTreeMap<RunKey, Running>,
    attempts: BTreeMap<String, u32>,
    ended: BTreeMap<String, RunEnd>,
    cancel: BTreeSet<RunKey>,
    stored: BTreeMap<RunKey, Vec<u64>>,
    carriers: BTreeMap<RunKey, Carrier>,
    /// How often a job began, per run.
    begun: BTreeMap<String, u32>,
    kill: Option<At>,
    desk_failures: u32,
    unable: Option<(FailureClass, bool)>,
    /// What something was to stand by for, and how many waited then.
    stood_by: Vec<(Vec<String>, usize)>,
    most_at_once: usize,
    /// Whether what runs cannot be read, though it is known to run.
    unreadable: bool,
}

#[derive(Default, Clone)]
struct Running {
    handle: Option<Handle>,
    last_seq: u64,
}

/// A container: it says its events one by one, as it is observed.
#[derive(Default)]
struct Carrier {
    job: bool,
    spool: Vec<Event>,
    /// It ends here instead of at the end of the script.
    dies_after: Option<u64>,
    stopped: bool,
    gone: bool,
}

impl World {
    fn new(runs: &[&str]) -> Arc<Self> {
        let world = Self::default();
        world.with(|state| state.queued = runs.iter().map(|run| (*run).to_owned()).collect());
        Arc::new(world)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no test panics inside"))
    }

    /// Dies here, if this is the point: nothing the worker awaits ever answers.
    async fn point(&self, at: At) {
        let now = self.with(|state| state.kill == Some(at));
        if now {
            self.changed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn failing(&self) -> Result<(), DeskError> {
        self.with(|state| {
            if state.desk_failures > 0 {
                state.desk_failures -= 1;
                return Err(DeskError("busy".into()));
            }
            Ok(())
        })
    }

    /// Runs a worker until it ends by itself.
    async fn work(self: &Arc<Self>, parallel: usize) {
        let desk = Arc::new(FakeDesk(Arc::clone(self)));
        let launcher = Arc::new(FakeLauncher(Arc::clone(self)));
        let idle = Arc::new(Nothing);
        let launchers = Launchers {
            docker: launcher,
            process: Arc::clone(&idle),
            kubernetes: idle,
        };
        run_with(desk, launchers, parallel, CancellationToken::new())
            .await
            .expect("the desk answers");
    }

    /// Runs a worker until it dies at `at`; `false`: it ended by itself before.
    async fn work_until(self: &Arc<Self>, at: At) -> bool {
        self.with(|state| state.kill = Some(at));
        let died = {
            let work = self.work(1);
            tokio::pin!(work);
            tokio::select! {
                () = &mut work => false,
                () = self.changed.notified() => true,
            }
        };
        self.with(|state| state.kill = None);
        died
    }
}

struct FakeDesk(Arc<World>);

impl Desk for FakeDesk {
    async fn claim(&self) -> Result<Option<Assignment>, DeskError> {
        self.0.failing()?;
        let claimed = self.0.with(|state| {
            let run = state.queued.pop()?;
            let attempt = state.attempts.entry(run.clone()).or_default();
            *attempt += 1;
            let key = RunKey {
                run,
                attempt: *attempt,
            };
            state.running.insert(key.clone(), Running::default());
            state.most_at_once = state.most_at_once.max(state.running.len());
            Some(assignment(&key))
        });
        if claimed.is_some() {
            self.0.point(At::Claim).await;
        }
        Ok(claimed)
    }

    async fn ahead(&self) -> Result<Vec<Awaited>, DeskError> {
        Ok(self.0.with(|state| {
            let next = state.queued.last();
            next.map(|run| assignment(&key(run, 1)).again())
                .into_iter()
                .collect()
        }))
    }

    async fn running(&self) -> Result<Vec<Adoptable>, DeskError> {
        self.0.failing()?;
        Ok(self.0.with(|state| {
            let is_read = !state.unreadable;
            state
                .running
                .iter()
                .filter(|_| is_read)
                .map(|(key, running)| Adoptable {
                    assignment: assignment(key),
                    handle: running.handle.clone(),
                    last_seq: running.last_seq,
                    cancel: state.cancel.contains(key),
                })
                .collect()
        }))
    }

    async fn held(&self) -> Result<Vec<RunKey>, DeskError> {
        self.0.failing()?;
        Ok(self.0.with(|state| state.running.keys().cloned().collect()))
    }

    async fn launched(&self, key: &RunKey, handle: &Handle) -> Result<bool, DeskError> {
        self.0.failing()?;
        let known = self.0.with(|state| {
            let running = state.running.get_mut(key)?;
            running.handle = Some(handle.clone());
            Some(())
        });
        self.0.point(At::Launched).await;
        Ok(known.is_some())
    }

    async fn preparing(&self, _key: &RunKey, _what: &str) -> Result<(), DeskError> {
        Ok(())
    }

    async fn events(&self, key: &RunKey, events: Vec<Event>) -> Result<(), DeskError> {
        self.0.failing()?;
        for event in events {
            self.0.with(|state| {
                let stored = state.stored.entry(key.clone()).or_default();
                if !stored.contains(&event.seq) {
                    stored.push(event.seq);
                }
                if let Some(running) = state.running.get_mut(key) {
                    running.last_seq = running.last_seq.max(event.seq);
                }
            });
            self.0.point(At::Event(event.seq)).await;
        }
        Ok(())
    }

    async fn left_open(&self, _key: &RunKey, _open: Open) -> Result<(), DeskError> {
        Ok(())
    }

    async fn complete(&self, key: &RunKey, end: RunEnd) -> Result<(), DeskError> {
        self.0.failing()?;
        self.0.with(|state| {
            if state.running.remove(key).is_none() {
                return;
            }
            match end {
                RunEnd::NeverBegan { .. } => state.queued.push(key.run.clone()),
                end => {
                    let before = state.ended.insert(key.run.clone(), end);
                    assert!(before.is_none(), "{key} ended twice");
                }
            }
        });
        self.0.point(At::Complete).await;
        Ok(())
    }

    async fn cancelled(&self, keys: &[RunKey]) -> Result<Vec<RunKey>, DeskError> {
        Ok(self.0.with(|state| {
            keys.iter()
                .filter(|key| state.cancel.contains(key))
                .cloned()
                .collect()
        }))
    }

    async fn changed(&self, _max: Duration) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

struct FakeLauncher(Arc<World>);

impl Launcher for FakeLauncher {
    async fn ensure(
        &self,
        assignment: &Assignment,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        say("starting");
        let key = &assignment.key;
        self.0.with(|state| {
            if let Some((class, transient)) = state.unable {
                return Err(LaunchError {
                    class,
                    message: "not now".to_owned(),
                    transient,
                });
            }
            let other = state
                .carriers
                .iter()
                .find(|(other, carrier)| other.run == key.run && carrier.job && !carrier.gone);
            assert!(
                other.is_none(),
                "a second carrier beside {:?}",
                other.map(|(key, _)| key)
            );
            state.carriers.entry(key.clone()).or_default();
            Ok(())
        })?;
        self.0.point(At::Ensure).await;
        Ok(Handle::Container {
            id: key.to_string(),
        })
    }

    async fn give(&self, assignment: &Assignment, _handle: &Handle) -> Result<(), LaunchError> {
        let key = &assignment.key;
        self.0.with(|state| {
            let carrier = state.carriers.get_mut(key).expect("made before");
            assert!(!carrier.job, "the job was given twice");
            carrier.job = true;
            carrier.spool = script(key);
            *state.begun.entry(key.run.clone()).or_default() += 1;
        });
        self.0.point(At::Give).await;
        Ok(())
    }

    async fn observe(
        &self,
        key: &RunKey,
        _handle: &Handle,
        after: u64,
        events: mpsc::Sender<Vec<Event>>,
    ) -> Result<Exit, LaunchError> {
        let (spool, died, gone) = self.0.with(|state| match state.carriers.get(key) {
            Some(carrier) => (carrier.spool.clone(), carrier.dies_after, carrier.gone),
            None => (Vec::new(), None, true),
        });
        if gone {
            return Ok(Exit {
                code: None,
                out_of_memory: false,
                vanished: true,
                reason: None,
            });
        }
        for event in spool {
            if died.is_some_and(|last| event.seq > last) {
                break;
            }
            if event.seq > after && events.send(vec![event]).await.is_err() {
                break;
            }
        }
        Ok(Exit {
            code: Some(if died.is_some() { 137 } else { 0 }),
            out_of_memory: false,
            vanished: false,
            reason: None,
        })
    }

    async fn stop(&self, key: &RunKey, _handle: &Handle) -> Result<(), LaunchError> {
        self.0.with(|state| {
            if let Some(carrier) = state.carriers.get_mut(key) {
                carrier.stopped = true;
            }
        });
        Ok(())
    }

    async fn remove(&self, key: &RunKey, _handle: Option<&Handle>) -> Result<(), LaunchError> {
        self.0.with(|state| {
            let ended = !state.running.contains_key(key);
            let began = state.carriers.get(key).is_some_and(|carrier| carrier.job);
            assert!(
                ended || !began,
                "{key} was removed before its end was recorded"
            );
            state.carriers.remove(key);
        });
        self.0.point(At::Remove).await;
        Ok(())
    }

    async fn stand_by(&self, awaited: &[Awaited]) {
        let envs = awaited.iter().map(|one| one.env_uuid.clone()).collect();
        self.0
            .with(|state| state.stood_by.push((envs, state.queued.len())));
    }

    async fn sweep(
        &self,
        owned: &(dyn Fn(&RunKey) -> bool + Send + Sync),
    ) -> Result<(), LaunchError> {
        self.0
            .with(|state| state.carriers.retain(|key, _| owned(key)));
        Ok(())
    }
}

/// The launcher that nobody asks for.
struct Nothing;

impl Launcher for Nothing {
    async fn ensure(
        &self,
        _assignment: &Assignment,
        _say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        panic!("nobody asks for a process")
    }
    async fn give(&self, _assignment: &Assignment, _handle: &Handle) -> Result<(), LaunchError> {
        Ok(())
    }
    async fn observe(
        &self,
        _key: &RunKey,
        _handle: &Handle,
        _after: u64,
        _events: mpsc::Sender<Vec<Event>>,
    ) -> Result<Exit, LaunchError> {
        panic!("nobody asks for a process")
    }
    async fn stop(&self, _key: &RunKey, _handle: &Handle) -> Result<(), LaunchError> {
        Ok(())
    }
    async fn remove(&self, _key: &RunKey, _handle: Option<&Handle>) -> Result<(), LaunchError> {
        Ok(())
    }
}

fn key(run: &str, attempt: u32) -> RunKey {
    RunKey {
        run: run.to_owned(),
        attempt,
    }
}

#[tokio::test]
async fn a_run_is_carried_to_its_end_and_leaves_nothing_but_a_successor() {
    let world = World::new(&["r"]);
    world.work(1).await;
    world.with(|state| {
        assert_eq!(state.ended["r"], RunEnd::Finished);
        assert_eq!(state.stored[&key("r", 1)], [1, 2, 3]);
        assert!(state.carriers.is_empty(), "a carrier stayed");
        assert_eq!(state.stood_by, [(vec!["env-r".to_owned()], 0)]);
    });
}

#[tokio::test]
async fn wherever_the_worker_is_killed_the_next_one_ends_every_run_once() {
    let points = [
        At::Claim,
        At::Ensure,
        At::Launched,
        At::Give,
        At::Event(1),
        At::Event(2),
        At::Event(3),
        At::Complete,
        At::Remove,
    ];
    for at in points {
        let world = World::new(&["r"]);
        assert!(world.work_until(at).await, "{at:?} was never reached");
        world.work(1).await;
        world.with(|state| {
            assert_eq!(state.ended["r"], RunEnd::Finished, "{at:?}");
            assert_eq!(state.begun["r"], 1, "{at:?}: the job began more than once");
            assert!(state.carriers.is_empty(), "{at:?}: a carrier stayed");
            let attempt = state.attempts["r"];
            assert_eq!(state.stored[&key("r", attempt)], [1, 2, 3], "{at:?}");
        });
    }
}

#[tokio::test]
async fn killed_again_and_again_it_still_ends_once() {
    let world = World::new(&["r"]);
    for at in [At::Ensure, At::Launched, At::Claim, At::Give, At::Event(2)] {
        world.work_until(at).await;
    }
    world.work(1).await;
    world.with(|state| {
        assert_eq!(state.ended["r"], RunEnd::Finished);
        assert_eq!(state.begun["r"], 1);
    });
}

#[tokio::test]
async fn as_many_runs_as_allowed_go_on_at_once() {
    let world = World::new(&["a", "b", "c", "d", "e"]);
    world.work(2).await;
    world.with(|state| {
        assert_eq!(state.ended.len(), 5);
        assert_eq!(state.most_at_once, 2);
    });
}

#[tokio::test]
async fn while_somebody_waits_something_stands_by_only_for_who_is_next() {
    let world = World::new(&["d", "c", "b", "a"]);
    world.work(1).await;
    world.with(|state| {
        let (waited, rested): (Vec<_>, Vec<_>) =
            state.stood_by.iter().partition(|(_, queued)| *queued > 0);
        assert!(!waited.is_empty(), "nobody looked ahead");
        for (envs, queued) in waited {
            let next = ["env-d", "env-c", "env-b"][queued - 1];
            assert_eq!(*envs, [next], "the first of {queued}");
        }
        let last = rested.iter().flat_map(|(envs, _)| envs).next_back();
        assert_eq!(last.map(String::as_str), Some("env-d"));
    });
}

#[tokio::test]
async fn a_carrier_that_cannot_be_removed_keeps_nobody_waiting() {
    let world = World::new(&["b", "a"]);
    world.with(|state| state.kill = Some(At::Remove));
    let work = world.work(1);
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => panic!("it did not wait for what it could not remove"),
            () = world.changed.notified() => {}
        }
        if world.with(|state| state.ended.len() == 2) {
            break;
        }
    }
}

#[tokio::test]
async fn a_desk_that_fails_for_a_while_loses_nothing() {
    for failures in [1, 2, 4] {
        let world = World::new(&["r"]);
        world.with(|state| state.desk_failures = failures);
        world.work(1).await;
        world.with(|state| {
            assert_eq!(state.ended["r"], RunEnd::Finished);
            assert_eq!(state.stored[&key("r", 1)], [1, 2, 3]);
        });
    }
}

#[tokio::test]
async fn what_cannot_be_launched_fails_with_its_class() {
    for transient in [false, true] {
        let world = World::new(&["r"]);
        world.with(|state| state.unable = Some((FailureClass::RunnerUnreachable, transient)));
        world.work(1).await;
        world.with(|state| {
            let RunEnd::Died { failure_class, .. } = &state.ended["r"] else {
                panic!("{:?}", state.ended)
            };
            assert_eq!(*failure_class, FailureClass::RunnerUnreachable);
            assert!(state.stood_by.is_empty());
        });
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_read_now_is_not_swept_and_is_adopted_later() {
    let world = World::new(&["r"]);
    assert!(world.work_until(At::Event(1)).await);
    world.with(|state| state.unreadable = true);
    world.work(1).await;
    world.with(|state| {
        assert!(state.carriers.contains_key(&key("r", 1)));
        state.unreadable = false;
    });
    world.work(1).await;
    world.with(|state| {
        assert_eq!(state.ended["r"], RunEnd::Finished);
        assert_eq!(state.begun["r"], 1);
    });
}

#[tokio::test]
async fn a_container_that_vanished_is_lost() {
    let world = World::new(&["r"]);
    assert!(world.work_until(At::Event(1)).await);
    world.with(|state| state.carriers.get_mut(&key("r", 1)).expect("there").gone = true);
    world.work(1).await;
    world.with(|state| {
        let RunEnd::Died { outcome, .. } = &state.ended["r"] else {
            panic!("{:?}", state.ended)
        };
        assert_eq!(*outcome, Outcome::Lost);
    });
}

#[tokio::test]
async fn a_killed_container_leaves_what_it_had_said() {
    let world = World::new(&["r"]);
    assert!(world.work_until(At::Event(1)).await);
    world.with(|state| {
        let carrier = state.carriers.get_mut(&key("r", 1)).expect("there");
        carrier.dies_after = Some(2);
    });
    world.work(1).await;
    world.with(|state| {
        assert_eq!(state.stored[&key("r", 1)], [1, 2]);
        let RunEnd::Died { failure_class, .. } = &state.ended["r"] else {
            panic!("{:?}", state.ended)
        };
        assert_eq!(*failure_class, FailureClass::Killed);
    });
}

#[tokio::test]
async fn a_run_cancelled_before_it_has_its_job_never_gets_one() {
    let world = World::new(&["r"]);
    assert!(world.work_until(At::Ensure).await);
    world.with(|state| state.cancel.insert(key("r", 1)));
    world.work(1).await;
    world.with(|state| {
        let RunEnd::Died { outcome, .. } = &state.ended["r"] else {
            panic!("{:?}", state.ended)
        };
        assert_eq!(*outcome, Outcome::Cancelled);
        assert!(state.begun.is_empty());
    });
}
