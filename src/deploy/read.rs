//! Looking at deployments: one, many, their events, sealed streams, graphs and resources.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Error, Service, show};
use crate::model::phase::{Mode, Phase};
use crate::model::{Diagnostic, Place, diag};
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{feed, resources, rows, streams};
use crate::store::objects::environments;
use crate::store::{Reading, StoreError};
use crate::wire::deployments::{
    ActiveNode, Deployment, DeploymentEvent, DeploymentGraph, Diff, EncryptedOutputs, Graph,
    SealedStream, StreamName,
};

/// Which deployments are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) project_id: Option<String>,
    /// Only with a project.
    pub(crate) env_id: Option<String>,
    /// Of these environments, by UUID; `None` for all.
    pub(crate) seen: Option<BTreeSet<String>>,
    /// `deploy`, `plan_only`, `rollback`, `rollback_plan`, `destroy`; empty for all.
    pub(crate) by_mode: Vec<String>,
    /// `executing`, `succeeded`, `failed`; empty for all.
    pub(crate) by_status: Vec<String>,
    /// Sort key of the last item of the page before.
    pub(crate) after: Option<Vec<String>>,
    /// At most so many, from 1.
    pub(crate) limit: usize,
}

/// Items of a page, and the sort key of the last one when there are more.
pub(crate) type Paged<T> = (Vec<T>, Option<Vec<String>>);

pub(super) const STATE_CHANGING: [Mode; 3] = [Mode::Deploy, Mode::Rollback, Mode::Destroy];

impl Service {
    /// A deployment.
    pub(crate) async fn get(&self, org: &str, id: &str) -> Result<Deployment, Error> {
        let mut reading = self.store.reading().await?;
        let row = required(&mut reading, org, id).await?;
        Ok(show::full(self, &mut reading, row).await?)
    }

    /// Deployments, newest first.
    pub(crate) async fn list(
        &self,
        org: &str,
        filter: &Filter,
    ) -> Result<Paged<Deployment>, Error> {
        let wanted = wanted(filter)?;
        let mut reading = self.store.reading().await?;
        let rows = rows::list(&mut reading, org, &wanted).await?;
        Ok(paged(rows, filter.limit, |row| {
            vec![row.sequence.to_string()]
        }))
    }

    /// The newest deployment of each environment (that may change state, if asked), by project and environment.
    pub(crate) async fn last(
        &self,
        org: &str,
        filter: &Filter,
        state_change_only: bool,
    ) -> Result<Paged<Deployment>, Error> {
        let after = match filter.after.as_deref() {
            Some([project, env]) => Some((project.clone(), env.clone())),
            Some(_) => return Err(bad_token()),
            None => None,
        };
        let mut wanted = wanted(&Filter {
            after: None,
            ..filter.clone()
        })?;
        if state_change_only {
            wanted.modes = STATE_CHANGING.to_vec();
        }
        let mut reading = self.store.reading().await?;
        let rows = rows::last(&mut reading, org, &wanted, after).await?;
        Ok(paged(rows, filter.limit, |row| {
            vec![row.project_id.clone(), row.env_id.clone()]
        }))
    }

