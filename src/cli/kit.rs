//! `kit`: one signed file that carries an engine, providers and module code to where there is no network.
//!
//! Why not `bundle`: that is what a deployment is compiled to. The word works all the same, for those who look for it.
//! An import takes everything or nothing: all of it is written beside and compared first, and only then shown.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::exit::{Advised, Exit};
use super::{Session, files, local, mirror, print};
use crate::runner::engine::Kind;
use crate::runner::host;
use crate::runner::inside::platform;
use crate::sources::kit::{Entry, KitError, Part, PublicKey, Reader, SecretKey, What, write};
use crate::sources::mirror::{Provider, Wanted};

/// In the data directory: keys that kits are taken from, a line each.
const TRUSTED: &str = "kit-keys";

/// What `kit` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Kit {
    /// Make a key that signs kits, and print the public half, which the other side is to trust
    Key {
        /// The new file
        file: PathBuf,
    },
    /// Pack this machine's engine, provider mirror and module code into one signed file
    ///
    /// The same content makes the same bytes. What modules name by git is carried as it was fetched; modules of a registry
    /// and code inside images cannot be carried, which is said.
    Export {
        /// The new file
        file: PathBuf,
        /// What signs it: a file that `windlass kit key` wrote
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Leave the engine out
        #[arg(long)]
        without_engine: bool,
    },
    /// Take everything of a kit, or nothing: the engine, the providers into the mirror, the code of modules
    Import {
        /// The kit
        file: PathBuf,
        /// Trust this key, now and from now on: `ed25519:…`, as whoever packed the kit was told
        #[arg(long, value_name = "KEY")]
        trust: Option<PublicKey>,
    },
    /// Show what a kit holds and who signed it, and check every byte of it
    Show {
        /// The kit
        file: PathBuf,
    },
}

impl Kit {
    /// Does it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Key { file } => make_key(&file),
            Self::Export {
                file,
                key,
                without_engine,
            } => export(session, &file, &key, without_engine).await,
            Self::Import { file, trust } => import(session, &file, trust).await,
            Self::Show { file } => show(session, &file),
        }
    }
}

fn make_key(file: &Path) -> anyhow::Result<Exit> {
    if file.exists() {
        bail!("`{}` is there already and stays as it is", file.display());
    }
    let text = SecretKey::generate()?;
    let key = SecretKey::parse(&text)?;
    files::write_private(file, text.as_bytes())
        .with_context(|| format!("could not write `{}`", file.display()))?;
    print::data(&format!("{}\n", key.public()))?;
    print::note(format!(
        "`{}` signs kits: keep it where nobody else reads it. Who takes them trusts the key above: windlass kit import KIT --trust KEY",
        file.display()
    ));
    Ok(Exit::OK)
}

async fn export(
    session: &Session,
    file: &Path,
    key: &Path,
    without_engine: bool,
) -> anyhow::Result<Exit> {
    let text = fs::read_to_string(key)
        .with_context(|| format!("could not read the key `{}`", key.display()))?;
    let key = SecretKey::parse(&text).with_context(|| format!("`{}`", key.display()))?;
    let carried = session
        .local()
        .await?
        .service()
        .code_to_carry(&session.settings.org)
        .await?;
    for left in &carried.left {
        print::warning(format!("{left}; it is not in the kit"));
    }
    let packages = mirror::mirror(session).packages();
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (digest, code) in &carried.code {
        parts.push(Part {
            what: What::Code {
                digest: digest.clone(),
                sources: code.sources.iter().cloned().collect(),
            },
            open: Box::new(move || Ok(Box::new(code.packed.as_slice()) as Box<dyn Read>)),
        });
    }
    for package in &packages {
        parts.push(Part {
            what: What::Provider {
                provider: package.wanted.provider.to_string(),
                version: package.wanted.version.clone(),
                platform: package.wanted.platform.clone(),
                verified: package
                    .record
                    .as_ref()
                    .map_or("put there by hand", |record| &record.verified)
                    .to_owned(),
            },
            open: Box::new(move || Ok(Box::new(package.archive()?) as Box<dyn Read>)),
        });
    }
    if !without_engine {
        let found = host::engine(None, &local::engines(&session.settings))
            .map_err(|error| Advised::new(error.message, ["leave it out: --without-engine"]))?;
        let path = found.path;
        parts.push(Part {
            what: What::Engine {
                engine: found.engine.to_owned(),
                platform: platform(),
            },
            open: Box::new(move || Ok(Box::new(File::open(&path)?) as Box<dyn Read>)),
        });
    }
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let cannot = || format!("could not write `{}`", file.display());
    let mut new = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempfile_in(parent)
        .with_context(cannot)?;
    let mut out = BufWriter::new(new.as_file_mut());
    let entries = write(parts, &key, &mut out)?;
    out.flush().with_context(cannot)?;
    drop(out);
    new.as_file().sync_all().with_context(cannot)?;
    new.persist(file).with_context(cannot)?;
    print::success(format!(
        "Kit `{}` written and signed by {}: {}.",
        file.display(),
        key.public(),
        counted(&entries)
    ));
    Ok(Exit::OK)
}

fn counted(entries: &[Entry]) -> String {
    let (mut code, mut engines, mut providers, mut bytes) = (0, 0, 0, 0);
    for entry in entries {
        bytes += entry.length;
        match entry.what {
            What::Code { .. } => code += 1,
            What::Engine { .. } => engines += 1,
            What::Provider { .. } => providers += 1,
        }
    }
    format!(
        "{engines} engines, {providers} providers, the code of {code} modules; {} MiB",
        bytes.div_ceil(1 << 20)
    )
}

