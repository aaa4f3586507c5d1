//! What each noun of `get` takes.

use crate::cli::graph;
use crate::cli::print::value::{Format, Markup};

/// How to print.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Out {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) out: Format,
}

/// One by id.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The id
    pub(super) id: String,
    #[command(flatten)]
    pub(super) out: Out,
}

/// All of a kind.
#[derive(Debug, clap::Args)]
pub(crate) struct All {
    #[command(flatten)]
    pub(super) out: Out,
}

/// One of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct InProject {
    /// The project
    pub(super) project: String,
    /// The environment
    pub(super) id: String,
    #[command(flatten)]
    pub(super) out: Out,
}

/// All of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct OfProject {
    /// The project; all projects where none is given
    pub(super) project: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Modules.
#[derive(Debug, clap::Args)]
pub(crate) struct ByType {
    /// Only for this resource type
    #[arg(long = "type", value_name = "RESOURCE_TYPE")]
    pub(super) of_type: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Providers.
#[derive(Debug, clap::Args)]
pub(crate) struct ByProviderType {
    /// Only of this provider type
    #[arg(long = "type", value_name = "PROVIDER_TYPE")]
    pub(super) of_type: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// A provider.
#[derive(Debug, clap::Args)]
pub(crate) struct OfType {
    /// The provider type
    #[arg(value_name = "TYPE")]
    pub(super) provider_type: String,
    /// The id
    pub(super) id: String,
    #[command(flatten)]
    pub(super) out: Out,
}

/// A rule.
#[derive(Debug, clap::Args)]
pub(crate) struct ByUuid {
    /// The UUID of the rule
    pub(super) uuid: String,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Module rules.
#[derive(Debug, clap::Args)]
pub(crate) struct ModuleRules {
    /// Only for this resource type
    #[arg(long = "type", value_name = "RESOURCE_TYPE")]
    pub(super) of_type: Option<String>,
    /// Only for this module
    #[arg(long)]
    pub(super) module: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Runner rules.
#[derive(Debug, clap::Args)]
pub(crate) struct RunnerRules {
    /// Only for this runner
    #[arg(long)]
    pub(super) runner: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// A deployment.
#[derive(Debug, clap::Args)]
pub(crate) struct OneDeployment {
    /// The deployment
    pub(super) uuid: String,
    /// Its graph instead: `mermaid` (the default), `svg` or `html`, or a file that ends in .mmd, .svg or .html
    #[arg(long, value_name = "FORMAT|FILE", num_args = 0..=1, default_missing_value = "mermaid")]
    pub(super) graph: Option<graph::Wanted>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Deployments.
#[derive(Debug, clap::Args)]
pub(crate) struct Deployments {
    /// Only of this project
    pub(super) project: Option<String>,
    /// Only of this environment
    pub(super) env: Option<String>,
    #[command(flatten)]
    pub(super) out: Out,
}

/// A manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct Manifest {
    /// A deployment, or a project with an environment
    #[arg(value_name = "DEPLOYMENT|PROJECT")]
    pub(super) first: String,
    /// The environment
    pub(super) env: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(super) out: Markup,
}

/// Engine code.
#[derive(Debug, clap::Args)]
pub(crate) struct Tf {
    /// The deployment
    pub(super) uuid: String,
    /// Accepted and without effect
    #[arg(short, long, hide = true)]
    pub(super) out: Option<String>,
}

/// Active nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct ActiveNodes {
    /// The project
    pub(super) project: String,
    /// The environment
    pub(super) env: String,
    #[command(flatten)]
    pub(super) out: Out,
}

/// Available types.
#[derive(Debug, clap::Args)]
pub(crate) struct Available {
    /// The project
    pub(super) project: String,
    /// The environment
    pub(super) env: String,
    /// Also types that manifests may not ask for
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) out: Out,
}

/// One available type.
#[derive(Debug, clap::Args)]
pub(crate) struct AvailableOne {
    /// The project
    pub(super) project: String,
    /// The environment
    pub(super) env: String,
    /// The resource type
    #[arg(value_name = "TYPE")]
    pub(super) type_id: String,
    #[command(flatten)]
    pub(super) out: Out,
}
