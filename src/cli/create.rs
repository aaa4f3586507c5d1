//! `create` and `update`: one object of the catalogue, from `--set`, JSON or YAML.

use axum::http::Method;
use serde_json::{Map, Value};

use super::client::{CallError, Content};
use super::exit::{Advised, Exit};
use super::input::Input;
use super::kinds::{self, Kind};
use super::print::{self, value::Markup};
use super::{Session, ask, identity};

/// What `create` makes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Create {
    /// A project
    #[command(visible_alias = "proj", after_help = kinds::PROJECT.help())]
    Project(One),
    /// An environment of a project
    #[command(visible_alias = "env", after_help = kinds::ENVIRONMENT.help())]
    Environment(InProject),
    /// An environment type
    #[command(visible_aliases = ["et", "env-type", "envtype", "environmenttype"], after_help = kinds::ENVIRONMENT_TYPE.help())]
    EnvironmentType(One),
    /// A resource type
    #[command(visible_aliases = ["rt", "resourcetype"], after_help = kinds::RESOURCE_TYPE.help())]
    ResourceType(One),
    /// A module
    #[command(visible_alias = "mod", after_help = kinds::MODULE.help())]
    Module(One),
    /// A provider
    #[command(visible_aliases = ["mp", "module-provider"], after_help = kinds::PROVIDER.help())]
    Provider(OfType),
    /// A module rule
    #[command(visible_aliases = ["rule", "rl", "modulerule"], after_help = kinds::MODULE_RULE.help())]
    ModuleRule(Rule),
    /// A runner
    #[command(after_help = kinds::RUNNER.help())]
    Runner(One),
    /// A runner rule
    #[command(visible_aliases = ["rrl", "runnerrule"], after_help = kinds::RUNNER_RULE.help())]
    RunnerRule(Rule),
    /// A person who may act in the organisation
    User(identity::CreateUser),
    /// An e-mail address that may join the organisation; prints a link
    Invitation(identity::CreateInvitation),
    /// A program that may act in the organisation; prints its token
    #[command(visible_alias = "su")]
    ServiceUser(identity::CreateServiceUser),
    /// Whose signed tokens are changed into short ones: build jobs that hold no secret
    TrustRule(identity::CreateTrustRule),
    /// A token that enrols one agent of a runner, once; prints it
    AgentToken(identity::CreateAgentToken),
}

/// What `update` changes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Update {
    /// A project
    #[command(visible_alias = "proj", after_help = kinds::PROJECT.help())]
    Project(One),
    /// An environment of a project
    #[command(visible_alias = "env", after_help = kinds::ENVIRONMENT.help())]
    Environment(InProject),
    /// An environment type
    #[command(visible_aliases = ["et", "env-type", "envtype", "environmenttype"], after_help = kinds::ENVIRONMENT_TYPE.help())]
    EnvironmentType(One),
    /// A resource type
    #[command(visible_aliases = ["rt", "resourcetype"], after_help = kinds::RESOURCE_TYPE.help())]
    ResourceType(One),
    /// A module: makes a new version
    #[command(visible_alias = "mod", after_help = kinds::MODULE.help())]
    Module(One),
    /// A provider
    #[command(visible_aliases = ["mp", "module-provider"], after_help = kinds::PROVIDER.help())]
    Provider(OfType),
    /// A runner
    #[command(after_help = kinds::RUNNER.help())]
    Runner(One),
    /// The roles of a person
    User(identity::UpdateUser),
    /// The roles of a service user
    #[command(visible_alias = "su")]
    ServiceUser(identity::UpdateUser),
}

/// An object with one id.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The id
    id: String,
    #[command(flatten)]
    rest: Rest,
}

/// An object of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct InProject {
    /// The project
    project: String,
    /// The id
    id: String,
    #[command(flatten)]
    rest: Rest,
}

/// A provider.
#[derive(Debug, clap::Args)]
pub(crate) struct OfType {
    /// The provider type, for example `kubernetes`
    #[arg(value_name = "TYPE")]
    provider_type: String,
    /// The id
    id: String,
    #[command(flatten)]
    rest: Rest,
}

/// A rule.
#[derive(Debug, clap::Args)]
pub(crate) struct Rule {
    /// Do not ask when the project or environment of the rule does not exist
    #[arg(long)]
    no_prompt: bool,
    #[command(flatten)]
    rest: Rest,
}

/// What all of them take.
#[derive(Debug, clap::Args)]
pub(crate) struct Rest {
    #[command(flatten)]
    input: Input,
    /// How to print the object
    #[arg(short, long, value_enum, default_value = "yaml")]
    out: Markup,
}

