//! `get`: everything that can be looked at.

use serde_json::{Value, json};

use super::create::{Doing, explain};
use super::exit::{Advised, Exit};
use super::kinds::{self, Kind};
use super::print::{self, table::Column, value::Format, value::Markup};
use super::{Session, graph, outputs};
use crate::wire::deployments::Deployment;

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
}

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
    id: String,
    #[command(flatten)]
    out: Out,
}

/// All of a kind.
#[derive(Debug, clap::Args)]
pub(crate) struct All {
    #[command(flatten)]
    out: Out,
}

/// One of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct InProject {
    /// The project
    project: String,
    /// The environment
    id: String,
    #[command(flatten)]
    out: Out,
}

/// All of a project.
#[derive(Debug, clap::Args)]
pub(crate) struct OfProject {
    /// The project; all projects where none is given
    project: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// Modules.
#[derive(Debug, clap::Args)]
pub(crate) struct ByType {
    /// Only for this resource type
    #[arg(long = "type", value_name = "RESOURCE_TYPE")]
    of_type: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// Providers.
#[derive(Debug, clap::Args)]
pub(crate) struct ByProviderType {
    /// Only of this provider type
    #[arg(long = "type", value_name = "PROVIDER_TYPE")]
    of_type: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// A provider.
#[derive(Debug, clap::Args)]
pub(crate) struct OfType {
    /// The provider type
    #[arg(value_name = "TYPE")]
    provider_type: String,
    /// The id
    id: String,
    #[command(flatten)]
    out: Out,
}

/// A rule.
#[derive(Debug, clap::Args)]
pub(crate) struct ByUuid {
    /// The UUID of the rule
    uuid: String,
    #[command(flatten)]
    out: Out,
}

/// Module rules.
#[derive(Debug, clap::Args)]
pub(crate) struct ModuleRules {
    /// Only for this resource type
    #[arg(long = "type", value_name = "RESOURCE_TYPE")]
    of_type: Option<String>,
    /// Only for this module
    #[arg(long)]
    module: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// Runner rules.
#[derive(Debug, clap::Args)]
pub(crate) struct RunnerRules {
    /// Only for this runner
    #[arg(long)]
    runner: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// A deployment.
#[derive(Debug, clap::Args)]
pub(crate) struct OneDeployment {
    /// The deployment
    uuid: String,
    /// Its graph instead: `mermaid` (the default), `svg` or `html`, or a file that ends in .mmd, .svg or .html
    #[arg(long, value_name = "FORMAT|FILE", num_args = 0..=1, default_missing_value = "mermaid")]
    graph: Option<graph::Wanted>,
    #[command(flatten)]
    out: Out,
}

/// Deployments.
#[derive(Debug, clap::Args)]
pub(crate) struct Deployments {
    /// Only of this project
    project: Option<String>,
    /// Only of this environment
    env: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// A manifest.
#[derive(Debug, clap::Args)]
pub(crate) struct Manifest {
    /// A deployment, or a project with an environment
    #[arg(value_name = "DEPLOYMENT|PROJECT")]
    first: String,
    /// The environment
    env: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "yaml")]
    out: Markup,
}

/// Engine code.
#[derive(Debug, clap::Args)]
pub(crate) struct Tf {
    /// The deployment
    uuid: String,
    /// Accepted and without effect
    #[arg(short, long, hide = true)]
    out: Option<String>,
}

/// Active nodes.
#[derive(Debug, clap::Args)]
pub(crate) struct ActiveNodes {
    /// The project
    project: String,
    /// The environment
    env: String,
    #[command(flatten)]
    out: Out,
}

/// Available types.
#[derive(Debug, clap::Args)]
pub(crate) struct Available {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// Also types that manifests may not ask for
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    out: Out,
}

/// One available type.
#[derive(Debug, clap::Args)]
pub(crate) struct AvailableOne {
    /// The project
    project: String,
    /// The environment
    env: String,
    /// The resource type
    #[arg(value_name = "TYPE")]
    type_id: String,
    #[command(flatten)]
    out: Out,
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
            Self::CurrentUser(it) => show(
                &local_user(&session.settings.org),
                it.out,
                kinds::USER_COLUMNS,
            ),
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

async fn deployment(session: &Session, it: OneDeployment) -> anyhow::Result<Exit> {
    let path = format!("deployments/{}", kinds::segment(&it.uuid));
    let client = session.client().await?;
    let value: Value = client
        .get(&path)
        .await
        .map_err(|error| no_deployment(error, &it.uuid, &session.settings.org))?;
    if let Some(picture) = &it.graph {
        return graph::of_deployment(session, &it.uuid, picture).await;
    }
    if it.out.out != Format::Table {
        return show(&value, it.out, kinds::DEPLOYMENT_COLUMNS);
    }
    print::data(&print::table::render(
        kinds::DEPLOYMENT_COLUMNS,
        std::slice::from_ref(&value),
    ))?;
    let deployment: Deployment = serde_json::from_value(value)?;
    let graph = client.find(&format!("{path}/graph")).await?;
    print::data(&super::deploy::report::details(&deployment, graph.as_ref()))?;
    Ok(Exit::OK)
}

/// "No such deployment", or what else went wrong.
pub(crate) fn no_deployment(error: super::client::CallError, id: &str, org: &str) -> anyhow::Error {
    if error.refused(404).is_some() {
        return Advised::new(
            format!("deployment '{id}' not found in org '{org}'"),
            ["windlass get deployments"],
        )
        .into();
    }
    if let Some(refusal) = error.refused(400) {
        return Advised::new(
            format!("request is invalid: {}", refusal.message),
            ["windlass get deployments"],
        )
        .into();
    }
    error.into()
}

/// The deployment of this id, or the last state-changing one of an environment.
pub(crate) async fn find_deployment(
    session: &Session,
    first: &str,
    env: Option<&str>,
) -> anyhow::Result<Deployment> {
    let client = session.client().await?;
    let org = &session.settings.org;
    let id = match env {
        None => first.to_owned(),
        Some(env) => match last_deployment(session, first, env).await? {
            Some(last) => last.id,
            None => {
                return Err(Advised::new(
                    format!("nothing was deployed to '{first}/{env}' yet"),
                    [format!("windlass deploy {first} {env} manifest.yaml")],
                )
                .into());
            }
        },
    };
    client
        .get(&format!("deployments/{}", kinds::segment(&id)))
        .await
        .map_err(|error| no_deployment(error, &id, org))
}

/// The last state-changing deployment of an environment, as a summary.
pub(crate) async fn last_deployment(
    session: &Session,
    project: &str,
    env: &str,
) -> anyhow::Result<Option<Deployment>> {
    let client = session.client().await?;
    let path = query(
        "last-deployments",
        &[
            ("project_id", Some(project.to_owned())),
            ("env_id", Some(env.to_owned())),
            ("state_change_only", Some("true".to_owned())),
            ("per_page", Some("1".to_owned())),
        ],
    );
    let page: crate::wire::Page<Deployment> = client.get(&path).await.map_err(|error| {
        let ids = [project.to_owned(), env.to_owned()];
        explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get)
    })?;
    Ok(page.items.into_iter().next())
}

/// The active nodes of an environment, `{"items": […]}`.
pub(crate) async fn active_nodes(
    session: &Session,
    project: &str,
    env: &str,
) -> anyhow::Result<Value> {
    let client = session.client().await?;
    let path = query(
        "active-resources",
        &[
            ("project_id", Some(project.to_owned())),
            ("env_id", Some(env.to_owned())),
        ],
    );
    match client.get(&path).await {
        Ok(nodes) => Ok(nodes),
        Err(error) if error.refused(404).is_some() => {
            // Never deployed to, or no such environment: only the latter is a mistake.
            let ids = [project.to_owned(), env.to_owned()];
            client
                .get::<Value>(&kinds::ENVIRONMENT.item(&ids))
                .await
                .map_err(|error| {
                    explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get)
                })?;
            print::note(format!("Nothing was deployed to {project}/{env} yet."));
            Ok(json!({"items": []}))
        }
        Err(error) => Err(error.into()),
    }
}

/// Available types, each with its options in words for the table.
async fn available(
    session: &Session,
    project: &str,
    env: &str,
    type_id: Option<String>,
    hidden_too: bool,
) -> anyhow::Result<Vec<Value>> {
    let client = session.client().await?;
    let ids = [project.to_owned(), env.to_owned()];
    let path = query(
        &format!("{}/available-resource-types", kinds::ENVIRONMENT.item(&ids)),
        &[
            ("type_id", type_id),
            (
                "include_non_developer_accessible",
                hidden_too.then(|| "true".to_owned()),
            ),
        ],
    );
    let mut items: Vec<Value> = client
        .list(&path)
        .await
        .map_err(|error| explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get))?;
    for item in &mut items {
        let text = options_text(&item["options"]);
        if let Some(map) = item.as_object_mut() {
            map.insert("options_text".into(), Value::String(text));
        }
    }
    Ok(items)
}

/// `default: postgres-local (size); large@shared.db: postgres-big`.
fn options_text(options: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    options
        .as_array()
        .into_iter()
        .flatten()
        .map(|option| {
            let id = option["resource_id"]
                .as_str()
                .map(|id| format!("@{id}"))
                .unwrap_or_default();
            let params: Vec<&str> = option["module_params"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str())
                .collect();
            let params = if params.is_empty() {
                String::new()
            } else {
                format!(" ({})", params.join(", "))
            };
            format!(
                "{}{id}: {}{params}",
                text(&option["resource_class"]),
                text(&option["module_id"])
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// Local mode knows one user: whoever may read the data directory.
fn local_user(org: &str) -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000000",
        "display_name": std::env::var("USER").unwrap_or_else(|_| "local user".into()),
        "organization_memberships": [org],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_in_one_cell() {
        let options = json!([
            {"resource_class": "default", "module_id": "pg", "module_params": {"size": {}, "tier": {}}},
            {"resource_class": "large", "resource_id": "db", "module_id": "big", "module_params": {}},
        ]);
        assert_eq!(
            options_text(&options),
            "default: pg (size, tier); large@db: big"
        );
    }

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
