//! `config`: the settings file, and what is in effect.

use serde_json::{Value, json};

use super::Session;
use super::exit::Exit;
use super::kinds;
use super::print::{self, value::Format, value::Markup};
use super::settings::{self, Hidden, Settings, Token, missing_context, named_context};

/// What `config` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// List the contexts: servers and organisations by name
    #[command(visible_alias = "list")]
    Contexts {
        /// How to print
        #[arg(short, long, value_enum, default_value = "table")]
        out: Format,
    },
    /// Use a context from now on; `default` is what is set without a name
    Use {
        /// Its name
        name: String,
    },
    /// Make or change a context; `windlass --context NAME login` logs in there
    SetContext {
        /// Its name
        #[arg(value_parser = named_context)]
        name: String,
        /// The URL of its server; `local` is this machine
        url: String,
        /// The organisation there
        org_id: Option<String>,
    },
    /// Forget a context and its token
    DeleteContext {
        /// Its name
        name: String,
    },
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

/// The URL of a server as it is kept; none for this machine.
fn server(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    (!url.is_empty() && url != "local").then(|| url.to_owned())
}

/// Prints all contexts; tokens are masked.
fn list(settings: &Settings, out: Format) -> anyhow::Result<()> {
    let row = |name: &&str| {
        let context = settings.file.context(name).unwrap_or_default();
        let is_current = *name == settings.context;
        let mut row = json!({
            "name": name,
            "current": is_current,
            "api_url": context.api_url.as_deref().unwrap_or("local"),
        });
        if let Some(org) = context.default_org_id {
            row["default_org_id"] = org.into();
        }
        if let Some(token) = context.token {
            row["token"] = Token::new(token.0).masked().into();
        }
        if out == Format::Table && is_current {
            row["current_text"] = "*".into();
        }
        row
    };
    let rows = settings.file.context_names().iter().map(row).collect();
    print::value::print(&Value::Array(rows), out, kinds::CONTEXT_COLUMNS)?;
    Ok(())
}

impl Config {
    /// Changes or prints settings; opens nothing.
    pub(crate) fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let path = &session.settings.config_file;
        match self {
            Self::Contexts { out } => list(&session.settings, out)?,
            Self::Use { name } => {
                if session.settings.file.context(&name).is_none() {
                    return Err(missing_context(&name, &session.settings.file).into());
                }
                settings::edit(path, |file| file.current_context = Some(name.clone()))?;
                print::success(format!("Context {name} is in effect."));
                if std::env::var("WINDLASS_CONTEXT").is_ok_and(|text| !text.is_empty()) {
                    print::warning("WINDLASS_CONTEXT is set and wins over it");
                }
            }
            Self::SetContext { name, url, org_id } => {
                let url = server(&url);
                settings::edit(path, |file| {
                    let mut context = file.context(&name).unwrap_or_default();
                    // A token is of one server.
                    if context.api_url != url {
                        context.token = None;
                    }
                    context.api_url = url;
                    if org_id.is_some() {
                        context.default_org_id = org_id;
                    }
                    file.put_context(&name, context);
                })?;
                print::success(format!("Context {name} set; use it with:"));
                print::say(format!("  windlass config use {name}"));
            }
            Self::DeleteContext { name } => {
                let Some(context) = session.settings.file.context(&name) else {
                    return Err(missing_context(&name, &session.settings.file).into());
                };
                settings::edit(path, |file| file.remove_context(&name))?;
                print::success(format!("Context {name} is forgotten."));
                if context.token.is_some() {
                    print::note(
                        "Its token may be good until it is over; `logout` would have ended a session.",
                    );
                }
            }
            Self::SetOrg { org_id } => {
                session
                    .settings
                    .edit_context(|context| context.default_org_id = Some(org_id.clone()))?;
                print::success(format!("Organization set to {org_id}."));
            }
            Self::SetUrl { url } => {
                let url = server(&url);
                session
                    .settings
                    .edit_context(|context| context.api_url.clone_from(&url))?;
                print::success(match url {
                    None => "Local mode: everything happens on this machine.".to_owned(),
                    Some(url) => format!("API URL prefix set to {url}."),
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
                session
                    .settings
                    .edit_context(|context| context.token = Some(Hidden(token)))?;
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
                    "context": settings.context,
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
