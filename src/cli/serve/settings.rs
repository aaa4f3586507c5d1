//! Settings of a server: each from its flag, else from the environment, else from the file, else what is usual; and
//! from where, so that `--print-settings` answers the question that matters.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use super::sign_on::{self, SignOnSettings};
use crate::api::Limits;
use crate::cli::settings::{ServeFile, Settings};

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    Environment(&'static str),
    File,
    Usual,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => f.write_str(name),
            Self::File => f.write_str("settings file"),
            Self::Usual => f.write_str("default"),
        }
    }
}

/// A setting and its source.
#[derive(Debug, Clone)]
pub(super) struct Chosen<T> {
    pub(super) value: T,
    pub(super) source: Source,
}

/// How the server writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("use `text` or `json`".into()),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Flags of `windlass serve`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Address and port to listen on [env: WINDLASS_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The URL under which people and clients reach this server [env: WINDLASS_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The URL under which runs reach the states that this server keeps, if not the public one [env: WINDLASS_STATE_URL]
    #[arg(long, value_name = "URL")]
    state_url: Option<String>,
    /// How many versions of each such state are kept [env: WINDLASS_STATE_VERSIONS] [default: 30]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    state_versions: Option<u32>,
    /// Certificate chain in PEM form; makes it https [env: WINDLASS_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM form [env: WINDLASS_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Whether this host's Docker daemon serves where no runner rule matches [env: WINDLASS_LOCAL_RUNNER] [default: true]
    #[arg(long, value_name = "true|false")]
    local_runner: Option<bool>,
    /// Whether runs may be processes of this host, without a container [env: WINDLASS_PROCESS_RUNNER] [default: false]
    #[arg(long, value_name = "true|false")]
    process_runner: Option<bool>,
    /// Requests a second of one token or address, twice as many at once; 0 is without limit [env: WINDLASS_RATE_LIMIT] [default: 500]
    #[arg(long, value_name = "REQUESTS")]
    rate_limit: Option<u32>,
    /// Seconds that requests under way get to end when the server stops [env: WINDLASS_STOP_SECONDS] [default: 10]
    #[arg(long, value_name = "SECONDS")]
    stop_seconds: Option<u64>,
    /// Seconds that a server which is not heard of keeps what it claimed and did not start [env: WINDLASS_LEASE_SECONDS] [default: 30]
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease_seconds: Option<u64>,
    /// How the log is written [env: WINDLASS_LOG_FORMAT] [default: text]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    sign_on: sign_on::SignOnFlags,
    /// Take whoever has no token for an administrator; only on a loopback address
    #[arg(long)]
    dev: bool,
}

/// Everything a server is told.
#[derive(Debug, Clone)]
pub(crate) struct ServeSettings {
    listen: Chosen<SocketAddr>,
    public_url: Chosen<Option<String>>,
    state_url: Chosen<Option<String>>,
    state_versions: Chosen<u32>,
    tls_certificate: Chosen<Option<PathBuf>>,
    tls_key: Chosen<Option<PathBuf>>,
    local_runner: Chosen<bool>,
    process_runner: Chosen<bool>,
    rate_limit: Chosen<u32>,
    stop_seconds: Chosen<u64>,
    lease_seconds: Chosen<u64>,
    log_format: Chosen<LogFormat>,
    /// Where people sign in.
    pub(crate) sign_on: SignOnSettings,
    /// Whether anybody without a token administers.
    pub(crate) dev: bool,
}

