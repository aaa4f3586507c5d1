//! Kills, stops and takes away, and starts again after a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use super::members::{Fleet, send};
use super::report::Report;
use crate::lot::Lot;
use crate::postgres;
use crate::support::wait_until;

/// What is done to the fleet.
#[derive(Debug, Clone, Copy)]
enum Strike {
    /// SIGKILL to a server or an agent.
    Kill,
    /// SIGTERM to one.
    Terminate,
    /// One stands still for longer than its lease, or less.
    Pause,
    /// One, with every supervisor and engine of its host.
    Host,
    /// A connection of somebody to the database.
    Connection,
    /// All of them.
    Connections,
    /// Every process of the database.
    Database,
    Supervisor,
    Engine,
    SupervisorAndEngine,
}

/// How often each is drawn.
const STRIKES: [(Strike, u64); 10] = [
    (Strike::Kill, 6),
    (Strike::Terminate, 3),
    (Strike::Pause, 4),
    (Strike::Host, 2),
    (Strike::Connection, 4),
    (Strike::Connections, 1),
    (Strike::Database, 1),
    (Strike::Supervisor, 2),
    (Strike::Engine, 2),
    (Strike::SupervisorAndEngine, 1),
];

/// When a member is to be started, or to go on.
struct Due {
    at: Instant,
    member: usize,
}

/// Kills.
pub(super) struct Killer {
    fleet: Fleet,
    lot: Lot,
    report: Arc<Report>,
    due: Vec<Due>,
    kills: u64,
    /// Rises with whatever keeps members from carrying on.
    disturbed: Arc<AtomicU64>,
    watchers: Vec<std::thread::JoinHandle<()>>,
}

impl Killer {
    pub(super) fn new(fleet: Fleet, lot: Lot, report: Arc<Report>) -> Self {
        Self {
            fleet,
            lot,
            report,
            due: Vec::new(),
            kills: 0,
            disturbed: Arc::default(),
            watchers: Vec::new(),
        }
    }

