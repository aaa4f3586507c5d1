//! The settings file: what it may hold, read whole and changed whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::contexts::Context;
use crate::cli::files;
use crate::runner::job::Deadlines;
use crate::wire::runners::Shortcuts;

/// The settings file, `windlass/config.yaml` in the platform's configuration directory, 0600.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Base URL of a server; absent: local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<String>,
    /// Organisation where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_org_id: Option<String>,
    /// Bearer token of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Hidden>,
    /// Other servers and organisations, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contexts: BTreeMap<String, Context>,
    /// Which of them is in effect; absent: what stands at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_context: Option<String>,
    /// Accepted for compatibility; this client never asks for new versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disable_version_check: Option<bool>,
    /// Days that kept keys live; 30 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_keys_days: Option<u32>,
    /// Directory of providers in the engine's mirror layout, mounted read-only into runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mirror: Option<PathBuf>,
    /// Whether the engine may download providers that the mirror lacks; true where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_downloads: Option<bool>,
    /// What runs save themselves; all of it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shortcuts: Option<Shortcuts>,
    /// Seconds that each phase of a run may take: `init`, `plan`, `apply`, `destroy`, `finish`; and `grace` for an engine
    /// that was asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadlines: Option<Deadlines>,
    /// Host paths that runners may mount read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mount_allow: Vec<PathBuf>,
    /// Variables by name, and files and directories by absolute path, that a runner's `environment` may read on this host.
    /// Where nothing is said: on a server none, in local mode whatever its user may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment_allow: Option<Vec<String>>,
    /// `opentofu` and `terraform` to the binary, for the process launcher and the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) engines: BTreeMap<String, PathBuf>,
    /// Socket of the Docker daemon; `DOCKER_HOST` or the platform's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) docker_host: Option<String>,
    /// The network of containers whose runner names none; `bridge` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) docker_network: Option<String>,
    /// What `windlass serve` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serve: Option<ServeFile>,
    /// The image of runners in Kubernetes, as its nodes pull it, where their pod template names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) runner_image: Option<String>,
    /// Runs at once; half the processors, at least two, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parallel_runs: Option<usize>,
    /// Where the database is; a file in the data directory where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database_url: Option<Hidden>,
}

/// The part of the settings file that a server reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeFile {
    /// `ADDRESS:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<String>,
    /// The URL under which people and clients reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_url: Option<String>,
    /// The URL under which runs reach the states that it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state_url: Option<String>,
    /// How many versions of each are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state_versions: Option<u32>,
    /// Certificate chain, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether the reserved runner `local` serves where no rule matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) local_runner: Option<bool>,
    /// Whether runs may be processes of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process_runner: Option<bool>,
    /// Requests a second of one token or address; 0 is without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate_limit: Option<u32>,
    /// Seconds that requests under way get to end when the server stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop_seconds: Option<u64>,
    /// Where people sign in: the URL of an issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_issuer: Option<String>,
    /// What this server is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_client_id: Option<String>,
    /// What it proves that with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_client_secret: Option<Hidden>,
    /// A file with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_client_secret_file: Option<PathBuf>,
    /// What the button says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_name: Option<String>,
    /// Whether addresses count as verified of which the issuer does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_trust_emails: Option<bool>,
    /// Organisation of people whom nobody made or invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_newcomer_org: Option<String>,
    /// Their role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oidc_newcomer_role: Option<String>,
    /// Domains of their addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) oidc_newcomer_domains: Vec<String>,
    /// `text` or `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<String>,
}

/// A text that holds a secret, such as the address of a database with its password; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl Hidden {
    /// The text, for whoever needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// Reads the file; absent means empty.
pub(crate) fn read(path: &Path) -> anyhow::Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("failed to read configuration `{}`", path.display()));
        }
    };
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_yaml::from_str(&text)
        .with_context(|| format!("failed to read configuration `{}`", path.display()))
}

/// Changes the file: read, edit, write beside it, rename. The directory is 0700, the file 0600.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut File)) -> anyhow::Result<()> {
    let mut file = read(path)?;
    change(&mut file);
    let text = serde_yaml::to_string(&file).context("failed to write configuration")?;
    let Some(parent) = path.parent() else {
        bail!("`{}` has no directory", path.display());
    };
    files::private_dir(parent)?;
    files::write_private(path, text.as_bytes())
        .with_context(|| format!("failed to write configuration `{}`", path.display()))
}
