//! Describes the container of one run: image, arguments, mounts, limits, labels, user, network.
//!
//! Decides everything and touches nothing; `docker` carries the description out and decides nothing.
//! Start at [`container`]. Nothing secret is ever part of it: descriptions end in labels and in `docker inspect`.
//!
//! Why one description for a run and for a container that stands by: both must be equal in all that
//! [`Settings`] holds, or the second could not take the place of the first. [`Settings::digest`] proves it.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{LaunchError, RunKey, job::Deadlines};
use crate::model::hex;
use crate::model::phase::FailureClass;
use crate::wire::runners::DockerConfiguration;

/// Label whose value is the installation; everything that carries it is ours to remove.
pub(crate) const LABEL: &str = "windlass";
/// Label that says what a container or volume is for: see [`Purpose`] and [`VolumeKind`].
pub(crate) const LABEL_KIND: &str = "windlass.kind";
/// Label of containers: UUID of the environment.
pub(crate) const LABEL_ENV: &str = "windlass.env";
/// Label of containers: [`Settings::digest`].
pub(crate) const LABEL_SETTINGS: &str = "windlass.settings";
/// Label of containers: seconds that it waits for its job.
pub(crate) const LABEL_WAIT: &str = "windlass.wait";
/// Label of containers: UUID of the run.
pub(crate) const LABEL_RUN: &str = "windlass.run";
/// Label of containers: the attempt.
pub(crate) const LABEL_ATTEMPT: &str = "windlass.attempt";
/// Label of containers: UUID of the deployment.
pub(crate) const LABEL_DEPLOYMENT: &str = "windlass.deployment";

/// Prefix of the names of containers that stand by.
pub(crate) const STANDBY_PREFIX: &str = "windlass-standby-";

/// Where the spool volume is mounted; the work directory lies in it.
pub(crate) const SPOOL: &str = "/spool";
/// Where the state of the environment is mounted.
pub(crate) const STATE: &str = "/state";
/// Where the provider mirror is mounted.
pub(crate) const MIRROR: &str = "/mirror";
/// Where a custom image gets our binary from.
pub(crate) const BINARY_DIR: &str = "/windlass";

const DEFAULT_MEMORY: i64 = 2 << 30;
const LEAST_MEMORY: i64 = 64 << 20;
const DEFAULT_PIDS: i64 = 512;
const LEAST_PIDS: i64 = 16;
/// A started container that gets no job for this long ends by itself.
const WAIT_SECS: u32 = 120;
/// The network of a container where neither its runner nor the host names one.
pub(crate) const NETWORK: &str = "bridge";
/// Default of `standby_secs`.
const STANDBY_SECS: u32 = 600;

/// What the host and the daemon are like, found out before.
#[derive(Debug, Clone)]
pub(crate) struct HostFacts {
    /// UUID of this installation.
    pub(crate) instance: String,
    /// Who the container runs as; never 0.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// Where the state of this environment lies.
    pub(crate) state: StatePlace,
    /// Host path of the provider mirror.
    pub(crate) mirror: Option<String>,
    /// What runs.
    pub(crate) image: Image,
    /// The network where the runner names none; `None`: [`NETWORK`].
    pub(crate) network: Option<String>,
    /// Read-only mounts, checked against the host's allow list: host path and container path.
    pub(crate) mounts: Vec<(String, String)>,
}

/// Where the state of an environment lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatePlace {
    /// In a directory of this host.
    Directory(String),
    /// In a named volume of the daemon, which is not on this host.
    Volume(String),
}

/// An image to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// Ours, with our binary in it.
    Default {
        /// `windlass-runner:HEX16`.
        reference: String,
    },
    /// One that a runner names; our binary comes from a volume.
    Custom {
        /// As the runner names it.
        reference: String,
        /// The volume that holds the binary.
        binary: String,
    },
}

/// What a container is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// One attempt of one run.
    Run {
        /// The attempt.
        key: &'a RunKey,
        /// UUID of its deployment.
        deployment: &'a str,
    },
    /// The next run of the environment, which is not known yet.
    Standby {
        /// UUID of its own.
        id: &'a str,
    },
}

/// What a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VolumeKind {
    /// The events and the work directory of one container; goes with it.
    Spool,
    /// The state of an environment; never removed by a sweep.
    State,
    /// Our binary, for custom images.
    Binary,
}

impl VolumeKind {
    /// The value of [`LABEL_KIND`].
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::State => "state",
            Self::Binary => "binary",
        }
    }
}

