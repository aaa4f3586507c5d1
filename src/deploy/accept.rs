//! From a request to a queued deployment, or to the answer of a dry run.
//!
//! Order: the request itself, the environment, the runner, the manifest against the catalogue; then one short
//! transaction that looks again at what may have changed meanwhile and inserts. Nothing is written before it.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::offer::{Keep, Offer};
use super::plan::{Ask, Baseline, Plan, empty_manifest};
use super::request::{self, Checked};
use super::runners::{self, Chosen, of_objects};
use super::{Error, Service, elsewhere, show};
use crate::manifest::edit;
use crate::model::diag::Document;
use crate::model::phase::{Mode, Phase, Step};
use crate::model::{Diagnostic, Place, hex};
use crate::store::deployments::documents::{Kind, Pile};
use crate::store::deployments::places::{self, EnvironmentPlace};
use crate::store::deployments::{Connection, feed, resources, rows};
use crate::store::objects::{ObjectError, environment_types, environments};
use crate::store::{Reading, StoreError, Writing, clock};
use crate::wire::deployments::{
    Base, Deployment, DeploymentCreate, DryRun, DryRunExtras, OnBusy, RecipientSpec, What,
};
use crate::wire::objects::Environment;

/// How long an idempotency key is remembered.
const KEY_WINDOW_US: i64 = 24 * 3600 * 1_000_000;

/// What a create comes to.
#[derive(Debug)]
pub(crate) enum Created {
    /// 201.
    Deployment(Box<Deployment>),
    /// 200.
    DryRun(Box<DryRun>),
}

/// Everything that is known of a deployment before it is inserted.
pub(super) struct Accepted {
    pub(super) org: String,
    pub(super) by: String,
    pub(super) mode: Mode,
    pub(super) environment: Environment,
    pub(super) rollback_to: Option<String>,
    pub(super) idempotency: Option<String>,
    pub(super) log_level: String,
    pub(super) log_recipients: Vec<RecipientSpec>,
    pub(super) output_recipients: Vec<RecipientSpec>,
    pub(super) request: DeploymentCreate,
    pub(super) offer: Offer,
    pub(super) plan: Plan,
}

impl Accepted {
    /// A run of an environment that nobody sent a manifest for, and whose outputs nobody reads. First the organisation,
    /// and who asks.
    pub(super) fn without_manifest(
        (org, by): (&str, &str),
        mode: Mode,
        environment: Environment,
        log_recipients: Vec<RecipientSpec>,
        offer: Offer,
        plan: Plan,
    ) -> Self {
        Self {
            org: org.to_owned(),
            by: by.to_owned(),
            mode,
            rollback_to: None,
            idempotency: None,
            log_level: "info".to_owned(),
            log_recipients,
            output_recipients: Vec::new(),
            request: DeploymentCreate {
                project_id: environment.project_id.clone(),
                env_id: environment.id.clone(),
                mode: mode.on_the_wire().0.to_owned(),
                ..DeploymentCreate::default()
            },
            offer,
            plan,
            environment,
        }
    }
}

