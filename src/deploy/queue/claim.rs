//! Picks the next deployment, compiles it against the state of now, and hands it out.

use std::time::Duration;

use super::lease::{Held, Lease};
use crate::deploy::accept::{When, edited};
use crate::deploy::offer::{Keep, Offer};
use crate::deploy::plan::{Ask, Plan, StoredBundle, empty_manifest};
use crate::deploy::{Error, Service, runners};
use crate::model::phase::{self, FailureClass, Mode, Outcome, Step};
use crate::runner::job::{self, Action, Deadlines, Encryption, Job, PROTOCOL};
use crate::runner::{Adoptable, Assignment, Awaited, Launch, RunKey};
use crate::store::deployments::documents::Kind;
use crate::store::deployments::places::{self, EnvironmentPlace};
use crate::store::deployments::{Connection, feed, leases, resources, rows, runs, turns};
use crate::store::objects::environments;
use crate::store::{StoreError, Trouble, Writing, clock};
use crate::wire::deployments::{Base, DeploymentCreate, What};
use crate::wire::state::Open;

/// How many deployments are looked at in one go.
const LOOK: usize = 16;
/// How often, before the worker does something else.
const ROUNDS: usize = 8;

/// Of how many environments is said that their turn comes next.
const AHEAD: usize = 2;

/// What a worker needs for an attempt.
pub(in crate::deploy) struct Prepared {
    assignment: Assignment,
    /// Whether the server keeps its state, so that credentials are to be made.
    is_hosted: bool,
    /// Whether its engine encrypts the state, so that there must be a key.
    encrypts: bool,
}

/// What one look at a queued deployment came to.
enum Looked {
    Claimed(Box<Assignment>),
    /// It ended without a run, or somebody else was faster.
    Gone,
}

impl Service {
    /// Takes the deployment whose turn it is, if any: see [`turns`].
    pub(in crate::deploy) async fn claim(
        &self,
        lease: &Lease,
    ) -> Result<Option<Assignment>, Error> {
        // Several rounds, because one that does not compile any more makes way for the next of its environment.
        for _ in 0..ROUNDS {
            // A database that a newer program migrated is not ours to change any more.
            if !self.store.is_current().await? {
                return Ok(None);
            }
            let mut reading = self.store.reading().await?;
            let now_us = clock::now_us();
            let candidates = turns::next(&mut reading, lease.who(), now_us, LOOK).await?;
            let seconds = Duration::from_micros(clock::now_us().abs_diff(now_us)).as_secs_f64();
            metrics::histogram!("windlass_queue_step_seconds").record(seconds);
            drop(reading);
            if candidates.is_empty() {
                self.give_up_out_of_reach(lease).await?;
                return Ok(None);
            }
            for row in candidates {
                if let Looked::Claimed(assignment) = self.claim_one(lease, row).await? {
                    return Ok(Some(*assignment));
                }
            }
        }
        Ok(None)
    }

    async fn claim_one(&self, lease: &Lease, row: rows::Deployment) -> Result<Looked, Error> {
        // Compiled outside of the transaction, because code may have to be fetched; that the environment is still as
        // it was is checked inside. Of several servers one does so, and the others see to the next environment.
        let guard = if self.store.is_shared() {
            let mut guard = self.store.reading().await?;
            if !leases::alone(&mut guard, &row.env_uuid).await? {
                return Ok(Looked::Gone);
            }
            Some(guard)
        } else {
            None
        };
        // A moment that begins after nobody else can claim this one any more.
        let mut reading = self.store.reading().await?;
        let place = places::find(&mut reading, &row.env_uuid).await?;
        let is_mine = |place: &EnvironmentPlace| {
            let state = place.state.as_ref().map_or("", |state| &state.instance);
            place.lease_run.is_none() && (state.is_empty() || state == lease.instance())
        };
        let Some(seen) = place.filter(is_mine) else {
            return Ok(Looked::Gone);
        };
        let offer: Option<Offer> = self
            .store
            .document(&mut reading, &row.id, Kind::Offer)
            .await?;
        let compiled = match &offer {
            // An attempt that was given back: nothing happened in between.
            Some(_) if row.attempt > 0 => Ok(None),
            Some(offer) => self
                .compile_again(&mut reading, lease, &row, &seen, offer)
                .await
                .map(Some),
            None => Err(Error::Internal("its catalogue is missing".to_owned())),
        };
        drop(reading);

        let mut writing = self.store.writing().await?;
        let (Some(row), Some(place)) = (
            rows::by_id(&mut writing, &row.id).await?,
            places::find(&mut writing, &row.env_uuid).await?,
        ) else {
            return Ok(Looked::Gone);
        };
        if row.phase != phase::Phase::Queued || place != seen {
            return Ok(Looked::Gone);
        }
        let held = lease.hold(&mut writing).await?;
        let looked = self
            .turn(&mut writing, (lease, &held), row, place, offer, compiled)
            .await?;
        writing.commit().await?;
        lease.written(&held);
        drop(guard);
        Ok(looked)
    }