/// One container, whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ContainerSpec {
    /// Name at the daemon: creating it twice is refused, so it is the key of an attempt.
    pub(crate) name: String,
    /// Name of the host inside.
    pub(crate) hostname: String,
    /// Volume mounted at [`SPOOL`].
    pub(crate) spool: String,
    /// All labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// What a container that stands by must have in common with the run that takes it.
    pub(crate) settings: Settings,
}

/// Everything that two containers of one environment with the same runner have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) image: String,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) user: String,
    pub(crate) working_dir: String,
    pub(crate) network: String,
    pub(crate) memory_bytes: i64,
    /// Billionths of a CPU; absent: no limit.
    pub(crate) nano_cpus: Option<i64>,
    pub(crate) pids: i64,
    pub(crate) read_only_root: bool,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) security_opt: Vec<String>,
    /// Largest core dump in bytes: a dump would hold secrets.
    pub(crate) core_bytes: i64,
    pub(crate) log_driver: String,
    /// Path to options.
    pub(crate) tmpfs: BTreeMap<String, String>,
    pub(crate) mounts: Vec<Mount>,
    /// What `docker stop` waits for before it kills: longer than the supervisor's own ladder.
    pub(crate) stop_timeout_secs: i64,
    /// How long it waits for its job before it ends by itself.
    pub(crate) wait_secs: u32,
}

/// One mount beside the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    pub(crate) source: MountSource,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountSource {
    /// A path of the host; it must exist.
    Path(String),
    /// A named volume; made when it does not exist.
    Volume {
        name: String,
        kind: VolumeKind,
        labels: BTreeMap<String, String>,
    },
}

impl Settings {
    /// Sixteen hexadecimal digits over all of it.
    pub(crate) fn digest(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex(&Sha256::digest(&text)[..8])
    }
}

impl ContainerSpec {
    /// Arguments of the supervisor.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let launcher = match self.name.starts_with(STANDBY_PREFIX) {
            true => "docker, standing by",
            false => "docker",
        };
        let wait = self.settings.wait_secs.to_string();
        ["inside", "--launcher", launcher, "--wait", &wait]
            .map(str::to_owned)
            .to_vec()
    }
}

/// Name of the container, and of the spool volume, of an attempt.
pub(crate) fn name(key: &RunKey) -> String {
    format!("windlass-{key}")
}

/// Reads [`name`]; `None` for any other name, also for one that stands by.
pub(crate) fn key_of(name: &str) -> Option<RunKey> {
    key_in(name.strip_prefix("windlass-")?)
}

/// The attempt in the text of its key.
pub(crate) fn key_in(text: &str) -> Option<RunKey> {
    let (run, attempt) = text.rsplit_once('-')?;
    uuid::Uuid::try_parse(run).ok()?;
    Some(RunKey {
        run: run.to_owned(),
        attempt: attempt.parse().ok()?,
    })
}

/// How long a container of this runner stands by; `None` when it does not.
pub(crate) fn standby_secs(wanted: &DockerConfiguration) -> Option<u32> {
    Some(wanted.standby_secs.unwrap_or(STANDBY_SECS)).filter(|secs| *secs > 0)
}

/// Labels of a volume.
pub(crate) fn volume_labels(instance: &str, kind: VolumeKind) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL.to_owned(), instance.to_owned()),
        (LABEL_KIND.to_owned(), kind.as_str().to_owned()),
    ])
}

/// Describes the container of `purpose` for a runner that wants `wanted`.
///
/// Fails on values that a runner may not ask for; all of them at once.
pub(crate) fn container(
    purpose: Purpose<'_>,
    env_uuid: &str,
    wanted: &DockerConfiguration,
    deadlines: &Deadlines,
    host: &HostFacts,
) -> Result<ContainerSpec, LaunchError> {
    let settings = settings(wanted, deadlines, host)?;
    let mut labels = BTreeMap::from([
        (LABEL.to_owned(), host.instance.clone()),
        (LABEL_ENV.to_owned(), env_uuid.to_owned()),
        (LABEL_SETTINGS.to_owned(), settings.digest()),
    ]);
    let (name, hostname, wait_secs) = match purpose {
        Purpose::Run { key, deployment } => {
            labels.insert(LABEL_KIND.to_owned(), "run".to_owned());
            labels.insert(LABEL_RUN.to_owned(), key.run.clone());
            labels.insert(LABEL_ATTEMPT.to_owned(), key.attempt.to_string());
            labels.insert(LABEL_DEPLOYMENT.to_owned(), deployment.to_owned());
            (name(key), key.run.clone(), WAIT_SECS)
        }
        Purpose::Standby { id } => {
            labels.insert(LABEL_KIND.to_owned(), "standby".to_owned());
            let secs = standby_secs(wanted).unwrap_or(STANDBY_SECS);
            (format!("{STANDBY_PREFIX}{id}"), id.to_owned(), secs)
        }
    };
    labels.insert(LABEL_WAIT.to_owned(), wait_secs.to_string());
    Ok(ContainerSpec {
        spool: name.clone(),
        name,
        hostname,
        labels,
        settings: Settings {
            wait_secs,
            ..settings
        },
    })
}

