//! What the engines say and how they are asked: OpenTofu and Terraform, by version.
//!
//! Pure: bytes and JSON in, typed facts out; no process is started here and no file read. Start at [`Command`] (how the
//! engine is called), [`stream::Said`] (one line of a `-json` stream) and [`document`] (what `output`, `show` and the state hold).
//!
//! Why lines are read so tolerantly: anything may print before or between the JSON (a warning about the CLI configuration,
//! `TF_LOG`, a panic), and a new minor version may add kinds of lines. Unknown kinds are log text; only another major
//! version of the stream is refused.

pub(crate) mod document;
pub(crate) mod stream;
pub(crate) mod words;

use serde::Deserialize;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tofu`.
    OpenTofu,
    /// `terraform`.
    Terraform,
}

impl Kind {
    /// All, in the order in which they are looked for.
    pub(crate) const ALL: [Self; 2] = [Self::OpenTofu, Self::Terraform];

    /// As in jobs and run records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OpenTofu => "opentofu",
            Self::Terraform => "terraform",
        }
    }

    /// The name of its binary.
    pub(crate) fn binary(self) -> &'static str {
        match self {
            Self::OpenTofu => "tofu",
            Self::Terraform => "terraform",
        }
    }

    /// Reads [`Kind::as_str`], and the binary's name too.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text || kind.binary() == text)
    }
}

/// An engine as found: kind and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Which.
    pub(crate) kind: Kind,
    /// As printed, for example `1.12.6`.
    pub(crate) version: String,
    /// Major and minor, for choosing flags.
    pub(crate) at: (u32, u32),
}

impl Engine {
    /// Reads the document of `version -json`. Both engines call the field `terraform_version`, so the kind comes from
    /// the binary that was asked.
    pub(crate) fn from_version(kind: Kind, document: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            terraform_version: String,
        }
        let start = document.iter().position(|byte| *byte == b'{')?;
        let read: Document = serde_json::from_slice(&document[start..]).ok()?;
        let mut numbers = read.terraform_version.split(['.', '-']);
        let at = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Self {
            kind,
            version: read.terraform_version,
            at,
        })
    }
}

/// One call of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// Backend, modules, providers.
    Init,
    /// Plan and apply in one process.
    Apply,
    /// Plan into this file; exit code 2 says that something would change.
    Plan {
        /// A path in memory (`/dev/fd/N`).
        out: &'a str,
    },
    /// A plan as JSON.
    ShowJson {
        /// The plan.
        plan: &'a str,
    },
    /// A plan as people read it.
    ShowText {
        /// The plan.
        plan: &'a str,
    },
    /// Every root output, sensitive ones in clear.
    Output,
    /// Destroy everything in the state.
    Destroy,
    /// Addresses in the state, a line each.
    StateList,
}

impl Command<'_> {
    /// Arguments for this engine. Only flags that every supported version has, unless the version is known to have more.
    pub(crate) fn arguments(&self, engine: &Engine) -> Vec<String> {
        let words: Vec<&str> = match self {
            Self::Init => {
                let mut words = vec!["init", "-input=false", "-no-color"];
                if engine.at >= (1, 9) {
                    words.push("-json");
                }
                words
            }
            Self::Apply => vec![
                "apply",
                "-auto-approve",
                "-input=false",
                "-no-color",
                "-json",
            ],
            Self::Plan { out } => {
                let mut arguments: Vec<String> = [
                    "plan",
                    "-input=false",
                    "-no-color",
                    "-json",
                    "-detailed-exitcode",
                ]
                .map(String::from)
                .to_vec();
                arguments.push(format!("-out={out}"));
                return arguments;
            }
            Self::ShowJson { plan } => vec!["show", "-no-color", "-json", plan],
            Self::ShowText { plan } => vec!["show", "-no-color", plan],
            Self::Output => vec!["output", "-no-color", "-json"],
            Self::Destroy => vec![
                "destroy",
                "-auto-approve",
                "-input=false",
                "-no-color",
                "-json",
            ],
            Self::StateList => vec!["state", "list"],
        };
        words.into_iter().map(String::from).collect()
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Apply => "apply",
            Self::Plan { .. } => "plan",
            Self::ShowJson { .. } | Self::ShowText { .. } => "show",
            Self::Output => "output",
            Self::Destroy => "destroy",
            Self::StateList => "state list",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_even_behind_a_warning() {
        let engine = Engine::from_version(
            Kind::OpenTofu,
            b"\nWarning: something\n\n{\"terraform_version\": \"1.12.6\", \"platform\": \"linux_amd64\"}\n",
        )
        .expect("a version");
        assert_eq!((engine.version.as_str(), engine.at), ("1.12.6", (1, 12)));
        assert_eq!(Engine::from_version(Kind::OpenTofu, b"no json"), None);
        let beta =
            Engine::from_version(Kind::Terraform, br#"{"terraform_version":"1.14.0-beta1"}"#)
                .expect("a version");
        assert_eq!(beta.at, (1, 14));
    }

    #[test]
    fn an_old_engine_gets_no_flag_it_does_not_know() {
        let old = Engine {
            kind: Kind::Terraform,
            version: "1.5.7".into(),
            at: (1, 5),
        };
        assert!(!Command::Init.arguments(&old).contains(&"-json".to_owned()));
        let new = Engine { at: (1, 11), ..old };
        assert!(Command::Init.arguments(&new).contains(&"-json".to_owned()));
    }
}
