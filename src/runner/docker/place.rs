//! Where the state of an environment lies, seen from the daemon: a directory of this host, or a volume of the daemon.
//!
//! A place that was once used is never silently left for another: an engine that finds no state plans everything anew.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::phase::FailureClass;
use crate::runner::host::advice;
use crate::runner::spec::StatePlace;
use crate::runner::state;
use crate::runner::{HostSettings, LaunchError};

/// Who runs when the data directory belongs to root.
const NOBODY: u32 = 65532;

/// In the state directory, when the state lies in a volume instead.
pub(crate) const ELSEWHERE: &str = "state-is-in-a-volume.json";

#[derive(Serialize, Deserialize)]
struct Elsewhere {
    version: u32,
    volume: String,
    /// Identity of the daemon that has it.
    daemon: String,
    /// A destroy run has emptied it: it is to go as soon as no container uses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
}

/// User and group of the runners: the owner of the data directory, never root.
pub(super) fn owner(host: &HostSettings) -> Result<(u32, u32), LaunchError> {
    let metadata = std::fs::metadata(&host.data_dir)
        .map_err(|error| failed(&host.data_dir, "looked at", &error))?;
    Ok(match (metadata.uid(), metadata.gid()) {
        (0, _) => (NOBODY, NOBODY),
        (uid, 0) => (uid, NOBODY),
        owner => owner,
    })
}

/// Prepares the place of an environment's state. `daemon` is the identity of the daemon, `elsewhere` whether it cannot
/// see our directories.
pub(super) fn state(
    host: &HostSettings,
    env_uuid: &str,
    daemon: &str,
    elsewhere: bool,
    (uid, gid): (u32, u32),
) -> Result<StatePlace, LaunchError> {
    let directory = directory(host, env_uuid)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| failed(&directory, "made", &error))?;
    let marker = directory.join(ELSEWHERE);
    let marked = read(&marker)?;
    match (elsewhere, marked) {
        (false, None) => {
            hand_over(&directory, uid, gid)
                .map_err(|error| failed(&directory, "given to the runner", &error))?;
            Ok(StatePlace::Directory(directory.display().to_string()))
        }
        (true, Some(mut marked)) if marked.daemon == daemon => {
            if marked.forgotten {
                // The environment is used again before the sweep came.
                marked.forgotten = false;
                write(&marker, &marked)?;
            }
            Ok(StatePlace::Volume(marked.volume))
        }
        (_, Some(marked)) => Err(moved(format!(
            "the state of this environment lies in the volume `{}` of another Docker daemon (`{}`)",
            marked.volume, marked.daemon
        ))),
        (true, None) => {
            if directory.join("terraform.tfstate").exists() {
                return Err(moved(format!(
                    "the state of this environment lies in `{}` on this host, where this Docker daemon cannot see it",
                    directory.display()
                )));
            }
            let volume = format!("windlass-state-{env_uuid}");
            let new = Elsewhere {
                version: 1,
                volume: volume.clone(),
                daemon: daemon.to_owned(),
                forgotten: false,
            };
            write(&marker, &new)?;
            Ok(StatePlace::Volume(volume))
        }
    }
}

/// `state/ENV_UUID` in the data directory, as an absolute path.
fn directory(host: &HostSettings, env_uuid: &str) -> Result<PathBuf, LaunchError> {
    state::directory(&host.data_dir, env_uuid)
        .map_err(|error| failed(&host.data_dir, "found", &error))
}

fn read(marker: &Path) -> Result<Option<Elsewhere>, LaunchError> {
    match std::fs::read(marker) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| failed(marker, "read", &error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(marker, "read", &error)),
    }
}

/// Whole or not at all: a torn one would keep the environment from being deployed.
fn write(marker: &Path, elsewhere: &Elsewhere) -> Result<(), LaunchError> {
    let new = marker.with_extension("new");
    let text = serde_json::to_vec(elsewhere).unwrap_or_default();
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, marker))
        .map_err(|error| failed(marker, "written", &error))
}

/// Notes that the state of an environment is to go. Returns the volume that holds it, where it lies in one.
pub(super) fn forget(host: &HostSettings, env_uuid: &str) -> Result<Option<String>, LaunchError> {
    let marker = directory(host, env_uuid)?.join(ELSEWHERE);
    let Some(mut marked) = read(&marker)? else {
        return Ok(None);
    };
    if !marked.forgotten {
        marked.forgotten = true;
        write(&marker, &marked)?;
    }
    Ok(Some(marked.volume))
}

/// Environments whose states are to go and lie in volumes of this daemon, with those.
pub(super) fn forgotten(host: &HostSettings, daemon: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(host.data_dir.join("state"));
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let marked = read(&entry.path().join(ELSEWHERE)).ok()??;
            let env_uuid = entry.file_name().into_string().ok()?;
            (marked.forgotten && marked.daemon == daemon).then_some((env_uuid, marked.volume))
        })
        .collect()
}

/// Removes the directory of an environment's state.
pub(super) fn remove(host: &HostSettings, env_uuid: &str) -> Result<(), LaunchError> {
    state::remove(&host.data_dir, env_uuid)
        .map_err(|error| failed(&host.data_dir, "cleared of a state", &error))
}