impl Create {
    /// Creates and prints the object.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Project(one) => create(session, &kinds::PROJECT, vec![one.id], one.rest).await,
            Self::Environment(it) => {
                create(
                    session,
                    &kinds::ENVIRONMENT,
                    vec![it.project, it.id],
                    it.rest,
                )
                .await
            }
            Self::EnvironmentType(one) => {
                create(session, &kinds::ENVIRONMENT_TYPE, vec![one.id], one.rest).await
            }
            Self::ResourceType(one) => {
                create(session, &kinds::RESOURCE_TYPE, vec![one.id], one.rest).await
            }
            Self::Module(one) => create(session, &kinds::MODULE, vec![one.id], one.rest).await,
            Self::Provider(it) => {
                create(
                    session,
                    &kinds::PROVIDER,
                    vec![it.provider_type, it.id],
                    it.rest,
                )
                .await
            }
            Self::ModuleRule(rule) => create_rule(session, &kinds::MODULE_RULE, rule).await,
            Self::Runner(one) => create(session, &kinds::RUNNER, vec![one.id], one.rest).await,
            Self::RunnerRule(rule) => create_rule(session, &kinds::RUNNER_RULE, rule).await,
            Self::User(it) => it.run(session).await,
            Self::Invitation(it) => it.run(session).await,
            Self::ServiceUser(it) => it.run(session).await,
            Self::TrustRule(it) => it.run(session).await,
            Self::AgentToken(it) => it.run(session).await,
        }
    }
}

impl Update {
    /// Changes and prints the object.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let (kind, ids, rest): (&'static Kind, Vec<String>, Rest) = match self {
            Self::Project(one) => (&kinds::PROJECT, vec![one.id], one.rest),
            Self::Environment(it) => (&kinds::ENVIRONMENT, vec![it.project, it.id], it.rest),
            Self::EnvironmentType(one) => (&kinds::ENVIRONMENT_TYPE, vec![one.id], one.rest),
            Self::ResourceType(one) => (&kinds::RESOURCE_TYPE, vec![one.id], one.rest),
            Self::Module(one) => (&kinds::MODULE, vec![one.id], one.rest),
            Self::Provider(it) => (&kinds::PROVIDER, vec![it.provider_type, it.id], it.rest),
            Self::Runner(one) => (&kinds::RUNNER, vec![one.id], one.rest),
            Self::User(it) => return it.person(session).await,
            Self::ServiceUser(it) => return it.service(session).await,
        };
        let body = rest.input.body(kind, &ids, true)?;
        let client = session.client().await?;
        let answer = client
            .call(
                Method::PATCH,
                &kind.item(&ids),
                Content::Json(Value::Object(body)),
                &[],
            )
            .await
            .map_err(|error| explain(error, kind, &ids, client.org(), Doing::Update))?;
        let object: Value = answer.json()?;
        let name = kind.label(&ids);
        print::success(if *kind == kinds::MODULE {
            let version = object["version_id"].as_str().unwrap_or("unknown");
            format!(
                "Module {name} updated to version {version} in organization {}.",
                client.org()
            )
        } else {
            format!(
                "{} {name} updated in organization {}.",
                kind.title,
                client.org()
            )
        });
        print::value::print(&object, rest.out.into(), kind.columns)?;
        Ok(Exit::OK)
    }
}

async fn create(
    session: &Session,
    kind: &'static Kind,
    ids: Vec<String>,
    rest: Rest,
) -> anyhow::Result<Exit> {
    let body = rest.input.body(kind, &ids, false)?;
    let object = post(session, kind, &ids, body).await?;
    let org = &session.settings.org;
    print::success(if *kind == kinds::ENVIRONMENT {
        format!("Environment {} created in project {}.", ids[1], ids[0])
    } else {
        format!(
            "{} {} created in organization {org}.",
            kind.title,
            kind.label(&ids)
        )
    });
    print::value::print(&object, rest.out.into(), kind.columns)?;
    Ok(Exit::OK)
}

async fn create_rule(session: &Session, kind: &'static Kind, rule: Rule) -> anyhow::Result<Exit> {
    let body = rule.rest.input.body(kind, &[], false)?;
    if !rule.no_prompt {
        warn_of_missing_scope(session, &body).await?;
    }
    let (picks, of) = if *kind == kinds::MODULE_RULE {
        ("module", "module_id")
    } else {
        ("runner", "runner_id")
    };
    let object = post(session, kind, &[], body).await?;
    let text = |field: &str| object[field].as_str().unwrap_or("unknown").to_owned();
    print::success(format!(
        "{} {} created for {picks} {} in organization {}.",
        kind.title,
        text("id"),
        text(of),
        session.settings.org
    ));
    print::value::print(&object, rule.rest.out.into(), kind.columns)?;
    Ok(Exit::OK)
}

