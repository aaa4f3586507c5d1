//! Agents at the server's end: each message is carried out at the desk that servers use themselves, in the name of the
//! agent and of the epoch that it says it holds. Knows no HTTP; who may speak for an agent is found out before.

pub(crate) mod protocol;
mod show;

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::time::Instant;

use self::protocol::{Reply, Say};
use super::queue::LocalDesk;
use super::queue::lease::Lease;
use super::{Error, Service, runners};
use crate::model::phase::{FailureClass, Outcome};
use crate::runner::{Assignment, Desk as _, DeskError, RunEnd, RunKey};
use crate::store::agents::{self, Agent};
use crate::store::deployments::{leases, rows, runs, turns};
use crate::store::host::Seat;
use crate::store::{StoreError, clock};
use crate::wire::agents::About;
use crate::wire::runners::{LOCAL, PROCESS};

/// How long a message that waits for news is kept at most.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// Least time between two looks for news: every write of everybody wakes whoever waits.
const REST: Duration = Duration::from_millis(25);

/// Why a message of an agent is not carried out.
#[derive(Debug)]
pub(crate) enum AgentError {
    /// Another one has its place; it must stop and touch nothing.
    Fenced(String),
    /// It will never be taken, however often it is sent.
    Refused(String),
    /// As with any other request.
    Other(Error),
}

impl<E: Into<Error>> From<E> for AgentError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// What a desk answered that is an agent's.
fn at_desk<T>(desk: &LocalDesk, answer: Result<T, DeskError>) -> Result<T, AgentError> {
    answer.map_err(|DeskError(source)| {
        of_lease(
            desk.lease(),
            match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(other) => Error::Internal(other.to_string()),
            },
        )
    })
}

fn of_lease(lease: &Lease, error: Error) -> AgentError {
    match error {
        _ if lease.is_lost() => AgentError::Fenced(
            "another agent has this one's place: its data directory is a copy of one that is in use, or was restored \
             from a backup. Stop one of the two; what runs goes on and is carried by the other"
                .to_owned(),
        ),
        Error::Internal(message) => AgentError::Refused(message),
        other => AgentError::Other(other),
    }
}

impl Service {
    /// Carries out one message of an agent. `stop`: whoever waits is answered at once.
    pub(crate) async fn agent_said(
        &self,
        agent: &Agent,
        epoch: i64,
        say: Say,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<Reply, AgentError> {
        let lease = Lease::of_agent(self, agent, epoch);
        if let Say::Hello { seat, about } = say {
            return self.hello(agent, &lease, &seat, &about).await;
        }
        if epoch == 0 {
            return Err(AgentError::Refused(
                "it holds no lease; say hello first".to_owned(),
            ));
        }
        let desk = LocalDesk::for_agent(self.clone(), lease);
        Ok(match say {
            Say::Hello { .. } => unreachable!("answered above"),
            Say::Renew {
                runs,
                is_free,
                wait_ms,
            } => {
                let wait = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
                self.renew(agent, &desk, &runs, is_free, wait, stop).await?
            }
            Say::Claim { known } => {
                Reply::Claimed(self.next_of(&desk, &known).await?.map(Box::new))
            }
            Say::Running => Reply::Running(at_desk(&desk, desk.running().await)?),
            Say::Launched { key, handle } => {
                Reply::Launched(at_desk(&desk, desk.launched(&key, &handle).await)?)
            }
            Say::Preparing { key, what } => {
                at_desk(&desk, desk.preparing(&key, &what).await)?;
                Reply::Done
            }
            Say::Events { key, events } => {
                at_desk(&desk, desk.events(&key, events).await)?;
                Reply::Done
            }
            Say::Skip { key, seq } => {
                tracing::error!(run = %key, seq, "an event of a run was not taken and is left out");
                let skipped = self.skip(desk.lease(), &key, seq).await;
                skipped.map_err(|error| of_lease(desk.lease(), error))?;
                Reply::Done
            }
            Say::State { key } => {
                let state = at_desk(&desk, desk.state(&key).await)?;
                Reply::State(state.map(|state| BASE64_STANDARD.encode(state)))
            }
            Say::LeftOpen { key, open } => {
                at_desk(&desk, desk.left_open(&key, open).await)?;
                Reply::Done
            }
            Say::Complete { key, end } => {
                at_desk(&desk, desk.complete(&key, end).await)?;
                Reply::Done
            }
        })
    }

    async fn hello(
        &self,
        agent: &Agent,
        lease: &Lease,
        seat: &Seat,
        about: &About,
    ) -> Result<Reply, AgentError> {
        let mut writing = self.store.writing().await?;
        let Some(epoch) = lease.take(&mut writing, seat).await? else {
            return Err(AgentError::Fenced(format!(
                "another agent goes by the name of this one ({}) and was heard of a moment ago: its data directory is a \
                 copy of one that is in use. Stop one of the two",
                agent.instance
            )));
        };
        agents::describe(&mut writing, &agent.instance, about).await?;
        // Before anything is said about them under the new epoch.
        leases::adopt(&mut writing, lease.who(), epoch).await?;
        writing.commit().await?;
        tracing::info!(
            agent = agent.instance,
            runner = agent.runner_id,
            host = about.host,
            epoch,
            "an agent works"
        );
        let lease_ms = u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX);
        Ok(Reply::Held { epoch, lease_ms })
    }

