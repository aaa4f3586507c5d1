//! `explain`: why a resource is as it is.

use super::exit::Exit;
use super::print::{self, value::Markup};
use super::{Session, get};
use crate::wire::explain::{Explanation, Origin};

/// Say why a resource is as it is: the rules that matched and lost, and where each input comes from
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windlass explain shop staging postgres.default@workloads.web.db\n  windlass explain shop staging workloads.web.db -o json"
)]
pub(crate) struct Explain {
    /// A project with an environment, or a deployment
    #[arg(value_name = "PROJECT|DEPLOYMENT")]
    first: String,
    /// The environment, if a project was named; then the resource: its id, or TYPE.CLASS@ID
    #[arg(value_name = "ENV RESOURCE|RESOURCE", num_args = 1..=2, required = true)]
    rest: Vec<String>,
    /// Print the whole answer
    #[arg(short, long, value_enum)]
    out: Option<Markup>,
}

impl Explain {
    /// Asks and prints.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let (env, node) = match &self.rest[..] {
            [node] => (None, node),
            [env, node, ..] => (Some(env.as_str()), node),
            [] => anyhow::bail!("name a resource"),
        };
        let found = get::find_deployment(session, &self.first, env).await?;
        let node = percent_encoded(node);
        let why: Explanation = session
            .client()
            .await?
            .get(&format!("/deployments/{}/explain/{node}", found.id))
            .await?;
        match self.out {
            Some(out) => {
                let value = serde_json::to_value(&why)?;
                print::data(&match out {
                    Markup::Yaml => print::value::yaml(&value),
                    Markup::Json => print::value::json(&value),
                })?;
            }
            None => print::data(&in_words(&why))?,
        }
        Ok(Exit::OK)
    }
}

/// A name as a part of a path.
fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@,=".contains(&byte);
    text.bytes()
        .map(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn in_words(why: &Explanation) -> String {
    let node = &why.node;
    let mut lines = vec![node.key.short()];
    if let (Some(id), Some(version)) = (&node.module_id, &node.module_version) {
        lines.push(format!("  made by module {id}, version {version}"));
    }
    if let Some(choice) = &node.why {
        lines.push(format!(
            "  chosen by the rule for {} ({})",
            choice.scope, choice.rule_id
        ));
        lines.extend(
            choice
                .lost
                .iter()
                .map(|lost| format!("  not chosen: {lost}")),
        );
    }
    lines.push(format!("  declared by {}", node.declared_by));
    if !why.used_by.is_empty() {
        lines.push(format!("  used by {}", why.used_by.join(", ")));
    }
    if node.leaving {
        lines.push("  leaving: kept only until its resources are destroyed".to_owned());
    }
    for input in &why.inputs {
        let who = match input.origin {
            Origin::Param => "asked for at",
            Origin::Module => "said by",
            Origin::Output => "written at",
        };
        lines.push(format!("  {} = {}", input.name, input.value));
        lines.push(format!("    {who} {}", input.at));
        if !input.reads.is_empty() {
            lines.push(format!("    reads {}", input.reads.join(", ")));
        }
    }
    print::harmless(&lines.join("\n"))
}