impl Service {
    /// Accepts a deployment, or answers a dry run. `by` is the id of whoever asks.
    pub(crate) async fn create(
        &self,
        org: &str,
        body: DeploymentCreate,
        idempotency_key: Option<&str>,
        by: &str,
    ) -> Result<Created, Error> {
        let slice = self
            .store
            .catalogue_for(org, &body.project_id, &body.env_id)
            .await
            .map_err(|error| match error {
                // v1 answers 409 here, never 404.
                ObjectError::Missing(_) => Error::Conflict("environment not found".to_owned()),
                other => of_objects(other),
            })?;
        let environment = slice.environment.clone();
        let checked = request::check(&body).map_err(Error::Invalid)?;
        refuse_deleting(&environment)?;
        let idempotency = idempotency_key
            .filter(|_| !body.is_dry_run)
            .map(|key| hex(&Sha256::digest(key.as_bytes())));
        if let Some(digest) = &idempotency {
            let mut reading = self.store.reading().await?;
            if let Some(same) = self
                .repeated(&mut reading, &environment, digest, &body, checked.mode)
                .await?
            {
                return Ok(Created::Deployment(Box::new(same)));
            }
        }
        let asked = checked.extras.runner.as_deref();
        let Chosen { runner, is_kept } =
            runners::choose(&self.store, &self.settings, org, &environment, asked).await?;
        let mut reading = self.store.reading().await?;
        let place = places::find(&mut reading, &environment.uuid).await?;
        let state_place = place.as_ref().and_then(|place| place.state.as_ref());
        let served_by = runners::served_by(org, &runner);
        let keeper = self.keeper(&mut reading, state_place, &served_by).await?;
        let wanted = runners::state_place(&runner, &keeper)?;
        runners::same_place(state_place, &wanted, &runner.id)?;
        if let Some(place) = &place {
            refuse_unsettled(place, checked.mode)?;
        }
        let state = place
            .as_ref()
            .and_then(|place| place.state_deployment.as_deref());
        let previous = self.state_baseline(&mut reading, state).await?;
        let target = self
            .rollback_target(&mut reading, org, &environment, &body)
            .await?;
        let (manifest, origins) = match &target {
            Some(target) => (target.manifest.clone(), edit::Origins::default()),
            None => {
                let base = self
                    .base(
                        &mut reading,
                        org,
                        &environment,
                        &checked.extras.base,
                        state,
                        When::Accepted,
                    )
                    .await?;
                let edited = edited(&body, base)?;
                (edited.manifest, edited.origins)
            }
        };
        let mut log_recipients = checked.log_recipients.clone();
        let mut output_recipients = checked.output_recipients.clone();
        add_break_glass(
            &mut reading,
            org,
            &environment,
            &mut log_recipients,
            Some(&mut output_recipients),
        )
        .await?;
        drop(reading);

        let mut offer = Offer::new(org, slice, runner);
        offer.deadlines = checked.extras.deadlines;
        let ask = Ask {
            mode: checked.mode,
            strict: checked.extras.strict,
            manifest: &manifest,
            previous: previous.as_ref(),
            target: target.as_ref(),
            lock_file: place.as_ref().and_then(|place| place.lock_file.as_deref()),
        };
        let keep = if body.is_dry_run { Keep::No } else { Keep::Yes };
        let planned = self.plan(&offer, &ask, keep).await;
        let mut plan = planned.map_err(|error| with_origins(error, &origins, operations(&body)))?;
        plan.diff.from_deployment_id = previous.as_ref().map(|previous| previous.id.clone());
        if body.is_dry_run {
            return Ok(Created::DryRun(Box::new(DryRun {
                runner_id: offer.runner.id,
                diff: plan.diff,
                windlass: Some(DryRunExtras {
                    graph: plan.view,
                    manifest: plan.manifest,
                    warnings: plan.warnings,
                }),
            })));
        }
        let Checked {
            mode,
            extras,
            log_level,
            ..
        } = checked;
        let accepted = Accepted {
            org: org.to_owned(),
            by: by.to_owned(),
            mode,
            rollback_to: body.rollback_to_deployment_id.clone(),
            idempotency,
            log_level,
            log_recipients,
            output_recipients,
            request: body,
            offer,
            plan,
            environment,
        };
        self.insert_checked(accepted, extras.on_busy, is_kept).await
    }

