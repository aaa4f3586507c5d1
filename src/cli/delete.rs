//! `delete`: what nobody needs any more. An environment takes its infrastructure with it, so that it
//! is confirmed by typing its name, and its destroy run has a readable log.

use std::time::{Duration, SystemTime};

use axum::http::Method;
use serde_json::Value;

use super::client::Content;
use super::create::{Doing, explain};
use super::deploy::follow::{self, End, OnInterrupt, Watch};
use super::deploy::report;
use super::exit::{Advised, Exit, Told};
use super::get::{find_deployment, last_deployment, query};
use super::keys::KeyStore;
use super::kinds::{self, Kind};
use super::{Session, ask, identity, print};
use crate::seal::key::Identity;
use crate::wire::deployments::RecipientSpec;
use crate::wire::objects::{Environment, EnvironmentDelete};

/// How often an environment that goes away is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What `delete` removes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Delete {
    /// A project without environments
    #[command(visible_alias = "proj")]
    Project(Project),
    /// An environment and everything in it
    #[command(visible_alias = "env")]
    Environment(EnvironmentArgs),
    /// An environment type
    #[command(visible_aliases = ["et", "env-type", "envtype", "environmenttype"])]
    EnvironmentType(One),
    /// A resource type
    #[command(visible_aliases = ["rt", "resourcetype"])]
    ResourceType(One),
    /// A module with its versions and rules
    #[command(visible_alias = "mod")]
    Module(One),
    /// A provider
    #[command(visible_aliases = ["mp", "module-provider"])]
    Provider(OfType),
    /// A module rule
    #[command(visible_aliases = ["rule", "rl", "modulerule"])]
    ModuleRule(One),
    /// A runner with its rules
    Runner(One),
    /// A runner rule
    #[command(visible_aliases = ["rrl", "runnerrule"])]
    RunnerRule(One),
    /// A person: takes all their roles in the organisation away
    User(identity::One),
    /// An invitation, by its id or its address; its link is over
    Invitation(identity::One),
    /// A service user; its token is over
    #[command(visible_alias = "su")]
    ServiceUser(identity::One),
    /// A trust rule; tokens that were given for it are over
    TrustRule(identity::One),
    /// An agent; its keys are over, and what it carries ends as lost
    Agent(One),
}

/// One id.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The id
    id: String,
}

/// A provider.
#[derive(Debug, clap::Args)]
pub(crate) struct OfType {
    /// The provider type
    #[arg(value_name = "TYPE")]
    provider_type: String,
    /// The id
    id: String,
}

/// A project.
#[derive(Debug, clap::Args)]
pub(crate) struct Project {
    /// The id
    id: String,
    /// Delete its module rules and runner rules, too, without asking
    #[arg(long)]
    delete_rules: bool,
    /// Do not ask; rules stay unless --delete-rules
    #[arg(long)]
    no_prompt: bool,
}

/// An environment.
#[derive(Debug, clap::Args)]
pub(crate) struct EnvironmentArgs {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Forget it without destroying anything: what exists goes on existing
    #[arg(long)]
    force: bool,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
    /// Delete the module rules of exactly this environment, too, without asking
    #[arg(long)]
    delete_rules: bool,
    /// Do not ask
    #[arg(long)]
    no_prompt: bool,
    /// Show the log of the destroy run while it is written
    #[arg(long)]
    show_logs: bool,
}

impl Delete {
    /// Deletes.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Project(it) => project(session, it).await,
            Self::Environment(it) => environment(session, it).await,
            Self::EnvironmentType(it) => one(session, &kinds::ENVIRONMENT_TYPE, vec![it.id]).await,
            Self::ResourceType(it) => one(session, &kinds::RESOURCE_TYPE, vec![it.id]).await,
            Self::Module(it) => one(session, &kinds::MODULE, vec![it.id]).await,
            Self::Provider(it) => {
                one(session, &kinds::PROVIDER, vec![it.provider_type, it.id]).await
            }
            Self::ModuleRule(it) => one(session, &kinds::MODULE_RULE, vec![it.id]).await,
            Self::Runner(it) => one(session, &kinds::RUNNER, vec![it.id]).await,
            Self::RunnerRule(it) => one(session, &kinds::RUNNER_RULE, vec![it.id]).await,
            Self::User(it) => it.delete_person(session).await,
            Self::Invitation(it) => it.delete_invitation(session).await,
            Self::ServiceUser(it) => it.delete_service(session).await,
            Self::TrustRule(it) => it.delete_trust_rule(session).await,
            Self::Agent(it) => identity::delete_agent(session, &it.id).await,
        }
    }
}