    /// Carries out what was looked at, inside the write of the caller: the deployment runs from now on, or it is over.
    async fn turn(
        &self,
        writing: &mut Writing,
        (lease, held): (&Lease, &Held),
        mut row: rows::Deployment,
        mut place: EnvironmentPlace,
        offer: Option<Offer>,
        compiled: Result<Option<Plan>, Error>,
    ) -> Result<Looked, Error> {
        let needs_settled = row.mode.changes_state() || row.mode == Mode::StateMove;
        if needs_settled && !place.left_open.is_empty() {
            let message = place.left_open.refusal(&row.project_id, &row.env_id);
            return self
                .give_up(writing, row, FailureClass::Unsettled, &message)
                .await;
        }
        if let Some(message) = offer
            .as_ref()
            .and_then(|offer| lease.refusal(&offer.runner))
        {
            return self
                .give_up(writing, row, FailureClass::RunnerUnreachable, &message)
                .await;
        }
        if let Some(message) = self.hosted_hindrance(writing, &place).await? {
            return self
                .give_up(writing, row, FailureClass::LockHeld, &message)
                .await;
        }
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(Error::Store(error)) => return Err(Error::Store(error)),
            Err(error) => {
                let message = format!("it no longer compiles: {}", in_words(&error));
                return self
                    .give_up(writing, row, FailureClass::ConfigInvalid, &message)
                    .await;
            }
        };
        let attempt = row.attempt + 1;
        let event = phase::Event::Claimed {
            attempt,
            at_us: clock::now_us().max(row.created_us),
        };
        let Some(running) = phase::after(&row.phase, &event) else {
            return Ok(Looked::Gone);
        };
        row.phase = running;
        row.attempt = attempt;
        row.step = Step::Starting;
        if let Some(plan) = &compiled {
            self.save_plan(writing, &row.id, plan).await?;
            let mut slice = plan.slice.clone();
            slice.deadlines = offer.as_ref().and_then(|offer| offer.deadlines);
            self.store
                .document_save(writing, &row.id, Kind::Offer, &slice)
                .await?;
            row.workloads = plan.metrics.num_workloads;
            row.nodes = plan.metrics.num_resource_nodes;
            row.bundle_digest = Some(plan.bundle.digest.clone());
            if row.mode.changes_state() && row.mode != Mode::Destroy {
                resources::put(writing, &row.env_uuid, &row.id, &plan.view.nodes).await?;
            }
        }
        if row.mode.changes_state() {
            self.store
                .document_save(writing, &row.id, Kind::Before, &place.state_deployment)
                .await?;
            place.state_deployment = Some(row.id.clone());
            if place.state.is_none()
                && let Some(offer) = &offer
            {
                place.state = Some(runners::state_place(&offer.runner, lease.instance())?);
            }
        }
        place.lease_run = Some(row.run.clone());
        place.epoch += 1;
        places::save(writing, &place).await?;
        turns::taken(writing, &place, clock::now_us()).await?;
        rows::save(writing, &row).await?;
        runs::begin(writing, &row.run, attempt, &row.id, held.columns()).await?;
        feed::append(writing, &row.id, &What::Step(Step::Starting)).await?;
        self.tell_line(writing, &row.env_uuid).await?;
        let prepared = self
            .assignment(writing, lease, &row, Some(&place.left_open))
            .await?;
        let assignment = self.give_state(writing, &row, prepared).await?;
        Ok(Looked::Claimed(Box::new(assignment)))
    }

    /// Ends a deployment whose turn came and that cannot run, and takes the next step of a deletion that waited for it.
    async fn give_up(
        &self,
        writing: &mut Writing,
        row: rows::Deployment,
        class: FailureClass,
        message: &str,
    ) -> Result<Looked, Error> {
        let uuid = row.env_uuid.clone();
        self.end(writing, row, Outcome::Failed, Some(class), message)
            .await?;
        self.advance_deletion(writing, &uuid).await?;
        Ok(Looked::Gone)
    }

    /// Ends what waits for agents that have not been heard of for too long. Servers see to it, when they have time.
    async fn give_up_out_of_reach(&self, lease: &Lease) -> Result<(), Error> {
        if lease.is_of_agent() {
            return Ok(());
        }
        let patience = i64::try_from(self.settings.agent_patience.as_micros()).unwrap_or(i64::MAX);
        let since = clock::now_us().saturating_sub(patience);
        let mut reading = self.store.glance().await?;
        let rows = rows::out_of_reach(&mut reading, since).await?;
        drop(reading);
        for row in rows {
            let mut writing = self.store.writing().await?;
            let still = rows::out_of_reach(&mut writing, since).await?;
            let Some(row) = still.into_iter().find(|still| still.id == row.id) else {
                continue;
            };
            let offer: Option<Offer> = self
                .store
                .document(&mut writing, &row.id, Kind::Offer)
                .await?;
            let message = offer.and_then(|offer| runners::out_of_reach(&offer.runner));
            let message = message.unwrap_or_else(|| {
                format!(
                    "runner \"{}\" not reachable, no agent is connected",
                    row.runner_id
                )
            });
            self.give_up(&mut writing, row, FailureClass::RunnerUnreachable, &message)
                .await?;
            writing.commit().await?;
        }
        Ok(())
    }

    /// Everything that is made of the manifest, as of now.
    async fn compile_again(
        &self,
        connection: &mut Connection,
        lease: &Lease,
        row: &rows::Deployment,
        place: &EnvironmentPlace,
        offer: &Offer,
    ) -> Result<Plan, Error> {
        if row.mode == Mode::StateMove {
            return self.compile_move(connection, &row.id, place, offer).await;
        }
        let wanted = runners::state_place(&offer.runner, lease.instance())?;
        runners::same_place(place.state.as_ref(), &wanted, &offer.runner.id)?;
        let state = place.state_deployment.as_deref();
        let previous = self.state_baseline(connection, state).await?;
        let stored: Option<serde_json::Value> = self
            .store
            .document(connection, &row.id, Kind::Manifest)
            .await?;
        let mut manifest = stored.unwrap_or_else(empty_manifest);
        let request: Option<DeploymentCreate> = self
            .store
            .document(connection, &row.id, Kind::Request)
            .await?;
        let extras = request
            .as_ref()
            .and_then(|request| request.windlass.clone())
            .unwrap_or_default();
        if let Some(request) = &request
            && extras.base == Base::Last
            && request.manifest.is_none()
            && !matches!(row.mode, Mode::Rollback | Mode::RollbackPlan)
            && !row.mode.replays()
        {
            let found = environments::find_by_uuid(connection, &row.env_uuid).await?;
            let Some((org, environment)) = found else {
                return Err(Error::Conflict("environment not found".to_owned()));
            };
            let base = self
                .base(
                    connection,
                    &org,
                    &environment,
                    &Base::Last,
                    state,
                    When::Claimed,
                )
                .await?;
            manifest = edited(request, base)?.manifest;
        }
        let target = match &row.rollback_to {
            Some(id) => Some(
                self.baseline(connection, id)
                    .await?
                    .ok_or_else(|| Error::Conflict(format!("deployment '{id}' not found")))?,
            ),
            None => None,
        };
        let ask = Ask {
            mode: row.mode,
            strict: extras.strict,
            manifest: &manifest,
            previous: previous.as_ref(),
            target: target.as_ref(),
            lock_file: place.lock_file.as_deref(),
        };
        let mut plan = self.plan(offer, &ask, Keep::Yes).await?;
        plan.diff.from_deployment_id = previous.map(|previous| previous.id);
        Ok(plan)
    }

    /// What a worker needs for the current attempt of a deployment; the same every time it is asked for. `left_open` is
    /// what killed runs left in its environment, where the caller knows it.
    pub(in crate::deploy) async fn assignment(
        &self,
        connection: &mut Connection,
        lease: &Lease,
        row: &rows::Deployment,
        left_open: Option<&Open>,
    ) -> Result<Prepared, Error> {
        let missing = |what: &str| {
            Error::Internal(format!("the {what} of deployment `{}` is missing", row.id))
        };
        let bundle: StoredBundle = self
            .store
            .document(connection, &row.id, Kind::Bundle)
            .await?
            .ok_or_else(|| missing("bundle"))?;
        let offer: Offer = self
            .store
            .document(connection, &row.id, Kind::Offer)
            .await?
            .ok_or_else(|| missing("catalogue"))?;
        let launch = runners::launch(&offer.runner)?;
        let moving = self.moving(connection, row).await?;
        let state = match &moving {
            Some(moving) => moving.from.clone(),
            None => runners::state_place(&offer.runner, lease.instance())?,
        };
        let action = match row.mode {
            Mode::Deploy | Mode::Rollback => Action::Deploy,
            Mode::PlanOnly | Mode::RollbackPlan => Action::Plan,
            Mode::Destroy => Action::Destroy,
            Mode::StateImport => Action::Import,
            Mode::StateImportPlan => Action::ImportPlan,
            Mode::StateDismiss => Action::Dismiss,
            Mode::StateMove => Action::Move,
        };
        let is_local = state.kind == "local";
        // Where the state lies on no host only this record says what is open.
        let left_open = match left_open {
            _ if is_local => Open::default(),
            Some(known) => known.clone(),
            None => {
                let place = places::find(connection, &row.env_uuid).await?;
                place.map(|place| place.left_open).unwrap_or_default()
            }
        };
        let deadlines = self.deadlines(&launch, &offer);
        let assignment = Assignment {
            key: RunKey {
                run: row.run.clone(),
                attempt: row.attempt,
            },
            env_uuid: row.env_uuid.clone(),
            job: Job {
                version: PROTOCOL,
                run: row.run.clone(),
                attempt: row.attempt,
                deployment: row.id.clone(),
                action,
                files: bundle.files,
                bundle_digest: bundle.digest,
                labels: bundle.labels,
                engine: runners::engine(&launch),
                local_state: is_local,
                state: None,
                encryption: None,
                move_to: moving.as_ref().map(|moving| moving.to()),
                left_open,
                environment: std::collections::BTreeMap::new(),
                allow_downloads: self.settings.allow_downloads,
                log_recipients: row.log_recipients.clone(),
                output_recipients: row.output_recipients.clone(),
                addresses: self
                    .store
                    .document(connection, &row.id, Kind::Addresses)
                    .await?
                    .unwrap_or_default(),
                ids: self
                    .store
                    .document(connection, &row.id, Kind::Ids)
                    .await?
                    .unwrap_or_default(),
                log_level: row.log_level.clone(),
                deadlines,
                shortcuts: self.settings.shortcuts.and(runners::shortcuts(&launch)),
                // The launching host knows them.
                packages: Vec::new(),
                network_mirror: self.network_mirror(),
                engine_digest: String::new(),
                heartbeat_ms: job::heartbeat_ms(),
                unsealed: self.settings.unsealed,
            },
            launch,
        };
        Ok(Prepared {
            assignment,
            encrypts: runners::encrypts(&offer.runner),
            is_hosted: runners::is_hosted(&offer.runner)
                || moving.is_some_and(|moving| moving.needs_server()),
        })
    }

    fn deadlines(&self, launch: &Launch, offer: &Offer) -> Deadlines {
        self.settings
            .deadlines
            .but(runners::deadlines(launch))
            .but(offer.deadlines)
    }

    /// Gives an attempt what it proves itself with where the server keeps its state. Only when its job is about to be
    /// written: whoever adopts a run never writes it again.
    pub(in crate::deploy) async fn give_state(
        &self,
        writing: &mut Writing,
        row: &rows::Deployment,
        prepared: Prepared,
    ) -> Result<Assignment, Error> {
        let Prepared {
            mut assignment,
            is_hosted,
            encrypts,
        } = prepared;
        let job = &assignment.job;
        let keys = match encrypts {
            true => self.store.state_keys_made(writing, &row.env_uuid).await?,
            // On the disk of a host nothing ever was encrypted.
            false if job.local_state && job.move_to.is_none() => Vec::new(),
            false => self.store.state_keys(writing, &row.env_uuid).await?,
        };
        if !keys.is_empty() {
            assignment.job.encryption = Some(Encryption {
                keys,
                writes: encrypts,
            });
        }
        if is_hosted {
            let granted = self
                .hosted_grant(writing, &row.env_uuid, &assignment.key)
                .await?;
            assignment.job.state = Some(granted);
        }
        Ok(assignment)
    }

    /// Environments whose turn comes next, for whoever has no place for a run at the moment.
    pub(in crate::deploy) async fn ahead(&self, lease: &Lease) -> Result<Vec<Awaited>, Error> {
        let mut reading = self.store.reading().await?;
        let next = turns::next(&mut reading, lease.who(), clock::now_us(), AHEAD).await?;
        let mut awaited = Vec::new();
        for row in next.iter().take(AHEAD) {
            let offer: Option<Offer> = self
                .store
                .document(&mut reading, &row.id, Kind::Offer)
                .await?;
            let Some(offer) = offer else { continue };
            // One that cannot run is refused when its turn comes.
            let Ok(launch) = runners::launch(&offer.runner) else {
                continue;
            };
            awaited.push(Awaited {
                env_uuid: row.env_uuid.clone(),
                deadlines: self.deadlines(&launch, &offer),
                launch,
                has_network_mirror: self.network_mirror().is_some(),
            });
        }
        Ok(awaited)
    }

    /// Attempts that are not over and are this server's to carry on, for adoption.
    pub(in crate::deploy) async fn running(&self, lease: &Lease) -> Result<Vec<Adoptable>, Error> {
        // What this worker carries it carries to its end; what another left is for a worker of the newer program.
        if !self.store.is_current().await? {
            return Ok(Vec::new());
        }
        let mut reading = self.store.reading().await?;
        let is_anything = leases::is_anything_adoptable(&mut reading, lease.who()).await?;
        drop(reading);
        if !is_anything {
            return Ok(Vec::new());
        }
        let mut writing = self.store.writing().await?;
        let held = lease.hold(&mut writing).await?;
        let (_, epoch) = held.columns();
        let adopted = leases::adopt(&mut writing, lease.who(), epoch).await?;
        writing.commit().await?;
        lease.written(&held);
        if adopted > 0 {
            tracing::info!(adopted, "runs of an earlier worker are carried on");
        }
        let mut reading = self.store.reading().await?;
        let mut adoptables = Vec::new();
        for attempt in runs::open(&mut reading, held.columns()).await? {
            let Some(row) = rows::by_id(&mut reading, &attempt.deployment).await? else {
                continue;
            };
            let handle = attempt
                .handle
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(|source| StoreError::document("a handle", source))?;
            let assignment = match self.assignment(&mut reading, lease, &row, None).await {
                Ok(prepared) => prepared.assignment,
                // A database that went away says nothing about the run.
                Err(Error::Store(error)) if Trouble::of(&error).is_some() => {
                    return Err(Error::Store(error));
                }
                // One that cannot be read must not keep the others from being adopted.
                Err(error) => {
                    tracing::error!(deployment = row.id, %error, "a run cannot be adopted");
                    continue;
                }
            };
            adoptables.push(Adoptable {
                assignment,
                handle,
                last_seq: attempt.last_seq,
                cancel: row.cancel,
            });
        }
        Ok(adoptables)
    }
}

/// A refusal in one line, for the record of a deployment.
fn in_words(error: &Error) -> String {
    match error {
        Error::Invalid(diagnostics) => diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .map(|diagnostic| diagnostic.detail.as_str())
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}
