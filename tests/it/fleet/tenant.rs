//! A client with an environment of its own, which does whatever people do to one, and looks after each round.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::members::{Fleet, PROJECTS, RUNNERS};
use super::report::Report;
use super::world::{World, state};
use crate::lot::Lot;
use crate::postgres;
use crate::server::ORG;
use crate::server::http::{Caller, Reply};
use crate::support::wait_until;

/// So long a deployment may take, with all that is done to whoever carries it.
const PATIENCE: Duration = Duration::from_secs(150);
/// A reader of logs, whoever that is.
const READER: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// The client.
pub(super) struct Tenant {
    number: u64,
    project: &'static str,
    runner: &'static str,
    /// Of the environment as it is now.
    env_uuid: String,
    /// Number of the last deployment.
    mark: u64,
    /// What was accepted since the environment was made.
    accepted: BTreeSet<String>,
    lot: RefCell<Lot>,
    callers: Vec<Caller>,
    turn: usize,
    database: String,
    world: Arc<World>,
    homes: Vec<PathBuf>,
    report: Arc<Report>,
}

/// A deployment that was accepted.
struct Accepted {
    id: String,
    mark: u64,
    applies: bool,
    is_cancelled: bool,
}

impl Tenant {
    pub(super) fn new(fleet: &Fleet, number: u64, lot: Lot, report: &Arc<Report>) -> Self {
        let mut tenant = Self {
            number,
            project: PROJECTS[number as usize % PROJECTS.len()],
            runner: RUNNERS[number as usize % RUNNERS.len()],
            env_uuid: String::new(),
            mark: 0,
            accepted: BTreeSet::new(),
            lot: RefCell::new(lot),
            callers: fleet.callers(),
            turn: number as usize,
            database: fleet.database.url(),
            world: Arc::clone(&fleet.world),
            homes: fleet.homes(),
            report: Arc::clone(report),
        };
        tenant.env_uuid = tenant.environment().expect("it was made");
        tenant
    }

    fn one_of(&self, many: u64) -> u64 {
        self.lot.borrow_mut().draw() % many
    }

    fn wrong(&self, what: impl std::fmt::Display) {
        let (number, uuid) = (self.number, &self.env_uuid);
        self.report.wrong(format!("e{number} ({uuid}): {what}"));
    }