async fn one(session: &Session, kind: &'static Kind, ids: Vec<String>) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    client
        .call(Method::DELETE, &kind.item(&ids), Content::Empty, &[])
        .await
        .map_err(|error| explain(error, kind, &ids, client.org(), Doing::Delete))?;
    print::success(format!(
        "{} {} deleted from organization {}.",
        kind.title,
        kind.label(&ids),
        client.org()
    ));
    Ok(Exit::OK)
}

async fn project(session: &Session, it: Project) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let ids = vec![it.id];
    let mut delete_rules = it.delete_rules;
    if !delete_rules && !it.no_prompt {
        let of = |path: &str| query(path, &[("byProjectId", Some(ids[0].clone()))]);
        let module_rules: Vec<Value> = client.list(&of("module-rules")).await?;
        let runner_rules: Vec<Value> = client.list(&of("runner-rules")).await?;
        // The filter of runner rules is an effective one: rules of any project are listed, too.
        let runner_rules: Vec<&Value> = runner_rules
            .iter()
            .filter(|rule| rule["project_id"] == ids[0].as_str())
            .collect();
        if module_rules.len() + runner_rules.len() > 0 {
            delete_rules = ask::yes(
                &format!(
                    "Project {} has {} module rules and {} runner rules. Delete these rules along with the project?",
                    ids[0],
                    module_rules.len(),
                    runner_rules.len()
                ),
                "--delete-rules or --no-prompt",
            )
            .await?;
        }
    }
    let path = query(
        &kinds::PROJECT.item(&ids),
        &[("deleteRules", delete_rules.then(|| "true".to_owned()))],
    );
    client
        .call(Method::DELETE, &path, Content::Empty, &[])
        .await
        .map_err(|error| explain(error, &kinds::PROJECT, &ids, client.org(), Doing::Delete))?;
    print::success(format!(
        "Project {} deleted from organization {}.",
        ids[0],
        client.org()
    ));
    Ok(Exit::OK)
}

async fn environment(session: &Session, it: EnvironmentArgs) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let ids = vec![it.project.clone(), it.env.clone()];
    let name = format!("{}/{}", it.project, it.env);
    let path = kinds::ENVIRONMENT.item(&ids);
    let found: Environment = client
        .get(&path)
        .await
        .map_err(|error| explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get))?;
    if found.status == "deleting" && !it.force {
        let told = found.status_message.unwrap_or_default();
        return Err(Advised::new(
            format!("environment {name} is being deleted already. {told}"),
            [format!(
                "windlass delete env {} {} --force forgets it without destroying",
                it.project, it.env
            )],
        )
        .into());
    }
    describe(session, &it, &found).await?;
    let delete_rules = if it.delete_rules || it.no_prompt {
        it.delete_rules
    } else {
        ask_for_rules(session, &it).await?
    };
    if !it.no_prompt {
        ask::typed(
            &if it.force {
                format!(
                    "{name} is forgotten; its infrastructure stays and nobody here knows of it."
                )
            } else {
                format!("Everything in {name} is destroyed.")
            },
            &name,
            "--no-prompt",
        )
        .await?;
    }
    let store = KeyStore::new(&session.settings.data_dir);
    store.remove_old(session.settings.keep_keys_days(), SystemTime::now());
    let key = Identity::generate();
    store.keep(&key)?;
    let body = EnvironmentDelete {
        log_recipients: vec![RecipientSpec {
            recipient: key.recipient().to_string(),
            age_file: false,
        }],
    };
    let target = query(
        &path,
        &[
            ("force", it.force.then(|| "true".to_owned())),
            ("deleteRules", delete_rules.then(|| "true".to_owned())),
        ],
    );
    client
        .call(
            Method::DELETE,
            &target,
            Content::Json(serde_json::to_value(body)?),
            &[],
        )
        .await
        .map_err(|error| {
            explain(
                error,
                &kinds::ENVIRONMENT,
                &ids,
                client.org(),
                Doing::Delete,
            )
        })?;
    session.ensure_worker()?;
    if it.no_wait {
        print::success(format!("Environment {name} is being deleted."));
        return Ok(Exit::OK);
    }
    watch(session, &it, &path, &key).await
}

/// Destroys an environment without asking, and waits.
pub(crate) async fn environment_now(
    session: &Session,
    project: &str,
    env: &str,
) -> anyhow::Result<()> {
    let it = EnvironmentArgs {
        project: project.to_owned(),
        env: env.to_owned(),
        force: false,
        no_wait: false,
        delete_rules: false,
        no_prompt: true,
        show_logs: false,
    };
    match environment(session, it).await? {
        Exit::OK => Ok(()),
        _ => Err(anyhow::anyhow!("interrupted; the deletion goes on")),
    }
}

