//! `runner-image`: the image that containers of runs are made of.

use super::exit::{Advised, Exit};
use super::print::progress::Progress;
use super::{Session, local, print};
use crate::runner::image;

/// What `runner-image` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RunnerImage {
    /// Build the default image now; otherwise the first deployment does
    Build {
        /// opentofu or terraform; without it, what is installed, OpenTofu first
        #[arg(long, value_name = "ENGINE", value_parser = ["opentofu", "terraform"])]
        engine: Option<String>,
    },
}

impl RunnerImage {
    /// Builds.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let Self::Build { engine } = self;
        let opened = session.local().await?;
        let host = local::host_settings(&session.settings, &opened.store);
        let progress = std::sync::Mutex::new(Progress::start("building the runner image"));
        let say = |words: &str| {
            if let Ok(mut progress) = progress.lock() {
                progress.say(words);
            }
        };
        let built = image::build(&host, engine.as_deref(), &say)
            .await
            .map_err(launch)?;
        drop(progress);
        for warning in &built.warnings {
            print::warning(warning);
        }
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let size = built.size as f64 / (1024.0 * 1024.0);
        print::success(format!(
            "Runner image {} {} ({}, {size:.0} MiB).",
            built.reference,
            if built.already {
                "is there already"
            } else {
                "built"
            },
            built.engine,
        ));
        Ok(Exit::OK)
    }
}

/// Why nothing could be launched, with advice.
pub(crate) fn launch(error: crate::runner::LaunchError) -> anyhow::Error {
    let advice = super::deploy::report::class_advice(error.class);
    Advised::new(error.message, advice).into()
}