    /// Asks until one of the servers gives an answer that counts.
    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>, key: Option<&str>) -> Reply {
        let path = format!("/orgs/{ORG}{path}");
        let mut answer = None;
        wait_until(&format!("{method} {path} is answered"), || {
            let caller = &self.callers[self.turn % self.callers.len()];
            let caller = match key {
                Some(key) => caller.and("idempotency-key", key),
                None => caller.clone(),
            };
            match caller.attempt(method, &path, body) {
                Ok(reply) if reply.status == 500 => {
                    self.wrong(format!("{method} {path}: {reply:?}"));
                    answer = Some(reply);
                }
                Ok(reply) if reply.status < 500 && reply.status != 429 => answer = Some(reply),
                Ok(reply) => self
                    .report
                    .count("refused for now", reply.status.to_string()),
                Err(error) => self.report.count("not answered", error.kind().to_string()),
            }
            if answer.is_none() {
                self.turn += 1;
            }
            answer.is_some()
        });
        answer.expect("there is one")
    }

    fn env_path(&self) -> String {
        format!("/projects/{}/envs/e{}", self.project, self.number)
    }

    /// The environment's UUID, if it is there.
    fn environment(&mut self) -> Option<String> {
        let reply = self.ask("GET", &self.env_path(), None, None);
        let uuid = reply.json()["uuid"].as_str().map(str::to_owned);
        uuid.filter(|_| reply.status == 200)
    }

    /// Things that a deployment of this number wants.
    fn wanted(mark: u64) -> BTreeSet<String> {
        [
            "base".to_owned(),
            format!("a{}", mark % 4),
            format!("b{}", mark % 3),
        ]
        .into()
    }

    fn deploy(&mut self, applies: bool) -> Option<Accepted> {
        self.mark += 1;
        let mark = self.mark;
        let mut resources =
            json!({"mark": {"type": "note", "params": {"text": format!("mark-{mark}")}}});
        for name in Self::wanted(mark) {
            resources[&name] = json!({"type": "note", "params": {"text": format!("thing-{name}")}});
        }
        let body = json!({
            "project_id": self.project,
            "env_id": format!("e{}", self.number),
            "mode": if applies { "deploy" } else { "plan_only" },
            "manifest": {"workloads": {"web": {"resources": resources}}},
            "encrypted_logs_recipient": READER,
            "windlass": {"runner": self.runner, "on_busy": "queue"},
        });
        let key = format!("{}-{mark}", self.env_uuid);
        let reply = self.ask("POST", "/deployments", Some(&body), Some(&key));
        if reply.status != 201 {
            self.wrong(format!("deployment {mark} is refused: {reply:?}"));
            return None;
        }
        let id = reply.json()["id"].as_str().expect("an id").to_owned();
        self.accepted.insert(id.clone());
        self.report
            .count("accepted", if applies { "deploy" } else { "plan" });
        Some(Accepted {
            id,
            mark,
            applies,
            is_cancelled: false,
        })
    }

    /// Some deployments, one of which may be cancelled, until they are over; then all has to agree.
    pub(super) fn round(&mut self) {
        if self.one_of(8) == 0 {
            self.begin_anew();
        }
        let mut all = Vec::new();
        for _ in 0..=self.one_of(3) {
            let applies = self.one_of(6) > 0;
            all.extend(self.deploy(applies));
        }
        if !all.is_empty() && self.one_of(4) == 0 {
            let chosen = self.one_of(all.len() as u64) as usize;
            if self.one_of(2) == 0 {
                self.waited(&all[chosen].id.clone(), 2);
            }
            let path = format!("/deployments/{}/actions/cancel", all[chosen].id);
            let reply = self.ask("POST", &path, None, None);
            all[chosen].is_cancelled = reply.status == 202;
            self.report.count("cancelled", reply.status.to_string());
        }
        for accepted in all {
            self.over(&accepted);
        }
        self.agrees();
        self.settle();
    }

    /// Waits a little; the deployment as it then is, if it is over.
    fn waited(&mut self, id: &str, seconds: u64) -> Option<Value> {
        let path =
            format!("/deployments/{id}/actions/wait-for-complete?timeout_in_seconds={seconds}");
        let reply = self.ask("GET", &path, None, None);
        match reply.status {
            200 => Some(reply.json()),
            408 => None,
            _ => {
                self.wrong(format!("deployment {id} is gone: {reply:?}"));
                Some(Value::Null)
            }
        }
    }

    /// Waits for the end of a deployment, which is the one that the engine's trace speaks of.
    fn over(&mut self, accepted: &Accepted) -> String {
        let mut record = Value::Null;
        let id = &accepted.id;
        let began = Instant::now();
        while began.elapsed() < PATIENCE && record.is_null() {
            record = self.waited(id, 20).unwrap_or_default();
        }
        if record.is_null() {
            let known = self
                .ask("GET", &format!("/deployments/{id}"), None, None)
                .text;
            let place = format!("SELECT * FROM places WHERE env_uuid = '{}'", self.env_uuid);
            let attempts = format!("SELECT * FROM attempts WHERE deployment = '{id}'");
            let asked = [place, attempts].map(|query| postgres::ask(&self.database, &query));
            panic!("deployment {id} does not end: {known}\n{asked:#?}");
        }
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let outcome = word(&record["windlass"]["outcome"]);
        let class = word(&record["windlass"]["failure_class"]);
        self.report.count("ended", format!("{outcome} {class}"));
        let is_good = record["status"] == "succeeded";
        if !is_good && outcome == "-" {
            self.wrong(format!("it ended without an outcome: {record}"));
        }
        if outcome == "cancelled" && !accepted.is_cancelled {
            self.wrong(format!("nobody cancelled it: {record}"));
        }
        let times = self.world.trace(&self.env_uuid).begun;
        let times = times.get(&accepted.mark).copied().unwrap_or(0);
        if times > 1 || (accepted.applies && is_good && times != 1) {
            self.wrong(format!(
                "deployment {} was applied {times} times: {record}",
                accepted.mark
            ));
        }
        outcome
    }

    /// What is open, by the names of things.
    fn open(&mut self) -> BTreeSet<String> {
        let path = format!("{}/state", self.env_path());
        let view = self.ask("GET", &path, None, None).ok();
        let all = ["unrecorded", "in_flight"]
            .into_iter()
            .flat_map(|list| view[list].as_array().cloned().unwrap_or_default());
        all.map(|address| {
            address
                .as_str()
                .expect("text")
                .trim_start_matches("t.")
                .to_owned()
        })
        .collect()
    }

    /// The record says of each deployment that it ended once, and has none that nobody asked for; what was made is known.
    fn agrees(&mut self) {
        let uuid = self.env_uuid.clone();
        let query = format!(
            "SELECT d.id || ' ' || count(e.position) FROM deployments d LEFT JOIN events e ON e.deployment = d.id \
             AND (e.what::json -> 'ended') IS NOT NULL WHERE d.env_uuid = '{uuid}' AND d.mode IN ('deploy', 'plan_only') GROUP BY d.id"
        );
        let mut rows = None;
        wait_until("the database answers", || {
            rows = postgres::ask(&self.database, &query).ok();
            rows.is_some()
        });
        let rows = rows.expect("it answered");
        let ends: BTreeMap<&str, &str> =
            rows.lines().filter_map(|row| row.split_once(' ')).collect();
        for (id, ends) in &ends {
            if *ends != "1" || !self.accepted.contains(*id) {
                self.wrong(format!("deployment {id} ended {ends} times"));
            }
        }
        for id in &self.accepted {
            if !ends.contains_key(&**id) {
                self.wrong(format!("deployment {id} is lost"));
            }
        }
        for fault in self.world.trace(&uuid).faults {
            self.wrong(fault);
        }
        let open = self.open();
        match state(&self.homes, &uuid) {
            Ok(state) => {
                for fault in self.world.strays(&uuid, &state, &open) {
                    self.wrong(format!(
                        "{fault}; the state has {state:?}, open is {open:?}"
                    ));
                }
            }
            Err(fault) => self.wrong(fault),
        }
    }

    /// Dismisses what is open, as somebody who sees to it himself.
    fn settle(&mut self) {
        let mut left = self.open();
        wait_until("nothing is open any more", || {
            if left.is_empty() {
                return true;
            }
            self.world.dismiss(&self.env_uuid, &left);
            let addresses: Vec<String> = left.iter().map(|name| format!("t.{name}")).collect();
            let path = format!("{}/state/actions/dismiss", self.env_path());
            let body = json!({"addresses": addresses});
            let reply = self.ask("POST", &path, Some(&body), None);
            match reply.status {
                201 => {
                    let id = reply.json()["id"].as_str().expect("an id").to_owned();
                    wait_until("it is dismissed", || self.waited(&id, 20).is_some());
                    self.report.count("settled", "dismissed");
                }
                // The one before, whose answer was lost.
                409 => self.report.count("settled", "busy"),
                _ => self.wrong(format!("it cannot be dismissed: {reply:?}")),
            }
            left = self.open();
            left.is_empty()
        });
    }

    /// Deletes the environment with all that is in it, and makes another one of its name.
    fn begin_anew(&mut self) {
        let path = self.env_path();
        let gone = self.env_uuid.clone();
        wait_until("the environment is gone", || {
            let reply = self.ask("GET", &path, None, None);
            if reply.status == 404 {
                return true;
            }
            let status = reply.json()["status"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if status == "deleting" {
                return false;
            }
            self.report.count("deletion", status.clone());
            if status == "delete_failed" {
                self.settle();
            }
            self.ask("DELETE", &path, None, None);
            false
        });
        for fault in self.world.trace(&gone).faults {
            self.wrong(fault);
        }
        for fault in self.world.strays(&gone, &BTreeSet::new(), &BTreeSet::new()) {
            self.wrong(format!("after the destroy {fault}"));
        }
        let body = json!({"id": format!("e{}", self.number), "env_type_id": "development"});
        let reply = self.ask(
            "POST",
            &format!("/projects/{}/envs", self.project),
            Some(&body),
            None,
        );
        if ![201, 409].contains(&reply.status) {
            self.wrong(format!("the environment cannot be made again: {reply:?}"));
        }
        self.env_uuid = self.environment().expect("it was made");
        self.accepted.clear();
        if self.env_uuid == gone {
            self.wrong("the environment that is gone is there");
        }
    }

    /// The next deployment succeeds, and then the state, the world and what was asked for are the same.
    pub(super) fn goes_on(&mut self) {
        self.agrees();
        self.settle();
        let Some(accepted) = self.deploy(true) else {
            return;
        };
        let outcome = self.over(&accepted);
        if !["applied", "unchanged"].contains(&&*outcome) {
            self.wrong(format!("the next deployment ends as {outcome}"));
        }
        self.agrees();
        let wanted = Self::wanted(accepted.mark);
        match state(&self.homes, &self.env_uuid) {
            Ok(state) if state == wanted => {
                let missing = self.world.missing(&self.env_uuid, &state);
                if !missing.is_empty() {
                    self.wrong(format!("{missing:?} is in the state and not there"));
                }
            }
            other => self.wrong(format!("the state has {other:?}, wanted is {wanted:?}")),
        }
    }
}
