//! `get`: everything that can be looked at.

use serde_json::Value;

mod args;
mod available;
mod deployments;

pub(crate) use self::args::Out;
use self::args::*;
use self::available::available;
use self::deployments::deployment;
pub(crate) use self::deployments::{active_nodes, find_deployment, last_deployment, no_deployment};
use super::create::{Doing, explain};
use super::exit::{Advised, Exit};
use super::kinds::{self, Kind};
use super::print::{self, table::Column, value::Format};
use super::{Session, graph, identity, login, outputs};

/// What `get` shows.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Get {
    /// One project
    #[command(visible_alias = "proj")]
    Project(One),
    /// All projects
    Projects(All),
    /// One environment
    #[command(visible_alias = "env")]
    Environment(InProject),
    /// The environments of a project
    #[command(visible_alias = "envs")]
    Environments(OfProject),
    /// One environment type
    #[command(visible_aliases = ["et", "env-type", "envtype", "environmenttype"])]
    EnvironmentType(One),
    /// All environment types
    #[command(visible_aliases = ["ets", "env-types", "envtypes", "environmenttypes"])]
    EnvironmentTypes(All),
    /// One resource type
    #[command(visible_aliases = ["rt", "resourcetype"])]
    ResourceType(One),
    /// All resource types
    #[command(visible_aliases = ["rts", "resourcetypes"])]
    ResourceTypes(All),
    /// One module
    #[command(visible_alias = "mod")]
    Module(One),
    /// All modules
    #[command(visible_alias = "mods")]
    Modules(ByType),
    /// One provider
    #[command(visible_aliases = ["mp", "module-provider"])]
    Provider(OfType),
    /// All providers
    #[command(visible_aliases = ["mps", "module-providers"])]
    Providers(ByProviderType),
    /// One module rule
    #[command(visible_aliases = ["rule", "rl", "modulerule"])]
    ModuleRule(ByUuid),
    /// All module rules
    #[command(visible_aliases = ["rules", "rls", "modulerules"])]
    ModuleRules(ModuleRules),
    /// One runner
    Runner(One),
    /// All runners
    Runners(All),
    /// One runner rule
    #[command(visible_aliases = ["rrl", "runnerrule"])]
    RunnerRule(ByUuid),
    /// All runner rules
    #[command(visible_aliases = ["rrls", "runnerrules"])]
    RunnerRules(RunnerRules),
    /// One deployment: status, what failed, graph and module versions
    #[command(visible_alias = "dep")]
    Deployment(OneDeployment),
    /// Deployments, newest first
    #[command(visible_alias = "deps")]
    Deployments(Deployments),
    /// The manifest of a deployment, or the last one of an environment
    Manifest(Manifest),
    /// The engine code of a deployment
    Tf(Tf),
    /// The outputs of a deployment, or the last ones of an environment
    #[command(visible_alias = "output")]
    Outputs(outputs::Outputs),
    /// The nodes that exist in an environment
    ActiveResourceNodes(ActiveNodes),
    /// The graph that exists in an environment
    #[command(visible_alias = "active-resource-graph")]
    ActiveResources(graph::Active),
    /// The resource types that an environment offers
    AvailableResourceTypes(Available),
    /// One resource type that an environment offers, with its params
    AvailableResourceType(AvailableOne),
    /// Who you are
    CurrentUser(All),
    /// People of the organisation, a row for each of their roles
    Users(All),
    /// E-mail addresses that may join the organisation and have not yet
    Invitations(All),
    /// Service users of the organisation, and when each was last used
    #[command(visible_alias = "sus")]
    ServiceUsers(All),
    /// Whose signed tokens are changed into short ones
    TrustRules(All),
    /// What users can be
    Roles(All),
    /// Agents: what each is, when it was last heard of, and how many runs it carries
    Agents(All),
}

