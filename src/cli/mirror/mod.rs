//! `mirror`: the providers that runs get without a download, as a directory of this machine.
//!
//! One command fills it, everything else reads it: runs of this host, other hosts and pods through the server, and
//! `kit export`. It is the directory that the settings name, else `mirror` in the data directory.

mod choose;
mod fill;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use self::choose::{Choice, choose};
use super::exit::{Advised, Exit, Told};
use super::get::Out;
use super::print::table::Column;
use super::print::{self, value};
use super::{Session, local};
use crate::runner::engine::Kind;
use crate::runner::inside::platform;
use crate::sources::mirror::registry::Registries;
use crate::sources::mirror::{Added, Mirror, Provider, Wanted};

/// What `mirror` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum MirrorCommand {
    Add(Add),
    Fill(fill::Fill),
    /// Show which packages are there, with their hashes and what was verified of them
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        out: Out,
    },
    /// Hash every package again and compare it with what it came with; exit code 1 names those that were changed
    Verify,
    /// Print an address under which engines elsewhere have these packages from this installation's server, for a day
    ///
    /// It goes into an engine's CLI configuration: provider_installation { network_mirror { url = "…" } }. Whoever has it can read
    /// the packages and nothing else. Runs on other hosts get one of their own.
    Url {
        /// The server's public URL [default: as the settings say]
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// Take packages of a provider away; runs under way that use them may fail
    #[command(visible_alias = "rm")]
    Remove {
        /// The provider: `NAMESPACE/TYPE` or `HOST/NAMESPACE/TYPE`
        source: String,
        /// Its versions; all of them where none is given
        versions: Vec<String>,
        /// Whose default registry is meant where the source names no host
        #[arg(long, value_name = "opentofu|terraform", value_parser = engine)]
        engine: Option<Kind>,
    },
}

/// Fetch packages of a provider from its registry, verify them and add them to the mirror
///
/// VERSION is a version or a constraint, of which the newest that fits is taken; without one, the newest of all. What is
/// there already is not fetched again. A registry that wants a token gets it from TF_TOKEN_HOST, with the dots of the host
/// written as `_`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The provider: `NAMESPACE/TYPE` or `HOST/NAMESPACE/TYPE`
    source: String,
    /// `1.2.3`, `~> 1.2`, `>= 1, < 3`
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,
    #[command(flatten)]
    from: From,
}

/// Where packages come from, and for which machines.
#[derive(Debug, clap::Args)]
struct From {
    /// For which machines; may be repeated [default: this one]
    #[arg(long = "platform", value_name = "OS_ARCH")]
    platforms: Vec<String>,
    /// Whose default registry is asked where a source names no host [default: that of the engine in the settings]
    #[arg(long, value_name = "opentofu|terraform", value_parser = engine)]
    engine: Option<Kind>,
    /// Ask this registry instead of the host of the source, for example one inside the company
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
}

impl From {
    fn platforms(&self) -> Vec<String> {
        match self.platforms.is_empty() {
            true => vec![platform()],
            false => self.platforms.clone(),
        }
    }

    fn registries(&self) -> anyhow::Result<Registries> {
        let instead = self.registry.as_deref().map(|text| {
            let url = reqwest::Url::parse(text).ok().filter(|url| {
                ["https", "http"].contains(&url.scheme()) && url.has_host()
            });
            url.ok_or_else(|| {
                anyhow!("`{text}` is no URL of a registry; expected one like https://registry.example.com")
            })
        });
        let http = crate::api::http_client().context("could not set up HTTP")?;
        Ok(Registries::new(http, instead.transpose()?, tokens()))
    }
}

fn engine(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| "expected `opentofu` or `terraform`".to_owned())
}

/// `TF_TOKEN_registry_example_com`, as the engines have it: `_` is a dot, `__` a dash.
fn tokens() -> BTreeMap<String, String> {
    std::env::vars()
        .filter_map(|(name, value)| {
            let host = name.strip_prefix("TF_TOKEN_")?.to_ascii_lowercase();
            let host = host.replace("__", "-").replace('_', ".");
            Some((host, value)).filter(|(_, value)| !value.is_empty())
        })
        .collect()
}

/// The mirror of these settings.
pub(crate) fn mirror(session: &Session) -> Mirror {
    Mirror::at(path(session))
}

fn path(session: &Session) -> PathBuf {
    local::named_mirror(&session.settings)
        .unwrap_or_else(|| session.settings.data_dir.join("mirror"))
}

/// Where a source without a host comes from.
pub(crate) fn registry_of(session: &Session, engine: Option<Kind>) -> &'static str {
    let engines = local::engines(&session.settings);
    let only_terraform = engines.contains_key(Kind::Terraform.as_str())
        && !engines.contains_key(Kind::OpenTofu.as_str());
    let usual = if only_terraform {
        Kind::Terraform
    } else {
        Kind::OpenTofu
    };
    engine.unwrap_or(usual).registry()
}

impl MirrorCommand {
    /// Does it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Add(it) => it.run(session).await,
            Self::Fill(it) => it.run(session).await,
            Self::List { out } => list(session, out),
            Self::Verify => verify(session),
            Self::Url { server } => url(session, server).await,
            Self::Remove {
                source,
                versions,
                engine,
            } => remove(session, &source, &versions, engine),
        }
    }
}

