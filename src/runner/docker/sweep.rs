//! Removes what carries our label and belongs to no run: containers first, then volumes that no container uses.
//!
//! State volumes stay, whatever happens: they are the only copy of the state. Only one that a destroy run has emptied, and
//! that is noted to go, goes ([`forgotten`]): its worker may have been killed while a container still used it.

use std::collections::HashMap;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

use super::container;
use super::daemon::{Daemon, failed};
use super::place;
use super::standby::Pool;
use crate::runner::spec::{self, LABEL, LABEL_KIND, STANDBY_PREFIX, VolumeKind};
use crate::runner::{HostSettings, LaunchError, RunKey};

pub(super) async fn sweep(
    daemon: &Daemon,
    instance: &str,
    pool: &Pool,
    owned: &(dyn Fn(&RunKey) -> bool + Send + Sync),
) -> Result<(), LaunchError> {
    let label = |kind: Option<&str>| {
        let mut labels = vec![format!("{LABEL}={instance}")];
        labels.extend(kind.map(|kind| format!("{LABEL_KIND}={kind}")));
        ("label".to_owned(), labels)
    };
    let filters = HashMap::from([label(None)]);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filters)
        .build();
    let containers = daemon
        .docker
        .list_containers(Some(options))
        .await
        .map_err(|error| failed(daemon, "list containers", &error))?;
    for found in containers {
        let (Some(id), Some(name)) = (
            found.id,
            found.names.and_then(|names| names.into_iter().next()),
        ) else {
            continue;
        };
        let name = name.trim_start_matches('/');
        let of = name.strip_suffix(container::OPENING).unwrap_or(name);
        let nobodys = match spec::key_of(of) {
            Some(key) => !owned(&key),
            // What stands by was adopted before, or is being made right now.
            None if name.starts_with(STANDBY_PREFIX) => false,
            // A helper; its owner removes it, or the next one that needs it.
            None => false,
        };
        if nobodys {
            container::remove(daemon, &id, None).await?;
        }
    }
    let filters = HashMap::from([
        label(Some(VolumeKind::Spool.as_str())),
        ("dangling".to_owned(), vec!["true".to_owned()]),
    ]);
    let options = ListVolumesOptionsBuilder::default()
        .filters(&filters)
        .build();
    let volumes = daemon
        .docker
        .list_volumes(Some(options))
        .await
        .map_err(|error| failed(daemon, "list volumes", &error))?;
    for volume in volumes.volumes.unwrap_or_default() {
        let nobodys = match spec::key_of(&volume.name) {
            Some(key) => !owned(&key),
            None => !pool.owns(&volume.name),
        };
        // In use since: the daemon refuses, which is right.
        if nobodys && let Err(error) = container::remove_volume(daemon, &volume.name).await {
            tracing::debug!(%error, "a volume was not removed");
        }
    }
    Ok(())
}

/// Removes states that are to go. The daemon refuses one that a container uses; a later sweep takes it.
pub(super) async fn forgotten(daemon: &Daemon, host: &HostSettings) {
    for (env_uuid, volume) in place::forgotten(host, &daemon.id) {
        let removed = container::remove_volume(daemon, &volume).await;
        // A deploy may have begun to use it again.
        let is_nobodys =
            || place::forgotten(host, &daemon.id).contains(&(env_uuid.clone(), volume));
        let removed = match removed {
            Ok(()) if is_nobodys() => place::remove(host, &env_uuid),
            other => other,
        };
        if let Err(error) = removed {
            tracing::debug!(%error, "the state of a destroyed environment is left for a later sweep");
        }
    }
}
