//! One run, in one container: launchers outside, the supervisor inside.
pub(crate) mod docker;
pub(crate) mod engine;
pub(crate) mod environment;
pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod inside;
pub(crate) mod job;
pub(crate) mod kubernetes;
pub(crate) mod mirror;
pub(crate) mod process;
pub(crate) mod spec;
pub(crate) mod state;
pub(crate) mod work;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{event::Event, job::Job};
use crate::model::phase::{FailureClass, Outcome};
use crate::wire::kubernetes::KubernetesConfiguration;
use crate::wire::runners::{DockerConfiguration, ProcessConfiguration};
use crate::wire::state::Open;

/// Identity of one attempt of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct RunKey {
    /// UUIDv7 text.
    pub(crate) run: String,
    /// From 1; the lease epoch.
    pub(crate) attempt: u32,
}

impl std::fmt::Display for RunKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.run, self.attempt)
    }
}

/// How the runner of a deployment is launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Launch {
    /// A hardened container of the local Docker daemon.
    Docker(DockerConfiguration),
    /// A child process in a session of its own.
    Process(ProcessConfiguration),
    /// A Job in a cluster.
    Kubernetes(Box<KubernetesConfiguration>),
}

/// What a worker claims: everything it needs to carry out one attempt. Pure data; secrets of the
/// environment are still references (`from_env`, `from_file`) that the launching host resolves.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// The attempt.
    pub(crate) key: RunKey,
    /// UUID text of the environment: names the state directory and binds standby containers.
    pub(crate) env_uuid: String,
    /// The job, complete but for `environment` (filled by the launcher from `launch`).
    pub(crate) job: Job,
    /// Where and how.
    pub(crate) launch: Launch,
}

/// What raises the memory limit of a run, by the word for what carries it.
pub(crate) fn memory_setting(launcher: &str) -> &'static str {
    match launcher {
        "kubernetes" => "`resources.limits.memory` of the container `main` in `job.pod_template`",
        _ => "`memory_bytes`",
    }
}

/// An environment whose next run something may wait for.
#[derive(Debug, Clone)]
pub(crate) struct Awaited {
    /// As in [`Assignment`].
    pub(crate) env_uuid: String,
    /// Where and how its run will go.
    pub(crate) launch: Launch,
    /// As its job will have them.
    pub(crate) deadlines: job::Deadlines,
    /// Whether its job will name a network mirror.
    pub(crate) has_network_mirror: bool,
}

impl Assignment {
    /// What the next run of the environment has in common with this one.
    pub(crate) fn again(&self) -> Awaited {
        Awaited {
            env_uuid: self.env_uuid.clone(),
            launch: self.launch.clone(),
            deadlines: self.job.deadlines,
            has_network_mirror: self.job.network_mirror.is_some(),
        }
    }
}

impl Launch {
    /// The word for what carries it.
    pub(crate) fn launcher(&self) -> &'static str {
        match self {
            Self::Docker(_) => "docker",
            Self::Process(_) => "process",
            Self::Kubernetes(_) => "kubernetes",
        }
    }
}

/// What a launcher knows of a started run; stored before the job is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Handle {
    /// A container.
    Container {
        /// Id of the daemon.
        id: String,
    },
    /// A process.
    Process {
        /// Process id of the supervisor.
        pid: i32,
        /// Its start time (field 22 of `/proc/PID/stat`), so that a reused pid is not taken for it.
        started: u64,
    },
    /// A Job of Kubernetes.
    Job {
        /// Where it is.
        namespace: String,
        /// Its name there.
        name: String,
        /// Its uid, so that another one of that name is not taken for it.
        uid: String,
    },
}

/// How a run is over, for the desk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunEnd {
    /// The supervisor's last event was delivered before (it is among the events).
    Finished,
    /// It ended without one, or never started.
    Died {
        /// `Lost`, `Failed` or `Cancelled`.
        outcome: Outcome,
        /// Why.
        failure_class: FailureClass,
        /// In clear: place, what was expected, what to do. Never words of the engine.
        message: String,
    },
    /// It never accepted its job; the attempt is given back to the queue.
    NeverBegan {
        /// In clear.
        message: String,
    },
}

/// A run that the store says is going on, for adoption.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Adoptable {
    /// What it was given.
    pub(crate) assignment: Assignment,
    /// Absent: claimed, but nothing was recorded as started.
    pub(crate) handle: Option<Handle>,
    /// Number of the last event stored; 0 for none.
    pub(crate) last_seq: u64,
    /// Whether somebody asked to cancel it.
    pub(crate) cancel: bool,
}

/// Begins what a launcher says of something that holds a run up and that people may have to see to.
pub(crate) const WAITING: &str = "waiting: ";

