//! Where the client looks for its settings: flags, then `WINDLASS_*`, then the field's `PO_*`, then
//! the file. One checked [`Settings`]; rooms get their parts from it.
//!
//! Why `PO_*` is read: a pipeline written for the field's other client works unchanged.
//!
//! Why an address of a database with a password in it is refused as a flag: every user of the machine reads the
//! arguments of every process, and to warn would be too late. The same address without the password works, because
//! the driver knows `PGPASSWORD` and the file that `PGPASSFILE` names.

mod contexts;
mod file;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use etcetera::BaseStrategy as _;

pub(crate) use self::contexts::{Context, missing as missing_context, named as named_context};
pub(crate) use self::file::{File, Hidden, ServeFile, edit, read};
use super::exit::Advised;
use crate::store::Location;

/// The organisation of local mode where none is set.
pub(crate) const DEFAULT_ORG: &str = "default";
/// Days after which a kept key is removed.
const DEFAULT_KEY_DAYS: u32 = 30;

/// What commands work with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The name of the context in effect.
    pub(crate) context: String,
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

    /// Refuses to keep a token of `url` in a context that is for another server.
    pub(crate) fn may_keep_tokens_of(&self, url: &str) -> anyhow::Result<()> {
        let context = self.file.context(&self.context);
        let own = context.and_then(|context| context.api_url);
        match own.map(|own| own.trim_end_matches('/').to_owned()) {
            Some(own) if own != url && own != "local" && !own.is_empty() => Err(Advised::new(
                format!(
                    "the context `{}` is for {own}, and a session of {url} does not belong into it",
                    self.context
                ),
                [
                    format!("windlass config set-context NAME {url}"),
                    "windlass --context NAME login".to_owned(),
                ],
            )
            .into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Changes the context in effect, in the file.
    pub(crate) fn edit_context(&self, change: impl FnOnce(&mut Context)) -> anyhow::Result<()> {
        edit(&self.config_file, |file| {
            let mut context = file.context(&self.context).unwrap_or_default();
            change(&mut context);
            file.put_context(&self.context, context);
        })
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
    /// `--context`.
    pub(crate) context: Option<String>,
    /// Whether the command sets contexts, so that there need not be one of the name yet.
    pub(crate) sets_contexts: bool,
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
    let name = flags.context.clone().or_else(|| env("WINDLASS_CONTEXT"));
    let name = name.unwrap_or_else(|| file.current_context().to_owned());
    let context = match file.context(&name) {
        Some(context) => context,
        None if flags.sets_contexts => Context::default(),
        None => return Err(missing_context(&name, &file).into()),
    };
    // A flag beats the environment: who names a context means all of it.
    let is_flag = flags.context.is_some();
    let first = |ours: &str, theirs: &str| {
        let said = || env(ours).or_else(|| env(theirs));
        if is_flag { None } else { said() }
    };
    let in_effect = |url: String| {
        let url = url.trim_end_matches('/').to_owned();
        (!url.is_empty() && url != "local").then_some(url)
    };
    let own_url = context.api_url.clone().and_then(in_effect);
    let url = match first("WINDLASS_URL", "PO_API_URL") {
        Some(url) => in_effect(url),
        None => own_url.clone(),
    };
    let org = flags
        .org
        .clone()
        .or_else(|| first("WINDLASS_ORG", "PO_ORG_ID"))
        .or_else(|| context.default_org_id.clone())
        .unwrap_or_else(|| DEFAULT_ORG.to_owned());
    // A token goes to the server that gave it, and to no other that a variable names.
    let is_own = own_url.is_none() || own_url == url;
    let kept = context.token.clone().filter(|_| is_own);
    let token = first("WINDLASS_TOKEN", "PO_AUTH_TOKEN")
        .or_else(|| kept.map(|token| token.0))
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
        context: name,
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
    fn a_context_is_named_by_a_flag_a_variable_or_the_file_and_its_token_goes_nowhere_else() {
        let text = "api_url: https://a.example\ntoken: token-of-a\ncurrent_context: work\n\
                    contexts: {work: {api_url: https://b.example/, token: token-of-b, default_org_id: acme}}\n";
        let file: File = serde_yaml::from_str(text).expect("reads");
        let flag = |name: &str| Flags {
            context: Some(name.into()),
            ..Flags::default()
        };
        let token = |settings: &Settings| settings.token.as_ref().map(|it| it.expose().to_owned());
        let plain = settled(&Flags::default(), &[], file.clone());
        assert_eq!(
            (plain.context.as_str(), plain.org.as_str()),
            ("work", "acme")
        );
        assert_eq!(plain.url.as_deref(), Some("https://b.example"));
        assert_eq!(token(&plain).as_deref(), Some("token-of-b"));
        let env = [("WINDLASS_CONTEXT", "default"), ("WINDLASS_ORG", "other")];
        let by_env = settled(&Flags::default(), &env, file.clone());
        assert_eq!(by_env.url.as_deref(), Some("https://a.example"));
        assert_eq!(
            (by_env.org.as_str(), token(&by_env).as_deref()),
            ("other", Some("token-of-a"))
        );
        let env = [
            ("WINDLASS_URL", "https://c.example"),
            ("WINDLASS_TOKEN", "token-of-c"),
            ("WINDLASS_CONTEXT", "nope"),
        ];
        let by_flag = settled(&flag("default"), &env, file.clone());
        assert_eq!(by_flag.url.as_deref(), Some("https://a.example"));
        assert_eq!(token(&by_flag).as_deref(), Some("token-of-a"));
        let elsewhere = settled(&Flags::default(), &env[..1], file.clone());
        assert_eq!(elsewhere.url.as_deref(), Some("https://c.example"));
        assert_eq!(token(&elsewhere), None);
        let nope = resolve(
            &flag("nope"),
            |_| None,
            "c.yaml".into(),
            file,
            Ok("/d".into()),
        );
        let nope = nope.expect_err("refused").to_string();
        assert_eq!(nope, "there is no context `nope`");
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
        let wrong =
            |name: &str| (name == "WINDLASS_DATABASE_URL").then(|| "mysql://geheim".to_owned());
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