impl Get {
    /// Reads and prints.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm per noun; nothing else happens here"
    )]
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        match self {
            Self::Project(it) => one(session, &kinds::PROJECT, vec![it.id], it.out).await,
            Self::Projects(it) => all(session, &kinds::PROJECT, &[], &[], it.out).await,
            Self::Environment(it) => {
                one(
                    session,
                    &kinds::ENVIRONMENT,
                    vec![it.project, it.id],
                    it.out,
                )
                .await
            }
            Self::Environments(it) => {
                let ids: Vec<String> = it.project.into_iter().collect();
                all(session, &kinds::ENVIRONMENT, &ids, &[], it.out).await
            }
            Self::EnvironmentType(it) => {
                one(session, &kinds::ENVIRONMENT_TYPE, vec![it.id], it.out).await
            }
            Self::EnvironmentTypes(it) => {
                all(session, &kinds::ENVIRONMENT_TYPE, &[], &[], it.out).await
            }
            Self::ResourceType(it) => {
                one(session, &kinds::RESOURCE_TYPE, vec![it.id], it.out).await
            }
            Self::ResourceTypes(it) => all(session, &kinds::RESOURCE_TYPE, &[], &[], it.out).await,
            Self::Module(it) => one(session, &kinds::MODULE, vec![it.id], it.out).await,
            Self::Modules(it) => {
                all(
                    session,
                    &kinds::MODULE,
                    &[],
                    &[("byResourceType", it.of_type)],
                    it.out,
                )
                .await
            }
            Self::Provider(it) => {
                one(
                    session,
                    &kinds::PROVIDER,
                    vec![it.provider_type, it.id],
                    it.out,
                )
                .await
            }
            Self::Providers(it) => {
                all(
                    session,
                    &kinds::PROVIDER,
                    &[],
                    &[("byProviderType", it.of_type)],
                    it.out,
                )
                .await
            }
            Self::ModuleRule(it) => one(session, &kinds::MODULE_RULE, vec![it.uuid], it.out).await,
            Self::ModuleRules(it) => {
                let filters = [("byResourceType", it.of_type), ("byModuleId", it.module)];
                all(session, &kinds::MODULE_RULE, &[], &filters, it.out).await
            }
            Self::Runner(it) => one(session, &kinds::RUNNER, vec![it.id], it.out).await,
            Self::Runners(it) => all(session, &kinds::RUNNER, &[], &[], it.out).await,
            Self::RunnerRule(it) => one(session, &kinds::RUNNER_RULE, vec![it.uuid], it.out).await,
            Self::RunnerRules(it) => {
                all(
                    session,
                    &kinds::RUNNER_RULE,
                    &[],
                    &[("byRunnerId", it.runner)],
                    it.out,
                )
                .await
            }
            Self::Deployment(it) => deployment(session, it).await,
            Self::Deployments(it) => {
                let path = query(
                    "deployments",
                    &[("project_id", it.project), ("env_id", it.env)],
                );
                let items: Vec<Value> = session.client().await?.list(&path).await?;
                show(&Value::Array(items), it.out, kinds::DEPLOYMENT_LIST_COLUMNS)
            }
            Self::Manifest(it) => {
                let found = find_deployment(session, &it.first, it.env.as_deref()).await?;
                let manifest = found.manifest.unwrap_or(Value::Null);
                print::value::print(&manifest, it.out.into(), &[])?;
                Ok(Exit::OK)
            }
            Self::Tf(it) => {
                let path = format!("deployments/{}/tf", kinds::segment(&it.uuid));
                let answer = session
                    .client()
                    .await?
                    .call(
                        axum::http::Method::GET,
                        &path,
                        super::client::Content::Empty,
                        &[],
                    )
                    .await
                    .map_err(|error| no_deployment(error, &it.uuid, &session.settings.org))?;
                print::data(&answer.text())?;
                Ok(Exit::OK)
            }
            Self::Outputs(it) => it.run(session).await,
            Self::ActiveResourceNodes(it) => {
                let nodes = active_nodes(session, &it.project, &it.env).await?;
                show(&nodes["items"], it.out, kinds::NODE_COLUMNS)
            }
            Self::ActiveResources(it) => it.run(session).await,
            Self::AvailableResourceTypes(it) => {
                let items = available(session, &it.project, &it.env, None, it.all).await?;
                show(&Value::Array(items), it.out, kinds::AVAILABLE_COLUMNS)
            }
            Self::AvailableResourceType(it) => {
                let items = available(
                    session,
                    &it.project,
                    &it.env,
                    Some(it.type_id.clone()),
                    true,
                )
                .await?;
                let found = items
                    .into_iter()
                    .find(|item| item["id"] == it.type_id.as_str());
                let Some(found) = found else {
                    return Err(Advised::new(
                        format!(
                            "resource type '{}' is not available in '{}/{}'",
                            it.type_id, it.project, it.env
                        ),
                        [format!(
                            "windlass get available-resource-types {} {}",
                            it.project, it.env
                        )],
                    )
                    .into());
                };
                show(&found, it.out, kinds::AVAILABLE_COLUMNS)
            }
            Self::CurrentUser(it) => {
                let mut user = login::current_user(session).await?;
                let ids = user["organization_memberships"].as_array();
                let ids: Vec<Value> = ids
                    .into_iter()
                    .flatten()
                    .map(|membership| membership["id"].clone())
                    .collect();
                if it.out.out == Format::Table {
                    user["organization_memberships"] = ids.into();
                }
                show(&user, it.out, kinds::USER_COLUMNS)
            }
            Self::Users(it) => {
                let items = identity::listed(session, "memberships").await?;
                show(&items, it.out, kinds::MEMBERSHIP_COLUMNS)
            }
            Self::Invitations(it) => {
                let items = identity::listed(session, "invitations").await?;
                show(&items, it.out, kinds::INVITATION_COLUMNS)
            }
            Self::ServiceUsers(it) => {
                let items = identity::listed(session, "service-users").await?;
                show(&items, it.out, kinds::SERVICE_USER_COLUMNS)
            }
            Self::TrustRules(it) => {
                let items = identity::listed(session, "trust-rules").await?;
                show(&items, it.out, kinds::TRUST_RULE_COLUMNS)
            }
            Self::Agents(it) => {
                let items: Vec<Value> = session.client().await?.list("agents").await?;
                show(&Value::Array(items), it.out, kinds::AGENT_COLUMNS)
            }
            Self::Roles(it) => {
                let items: Vec<Value> = session.client().await?.list("roles").await?;
                show(&Value::Array(items), it.out, kinds::ROLE_COLUMNS)
            }
        }
    }
}

