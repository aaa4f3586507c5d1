//! The removal of an environment: wait for what runs, destroy what is there, then forget.
//!
//! One function, [`Service::advance_deletion`], looks at where a deletion stands and takes the next step; it is called
//! when a deletion is asked for and whenever a run of the environment is over.

use super::accept::{Accepted, add_break_glass};
use super::offer::{Keep, Offer};
use super::plan::Ask;
use super::{Error, Service, request};
use crate::model::phase::{Mode, Outcome, Phase};
use crate::store::deployments::places::{self, Deletion, EnvironmentPlace};
use crate::store::deployments::{resources, rows};
use crate::store::objects::environments::{self, RulesOfEnvironment};
use crate::store::objects::organizations::SYSTEM_USER;
use crate::store::{Writing, clock, states};
use crate::wire::deployments::RecipientSpec;
use crate::wire::objects::Environment;

/// How an environment is to be removed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delete {
    /// Without destroying anything, whatever the status; the engine's state stays where it is.
    pub(crate) force: bool,
    /// With the module rules of exactly this environment.
    pub(crate) delete_rules: bool,
    /// Readers of the destroy run's log.
    pub(crate) log_recipients: Vec<RecipientSpec>,
}

impl Service {
    /// Begins (or begins again) the removal of an environment; returns it as it then is.
    pub(crate) async fn delete_environment(
        &self,
        org: &str,
        project: &str,
        env: &str,
        delete: Delete,
        by: &str,
    ) -> Result<Environment, Error> {
        let mut problems = Vec::new();
        let log_recipients = request::log_readers(delete.log_recipients, &mut problems);
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let mut writing = self.store.writing().await?;
        let missing = || Error::NotFound("environment not found".to_owned());
        let found = environments::find(&mut writing, org, project, env)
            .await?
            .ok_or_else(missing)?;
        if found.status == "deleting" && !delete.force {
            return Err(Error::Conflict(
                "cannot delete environment in status 'deleting'".to_owned(),
            ));
        }
        let message = Some("Attempting to destroy environment".to_owned());
        let begun = environments::set_status(&mut writing, &found.uuid, "deleting", message)
            .await?
            .ok_or_else(missing)?;
        let mut place = places::find(&mut writing, &found.uuid)
            .await?
            .unwrap_or_else(|| EnvironmentPlace::new(&found.uuid, org, project, env));
        place.deletion = Some(Deletion {
            delete_rules: delete.delete_rules,
            log_recipients,
            by: by.to_owned(),
            destroy: None,
        });
        places::save(&mut writing, &place).await?;
        // What only waits is not begun any more.
        for row in rows::open(&mut writing, &found.uuid).await? {
            if row.phase == Phase::Queued {
                self.end(
                    &mut writing,
                    row,
                    Outcome::Cancelled,
                    None,
                    "the environment is being deleted",
                )
                .await?;
            }
        }
        if delete.force {
            self.remove_environment(&mut writing, &place, None).await?;
        } else {
            self.advance_deletion(&mut writing, &found.uuid).await?;
        }
        writing.commit().await?;
        Ok(begun)
    }

    /// Takes the next step of a deletion, if there is one and it can be taken.
    pub(super) async fn advance_deletion(
        &self,
        writing: &mut Writing,
        env_uuid: &str,
    ) -> Result<(), Error> {
        let Some(mut place) = places::find(writing, env_uuid).await? else {
            return Ok(());
        };
        let Some(mut deletion) = place.deletion.clone() else {
            return Ok(());
        };
        if place.lease_run.is_some() || !rows::open(writing, env_uuid).await?.is_empty() {
            return Ok(());
        }
        if let Some(id) = &deletion.destroy {
            let ended = rows::by_id(writing, id).await?.map(|row| row.phase);
            if matches!(
                ended,
                Some(Phase::Ended {
                    outcome: Outcome::Destroyed,
                    ..
                })
            ) {
                return self.remove_environment(writing, &place, Some(id)).await;
            }
            let message = format!(
                "destroy deployment '{id}' failed. Inspect the deployment status for a cause and retry the \
                 DeleteEnvironment operation"
            );
            return self.deletion_failed(writing, place, message).await;
        }
        let state = place.state_deployment.clone();
        let Some(previous) = self.state_baseline(writing, state.as_deref()).await? else {
            // Never deployed to, only planned, or destroyed already.
            return self.remove_environment(writing, &place, None).await;
        };
        match self
            .begin_destroy(writing, &place, &deletion, previous)
            .await
        {
            Ok(id) => {
                let message = format!("Waiting for destroy deployment '{id}' to complete");
                environments::set_status(writing, env_uuid, "deleting", Some(message)).await?;
                deletion.destroy = Some(id);
                // The row may have changed while the destroy was inserted; only the deletion is ours.
                place.deletion = Some(deletion);
                places::save(writing, &place).await?;
                Ok(())
            }
            Err(Error::Store(error)) => Err(Error::Store(error)),
            Err(error) => {
                let message = format!("failed to start destroy deployment: {error}");
                self.deletion_failed(writing, place, message).await
            }
        }
    }

