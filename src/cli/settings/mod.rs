//! Where the client looks for its settings: flags, then `WINDLASS_*`, then the field's `PO_*`, then
//! the file. One checked [`Settings`]; rooms get their parts from it.
//!
//! Why `PO_*` is read: a pipeline written for the field's other client works unchanged.
//!
//! Why an address of a database with a password in it is refused as a flag: every user of the machine reads the
//! arguments of every process, and to warn would be too late. The same address without the password works, because
//! the driver knows `PGPASSWORD` and the file that `PGPASSFILE` names.

mod file;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use etcetera::BaseStrategy as _;

pub(crate) use self::file::{File, ServeFile, edit, read};
use crate::store::Location;

/// The organisation of local mode where none is set.
pub(crate) const DEFAULT_ORG: &str = "default";
/// Days after which a kept key is removed.
const DEFAULT_KEY_DAYS: u32 = 30;

/// What commands work with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Base URL of a server, without a trailing `/`; `None`: local mode.
    pub(crate) url: Option<String>,
    /// Organisation.
    pub(crate) org: String,
    /// Bearer token.
    pub(crate) token: Option<Token>,
    /// Everything that local mode keeps.
    pub(crate) data_dir: PathBuf,
    /// The database behind it.
    pub(crate) database: Location,
    /// Where that was said: `flag`, the variable, `settings file` or `default`.
    pub(crate) database_from: &'static str,
    /// Where the settings file is, or would be.
    pub(crate) config_file: PathBuf,
    /// Its content.
    pub(crate) file: File,
}

impl Settings {
    /// Days that kept keys live.
    pub(crate) fn keep_keys_days(&self) -> u32 {
        self.file.keep_keys_days.unwrap_or(DEFAULT_KEY_DAYS)
    }
}

