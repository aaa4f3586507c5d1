//! Where the state of an environment lies on this host: `state/ENV_UUID` in the data directory.
//!
//! It goes when a destroy run has proved that nothing is left: the engine's own backup still holds every value that the
//! environment had, and nobody needs it any more.

use std::io;
use std::path::{Path, PathBuf};

use super::Assignment;
use super::docker::place::ELSEWHERE;
use super::inside::guard::{Found, GuardError, look, look_elsewhere};
use crate::wire::state::Open;

/// The directory of an environment, as an absolute path. It names a directory, so nothing but a UUID may be in it.
pub(super) fn directory(data_dir: &Path, env_uuid: &str) -> io::Result<PathBuf> {
    if uuid::Uuid::try_parse(env_uuid).is_err() {
        return Err(io::Error::other("the environment has no UUID"));
    }
    Ok(std::path::absolute(data_dir)?.join("state").join(env_uuid))
}

/// What lies in the state of an environment; `None` where it does not lie on this host.
pub(crate) async fn found(data_dir: &Path, env_uuid: &str) -> Result<Option<Found>, GuardError> {
    let Some(directory) = here(data_dir, env_uuid) else {
        return Ok(None);
    };
    tokio::task::spawn_blocking(move || look(&directory).map(Some))
        .await
        .unwrap_or(Ok(None))
}

/// What a killed run left open, where that can be said. `elsewhere`: the state, where it is no file here and is known.
pub(super) async fn left_open(
    data_dir: &Path,
    assignment: &Assignment,
    elsewhere: Option<Vec<u8>>,
) -> Option<Open> {
    let env_uuid = &assignment.env_uuid;
    let found = match assignment.job.local_state {
        true => found(data_dir, env_uuid)
            .await
            .map(|found| Some(found?.open)),
        false => match here(data_dir, env_uuid) {
            Some(directory) => tokio::task::spawn_blocking(move || {
                look_elsewhere(&directory, elsewhere.as_deref()).map(Some)
            })
            .await
            .unwrap_or(Ok(None)),
            None => Ok(None),
        },
    };
    found.unwrap_or_else(|error| {
        tracing::warn!(env_uuid, %error, "what a run left open is not known");
        None
    })
}

/// The directory of an environment, where it lies on this host.
fn here(data_dir: &Path, env_uuid: &str) -> Option<PathBuf> {
    directory(data_dir, env_uuid)
        .ok()
        .filter(|directory| !directory.join(ELSEWHERE).exists())
}

/// Removes it with everything in it; that it is not there is no error.
pub(super) fn remove(data_dir: &Path, env_uuid: &str) -> io::Result<()> {
    match std::fs::remove_dir_all(directory(data_dir, env_uuid)?) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: &str = "01890000-0000-7000-8000-000000000001";

    #[test]
    fn the_directory_of_one_environment_goes_and_no_other() {
        let data = tempfile::tempdir().expect("a directory");
        let kept = data
            .path()
            .join("state/01890000-0000-7000-8000-000000000002");
        let gone = directory(data.path(), ENV).expect("a UUID");
        for directory in [&kept, &gone] {
            std::fs::create_dir_all(directory).expect("made");
            std::fs::write(directory.join("terraform.tfstate.backup"), "secret").expect("written");
        }
        remove(data.path(), ENV).expect("removed");
        remove(data.path(), ENV).expect("not there is no error");
        assert!(!gone.exists() && kept.exists());
        assert!(remove(data.path(), "..").is_err());
        assert!(kept.exists());
    }
}
