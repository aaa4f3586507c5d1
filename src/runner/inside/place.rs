//! The places of one run: work directory, home, temporary directory, CLI configuration of the engine; and its
//! environment, which is built from nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::runner::engine::Kind;
use crate::runner::environment;
use crate::runner::job::{HostedState, Job, NetworkMirror};

/// Providers make Unix sockets in the temporary directory, and the path of a socket is short.
const MAX_TMP: usize = 80;

/// Where a run lives.
#[derive(Debug)]
pub(crate) struct Place {
    /// Bundle and `.terraform`; the engine's current directory.
    pub(crate) work: PathBuf,
    home: PathBuf,
    tmp: PathBuf,
    configuration: PathBuf,
    /// Where providers are.
    pub(crate) mirror: Option<PathBuf>,
}

/// The root module of a bundle.
pub(crate) const ROOT: &str = "main.tf";

/// A file that is a link to memory, which this process and the engines that it starts can read, and which is gone with
/// them.
fn in_memory(path: &Path, content: &[u8]) -> io::Result<OwnedFd> {
    let name = path.file_name().unwrap_or_default();
    let memory = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::empty())?;
    let mut file = fs::File::from(memory);
    file.write_all(content)?;
    std::os::unix::fs::symlink(format!("/dev/fd/{}", file.as_raw_fd()), path)?;
    Ok(file.into())
}

fn directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

impl Place {
    /// Makes all of it below the spool. `state` is linked into the work directory, so that the HCL is the same everywhere.
    pub(crate) fn make(
        spool: &Path,
        state: Option<&Path>,
        mirror: Option<&Path>,
        job: &Job,
    ) -> io::Result<Self> {
        let spool = std::path::absolute(spool)?;
        let mut tmp = spool.join("tmp");
        if tmp.as_os_str().len() > MAX_TMP {
            tmp = tempfile::Builder::new()
                .prefix("windlass-")
                .tempdir_in("/tmp")
                .map_err(|error| {
                    let words = format!(
                        "the path of the data directory is too long for the sockets of providers, and `/tmp` cannot be used instead: {}; make `/tmp` usable, or use a data directory with a shorter path",
                        error.kind()
                    );
                    io::Error::other(words)
                })?
                .keep();
        }
        let place = Self {
            work: spool.join("work"),
            home: spool.join("home"),
            configuration: spool.join("engine.rc"),
            tmp,
            mirror: mirror.map(std::path::absolute).transpose()?,
        };
        fs::DirBuilder::new().mode(0o700).create(&place.work)?;
        directory(&place.home)?;
        directory(&place.tmp)?;
        if let Some(state) = state {
            std::os::unix::fs::symlink(std::path::absolute(state)?, place.work.join("state"))?;
        }
        let empty = spool.join("no-mirror");
        let packages = mirror.map(packages).unwrap_or_default();
        if mirror.is_none() {
            directory(&empty)?;
        }
        fs::write(
            &place.configuration,
            configuration(
                mirror.unwrap_or(&empty),
                &packages,
                job.network_mirror.as_ref(),
                job.allow_downloads,
            ),
        )?;
        Ok(place)
    }

    /// Gives a plan a state of its own: in memory, reached through a link. The state directory is not touched, not
    /// even by a lock.
    pub(crate) fn state_in_memory(&self, state: &[u8]) -> io::Result<OwnedFd> {
        directory(&self.work.join("state"))?;
        in_memory(&self.work.join("state/terraform.tfstate"), state)
    }

    /// Gives the engine the root module: in memory, because it holds the configuration of providers and what the
    /// manifest says, and neither may outlive a run that is killed.
    pub(crate) fn root_in_memory(&self, code: &[u8]) -> io::Result<OwnedFd> {
        in_memory(&self.work.join(ROOT), code)
    }