/// A token; never printed whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// One that a server gave.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The whole token, for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The first characters, enough to tell two tokens apart.
    pub(crate) fn masked(&self) -> String {
        let shown: String = self.0.chars().take(4).collect();
        if self.0.chars().count() <= 8 {
            "…".to_owned()
        } else {
            format!("{shown}…")
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--org`.
    pub(crate) org: Option<String>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `--database-url`.
    pub(crate) database_url: Option<String>,
}

/// Reads the environment and the file.
pub(crate) fn load(flags: &Flags) -> anyhow::Result<Settings> {
    let dirs = etcetera::choose_base_strategy().context(
        "the home directory is unknown: set HOME, or WINDLASS_DATA_DIR and WINDLASS_CONFIG_FILE",
    );
    let env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let config_file = match env("WINDLASS_CONFIG_FILE") {
        Some(path) => PathBuf::from(path),
        None => match &dirs {
            Ok(dirs) => dirs.config_dir().join("windlass").join("config.yaml"),
            Err(_) => PathBuf::from("windlass.yaml"),
        },
    };
    let default_data_dir = dirs.map(|dirs| dirs.data_dir().join("windlass"));
    let file = read(&config_file)?;
    resolve(flags, env, config_file, file, default_data_dir)
}

/// Decides between the four sources.
fn resolve(
    flags: &Flags,
    env: impl Fn(&str) -> Option<String>,
    config_file: PathBuf,
    file: File,
    default_data_dir: anyhow::Result<PathBuf>,
) -> anyhow::Result<Settings> {
    let first = |ours: &str, theirs: &str| env(ours).or_else(|| env(theirs));
    let url = first("WINDLASS_URL", "PO_API_URL")
        .or_else(|| file.api_url.clone())
        .map(|url| url.trim_end_matches('/').to_owned())
        .filter(|url| !url.is_empty() && url != "local");
    let org = flags
        .org
        .clone()
        .or_else(|| first("WINDLASS_ORG", "PO_ORG_ID"))
        .or_else(|| file.default_org_id.clone())
        .unwrap_or_else(|| DEFAULT_ORG.to_owned());
    let token = first("WINDLASS_TOKEN", "PO_AUTH_TOKEN")
        .or_else(|| file.token.clone())
        .map(Token);
    let data_dir = match flags
        .data_dir
        .clone()
        .or_else(|| env("WINDLASS_DATA_DIR").map(PathBuf::from))
    {
        Some(dir) => dir,
        None => default_data_dir?,
    };
    let named = (
        &flags.database_url,
        env("WINDLASS_DATABASE_URL"),
        &file.database_url,
    );
    let (database, database_from) = match named {
        (Some(text), ..) => {
            let found = Location::parse(text).context("--database-url")?;
            if found.has_password() {
                bail!(
                    "--database-url holds a password, and every user of this machine can read the arguments of its processes: \
                     change that password, then leave it out here and give it in PGPASSWORD or a file that PGPASSFILE names, \
                     or give the whole address in WINDLASS_DATABASE_URL or as `database_url` in `{}`",
                    config_file.display()
                );
            }
            (found, "flag")
        }
        (None, Some(text), _) => {
            let found = Location::parse(&text).context("WINDLASS_DATABASE_URL")?;
            (found, "WINDLASS_DATABASE_URL")
        }
        (None, None, Some(url)) => {
            let found = Location::parse(url.expose())
                .with_context(|| format!("`database_url` in `{}`", config_file.display()))?;
            (found, "settings file")
        }
        (None, None, None) => (Location::default(), "default"),
    };
    Ok(Settings {
        url,
        org,
        token,
        data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
        database,
        database_from,
        config_file,
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::file::Hidden;
    use super::*;

    fn settled(flags: &Flags, env: &[(&str, &str)], file: File) -> Settings {
        let find = |name: &str| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        resolve(flags, find, "c.yaml".into(), file, Ok("/data".into())).expect("resolves")
    }

    #[test]
    fn flags_beat_our_variables_which_beat_the_fields_which_beat_the_file() {
        let file = File {
            default_org_id: Some("file".into()),
            ..File::default()
        };
        let flags = Flags {
            org: Some("flag".into()),
            ..Flags::default()
        };
        let both = [("WINDLASS_ORG", "ours"), ("PO_ORG_ID", "theirs")];
        assert_eq!(settled(&flags, &both, file.clone()).org, "flag");
        assert_eq!(settled(&Flags::default(), &both, file.clone()).org, "ours");
        assert_eq!(
            settled(&Flags::default(), &both[1..], file.clone()).org,
            "theirs"
        );
        assert_eq!(settled(&Flags::default(), &[], file).org, "file");
        assert_eq!(
            settled(&Flags::default(), &[], File::default()).org,
            DEFAULT_ORG
        );
    }

    #[test]
    fn a_url_loses_its_trailing_slash_and_local_means_none() {
        let url = |text| settled(&Flags::default(), &[("PO_API_URL", text)], File::default()).url;
        assert_eq!(url("https://a.example/"), Some("https://a.example".into()));
        assert_eq!(url("local"), None);
    }

    #[test]
    fn the_variable_names_the_database_before_the_file_does_and_a_mistake_is_told_without_it() {
        let file = File {
            database_url: Some(Hidden("postgres://me:geheim@file/windlass".into())),
            ..File::default()
        };
        let shown = |env: &[(&str, &str)], file| {
            format!("{:?}", settled(&Flags::default(), env, file).database)
        };
        let env = [("WINDLASS_DATABASE_URL", "postgres://me:geheim@env/windlass")];
        assert_eq!(shown(&env, file.clone()), "postgres://env:5432/windlass");
        assert_eq!(shown(&[], file.clone()), "postgres://file:5432/windlass");
        assert_eq!(shown(&[], File::default()), "sqlite:");
        assert!(!format!("{:?}", settled(&Flags::default(), &[], file)).contains("geheim"));
        let wrong = |_: &str| Some("mysql://geheim".to_owned());
        let path = "c.yaml".into();
        let refused = resolve(
            &Flags::default(),
            wrong,
            path,
            File::default(),
            Ok("/d".into()),
        );
        let refused = format!("{:?}", refused.expect_err("refuses"));
        assert!(refused.contains("WINDLASS_DATABASE_URL") && !refused.contains("geheim"));
    }

    #[test]
    fn a_database_is_named_by_a_flag_but_a_password_is_not() {
        let named = |url: &str| {
            let flags = Flags {
                database_url: Some(url.to_owned()),
                ..Flags::default()
            };
            let env = |name: &str| {
                (name == "WINDLASS_DATABASE_URL").then(|| "postgres://env/windlass".to_owned())
            };
            let path = "c.yaml".into();
            resolve(&flags, env, path, File::default(), Ok("/d".into()))
        };
        let settings = named("postgres://me@flag/windlass").expect("resolves");
        assert_eq!(
            format!("{:?}", settings.database),
            "postgres://flag:5432/windlass"
        );
        assert_eq!(settings.database_from, "flag");
        for url in [
            "postgres://me:geheim@flag/windlass",
            "postgres://me@flag/windlass?sslmode=require&password=geheim",
        ] {
            let refused = format!("{:?}", named(url).expect_err("refuses"));
            assert!(
                refused.contains("PGPASSWORD") && !refused.contains("geheim"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_token_is_never_shown_whole() {
        assert_eq!(Token("SU-0123456789".into()).masked(), "SU-0…");
        assert_eq!(Token("short".into()).masked(), "…");
        assert_eq!(format!("{:?}", Token("SU-0123456789".into())), "Token(…)");
    }
}
