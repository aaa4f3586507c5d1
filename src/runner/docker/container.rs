//! Carries a description out: creates the container that [`ContainerSpec`] describes. Decides nothing.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
    ResourcesUlimits,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder, StartContainerOptions,
    UploadToContainerOptionsBuilder,
};

use super::daemon::{Daemon, describe, failed, status};
use crate::model::phase::FailureClass;
use crate::runner::LaunchError;
use crate::runner::spec::{
    ContainerSpec, LABEL, MountSource, SPOOL, STATE, VolumeKind, volume_labels,
};

/// End of the name of a helper, behind the name of its run's container.
pub(super) const OPENING: &str = "-opening";

/// What became of a request to create a container.
pub(super) enum Created {
    /// It exists now, not started.
    New(String),
    /// One of that name exists.
    NameTaken,
    /// The image does not exist (any more).
    NoImage,
}

pub(super) async fn create(daemon: &Daemon, spec: &ContainerSpec) -> Result<Created, LaunchError> {
    let options = CreateContainerOptionsBuilder::default()
        .name(&spec.name)
        .build();
    let outcome = daemon
        .docker
        .create_container(Some(options), body(spec))
        .await;
    match outcome {
        Ok(created) => Ok(Created::New(created.id)),
        Err(error) => match status(&error) {
            Some(409) => Ok(Created::NameTaken),
            Some(404) if describe(&error).contains("image") => Ok(Created::NoImage),
            _ => Err(failed(daemon, "create the container", &error)),
        },
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let settings = &spec.settings;
    let instance = spec.labels.get(LABEL).map_or("", String::as_str);
    let mut mounts = vec![volume(
        &spec.spool,
        SPOOL,
        volume_labels(instance, VolumeKind::Spool),
    )];
    mounts.extend(settings.mounts.iter().map(|mount| {
        let made = match &mount.source {
            MountSource::Path(path) => Mount {
                typ: Some(MountType::BIND),
                source: Some(path.clone()),
                target: Some(mount.target.clone()),
                ..Mount::default()
            },
            MountSource::Volume { name, labels, .. } => volume(name, &mount.target, labels.clone()),
        };
        Mount {
            read_only: Some(mount.read_only),
            ..made
        }
    }));
    ContainerCreateBody {
        hostname: Some(spec.hostname.clone()),
        user: Some(settings.user.clone()),
        image: Some(settings.image.clone()),
        entrypoint: Some(settings.entrypoint.clone()),
        cmd: Some(spec.arguments()),
        working_dir: Some(settings.working_dir.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        // The job comes in once, and its end is the end of the input.
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(settings.stop_timeout_secs),
        host_config: Some(HostConfig {
            memory: Some(settings.memory_bytes),
            memory_swap: Some(settings.memory_bytes),
            nano_cpus: settings.nano_cpus,
            pids_limit: Some(settings.pids),
            readonly_rootfs: Some(settings.read_only_root),
            cap_drop: Some(settings.cap_drop.clone()),
            security_opt: Some(settings.security_opt.clone()),
            privileged: Some(false),
            // Our supervisor is process 1: it reaps, and passes signals on as it sees fit.
            init: Some(false),
            network_mode: Some(settings.network.clone()),
            tmpfs: Some(settings.tmpfs.clone().into_iter().collect()),
            mounts: Some(mounts),
            ulimits: Some(vec![ResourcesUlimits {
                name: Some("core".to_owned()),
                soft: Some(settings.core_bytes),
                hard: Some(settings.core_bytes),
            }]),
            log_config: Some(HostConfigLogConfig {
                typ: Some(settings.log_driver.clone()),
                config: None,
            }),
            auto_remove: Some(false),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn volume(name: &str, target: &str, labels: std::collections::BTreeMap<String, String>) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels.into_iter().collect()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

/// Makes the roots of fresh volumes writable for the runner's user, where the image did not: a volume takes owner and
/// mode from the image's directory, which a custom image need not have.
///
/// By a helper that is never started and sees them below its root: the daemon leaves the directory alone into which it unpacks,
/// and lets nothing be unpacked beside the volumes of a container whose root is read-only.
pub(super) async fn open_volumes(daemon: &Daemon, spec: &ContainerSpec) -> Result<(), LaunchError> {
    let (uid, gid) = spec
        .settings
        .user
        .split_once(':')
        .unwrap_or(("65532", "65532"));
    let state = spec
        .settings
        .mounts
        .iter()
        .find_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } if mount.target == STATE => Some(name.as_str()),
            MountSource::Volume { .. } | MountSource::Path(_) => None,
        });
    let mut archive = tar::Builder::new(Vec::new());
    let mut mounts = Vec::new();
    for (number, name) in std::iter::once(spec.spool.as_str())
        .chain(state)
        .enumerate()
    {
        mounts.push(volume(name, &format!("/{number}"), Default::default()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o700);
        header.set_uid(uid.parse().unwrap_or(65532));
        header.set_gid(gid.parse().unwrap_or(65532));
        header.set_size(0);
        archive
            .append_data(&mut header, format!("{number}/"), std::io::empty())
            .map_err(unpacked)?;
    }
    let bytes = archive.into_inner().map_err(unpacked)?;
    let helper = format!("{}{OPENING}", spec.name);
    let body = ContainerCreateBody {
        image: Some(spec.settings.image.clone()),
        entrypoint: Some(spec.settings.entrypoint.clone()),
        labels: Some(HashMap::from([(
            LABEL.to_owned(),
            spec.labels.get(LABEL).cloned().unwrap_or_default(),
        )])),
        host_config: Some(HostConfig {
            mounts: Some(mounts),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let doing = "prepare the volumes of the run";
    let options = CreateContainerOptionsBuilder::default()
        .name(&helper)
        .build();
    daemon
        .docker
        .create_container(Some(options), body)
        .await
        .map_err(|error| failed(daemon, doing, &error))?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let opened = daemon
        .docker
        .upload_to_container(&helper, Some(options), bollard::body_full(bytes.into()))
        .await
        .map_err(|error| failed(daemon, doing, &error));
    // Not by `remove`: the volumes stay.
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    let removed = daemon
        .docker
        .remove_container(&helper, Some(options))
        .await
        .map_err(|error| failed(daemon, doing, &error));
    opened.and(removed)
}

fn unpacked(error: std::io::Error) -> LaunchError {
    LaunchError {
        class: FailureClass::Internal,
        message: format!("an archive could not be made: {error}"),
        transient: false,
    }
}

pub(super) async fn start(daemon: &Daemon, id: &str) -> Result<(), LaunchError> {
    match daemon
        .docker
        .start_container(id, None::<StartContainerOptions>)
        .await
    {
        Ok(()) => Ok(()),
        Err(error) if status(&error) == Some(304) => Ok(()),
        Err(error) => Err(LaunchError {
            // The daemon cleans up after a start that failed; a second try of the same container may meet its remains.
            transient: false,
            ..failed(daemon, "start the container", &error)
        }),
    }
}

/// What the daemon knows of a container.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) running: bool,
    /// Created and never started.
    pub(super) fresh: bool,
    pub(super) exit_code: Option<i64>,
    pub(super) out_of_memory: bool,
    pub(super) labels: HashMap<String, String>,
    /// The image as it was asked for.
    pub(super) image: String,
    /// Its spool volume.
    pub(super) spool: Option<String>,
    /// When it was started, RFC 3339.
    pub(super) started_at: Option<String>,
}

/// Looks at a container by id or name; `None`: there is none.
pub(super) async fn look(daemon: &Daemon, id: &str) -> Result<Option<Seen>, LaunchError> {
    let found = match daemon
        .docker
        .inspect_container(id, None::<InspectContainerOptions>)
        .await
    {
        Ok(found) => found,
        Err(error) if status(&error) == Some(404) => return Ok(None),
        Err(error) => return Err(failed(daemon, "look at the container", &error)),
    };
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let fresh = state.status == Some(bollard::models::ContainerStateStatusEnum::CREATED);
    let spool = found
        .mounts
        .unwrap_or_default()
        .into_iter()
        .find(|mount| mount.destination.as_deref() == Some(SPOOL))
        .and_then(|mount| mount.name);
    Ok(Some(Seen {
        id: found.id.unwrap_or_default(),
        running: state.running.unwrap_or(false),
        fresh,
        exit_code: state.exit_code.filter(|_| !fresh),
        out_of_memory: state.oom_killed.unwrap_or(false),
        labels: config.labels.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        spool,
        started_at: state.started_at,
    }))
}

/// Sends SIGTERM: the supervisor interrupts the engine, saves, reports and ends.
pub(super) async fn terminate(daemon: &Daemon, id: &str) -> Result<(), LaunchError> {
    let options = KillContainerOptionsBuilder::default()
        .signal("SIGTERM")
        .build();
    match daemon.docker.kill_container(id, Some(options)).await {
        Ok(()) => Ok(()),
        // Gone, or not running.
        Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
        Err(error) => Err(failed(daemon, "signal the container", &error)),
    }
}

/// Removes a container by id or name, by force, and the spool volume that belongs to it.
pub(super) async fn remove(
    daemon: &Daemon,
    id: &str,
    spool: Option<&str>,
) -> Result<(), LaunchError> {
    let known = match spool {
        Some(spool) => Some(spool.to_owned()),
        None => look(daemon, id).await?.and_then(|seen| seen.spool),
    };
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    match daemon.docker.remove_container(id, Some(options)).await {
        Ok(()) => {}
        Err(error) if status(&error) == Some(404) => {}
        // Somebody removes it already.
        Err(error) if status(&error) == Some(409) => {}
        Err(error) => return Err(failed(daemon, "remove the container", &error)),
    }
    match known {
        Some(spool) => remove_volume(daemon, &spool).await,
        None => Ok(()),
    }
}

pub(super) async fn remove_volume(daemon: &Daemon, name: &str) -> Result<(), LaunchError> {
    let options = RemoveVolumeOptionsBuilder::default().build();
    match daemon.docker.remove_volume(name, Some(options)).await {
        Ok(()) => Ok(()),
        Err(error) if status(&error) == Some(404) => Ok(()),
        Err(error) => Err(LaunchError {
            transient: true,
            ..failed(daemon, "remove the volume of the run", &error)
        }),
    }
}