    /// The state file, where the state is local.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.work.join("state/terraform.tfstate")
    }

    /// The engine's CLI configuration.
    pub(crate) fn configuration(&self) -> Vec<u8> {
        fs::read(&self.configuration).unwrap_or_default()
    }

    /// Everything the engine gets, and nothing else. `hosted`: how it reaches the state that it works on, where the
    /// server keeps that.
    pub(crate) fn environment(
        &self,
        job: &Job,
        hosted: Option<&HostedState>,
        memory: &Memory,
        inherited: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = inherited;
        environment.extend([
            ("HOME".to_owned(), text(&self.home)),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            (
                "PATH".to_owned(),
                std::env::var("PATH").unwrap_or_else(|_| {
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
                }),
            ),
        ]);
        environment.extend(memory.variables());
        environment.extend(job.environment.clone());
        if let Some(state) = hosted {
            environment.extend(state.variables());
            for (name, value) in HostedState::patience() {
                environment.entry(name).or_insert(value);
            }
        }
        for (name, value) in [
            ("TMPDIR", text(&self.tmp)),
            ("TF_CLI_CONFIG_FILE", text(&self.configuration)),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("TF_INPUT", "0".to_owned()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        environment
    }

    /// Removes what lies outside the spool; the spool goes with the launcher.
    pub(crate) fn leave(&self) {
        let _ = fs::remove_dir_all(&self.tmp);
    }

    /// Providers that were fetched rather than linked from the mirror: `HOST/NAMESPACE/TYPE VERSION`.
    pub(crate) fn downloaded(&self) -> (Vec<String>, usize) {
        let mut downloaded = Vec::new();
        let mut linked = 0;
        let root = self.work.join(".terraform/providers");
        for (name, path) in below(&root, 4) {
            for platform in children(&path) {
                let Ok(kind) = fs::symlink_metadata(&platform).map(|metadata| metadata.file_type())
                else {
                    continue;
                };
                // OpenTofu leaves a lock file beside the package.
                if kind.is_symlink() {
                    linked += 1;
                } else if kind.is_dir() {
                    let (provider, version) = name.rsplit_once('/').unwrap_or((&name, ""));
                    downloaded.push(format!("{provider} {version}"));
                }
            }
        }
        downloaded.sort();
        (downloaded, linked)
    }
}

/// Variables of this process that an engine may have: not those by which somebody would change what we ask of it.
pub(crate) fn inherited(
    variables: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let is_ours = |name: &str| {
        ["WINDLASS_", "TF_CLI_ARGS", "TF_LOG", "RUNNER_GIT_SSH_KEYS"]
            .iter()
            .any(|start| name.starts_with(start))
            || environment::OURS.contains(&name)
    };
    variables
        .into_iter()
        .filter(|(name, _)| !is_ours(name))
        .collect()
}

/// Memory that the container may use, if it is limited.
pub(crate) fn memory_limit() -> Option<u64> {
    limit_below(Path::new(CGROUP))
}

fn limit_below(cgroup: &Path) -> Option<u64> {
    number_in(cgroup, ["memory.max", "memory/memory.limit_in_bytes"])
        .filter(|limit| *limit < 1 << 50)
}

/// What the engine may use of the machine's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Whether more of it may be used to save time.
    wanted: bool,
    limit: Option<u64>,
    available: Option<u64>,
}

/// From here on there is enough for an engine and its providers that collect their garbage late.
const ENOUGH: u64 = 512 * 1024 * 1024;

