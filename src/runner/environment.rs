//! The engine's variables that a runner names, resolved on the host that launches the run.
//!
//! Values are secret: they appear in no error, only names and paths do. They go into the job and nowhere else.
//!
//! Whoever administers an organisation names variables and files of a host that others share. What is Windlass' own there
//! (its tokens, the key ring, states of other environments) is refused: a run must not be a way to read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::LaunchError;
use crate::model::phase::FailureClass;
use crate::wire::runners::EnvironmentValue;

/// The largest file that one variable may hold; the kernel refuses larger ones.
const MAX_FILE: u64 = 128 * 1024 - 4096;

/// Variables that the supervisor sets itself; a runner that names one is refused, because it would not get what it asks for.
const OURS: &[&str] = &[
    "TF_CLI_CONFIG_FILE",
    "TF_DATA_DIR",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_WORKSPACE",
    "TMPDIR",
    "CHECKPOINT_DISABLE",
];

/// How the variables begin that tell this program what to do, tokens among them.
const OF_WINDLASS: &str = "WINDLASS_";

/// Resolves every value, or says everything that is wrong at once.
pub(crate) fn resolve(
    wanted: &BTreeMap<String, EnvironmentValue>,
    data_dir: &Path,
) -> Result<BTreeMap<String, String>, LaunchError> {
    resolve_with(wanted, &own_paths(data_dir), |name| std::env::var(name))
}

/// The data directory, and every path that a variable of ours names.
fn own_paths(data_dir: &Path) -> Vec<PathBuf> {
    let of_ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(OF_WINDLASS));
        Some(PathBuf::from(value)).filter(|path| is_ours && path.is_absolute())
    };
    let named = std::env::vars_os().filter_map(of_ours);
    std::iter::once(data_dir.to_owned())
        .chain(named)
        .filter_map(|path| path.canonicalize().ok())
        .collect()
}

fn resolve_with(
    wanted: &BTreeMap<String, EnvironmentValue>,
    own: &[PathBuf],
    env: impl Fn(&str) -> Result<String, std::env::VarError>,
) -> Result<BTreeMap<String, String>, LaunchError> {
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, value) in wanted {
        if name.is_empty() || name.contains(['=', '\0']) {
            wrong.push(format!("`{name}` is not a name of a variable"));
            continue;
        }
        if OURS.contains(&name.as_str()) || name.starts_with("TF_CLI_ARGS") {
            wrong.push(format!(
                "`{name}` is set by Windlass itself and cannot be set by a runner"
            ));
            continue;
        }
        let text = match value {
            EnvironmentValue::Literal(text) => Ok(text.clone()),
            EnvironmentValue::FromEnv(source) if source.starts_with(OF_WINDLASS) => Err(format!(
                "`{name}` comes from the variable `{source}`, which is the server's own"
            )),
            EnvironmentValue::FromEnv(source) => env(source).map_err(|error| match error {
                std::env::VarError::NotPresent => {
                    format!("`{name}` comes from the variable `{source}`, which is not set where the worker runs")
                }
                std::env::VarError::NotUnicode(_) => {
                    format!("`{name}` comes from the variable `{source}`, whose value is not UTF-8")
                }
            }),
            EnvironmentValue::FromFile(path) => read(name, path, own),
        };
        match text {
            Ok(text) if text.contains('\0') => {
                wrong.push(format!("the value of `{name}` contains a zero byte"));
            }
            Ok(text) => {
                found.insert(name.clone(), text);
            }
            Err(problem) => wrong.push(problem),
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(LaunchError {
            class: FailureClass::ConfigInvalid,
            message: format!(
                "the runner's environment cannot be resolved on this host: {}",
                wrong.join("; ")
            ),
            transient: false,
        })
    }
}

fn read(name: &str, path: &str, own: &[PathBuf]) -> Result<String, String> {
    let problem = |what: &str| format!("`{name}` comes from the file `{path}`, which {what}");
    // Links are followed first.
    let real = Path::new(path).canonicalize().ok();
    if real.is_some_and(|real| own.iter().any(|own| real.starts_with(own))) {
        return Err(problem("is the server's own"));
    }
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => problem("does not exist on this host"),
        std::io::ErrorKind::PermissionDenied => problem("may not be read by this user"),
        _ => problem(&format!("cannot be read ({error})")),
    })?;
    if !metadata.is_file() {
        return Err(problem("is not a file"));
    }
    if metadata.len() > MAX_FILE {
        return Err(problem(&format!(
            "has {} bytes; at most {MAX_FILE} fit into a variable",
            metadata.len()
        )));
    }
    let mut text = std::fs::read(path)
        .map_err(|error| problem(&format!("cannot be read ({error})")))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| problem("is not UTF-8")))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, EnvironmentValue)]) -> BTreeMap<String, EnvironmentValue> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn env(name: &str) -> Result<String, std::env::VarError> {
        match name {
            "HAVE" => Ok("value".to_owned()),
            _ => Err(std::env::VarError::NotPresent),
        }
    }

    #[test]
    fn all_three_kinds_resolve_and_one_trailing_newline_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        std::fs::write(&file, "from file\n\n").expect("written");
        let resolved = resolve_with(
            &wanted(&[
                ("A", EnvironmentValue::Literal("a".into())),
                ("B", EnvironmentValue::FromEnv("HAVE".into())),
                ("C", EnvironmentValue::FromFile(file.display().to_string())),
            ]),
            &[],
            env,
        )
        .expect("all there");
        assert_eq!(
            resolved.values().collect::<Vec<_>>(),
            ["a", "value", "from file\n"]
        );
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_no_value_is_quoted() {
        let error = resolve_with(
            &wanted(&[
                ("A", EnvironmentValue::FromEnv("LACKING".into())),
                ("B", EnvironmentValue::FromFile("/nonexistent/x".into())),
                ("C", EnvironmentValue::Literal("sec\0ret".into())),
                ("TF_CLI_ARGS_apply", EnvironmentValue::Literal("-x".into())),
            ]),
            &[],
            env,
        )
        .expect_err("nothing there");
        for part in [
            "`A`",
            "LACKING",
            "`B`",
            "/nonexistent/x",
            "`C`",
            "TF_CLI_ARGS_apply",
        ] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
        assert!(!error.message.contains("ret"), "{}", error.message);
        assert_eq!(error.class, FailureClass::ConfigInvalid);
    }

    #[test]
    fn what_is_the_programs_own_is_given_to_no_run() {
        let own = tempfile::tempdir().expect("a directory");
        let ring = own.path().join("keyring");
        std::fs::write(&ring, "planted").expect("written");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(&ring, &link).expect("a link");
        let own = [own.path().canonicalize().expect("there")];
        for value in [
            EnvironmentValue::FromEnv("WINDLASS_TOKEN".into()),
            EnvironmentValue::FromFile(ring.display().to_string()),
            EnvironmentValue::FromFile(link.display().to_string()),
        ] {
            let error = resolve_with(&wanted(&[("A", value)]), &own, env).expect_err("refused");
            assert!(
                error.message.contains("the server's own"),
                "{}",
                error.message
            );
            assert!(!error.message.contains("planted"), "{}", error.message);
        }
    }
}