/// Decides between the sources; the first mistake is told with the name of the setting.
pub(crate) fn resolve(
    flags: Flags,
    env: impl Fn(&str) -> Option<String>,
    file: &ServeFile,
) -> anyhow::Result<ServeSettings> {
    let pick = Pick { env: &env };
    let parsed = |text: &Option<String>, name: &str| -> anyhow::Result<Option<SocketAddr>> {
        text.as_deref().map(|text| read(text, name)).transpose()
    };
    let log_format = file
        .log_format
        .as_deref()
        .map(|text| read(text, "serve.log_format"))
        .transpose()?;
    let settings = ServeSettings {
        listen: pick.one(
            flags.listen,
            "WINDLASS_LISTEN",
            parsed(&file.listen, "serve.listen")?,
            SocketAddr::from(([127, 0, 0, 1], 8080)),
        )?,
        public_url: pick.optional(
            flags.public_url,
            "WINDLASS_PUBLIC_URL",
            file.public_url.clone(),
        )?,
        state_url: pick.optional(
            flags.state_url,
            "WINDLASS_STATE_URL",
            file.state_url.clone(),
        )?,
        state_versions: pick.one(
            flags.state_versions,
            "WINDLASS_STATE_VERSIONS",
            file.state_versions,
            crate::deploy::STATE_VERSIONS,
        )?,
        tls_certificate: pick.optional(
            flags.tls_certificate,
            "WINDLASS_TLS_CERTIFICATE",
            file.tls_certificate.clone(),
        )?,
        tls_key: pick.optional(flags.tls_key, "WINDLASS_TLS_KEY", file.tls_key.clone())?,
        local_runner: pick.one(
            flags.local_runner,
            "WINDLASS_LOCAL_RUNNER",
            file.local_runner,
            true,
        )?,
        process_runner: pick.one(
            flags.process_runner,
            "WINDLASS_PROCESS_RUNNER",
            file.process_runner,
            false,
        )?,
        rate_limit: pick.one(
            flags.rate_limit,
            "WINDLASS_RATE_LIMIT",
            file.rate_limit,
            500,
        )?,
        stop_seconds: pick.one(
            flags.stop_seconds,
            "WINDLASS_STOP_SECONDS",
            file.stop_seconds,
            10,
        )?,
        lease_seconds: pick.one(flags.lease_seconds, "WINDLASS_LEASE_SECONDS", None, 30)?,
        log_format: pick.one(
            flags.log_format,
            "WINDLASS_LOG_FORMAT",
            log_format,
            LogFormat::Text,
        )?,
        sign_on: sign_on::resolve(flags.sign_on, &pick, file)?,
        dev: flags.dev,
    };
    settings.check()?;
    Ok(settings)
}

/// Picks the source of each setting.
pub(super) struct Pick<'a> {
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Pick<'_> {
    /// A setting that may be absent.
    pub(super) fn optional<T: FromStr<Err: std::fmt::Display>>(
        &self,
        flag: Option<T>,
        name: &'static str,
        file: Option<T>,
    ) -> anyhow::Result<Chosen<Option<T>>> {
        let (value, source) = if flag.is_some() {
            (flag, Source::Flag)
        } else if let Some(text) = (self.env)(name) {
            (Some(read(&text, name)?), Source::Environment(name))
        } else if file.is_some() {
            (file, Source::File)
        } else {
            (None, Source::Usual)
        };
        Ok(Chosen { value, source })
    }

    /// A setting with a usual value.
    pub(super) fn one<T: FromStr<Err: std::fmt::Display>>(
        &self,
        flag: Option<T>,
        name: &'static str,
        file: Option<T>,
        usual: T,
    ) -> anyhow::Result<Chosen<T>> {
        let Chosen { value, source } = self.optional(flag, name, file)?;
        Ok(Chosen {
            value: value.unwrap_or(usual),
            source,
        })
    }
}

fn read<T: FromStr<Err: std::fmt::Display>>(text: &str, name: &str) -> anyhow::Result<T> {
    text.parse()
        .map_err(|error| anyhow::anyhow!("{name}: `{text}` is not usable: {error}"))
}

impl ServeSettings {
    fn check(&self) -> anyhow::Result<()> {
        if self.dev && !self.listen.value.ip().is_loopback() {
            anyhow::bail!(
                "--dev lets anybody in who reaches {}, so it only works on a loopback address such as 127.0.0.1:8080",
                self.listen.value
            );
        }
        match (&self.tls_certificate.value, &self.tls_key.value) {
            (Some(_), None) => anyhow::bail!("--tls-certificate needs --tls-key"),
            (None, Some(_)) => anyhow::bail!("--tls-key needs --tls-certificate"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        match &self.state_url.value {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                anyhow::bail!(
                    "--state-url: `{url}` is not usable: it begins with `http://` or `https://`"
                )
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Where it listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.value
    }

    /// The certificate and its key.
    pub(crate) fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_certificate
            .value
            .as_ref()
            .zip(self.tls_key.value.as_ref())
    }

    /// Under which URL it is reached, without a trailing `/`; `at` is where it listens.
    pub(crate) fn public_url(&self, at: SocketAddr) -> String {
        match &self.public_url.value {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let scheme = if self.tls().is_some() {
                    "https"
                } else {
                    "http"
                };
                format!("{scheme}://{at}")
            }
        }
    }

    /// Where runs reach hosted states, without a trailing `/`; `public` is where people reach the server.
    pub(crate) fn state_url(&self, public: &str) -> String {
        let url = self.state_url.value.as_deref().unwrap_or(public);
        url.trim_end_matches('/').to_owned()
    }

    /// How many versions of a hosted state are kept.
    pub(crate) fn state_versions(&self) -> u32 {
        self.state_versions.value.max(1)
    }

    /// Whether the reserved runner `local` serves.
    pub(crate) fn local_runner(&self) -> bool {
        self.local_runner.value
    }

    /// Whether the reserved runner `process` serves.
    pub(crate) fn process_runner(&self) -> bool {
        self.process_runner.value
    }

    /// How often one caller may ask.
    pub(crate) fn limits(&self) -> Option<Limits> {
        NonZeroU32::new(self.rate_limit.value).map(Limits::per_second)
    }

    /// How long requests under way get to end.
    pub(crate) fn grace(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.stop_seconds.value)
    }

