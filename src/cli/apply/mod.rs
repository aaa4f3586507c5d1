//! `apply`: the catalogue as files. Reads everything, finds every problem, looks at what is there,
//! plans, and only then changes anything.
//!
//! [`mod@read`] makes entries of documents, [`plan`] compares them with what exists (pure), [`look`]
//! fetches that and [`carry`] carries the plan out. Idempotent: what is as described is left alone;
//! what was altered by hand is named, field by field, and repaired.

mod carry;
mod compare;
mod look;
mod plan;
mod read;

use super::exit::{Advised, Exit, Findings};
use super::{Session, print};

pub(crate) use self::carry::{carry_out, check};
pub(crate) use self::plan::Options;
pub(crate) use self::read::{Files, read};

/// Make the catalogue what files describe
///
/// Files hold YAML documents with `kind:` (project, environment, environment-type, resource-type,
/// module, module-rule, provider, runner, runner-rule) and the fields of `windlass create KIND --help`.
/// A module's `module_source: ./DIR` is the directory DIR beside the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// A directory, a file, or - for standard input; may be repeated
    #[arg(short, long = "file", value_name = "DIR|FILE|-", required = true)]
    file: Vec<String>,
    /// Say what would change; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Record NAME as the owner of everything in the files
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Remove what the same owner applied and the files no longer have; never an environment with state
    #[arg(long, requires = "owner")]
    prune: bool,
}

impl Apply {
    /// Applies.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let files = read(&self.file)?;
        let options = Options {
            owner: self.owner,
            prune: self.prune,
        };
        apply(session, &files, &options, self.dry_run).await
    }
}

/// Everything after reading; also used by the demo.
pub(crate) async fn apply(
    session: &Session,
    files: &Files,
    options: &Options,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let current = look::look(client, files, options).await?;
    let plan = match plan::plan(files, &current, options) {
        Ok(plan) => plan,
        Err(found) => return Err(Findings(found).into()),
    };
    for kept in &plan.kept {
        print::warning(kept);
    }
    if plan.steps.is_empty() {
        print::success(format!(
            "Nothing changed: {} objects are as described.",
            plan.unchanged
        ));
        return Ok(Exit::OK);
    }
    check(client, files, &plan).await?;
    if dry_run {
        for step in &plan.steps {
            print::data(&step.line())?;
        }
        print::success(format!("Dry run: {}.", plan.counts(true)));
        return Ok(Exit::OK);
    }
    carry_out(client, files, &plan).await?;
    print::success(format!("{}.", plan.counts(false)));
    Ok(Exit::OK)
}

/// "Nothing to read" with what was looked for.
fn nothing_found(places: &[String]) -> anyhow::Error {
    Advised::new(
        format!("no documents with `kind:` in {}", places.join(", ")),
        ["files end in .yaml, .yml or .json; each document says its `kind:`"],
    )
    .into()
}
