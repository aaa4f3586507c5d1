//! The three commands by hand: `init && plan -out && apply`, in a directory and a home of its own, in an environment
//! made from nothing, with the HCL that Windlass made.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::case::{Bundle, Case, check_state};
use crate::machine::{Counters, Spent};
use crate::parts::Parts;

/// What one deploy took.
pub(crate) struct Took {
    pub(crate) wall_ms: f64,
    /// Of which `init`; only by hand.
    pub(crate) init_ms: f64,
    pub(crate) spent: Spent,
}

/// One checkout, over all of its deploys.
pub(crate) struct Hand<'a> {
    parts: &'a Parts,
    root: TempDir,
}

impl<'a> Hand<'a> {
    /// Everything that exists before somebody types the first command.
    pub(crate) fn new(parts: &'a Parts, mirror: &Path) -> Result<Self, String> {
        let root = tempfile::Builder::new()
            .prefix("windlass-hand-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let hand = Self { parts, root };
        let prepare = || {
            fs::create_dir(hand.root.path().join("home"))?;
            fs::create_dir_all(hand.root.path().join("work/state"))?;
            fs::write(
                hand.root.path().join("engine.rc"),
                format!(
                    "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
                    mirror.display()
                ),
            )
        };
        prepare().map_err(|error| format!("the checkout could not be made: {error}"))?;
        Ok(hand)
    }

    /// Deploys, as in a fresh checkout: whatever an earlier `init` left is not there, state and lock file are.
    pub(crate) fn deploy(&self, bundle: &Bundle, case: Case, text: &str) -> Result<Took, String> {
        let work = self.root.path().join("work");
        let _ = fs::remove_dir_all(work.join(".terraform"));
        let _ = fs::remove_file(work.join("plan"));
        bundle
            .write(&work)
            .map_err(|error| format!("the HCL could not be written: {error}"))?;
        let counters = Counters::now();
        let started = Instant::now();
        self.engine(&["init"])?;
        let init_ms = started.elapsed().as_secs_f64() * 1e3;
        self.engine(&["plan", "-out=plan"])?;
        self.engine(&["apply", "plan"])?;
        let wall_ms = started.elapsed().as_secs_f64() * 1e3;
        let spent = counters.since();
        check_state(&work.join("state/terraform.tfstate"), case, text)?;
        Ok(Took {
            wall_ms,
            init_ms,
            spent,
        })
    }

    fn engine(&self, arguments: &[&str]) -> Result<(), String> {
        let complaints = self.root.path().join("stderr");
        let file = fs::File::create(&complaints).map_err(|error| error.to_string())?;
        let status = Command::new(&self.parts.engine.path)
            .args(arguments)
            .current_dir(self.root.path().join("work"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_CONFIG_FILE", self.root.path().join("engine.rc"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .map_err(|error| format!("the engine does not start: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let words = fs::read_to_string(&complaints).unwrap_or_default();
        Err(format!(
            "`{}` by hand failed ({status}): {}",
            arguments.join(" "),
            words.trim()
        ))
    }
}