/// Gives the directory and what is in it to the runner's user, where that is another: then we are root.
fn hand_over(path: &Path, uid: u32, gid: u32) -> std::io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.uid() != uid {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            hand_over(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

/// Host paths that a runner wants mounted, checked against the allow list.
pub(super) fn mounts(
    wanted: &std::collections::BTreeMap<String, String>,
    allowed: &[PathBuf],
) -> Result<Vec<(String, String)>, LaunchError> {
    let mut wrong = Vec::new();
    let mut mounts = Vec::new();
    let allowed: Vec<PathBuf> = allowed
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    for (path, target) in wanted {
        match Path::new(path).canonicalize() {
            // Links are followed first, so that an allowed directory cannot lead elsewhere.
            Ok(real) if allowed.iter().any(|allowed| real.starts_with(allowed)) => {
                mounts.push((real.display().to_string(), target.clone()));
            }
            Ok(_) => wrong.push(format!(
                "`{path}` is not below a path that this host allows to be mounted"
            )),
            Err(error) => wrong.push(format!("`{path}` cannot be mounted: {error}")),
        }
    }
    if wrong.is_empty() {
        return Ok(mounts);
    }
    let list: Vec<String> = allowed
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    Err(LaunchError {
        class: FailureClass::ConfigInvalid,
        message: format!(
            "the runner's mounts are refused: {}. Allowed: {}",
            wrong.join("; "),
            if list.is_empty() {
                "nothing".to_owned()
            } else {
                list.join(", ")
            }
        ),
        transient: false,
    })
}

fn moved(what: String) -> LaunchError {
    LaunchError {
        class: FailureClass::ConfigInvalid,
        message: format!(
            "{what}. Deploying would plan everything anew, so it is refused; use the same DOCKER_HOST and runner as before"
        ),
        transient: false,
    }
}

fn failed(path: &Path, what: &str, error: &std::io::Error) -> LaunchError {
    LaunchError {
        class: FailureClass::StartFailed,
        message: format!(
            "`{}` could not be {what}: {error}{}",
            path.display(),
            advice(error)
        ),
        transient: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    const ENV: &str = "01890000-0000-7000-8000-00000000000e";

    fn host(directory: &Path) -> HostSettings {
        HostSettings {
            data_dir: directory.to_owned(),
            instance: "instance".to_owned(),
            mirror: None,
            docker_host: None,
            docker_network: None,
            binary: None,
            mount_allow: Vec::new(),
            environment_allow: None,
            engines: BTreeMap::new(),
            parallel: 1,
            runner_image: None,
        }
    }

    #[test]
    fn the_state_directory_is_for_the_runners_user_alone() {
        let data = tempfile::tempdir().expect("a directory");
        let host = host(data.path());
        let owner = owner(&host).expect("there");
        assert_ne!(owner.0, 0, "never root");
        let place = state(&host, ENV, "daemon", false, owner).expect("made");
        let StatePlace::Directory(path) = place else {
            panic!("{place:?}")
        };
        let metadata = std::fs::metadata(path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        assert_eq!(metadata.uid(), owner.0);
    }

    #[test]
    fn a_place_once_used_is_not_left_for_another() {
        let data = tempfile::tempdir().expect("a directory");
        let host = host(data.path());
        let owner = owner(&host).expect("there");
        let volume = state(&host, ENV, "far", true, owner).expect("a volume");
        assert_eq!(volume, StatePlace::Volume(format!("windlass-state-{ENV}")));
        assert_eq!(
            state(&host, ENV, "far", true, owner).expect("again"),
            volume
        );
        assert!(state(&host, ENV, "near", false, owner).is_err());
        assert!(state(&host, ENV, "further", true, owner).is_err());

        let other = "01890000-0000-7000-8000-00000000000f";
        state(&host, other, "near", false, owner).expect("a directory");
        let file = data
            .path()
            .join("state")
            .join(other)
            .join("terraform.tfstate");
        std::fs::write(file, "{}").expect("written");
        assert!(state(&host, other, "far", true, owner).is_err());
    }

    #[test]
    fn a_state_that_is_to_go_is_known_until_it_is_used_again() {
        let data = tempfile::tempdir().expect("a directory");
        let host = host(data.path());
        let owner = owner(&host).expect("there");
        assert_eq!(forget(&host, ENV).expect("nothing there"), None);
        let volume = format!("windlass-state-{ENV}");
        state(&host, ENV, "far", true, owner).expect("a volume");
        assert!(forgotten(&host, "far").is_empty());
        for _ in 0..2 {
            assert_eq!(forget(&host, ENV).expect("noted"), Some(volume.clone()));
        }
        assert!(forgotten(&host, "further").is_empty());
        assert_eq!(forgotten(&host, "far"), [(ENV.to_owned(), volume)]);
        state(&host, ENV, "far", true, owner).expect("used again");
        assert!(forgotten(&host, "far").is_empty());
    }

    #[test]
    fn an_environment_cannot_name_another_directory() {
        let data = tempfile::tempdir().expect("a directory");
        assert!(state(&host(data.path()), "../x", "d", false, (1, 1)).is_err());
    }

    #[test]
    fn mounts_outside_the_allow_list_are_refused_links_included() {
        let data = tempfile::tempdir().expect("a directory");
        let allowed = data.path().join("allowed");
        let secret = data.path().join("secret");
        std::fs::create_dir(&allowed).expect("made");
        std::fs::create_dir(&secret).expect("made");
        std::os::unix::fs::symlink(&secret, allowed.join("link")).expect("made");
        let wanted =
            |path: &Path| BTreeMap::from([(path.display().to_string(), "/there".to_owned())]);
        let allow = [allowed.clone()];
        assert!(mounts(&wanted(&allowed), &allow).is_ok());
        for path in [secret, allowed.join("link"), allowed.join("missing")] {
            let message = mounts(&wanted(&path), &allow).expect_err("refused").message;
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
    }
}
