//! Agents as people see them.

use crate::deploy::{Error, Service, runners};
use crate::store::agents::Agent;
use crate::store::clock;
use crate::store::deployments::{leases, runs};
use crate::store::objects::{Listed, Paging};
use crate::wire::agents as wire;

impl Service {
    /// The agents of an organisation.
    pub(crate) async fn agents(
        &self,
        org: &str,
        paging: &Paging,
    ) -> Result<Listed<wire::Agent>, Error> {
        let listed = self.store.agent_list(org, paging).await;
        let Listed { items, next } = listed.map_err(runners::of_objects)?;
        let mut reading = self.store.reading().await?;
        let mut shown = Vec::new();
        for Agent {
            instance,
            org_id,
            runner_id,
            about,
            created_us,
            created_by,
            seen_us,
        } in items
        {
            let lease = leases::find(&mut reading, &instance).await?;
            let open = runs::open_of(&mut reading, &instance).await?;
            shown.push(wire::Agent {
                connected: lease.is_some_and(|lease| lease.is_alive),
                runs: open.len().try_into().unwrap_or(u64::MAX),
                id: instance,
                org_id,
                runner_id,
                about,
                created_at: clock::stamp(created_us),
                created_by,
                seen_at: (seen_us > 0).then(|| clock::stamp(seen_us)),
            });
        }
        Ok(Listed { items: shown, next })
    }
}