    /// The last look and the insert, in one transaction.
    async fn insert_checked(
        &self,
        accepted: Accepted,
        on_busy: OnBusy,
        keep_runner: bool,
    ) -> Result<Created, Error> {
        let mut writing = self.store.writing().await?;
        let Accepted {
            org, environment, ..
        } = &accepted;
        let now =
            environments::find(&mut writing, org, &environment.project_id, &environment.id).await?;
        let Some(mut now) = now.filter(|now| now.uuid == environment.uuid) else {
            return Err(Error::Conflict("environment not found".to_owned()));
        };
        refuse_deleting(&now)?;
        if let Some(digest) = &accepted.idempotency
            && let Some(same) = self
                .repeated(
                    &mut writing,
                    environment,
                    digest,
                    &accepted.request,
                    accepted.mode,
                )
                .await?
        {
            return Ok(Created::Deployment(Box::new(same)));
        }
        let newest = rows::newest_open(&mut writing, &environment.uuid).await?;
        if let (OnBusy::Refuse, Some(last)) = (on_busy, newest) {
            return Err(Error::Conflict(format!(
                "deployment '{}' is still executing",
                last.id
            )));
        }
        if keep_runner {
            now.runner_id = Some(accepted.offer.runner.id.clone());
            environments::save(&mut writing, &now).await?;
        }
        let manifest = accepted.plan.manifest.clone();
        let (row, position) = self.insert(&mut writing, accepted).await?;
        let waiting = elsewhere::waiting(self, &mut writing, &row).await?;
        writing.commit().await?;
        let shown = show::accepted(row, manifest, position, waiting);
        Ok(Created::Deployment(Box::new(shown)))
    }

    /// Inserts a queued deployment with its documents; returns it with its place in line.
    pub(super) async fn insert(
        &self,
        writing: &mut Writing,
        accepted: Accepted,
    ) -> Result<(rows::Deployment, u64), Error> {
        let environment = &accepted.environment;
        let is_idle = rows::newest_open(writing, &environment.uuid)
            .await?
            .is_none();
        let sequence = rows::draw(writing, "queue").await?;
        let row = rows::Deployment {
            id: clock::new_id(),
            org_id: accepted.org.clone(),
            project_id: environment.project_id.clone(),
            env_id: environment.id.clone(),
            env_uuid: environment.uuid.clone(),
            sequence,
            created_us: clock::now_us(),
            created_by: accepted.by,
            mode: accepted.mode,
            rollback_to: accepted.rollback_to,
            phase: Phase::Queued,
            step: Step::Queued,
            failure_class: None,
            status_message: "Deploying...".to_owned(),
            idempotency: accepted.idempotency,
            runner_id: accepted.offer.runner.id.clone(),
            log_level: accepted.log_level,
            log_recipients: accepted.log_recipients,
            output_recipients: accepted.output_recipients,
            workloads: accepted.plan.metrics.num_workloads,
            nodes: accepted.plan.metrics.num_resource_nodes,
            counts: None,
            progress: None,
            bundle_digest: None,
            run: clock::new_id(),
            attempt: 0,
            failures: 0,
            not_before_us: 0,
            cancel: false,
            gone: false,
            served_by: runners::served_by(&accepted.org, &accepted.offer.runner),
        };
        rows::save(writing, &row).await?;
        if places::find(writing, &environment.uuid).await?.is_none() {
            let place =
                EnvironmentPlace::new(&environment.uuid, &row.org_id, &row.project_id, &row.env_id);
            places::save(writing, &place).await?;
        }
        let mut pile = Pile::new(&self.store, &row.id);
        pile.put(Kind::Request, &accepted.request)?;
        pile.put(Kind::Offer, &accepted.offer)?;
        pile_plan(&mut pile, &row.id, &accepted.plan)?;
        pile.save(writing).await?;
        // What the environment is meant to have changes at once when nothing stands before; else when it is claimed.
        if is_idle && accepted.mode.changes_state() && accepted.mode != Mode::Destroy {
            resources::put(writing, &row.env_uuid, &row.id, &accepted.plan.view.nodes).await?;
        }
        let position = rows::position_in_line(writing, &row).await?;
        feed::append(writing, &row.id, &What::Queued(position)).await?;
        Ok((row, position))
    }