/// Opens a kit that is signed by a trusted key.
fn open(
    session: &Session,
    file: &Path,
    trust: Option<&PublicKey>,
) -> anyhow::Result<Reader<BufReader<File>>> {
    let trusted = trusted(session)?;
    let kit = File::open(file).with_context(|| format!("could not read `{}`", file.display()))?;
    let known = |key: &PublicKey| match trust {
        Some(trust) => key == trust,
        None => trusted.contains(key),
    };
    Reader::open(BufReader::new(kit), known).map_err(|error| match &error {
        KitError::UnknownKey(key) => Advised::new(
            format!("the kit `{}` was not taken: {error}", file.display()),
            [
                "ask whoever packed it, by another way than the kit came, which key signs their kits".to_owned(),
                format!("where it is this one: windlass kit import KIT --trust {key}"),
            ],
        )
        .into(),
        _ => refused(file, error),
    })
}

fn refused(file: &Path, error: KitError) -> anyhow::Error {
    anyhow::Error::from(error).context(format!("the kit `{}` was not taken", file.display()))
}

fn trusted(session: &Session) -> anyhow::Result<Vec<PublicKey>> {
    let path = session.settings.data_dir.join(TRUSTED);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("could not read `{}`", path.display()))?,
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            line.parse()
                .with_context(|| format!("`{}` holds `{line}`", path.display()))
        })
        .collect()
}

async fn import(session: &Session, file: &Path, trust: Option<PublicKey>) -> anyhow::Result<Exit> {
    let local = session.local().await?;
    let mut reader = open(session, file, trust.as_ref())?;
    let target = mirror::mirror(session);
    let beside = tempfile::Builder::new()
        .prefix(".kit-")
        .tempdir_in(&session.settings.data_dir)
        .context("could not write into the data directory")?;
    // 1. Everything is copied and compared; nothing can be seen of it yet.
    let mut staged = Vec::new();
    let mut at = 0;
    loop {
        at += 1;
        let staging = match reader.entries().get(at - 1).map(|entry| &entry.what) {
            Some(What::Provider { .. }) => Some(target.stage()?),
            _ => None,
        };
        let path = match &staging {
            Some(staging) => staging.zip(),
            None => beside.path().join(at.to_string()),
        };
        let to = path.clone();
        let next = reader.next(move |_| Ok(Box::new(File::create(to)?) as Box<dyn Write>));
        match next.map_err(|error| refused(file, error))? {
            Some(entry) => staged.push((entry, path, staging)),
            None => break,
        }
    }
    // 2. What can still be refused is refused now.
    let mut packages = Vec::new();
    let mut code = BTreeMap::new();
    let mut engines = Vec::new();
    for (entry, path, staging) in staged {
        match (entry.what, staging) {
            (What::Code { digest, sources }, _) => {
                code.insert(digest, (fs::read(&path)?, sources));
            }
            (What::Engine { engine, platform }, _) => engines.push((engine, platform, path)),
            (
                What::Provider {
                    provider,
                    version,
                    platform,
                    verified,
                },
                Some(staging),
            ) => {
                let wanted = Provider::parse(&provider, "")
                    .and_then(|provider| Wanted::new(provider, &version, &platform))
                    .map_err(anyhow::Error::msg)?;
                let verified = format!("by a kit of {}; there: {verified}", reader.key());
                packages.push((staging.prepare(&wanted, &entry.sha256, verified)?, wanted));
            }
            (What::Provider { .. }, None) => {}
        }
    }
    let engines = usable(engines);
    let count = counted(reader.entries());
    local
        .service()
        .take_code(&session.settings.org, code)
        .await?;
    // 3. From here on only the disk can fail, and the same import again finishes.
    for (engine, path) in engines {
        install(session, engine, &path)?;
    }
    for (package, _) in packages {
        package.show()?;
    }
    if let Some(key) = trust {
        let mut keys = trusted(session)?;
        if !keys.contains(&key) {
            keys.push(key);
            let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
            files::write_private(&session.settings.data_dir.join(TRUSTED), text.as_bytes())
                .context("could not keep the key")?;
        }
    }
    print::success(format!("Kit `{}` taken: {count}.", file.display()));
    Ok(Exit::OK)
}

/// Engines that run on this machine.
fn usable(engines: Vec<(String, String, PathBuf)>) -> Vec<(Kind, PathBuf)> {
    let mut found = Vec::new();
    for (engine, for_platform, path) in engines {
        match Kind::parse(&engine) {
            Some(kind) if for_platform == platform() => found.push((kind, path)),
            _ => print::warning(format!(
                "the engine `{engine}` of the kit is for {for_platform} and this is {}; it is left out",
                platform()
            )),
        }
    }
    found
}

/// Puts an engine where launchers look for it, by one rename.
fn install(session: &Session, engine: Kind, from: &Path) -> anyhow::Result<()> {
    let target = local::own_engine(&session.settings.data_dir, engine);
    let directory = target.parent().unwrap_or(&session.settings.data_dir);
    files::private_dir(directory)?;
    let cannot = || format!("could not write `{}`", target.display());
    fs::set_permissions(from, fs::Permissions::from_mode(0o755)).with_context(cannot)?;
    File::open(from)
        .and_then(|file| file.sync_all())
        .with_context(cannot)?;
    fs::rename(from, &target).with_context(cannot)
}

fn show(session: &Session, file: &Path) -> anyhow::Result<Exit> {
    let mut reader = open(session, file, None)?;
    while reader
        .next(|_| Ok(Box::new(std::io::sink()) as Box<dyn Write>))
        .map_err(|error| refused(file, error))?
        .is_some()
    {}
    let mut text = format!("signed by {}\n", reader.key());
    for entry in reader.entries() {
        text.push_str(&format!("{}  {} bytes\n", entry.what, entry.length));
    }
    print::data(&text)?;
    Ok(Exit::OK)
}