fn show(value: &Value, out: Out, columns: &[Column]) -> anyhow::Result<Exit> {
    let mut value = value.clone();
    if out.out != Format::Table
        && let Value::Array(items) = &mut value
    {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.shift_remove("options_text");
        }
    }
    if out.out != Format::Table
        && let Some(map) = value.as_object_mut()
    {
        map.shift_remove("options_text");
    }
    print::value::print(&value, out.out, columns)?;
    Ok(Exit::OK)
}

async fn one(
    session: &Session,
    kind: &'static Kind,
    ids: Vec<String>,
    out: Out,
) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let object: Value = client
        .get(&kind.item(&ids))
        .await
        .map_err(|error| explain(error, kind, &ids, client.org(), Doing::Get))?;
    show(&object, out, kind.columns)
}

async fn all(
    session: &Session,
    kind: &'static Kind,
    ids: &[String],
    filters: &[(&str, Option<String>)],
    out: Out,
) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    let items: Vec<Value> = client
        .list(&query(&kind.collection(ids), filters))
        .await
        .map_err(|error| match error.refused(404) {
            Some(_) if *kind == kinds::ENVIRONMENT && !ids.is_empty() => {
                explain(error, &kinds::PROJECT, ids, client.org(), Doing::Get)
            }
            Some(_) | None => explain(error, kind, ids, client.org(), Doing::Get),
        })?;
    show(&Value::Array(items), out, kind.list_columns)
}

/// A path with the filters that are set.
pub(crate) fn query(path: &str, filters: &[(&str, Option<String>)]) -> String {
    let mut path = path.to_owned();
    for (name, value) in filters {
        if let Some(value) = value {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{name}={}", kinds::segment(value)));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_are_set_go_into_the_query() {
        assert_eq!(
            query(
                "x",
                &[
                    ("a", Some("b c".into())),
                    ("d", None),
                    ("e", Some("f".into()))
                ]
            ),
            "x?a=b%20c&e=f"
        );
    }
}