impl Memory {
    /// As it is here and now.
    pub(crate) fn found(wanted: bool) -> Self {
        let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemAvailable:"))?;
            let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kilobytes * 1024)
        });
        Self {
            wanted,
            limit: memory_limit(),
            available,
        }
    }

    fn is_enough(self) -> bool {
        // Without a limit others need memory, too.
        match (self.limit, self.available) {
            (Some(limit), _) => limit >= ENOUGH,
            (None, Some(available)) => available >= 4 * ENOUGH,
            (None, None) => false,
        }
    }

    /// Variables of the engine and its providers.
    fn variables(self) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if self.wanted && self.is_enough() {
            // Less garbage collection: a fifth of the engine's time, for half as much memory again.
            variables.push(("GOGC".to_owned(), "400".to_owned()));
        }
        if let Some(limit) = self.limit {
            // Soft: where it is near, the collector works harder instead of being killed.
            variables.push(("GOMEMLIMIT".to_owned(), (limit / 4 * 3).to_string()));
        }
        variables
    }

    /// For the run record.
    pub(crate) fn in_words(self) -> String {
        if !self.wanted {
            return "garbage is collected as usual: switched off".to_owned();
        }
        if !self.is_enough() {
            return "garbage is collected as usual: there is little memory".to_owned();
        }
        match self.limit {
            Some(limit) => format!(
                "garbage is collected late (GOGC=400), below {} MiB (GOMEMLIMIT)",
                (limit / 4 * 3) >> 20
            ),
            None => "garbage is collected late (GOGC=400); no memory limit".to_owned(),
        }
    }
}

/// How often the memory limit has killed something here.
pub(crate) fn memory_kills() -> Option<u64> {
    kills_below(Path::new(CGROUP))
}

/// The most memory that was ever used here, where the kernel tells.
pub(crate) fn memory_peak() -> Option<u64> {
    number_in(
        Path::new(CGROUP),
        ["memory.peak", "memory/memory.max_usage_in_bytes"],
    )
}

/// Where a container sees its own limits: version 2 at once, version 1 by controller.
const CGROUP: &str = "/sys/fs/cgroup";

fn kills_below(cgroup: &Path) -> Option<u64> {
    ["memory.events", "memory/memory.oom_control"]
        .iter()
        .find_map(|file| {
            fs::read_to_string(cgroup.join(file))
                .ok()?
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
}

fn number_in(cgroup: &Path, files: [&str; 2]) -> Option<u64> {
    files.iter().find_map(|file| {
        let text = fs::read_to_string(cgroup.join(file)).ok()?;
        text.trim().parse().ok()
    })
}

fn children(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    found.sort();
    found
}

/// Directories `depth` levels below `root`, with their relative names.
fn below(root: &Path, depth: usize) -> Vec<(String, PathBuf)> {
    let mut level = vec![(String::new(), root.to_owned())];
    for _ in 0..depth {
        level = level
            .iter()
            .flat_map(|(name, path)| {
                children(path).into_iter().filter_map(move |child| {
                    let part = child.file_name()?.to_str()?.to_owned();
                    let name = if name.is_empty() {
                        part
                    } else {
                        format!("{name}/{part}")
                    };
                    child.is_dir().then_some((name, child))
                })
            })
            .collect();
    }
    level
}

/// Providers of a mirror: `HOST/NAMESPACE/TYPE`.
fn packages(mirror: &Path) -> Vec<String> {
    below(mirror, 3)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "./-_:".contains(c))
                && !name.starts_with('.')
        })
        .collect()
}

