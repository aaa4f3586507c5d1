//! How a deployment ends, and what is said about it in clear: never a word of the engine.

use serde_json::json;

use super::current;
use super::lease::Lease;
use crate::deploy::{Error, Service};
use crate::model::phase::{self, FailureClass, Mode, Outcome, Phase, Step};
use crate::runner::event::Finished;
use crate::runner::{RunEnd, RunKey};
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{Connection, feed, places, rows, runs, turns};
use crate::store::{Writing, clock};
use crate::wire::deployments::{RunDiagnostic, What};
use crate::wire::state::Open;

/// Attempts that never began, after which a deployment fails.
const TRIES: u32 = 3;
/// How long the next attempt waits, in microseconds, times the attempts that failed.
const PAUSE_US: i64 = 1_000_000;

impl Service {
    /// Ends an attempt, frees its environment, and takes the next step of a deletion that waited for it.
    pub(in crate::deploy) async fn complete(
        &self,
        lease: &Lease,
        key: &RunKey,
        end: RunEnd,
    ) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let Some((row, _)) = current(&mut writing, lease, key).await? else {
            return Ok(());
        };
        let env_uuid = row.env_uuid.clone();
        let id = row.id.clone();
        let mut give_back = false;
        let is_over = matches!(row.phase, Phase::Ended { .. });
        let class = row.failure_class;
        match end {
            _ if is_over => {}
            RunEnd::Finished => {
                let message = "the runner ended without saying how";
                let class = Some(FailureClass::Lost);
                self.end(&mut writing, row, Outcome::Lost, class, message)
                    .await?;
            }
            RunEnd::Died {
                outcome,
                failure_class,
                message,
            } => {
                self.left_open_as_heard(&mut writing, &row).await?;
                self.end(&mut writing, row, outcome, Some(failure_class), &message)
                    .await?;
            }
            RunEnd::NeverBegan { .. } if row.cancel => {
                self.end(&mut writing, row, Outcome::Cancelled, None, "cancelled")
                    .await?;
            }
            RunEnd::NeverBegan { message } if row.failures + 1 >= TRIES => {
                let message = format!("the runner did not begin in {TRIES} attempts: {message}");
                let class = Some(FailureClass::StartFailed);
                self.end(&mut writing, row, Outcome::Failed, class, &message)
                    .await?;
            }
            RunEnd::NeverBegan { message } => {
                self.give_back(&mut writing, row, &message).await?;
                give_back = true;
            }
        }
        runs::end(&mut writing, &key.run, key.attempt).await?;
        self.hosted_over(&mut writing, key, class).await?;
        if let Some(mut place) = places::find(&mut writing, &env_uuid).await? {
            if place.lease_run.as_ref() == Some(&key.run) {
                place.lease_run = None;
            }
            if give_back && place.state_deployment.as_ref() == Some(&id) {
                let before: Option<Option<String>> =
                    self.store.document(&mut writing, &id, Kind::Before).await?;
                place.state_deployment = before.flatten();
                // Nothing ever wrote a state, so it lies nowhere yet, and any server may make it.
                if place.state_deployment.is_none() {
                    place.state = None;
                }
            }
            places::save(&mut writing, &place).await?;
        }
        self.advance_deletion(&mut writing, &env_uuid).await?;
        writing.commit().await?;
        Ok(())
    }

    /// Records what a run left open that could not say so itself.
    pub(super) async fn left_open(
        &self,
        lease: &Lease,
        key: &RunKey,
        open: &Open,
    ) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let Some((row, _)) = current(&mut writing, lease, key).await? else {
            return Ok(());
        };
        self.store
            .document_save(&mut writing, &row.id, Kind::LeftOpen, open)
            .await?;
        if let Some(mut place) = places::find(&mut writing, &row.env_uuid).await? {
            place.left_open = open.clone();
            places::save(&mut writing, &place).await?;
        }
        writing.commit().await?;
        Ok(())
    }

    async fn give_back(
        &self,
        writing: &mut Writing,
        mut row: rows::Deployment,
        message: &str,
    ) -> Result<(), Error> {
        let released = phase::Event::Released {
            attempt: row.attempt,
        };
        let Some(queued) = phase::after(&row.phase, &released) else {
            return Ok(());
        };
        row.phase = queued;
        row.step = Step::Queued;
        row.failures += 1;
        row.not_before_us = clock::now_us() + PAUSE_US * i64::from(row.failures);
        rows::save(writing, &row).await?;
        feed::append(writing, &row.id, &What::Retry(message.to_owned())).await?;
        Ok(())
    }

    /// Ends a deployment, queued or running; one that is over stays as it is.
    pub(in crate::deploy) async fn end(
        &self,
        writing: &mut Writing,
        mut row: rows::Deployment,
        outcome: Outcome,
        failure_class: Option<FailureClass>,
        message: &str,
    ) -> Result<(), Error> {
        let attempt = match &row.phase {
            Phase::Running { attempt, .. } => Some(*attempt),
            Phase::Queued | Phase::Ended { .. } => None,
        };
        let ended = phase::Event::Ended {
            attempt,
            outcome,
            // The clock may have been turned back since.
            at_us: clock::now_us().max(row.created_us),
        };
        let Some(over) = phase::after(&row.phase, &ended) else {
            return Ok(());
        };
        row.phase = over;
        row.step = Step::Ended;
        row.failure_class = failure_class.filter(|_| !outcome.is_success());
        row.status_message = message.to_owned();
        rows::save(writing, &row).await?;
        metrics::counter!(
            "windlass_deployments_ended_total",
            "outcome" => rows::word(&outcome),
            "failure_class" => row.failure_class.as_ref().map_or_else(String::new, rows::word)
        )
        .increment(1);
        feed::append(writing, &row.id, &What::Ended(outcome)).await?;
        if attempt.is_none() {
            self.tell_line(writing, &row.env_uuid).await?;
        }
        Ok(())
    }

    /// Tells those who wait for an environment where they stand: everybody near the front, and far behind now and then.
    pub(super) async fn tell_line(
        &self,
        writing: &mut Writing,
        env_uuid: &str,
    ) -> Result<(), Error> {
        for (position, id) in turns::line(writing, env_uuid).await? {
            feed::append(writing, &id, &What::Queued(position)).await?;
        }
        Ok(())
    }

    /// v1's `status_message` of a failure: its text or its JSON, with our words in place of the engine's.
    pub(super) async fn status_message(
        &self,
        connection: &mut Connection,
        row: &rows::Deployment,
        finished: &Finished,
    ) -> Result<String, Error> {
        let diagnostics: Option<Vec<RunDiagnostic>> = self
            .store
            .document(connection, &row.id, Kind::Diagnostics)
            .await?;
        let error = diagnostics
            .unwrap_or_default()
            .into_iter()
            .find(|diagnostic| diagnostic.severity == "error");
        Ok(in_clear(row, finished, error.as_ref()))
    }

    /// Asks for a deployment to stop, in the name of `by`. One that only waits ends at once; asking again changes nothing.
    pub(crate) async fn cancel(&self, org: &str, id: &str, by: &str) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let Some(mut row) = rows::find(&mut writing, org, id).await? else {
            return Err(Error::NotFound(format!("deployment '{id}' not found")));
        };
        match row.phase {
            Phase::Ended { .. } => {
                return Err(Error::Conflict(format!(
                    "deployment '{id}' has already completed"
                )));
            }
            Phase::Queued => {
                let uuid = row.env_uuid.clone();
                let message = "cancelled while it waited in line";
                self.end(&mut writing, row, Outcome::Cancelled, None, message)
                    .await?;
                self.advance_deletion(&mut writing, &uuid).await?;
            }
            Phase::Running { .. } if row.cancel => {}
            Phase::Running { .. } => {
                row.cancel = true;
                rows::save(&mut writing, &row).await?;
                feed::append(&mut writing, &row.id, &What::Stopping(by.to_owned())).await?;
            }
        }
        writing.commit().await?;
        Ok(())
    }
}

