//! What this machine gives to the image: our binary, an engine, certificate authorities, a static shell.

use std::path::{Path, PathBuf};

use super::hash::{Hashes, ProgramError};
use super::{Context, Parts, Program, assemble, embedded};
use crate::model::phase::FailureClass;
use crate::runner::host::{self, program_in};
use crate::runner::{HostSettings, LaunchError};

/// Where systems keep the certificate authorities they trust.
const CERTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Names of static shells; the first that is static is taken.
const SHELLS: &[&str] = &["busybox", "busybox.static", "busybox-static", "bash-static"];
/// What to install where none is static.
pub(crate) const INSTALL_SHELL: &str =
    "install the package `busybox-static` (Debian, Ubuntu, Alpine) or `busybox` (Fedora, Arch)";

/// Puts the build context of the default image together from what this machine has.
///
/// Reads large programs the first time; call it where blocking is allowed.
pub(crate) fn collect(host: &HostSettings, engine: Option<&str>) -> Result<Context, LaunchError> {
    let mut hashes = Hashes::open(&host.data_dir);
    let windlass = windlass(&mut hashes, host)?;
    let found = host::engine(engine, &host.engines)?;
    let engine = hashes
        .program(found.program, &found.path)
        .map_err(|error| {
            let advice = "use the static program that the engine's project publishes";
            LaunchError {
                class: FailureClass::EngineMissing,
                ..refused("the engine", &found.path, &error, advice)
            }
        })?;
    let shell = shell(&mut hashes);
    hashes.save();
    let parts = Parts {
        windlass,
        engine,
        shell,
        certs: certs(),
    };
    Ok(assemble(&embedded(), &parts))
}

/// The file that this process runs, also when it was replaced meanwhile.
fn own_binary() -> PathBuf {
    let proc = Path::new("/proc/self/exe");
    if proc.exists() {
        return proc.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("windlass"))
}

fn refused(what: &str, path: &Path, error: &ProgramError, advice: &str) -> LaunchError {
    LaunchError {
        class: FailureClass::ImageMissing,
        message: format!(
            "the runner image cannot be built: {what} (`{}`) {error}; {advice}",
            path.display()
        ),
        transient: false,
    }
}

fn shell(hashes: &mut Hashes) -> Option<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::env::split_paths(&path)
            .chain(["/bin", "/usr/bin", "/sbin", "/usr/sbin"].map(PathBuf::from)),
    )
    .ok()?;
    SHELLS.iter().find_map(|name| {
        let file = program_in(name, Some(&path))?;
        let name = if name.starts_with("busybox") {
            "busybox"
        } else {
            name
        };
        hashes.program(name, &file).ok()
    })
}

fn certs() -> Option<Vec<u8>> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named
        .into_iter()
        .chain(CERTS.iter().map(PathBuf::from))
        .find_map(|file| std::fs::read(file).ok().filter(|bytes| !bytes.is_empty()))
}

/// Our own binary, checked, for custom images.
pub(crate) fn own_program(host: &HostSettings) -> Result<Program, LaunchError> {
    let mut hashes = Hashes::open(&host.data_dir);
    let program = windlass(&mut hashes, host)?;
    hashes.save();
    Ok(program)
}

fn windlass(hashes: &mut Hashes, host: &HostSettings) -> Result<Program, LaunchError> {
    let own = host.binary.clone().unwrap_or_else(own_binary);
    hashes.program("windlass", &own).map_err(|error| {
        let advice =
            "deploy with `--runner process`, or set the path of a static Linux build of Windlass";
        refused("Windlass itself", &own, &error, advice)
    })
}