fn settings(
    wanted: &DockerConfiguration,
    deadlines: &Deadlines,
    host: &HostFacts,
) -> Result<Settings, LaunchError> {
    let mut wrong = Vec::new();
    let network = wanted
        .network
        .clone()
        .or_else(|| host.network.clone())
        .unwrap_or_else(|| NETWORK.to_owned());
    if !is_network(&network) {
        wrong.push(format!(
            "`network` is `{network}`; expected `bridge`, `none`, `host` or the name of a Docker network"
        ));
    }
    let memory_bytes = wanted.memory_bytes.unwrap_or(DEFAULT_MEMORY);
    if memory_bytes < LEAST_MEMORY {
        wrong.push(format!(
            "`memory_bytes` is {memory_bytes}; an engine needs at least {LEAST_MEMORY}"
        ));
    }
    let pids = wanted.pids.unwrap_or(DEFAULT_PIDS);
    if pids < LEAST_PIDS {
        wrong.push(format!(
            "`pids` is {pids}; an engine needs at least {LEAST_PIDS}"
        ));
    }
    for (_, target) in &host.mounts {
        if let Err(why) = check_target(target) {
            wrong.push(format!("`mounts` has the container path `{target}`, {why}"));
        }
    }
    if !wrong.is_empty() {
        return Err(LaunchError {
            class: FailureClass::ConfigInvalid,
            message: format!(
                "the runner's configuration is refused: {}",
                wrong.join("; ")
            ),
            transient: false,
        });
    }
    let (image, entrypoint, binary) = match &host.image {
        Image::Default { reference } => (reference.clone(), "/windlass".to_owned(), None),
        Image::Custom { reference, binary } => (
            reference.clone(),
            format!("{BINARY_DIR}/windlass"),
            Some(binary.clone()),
        ),
    };
    Ok(Settings {
        image,
        entrypoint: vec![entrypoint],
        user: format!("{}:{}", host.uid, host.gid),
        working_dir: SPOOL.to_owned(),
        network,
        memory_bytes,
        nano_cpus: wanted.cpus.map(|cpus| i64::from(cpus.milli) * 1_000_000),
        pids,
        read_only_root: true,
        cap_drop: vec!["ALL".to_owned()],
        security_opt: vec!["no-new-privileges".to_owned()],
        core_bytes: 0,
        log_driver: "none".to_owned(),
        tmpfs: BTreeMap::from([(
            "/tmp".to_owned(),
            // Counts against the memory limit, so its own limit is half of that.
            format!("rw,nosuid,nodev,mode=1777,size={}", memory_bytes / 2),
        )]),
        mounts: mounts(host, binary),
        stop_timeout_secs: ladder_secs(deadlines),
        wait_secs: 0,
    })
}

/// Seconds after which a run that was asked to stop has ended by itself: patience, second interrupt, kill, saving.
pub(crate) fn ladder_secs(deadlines: &Deadlines) -> i64 {
    i64::try_from(deadlines.grace + deadlines.finish + 30).unwrap_or(i64::MAX)
}

fn mounts(host: &HostFacts, binary: Option<String>) -> Vec<Mount> {
    let volume = |name: &String, kind| MountSource::Volume {
        name: name.clone(),
        kind,
        labels: volume_labels(&host.instance, kind),
    };
    let state = match &host.state {
        StatePlace::Directory(path) => MountSource::Path(path.clone()),
        StatePlace::Volume(name) => volume(name, VolumeKind::State),
    };
    let mut mounts = vec![Mount {
        source: state,
        target: STATE.to_owned(),
        read_only: false,
    }];
    let mut read_only = |source, target: &str| {
        mounts.push(Mount {
            source,
            target: target.to_owned(),
            read_only: true,
        });
    };
    if let Some(mirror) = &host.mirror {
        read_only(MountSource::Path(mirror.clone()), MIRROR);
    }
    if let Some(name) = &binary {
        read_only(volume(name, VolumeKind::Binary), BINARY_DIR);
    }
    for (path, target) in &host.mounts {
        read_only(MountSource::Path(path.clone()), target);
    }
    mounts
}