/// Says what is at stake.
async fn describe(
    session: &Session,
    it: &EnvironmentArgs,
    found: &Environment,
) -> anyhow::Result<()> {
    if found.status == "delete_failed" {
        print::note(format!(
            "An earlier deletion failed: {}",
            found
                .status_message
                .as_deref()
                .unwrap_or("no reason was recorded")
        ));
    }
    let Some(last) = last_deployment(session, &it.project, &it.env).await? else {
        print::note("Nothing was ever deployed to it.");
        return Ok(());
    };
    let last = find_deployment(session, &last.id, None).await?;
    let count = |key: &str| {
        last.manifest
            .as_ref()
            .and_then(|manifest| manifest.get(key))
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len)
    };
    print::note(format!(
        "It has {} workloads and {} shared resources.",
        count("workloads"),
        count("shared")
    ));
    Ok(())
}

async fn ask_for_rules(session: &Session, it: &EnvironmentArgs) -> anyhow::Result<bool> {
    let client = session.client().await?;
    let path = query(
        "module-rules",
        &[
            ("byProjectId", Some(it.project.clone())),
            ("byEnvId", Some(it.env.clone())),
        ],
    );
    let rules: Vec<Value> = client.list(&path).await?;
    if rules.is_empty() {
        return Ok(false);
    }
    print::note(print::table::render(kinds::MODULE_RULE.list_columns, &rules).trim_end());
    ask::yes(
        "Delete these module rules along with the environment?",
        "--delete-rules or --no-prompt",
    )
    .await
}

/// Waits until the environment is gone; follows the destroy run on the way.
async fn watch(
    session: &Session,
    it: &EnvironmentArgs,
    path: &str,
    key: &Identity,
) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let name = format!("{}/{}", it.project, it.env);
    let mut followed: Option<String> = None;
    loop {
        let Some(environment) = client.find::<Environment>(path).await? else {
            print::success(format!(
                "Environment {name} deleted from organization {}.",
                client.org()
            ));
            return Ok(Exit::OK);
        };
        let message = environment.status_message.unwrap_or_default();
        if environment.status != "deleting" {
            return Err(Advised::new(
                format!(
                    "environment {name} is {}: {message}",
                    environment.status.replace('_', " ")
                ),
                [
                    format!(
                        "windlass delete env {} {}            tries again",
                        it.project, it.env
                    ),
                    format!(
                        "windlass delete env {} {} --force    forgets it without destroying",
                        it.project, it.env
                    ),
                ],
            )
            .into());
        }
        if let Some(id) = first_uuid(&message)
            && followed.as_deref() != Some(id)
        {
            let id = id.to_owned();
            print::note(format!("Destroy deployment {id}. Log: windlass logs {id}"));
            let watch = Watch {
                log_key: Some(key),
                show_logs: it.show_logs,
                on_interrupt: OnInterrupt::Ask,
            };
            match follow::follow(session, &id, watch).await {
                Ok(End::Detached) => {
                    print::say(format!(
                        "Detached; the deletion goes on. Follow it: windlass logs {id} --follow"
                    ));
                    return Ok(Exit::INTERRUPTED);
                }
                Ok(End::Over(over)) if over.deployment.status != "succeeded" => {
                    if !over.log.is_empty() && !it.show_logs {
                        print::say(over.log.shown());
                    }
                    print::say(report::failure(&over.deployment));
                    print::suggestions(&[
                        format!("windlass logs {id}"),
                        format!(
                            "windlass delete env {} {}            tries again",
                            it.project, it.env
                        ),
                        format!(
                            "windlass delete env {} {} --force    forgets it without destroying",
                            it.project, it.env
                        ),
                    ]);
                    return Err(Told.into());
                }
                // The record goes with the environment: that it is gone means it went well.
                Ok(End::Over(_)) | Err(_) => {}
            }
            followed = Some(id);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                print::say("Detached; the deletion goes on.");
                return Ok(Exit::INTERRUPTED);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The first UUID in a text.
fn first_uuid(text: &str) -> Option<&str> {
    (0..text.len().saturating_sub(35)).find_map(|at| {
        let part = text.get(at..at + 36)?;
        uuid::Uuid::try_parse(part).ok().map(|_| part)
    })
}

#[cfg(test)]
mod tests {
    use super::first_uuid;

    #[test]
    fn the_destroy_deployment_is_found_in_the_message() {
        let message =
            "Waiting for destroy deployment '0190f3a2-1111-7222-8333-44445555aaaa' to complete";
        assert_eq!(
            first_uuid(message),
            Some("0190f3a2-1111-7222-8333-44445555aaaa")
        );
        assert_eq!(first_uuid("Attempting to destroy environment"), None);
    }
}
