//! Deployments and what they made: found, shown, or missing in words.

use serde_json::{Value, json};

use super::args::OneDeployment;
use super::{query, show};
use crate::cli::client::CallError;
use crate::cli::create::{Doing, explain};
use crate::cli::exit::{Advised, Exit};
use crate::cli::print::{self, value::Format};
use crate::cli::{Session, deploy, graph, kinds};
use crate::wire::deployments::Deployment;

pub(super) async fn deployment(session: &Session, it: OneDeployment) -> anyhow::Result<Exit> {
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
    print::data(&deploy::report::details(&deployment, graph.as_ref()))?;
    Ok(Exit::OK)
}

/// "No such deployment", or what else went wrong.
pub(crate) fn no_deployment(error: CallError, id: &str, org: &str) -> anyhow::Error {
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
