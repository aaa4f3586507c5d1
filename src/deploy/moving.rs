//! A state goes from one storage to another: asked for when a runner keeps states elsewhere than before.
//!
//! It is a run of the environment like any other, so nothing else runs meanwhile, one worker carries it under its lease,
//! and a worker that was fenced out cannot end it. What the environment records as the place of its state changes in the same
//! transaction in which the run is said to have gone well ([`Service::moved`]), and not before; the state that was left stays
//! where it is. A run that died is simply asked for again.
//!
//! Who carries it: the runner whose storage is the new one, because it has the credentials of both; but where the state is
//! on the disk of a host that this runner does not run on, the runner of the last deployment, which does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::accept::{Accepted, add_break_glass, refuse_deleting};
use super::offer::Offer;
use super::plan::{Baseline, Plan, StoredBundle};
use super::runners::{self, RunnerOffer};
use super::{Error, Service, hosted, request, show};
use crate::hcl::{self, Bundle};
use crate::model::phase::Mode;
use crate::runner::Launch;
use crate::runner::job::{MOVE_TO, MoveTo};
use crate::store::Writing;
use crate::store::deployments::documents::Kind;
use crate::store::deployments::places::{self, EnvironmentPlace, StatePlace};
use crate::store::deployments::{Connection, leases, rows};
use crate::store::objects::environments;
use crate::wire::deployments::{Deployment, Diff, Metrics};
use crate::wire::state::StateMove;

/// The type of storage on the disk of a host.
const LOCAL: &str = "local";

/// From where to where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Move {
    /// Where the state lay when this was asked for.
    pub(super) from: StatePlace,
    /// Whose state storage is the new one; it carries what replays the last deployment from then on.
    runner: RunnerOffer,
}

impl Move {
    /// What the job is told.
    pub(super) fn to(&self) -> MoveTo {
        MoveTo {
            local: runners::is_local(&self.runner),
            hosted: runners::is_hosted(&self.runner),
        }
    }

    /// Whether the server keeps the state before or after.
    pub(super) fn needs_server(&self) -> bool {
        self.from.kind == hosted::TYPE || runners::is_hosted(&self.runner)
    }
}

fn nothing() -> Error {
    Error::Conflict(
        "nothing was ever applied to this environment, so there is no state to move; the next deployment keeps its state \
         where its runner says"
            .to_owned(),
    )
}

impl Service {
    /// Queues the run.
    pub(crate) async fn move_state(
        &self,
        (org, project, env): (&str, &str, &str),
        body: StateMove,
        by: &str,
    ) -> Result<Deployment, Error> {
        let mut problems = Vec::new();
        let mut log_recipients = request::log_readers(body.log_recipients, &mut problems);
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let mut reading = self.store.reading().await?;
        let missing = || Error::NotFound("environment not found".to_owned());
        let environment = environments::find(&mut reading, org, project, env)
            .await?
            .ok_or_else(missing)?;
        drop(reading);
        let asked = body.runner.as_deref();
        let chosen = runners::choose(&self.store, &self.settings, org, &environment, asked).await?;
        let mut writing = self.store.writing().await?;
        let environment = environments::find(&mut writing, org, project, env)
            .await?
            .filter(|now| now.uuid == environment.uuid)
            .ok_or_else(missing)?;
        refuse_deleting(&environment)?;
        if let Some(last) = rows::newest_open(&mut writing, &environment.uuid).await? {
            return Err(Error::Conflict(format!(
                "deployment '{}' is still executing; a state is moved when nothing runs or waits in its environment",
                last.id
            )));
        }
        let place = places::find(&mut writing, &environment.uuid).await?;
        let place = place.ok_or_else(nothing)?;
        let from = place.state.clone().ok_or_else(nothing)?;
        if !place.left_open.is_empty() {
            return Err(Error::Conflict(place.left_open.refusal(project, env)));
        }
        let state = place.state_deployment.as_deref();
        let previous = self.state_baseline(&mut writing, state).await?;
        let previous = previous.ok_or_else(nothing)?;
        let runner = self
            .carrier(&mut writing, org, &from, &chosen.runner, &previous)
            .await?;
        let moving = Move {
            from,
            runner: chosen.runner,
        };
        add_break_glass(&mut writing, org, &environment, &mut log_recipients, None).await?;
        let mut offer = previous.slice.clone();
        offer.runner = runner;
        offer.deadlines = None;
        let plan = self.compiled_move(&moving, previous, &offer)?;
        let accepted = Accepted::without_manifest(
            (org, by),
            Mode::StateMove,
            environment,
            log_recipients,
            offer,
            plan,
        );
        let (row, _) = self.insert(&mut writing, accepted).await?;
        self.store
            .document_save(&mut writing, &row.id, Kind::Move, &moving)
            .await?;
        let shown = show::full(self, &mut writing, row).await?;
        writing.commit().await?;
        Ok(shown)
    }