/// The engine's CLI configuration. What the mirror has comes from the mirror alone, and what only the network mirror has
/// from there: an engine that may also look elsewhere would ask there first and fail without a network.
fn configuration(
    mirror: &Path,
    packages: &[String],
    network: Option<&NetworkMirror>,
    downloads: bool,
) -> String {
    let list = |names: &[&String]| {
        let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        quoted.join(", ")
    };
    let here: Vec<&String> = packages.iter().collect();
    let there: Vec<&String> = network
        .iter()
        .flat_map(|network| &network.providers)
        .filter(|provider| !packages.contains(provider))
        .collect();
    let mut text = String::from("disable_checkpoint = true\nprovider_installation {\n");
    if !here.is_empty() || !downloads && there.is_empty() {
        text.push_str(&format!(
            "  filesystem_mirror {{\n    path = {}\n",
            quoted(&mirror.to_string_lossy())
        ));
        if downloads || !there.is_empty() {
            text.push_str(&format!("    include = [{}]\n", list(&here)));
        }
        text.push_str("  }\n");
    }
    if let Some(network) = network.filter(|_| !there.is_empty()) {
        text.push_str(&format!(
            "  network_mirror {{\n    url = {}\n    include = [{}]\n  }}\n",
            quoted(&network.url),
            list(&there)
        ));
    }
    if downloads {
        text.push_str("  direct {\n");
        if !here.is_empty() || !there.is_empty() {
            let all: Vec<&String> = here.iter().chain(&there).copied().collect();
            text.push_str(&format!("    exclude = [{}]\n", list(&all)));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// A text in the engine's CLI configuration.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The binary of an engine: as set, else in `PATH`.
pub(crate) fn find(
    wanted: Option<&str>,
    set: &BTreeMap<String, PathBuf>,
) -> Result<(Kind, PathBuf), String> {
    let kinds: Vec<Kind> = match wanted {
        None => Kind::ALL.to_vec(),
        Some(name) => vec![Kind::parse(name).ok_or_else(|| {
            format!("the engine `{name}` is not known; expected `opentofu` or `terraform`")
        })?],
    };
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    for kind in &kinds {
        let set = set.get(kind.as_str()).cloned();
        let found = set.into_iter().chain(
            std::env::split_paths(&path)
                .filter(|directory| directory.is_absolute())
                .map(|directory| directory.join(kind.binary())),
        );
        for file in found {
            if is_program(&file) {
                return Ok((*kind, file));
            }
        }
    }
    let names: Vec<String> = kinds
        .iter()
        .map(|kind| format!("`{}`", kind.binary()))
        .collect();
    Err(format!(
        "the runner has no {} in its PATH; install it there, or name another engine or image in the runner's configuration",
        names.join(" and no ")
    ))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_alone_serves_what_it_has() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("registry.example/a/b/1.0.0/linux_amd64"))
            .expect("made");
        let packages = packages(dir.path());
        assert_eq!(packages, ["registry.example/a/b"]);
        let offline = configuration(Path::new("/m"), &packages, None, false);
        assert!(!offline.contains("direct"), "{offline}");
        assert!(!offline.contains("include"), "{offline}");
        let online = configuration(Path::new("/m"), &packages, None, true);
        assert!(
            online.contains("include = [\"registry.example/a/b\"]"),
            "{online}"
        );
        assert!(
            online.contains("exclude = [\"registry.example/a/b\"]"),
            "{online}"
        );
        let bare = configuration(Path::new("/m"), &[], None, true);
        assert!(
            bare.contains("direct {\n  }") && !bare.contains("mirror"),
            "{bare}"
        );
        let network = NetworkMirror {
            url: "https://w.example/provider-mirror/T/".to_owned(),
            providers: vec![
                "registry.example/a/b".to_owned(),
                "registry.example/a/c".to_owned(),
            ],
        };
        let both = configuration(Path::new("/m"), &packages, Some(&network), false);
        assert!(
            both.contains("include = [\"registry.example/a/b\"]"),
            "{both}"
        );
        assert!(
            both.contains("url = \"https://w.example/provider-mirror/T/\"\n    include = [\"registry.example/a/c\"]"),
            "what lies here is not fetched: {both}"
        );
        let only = configuration(Path::new("/m"), &[], Some(&network), false);
        assert!(
            only.contains("network_mirror") && !only.contains("filesystem_mirror"),
            "{only}"
        );
    }

    #[test]
    fn both_versions_of_the_kernels_accounts_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        };
        assert_eq!(kills_below(dir.path()), None);
        write(
            "memory/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        );
        write("memory/memory.limit_in_bytes", "134217728\n");
        assert_eq!(kills_below(dir.path()), Some(3));
        assert_eq!(limit_below(dir.path()), Some(128 << 20));
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit_below(dir.path()), None, "no limit");
        write(
            "memory.events",
            "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n",
        );
        write("memory.max", "max\n");
        fs::remove_dir_all(dir.path().join("memory")).expect("gone");
        assert_eq!(kills_below(dir.path()), Some(1));
        assert_eq!(limit_below(dir.path()), None, "no limit");
    }
}
