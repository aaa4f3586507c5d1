//! What lies in the state of an environment, and the runs that settle what a killed one left open.

use super::accept::{Accepted, add_break_glass, refuse_deleting};
use super::offer::Keep;
use super::plan::Ask;
use super::{Error, Service, hosted, request, runners, show};
use crate::model::diag::{Document, pointer};
use crate::model::phase::Mode;
use crate::model::{Diagnostic, Place};
use crate::runner::engine::document::State;
use crate::runner::state;
use crate::store::deployments::documents::Kind;
use crate::store::deployments::places;
use crate::store::objects::environments;
use crate::wire::deployments::Deployment;
use crate::wire::objects::Environment;
use crate::wire::state::{Open, StateSettle, StateView};

/// Longest id that is taken, in bytes.
const MAX_ID: usize = 8192;

/// How something is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// Taken into the state.
    Import,
    /// Forgotten by name.
    Dismiss,
}

impl Service {
    /// What the state holds and what is open beside it.
    pub(crate) async fn state(
        &self,
        org: &str,
        project: &str,
        env: &str,
    ) -> Result<StateView, Error> {
        let mut reading = self.store.reading().await?;
        let environment = environments::find(&mut reading, org, project, env)
            .await?
            .ok_or_else(|| Error::NotFound("environment not found".to_owned()))?;
        let place = places::find(&mut reading, &environment.uuid).await?;
        drop(reading);
        let Some((place, state)) = place.and_then(|mut place| {
            let state = place.state.take()?;
            Some((place, state))
        }) else {
            return Ok(StateView {
                storage: None,
                instance: None,
                place: None,
                recorded: Some(Vec::new()),
                open: Open::default(),
            });
        };
        let is_here = state.kind == "local" && state.instance == self.store.instance();
        let found = match is_here {
            true => state::found(self.store.place().root(), &environment.uuid)
                .await
                .map_err(|error| Error::Conflict(error.to_string()))?,
            false => None,
        };
        let (recorded, open) = match found {
            Some(found) => (Some(found.state.addresses()), found.open),
            None if state.kind == hosted::TYPE => {
                let mut reading = self.store.reading().await?;
                let bytes = self.hosted_clear(&mut reading, &environment.uuid).await?;
                // One that its engine encrypts with keys of its own cannot be looked into.
                let recorded = match bytes {
                    Some(bytes) => State::read(&bytes).map(|state| state.addresses()),
                    None => Some(Vec::new()),
                };
                (recorded, place.left_open)
            }
            None => (None, place.left_open),
        };
        Ok(StateView {
            place: Some(runners::in_words(&state)),
            storage: Some(state.kind),
            instance: Some(state.instance).filter(|instance| !instance.is_empty()),
            recorded,
            open,
        })
    }