impl Add {
    async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let provider = Provider::parse(&self.source, registry_of(session, self.from.engine))
            .map_err(anyhow::Error::msg)?;
        let registries = self.from.registries()?;
        let asked: Vec<String> = match self.versions.is_empty() {
            true => vec![String::new()],
            false => self.versions.clone(),
        };
        let choices = asked.iter().map(|text| Choice::read(text));
        let choices = choices
            .collect::<Result<Vec<Choice>, String>>()
            .map_err(anyhow::Error::msg)?;
        let platforms = self.from.platforms();
        let versions = choose(&registries, &provider, &choices, &platforms).await?;
        let target = mirror(session);
        for version in versions {
            for platform in &platforms {
                let wanted = Wanted::new(provider.clone(), &version, platform)
                    .map_err(anyhow::Error::msg)?;
                add(&registries, &target, &wanted).await?;
            }
        }
        Ok(Exit::OK)
    }
}

/// Fetches one package, unless it is there.
async fn add(registries: &Registries, mirror: &Mirror, wanted: &Wanted) -> anyhow::Result<()> {
    if let Some(package) = mirror.package(wanted) {
        match package.record {
            Some(_) => print::say(format!("{wanted} is there already.")),
            None => print::warning(format!(
                "{wanted} was put there by hand and stays; what it is was not verified"
            )),
        }
        return Ok(());
    }
    let staging = mirror.stage()?;
    let fetched = registries.fetch(wanted, &staging.zip()).await?;
    match staging.add(wanted, &fetched.sha256, fetched.verified)? {
        Added::New(record) => {
            print::success(format!("{wanted} added ({}).", record.verified));
        }
        Added::There => print::say(format!("{wanted} is there already.")),
    }
    Ok(())
}

fn list(session: &Session, out: Out) -> anyhow::Result<Exit> {
    const COLUMNS: &[Column] = &[
        Column {
            title: "Provider",
            paths: &["provider"],
        },
        Column {
            title: "Version",
            paths: &["version"],
        },
        Column {
            title: "Platform",
            paths: &["platform"],
        },
        Column {
            title: "MiB",
            paths: &["mib"],
        },
        Column {
            title: "Verified",
            paths: &["verified"],
        },
    ];
    let rows: Vec<_> = mirror(session)
        .packages()
        .iter()
        .map(|package| {
            let record = package.record.as_ref();
            json!({
                "provider": package.wanted.provider.to_string(),
                "version": package.wanted.version,
                "platform": package.wanted.platform,
                "mib": package.size().div_ceil(1 << 20),
                "sha256": record.map(|record| &record.sha256),
                "hash": record.map(|record| &record.hash),
                "verified": record.map_or("put there by hand", |record| &record.verified),
            })
        })
        .collect();
    if rows.is_empty() {
        print::note(format!(
            "The mirror in `{}` is empty. Fill it: windlass mirror fill",
            path(session).display()
        ));
    }
    value::print(&rows.into(), out.out, COLUMNS)?;
    Ok(Exit::OK)
}

fn verify(session: &Session) -> anyhow::Result<Exit> {
    let (mut good, mut by_hand, mut wrong) = (0, 0, 0);
    for (package, checked) in mirror(session).verify() {
        match checked {
            Ok(()) if package.record.is_none() => by_hand += 1,
            Ok(()) => good += 1,
            Err(why) => {
                wrong += 1;
                print::error(&anyhow!("{}: {why}", package.wanted));
            }
        }
    }
    if wrong > 0 {
        print::suggestions(&[
            "take it away and fetch it again: windlass mirror remove SOURCE VERSION, then windlass mirror add SOURCE VERSION"
                .to_owned(),
        ]);
        return Err(Told.into());
    }
    let hand = match by_hand {
        0 => String::new(),
        count => format!(
            " {count} were put there by hand; nothing is known that they could be compared with."
        ),
    };
    print::success(format!("{good} packages are as they came.{hand}"));
    Ok(Exit::OK)
}

async fn url(session: &Session, server: Option<String>) -> anyhow::Result<Exit> {
    let local = session.local().await?;
    let server = server.unwrap_or_else(|| local::public_url(&session.settings));
    if !server.starts_with("https://") {
        return Err(Advised::new(
            format!("`{server}` is not https, and engines use a mirror over TLS only"),
            ["say where this installation's server is reached: --server https://windlass.example.com"],
        )
        .into());
    }
    print::data(&format!("{}\n", local.service().mirror_url(&server)))?;
    Ok(Exit::OK)
}

fn remove(
    session: &Session,
    source: &str,
    versions: &[String],
    engine: Option<Kind>,
) -> anyhow::Result<Exit> {
    let provider =
        Provider::parse(source, registry_of(session, engine)).map_err(anyhow::Error::msg)?;
    let mirror = mirror(session);
    let there: Vec<Wanted> = mirror
        .packages()
        .into_iter()
        .map(|package| package.wanted)
        .filter(|wanted| wanted.provider == provider)
        .collect();
    for version in versions {
        if !there.iter().any(|wanted| wanted.version == *version) {
            return Err(Advised::new(
                format!("the mirror has no {provider} {version}; nothing was removed"),
                ["windlass mirror list"],
            )
            .into());
        }
    }
    let removed: Vec<&Wanted> = there
        .iter()
        .filter(|wanted| versions.is_empty() || versions.contains(&wanted.version))
        .collect();
    if removed.is_empty() {
        return Err(Advised::new(
            format!("the mirror has no {provider}; nothing was removed"),
            ["windlass mirror list"],
        )
        .into());
    }
    for wanted in removed {
        mirror.remove(wanted)?;
        print::success(format!("{wanted} removed."));
    }
    Ok(Exit::OK)
}
