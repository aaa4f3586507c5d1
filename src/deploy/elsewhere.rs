//! What has to wait for another server: the one whose host has a state, or carries a run.

use super::{Error, Service};
use crate::model::phase::Phase;
use crate::store::deployments::places::{self, StatePlace};
use crate::store::deployments::{Connection, leases, rows, runs};
use crate::store::{Store, StoreError, clock};
use crate::wire::deployments::{Waiting, WaitingFor};

impl Service {
    /// The installation that the state of an environment is to be with: this one, unless another server of the same
    /// database has it already. That one claims what is accepted here.
    pub(super) async fn keeper(
        &self,
        connection: &mut Connection,
        recorded: Option<&StatePlace>,
    ) -> Result<String, Error> {
        let here = self.store.instance();
        if let Some(recorded) = recorded
            && self.store.is_shared()
            && !recorded.instance.is_empty()
            && recorded.instance != here
            && leases::find(connection, &recorded.instance)
                .await?
                .is_some()
        {
            return Ok(recorded.instance.clone());
        }
        Ok(here.to_owned())
    }
}

/// Why a deployment that is not over has to wait for another server, if it does.
pub(super) async fn waiting(
    store: &Store,
    connection: &mut Connection,
    row: &rows::Deployment,
) -> Result<Option<Waiting>, StoreError> {
    if !store.is_shared() {
        return Ok(None);
    }
    let (what, instance) = match row.phase {
        Phase::Ended { .. } => return Ok(None),
        Phase::Queued => {
            let place = places::find(connection, &row.env_uuid).await?;
            let state = place.and_then(|place| place.state);
            (
                WaitingFor::StateElsewhere,
                state.map(|state| state.instance),
            )
        }
        Phase::Running { .. } => {
            let attempt = runs::find(connection, &row.run, row.attempt).await?;
            (
                WaitingFor::ServerAway,
                attempt.map(|attempt| attempt.holder),
            )
        }
    };
    // What is here is seen to as soon as this server can.
    let is_far = |instance: &String| !instance.is_empty() && instance != store.instance();
    let Some(instance) = instance.filter(is_far) else {
        return Ok(None);
    };
    let server = leases::find(connection, &instance).await?;
    let is_alive = server.as_ref().is_some_and(|server| server.is_alive);
    // A run whose server is heard of waits for nothing.
    if what == WaitingFor::ServerAway && is_alive {
        return Ok(None);
    }
    let host = server.as_ref().map(|server| server.host.clone());
    let named = match &host {
        Some(host) => format!("the server on host `{host}` (installation {instance})"),
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
            "the state of this environment lies with {named}{heard}, and only that server deploys to it: see that it runs; {gone}"
        ),
        WaitingFor::ServerAway => format!(
            "it is carried by {named}{heard}: it goes on there, and its end is recorded when that server runs again; {gone}"
        ),
    };
    Ok(Some(Waiting {
        reason: what,
        instance,
        host,
        message,
    }))
}
