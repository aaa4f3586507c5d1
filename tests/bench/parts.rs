//! What a comparison needs from this machine: an engine, the daemon, providers; each missing one is named with what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::docker::Docker;

/// How to get everything at once.
const GET: &str =
    "get all parts with `eval \"$(bash tests/run --parts | grep ^export)\"` in this shell";
/// The large provider is this many bytes longer than it was.
const PADDING: u64 = 600_000_000;

/// Found parts.
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    /// The binary of this very build.
    pub(crate) windlass: PathBuf,
    /// The daemon, or why there is none.
    pub(crate) docker: Result<Docker, String>,
    /// A provider mirror to take a provider from.
    mirror: Option<PathBuf>,
}

/// The engine that both sides use.
pub(crate) struct Engine {
    /// As in settings.
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    version: String,
    digest: String,
}

impl Parts {
    pub(crate) fn find() -> Result<Self, String> {
        let engine = engine()?;
        let mirror = std::env::var_os("WINDLASS_TEST_MIRROR").map(PathBuf::from);
        Ok(Self {
            engine,
            windlass: env!("CARGO_BIN_EXE_windlass").into(),
            docker: Docker::connect(),
            mirror: mirror.filter(|path| path.is_dir()),
        })
    }

    /// For the foot of the table.
    pub(crate) fn describe(&self) -> String {
        let daemon = match &self.docker {
            Ok(docker) => format!("Docker {}", docker.version),
            Err(_) => "no container engine".to_owned(),
        };
        format!(
            "engine: {} {} (sha256 {}…), {daemon}",
            self.engine.name, self.engine.version, self.engine.digest
        )
    }

    /// A mirror with one small provider that is 600 MB long: what hashing and a large file cost, without a network. A
    /// program ignores what follows its last section, and zeros take no room on a disk.
    pub(crate) fn large_mirror(&self, target: &Path) -> Result<(), String> {
        let Some(mirror) = &self.mirror else {
            return Err(format!(
                "no provider mirror: WINDLASS_TEST_MIRROR names no directory; {GET}"
            ));
        };
        let mut found = false;
        for registry in ["registry.opentofu.org", "registry.terraform.io"] {
            let inside = Path::new(registry).join("hashicorp/time");
            found |= copy(&mirror.join(&inside), &target.join(&inside))
                .map_err(|error| format!("the provider could not be copied: {error}"))?;
        }
        if found {
            Ok(())
        } else {
            Err(format!(
                "`{}` has no provider hashicorp/time; {GET}",
                mirror.display()
            ))
        }
    }
}

/// Copies a directory of packages and makes each file in it longer; whether there was a file.
fn copy(from: &Path, to: &Path) -> std::io::Result<bool> {
    let mut found = false;
    let Ok(entries) = fs::read_dir(from) else {
        return Ok(false);
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            found |= copy(&entry.path(), &target)?;
        } else {
            let length = fs::copy(entry.path(), &target)?;
            let file = fs::OpenOptions::new().write(true).open(&target)?;
            file.set_len(length + PADDING)?;
            found = true;
        }
    }
    Ok(found)
}

fn engine() -> Result<Engine, String> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |program: &str| {
        std::env::split_paths(&search)
            .map(|directory| directory.join(program))
            .find(|path| path.is_file())
    };
    for (name, program, variable) in [
        ("opentofu", "tofu", "WINDLASS_TEST_TOFU"),
        ("terraform", "terraform", "WINDLASS_TEST_TERRAFORM"),
    ] {
        let asked = std::env::var_os(variable).map(PathBuf::from);
        if let Some(path) = asked.or_else(|| on_path(program)) {
            let output = Command::new(&path)
                .args(["version", "-json"])
                // A setting of this shell may make an engine print something else before its answer.
                .env_clear()
                .env("CHECKPOINT_DISABLE", "1")
                .output()
                .map_err(|error| {
                    format!("the engine `{}` does not start: {error}", path.display())
                })?;
            let facts: serde_json::Value = serde_json::from_slice(&output.stdout)
                .map_err(|_| format!("`{} version -json` printed no JSON", path.display()))?;
            let version = facts["terraform_version"].as_str().unwrap_or("unknown");
            let bytes = fs::read(&path).map_err(|error| error.to_string())?;
            let digest = Sha256::digest(&bytes);
            return Ok(Engine {
                name,
                version: version.to_owned(),
                digest: digest[..6]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
                path: std::path::absolute(&path).unwrap_or(path),
            });
        }
    }
    Err(format!(
        "no engine: put `tofu` or `terraform` on PATH or name one in WINDLASS_TEST_TOFU or WINDLASS_TEST_TERRAFORM; {GET}"
    ))
}
