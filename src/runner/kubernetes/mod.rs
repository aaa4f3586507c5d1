//! The launcher for Kubernetes: one hardened Job per attempt. The only user of kube.
//!
//! Start at [`KubernetesLauncher`]. `describe` says what a Job looks like and `template` what a runner may change of it, both
//! pure; `fate` reads a pod's status, pure too; `cluster` connects, `input` speaks to a supervisor and `follow` hears it.
//!
//! Rights in the namespace of the Jobs, and nothing else: create, get and delete Jobs; list and watch pods, read their log,
//! attach to them; list events. No Secret is made and no command is run in a pod: the job document goes in through the
//! attached standard input, so it is at rest nowhere in the cluster, may be of any size, and never reaches a second pod.
//!
//! Never makes a second Job for an attempt, never takes an API server that is away or a pod that is gone for the end
//! of a run that went well.
mod cluster;
mod describe;
mod fate;
mod follow;
mod input;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions, PropagationPolicy};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use self::cluster::{Cluster, code};
use self::fate::Start;
pub(crate) use self::template::check;
use super::event::Event;
use super::{
    Assignment, Exit, Handle, HostSettings, Launch, LaunchError, Launcher, RunKey, WAITING,
    environment, spec,
};
use crate::model::phase::FailureClass;
use crate::wire::kubernetes::KubernetesConfiguration;

/// How long an API server may be away while a run begins. One that goes on is waited for without end.
const AWAY: Duration = Duration::from_secs(600);
/// Pauses between two looks at a pod that does not run yet: without news, and where only events tell.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_AT_EVENTS: Duration = Duration::from_secs(1);

/// Carries runs in Jobs.
pub(crate) struct KubernetesLauncher {
    host: HostSettings,
    /// By a digest of what they were made from.
    clusters: Mutex<BTreeMap<[u8; 32], Cluster>>,
    /// The runner of each run that this process carries, for calls that have nothing but its key.
    runs: Mutex<BTreeMap<RunKey, KubernetesConfiguration>>,
    /// Uids of Jobs that this process has written to.
    given: Mutex<BTreeSet<String>>,
}

impl KubernetesLauncher {
    pub(crate) fn new(host: HostSettings) -> Self {
        Self {
            host,
            clusters: Mutex::default(),
            runs: Mutex::default(),
            given: Mutex::default(),
        }
    }

    /// The cluster of a run.
    async fn cluster(&self, runner: &KubernetesConfiguration) -> Result<Cluster, LaunchError> {
        let made_from = serde_json::to_vec(&(&runner.cluster, &runner.job.namespace))
            .map(Zeroizing::new)
            .map_err(|_| internal("the runner cannot be written as JSON"))?;
        let digest: [u8; 32] = Sha256::digest(&*made_from).into();
        let known = lock(&self.clusters).get(&digest).cloned();
        let cluster = match known {
            Some(cluster) => cluster,
            None => cluster::open(runner).await?,
        };
        lock(&self.clusters).insert(digest, cluster.clone());
        Ok(cluster)
    }

    /// The cluster of a run by its key.
    async fn known(&self, key: &RunKey) -> Result<Cluster, LaunchError> {
        let runner = lock(&self.runs).get(key).cloned();
        let runner = runner.ok_or_else(|| internal("the cluster of a run is not known"))?;
        self.cluster(&runner).await
    }

    /// Creates the Job of an attempt, or finds it.
    async fn create(&self, cluster: &Cluster, job: &Job) -> Result<Job, LaunchError> {
        let name = job.metadata.name.clone().unwrap_or_default();
        let params = PostParams::default();
        let made = tokio::time::timeout(cluster::REQUEST, cluster.jobs.create(&params, job)).await;
        match made {
            Err(_) => Err(cluster.silent("create the Job")),
            Ok(Ok(job)) => Ok(job),
            Ok(Err(error)) if code(&error) == Some(409) => {
                let found = cluster
                    .ask("look at the Job", cluster.jobs.get(&name))
                    .await?;
                let labels = found.metadata.labels.as_ref();
                if labels.and_then(|labels| labels.get(describe::LABEL_INSTANCE))
                    != Some(&self.host.instance)
                {
                    return Err(internal(&format!(
                        "a Job named `{name}` exists in the namespace `{}` and is not of this installation; remove it",
                        cluster.namespace
                    )));
                }
                Ok(found)
            }
            Ok(Err(error)) => Err(cluster.failed("create the Job", &error)),
        }
    }