    /// Waits until the deployment is over.
    pub(crate) async fn wait(
        &self,
        org: &str,
        id: &str,
        timeout: Duration,
    ) -> Result<Deployment, Error> {
        let until = Instant::now() + timeout;
        let mut watch = self.store.watch();
        loop {
            let mut reading = self.store.reading().await?;
            let row = required(&mut reading, org, id).await?;
            if matches!(row.phase, Phase::Ended { .. }) {
                return Ok(show::full(self, &mut reading, row).await?);
            }
            drop(reading);
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Err(Error::NotYet);
            };
            watch.changed(left).await;
        }
    }

    /// Events after a position, oldest first. Waits for the first one, `max` at most; then the list may be empty.
    /// The last event of a deployment is `ended`.
    pub(crate) async fn next_events(
        &self,
        org: &str,
        id: &str,
        after: i64,
        max: Duration,
    ) -> Result<Vec<DeploymentEvent>, Error> {
        let until = Instant::now() + max;
        let mut watch = self.store.watch();
        loop {
            let end = match max.is_zero() {
                true => 0,
                false => self.store.feed_end().await?,
            };
            let mut reading = self.store.reading().await?;
            required(&mut reading, org, id).await?;
            let events = feed::after(&mut reading, id, after).await?;
            drop(reading);
            if !events.is_empty() || max.is_zero() {
                return Ok(events);
            }
            // Most of what happens concerns others, and there may be very many who wait.
            loop {
                let Some(left) = until.checked_duration_since(Instant::now()) else {
                    return Ok(events);
                };
                watch.changed(left).await;
                if self.store.has_news(id, end).await? {
                    break;
                }
            }
        }
    }

    /// A sealed stream after a frame; of the newest attempt that has one, unless another is asked for.
    pub(crate) async fn stream(
        &self,
        org: &str,
        id: &str,
        stream: StreamName,
        attempt: Option<u32>,
        after: u64,
    ) -> Result<SealedStream, Error> {
        let mut reading = self.store.reading().await?;
        let row = required(&mut reading, org, id).await?;
        let Some(found) = streams::find(&mut reading, id, stream, attempt).await? else {
            return Ok(SealedStream {
                attempt: attempt.unwrap_or(row.attempt),
                run_id: row.run,
                header: None,
                frames: Vec::new(),
                last: 0,
                // Nothing comes any more when the deployment is over.
                complete: false,
            });
        };
        let frames = streams::frames(&mut reading, &found, stream, after).await?;
        let last = frames
            .last()
            .map_or(after.min(found.last), |(number, _)| *number);
        Ok(SealedStream {
            attempt: found.attempt,
            run_id: found.run,
            header: found.header.map(|bytes| BASE64_STANDARD.encode(bytes)),
            frames: frames
                .into_iter()
                .map(|(_, bytes)| BASE64_STANDARD.encode(bytes))
                .collect(),
            complete: found.complete && last == found.last,
            last,
        })
    }

    /// The log as an age file.
    pub(crate) async fn logs_age(&self, org: &str, id: &str) -> Result<Vec<u8>, Error> {
        let mut reading = self.store.reading().await?;
        required(&mut reading, org, id).await?;
        streams::age_file(&mut reading, id, StreamName::Logs)
            .await?
            .ok_or_else(|| Error::NotFound(format!("logs for deployment {id} not found")))
    }

    /// The outputs as an age file.
    pub(crate) async fn outputs_age(&self, org: &str, id: &str) -> Result<EncryptedOutputs, Error> {
        let mut reading = self.store.reading().await?;
        let row = required(&mut reading, org, id).await?;
        let refused = |text: String| Err(Error::NotFound(text));
        if row.mode == Mode::Destroy {
            return refused("outputs are not captured for deployments with mode 'destroy'".into());
        }
        match show::outcome(&row.phase) {
            None => return refused(format!("deployment '{id}' has not completed yet")),
            Some(outcome) if !outcome.is_success() => {
                return refused(
                    "outputs are not captured for deployments with status 'failed'".into(),
                );
            }
            Some(_) => {}
        }
        if row.output_recipients.is_empty() {
            return refused(
                "outputs are not captured for deployments with no outputs recipient key".into(),
            );
        }
        match streams::age_file(&mut reading, id, StreamName::Outputs).await? {
            Some(bytes) => Ok(EncryptedOutputs {
                raw: BASE64_STANDARD.encode(bytes),
            }),
            None if !row.output_recipients.iter().any(|reader| reader.age_file) => refused(
                "outputs are not captured for deployments with no outputs recipient key; its own recipients read \
                 the stream `outputs`"
                    .into(),
            ),
            None => refused("deployment outputs are no longer available".into()),
        }
    }

    /// The text of `main.tf`.
    pub(crate) async fn tf(&self, org: &str, id: &str) -> Result<String, Error> {
        let mut reading = self.store.reading().await?;
        required(&mut reading, org, id).await?;
        let bundle: Option<super::plan::StoredBundle> =
            self.store.document(&mut reading, id, Kind::Bundle).await?;
        bundle
            .and_then(|bundle| bundle.text("main.tf"))
            .ok_or_else(|| Error::NotFound(format!("deployment '{id}' has no bundle")))
    }

    /// The resource graph, and what changed with it.
    pub(crate) async fn graph(&self, org: &str, id: &str) -> Result<DeploymentGraph, Error> {
        let mut reading = self.store.reading().await?;
        required(&mut reading, org, id).await?;
        let graph: Option<Graph> = self.store.document(&mut reading, id, Kind::View).await?;
        let diff: Option<Diff> = self.store.document(&mut reading, id, Kind::Diff).await?;
        Ok(DeploymentGraph {
            graph: graph.unwrap_or_default(),
            diff: diff.unwrap_or_default(),
        })
    }

    /// The nodes of a deployment's graph that are meant to stay.
    pub(crate) async fn resources(&self, org: &str, id: &str) -> Result<Vec<ActiveNode>, Error> {
        let mut reading = self.store.reading().await?;
        let row = required(&mut reading, org, id).await?;
        let graph: Option<Graph> = self.store.document(&mut reading, id, Kind::View).await?;
        let mut nodes: Vec<ActiveNode> = graph
            .unwrap_or_default()
            .nodes
            .into_iter()
            .filter(|node| !node.leaving)
            .map(|node| ActiveNode {
                id: node.id,
                project_id: row.project_id.clone(),
                env_id: row.env_id.clone(),
                resource_type: node.key.type_name,
                resource_class: node.key.class,
                resource_id: node.key.id,
                deployment_id: row.id.clone(),
                module_id: node.module_id.unwrap_or_default(),
                module_version: node.module_version.unwrap_or_default(),
                edges: node.edges,
                metadata: serde_json::Map::new(),
            })
            .collect();
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(nodes)
    }

    /// UUIDs of the project and the environment of a deployment; `None` where it, or its environment, is not there.
    pub(crate) async fn place_of(
        &self,
        org: &str,
        id: &str,
    ) -> Result<Option<(String, String)>, StoreError> {
        let mut reading = self.store.reading().await?;
        let Some(row) = rows::find(&mut reading, org, id).await? else {
            return Ok(None);
        };
        let found = environments::find_by_uuid(&mut reading, &row.env_uuid).await?;
        Ok(found.map(|(_, environment)| (environment.project_uuid, environment.uuid)))
    }

    /// What an environment is meant to have; one that is not among `seen` was never deployed to.
    pub(crate) async fn active_resources(
        &self,
        org: &str,
        project: &str,
        env: &str,
        seen: Option<&BTreeSet<String>>,
    ) -> Result<Vec<ActiveNode>, Error> {
        let mut reading = self.store.reading().await?;
        let wanted = rows::Wanted {
            project_id: Some(project.to_owned()),
            env_id: Some(env.to_owned()),
            seen: seen.cloned(),
            modes: STATE_CHANGING.to_vec(),
            limit: Some(1),
            ..rows::Wanted::default()
        };
        let Some(newest) = rows::list(&mut reading, org, &wanted).await?.pop() else {
            return Err(Error::NotFound(format!(
                "no deployments found in env '{env}' of project '{project}'"
            )));
        };
        Ok(resources::list(&mut reading, &newest.env_uuid, project, env).await?)
    }
}