    /// Who carries it, with the new storage. Refuses what cannot be reached, and what is there already.
    async fn carrier(
        &self,
        connection: &mut Connection,
        org: &str,
        from: &StatePlace,
        target: &RunnerOffer,
        previous: &Baseline,
    ) -> Result<RunnerOffer, Error> {
        if from.kind == hosted::TYPE && self.settings.state_url.is_none() {
            return Err(Error::Conflict(hosted::NO_SERVER.to_owned()));
        }
        let there = || {
            Error::Conflict(format!(
                "the state of this environment lies in {}, which is where the runner `{}` keeps its states: there is \
                 nothing to move; change the state storage of the runner first, or name another runner",
                runners::in_words(from),
                target.id
            ))
        };
        let target_serves = runners::served_by(org, target);
        if from.kind != LOCAL {
            return match runners::state_place(target, "")? == *from {
                true => Err(there()),
                false => Ok(target.clone()),
            };
        }
        let keeper = match from.instance == self.store.instance() {
            true => Some(String::new()),
            false => leases::find(connection, &from.instance)
                .await?
                .map(|keeper| keeper.serves),
        };
        let is_at_hand =
            |runner: &RunnerOffer| keeper.as_ref() == Some(&runners::served_by(org, runner));
        if runners::is_local(target) {
            return Err(match is_at_hand(target) {
                true => there(),
                false => Error::Conflict(format!(
                    "the state of this environment lies in {}, and the runner `{}` keeps its states on the disk of another \
                     host: move it to a storage that both reach first (for example a runner with the state storage \
                     `{}`), and then from there",
                    runners::in_words(from),
                    target.id,
                    hosted::TYPE
                )),
            });
        }
        let is_on_host =
            |runner: &RunnerOffer| !matches!(runners::launch(runner), Ok(Launch::Kubernetes(_)));
        let last = &previous.slice.runner;
        let carrier = if keeper.as_ref() == Some(&target_serves) && is_on_host(target) {
            target
        } else if is_at_hand(last) && is_on_host(last) {
            last
        } else {
            return Err(Error::Conflict(format!(
                "the state of this environment lies in {}, which neither the runner `{}` nor the runner `{}` of its last \
                 deployment reaches: see that what runs there is connected",
                runners::in_words(from),
                target.id,
                last.id
            )));
        };
        Ok(RunnerOffer {
            state_storage_configuration: target.state_storage_configuration.clone(),
            ..carrier.clone()
        })
    }

    /// What a worker gets of it: two blocks that say where a state lies, and of the last deployment only its record.
    fn compiled_move(
        &self,
        moving: &Move,
        previous: Baseline,
        offer: &Offer,
    ) -> Result<Plan, Error> {
        let uuid = &offer.context.env_uuid;
        let from = hcl::backend_alone(&runners::backend_at(&moving.from)?, uuid);
        let to = hcl::backend_alone(&runners::backend(&moving.runner)?, uuid);
        let files = BTreeMap::from([
            ("main.tf".to_owned(), from.into_bytes()),
            (MOVE_TO.to_owned(), to.into_bytes()),
        ]);
        let bundle = Bundle::new(files);
        Ok(Plan {
            manifest: previous.manifest,
            graph: previous.graph,
            view: previous.view,
            diff: Diff::default(),
            metrics: Metrics::default(),
            bundle: StoredBundle::new(&bundle.files, bundle.digest, BTreeMap::new()),
            warnings: Vec::new(),
            slice: offer.clone(),
        })
    }

    async fn places_of(&self, connection: &mut Connection, id: &str) -> Result<Move, Error> {
        let found = self.store.document(connection, id, Kind::Move).await?;
        found.ok_or_else(|| Error::Internal(format!("the places of the move `{id}` are missing")))
    }

    /// From where to where, if that is what a deployment does.
    pub(super) async fn moving(
        &self,
        connection: &mut Connection,
        row: &rows::Deployment,
    ) -> Result<Option<Move>, Error> {
        match row.mode {
            Mode::StateMove => self.places_of(connection, &row.id).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The same when its turn has come.
    pub(super) async fn compile_move(
        &self,
        connection: &mut Connection,
        id: &str,
        place: &EnvironmentPlace,
        offer: &Offer,
    ) -> Result<Plan, Error> {
        let moving = self.places_of(connection, id).await?;
        if place.state.as_ref() != Some(&moving.from) {
            return Err(Error::Conflict(
                "the state of this environment lies elsewhere by now".to_owned(),
            ));
        }
        let state = place.state_deployment.as_deref();
        let previous = self.state_baseline(connection, state).await?;
        self.compiled_move(&moving, previous.ok_or_else(nothing)?, offer)
    }

    /// The run went well at this installation: from here on the state is in its new place. What replays the last deployment
    /// does so with the runner of that place.
    pub(super) async fn moved(
        &self,
        writing: &mut Writing,
        id: &str,
        instance: &str,
        place: &mut EnvironmentPlace,
    ) -> Result<(), Error> {
        let moving = self.places_of(writing, id).await?;
        place.state = Some(runners::state_place(&moving.runner, instance)?);
        if let Some(last) = &place.state_deployment
            && let Some(mut slice) = self
                .store
                .document::<Offer>(writing, last, Kind::Offer)
                .await?
        {
            slice.runner = moving.runner;
            self.store
                .document_save(writing, last, Kind::Offer, &slice)
                .await?;
        }
        Ok(())
    }
}