    /// Waits until the supervisor of a Job runs, telling what holds it up.
    async fn wait(
        &self,
        cluster: &Cluster,
        name: &str,
        uid: &str,
        patience: Duration,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), LaunchError> {
        let until = Instant::now() + patience;
        let mut said = None;
        loop {
            let seen = follow::look(cluster, uid).await?;
            let job = cluster
                .ask("look at the Job", cluster.jobs.get(name))
                .await?;
            let mut events = Vec::new();
            if seen.pod.is_none() {
                let of = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
                events = cluster
                    .ask("list events", cluster.events.list(&of))
                    .await?
                    .items;
            }
            let held_up = match fate::start(&job, seen.pod.as_ref(), &events, &cluster.namespace) {
                Start::Runs => return Ok(()),
                Start::Hopeless(reason) => return Err(reason.into()),
                Start::Waiting(reason) => reason,
            };
            if Instant::now() >= until {
                return Err(held_up.map_or_else(
                    || LaunchError {
                        class: FailureClass::StartFailed,
                        message: format!(
                            "the pod did not run within {} s, and the cluster does not say why; look at the Job `{name}` in the namespace `{}`, or raise `start_secs` of the runner",
                            patience.as_secs(),
                            cluster.namespace
                        ),
                        transient: false,
                    },
                    |reason| LaunchError {
                        message: format!("{} (waited {} s for that; `start_secs` of the runner)", reason.message, patience.as_secs()),
                        ..reason.into()
                    },
                ));
            }
            let now = held_up.map(|reason| reason.message);
            if now != said {
                match &now {
                    Some(why) => say(&format!("{WAITING}{why}")),
                    None => say("starting"),
                }
                said = now;
            }
            let most = if seen.pod.is_none() {
                LOOK_AT_EVENTS
            } else {
                LOOK
            };
            let left = until.saturating_duration_since(Instant::now());
            follow::changed(cluster, uid, &seen, most.min(left)).await;
        }
    }
}

