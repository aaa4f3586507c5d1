//! What the engines say and how they are asked: OpenTofu and Terraform, by version.
//!
//! The version is taken from the stream itself: asking for it would cost a process per run.
//!
//! Pure: bytes and JSON in, typed facts out; no process is started here and no file read. Start at [`Command`] (how the
//! engine is called), [`stream::Said`] (one line of a `-json` stream) and [`document`] (what `output`, `show` and the state hold).
//!
//! Why lines are read so tolerantly: anything may print before or between the JSON (a warning about the CLI configuration,
//! `TF_LOG`, a panic), and a new minor version may add kinds of lines. Unknown kinds are log text; only another major
//! version of the stream is refused.

pub(crate) mod document;
pub(crate) mod encrypted;
pub(crate) mod plan_file;
pub(crate) mod same;
pub(crate) mod state_file;
pub(crate) mod stream;
pub(crate) mod words;

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

    /// Where providers come from whose source names no host.
    pub(crate) fn registry(self) -> &'static str {
        match self {
            Self::OpenTofu => "registry.opentofu.org",
            Self::Terraform => "registry.terraform.io",
        }
    }

    /// Reads [`Kind::as_str`], and the binary's name too.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text || kind.binary() == text)
    }
}

/// One call of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// Backend, modules, providers.
    Init {
        /// As a stream; engines before 1.8 do not know how.
        json: bool,
    },
    /// Plan and apply in one process.
    Apply,
    /// Carries out a plan.
    ApplyPlan {
        /// The plan.
        plan: &'a str,
    },
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
    /// The state as it is.
    StatePull,
    /// Writes a state to where it lies.
    StatePush {
        /// A path in memory (`/dev/fd/N`), or a file of the work directory.
        state: &'a str,
        /// Over one of another history, or a newer one.
        force: bool,
    },
    /// `init` for another backend than before; nothing is moved.
    Reconfigure,
}

impl Command<'_> {
    /// Arguments. Only flags that every supported version of both engines has; `init` alone has two forms.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let words: Vec<&str> = match self {
            Self::Init { json: true } => vec!["init", "-input=false", "-no-color", "-json"],
            Self::Init { json: false } => vec!["init", "-input=false", "-no-color"],
            Self::Apply => vec![
                "apply",
                "-auto-approve",
                "-input=false",
                "-no-color",
                "-json",
            ],
            Self::ApplyPlan { plan } => {
                vec!["apply", "-input=false", "-no-color", "-json", plan]
            }
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
            Self::StatePull => vec!["state", "pull"],
            Self::StatePush {
                state,
                force: false,
            } => vec!["state", "push", state],
            Self::StatePush { state, force: true } => vec!["state", "push", "-force", state],
            Self::Reconfigure => vec!["init", "-input=false", "-no-color", "-reconfigure"],
        };
        words.into_iter().map(String::from).collect()
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Apply | Self::ApplyPlan { .. } => "apply",
            Self::Plan { .. } => "plan",
            Self::ShowJson { .. } | Self::ShowText { .. } => "show",
            Self::Output => "output",
            Self::Destroy => "destroy",
            Self::StateList => "state list",
            Self::StatePull => "state pull",
            Self::StatePush { .. } => "state push",
            Self::Reconfigure => "init",
        }
    }
}

/// Whether `init` failed because the engine is too old for `-json`.
pub(crate) fn lacks_json(text: &str) -> bool {
    text.contains("flag provided but not defined: -json")
}

#[cfg(test)]
mod recorded;