    pub(super) fn kills(&self) -> u64 {
        self.kills
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.lot.draw() % (to - from))
    }

    /// Waits for a moment, in which whatever is due is started; then strikes.
    pub(super) fn strike(&mut self) {
        let until = Instant::now() + self.millis(200, 2500);
        wait_until("the moment comes", || {
            self.tend();
            Instant::now() >= until
        });
        let mut drawn = self.lot.draw() % STRIKES.iter().map(|(_, weight)| weight).sum::<u64>();
        let strike = STRIKES.iter().find(|(_, weight)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        let (strike, _) = strike.expect("the weights are theirs");
        let member = self.lot.draw() as usize % self.fleet.members.len();
        if let Some(of) = self.carry_out(*strike, member) {
            self.kills += 1;
            self.report.count("kills", of);
        }
    }

    /// Returns what was struck, if there was anything.
    fn carry_out(&mut self, strike: Strike, member: usize) -> Option<String> {
        let of = |name: &str| format!("{strike:?} {name}");
        match strike {
            Strike::Kill | Strike::Terminate | Strike::Pause | Strike::Host => {
                let is_free = self.due.iter().all(|due| due.member != member);
                let name = self.fleet.members[member].name;
                if !is_free || !self.fleet.members[member].is_up() {
                    return None;
                }
                self.disturbed.fetch_add(1, Ordering::AcqRel);
                let struck = &mut self.fleet.members[member];
                match strike {
                    Strike::Terminate => struck.signal(Signal::TERM),
                    Strike::Pause => {
                        struck.signal(Signal::STOP);
                        struck.is_paused = true;
                    }
                    _ => {
                        struck.kill();
                        if matches!(strike, Strike::Host) {
                            let all = struck.supervisors().into_iter().chain(struck.engines());
                            all.for_each(|pid| send(pid, Signal::KILL));
                        }
                    }
                }
                let at = Instant::now() + self.millis(0, 5000);
                self.due.push(Due { at, member });
                Some(of(name))
            }
            Strike::Connection | Strike::Connections => {
                let which = match strike {
                    Strike::Connection => "ORDER BY random() LIMIT 1",
                    _ => "",
                };
                let ended = postgres::ask(
                    &self.fleet.database.url(),
                    &format!(
                        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
                         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() {which}) p"
                    ),
                );
                ended.is_ok().then(|| of(""))
            }
            Strike::Database => {
                self.disturbed.fetch_add(1, Ordering::AcqRel);
                self.fleet.database.tell("kill");
                self.fleet.database.tell("start");
                Some(of(""))
            }
            Strike::Supervisor | Strike::Engine | Strike::SupervisorAndEngine => {
                let all = self.fleet.members.iter();
                let (supervisors, engines): (Vec<_>, Vec<_>) = all
                    .map(|member| (member.supervisors(), member.engines()))
                    .unzip();
                let mut chosen = Vec::new();
                for (pids, is_meant) in [
                    (supervisors, !matches!(strike, Strike::Engine)),
                    (engines, !matches!(strike, Strike::Supervisor)),
                ] {
                    let pids: Vec<i32> = pids.into_iter().flatten().collect();
                    if is_meant && !pids.is_empty() {
                        chosen.push(pids[self.lot.draw() as usize % pids.len()]);
                    }
                }
                chosen.iter().for_each(|pid| send(*pid, Signal::KILL));
                (!chosen.is_empty()).then(|| of(""))
            }
        }
    }

    /// Starts, or lets go on, whatever is due, and whatever ended by itself.
    fn tend(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|due| due.at <= now);
        self.due = later;
        for due in due {
            self.again(due.member);
        }
        for member in 0..self.fleet.members.len() {
            let is_awaited = self.due.iter().any(|due| due.member == member);
            if !is_awaited && !self.fleet.members[member].is_up() {
                let struck = &self.fleet.members[member];
                // A server that cannot begin because its database is away says so and ends.
                let said = struck.said();
                let last = said.lines().last().unwrap_or_default();
                let what = format!("{}: {last}", struck.name);
                if !struck.is_server {
                    self.report.wrong(format!("ended by itself: {what}"));
                }
                self.report.count("ended by itself", what);
                self.again(member);
            }
        }
    }

    fn again(&mut self, member: usize) {
        let struck = &mut self.fleet.members[member];
        if struck.is_paused {
            struck.signal(Signal::CONT);
            struck.is_paused = false;
            return;
        }
        wait_until("what was told to stop has stopped", || !struck.is_up());
        let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let watcher = Watcher {
            name: struck.name,
            instance: struck.instance(),
            began: Instant::now(),
            began_us: micros.as_micros(),
            database: self.fleet.database.url(),
            disturbed: Arc::clone(&self.disturbed),
            before: self.disturbed.load(Ordering::Acquire),
            report: Arc::clone(&self.report),
        };
        struck.start();
        self.watchers
            .push(std::thread::spawn(move || watcher.watch()));
    }

    /// Starts everything again and keeps it up until `is_over`.
    pub(super) fn rest(mut self, is_over: impl Fn() -> bool) -> Fleet {
        wait_until("all is up again and all is over", || {
            self.tend();
            self.due.is_empty() && is_over()
        });
        for watcher in self.watchers {
            let _ = watcher.join();
        }
        self.fleet
    }
}

/// Waits until a member carries on what it had carried, and tells how long that took.
struct Watcher {
    name: &'static str,
    instance: String,
    began: Instant,
    began_us: u128,
    database: String,
    disturbed: Arc<AtomicU64>,
    before: u64,
    report: Arc<Report>,
}

impl Watcher {
    fn watch(&self) {
        // A run is carried on when something it said was heard since, which only the holder of its lease can have told.
        let waiting = format!(
            "SELECT count(*) FROM attempts WHERE holder = '{}' AND claimed_us < {} AND ended_us IS NULL \
             AND handle IS NOT NULL AND COALESCE(heard_us, 0) < {}",
            self.instance, self.began_us, self.began_us
        );
        let mut had_any = false;
        wait_until("a member carries on what it had", || {
            let count = postgres::ask(&self.database, &waiting);
            let is_undisturbed = self.disturbed.load(Ordering::Acquire) == self.before;
            match count.as_deref() {
                Ok("0") if is_undisturbed && had_any => {
                    let after = self.began.elapsed();
                    self.report.adopted(self.name, after);
                    true
                }
                Ok("0") => true,
                _ => {
                    had_any = true;
                    !is_undisturbed
                }
            }
        });
    }
}
