//! Assembles the runner image: `runner-images/default`, which this binary carries, with our own binary, an engine,
//! certificate authorities and a static shell.
//!
//! Start at [`collect`], which looks at this machine, and [`Context`], what comes of it: the build context, in order,
//! with a digest over every path, mode and byte. The digest is the image's tag, so a changed file is another image and
//! an unchanged one is never built twice. [`build`] hands the context to the daemon through `docker`.
//!
//! Never downloads anything, and never lets a program into the image that could not run there: one that asks for a
//! dynamic loader, or one of another architecture.
pub(crate) mod elf;
mod found;
mod hash;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

pub(crate) use self::found::{collect, own_program};
use super::{HostSettings, LaunchError};
use crate::model::hex;

/// Name of the image before the colon.
pub(crate) const REPOSITORY: &str = "windlass-runner";

/// The files of `runner-images/default`.
#[derive(rust_embed::Embed)]
#[folder = "runner-images/default"]
struct Default;

/// A program that goes into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Name in the image.
    pub(crate) name: String,
    /// Where it lies on this machine.
    pub(crate) path: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// SHA-256 of its content.
    pub(crate) digest: [u8; 32],
}

/// What this machine gives to the image.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Our own binary.
    pub(crate) windlass: Program,
    /// The engine.
    pub(crate) engine: Program,
    /// `busybox` or another static shell.
    pub(crate) shell: Option<Program>,
    /// Certificate authorities, PEM.
    pub(crate) certs: Option<Vec<u8>>,
}

/// One entry of the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Permission bits.
    pub(crate) mode: u32,
    /// What it is.
    pub(crate) content: Content,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Directory,
    /// A symbolic link to this target.
    Link(String),
    Bytes(Vec<u8>),
    /// A file of this machine, too large to hold.
    File(Program),
}

/// A build context, whole.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Relative path to entry; every directory comes before what it holds.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// SHA-256 over all of it, 64 hexadecimal digits.
    pub(crate) digest: String,
    /// `tofu` or `terraform`.
    pub(crate) engine: String,
    /// What the image will lack, and what to do about it.
    pub(crate) warnings: Vec<String>,
}

impl Context {
    /// `windlass-runner:HEX16`.
    pub(crate) fn reference(&self) -> String {
        format!("{REPOSITORY}:{}", &self.digest[..16])
    }

    /// How many bytes go to the daemon, but for headers.
    pub(crate) fn size(&self) -> u64 {
        let size = |entry: &Entry| match &entry.content {
            Content::Directory | Content::Link(_) => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(program) => program.size,
        };
        self.entries.values().map(size).sum()
    }
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// `windlass-runner:HEX16`.
    pub(crate) reference: String,
    /// `tofu` or `terraform`.
    pub(crate) engine: String,
    /// Bytes of the build context.
    pub(crate) size: u64,
    /// Whether it was there already.
    pub(crate) already: bool,
    /// What the image lacks, and what to do about it.
    pub(crate) warnings: Vec<String>,
}