/// A rule may name a project or environment that does not exist yet; that is legal and often a typo.
async fn warn_of_missing_scope(session: &Session, body: &Map<String, Value>) -> anyhow::Result<()> {
    let Some(project) = body
        .get("project_id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
    else {
        return Ok(());
    };
    let client = session.client().await?;
    let ids = [project.to_owned()];
    if client
        .find::<Value>(&kinds::PROJECT.item(&ids))
        .await?
        .is_none()
    {
        return ask::enter(
            &format!("Project `{project}` does not exist. The rule takes effect once it does."),
            "--no-prompt",
        )
        .await;
    }
    let Some(env) = body
        .get("env_id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
    else {
        return Ok(());
    };
    let ids = [project.to_owned(), env.to_owned()];
    if client
        .find::<Value>(&kinds::ENVIRONMENT.item(&ids))
        .await?
        .is_none()
    {
        return ask::enter(
            &format!(
                "Environment `{project}/{env}` does not exist. The rule takes effect once it does."
            ),
            "--no-prompt",
        )
        .await;
    }
    Ok(())
}

async fn post(
    session: &Session,
    kind: &'static Kind,
    ids: &[String],
    mut body: Map<String, Value>,
) -> anyhow::Result<Value> {
    let client = session.client().await?;
    if *kind == kinds::ENVIRONMENT {
        body.remove("project_id"); // It is in the path.
    }
    let answer = client
        .call(
            Method::POST,
            &kind.collection(ids),
            Content::Json(Value::Object(body)),
            &[],
        )
        .await
        .map_err(|error| explain(error, kind, ids, client.org(), Doing::Create))?;
    Ok(answer.json()?)
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Create.
    Create,
    /// Get.
    Get,
    /// Update.
    Update,
    /// Delete.
    Delete,
}

/// An answer of the API in the words that users of such a client know, with advice where there is some.
pub(crate) fn explain(
    error: CallError,
    kind: &Kind,
    ids: &[String],
    org: &str,
    doing: Doing,
) -> anyhow::Error {
    let CallError::Refused(refusal) = error else {
        return error.into();
    };
    if !refusal.diagnostics.is_empty() {
        return super::exit::Findings(refusal.diagnostics.into_iter().map(Into::into).collect())
            .into();
    }
    let title = kind.title;
    let name = kind.label(ids);
    let message = match (refusal.status, doing) {
        (404, Doing::Create) if *kind == kinds::ENVIRONMENT => {
            let project = ids.first().map_or("", String::as_str);
            return Advised::new(
                format!("project '{project}' not found in org '{org}'"),
                [
                    "windlass get projects".to_owned(),
                    format!("windlass create project {project}"),
                ],
            )
            .into();
        }
        (404, _) if *kind == kinds::ENVIRONMENT && ids.len() == 2 => {
            return Advised::new(
                format!(
                    "{title} '{}' not found in project '{}' in org '{org}'",
                    ids[1], ids[0]
                ),
                [
                    format!("windlass get environments {}", ids[0]),
                    format!(
                        "windlass create environment {} {} --set env_type_id=TYPE",
                        ids[0], ids[1]
                    ),
                ],
            )
            .into();
        }
        (404, _) => format!("{title} '{name}' not found in org '{org}'"),
        (409, Doing::Delete) => format!("{title} '{name}' cannot be deleted: {}", refusal.message),
        (409, _) => format!("conflict: {}", refusal.message),
        (400, _) => format!("request is invalid: {}", refusal.message),
        (status, _) => format!(
            "unexpected status code {status} when {}: {}",
            match doing {
                Doing::Create => format!("creating {}", title.to_lowercase()),
                Doing::Get => format!("reading {}", title.to_lowercase()),
                Doing::Update => format!("updating {}", title.to_lowercase()),
                Doing::Delete => format!("deleting {}", title.to_lowercase()),
            },
            refusal.message
        ),
    };
    let suggestions = if refusal.message.contains("environment type ") {
        vec![
            "windlass get environment-types".to_owned(),
            "windlass create environment-type ID".to_owned(),
        ]
    } else {
        Vec::new()
    };
    Advised::new(message, suggestions).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Refusal;

    fn told(status: u16, message: &str, kind: &Kind, ids: &[&str], doing: Doing) -> String {
        let error = CallError::Refused(Refusal {
            status,
            message: message.into(),
            code: format!("HTTP-{status}"),
            diagnostics: Vec::new(),
        });
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let error = explain(error, kind, &ids, "o", doing);
        let advice = error
            .downcast_ref::<Advised>()
            .map(|advised| advised.suggestions.join(" | "))
            .unwrap_or_default();
        format!("{error} [{advice}]")
    }

    #[test]
    fn refusals_are_told_in_known_words_with_advice() {
        insta::assert_snapshot!([
            told(409, "project already exists", &kinds::PROJECT, &["p"], Doing::Create),
            told(400, "bad", &kinds::PROJECT, &["p"], Doing::Create),
            told(404, "x", &kinds::PROVIDER, &["aws", "d"], Doing::Update),
            told(404, "x", &kinds::ENVIRONMENT, &["p", "e"], Doing::Get),
            told(409, "in use", &kinds::MODULE, &["m"], Doing::Delete),
            told(409, "not found: environment type not found", &kinds::ENVIRONMENT, &["p", "e"], Doing::Create),
            told(503, "later", &kinds::RUNNER, &["r"], Doing::Get),
        ].join("\n"), @r#"
        conflict: project already exists []
        request is invalid: bad []
        Provider 'aws.d' not found in org 'o' []
        Environment 'e' not found in project 'p' in org 'o' [windlass get environments p | windlass create environment p e --set env_type_id=TYPE]
        Module 'm' cannot be deleted: in use []
        conflict: not found: environment type not found [windlass get environment-types | windlass create environment-type ID]
        unexpected status code 503 when reading runner: later []
        "#);
    }
}
