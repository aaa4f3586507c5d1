//! Containers that were started before their run is known: what makes a second deploy quick.
//!
//! One stands by for one environment with one set of settings, holds nothing secret, is used once and renamed when it
//! is, and ends by itself when its time is over. At most two of a host stand by. They are found again by their label,
//! so a worker that was killed leaves none that the next one does not know.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{ListContainersOptionsBuilder, RenameContainerOptionsBuilder};

use super::container::{self, Created};
use super::daemon::{Daemon, failed};
use crate::runner::spec::{
    self, ContainerSpec, LABEL, LABEL_ENV, LABEL_KIND, LABEL_SETTINGS, LABEL_WAIT, STANDBY_PREFIX,
};
use crate::runner::{LaunchError, RunKey};

/// At most this many of a host stand by, of all installations together.
const AT_MOST: usize = 2;
/// One with less time than this is not used: it might end before it has read its job.
const LEAST: Duration = Duration::from_secs(5);

/// One that stands by.
#[derive(Debug, Clone)]
struct Waiting {
    id: String,
    name: String,
    env: String,
    settings: String,
    until: Instant,
}

/// Those that this worker knows.
#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: Mutex<Vec<Waiting>>,
    /// Names that are being made: their volumes exist before their containers do.
    making: Mutex<HashSet<String>>,
}

/// Keeps a name on the list of those being made.
struct Making<'a>(&'a Pool, String);