    /// How long a lease is.
    pub(crate) fn lease(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.lease_seconds.value.clamp(1, 3600))
    }

    /// How the log is written.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format.value
    }

    /// All of it as YAML, each with its source; secrets are masked.
    pub(crate) fn print(&self, client: &Settings) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String, source: &dyn std::fmt::Display| {
            text.push_str(&format!("{name}: {value} # {source}\n"));
        };
        let path = |path: &Option<PathBuf>| match path {
            Some(path) => path.display().to_string(),
            None => "null".to_owned(),
        };
        line("listen", self.listen.value.to_string(), &self.listen.source);
        line(
            "public_url",
            self.public_url(self.listen.value),
            &self.public_url.source,
        );
        line(
            "state_url",
            self.state_url(&self.public_url(self.listen.value)),
            &self.state_url.source,
        );
        line(
            "state_versions",
            self.state_versions.value.to_string(),
            &self.state_versions.source,
        );
        line(
            "tls_certificate",
            path(&self.tls_certificate.value),
            &self.tls_certificate.source,
        );
        line("tls_key", path(&self.tls_key.value), &self.tls_key.source);
        line(
            "local_runner",
            self.local_runner.value.to_string(),
            &self.local_runner.source,
        );
        line(
            "process_runner",
            self.process_runner.value.to_string(),
            &self.process_runner.source,
        );
        line(
            "rate_limit",
            self.rate_limit.value.to_string(),
            &self.rate_limit.source,
        );
        line(
            "stop_seconds",
            self.stop_seconds.value.to_string(),
            &self.stop_seconds.source,
        );
        line(
            "log_format",
            self.log_format.value.to_string(),
            &self.log_format.source,
        );
        self.sign_on.print(&mut line);
        let dev = if self.dev {
            Source::Flag
        } else {
            Source::Usual
        };
        line("dev", self.dev.to_string(), &dev);
        line(
            "database_url",
            client.database.masked(),
            &client.database_from,
        );
        line(
            "data_dir",
            client.data_dir.display().to_string(),
            &"--data-dir, WINDLASS_DATA_DIR or default",
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(
        flags: Flags,
        env: &[(&str, &str)],
        file: &ServeFile,
    ) -> anyhow::Result<ServeSettings> {
        let find = |name: &str| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        resolve(flags, find, file)
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_and_the_source_is_named() {
        let file = ServeFile {
            listen: Some("127.0.0.1:1".into()),
            ..ServeFile::default()
        };
        let flags = || Flags {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 3))),
            ..Flags::default()
        };
        let env = [("WINDLASS_LISTEN", "127.0.0.1:2")];
        let port = |settings: anyhow::Result<ServeSettings>| {
            let settings = settings.expect("resolves");
            (settings.listen.value.port(), settings.listen.source)
        };
        assert_eq!(port(settled(flags(), &env, &file)), (3, Source::Flag));
        let from_env = port(settled(Flags::default(), &env, &file));
        assert_eq!(from_env, (2, Source::Environment("WINDLASS_LISTEN")));
        assert_eq!(
            port(settled(Flags::default(), &[], &file)),
            (1, Source::File)
        );
        let usual = port(settled(Flags::default(), &[], &ServeFile::default()));
        assert_eq!(usual, (8080, Source::Usual));
    }

    #[test]
    fn what_cannot_work_together_is_refused_with_the_names() {
        let open = Flags {
            listen: Some(SocketAddr::from(([0, 0, 0, 0], 80))),
            dev: true,
            ..Flags::default()
        };
        let half = Flags {
            tls_key: Some("k".into()),
            ..Flags::default()
        };
        for (flags, env, begins) in [
            (open, None, "--dev lets anybody in"),
            (half, None, "--tls-key needs"),
            (
                Flags::default(),
                Some(("WINDLASS_LISTEN", "x")),
                "WINDLASS_LISTEN: `x`",
            ),
        ] {
            let env: Vec<_> = env.into_iter().collect();
            let error = settled(flags, &env, &ServeFile::default()).expect_err("refused");
            assert!(error.to_string().starts_with(begins), "{error}");
        }
    }
}