/// The row of a deployment, or v1's 404.
pub(super) async fn required(
    reading: &mut Reading,
    org: &str,
    id: &str,
) -> Result<rows::Deployment, Error> {
    rows::find(reading, org, id)
        .await?
        .ok_or_else(|| Error::NotFound(format!("deployment '{id}' not found")))
}

fn bad_token() -> Error {
    Error::Invalid(vec![
        Diagnostic::error(
            "Invalid page token",
            "The page token is not one that this server gave out. Start again without one.",
            Place::at(diag::Document::Request, "/page"),
        )
        .v1("Invalid page token"),
    ])
}

fn wanted(filter: &Filter) -> Result<rows::Wanted, Error> {
    let refused = |place: &str, detail: String| {
        Error::Invalid(vec![Diagnostic::error(
            "Invalid filter",
            detail,
            Place::at(diag::Document::Request, place),
        )])
    };
    if filter.env_id.is_some() && filter.project_id.is_none() {
        return Err(Error::Invalid(vec![
            Diagnostic::error(
                "Invalid filter",
                "An environment can only be named together with its project. Add `project_id`.",
                Place::at(diag::Document::Request, "/project_id"),
            )
            .v1("app_id param required if env_id is specified"),
        ]));
    }
    let modes = filter
        .by_mode
        .iter()
        .map(|text| {
            Mode::parse(text).ok_or_else(|| {
                refused(
                    "/by_mode",
                    format!(
                        "`by_mode`: `{text}` is no mode. Use `deploy`, `plan_only`, `rollback`, `rollback_plan` or `destroy`."
                    ),
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    for status in &filter.by_status {
        if !["executing", "succeeded", "failed"].contains(&status.as_str()) {
            return Err(refused(
                "/by_status",
                format!(
                    "`by_status`: `{status}` is no status. Use `executing`, `succeeded` or `failed`."
                ),
            ));
        }
    }
    let before = match filter.after.as_deref() {
        None => None,
        Some([sequence]) => Some(sequence.parse().map_err(|_| bad_token())?),
        Some(_) => return Err(bad_token()),
    };
    Ok(rows::Wanted {
        project_id: filter.project_id.clone(),
        env_id: filter.env_id.clone(),
        env_uuid: None,
        seen: filter.seen.clone(),
        modes,
        statuses: filter.by_status.clone(),
        before,
        limit: Some(i64::try_from(filter.limit.max(1).saturating_add(1)).unwrap_or(i64::MAX)),
    })
}

fn paged(
    mut rows: Vec<rows::Deployment>,
    limit: usize,
    key: impl Fn(&rows::Deployment) -> Vec<String>,
) -> Paged<Deployment> {
    let more = rows.len() > limit.max(1);
    rows.truncate(limit.max(1));
    let next = rows.last().filter(|_| more).map(key);
    (rows.into_iter().map(show::summary).collect(), next)
}