impl Drop for Making<'_> {
    fn drop(&mut self) {
        lock(&self.0.making).remove(&self.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// How many stand by.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Whether a container or volume of this name stands by or is being made.
    pub(super) fn owns(&self, name: &str) -> bool {
        lock(&self.making).contains(name)
            || lock(&self.waiting)
                .iter()
                .any(|waiting| waiting.name == name)
    }

    /// Takes the one that fits for a run and gives it the run's name; `None`: none fits. Those of the environment that
    /// no longer fit are removed.
    pub(super) async fn take(
        &self,
        daemon: &Daemon,
        env: &str,
        settings: &str,
        key: &RunKey,
    ) -> Option<String> {
        loop {
            let candidate = {
                let mut waiting = lock(&self.waiting);
                let at = waiting.iter().position(|waiting| waiting.env == env)?;
                waiting.remove(at)
            };
            let fits = candidate.settings == settings && candidate.until > Instant::now() + LEAST;
            if fits && self.rename(daemon, &candidate, key).await {
                return Some(candidate.id);
            }
            discard(daemon, &candidate.id).await;
        }
    }

    async fn rename(&self, daemon: &Daemon, candidate: &Waiting, key: &RunKey) -> bool {
        let alive = container::look(daemon, &candidate.id).await;
        if !matches!(alive, Ok(Some(seen)) if seen.running) {
            return false;
        }
        let options = RenameContainerOptionsBuilder::default()
            .name(&spec::name(key))
            .build();
        daemon
            .docker
            .rename_container(&candidate.id, options)
            .await
            .is_ok()
    }

    /// Starts one. Where enough stand by the oldest makes way that is for none of the environments `wanted`; if there is
    /// none, so it stays.
    pub(super) async fn add(
        &self,
        daemon: &Daemon,
        spec: &ContainerSpec,
        wanted: &[&str],
    ) -> Result<(), LaunchError> {
        let env = spec.labels.get(LABEL_ENV).cloned().unwrap_or_default();
        let settings = spec.labels.get(LABEL_SETTINGS).cloned().unwrap_or_default();
        let stale: Vec<Waiting> = {
            let mut waiting = lock(&self.waiting);
            if waiting
                .iter()
                .any(|one| one.env == env && one.settings == settings)
            {
                return Ok(());
            }
            waiting.extract_if(.., |one| one.env == env).collect()
        };
        for one in &stale {
            discard(daemon, &one.id).await;
        }
        while list(daemon, None)
            .await?
            .iter()
            .filter(|one| one.running)
            .count()
            >= AT_MOST
        {
            let oldest = {
                let mut waiting = lock(&self.waiting);
                let is_free = |one: &Waiting| !wanted.contains(&one.env.as_str());
                // Those that are not listed belong to other installations.
                let Some(at) = waiting.iter().position(is_free) else {
                    return Ok(());
                };
                waiting.remove(at)
            };
            discard(daemon, &oldest.id).await;
        }
        lock(&self.making).insert(spec.name.clone());
        let _making = Making(self, spec.name.clone());
        let Created::New(id) = container::create(daemon, spec).await? else {
            return Ok(());
        };
        if let Err(error) = container::start(daemon, &id).await {
            discard(daemon, &id).await;
            return Err(error);
        }
        lock(&self.waiting).push(Waiting {
            id,
            name: spec.name.clone(),
            env,
            settings,
            until: Instant::now() + Duration::from_secs(spec.settings.wait_secs.into()),
        });
        Ok(())
    }

    /// Removes those of an environment.
    pub(super) async fn drop_env(&self, daemon: &Daemon, env: &str) {
        let gone: Vec<Waiting> = lock(&self.waiting)
            .extract_if(.., |one| one.env == env)
            .collect();
        for one in gone {
            discard(daemon, &one.id).await;
        }
    }

    /// Takes those off the list whose time is over; the caller removes them.
    pub(super) fn overdue(&self) -> Vec<String> {
        let now = Instant::now();
        lock(&self.waiting)
            .extract_if(.., |one| one.until <= now)
            .map(|one| one.id)
            .collect()
    }

    /// Finds those that an earlier worker left; removes those that have ended or can no longer be used.
    pub(super) async fn adopt(&self, daemon: &Daemon, instance: &str) -> Result<(), LaunchError> {
        for found in list(daemon, Some(instance)).await? {
            if self.owns(&found.name) {
                continue;
            }
            let until = match container::look(daemon, &found.id).await? {
                Some(seen) if seen.running => remaining(&seen),
                Some(_) | None => None,
            };
            // Renamed meanwhile: it has a run.
            if !found.name.starts_with(STANDBY_PREFIX) {
                continue;
            }
            match until {
                Some(left) if left > LEAST => lock(&self.waiting).push(Waiting {
                    id: found.id,
                    name: found.name,
                    env: found.env,
                    settings: found.settings,
                    until: Instant::now() + left,
                }),
                Some(_) | None => discard(daemon, &found.id).await,
            }
        }
        Ok(())
    }
}

/// How long a container still waits for its job.
fn remaining(seen: &container::Seen) -> Option<Duration> {
    let started: jiff::Timestamp = seen.started_at.as_ref()?.parse().ok()?;
    let wait: i64 = seen.labels.get(LABEL_WAIT)?.parse().ok()?;
    let since = jiff::Timestamp::now().duration_since(started).as_secs();
    // The clock may have been turned back since.
    let since = since.max(0);
    u64::try_from(wait - since).ok().map(Duration::from_secs)
}

/// Removes a container that stands by. What stays is found by the next sweep.
pub(super) async fn discard(daemon: &Daemon, id: &str) {
    if let Err(error) = container::remove(daemon, id, None).await {
        tracing::debug!(%error, "a container that stood by was not removed");
    }
}

struct Found {
    id: String,
    name: String,
    env: String,
    settings: String,
    running: bool,
}

/// Containers that stand by: of one installation, or of all.
async fn list(daemon: &Daemon, instance: Option<&str>) -> Result<Vec<Found>, LaunchError> {
    let mut labels = vec![format!("{LABEL_KIND}=standby")];
    if let Some(instance) = instance {
        labels.push(format!("{LABEL}={instance}"));
    }
    let filters = std::collections::HashMap::from([("label".to_owned(), labels)]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let listed = daemon
        .docker
        .list_containers(Some(options))
        .await
        .map_err(|error| failed(daemon, "list containers", &error))?;
    Ok(listed
        .into_iter()
        .filter_map(|one| {
            let labels = one.labels.unwrap_or_default();
            let name = one.names?.into_iter().next()?;
            Some(Found {
                id: one.id?,
                name: name.trim_start_matches('/').to_owned(),
                env: labels.get(LABEL_ENV).cloned().unwrap_or_default(),
                settings: labels.get(LABEL_SETTINGS).cloned().unwrap_or_default(),
                running: one.state == Some(ContainerSummaryStateEnum::RUNNING),
            })
        })
        // One that was used keeps its label and has its run's name.
        .filter(|one| one.name.starts_with(STANDBY_PREFIX))
        .collect())
}
