//! What changes between two deployments of one environment, whenever they were.

use super::read::{STATE_CHANGING, required};
use super::{Error, Service, show};
use crate::graph::{self, ResourceGraph};
use crate::model::diag::Document;
use crate::model::phase::{Mode, Outcome};
use crate::model::{Diagnostic, Place};
use crate::store::deployments::documents::Kind;
use crate::store::deployments::rows;
use crate::wire::deployments::Diff;

impl Service {
    /// The difference from one deployment to another; unless said otherwise, from the newest before it that
    /// may have changed the state, or from nothing.
    pub(crate) async fn diff(
        &self,
        org: &str,
        id: &str,
        from: Option<&str>,
    ) -> Result<Diff, Error> {
        let mut reading = self.store.reading().await?;
        let to = required(&mut reading, org, id).await?;
        let from = match from {
            // v1 names the deployment of the path here, too.
            Some(from) => Some(
                rows::find(&mut reading, org, from)
                    .await?
                    .ok_or_else(|| Error::NotFound(format!("deployment '{id}' not found")))?,
            ),
            None => {
                let wanted = rows::Wanted {
                    env_uuid: Some(to.env_uuid.clone()),
                    modes: STATE_CHANGING.to_vec(),
                    before: Some(to.sequence),
                    limit: Some(1),
                    ..rows::Wanted::default()
                };
                rows::list(&mut reading, org, &wanted).await?.pop()
            }
        };
        if let Some(from) = &from
            && from.env_uuid != to.env_uuid
        {
            return Err(Error::Invalid(vec![Diagnostic::error(
                "Different environments",
                "the deployments must be in the same environment",
                Place::at(Document::Request, ""),
            )]));
        }
        let after: ResourceGraph = self
            .store
            .document(&mut reading, id, Kind::Graph)
            .await?
            .ok_or_else(|| Error::NotFound(format!("deployment '{id}' has no graph")))?;
        let before: Option<ResourceGraph> = match &from {
            // The graph of a destroy lists what was destroyed.
            Some(from) if show::outcome(&from.phase) == Some(Outcome::Destroyed) => None,
            Some(from) => {
                self.store
                    .document(&mut reading, &from.id, Kind::Graph)
                    .await?
            }
            None => None,
        };
        let mut diff = match to.mode {
            Mode::Destroy => graph::removal(&after),
            _ => graph::diff(before.as_ref(), &after),
        };
        diff.from_deployment_id = from.map(|from| from.id);
        diff.to_deployment_id = Some(to.id);
        Ok(diff)
    }
}
