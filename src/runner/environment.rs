//! The engine's variables that a runner names, resolved on the host that launches the run.
//!
//! Values are secret: they appear in no error, only names and paths do. They go into the job and nowhere else.
//!
//! Whoever administers an organisation names variables and files of a host that others share. What is Windlass' own there
//! (its tokens, the key ring, states of other environments) is refused: a run must not be a way to read it. The rest is
//! only for those that [`HostSettings::environment_allow`] names, where it names any: other variables and files of a
//! server are just as secret, its database password among them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{HostSettings, LaunchError};
use crate::model::phase::FailureClass;
use crate::wire::runners::EnvironmentValue;

/// The largest file that one variable may hold; the kernel refuses larger ones.
const MAX_FILE: u64 = 128 * 1024 - 4096;

/// Variables that the supervisor sets itself; a runner that names one is refused, because it would not get what it asks for.
pub(super) const OURS: &[&str] = &[
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
    host: &HostSettings,
) -> Result<BTreeMap<String, String>, LaunchError> {
    let rules = Rules {
        own: own_paths(&host.data_dir),
        allow: host.environment_allow.as_deref(),
    };
    resolve_with(wanted, &rules, |name| std::env::var(name))
}

/// What may be read on this host.
#[derive(Default)]
struct Rules<'a> {
    /// Never, nor what lies below.
    own: Vec<PathBuf>,
    /// Nothing but these, where there is a list.
    allow: Option<&'a [String]>,
}

impl Rules<'_> {
    fn variable(&self, name: &str) -> Result<(), String> {
        if name.starts_with(OF_WINDLASS) {
            return Err("is the server's own".to_owned());
        }
        let is_allowed = |allow: &[String]| allow.iter().any(|allowed| allowed == name);
        not_allowed(self.allow.is_none_or(is_allowed), name)
    }

    /// The file that is read: links are followed before anything is decided.
    fn file(&self, path: &str) -> Result<PathBuf, String> {
        let real = real(Path::new(path));
        if self.own.iter().any(|own| real.starts_with(own)) {
            return Err("is the server's own".to_owned());
        }
        let is_allowed = |allow: &[String]| {
            let mut paths = allow
                .iter()
                .map(Path::new)
                .filter(|path| path.is_absolute());
            paths.any(|allowed| real.starts_with(self::real(allowed)))
        };
        not_allowed(self.allow.is_none_or(is_allowed), path)?;
        Ok(real)
    }
}

/// Where a path leads; what is not there leads nowhere, and no `..` in it leads out of what is allowed.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let mut parts = path.components();
        match parts.any(|part| part == Component::ParentDir) {
            true => PathBuf::new(),
            false => path.to_owned(),
        }
    })
}

fn not_allowed(is_allowed: bool, what: &str) -> Result<(), String> {
    match is_allowed {
        true => Ok(()),
        false => Err(format!(
            "may not be read on this host; whoever runs it allows that in its settings: `environment_allow: [{what}]`"
        )),
    }
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
    rules: &Rules<'_>,
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
            EnvironmentValue::FromEnv(source) => rules
                .variable(source)
                .and_then(|()| {
                    env(source).map_err(|error| {
                        match error {
                            std::env::VarError::NotPresent => "is not set where the worker runs",
                            std::env::VarError::NotUnicode(_) => "has a value that is not UTF-8",
                        }
                        .to_owned()
                    })
                })
                .map_err(|why| format!("`{name}` comes from the variable `{source}`, which {why}")),
            EnvironmentValue::FromFile(path) => read(name, path, rules),
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

fn read(name: &str, path: &str, rules: &Rules<'_>) -> Result<String, String> {
    let problem = |what: &str| format!("`{name}` comes from the file `{path}`, which {what}");
    let path = rules.file(path).map_err(|what| problem(&what))?;
    let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
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
    let mut text = std::fs::read(&path)
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
            &Rules::default(),
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
            &Rules::default(),
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
        let rules = Rules {
            own: vec![own.path().canonicalize().expect("there")],
            allow: None,
        };
        for value in [
            EnvironmentValue::FromEnv("WINDLASS_TOKEN".into()),
            EnvironmentValue::FromFile(ring.display().to_string()),
            EnvironmentValue::FromFile(link.display().to_string()),
        ] {
            let error = resolve_with(&wanted(&[("A", value)]), &rules, env).expect_err("refused");
            assert!(
                error.message.contains("the server's own"),
                "{}",
                error.message
            );
            assert!(!error.message.contains("planted"), "{}", error.message);
        }
    }

    #[test]
    fn where_there_is_a_list_nothing_else_is_read_and_no_link_leads_out_of_it() {
        let inside = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        let path =
            |dir: &tempfile::TempDir, name: &str| dir.path().join(name).display().to_string();
        for dir in [&inside, &outside] {
            std::fs::write(dir.path().join("file"), "planted").expect("written");
        }
        std::os::unix::fs::symlink(outside.path().join("file"), inside.path().join("link"))
            .expect("a link");
        let allow = [
            "HAVE".to_owned(),
            inside.path().display().to_string(),
            "relative".to_owned(),
        ];
        let rules = Rules {
            own: Vec::new(),
            allow: Some(&allow),
        };
        let read = |value| resolve_with(&wanted(&[("A", value)]), &rules, env);
        let file = EnvironmentValue::FromFile;
        assert!(read(EnvironmentValue::FromEnv("HAVE".into())).is_ok());
        assert!(read(EnvironmentValue::Literal("any".into())).is_ok());
        assert!(read(file(path(&inside, "file"))).is_ok());
        for value in [
            EnvironmentValue::FromEnv("LACKING".into()),
            EnvironmentValue::FromEnv("relative/x".into()),
            file(path(&outside, "file")),
            file(path(&outside, "none")),
            file(path(&inside, "link")),
            file(path(&inside, "none/../../x")),
            file(format!("{}x", inside.path().display())),
            file("relative/x".into()),
        ] {
            let said = format!("{value:?}");
            let error = read(value).expect_err(&said);
            assert!(
                error.message.contains("environment_allow: ["),
                "{said}: {}",
                error.message
            );
        }
        let error = read(file(path(&inside, "none"))).expect_err("not there");
        assert!(
            error.message.contains("does not exist"),
            "{}",
            error.message
        );
    }
}
