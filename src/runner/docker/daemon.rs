//! Finds the Docker daemon, and turns its errors into answers for people.

use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error;
use sha2::{Digest, Sha256};

use crate::model::hex;
use crate::model::phase::FailureClass;
use crate::runner::LaunchError;

const SOCKET: &str = "unix:///var/run/docker.sock";

/// A daemon that answers.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    /// The client, speaking a version that both know.
    pub(super) docker: Docker,
    /// As a person would write it.
    pub(crate) address: String,
    /// Its own identity.
    pub(crate) id: String,
    /// Whether it cannot see directories of this host under our own names and owners: it is reached over a network,
    /// or maps users to others.
    pub(crate) elsewhere: bool,
}

/// Connects, and fails with what a person should do when nothing answers.
///
/// `setting` is an address or a path of a socket; absent: `DOCKER_HOST`, Docker's own context, the usual sockets.
pub(crate) async fn connect(setting: Option<&str>) -> Result<Daemon, LaunchError> {
    let address = address(setting);
    if let Some(path) = address.strip_prefix("unix://") {
        openable(&address, Path::new(path)).await?;
    }
    let unanswered = |error: Error| unreachable(&address, &describe(&error));
    let docker = Docker::connect_with_host(&address)
        .map_err(|error| match error {
            Error::UnsupportedURISchemeError { .. } => unreachable(
                &address,
                "only `unix://` and `tcp://` without TLS can be used",
            ),
            other => unreachable(&address, &describe(&other)),
        })?
        .negotiate_version()
        .await
        .map_err(unanswered)?;
    let info = docker.info().await.map_err(unanswered)?;
    let remapped = info
        .security_options
        .unwrap_or_default()
        .iter()
        .any(|option| option.contains("rootless") || option.contains("userns"));
    Ok(Daemon {
        elsewhere: remapped || !address.starts_with("unix://"),
        docker,
        id: info.id.unwrap_or_default(),
        address,
    })
}

/// A socket that nobody listens at, or that this user may not open, is told apart here: the client's errors do not.
async fn openable(address: &str, path: &Path) -> Result<(), LaunchError> {
    match tokio::net::UnixStream::connect(path).await {
        Ok(_) => Ok(()),
        Err(error) => Err(unreachable(
            address,
            match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such socket",
                std::io::ErrorKind::PermissionDenied => {
                    "this user may not open it; it usually belongs to the group `docker`"
                }
                std::io::ErrorKind::ConnectionRefused => "nobody listens there",
                _ => "it cannot be opened",
            },
        )),
    }
}

fn unreachable(address: &str, why: &str) -> LaunchError {
    LaunchError {
        class: FailureClass::RunnerUnreachable,
        message: format!(
            "the Docker daemon does not answer at `{address}`: {why}. Start Docker, set DOCKER_HOST, or deploy with `--runner process`"
        ),
        transient: false,
    }
}

fn address(setting: Option<&str>) -> String {
    let named = setting
        .map(str::to_owned)
        .or_else(|| std::env::var("DOCKER_HOST").ok())
        .filter(|text| !text.is_empty());
    match named {
        Some(path) if path.starts_with('/') => format!("unix://{path}"),
        Some(address) => address,
        None => context().unwrap_or_else(usual),
    }
}

/// The address of the context that `docker context use` chose.
fn context() -> Option<String> {
    let directory = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let name = match std::env::var("DOCKER_CONTEXT") {
        Ok(name) if !name.is_empty() => name,
        _ => read(&directory.join("config.json"))?
            .get("currentContext")?
            .as_str()?
            .to_owned(),
    };
    if name == "default" {
        return None;
    }
    let meta = directory
        .join("contexts/meta")
        .join(hex(&Sha256::digest(name.as_bytes())))
        .join("meta.json");
    let host = read(&meta)?;
    Some(host.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned())
}

fn read(file: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// The system's socket, or the user's own where only that exists.
fn usual() -> String {
    let system = Path::new("/var/run/docker.sock");
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("docker.sock"));
    match own {
        Some(own) if !system.exists() && own.exists() => format!("unix://{}", own.display()),
        _ => SOCKET.to_owned(),
    }
}

/// What the daemon said, on one line.
pub(super) fn describe(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line
        .char_indices()
        .nth(400)
        .map_or(line.len(), |(at, _)| at);
    line[..end].to_owned()
}

/// Status of the daemon's answer, where there was one.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the daemon says that its disk is full.
pub(super) fn is_full(error: &Error) -> bool {
    describe(error).contains("no space left on device")
}

/// An error of a call: the daemon's own words when it answered, else that it did not.
pub(super) fn failed(daemon: &Daemon, doing: &str, error: &Error) -> LaunchError {
    match status(error) {
        Some(_) if is_full(error) => LaunchError {
            class: FailureClass::StartFailed,
            message: format!(
                "Docker could not {doing}: there is no space left on its disk. Free some (`docker system df` shows what takes it, `docker system prune` removes what nobody uses), or deploy with `--runner process`"
            ),
            transient: false,
        },
        Some(status) => LaunchError {
            class: FailureClass::StartFailed,
            message: format!("Docker could not {doing}: {}", describe(error)),
            transient: status >= 500,
        },
        None => LaunchError {
            transient: true,
            ..unreachable(
                &daemon.address,
                &format!("it could not {doing} ({})", describe(error)),
            )
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_daemon_is_answered_with_what_to_do() {
        let error = connect(Some("/nonexistent/docker.sock"))
            .await
            .expect_err("nobody there");
        assert_eq!(error.class, FailureClass::RunnerUnreachable);
        assert_eq!(
            error.message,
            "the Docker daemon does not answer at `unix:///nonexistent/docker.sock`: there is no such socket. \
             Start Docker, set DOCKER_HOST, or deploy with `--runner process`"
        );
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_used_says_which_can() {
        let message = connect(Some("ssh://host"))
            .await
            .expect_err("refused")
            .message;
        assert!(message.contains("`unix://`"), "{message}");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_at_is_told_apart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let message = connect(path.to_str()).await.expect_err("nobody").message;
        assert!(message.contains("nobody listens there"), "{message}");
    }
}
