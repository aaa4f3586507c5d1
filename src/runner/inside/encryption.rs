//! The keys under which OpenTofu encrypts: how they get from the job to the engine, and [`provide`], the program by which the
//! engine asks for one.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use super::settle::{broken, memory};
use super::verdict::Failure;
use crate::model::phase::FailureClass;
use crate::runner::engine::{Kind, encrypted};
use crate::runner::job::{Action, Job};

/// The variable of the engine.
pub(super) const VARIABLE: &str = "TF_ENCRYPTION";
/// A key is no longer than this.
const MOST: u64 = 256;

/// What the variable says, and the memory that holds the keys while engines run. `None` where nothing is to be encrypted or
/// read encrypted.
pub(super) fn given(job: &Job, kind: Kind) -> Result<Option<(String, Vec<OwnedFd>)>, Failure> {
    let Some(encryption) = &job.encryption else {
        return Ok(None);
    };
    if kind != Kind::OpenTofu {
        return match encryption.writes {
            true => Err(Failure::new(
                FailureClass::ConfigInvalid,
                "the state storage of this runner has `encryption`, which is OpenTofu's own, and the engine here is Terraform; \
                 use OpenTofu (`engine: opentofu`), or take `encryption` away",
            )),
            false => Ok(None),
        };
    }
    let mut held = Vec::new();
    let mut keys = Vec::new();
    for key in &encryption.keys {
        let (memory, path) = memory("key", key.as_bytes())?;
        held.push(memory);
        keys.push(path);
    }
    let program = program().map_err(broken("find this program"))?;
    // What an import plans is looked into here.
    let plans = !matches!(job.action, Action::Import | Action::ImportPlan);
    let text = encrypted::configuration(&program, &keys, encryption.writes, plans);
    Ok(Some((text, held)))
}

/// This program, also when another one has taken its place in the file system since.
fn program() -> std::io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    match program.exists() {
        true => Ok(program),
        false => Ok(format!("/proc/{}/exe", std::process::id()).into()),
    }
}

/// `windlass inside --key FILE`: the engine asks for a key.
pub(super) fn provide(file: Option<&std::path::Path>) -> ExitCode {
    let given = || -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(encrypted::greeting().as_bytes())?;
        out.flush()?;
        // What it knows of an earlier time changes nothing.
        std::io::copy(
            &mut std::io::stdin().lock().take(1024 * 1024),
            &mut std::io::sink(),
        )?;
        let file = file.ok_or_else(|| std::io::Error::other("`--key` needs a file"))?;
        let mut key = String::new();
        std::fs::File::open(file)?
            .take(MOST)
            .read_to_string(&mut key)?;
        out.write_all(encrypted::answer(key.trim()).as_bytes())?;
        out.flush()
    };
    match given() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&format!(
                "the key of the state cannot be given: {}",
                error.kind()
            ));
            ExitCode::FAILURE
        }
    }
}