    /// Stores what compiling came to, in place of an earlier result.
    pub(super) async fn save_plan(
        &self,
        writing: &mut Writing,
        id: &str,
        plan: &Plan,
    ) -> Result<(), Error> {
        let mut pile = Pile::new(&self.store, id);
        pile_plan(&mut pile, id, plan)?;
        pile.save(writing).await?;
        Ok(())
    }

    /// The deployment that an earlier request with the same key made, if it asked for the same.
    async fn repeated(
        &self,
        connection: &mut Connection,
        environment: &Environment,
        digest: &str,
        body: &DeploymentCreate,
        mode: Mode,
    ) -> Result<Option<Deployment>, Error> {
        let since = clock::now_us() - KEY_WINDOW_US;
        let Some(row) = rows::by_key(connection, &environment.uuid, digest, since).await? else {
            return Ok(None);
        };
        let before: Option<DeploymentCreate> = self
            .store
            .document(connection, &row.id, Kind::Request)
            .await?;
        let what = |request: &DeploymentCreate| {
            let extras = request.windlass.clone().unwrap_or_default();
            (
                request.manifest.clone(),
                request.rollback_to_deployment_id.clone(),
                extras.base,
                extras.operations,
            )
        };
        if row.mode != mode || before.as_ref().map(what) != Some(what(body)) {
            return Err(Error::Conflict(
                "incorrect manifest or mode for this idempotency key".to_owned(),
            ));
        }
        Ok(Some(show::full(self, connection, row).await?))
    }

    async fn rollback_target(
        &self,
        reading: &mut Reading,
        org: &str,
        environment: &Environment,
        body: &DeploymentCreate,
    ) -> Result<Option<Baseline>, Error> {
        let Some(id) = &body.rollback_to_deployment_id else {
            return Ok(None);
        };
        let missing = || Error::Conflict(format!("deployment '{id}' not found"));
        let row = rows::find(reading, org, id).await?.ok_or_else(missing)?;
        if row.env_uuid != environment.uuid {
            return Err(Error::Conflict(
                "cannot reference a deployment that is not part of this environment".to_owned(),
            ));
        }
        self.baseline(reading, id)
            .await?
            .ok_or_else(missing)
            .map(Some)
    }

    /// The manifest that the operations of a request start from.
    pub(super) async fn base(
        &self,
        connection: &mut Connection,
        org: &str,
        environment: &Environment,
        base: &Base,
        state_deployment: Option<&str>,
        when: When,
    ) -> Result<Value, Error> {
        let refused = |detail: String| {
            Error::Invalid(vec![Diagnostic::error(
                "Unknown base",
                detail,
                Place::at(Document::Request, "/windlass/base"),
            )])
        };
        let id = match base {
            Base::Empty => None,
            Base::Last => {
                let mut last = state_deployment.map(str::to_owned);
                if when == When::Accepted {
                    // What stands in line will have been done by then.
                    let open = rows::open(connection, &environment.uuid).await?;
                    last = open
                        .into_iter()
                        .rev()
                        .find(|row| row.mode.changes_state())
                        .map(|row| row.id)
                        .or(last);
                }
                last
            }
            Base::Deployment(id) => {
                rows::find(connection, org, id).await?.ok_or_else(|| {
                    refused(format!("There is no deployment `{id}` to start from."))
                })?;
                Some(id.clone())
            }
            Base::Environment(env) => {
                let wanted = rows::Wanted {
                    project_id: Some(environment.project_id.clone()),
                    env_id: Some(env.clone()),
                    modes: vec![Mode::Deploy, Mode::Rollback, Mode::Destroy],
                    limit: Some(1),
                    ..rows::Wanted::default()
                };
                let newest = rows::list(connection, org, &wanted).await?.pop();
                Some(newest.map(|row| row.id).ok_or_else(|| {
                    refused(format!(
                        "Nothing was ever deployed to the environment `{env}` of the project `{}`, so there is no \
                         manifest to start from.",
                        environment.project_id
                    ))
                })?)
            }
        };
        let Some(id) = id else {
            return Ok(empty_manifest());
        };
        let manifest = self.store.document(connection, &id, Kind::Manifest).await?;
        Ok(manifest.unwrap_or_else(empty_manifest))
    }
}

