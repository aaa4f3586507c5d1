//! What has to wait for another server or an agent: the one whose host has a state, or carries a run.

use super::{Error, Service, Settings};
use crate::model::phase::Phase;
use crate::store::agents::{self, Agent};
use crate::store::deployments::places::{self, StatePlace};
use crate::store::deployments::{Connection, leases, rows, runs};
use crate::store::{StoreError, clock};
use crate::wire::deployments::{Waiting, WaitingFor};

impl Service {
    /// The installation that the state of an environment is to be with: this one, unless another server of the same
    /// database, or an agent of the same runner, has it already. That one claims what is accepted here.
    ///
    /// Empty where an agent will have it and none has it yet.
    pub(super) async fn keeper(
        &self,
        connection: &mut Connection,
        recorded: Option<&StatePlace>,
        served_by: &str,
    ) -> Result<String, Error> {
        let here = self.store.instance();
        let usual = if served_by.is_empty() { here } else { "" };
        let may_be_far = self.store.is_shared() || !served_by.is_empty();
        if let Some(recorded) = recorded
            && may_be_far
            && !recorded.instance.is_empty()
            && recorded.instance != here
            && leases::find(connection, &recorded.instance)
                .await?
                .is_some_and(|keeper| keeper.serves == served_by)
        {
            return Ok(recorded.instance.clone());
        }
        Ok(usual.to_owned())
    }
}

/// Why a deployment that is not over has to wait for another server or for an agent, if it does.
pub(super) async fn waiting(
    service: &Service,
    connection: &mut Connection,
    row: &rows::Deployment,
) -> Result<Option<Waiting>, StoreError> {
    let Service { store, settings } = service;
    let is_for_agents = !row.served_by.is_empty();
    if !store.is_shared() && !is_for_agents {
        return Ok(None);
    }
    let (what, instance) = match row.phase {
        Phase::Ended { .. } => return Ok(None),
        Phase::Queued => {
            let place = places::find(connection, &row.env_uuid).await?;
            let state = place.and_then(|place| place.state);
            let instance = state.map(|state| state.instance);
            (WaitingFor::StateElsewhere, instance)
        }
        Phase::Running { .. } => {
            let attempt = runs::find(connection, &row.run, row.attempt).await?;
            let holder = attempt.map(|attempt| attempt.holder);
            (WaitingFor::ServerAway, holder)
        }
    };
    // What is here is seen to as soon as this server can.
    let is_far = |instance: &String| !instance.is_empty() && instance != store.instance();
    let Some(instance) = instance.filter(is_far) else {
        return match is_for_agents {
            true => any_agent(settings, connection, row).await,
            false => Ok(None),
        };
    };
    let server = leases::find(connection, &instance).await?;
    let is_alive = server.as_ref().is_some_and(|server| server.is_alive);
    // A run whose server is heard of waits for nothing, nor does the next of an environment whose agent is.
    if is_alive && (what == WaitingFor::ServerAway || is_for_agents) {
        return Ok(None);
    }
    let kind = if is_for_agents { "agent" } else { "server" };
    let host = server.as_ref().map(|server| server.host.clone());
    let named = match &host {
        Some(host) => format!("the {kind} on host `{host}` (installation {instance})"),
        None => format!("the installation {instance}"),
    };
    let heard = match server {
        Some(server) if server.until_us > 0 && !server.is_alive => {
            format!(
                ", which has not been heard of since {}",
                clock::stamp(server.until_us)
            )
        }
        Some(_) | None => String::new(),
    };
    let gone = format!(
        "if that host is gone for good, `windlass delete env {} {} --force` forgets the environment without destroying",
        row.project_id, row.env_id
    );
    let message = match what {
        WaitingFor::StateElsewhere => format!(
            "the state of this environment lies with {named}{heard}, and only that {kind} deploys to it: see that it runs; {gone}"
        ),
        WaitingFor::ServerAway | WaitingFor::AgentAway => format!(
            "it is carried by {named}{heard}: it goes on there, and its end is recorded when that {kind} runs again; {gone}"
        ),
    };
    Ok(Some(Waiting {
        reason: match is_for_agents && what == WaitingFor::ServerAway {
            true => WaitingFor::AgentAway,
            false => what,
        },
        instance,
        host,
        message,
    }))
}

/// Why a queued deployment waits that any agent of its runner may take.
async fn any_agent(
    settings: &Settings,
    connection: &mut Connection,
    row: &rows::Deployment,
) -> Result<Option<Waiting>, StoreError> {
    if row.phase != Phase::Queued {
        return Ok(None);
    }
    let mut last: Option<Agent> = None;
    for agent in agents::of_runner(connection, &row.served_by).await? {
        let lease = leases::find(connection, &agent.instance).await?;
        if lease.is_some_and(|lease| lease.is_alive) {
            return Ok(None);
        }
        if last
            .as_ref()
            .is_none_or(|last| last.seen_us <= agent.seen_us)
        {
            last = Some(agent);
        }
    }
    // With no agent at all it is over in a moment.
    let Some(last) = last else {
        return Ok(None);
    };
    let host = last.about.host;
    let heard = match last.seen_us {
        0 => "never heard of".to_owned(),
        seen => format!("heard of last at {}", clock::stamp(seen)),
    };
    let message = format!(
        "no agent of runner `{}` is connected; the one on host `{host}` (installation {}) was {heard}: see that it runs. \
         The deployment fails where none has come within {} seconds",
        row.runner_id,
        last.instance,
        settings.agent_patience.as_secs()
    );
    Ok(Some(Waiting {
        reason: WaitingFor::AgentAway,
        instance: last.instance,
        host: Some(host),
        message,
    }))
}