/// What may be said in clear about a failure.
fn in_clear(row: &rows::Deployment, finished: &Finished, error: Option<&RunDiagnostic>) -> String {
    let class = finished
        .failure_class
        .map_or_else(|| rows::word(&finished.outcome), |class| rows::word(&class));
    let how_to_read = match row.log_recipients.is_empty() {
        true => "No log was kept, because no recipient was given.".to_owned(),
        false => format!(
            "What the engine said is sealed in the log: `windlass logs {}` reads it.",
            row.id
        ),
    };
    let message = match finished.message.is_empty() {
        true => String::new(),
        false => format!("{}. ", finished.message.trim_end_matches('.')),
    };
    let Some(error) = error.filter(|error| error.module_id.is_some()) else {
        return format!("runner failed with code {class}: {message}{how_to_read}");
    };
    let resource = error
        .resource
        .as_ref()
        .map(crate::model::ResourceKey::short);
    let module = error.module_id.as_deref().unwrap_or_default();
    // A limit that was hit or a request to stop is no fault of the module, though it shows there first.
    let (action, detail) = match class.strip_suffix("_failed") {
        Some(action) => (action, how_to_read),
        None => {
            let action = match row.step {
                Step::Init => "init",
                Step::Planning => "plan",
                _ if row.mode == Mode::Destroy => "destroy",
                _ => "apply",
            };
            (action, format!("{message}{how_to_read}"))
        }
    };
    let summary = match &resource {
        Some(resource) => format!("{action} failed for resource `{resource}`, module `{module}`"),
        None => format!("{action} failed in module `{module}`"),
    };
    let hint = error.file.as_ref().map(|file| match error.line {
        Some(line) => format!("{file}, line {line}"),
        None => file.clone(),
    });
    json!({
        "action": action,
        "summary": summary,
        "detail": detail,
        "entity_type": "module",
        "entity_id": module,
        "entity_version": error.module_version,
        "module_id": module,
        "module_version": error.module_version,
        "code_hint": hint,
        "failure_class": class,
        "resource": resource,
        "address": error.address,
    })
    .to_string()
}