/// Asks again while the API server is away.
async fn patiently<T, F, R>(
    say: &(dyn Fn(&str) + Send + Sync),
    mut ask: F,
) -> Result<T, LaunchError>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, LaunchError>>,
{
    let until = Instant::now() + AWAY;
    let mut pause = Duration::from_millis(100);
    let mut said = false;
    loop {
        match ask().await {
            Err(error) if error.transient && Instant::now() < until => {
                if !said {
                    said = true;
                    say(&format!("{WAITING}{}", error.message));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            answer => return answer,
        }
    }
}

impl Launcher for KubernetesLauncher {
    fn note(&self, assignment: &Assignment) {
        if let Launch::Kubernetes(runner) = &assignment.launch {
            lock(&self.runs).insert(assignment.key.clone(), (**runner).clone());
        }
    }

    async fn ensure(
        &self,
        assignment: &Assignment,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Handle, LaunchError> {
        let runner = configuration(assignment)?;
        if assignment.job.local_state {
            return Err(LaunchError {
                class: FailureClass::ConfigInvalid,
                message: "the state storage of the runner is `local`, and a pod has no state directory that outlives it; use `kubernetes`, `s3`, `gcs` or `azurerm`".to_owned(),
                transient: false,
            });
        }
        environment::resolve(&runner.environment, &self.host)?;
        let wanted = describe::Wanted {
            key: &assignment.key,
            instance: &self.host.instance,
            env_uuid: &assignment.env_uuid,
            deployment: &assignment.job.deployment,
            runner,
            deadlines: &assignment.job.deadlines,
            image: self.host.runner_image.as_deref(),
        };
        let job: Job = serde_json::from_value(describe::job(&wanted)?)
            .map_err(|error| internal(&format!("the Job cannot be described: {error}")))?;
        let cluster = self.cluster(runner).await?;
        let made = patiently(say, || self.create(&cluster, &job)).await?;
        let (Some(name), Some(uid)) = (made.metadata.name, made.metadata.uid) else {
            return Err(internal("the cluster made a Job without a name"));
        };
        let patience = Duration::from_secs(describe::start_secs(runner));
        patiently(say, || self.wait(&cluster, &name, &uid, patience, say)).await?;
        Ok(Handle::Job {
            namespace: cluster.namespace,
            name,
            uid,
        })
    }

    async fn give(&self, assignment: &Assignment, handle: &Handle) -> Result<(), LaunchError> {
        let (_, uid) = of(handle)?;
        let runner = configuration(assignment)?;
        let mut job = assignment.job.clone();
        job.environment = environment::resolve(&runner.environment, &self.host)?;
        let text = serde_json::to_vec(&job)
            .map(Zeroizing::new)
            .map_err(|_| internal("the job could not be written as JSON"))?;
        let cluster = self.cluster(runner).await?;
        lock(&self.given).insert(uid.to_owned());
        let seen = patiently(&|_: &str| {}, || follow::look(&cluster, uid)).await?;
        let pod = seen.pod.and_then(|pod| pod.metadata.name);
        let Some(pod) = pod else {
            return Err(gone());
        };
        // Twice is no harm: a supervisor takes the first job that comes whole.
        match patiently(&|_: &str| {}, || input::send(&cluster, &pod, &text)).await? {
            true => Ok(()),
            false => Err(gone()),
        }
    }

    async fn observe(
        &self,
        key: &RunKey,
        handle: &Handle,
        after: u64,
        events: mpsc::Sender<Vec<Event>>,
    ) -> Result<Exit, LaunchError> {
        let (_, uid) = of(handle)?;
        let cluster = self.known(key).await?;
        if after == 0 && !lock(&self.given).contains(uid) {
            // Another process made it. If it has its job this changes nothing; if it has none, it ends.
            let seen = follow::look(&cluster, uid).await?;
            if let Some(pod) = seen.pod.and_then(|pod| pod.metadata.name) {
                input::send(&cluster, &pod, b"end").await?;
            }
        }
        follow::follow(&cluster, uid, after, &events).await
    }

    async fn stop(&self, key: &RunKey, handle: &Handle) -> Result<(), LaunchError> {
        let (_, uid) = of(handle)?;
        let cluster = self.known(key).await?;
        let seen = follow::look(&cluster, uid).await?;
        if let Some(pod) = seen.pod.and_then(|pod| pod.metadata.name) {
            input::send(&cluster, &pod, b"stop").await?;
        }
        Ok(())
    }

    async fn remove(&self, key: &RunKey, handle: Option<&Handle>) -> Result<(), LaunchError> {
        let cluster = self.known(key).await?;
        let (name, uid) = match handle {
            Some(handle) => {
                let (name, uid) = of(handle)?;
                (name.to_owned(), Some(uid.to_owned()))
            }
            None => (spec::name(key), None),
        };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: uid.clone().map(|uid| Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = tokio::time::timeout(cluster::REQUEST, cluster.jobs.delete(&name, &params));
        match deleted.await {
            Err(_) => return Err(cluster.silent("delete the Job")),
            // Another one of that name is not ours to delete.
            Ok(Err(error)) if !matches!(code(&error), Some(404 | 409)) => {
                return Err(cluster.failed("delete the Job", &error));
            }
            Ok(_) => {}
        }
        lock(&self.runs).remove(key);
        if let Some(uid) = uid {
            lock(&self.given).remove(&uid);
        }
        Ok(())
    }
}

fn configuration(assignment: &Assignment) -> Result<&KubernetesConfiguration, LaunchError> {
    match &assignment.launch {
        Launch::Kubernetes(runner) => Ok(runner),
        Launch::Docker(_) | Launch::Process(_) => Err(internal(
            "another run was given to the launcher for Kubernetes",
        )),
    }
}

fn of(handle: &Handle) -> Result<(&str, &str), LaunchError> {
    match handle {
        Handle::Job { name, uid, .. } => Ok((name, uid)),
        Handle::Container { .. } | Handle::Process { .. } => Err(internal(
            "another run was given to the launcher for Kubernetes",
        )),
    }
}

fn gone() -> LaunchError {
    LaunchError {
        class: FailureClass::StartFailed,
        message: "the pod was gone before it had its job".to_owned(),
        transient: true,
    }
}

fn internal(message: &str) -> LaunchError {
    LaunchError {
        class: FailureClass::Internal,
        message: message.to_owned(),
        transient: false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
