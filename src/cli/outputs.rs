//! `get outputs`, and writing outputs for `--result`.

use std::path::Path;

use serde_json::Value;

use super::exit::{Advised, Exit};
use super::keys::{self, KeyStore};
use super::print::{self, value::Markup};
use super::{Session, files, get, sealed};

/// Outputs of a deployment.
#[derive(Debug, clap::Args)]
pub(crate) struct Outputs {
    /// A deployment, or a project with an environment
    #[arg(value_name = "DEPLOYMENT|PROJECT")]
    first: String,
    /// The environment
    env: Option<String>,
    /// The key, as @FILE, - for standard input, or the text itself; without it, the key kept here
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Write to a file (0600) instead of standard output
    #[arg(long, value_name = "FILE|-")]
    result: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "yaml")]
    out: Markup,
}

impl Outputs {
    /// Opens and prints.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let found = get::find_deployment(session, &self.first, self.env.as_deref()).await?;
        let key = match &self.key {
            Some(text) => keys::from_argument(text)?,
            None => {
                let readers = found
                    .windlass
                    .as_ref()
                    .map(|extras| extras.output_recipients.as_slice())
                    .unwrap_or_default();
                if readers.is_empty() {
                    return Err(Advised::new(
                        format!(
                            "deployment {} was made without a reader for its outputs",
                            found.id
                        ),
                        ["deploy again without --skip-outputs"],
                    )
                    .into());
                }
                match KeyStore::new(&session.settings.data_dir).first(readers)? {
                    Some(key) => key,
                    None => {
                        return Err(Advised::new(
                            "no key for these outputs is kept on this machine",
                            [
                                "pass the key: --key @FILE",
                                "keys are kept where `windlass deploy` ran, for 30 days",
                            ],
                        )
                        .into());
                    }
                }
            }
        };
        let outputs = sealed::outputs(session, &found.id, &key).await?;
        write(&outputs, self.result.as_deref(), Some(self.out))?;
        Ok(Exit::OK)
    }
}

/// Writes outputs to a file, 0600 and whole or not at all, or to standard output.
pub(crate) fn write(outputs: &Value, to: Option<&str>, out: Option<Markup>) -> anyhow::Result<()> {
    let text = match out.unwrap_or(Markup::Yaml) {
        Markup::Yaml => print::value::yaml(outputs),
        Markup::Json => print::value::json(outputs),
    };
    match to {
        None | Some("-") => print::bytes(text.as_bytes())?,
        Some(path) => {
            files::write_private(Path::new(path), text.as_bytes()).map_err(|error| {
                anyhow::anyhow!("could not write the outputs to `{path}`: {error}")
            })?;
            print::note(format!("Outputs written to {path}."));
        }
    }
    Ok(())
}