    /// Notes that the agent is there, and waits until there is something that it should do.
    async fn renew(
        &self,
        agent: &Agent,
        desk: &LocalDesk,
        runs: &[RunKey],
        is_free: bool,
        wait: Duration,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<Reply, AgentError> {
        let until = Instant::now() + wait;
        let mut writing = self.store.writing().await?;
        let lease = desk.lease();
        let held = lease.hold(&mut writing).await;
        held.map_err(|error| of_lease(lease, error))?;
        agents::seen(&mut writing, &agent.instance).await?;
        writing.commit().await?;
        loop {
            let cancelled = at_desk(desk, desk.cancelled(runs).await)?;
            let has_work = is_free && self.has_work(lease).await?;
            let left = until.saturating_duration_since(Instant::now());
            if has_work || !cancelled.is_empty() || left.is_zero() || stop.is_cancelled() {
                return Ok(Reply::News {
                    cancelled,
                    has_work,
                });
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = async {
                    tokio::time::sleep(REST.min(left)).await;
                    desk.changed(left).await;
                } => {}
            }
        }
    }

    /// Whether a claim may find something.
    async fn has_work(&self, lease: &Lease) -> Result<bool, StoreError> {
        let mut reading = self.store.glance().await?;
        let found = turns::next(&mut reading, lease.who(), clock::now_us(), 1).await?;
        Ok(!found.is_empty())
    }

    /// The next run of an agent: one that it was given and never heard of, else a new one.
    async fn next_of(
        &self,
        desk: &LocalDesk,
        known: &[RunKey],
    ) -> Result<Option<Assignment>, AgentError> {
        let lease = desk.lease();
        let Some(held) = lease.held() else {
            return Err(AgentError::Refused(
                "it holds no lease; say hello first".to_owned(),
            ));
        };
        let mut reading = self.store.reading().await?;
        for attempt in runs::open(&mut reading, held.columns()).await? {
            let is_known = known
                .iter()
                .any(|key| key.run == attempt.run && key.attempt == attempt.attempt);
            if is_known || attempt.handle.is_some() {
                continue;
            }
            if let Some(row) = rows::by_id(&mut reading, &attempt.deployment).await? {
                let prepared = self.assignment(&mut reading, lease, &row, None).await?;
                drop(reading);
                let mut writing = self.store.writing().await?;
                let assignment = self.give_state(&mut writing, &row, prepared).await?;
                writing.commit().await?;
                return Ok(Some(assignment));
            }
        }
        drop(reading);
        at_desk(desk, desk.claim().await)
    }

    /// Forgets an agent. What it was given goes back into line or, where it was begun, ends as lost: nobody is believed
    /// about it any more.
    pub(crate) async fn agent_remove(&self, org: &str, instance: &str) -> Result<(), Error> {
        let missing = || Error::NotFound(format!("agent '{instance}' not found"));
        let mut writing = self.store.writing().await?;
        let agent = agents::find(&mut writing, instance).await?;
        let agent = agent
            .filter(|agent| agent.org_id == org)
            .ok_or_else(missing)?;
        agents::remove(&mut writing, instance).await?;
        writing.commit().await?;
        let mut reading = self.store.reading().await?;
        let open = runs::open_of(&mut reading, instance).await?;
        drop(reading);
        for attempt in open {
            let lease = Lease::of_agent(self, &agent, attempt.epoch);
            let key = RunKey {
                run: attempt.run,
                attempt: attempt.attempt,
            };
            let end = match attempt.handle {
                None => RunEnd::NeverBegan {
                    message: "the agent that had it was removed".to_owned(),
                },
                Some(_) => RunEnd::Died {
                    outcome: Outcome::Lost,
                    failure_class: FailureClass::Lost,
                    message: format!(
                        "the agent {instance} on host `{}` was removed while it carried this run: it may go on there, and \
                         nothing that it says is taken any more",
                        agent.about.host
                    ),
                },
            };
            self.complete(&lease, &key, end).await?;
        }
        Ok(())
    }

    /// Refuses a runner whose runs no agent carries.
    pub(crate) async fn takes_agents(&self, org: &str, runner: &str) -> Result<(), Error> {
        let kind = match runner {
            LOCAL => "docker".to_owned(),
            PROCESS => "process".to_owned(),
            _ => {
                let found = self.store.runner_open(org, runner).await;
                let found = found.map_err(runners::of_objects)?;
                let kind = found.runner_configuration.get("type");
                kind.and_then(|kind| kind.as_str())
                    .unwrap_or_default()
                    .to_owned()
            }
        };
        match kind.as_str() {
            "agent" => Ok(()),
            other => Err(Error::Conflict(format!(
                "runner `{runner}` is of type `{other}`, whose runs no agent carries; make a runner of type `agent`"
            ))),
        }
    }
}