/// Builds the default image for `engine` (`None`: what is installed, OpenTofu first) unless the daemon has it.
///
/// `say` is told what is being done, in words for people.
pub(crate) async fn build(
    host: &HostSettings,
    engine: Option<&str>,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Built, LaunchError> {
    super::docker::build_image(host, engine, say).await
}

/// The files that this binary carries, by relative path.
fn embedded() -> BTreeMap<String, Vec<u8>> {
    Default::iter()
        .filter_map(|path| {
            let file = Default::get(&path)?;
            Some((path.into_owned(), file.data.into_owned()))
        })
        .collect()
}

/// Puts the context together. Pure.
fn assemble(embedded: &BTreeMap<String, Vec<u8>>, parts: &Parts) -> Context {
    let mut entries = BTreeMap::new();
    for directory in ["tree", "rootfs", "certs", "shell", "engine"] {
        add(&mut entries, directory, 0o755, Content::Directory);
    }
    for (path, bytes) in embedded {
        add(&mut entries, path, 0o644, Content::Bytes(bytes.clone()));
    }
    for (mode, path) in directories(embedded) {
        add(
            &mut entries,
            &format!("tree{path}"),
            mode,
            Content::Directory,
        );
    }
    let mut warnings = Vec::new();
    match &parts.shell {
        Some(shell) => {
            let file = Content::File(shell.clone());
            add(&mut entries, &format!("shell/{}", shell.name), 0o755, file);
            let links = match shell.name.as_str() {
                "busybox" => words(embedded, "applets"),
                _ => vec!["sh".to_owned()],
            };
            for link in links {
                let target = Content::Link(shell.name.clone());
                add(&mut entries, &format!("shell/{link}"), 0o777, target);
            }
        }
        None => warnings.push(format!(
            "no static shell was found on this machine, so `local-exec` will not work in the image; {}",
            found::INSTALL_SHELL
        )),
    }
    match &parts.certs {
        Some(bytes) => add(
            &mut entries,
            "certs/ca-certificates.crt",
            0o644,
            Content::Bytes(bytes.clone()),
        ),
        None => warnings.push(
            "no certificate authorities were found on this machine, so providers cannot speak TLS in the image; \
             install the package `ca-certificates` or set SSL_CERT_FILE"
                .to_owned(),
        ),
    }
    let engine = &parts.engine;
    let file = Content::File(engine.clone());
    add(
        &mut entries,
        &format!("engine/{}", engine.name),
        0o755,
        file,
    );
    add(
        &mut entries,
        "windlass",
        0o755,
        Content::File(parts.windlass.clone()),
    );
    let digest = digest(&entries);
    Context {
        entries,
        digest,
        engine: engine.name.clone(),
        warnings,
    }
}

/// Adds an entry, and the directories above it that are not there yet.
fn add(entries: &mut BTreeMap<String, Entry>, path: &str, mode: u32, content: Content) {
    for (at, _) in path.match_indices('/') {
        entries.entry(path[..at].to_owned()).or_insert(Entry {
            mode: 0o755,
            content: Content::Directory,
        });
    }
    entries.insert(path.to_owned(), Entry { mode, content });
}

/// The lines of an embedded file without comments, split at blanks.
fn words(embedded: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<String> {
    let text = embedded.get(name).map_or(&[][..], Vec::as_slice);
    String::from_utf8_lossy(text)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// Mode and path of each line of the file `directories`.
fn directories(embedded: &BTreeMap<String, Vec<u8>>) -> Vec<(u32, String)> {
    words(embedded, "directories")
        .chunks_exact(2)
        .filter_map(|pair| Some((u32::from_str_radix(&pair[0], 8).ok()?, pair[1].clone())))
        .collect()
}

/// Digest over every path, mode and content, each with its length before it.
fn digest(entries: &BTreeMap<String, Entry>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"windlass runner image 1\n");
    let mut part = |kind: &[u8], bytes: &[u8]| {
        hash.update(kind);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for (path, entry) in entries {
        part(b"path", path.as_bytes());
        part(b"mode", &entry.mode.to_be_bytes());
        match &entry.content {
            Content::Directory => part(b"directory", b""),
            Content::Link(target) => part(b"link", target.as_bytes()),
            Content::Bytes(bytes) => part(b"file", &Sha256::digest(bytes)),
            Content::File(program) => part(b"file", &program.digest),
        }
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, fill: u8) -> Program {
        Program {
            name: name.to_owned(),
            path: PathBuf::from("/somewhere").join(name),
            size: 3,
            digest: [fill; 32],
        }
    }

    fn parts() -> Parts {
        Parts {
            windlass: program("windlass", 1),
            engine: program("tofu", 2),
            shell: Some(program("busybox", 3)),
            certs: Some(b"pem".to_vec()),
        }
    }

    #[test]
    fn a_changed_file_changes_the_digest_whichever_it_is() {
        let files = embedded();
        assert!(files.contains_key("Dockerfile"), "{:?}", files.keys());
        let base = assemble(&files, &parts()).digest;
        assert_eq!(base, assemble(&files, &parts()).digest);
        for name in files.keys() {
            let mut changed = files.clone();
            changed.get_mut(name).expect("it is there").push(b'\n');
            assert_ne!(base, assemble(&changed, &parts()).digest, "{name}");
        }
        let others = [
            Parts {
                windlass: program("windlass", 9),
                ..parts()
            },
            Parts {
                engine: program("tofu", 9),
                ..parts()
            },
            Parts {
                engine: program("terraform", 2),
                ..parts()
            },
            Parts {
                shell: None,
                ..parts()
            },
            Parts {
                certs: Some(b"other".to_vec()),
                ..parts()
            },
        ];
        for changed in others {
            assert_ne!(base, assemble(&files, &changed).digest, "{changed:?}");
        }
    }

    #[test]
    fn where_a_program_lies_does_not_matter() {
        let mut moved = parts();
        moved.engine.path = PathBuf::from("/elsewhere/tofu");
        let files = embedded();
        assert_eq!(
            assemble(&files, &parts()).digest,
            assemble(&files, &moved).digest
        );
    }

    #[test]
    fn what_the_dockerfile_copies_is_in_the_context() {
        let files = embedded();
        let context = assemble(&files, &parts());
        let dockerfile = String::from_utf8(files["Dockerfile"].clone()).expect("UTF-8");
        let sources: Vec<&str> = dockerfile
            .lines()
            .filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next())
            .collect();
        assert!(sources.len() >= 6, "{sources:?}");
        for source in sources {
            assert!(
                context.entries.contains_key(source.trim_end_matches('/')),
                "{source}"
            );
        }
        assert_eq!(context.entries["tree/spool"].mode, 0o1777);
        assert_eq!(context.entries["tree/tmp"].mode, 0o1777);
        assert_eq!(
            context.entries["shell/sh"].content,
            Content::Link("busybox".to_owned())
        );
        assert_eq!(context.entries["windlass"].mode, 0o755);
    }

    #[test]
    fn without_a_shell_the_build_says_what_will_not_work_and_what_to_install() {
        let context = assemble(
            &embedded(),
            &Parts {
                shell: None,
                ..parts()
            },
        );
        let [warning] = &context.warnings[..] else {
            panic!("{:?}", context.warnings)
        };
        assert!(warning.contains("local-exec"), "{warning}");
        assert!(warning.contains("busybox-static"), "{warning}");
        assert!(!context.entries.contains_key("shell/sh"));
    }
}