/// `container:ID` and other forms that share somebody's namespace are refused.
fn is_network(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn check_target(target: &str) -> Result<(), &'static str> {
    const OURS: &[&str] = &[
        "/spool",
        "/state",
        "/mirror",
        "/windlass",
        "/tmp",
        "/proc",
        "/sys",
        "/dev",
    ];
    let absolute = target.starts_with('/') && target.len() > 1;
    if !absolute || target.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("which is not an absolute path without `.` and `..`");
    }
    let path = std::path::Path::new(target);
    if OURS.iter().any(|ours| path.starts_with(ours)) {
        return Err("which is kept for the runner itself");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::runners::CpuCount;

    const RUN: &str = "01890000-0000-7000-8000-000000000001";

    fn key() -> RunKey {
        RunKey {
            run: RUN.to_owned(),
            attempt: 2,
        }
    }

    fn host() -> HostFacts {
        HostFacts {
            instance: "instance".to_owned(),
            uid: 1000,
            gid: 1000,
            state: StatePlace::Directory("/data/state/env".to_owned()),
            mirror: Some("/data/mirror".to_owned()),
            image: Image::Default {
                reference: "windlass-runner:0123456789abcdef".to_owned(),
            },
            network: None,
            mounts: Vec::new(),
        }
    }

    #[test]
    fn the_network_is_what_the_runner_says_or_else_the_host() {
        let network = |wanted: Option<&str>, host_has: Option<&str>| {
            let wanted = DockerConfiguration {
                network: wanted.map(str::to_owned),
                ..DockerConfiguration::default()
            };
            let host = HostFacts {
                network: host_has.map(str::to_owned),
                ..host()
            };
            run(&wanted, &host).expect("described").settings.network
        };
        assert_eq!(network(None, None), "bridge");
        assert_eq!(network(None, Some("none")), "none");
        assert_eq!(network(Some("bridge"), Some("none")), "bridge");
    }

    fn run(wanted: &DockerConfiguration, host: &HostFacts) -> Result<ContainerSpec, LaunchError> {
        container(
            Purpose::Run {
                key: &key(),
                deployment: "deployment",
            },
            "env",
            wanted,
            &Deadlines::default(),
            host,
        )
    }

    #[test]
    fn a_run_is_hardened_by_default() {
        let spec = run(&DockerConfiguration::default(), &host()).expect("described");
        insta::assert_json_snapshot!(spec, @r#"
        {
          "name": "windlass-01890000-0000-7000-8000-000000000001-2",
          "hostname": "01890000-0000-7000-8000-000000000001",
          "spool": "windlass-01890000-0000-7000-8000-000000000001-2",
          "labels": {
            "windlass": "instance",
            "windlass.attempt": "2",
            "windlass.deployment": "deployment",
            "windlass.env": "env",
            "windlass.kind": "run",
            "windlass.run": "01890000-0000-7000-8000-000000000001",
            "windlass.settings": "5ba0ce1198e0f369",
            "windlass.wait": "120"
          },
          "settings": {
            "image": "windlass-runner:0123456789abcdef",
            "entrypoint": [
              "/windlass"
            ],
            "user": "1000:1000",
            "working_dir": "/spool",
            "network": "bridge",
            "memory_bytes": 2147483648,
            "nano_cpus": null,
            "pids": 512,
            "read_only_root": true,
            "cap_drop": [
              "ALL"
            ],
            "security_opt": [
              "no-new-privileges"
            ],
            "core_bytes": 0,
            "log_driver": "none",
            "tmpfs": {
              "/tmp": "rw,nosuid,nodev,mode=1777,size=1073741824"
            },
            "mounts": [
              {
                "source": {
                  "path": "/data/state/env"
                },
                "target": "/state",
                "read_only": false
              },
              {
                "source": {
                  "path": "/data/mirror"
                },
                "target": "/mirror",
                "read_only": true
              }
            ],
            "stop_timeout_secs": 1230,
            "wait_secs": 120
          }
        }
        "#);
    }

    #[test]
    fn a_custom_image_gets_our_binary_and_named_options_loosen_it() {
        let wanted = DockerConfiguration {
            network: Some("none".to_owned()),
            memory_bytes: Some(1 << 30),
            cpus: Some(CpuCount { milli: 1500 }),
            pids: Some(64),
            ..DockerConfiguration::default()
        };
        let host = HostFacts {
            state: StatePlace::Volume("windlass-state-env".to_owned()),
            mirror: None,
            image: Image::Custom {
                reference: "mine:1".to_owned(),
                binary: "windlass-binary-x".to_owned(),
            },
            mounts: vec![("/etc/pki".to_owned(), "/etc/pki".to_owned())],
            ..host()
        };
        let spec = run(&wanted, &host).expect("described");
        assert_eq!(
            spec.arguments(),
            ["inside", "--launcher", "docker", "--wait", "120"]
        );
        insta::assert_json_snapshot!(spec.settings, @r#"
        {
          "image": "mine:1",
          "entrypoint": [
            "/windlass/windlass"
          ],
          "user": "1000:1000",
          "working_dir": "/spool",
          "network": "none",
          "memory_bytes": 1073741824,
          "nano_cpus": 1500000000,
          "pids": 64,
          "read_only_root": true,
          "cap_drop": [
            "ALL"
          ],
          "security_opt": [
            "no-new-privileges"
          ],
          "core_bytes": 0,
          "log_driver": "none",
          "tmpfs": {
            "/tmp": "rw,nosuid,nodev,mode=1777,size=536870912"
          },
          "mounts": [
            {
              "source": {
                "volume": {
                  "name": "windlass-state-env",
                  "kind": "state",
                  "labels": {
                    "windlass": "instance",
                    "windlass.kind": "state"
                  }
                }
              },
              "target": "/state",
              "read_only": false
            },
            {
              "source": {
                "volume": {
                  "name": "windlass-binary-x",
                  "kind": "binary",
                  "labels": {
                    "windlass": "instance",
                    "windlass.kind": "binary"
                  }
                }
              },
              "target": "/windlass",
              "read_only": true
            },
            {
              "source": {
                "path": "/etc/pki"
              },
              "target": "/etc/pki",
              "read_only": true
            }
          ],
          "stop_timeout_secs": 1230,
          "wait_secs": 120
        }
        "#);
    }

    #[test]
    fn standing_by_and_running_agree_in_everything_that_the_digest_covers() {
        let wanted = DockerConfiguration::default();
        let run = run(&wanted, &host()).expect("described");
        let standby = container(
            Purpose::Standby { id: "some-id" },
            "env",
            &wanted,
            &Deadlines::default(),
            &host(),
        )
        .expect("described");
        assert_eq!(run.labels[LABEL_SETTINGS], standby.labels[LABEL_SETTINGS]);
        assert_eq!(standby.name, "windlass-standby-some-id");
        assert_eq!(standby.settings.wait_secs, 600);
        assert!(!format!("{standby:?}").contains(RUN));
    }

    #[test]
    fn any_setting_changes_the_digest() {
        let base = run(&DockerConfiguration::default(), &host()).expect("described");
        let changed = [
            DockerConfiguration {
                network: Some("none".to_owned()),
                ..DockerConfiguration::default()
            },
            DockerConfiguration {
                memory_bytes: Some(1 << 30),
                ..DockerConfiguration::default()
            },
            DockerConfiguration {
                pids: Some(100),
                ..DockerConfiguration::default()
            },
        ];
        for wanted in changed {
            let other = run(&wanted, &host()).expect("described");
            assert_ne!(base.labels[LABEL_SETTINGS], other.labels[LABEL_SETTINGS]);
        }
    }

    #[test]
    fn everything_refused_is_said_at_once() {
        let wanted = DockerConfiguration {
            network: Some("container:other".to_owned()),
            memory_bytes: Some(1),
            pids: Some(1),
            ..DockerConfiguration::default()
        };
        let host = HostFacts {
            mounts: vec![("/a".to_owned(), "/state/x".to_owned())],
            ..host()
        };
        let message = run(&wanted, &host).expect_err("refused").message;
        for part in ["container:other", "memory_bytes", "pids", "/state/x"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn the_name_of_an_attempt_is_read_back_and_no_other_is() {
        assert_eq!(key_of(&name(&key())), Some(key()));
        assert_eq!(key_of(&format!("{STANDBY_PREFIX}{RUN}")), None);
        assert_eq!(key_of("windlass-postgres-1"), None);
    }
}