/// Why the desk could not be asked; the caller retries.
#[derive(Debug, thiserror::Error)]
#[error("the record of runs could not be read or written")]
pub(crate) struct DeskError(#[source] pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// Where a worker gets runs and leaves what they say. Implemented over the store (local) and over HTTP (agents).
/// Every call is idempotent for the current attempt and refused for an older one.
pub(crate) trait Desk: Send + Sync {
    /// Takes the next run that may start, if any. `launchers` names what this host can do (`docker`, `process`).
    fn claim(&self) -> impl Future<Output = Result<Option<Assignment>, DeskError>> + Send;
    /// Environments whose turn comes next and that wait for a place, a few. Nothing is promised: another may come first.
    fn ahead(&self) -> impl Future<Output = Result<Vec<Awaited>, DeskError>> + Send {
        async { Ok(Vec::new()) }
    }
    /// Runs that are claimed, not ended and this worker's to carry on: after a restart, all of them are adopted or given back.
    fn running(&self) -> impl Future<Output = Result<Vec<Adoptable>, DeskError>> + Send;
    /// Every run that is not over and was this worker's, also one that cannot be read: nothing of it is removed.
    fn held(&self) -> impl Future<Output = Result<Vec<RunKey>, DeskError>> + Send {
        async { Ok(Vec::new()) }
    }
    /// Records what was started, before the job is written to it. `Ok(false)`: the attempt is stale, stop it.
    fn launched(
        &self,
        key: &RunKey,
        handle: &Handle,
    ) -> impl Future<Output = Result<bool, DeskError>> + Send;
    /// Tells what is being done before the runner can speak (`image`, `starting`), for people who wait; after [`WAITING`],
    /// what holds it up.
    fn preparing(
        &self,
        key: &RunKey,
        what: &str,
    ) -> impl Future<Output = Result<(), DeskError>> + Send;
    /// Stores events; those with a number already stored are skipped. Returns when they are durable.
    fn events(
        &self,
        key: &RunKey,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<(), DeskError>> + Send;
    /// The state of the environment as the server has it, where it keeps it.
    fn state(
        &self,
        _key: &RunKey,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, DeskError>> + Send {
        async { Ok(None) }
    }
    /// Says what a run that died left open, before its attempt ends.
    fn left_open(
        &self,
        key: &RunKey,
        open: Open,
    ) -> impl Future<Output = Result<(), DeskError>> + Send;
    /// Ends the attempt. After this the launcher may remove it.
    fn complete(
        &self,
        key: &RunKey,
        end: RunEnd,
    ) -> impl Future<Output = Result<(), DeskError>> + Send;
    /// Runs among `keys` that somebody asked to cancel.
    fn cancelled(
        &self,
        keys: &[RunKey],
    ) -> impl Future<Output = Result<Vec<RunKey>, DeskError>> + Send;
    /// Returns when a desk that did not answer does again, where that is found out: nobody need wait any longer to ask.
    fn back(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
    /// Waits until something may have changed, `max` at most.
    fn changed(&self, max: std::time::Duration) -> impl Future<Output = ()> + Send;
}

/// Why a launcher could not do its part; in clear, fit for the deployment's record.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct LaunchError {
    /// How the deployment is classed if this ends it.
    pub(crate) class: FailureClass,
    /// What is wrong, what was expected, what to do. Never a secret, never words of the engine.
    pub(crate) message: String,
    /// Whether the same call may succeed when it is repeated a little later.
    pub(crate) transient: bool,
}

/// How the carrier of a run (container, process) ended, told after its last event was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, or 128 + signal; `None` where it is not known (it vanished).
    pub(crate) code: Option<i64>,
    /// Whether the memory limit killed anything in it.
    pub(crate) out_of_memory: bool,
    /// Whether it is gone without a trace rather than ended.
    pub(crate) vanished: bool,
    /// Who or what ended it, where the place knows that.
    pub(crate) reason: Option<Reason>,
}

/// What a place says about a carrier that did not begin, or did not end by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// How the deployment is classed.
    pub(crate) class: FailureClass,
    /// In clear: what, where, what to do.
    pub(crate) message: String,
}

impl From<Reason> for LaunchError {
    fn from(reason: Reason) -> Self {
        Self {
            class: reason.class,
            message: reason.message,
            transient: false,
        }
    }
}

/// Carries runs in one kind of place. In order: [`ensure`](Launcher::ensure), `Desk::launched`, [`give`](Launcher::give),
/// [`observe`](Launcher::observe), `Desk::complete`, [`remove`](Launcher::remove). Between these calls a launcher may keep open
/// pipes in itself; when it lost them (another process adopts the run) everything is had from the spool.
pub(crate) trait Launcher: Send + Sync {
    /// Takes note of a run that was claimed or adopted, before anything else is asked of it: later calls name it by its key.
    fn note(&self, _assignment: &Assignment) {}
    /// Makes what carries this attempt, or finds it where an earlier call already did. Nothing secret and no job goes into it yet.
    /// `say` tells people what takes long (`image`, `starting`).
    fn ensure(
        &self,
        assignment: &Assignment,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> impl Future<Output = Result<Handle, LaunchError>> + Send;
    /// Writes the job to it, whole, once, and closes its input. Resolves the environment of the engine.
    fn give(
        &self,
        assignment: &Assignment,
        handle: &Handle,
    ) -> impl Future<Output = Result<(), LaunchError>> + Send;
    /// Sends every event numbered above `after`, in order and without gaps, from any transport and at last from the spool;
    /// returns when the carrier has ended and the last event was sent. May be called again at any time with another `after`.
    fn observe(
        &self,
        key: &RunKey,
        handle: &Handle,
        after: u64,
        events: tokio::sync::mpsc::Sender<Vec<Event>>,
    ) -> impl Future<Output = Result<Exit, LaunchError>> + Send;
    /// Asks it to stop (SIGTERM: the supervisor interrupts the engine and goes on to save and report). Idempotent.
    fn stop(
        &self,
        key: &RunKey,
        handle: &Handle,
    ) -> impl Future<Output = Result<(), LaunchError>> + Send;
    /// Removes it with its spool, by force if it still lives. Only after its end is recorded, or when it never began. Idempotent.
    fn remove(
        &self,
        key: &RunKey,
        handle: Option<&Handle>,
    ) -> impl Future<Output = Result<(), LaunchError>> + Send;
    /// Removes the state of an environment that a destroy run has emptied, with every copy. Called before the end of the
    /// run is recorded, so that a worker that is killed meanwhile does it again, and once more after the carrier is gone.
    fn forget_state(
        &self,
        _assignment: &Assignment,
    ) -> impl Future<Output = Result<(), LaunchError>> + Send {
        async { Ok(()) }
    }
    /// What the state directory says is open after a run that died, where it can be looked at from here. Only once the
    /// carrier is known to have ended. `state`: what the server has, where the state does not lie there.
    fn left_open(
        &self,
        _assignment: &Assignment,
        _state: Option<Vec<u8>>,
    ) -> impl Future<Output = Option<Open>> + Send {
        async { None }
    }
    /// May start what waits for the next run of these environments (standby). Called with those whose turn comes next while
    /// no place is free, and with those whose deploy succeeded while nothing waits.
    fn stand_by(&self, _awaited: &[Awaited]) -> impl Future<Output = ()> + Send {
        async {}
    }
    /// Ends what has stood by too long; returns how many still stand by, which keeps the worker alive.
    fn tend(&self) -> impl Future<Output = usize> + Send {
        async { 0 }
    }
    /// Removes what carries the label of this installation and belongs to no run. Looks first and asks `owned` after,
    /// so that a run that begins meanwhile is safe.
    fn sweep(
        &self,
        _owned: &(dyn Fn(&RunKey) -> bool + Send + Sync),
    ) -> impl Future<Output = Result<(), LaunchError>> + Send {
        async { Ok(()) }
    }
}

/// Settings of this host's launchers.
#[derive(Debug, Clone)]
pub(crate) struct HostSettings {
    /// The data directory (design 5.11); `state`, `spool`, `mirror` lie in it.
    pub(crate) data_dir: std::path::PathBuf,
    /// UUID of this installation (`format` in the data directory), the value of the label `windlass`.
    pub(crate) instance: String,
    /// Read-only provider mirror, where one is set; see [`HostSettings::filled_mirror`].
    pub(crate) mirror: Option<std::path::PathBuf>,
    /// Docker socket; `None`: `DOCKER_HOST` or the platform's default.
    pub(crate) docker_host: Option<String>,
    /// The network of containers whose runner names none; `None`: [`spec::NETWORK`].
    pub(crate) docker_network: Option<String>,
    /// The static Linux binary that is process 1 of a container; `None`: this very one.
    pub(crate) binary: Option<std::path::PathBuf>,
    /// Host paths that runners may mount read-only.
    pub(crate) mount_allow: Vec<std::path::PathBuf>,
    /// Variables by name, and files and directories by absolute path, that a runner's `environment` may read here; `None`
    /// is all but what is Windlass' own.
    pub(crate) environment_allow: Option<Vec<String>>,
    /// Where engines are looked for beside `PATH`.
    pub(crate) engines: BTreeMap<String, std::path::PathBuf>,
    /// Runs at once.
    pub(crate) parallel: usize,
    /// The image of runners in Kubernetes, where their pod template names none.
    pub(crate) runner_image: Option<String>,
}

impl HostSettings {
    /// The mirror, as far as there is anything in it: looked at for each run, so that one which was filled meanwhile serves.
    pub(crate) fn filled_mirror(&self) -> Option<&std::path::Path> {
        let path = self.mirror.as_deref()?;
        let mut entries = std::fs::read_dir(path).ok()?.filter_map(Result::ok);
        entries
            .any(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .then_some(path)
    }
}