/// When a base is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At acceptance: what is queued counts as done.
    Accepted,
    /// At claim: only what was done counts.
    Claimed,
}

/// The manifest of a request: its own or the base, with the operations applied.
pub(super) fn edited(body: &DeploymentCreate, base: Value) -> Result<edit::Edited, Error> {
    let base = body.manifest.clone().unwrap_or(base);
    edit::apply(&base, operations(body)).map_err(Error::Invalid)
}

fn operations(body: &DeploymentCreate) -> &[edit::Operation] {
    body.windlass
        .as_ref()
        .map(|extras| extras.operations.as_slice())
        .unwrap_or_default()
}

/// Says of each problem in the manifest which operation it came with, so that a client can show its own file.
fn with_origins(error: Error, origins: &edit::Origins, operations: &[edit::Operation]) -> Error {
    let Error::Invalid(mut diagnostics) = error else {
        return error;
    };
    for diagnostic in &mut diagnostics {
        let came_with = diagnostic.places.iter().find_map(|place| {
            (place.document == Document::Manifest).then(|| origins.of(&place.pointer))
        });
        if let Some(edit::Origin::Operation(number, inside)) = came_with {
            let base = request::operation_pointer(number);
            let pointer = match operations.get(number) {
                Some(edit::Operation::Replace(_)) => format!("{base}/replace{inside}"),
                Some(edit::Operation::Merge(_)) => format!("{base}/merge{inside}"),
                _ => base,
            };
            diagnostic
                .places
                .push(Place::at(Document::Request, pointer));
        }
    }
    Error::Invalid(diagnostics)
}

/// Adds the readers that the platform team configured for the environment's type.
pub(super) async fn add_break_glass(
    connection: &mut Connection,
    org: &str,
    environment: &Environment,
    logs: &mut Vec<RecipientSpec>,
    outputs: Option<&mut Vec<RecipientSpec>>,
) -> Result<bool, Error> {
    let found = environment_types::find(connection, org, &environment.env_type_id).await?;
    let Some(extras) = found.and_then(|found| found.windlass) else {
        return Ok(false);
    };
    let readers = || {
        extras.recipients.iter().map(|recipient| RecipientSpec {
            recipient: recipient.clone(),
            age_file: false,
        })
    };
    for reader in readers() {
        request::merge(logs, reader);
    }
    if let Some(outputs) = outputs.filter(|_| extras.recipients_open_outputs) {
        for reader in readers() {
            request::merge(outputs, reader);
        }
    }
    Ok(!extras.recipients.is_empty())
}

/// What compiling came to, as documents of a deployment.
fn pile_plan(pile: &mut Pile<'_>, id: &str, plan: &Plan) -> Result<(), StoreError> {
    let mut diff = plan.diff.clone();
    diff.to_deployment_id = Some(id.to_owned());
    pile.put(Kind::Manifest, &plan.manifest)?;
    pile.put(Kind::Graph, &plan.graph)?;
    pile.put(Kind::View, &plan.view)?;
    pile.put(Kind::Diff, &diff)?;
    pile.put(Kind::Bundle, &plan.bundle)
}

/// While a killed run has left something open, nothing changes the state.
fn refuse_unsettled(place: &EnvironmentPlace, mode: Mode) -> Result<(), Error> {
    if mode.changes_state() && !place.left_open.is_empty() {
        return Err(Error::Conflict(
            place.left_open.refusal(&place.project_id, &place.env_id),
        ));
    }
    Ok(())
}

pub(super) fn refuse_deleting(environment: &Environment) -> Result<(), Error> {
    if environment.status == "deleting" {
        return Err(Error::Conflict(
            "environment is in status 'deleting'".to_owned(),
        ));
    }
    Ok(())
}
