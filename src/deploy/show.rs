//! Stored deployments as the API shows them.

use super::{Service, elsewhere};
use crate::model::phase::{Outcome, Phase, Step};
use crate::runner::event::Finished;
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{Connection, rows, runs};
use crate::store::{StoreError, clock};
use crate::wire::deployments::{Deployment, DeploymentExtras, Metrics, RunDiagnostic, Waiting};
use crate::wire::state::Open;

/// v1's three values.
pub(super) fn status(phase: &Phase) -> &'static str {
    match phase {
        Phase::Queued | Phase::Running { .. } => "executing",
        Phase::Ended { outcome, .. } if outcome.is_success() => "succeeded",
        Phase::Ended { .. } => "failed",
    }
}

/// How it ended, if it has.
pub(super) fn outcome(phase: &Phase) -> Option<Outcome> {
    match phase {
        Phase::Queued | Phase::Running { .. } => None,
        Phase::Ended { outcome, .. } => Some(*outcome),
    }
}

/// A deployment as in a list: without manifest and without what lies in documents.
pub(super) fn summary(row: rows::Deployment) -> Deployment {
    let (mode, plan_only) = row.mode.on_the_wire();
    let ended = outcome(&row.phase);
    let counts = row.counts.unwrap_or(rows::Counts {
        total: 0,
        added: 0,
        changed: 0,
        removed: 0,
    });
    let counted = |count: u64| ended.is_some_and(Outcome::is_success).then_some(count);
    Deployment {
        created_at: clock::stamp(row.created_us),
        completed_at: match row.phase {
            Phase::Queued | Phase::Running { .. } => None,
            Phase::Ended { at_us, .. } => Some(clock::stamp(at_us)),
        },
        mode: mode.to_owned(),
        plan_only,
        status: status(&row.phase).to_owned(),
        metrics: Metrics {
            num_workloads: row.workloads,
            num_resource_nodes: row.nodes,
            num_tf_resources: counted(counts.total),
            num_tf_resources_added: counted(counts.added),
            num_tf_resources_changed: counted(counts.changed),
            num_tf_resources_removed: counted(counts.removed),
        },
        manifest: None,
        runner_id: None,
        windlass: Some(DeploymentExtras {
            phase: match row.phase {
                Phase::Queued => Step::Queued,
                Phase::Running { .. } => row.step,
                Phase::Ended { .. } => Step::Ended,
            },
            outcome: ended,
            failure_class: row.failure_class,
            runner_id: Some(row.runner_id),
            queue_position: None,
            waiting: None,
            attempt: row.attempt,
            heard_at: None,
            progress: row.progress,
            diagnostics: Vec::new(),
            log_recipients: row.log_recipients,
            output_recipients: row.output_recipients,
            run: None,
            bundle_digest: row.bundle_digest,
            unrecorded: Vec::new(),
            in_flight: Vec::new(),
        }),
        org_id: row.org_id,
        project_id: row.project_id,
        env_id: row.env_id,
        id: row.id,
        created_by: row.created_by,
        rollback_to_deployment_id: row.rollback_to,
        status_message: row.status_message,
    }
}

/// A deployment that was accepted just now: nothing is known of it but what was stored.
pub(super) fn accepted(
    row: rows::Deployment,
    manifest: serde_json::Value,
    position: u64,
    waiting: Option<Waiting>,
) -> Deployment {
    let runner = row.runner_id.clone();
    let mut shown = summary(row);
    shown.runner_id = Some(runner);
    shown.manifest = Some(manifest);
    if let Some(extras) = &mut shown.windlass {
        extras.queue_position = Some(position);
        extras.waiting = waiting;
    }
    shown
}

/// A deployment with everything.
pub(super) async fn full(
    service: &Service,
    connection: &mut Connection,
    row: rows::Deployment,
) -> Result<Deployment, StoreError> {
    let id = row.id.clone();
    let runner = row.runner_id.clone();
    let position = match row.phase {
        Phase::Queued => Some(rows::position_in_line(connection, &row).await?),
        Phase::Running { .. } | Phase::Ended { .. } => None,
    };
    let waiting = elsewhere::waiting(service, connection, &row).await?;
    let heard_us = match row.phase {
        Phase::Running { .. } => runs::heard_us(connection, &row.run, row.attempt).await?,
        Phase::Queued | Phase::Ended { .. } => None,
    };
    let store = &service.store;
    let mut shown = summary(row);
    shown.runner_id = Some(runner);
    let kinds = [
        Kind::Manifest,
        Kind::Diagnostics,
        Kind::LeftOpen,
        Kind::Finished,
    ];
    let mut found = store.documents(connection, &id, &kinds).await?;
    shown.manifest = found.take(Kind::Manifest)?;
    let diagnostics: Option<Vec<RunDiagnostic>> = found.take(Kind::Diagnostics)?;
    let left: Option<Open> = found.take(Kind::LeftOpen)?;
    let finished: Option<Finished> = found.take(Kind::Finished)?;
    if let Some(extras) = &mut shown.windlass {
        extras.queue_position = position;
        extras.waiting = waiting;
        extras.heard_at = heard_us.map(clock::stamp);
        extras.diagnostics = diagnostics.unwrap_or_default();
        if let Some(left) = left {
            extras.unrecorded = left.unrecorded;
            extras.in_flight = left.in_flight;
        }
        if let Some(finished) = finished {
            extras.run = Some(finished.record);
            extras.unrecorded = finished.unrecorded;
            extras.in_flight = finished.in_flight;
        }
    }
    Ok(shown)
}