    /// Queues a run that imports or dismisses.
    pub(crate) async fn settle(
        &self,
        org: &str,
        environment: (&str, &str),
        what: Settle,
        body: StateSettle,
        by: &str,
    ) -> Result<Deployment, Error> {
        let (project, env) = environment;
        let mut log_recipients = readers(&body, what)?;
        let view = self.state(org, project, env).await?;
        let mut addresses = body.addresses.clone();
        addresses.extend(body.ids.keys().cloned());
        known(&view, &addresses)?;
        let mode = match what {
            Settle::Import if body.plan_only => Mode::StateImportPlan,
            Settle::Import => Mode::StateImport,
            Settle::Dismiss => Mode::StateDismiss,
        };
        let mut writing = self.store.writing().await?;
        let environment: Environment =
            environments::find(&mut writing, org, project, env)
                .await?
                .ok_or_else(|| Error::NotFound("environment not found".to_owned()))?;
        refuse_deleting(&environment)?;
        let place = places::find(&mut writing, &environment.uuid).await?;
        let state = place
            .as_ref()
            .and_then(|place| place.state_deployment.as_deref());
        let previous = self.state_baseline(&mut writing, state).await?;
        let mut offer = match &previous {
            Some(previous) => previous.slice.clone(),
            None => {
                return Err(Error::Conflict(
                    "nothing was ever deployed to this environment, so nothing is left open in its state"
                        .to_owned(),
                ));
            }
        };
        if let Some(asked) = &body.runner {
            let chosen =
                runners::choose(&self.store, &self.settings, org, &environment, Some(asked));
            offer.runner = chosen.await?.runner;
        }
        let state_place = place.as_ref().and_then(|place| place.state.as_ref());
        let served_by = runners::served_by(org, &offer.runner);
        let keeper = self.keeper(&mut writing, state_place, &served_by).await?;
        let wanted = runners::state_place(&offer.runner, &keeper)?;
        runners::same_place(state_place, &wanted, &offer.runner.id)?;
        add_break_glass(&mut writing, org, &environment, &mut log_recipients, None).await?;
        let manifest = super::plan::empty_manifest();
        let ask = Ask {
            mode,
            strict: false,
            manifest: &manifest,
            previous: previous.as_ref(),
            target: None,
            lock_file: place.as_ref().and_then(|place| place.lock_file.as_deref()),
        };
        offer.deadlines = None;
        let plan = self.plan(&offer, &ask, Keep::Yes).await?;
        let mut accepted =
            Accepted::without_manifest((org, by), mode, environment, log_recipients, offer, plan);
        accepted.request.plan_only = body.plan_only.then_some(true);
        let (row, _) = self.insert(&mut writing, accepted).await?;
        self.store
            .document_save(&mut writing, &row.id, Kind::Addresses, &addresses)
            .await?;
        if !body.ids.is_empty() {
            self.store
                .document_save(&mut writing, &row.id, Kind::Ids, &body.ids)
                .await?;
        }
        let shown = show::full(self, &mut writing, row).await?;
        writing.commit().await?;
        Ok(shown)
    }
}

/// Checks what can be checked without looking at anything else; returns the readers of the log.
fn readers(
    body: &StateSettle,
    what: Settle,
) -> Result<Vec<crate::wire::deployments::RecipientSpec>, Error> {
    let mut problems = Vec::new();
    let readers = request::log_readers(body.log_recipients.clone(), &mut problems);
    if what == Settle::Dismiss && body.addresses.is_empty() {
        problems.push(Diagnostic::error(
            "Addresses missing",
            "What is dismissed is dismissed by name: give the addresses, as the state of the environment lists them.",
            Place::at(Document::Request, "/addresses"),
        ));
    }
    for (address, id) in &body.ids {
        let problem = match what {
            Settle::Dismiss => {
                "What is dismissed needs no id: give its address among the addresses."
            }
            Settle::Import if id.is_empty() => {
                "The id is empty: give the one by which the provider imports this object."
            }
            Settle::Import if id.len() > MAX_ID => "The id is longer than 8192 bytes.",
            Settle::Import => continue,
        };
        problems.push(Diagnostic::error(
            "Bad id",
            problem,
            Place::at(Document::Request, pointer("/ids", address)),
        ));
    }
    match problems.is_empty() {
        true => Ok(readers),
        false => Err(Error::Invalid(problems)),
    }
}

/// Refuses early what a run would refuse, where the state can be looked at from here.
fn known(view: &StateView, addresses: &[String]) -> Result<(), Error> {
    if view.recorded.is_none() {
        return Ok(());
    }
    let open: Vec<&String> = view
        .open
        .unrecorded
        .iter()
        .chain(&view.open.in_flight)
        .collect();
    if open.is_empty() {
        return Err(Error::Conflict(
            "nothing is left open in the state of this environment, so there is nothing to settle"
                .to_owned(),
        ));
    }
    let unknown: Vec<&String> = addresses
        .iter()
        .filter(|address| !open.contains(address))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let listed = |all: &[&String]| {
        let names: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    Err(Error::Conflict(format!(
        "{} is not left open; open is {}",
        listed(&unknown),
        listed(&open)
    )))
}