    async fn deletion_failed(
        &self,
        writing: &mut Writing,
        mut place: EnvironmentPlace,
        message: String,
    ) -> Result<(), Error> {
        environments::set_status(writing, &place.env_uuid, "delete_failed", Some(message)).await?;
        place.deletion = None;
        places::save(writing, &place).await?;
        Ok(())
    }

    /// Queues the destroy run: the last bundle, on the runner that made it.
    async fn begin_destroy(
        &self,
        writing: &mut Writing,
        place: &EnvironmentPlace,
        deletion: &Deletion,
        previous: super::plan::Baseline,
    ) -> Result<String, Error> {
        if !place.left_open.is_empty() {
            let refusal = place.left_open.refusal(&place.project_id, &place.env_id);
            return Err(Error::Conflict(refusal));
        }
        let found = environments::find_by_uuid(writing, &place.env_uuid).await?;
        let Some((org, environment)) = found else {
            return Err(Error::NotFound("environment not found".to_owned()));
        };
        let last = rows::by_id(writing, &previous.id).await?;
        let mut log_recipients = deletion.log_recipients.clone();
        let has_break_glass =
            add_break_glass(writing, &org, &environment, &mut log_recipients, None).await?;
        if deletion.log_recipients.is_empty()
            && !has_break_glass
            && let Some(last) = &last
        {
            log_recipients.clone_from(&last.log_recipients);
        }
        let mut offer: Offer = previous.slice.clone();
        offer.deadlines = None;
        let ask = Ask {
            mode: Mode::Destroy,
            strict: false,
            manifest: &previous.manifest,
            previous: Some(&previous),
            target: None,
            lock_file: place.lock_file.as_deref(),
        };
        let plan = self.plan(&offer, &ask, Keep::Yes).await?;
        let mut accepted = Accepted::without_manifest(
            (&org, SYSTEM_USER),
            Mode::Destroy,
            environment,
            log_recipients,
            offer,
            plan,
        );
        if let Some(last) = last {
            accepted.log_level = last.log_level;
        }
        let (row, _) = self.insert(writing, accepted).await?;
        Ok(row.id)
    }

    /// Forgets an environment and everything of it but the destroy run, which stays readable by its id.
    async fn remove_environment(
        &self,
        writing: &mut Writing,
        place: &EnvironmentPlace,
        keep: Option<&str>,
    ) -> Result<(), Error> {
        for row in rows::open(writing, &place.env_uuid).await? {
            // Forced while something runs: it goes on until it is stopped, and nobody waits for it.
            tracing::warn!(
                deployment = row.id,
                at = clock::now_us(),
                "removed while it runs"
            );
        }
        let rules = match &place.deletion {
            Some(deletion) if deletion.delete_rules => RulesOfEnvironment::Remove,
            _ => RulesOfEnvironment::Keep,
        };
        resources::forget(writing, &place.env_uuid).await?;
        rows::forget(writing, &place.env_uuid, keep).await?;
        environments::remove(writing, &place.env_uuid, rules).await?;
        places::remove(writing, &place.env_uuid).await?;
        states::forget(writing, &place.env_uuid).await?;
        Ok(())
    }
}
