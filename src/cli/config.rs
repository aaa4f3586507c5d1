//! `config`: the settings file, and what is in effect.

use serde_json::json;

use super::Session;
use super::exit::Exit;
use super::print::{self, value::Markup};
use super::settings;

/// What `config` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Set the organisation
    SetOrg {
        /// The organisation
        org_id: String,
    },
    /// Set the URL of a server; `local` goes back to local mode
    SetUrl {
        /// The URL
        url: String,
    },
    /// Set the token for the server
    SetToken {
        /// The token, or - to read it from standard input
        token: String,
    },
    /// Accepted for compatibility: this client never asks for new versions
    SetVersionCheck {
        /// enable or disable
        #[arg(value_name = "enable|disable", value_parser = switch, action = clap::ArgAction::Set)]
        state: bool,
    },
    /// Print the settings in effect; the token is masked
    #[command(visible_alias = "get")]
    Show {
        /// How to print
        #[arg(short, long, value_enum, default_value = "yaml")]
        out: Markup,
    },
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "enable" | "enabled" | "yes" | "on" | "true" => Ok(true),
        "disable" | "disabled" | "no" | "off" | "false" => Ok(false),
        _ => Err("use enable or disable".into()),
    }
}

impl Config {
    /// Changes or prints settings; opens nothing.
    pub(crate) fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let path = &session.settings.config_file;
        match self {
            Self::SetOrg { org_id } => {
                settings::edit(path, |file| file.default_org_id = Some(org_id.clone()))?;
                print::success(format!("Organization set to {org_id}."));
            }
            Self::SetUrl { url } => {
                let url = url.trim_end_matches('/').to_owned();
                let local = url.is_empty() || url == "local";
                settings::edit(path, |file| file.api_url = (!local).then(|| url.clone()))?;
                print::success(if local {
                    "Local mode: everything happens on this machine.".to_owned()
                } else {
                    format!("API URL prefix set to {url}.")
                });
            }
            Self::SetToken { token } => {
                let token = if token == "-" {
                    let mut line = String::new();
                    std::io::stdin().read_line(&mut line)?;
                    line.trim().to_owned()
                } else {
                    token
                };
                settings::edit(path, |file| file.token = Some(token))?;
                print::success("Authentication token set successfully.");
            }
            Self::SetVersionCheck { state } => {
                settings::edit(path, |file| file.disable_version_check = Some(!state))?;
                print::success(if state {
                    "Version checking enabled."
                } else {
                    "Version checking disabled."
                });
            }
            Self::Show { out } => {
                let settings = &session.settings;
                let mut shown = json!({
                    "api_url": settings.url.as_deref().unwrap_or("local"),
                    "default_org_id": settings.org,
                    "data_dir": settings.data_dir,
                    "config_file": settings.config_file,
                    "keep_keys_days": settings.keep_keys_days(),
                });
                if let Some(token) = &settings.token {
                    shown["token"] = token.masked().into();
                }
                if let Some(mirror) = &settings.file.mirror {
                    shown["mirror"] = json!(mirror);
                }
                if !settings.file.engines.is_empty() {
                    shown["engines"] = json!(settings.file.engines);
                }
                print::value::print(&shown, out.into(), &[])?;
            }
        }
        Ok(Exit::OK)
    }
}
