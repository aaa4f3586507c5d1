//! Contexts: several servers and organisations by name, in one settings file.
//!
//! What stands at the top of the file is the context `default`, so that a file from before there were any means what it
//! meant. In effect is the one that `--context` names, else WINDLASS_CONTEXT, else `current_context` of the file.

use serde::{Deserialize, Serialize};

use super::file::{File, Hidden};
use crate::cli::exit::Advised;

/// The name of what stands at the top of the file.
pub(crate) const DEFAULT: &str = "default";
/// The longest name.
const LONGEST: usize = 100;

/// A server, or this machine, and how to act there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Base URL of the server; absent: local mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<String>,
    /// Organisation where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default_org_id: Option<String>,
    /// Bearer token of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Hidden>,
}

impl File {
    /// The context of a name.
    pub(crate) fn context(&self, name: &str) -> Option<Context> {
        if name == DEFAULT {
            return Some(Context {
                api_url: self.api_url.clone(),
                default_org_id: self.default_org_id.clone(),
                token: self.token.clone(),
            });
        }
        self.contexts.get(name).cloned()
    }

    /// Sets the context of a name.
    pub(crate) fn put_context(&mut self, name: &str, context: Context) {
        if name == DEFAULT {
            self.api_url = context.api_url;
            self.default_org_id = context.default_org_id;
            self.token = context.token;
        } else {
            self.contexts.insert(name.to_owned(), context);
        }
    }

    /// Forgets the context of a name; what was in effect by it is `default` then.
    pub(crate) fn remove_context(&mut self, name: &str) {
        if name == DEFAULT {
            self.put_context(DEFAULT, Context::default());
        }
        self.contexts.remove(name);
        if self.current_context.as_deref() == Some(name) {
            self.current_context = None;
        }
    }

    /// The names of all, `default` first.
    pub(crate) fn context_names(&self) -> Vec<&str> {
        let named = self.contexts.keys().map(String::as_str);
        std::iter::once(DEFAULT).chain(named).collect()
    }

    /// The one that is in effect where nothing else is said.
    pub(crate) fn current_context(&self) -> &str {
        self.current_context.as_deref().unwrap_or(DEFAULT)
    }
}

/// That there is no context of this name, and which there are.
pub(crate) fn missing(name: &str, file: &File) -> Advised {
    let mut suggestions: Vec<String> = file
        .context_names()
        .iter()
        .map(|known| format!("windlass config use {known}"))
        .collect();
    suggestions.push(format!("windlass config set-context {name} URL"));
    Advised::new(format!("there is no context `{name}`"), suggestions)
}

/// Refuses what is no name.
pub(crate) fn named(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    if !name.is_empty() && name.chars().count() <= LONGEST && name.chars().all(fits) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "a name is of letters, digits, `-`, `_`, `.` and `@`, {LONGEST} at most"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_the_file_is_the_context_default() {
        let text =
            "api_url: https://a.example\ntoken: t\ncontexts: {work: {default_org_id: acme}}\n";
        let mut file: File = serde_yaml::from_str(text).expect("reads");
        assert_eq!(file.context_names(), ["default", "work"]);
        let default = file.context(DEFAULT).expect("it is always there");
        assert_eq!(default.api_url.as_deref(), Some("https://a.example"));
        let work = file.context("work").expect("it is there");
        assert_eq!(work.default_org_id.as_deref(), Some("acme"));
        assert_eq!(file.context("nope"), None);
        file.current_context = Some("work".into());
        file.put_context(DEFAULT, work);
        file.remove_context("work");
        assert_eq!(file.current_context(), DEFAULT);
        let text = serde_yaml::to_string(&file).expect("writes");
        assert_eq!(text.trim(), "default_org_id: acme");
    }

    #[test]
    fn a_name_is_one_word_and_no_token_is_printed() {
        for good in ["work", "acme.prod", "ann@acme", "größe"] {
            assert!(named(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a\n", &"a".repeat(101)] {
            assert!(named(bad).is_err(), "{bad}");
        }
        let context = Context {
            token: Some(Hidden("geheim".into())),
            ..Context::default()
        };
        assert!(!format!("{context:?}").contains("geheim"));
    }
}
