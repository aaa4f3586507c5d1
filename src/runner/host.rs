//! What this machine has that runs need: an engine, and how to get one.
//!
//! Looks at the disk and starts nothing. The same search serves both launchers, so that a container gets the engine
//! that a process would have got.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::LaunchError;
use crate::model::phase::FailureClass;

/// Engines in the order in which they are taken when a runner names none: its name and the program's.
const ENGINES: &[(&str, &str)] = &[("opentofu", "tofu"), ("terraform", "terraform")];

/// An engine of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    /// `opentofu` or `terraform`.
    pub(crate) engine: &'static str,
    /// The program's name: `tofu` or `terraform`.
    pub(crate) program: &'static str,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// What a person should do about an error of a file, as the end of a sentence; empty where there is nothing to say.
pub(crate) fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space on its disk and deploy again"
        }
        ErrorKind::ReadOnlyFilesystem => "; make it writable and deploy again",
        ErrorKind::PermissionDenied => {
            "; give it to the user that runs Windlass, with all rights, and deploy again"
        }
        _ => "",
    }
}

/// Finds the engine a runner wants (`None`: any, OpenTofu first): where `engines` says, else in `PATH`.
///
/// `engines` maps `opentofu` and `terraform` to a file. Fails with the command that installs what is missing.
pub(crate) fn engine(
    wanted: Option<&str>,
    engines: &BTreeMap<String, PathBuf>,
) -> Result<Engine, LaunchError> {
    engine_in(wanted, engines, std::env::var_os("PATH").as_deref())
}

fn engine_in(
    wanted: Option<&str>,
    engines: &BTreeMap<String, PathBuf>,
    path: Option<&OsStr>,
) -> Result<Engine, LaunchError> {
    let known = ENGINES.iter().any(|(name, _)| Some(*name) == wanted);
    if let Some(wanted) = wanted.filter(|_| !known) {
        return Err(LaunchError {
            class: FailureClass::ConfigInvalid,
            message: format!(
                "the runner's engine is `{wanted}`; expected `opentofu` or `terraform`"
            ),
            transient: false,
        });
    }
    for (engine, program) in ENGINES {
        if wanted.is_some_and(|wanted| wanted != *engine) {
            continue;
        }
        let set = engines.get(*engine);
        let found = match set {
            Some(file) if is_program(file) => Some(file.clone()),
            Some(file) => {
                return Err(missing(format!(
                    "the settings say that `{engine}` is `{}`, which is not a program",
                    file.display()
                )));
            }
            None => program_in(program, path),
        };
        if let Some(path) = found {
            return Ok(Engine {
                engine,
                program,
                path,
            });
        }
    }
    let what = match wanted {
        Some("terraform") => "no `terraform` was found in PATH",
        Some(_) => "no `tofu` was found in PATH",
        None => "neither `tofu` nor `terraform` was found in PATH",
    };
    Err(missing(format!(
        "{what}. {}",
        install(wanted.unwrap_or("opentofu"), |name| program_in(name, path)
            .is_some())
    )))
}

fn missing(message: String) -> LaunchError {
    LaunchError {
        class: FailureClass::EngineMissing,
        message,
        transient: false,
    }
}

/// The first file of that name in `path` that may be executed.
pub(crate) fn program_in(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// One sentence with the one command that installs an engine here.
fn install(engine: &str, has: impl Fn(&str) -> bool) -> String {
    const BY_MANAGER: &[(&str, &str, &str)] = &[
        // Manager, OpenTofu, Terraform.
        ("brew", "brew install opentofu", "brew install terraform"),
        ("apk", "apk add opentofu", "apk add terraform"),
        ("pacman", "pacman -S opentofu", "pacman -S terraform"),
        ("dnf", "dnf install -y opentofu", ""),
        ("zypper", "zypper install -y opentofu", ""),
        (
            "nix-env",
            "nix-env -iA nixpkgs.opentofu",
            "nix-env -iA nixpkgs.terraform",
        ),
        (
            "snap",
            "snap install --classic opentofu",
            "snap install --classic terraform",
        ),
        (
            "apt-get",
            "apt-get install -y snapd && snap install --classic opentofu",
            "apt-get install -y snapd && snap install --classic terraform",
        ),
    ];
    let command = BY_MANAGER
        .iter()
        .filter(|(manager, _, _)| has(manager))
        .map(|(_, tofu, terraform)| match engine {
            "terraform" => *terraform,
            _ => *tofu,
        })
        .find(|command| !command.is_empty());
    match command {
        Some(command) => format!("Install it with `{command}`"),
        None => format!(
            "Put the program of {engine} into a directory of PATH, as its installation guide says"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn directory(programs: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for name in programs {
            let file = directory.path().join(name);
            std::fs::write(&file, "").expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
                .expect("executable");
        }
        directory
    }

    fn find(wanted: Option<&str>, programs: &[&str]) -> Result<&'static str, String> {
        let directory = directory(programs);
        engine_in(wanted, &BTreeMap::new(), Some(directory.path().as_os_str()))
            .map(|found| found.engine)
            .map_err(|error| error.message)
    }

    #[test]
    fn opentofu_comes_first_unless_terraform_is_named() {
        assert_eq!(find(None, &["terraform", "tofu"]), Ok("opentofu"));
        assert_eq!(find(None, &["terraform"]), Ok("terraform"));
        assert_eq!(
            find(Some("terraform"), &["terraform", "tofu"]),
            Ok("terraform")
        );
    }

    #[test]
    fn no_engine_is_answered_with_the_command_that_installs_one() {
        let message = find(None, &["apk"]).expect_err("none there");
        assert_eq!(
            message,
            "neither `tofu` nor `terraform` was found in PATH. Install it with `apk add opentofu`"
        );
        let message = find(Some("terraform"), &["dnf", "snap"]).expect_err("none there");
        assert!(
            message.ends_with("`snap install --classic terraform`"),
            "{message}"
        );
    }

    #[test]
    fn a_set_file_that_is_no_program_is_not_silently_replaced() {
        let there = directory(&["tofu"]);
        let engines = BTreeMap::from([("opentofu".to_owned(), PathBuf::from("/nonexistent"))]);
        let error = engine_in(None, &engines, Some(there.path().as_os_str())).expect_err("refused");
        assert_eq!(error.class, FailureClass::EngineMissing);
    }

    #[test]
    fn an_unknown_engine_is_named() {
        let message = find(Some("pulumi"), &[]).expect_err("unknown");
        assert!(message.contains("`pulumi`"), "{message}");
    }
}
