//! Stores what a run says, in its order, each event once.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::current;
use super::lease::Lease;
use crate::deploy::{Error, Service};
use crate::model::phase::{FailureClass, Mode, Phase, Step};
use crate::runner::RunKey;
use crate::runner::event::{Event, Finished, Kind};
use crate::store::deployments::documents::Kind as Document;
use crate::store::deployments::{feed, places, resources, rows, runs, streams};
use crate::store::{StoreError, Writing};
use crate::wire::deployments::{RunDiagnostic, StreamName, What};
use crate::wire::state::Open;

impl Service {
    /// Stores events in one transaction. Those of an older attempt are dropped, those stored before are skipped.
    pub(super) async fn said(
        &self,
        lease: &Lease,
        key: &RunKey,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let Some((mut row, attempt)) = current(&mut writing, lease, key).await? else {
            return Ok(());
        };
        let mut last = attempt.last_seq;
        let mut sealed: [Option<u64>; 2] = [None, None];
        let mut finished = None;
        let before = row.clone();
        for event in events
            .into_iter()
            .filter(|event| event.seq > attempt.last_seq)
        {
            if event.run != key.run || event.attempt != key.attempt || event.seq <= last {
                continue;
            }
            if event.seq != last + 1 {
                return Err(Error::Internal(format!(
                    "event {} of run {key} came before event {}",
                    event.seq,
                    last + 1
                )));
            }
            last = event.seq;
            let of = |stream| streams::Of {
                deployment: &before.id,
                run: &key.run,
                attempt: key.attempt,
                stream,
            };
            match event.kind {
                Kind::Accepted { bundle_digest } => {
                    if before
                        .bundle_digest
                        .as_ref()
                        .is_some_and(|ours| *ours != bundle_digest)
                    {
                        tracing::warn!(run = %key, "the runner verified another bundle");
                    }
                }
                Kind::Step(step) => {
                    row.step = step;
                    feed::append(&mut writing, &row.id, &What::Step(step)).await?;
                }
                Kind::Progress(progress) => {
                    row.progress = Some(progress);
                    feed::append(&mut writing, &row.id, &What::Progress(progress)).await?;
                }
                Kind::Resource(resource) => {
                    feed::append(&mut writing, &row.id, &What::Resource(resource)).await?;
                }
                Kind::Header { stream, bytes } => {
                    let bytes = decoded(&bytes)?;
                    streams::set_header(&mut writing, &of(stream), &bytes).await?;
                }
                Kind::Frame {
                    stream,
                    number,
                    last,
                    bytes,
                } => {
                    let bytes = decoded(&bytes)?;
                    streams::add_frame(&mut writing, &of(stream), number, last, &bytes).await?;
                    sealed[usize::from(stream == StreamName::Outputs)] = Some(number);
                }
                Kind::AgeFile { stream, bytes } => {
                    let bytes = decoded(&bytes)?;
                    streams::set_age_file(&mut writing, &of(stream), &bytes).await?;
                }
                Kind::Diagnostic(diagnostic) => {
                    let mut all: Vec<RunDiagnostic> = self
                        .store
                        .document(&mut writing, &row.id, Document::Diagnostics)
                        .await?
                        .unwrap_or_default();
                    all.push(diagnostic);
                    self.store
                        .document_save(&mut writing, &row.id, Document::Diagnostics, &all)
                        .await?;
                }
                // That it was said is recorded below.
                Kind::Alive => {}
                Kind::Finished(said) => finished = Some(said),
            }
        }
        for (stream, number) in [StreamName::Logs, StreamName::Outputs]
            .into_iter()
            .zip(sealed)
        {
            if let Some(last) = number {
                let what = What::Sealed {
                    stream,
                    attempt: key.attempt,
                    last,
                };
                feed::append(&mut writing, &row.id, &what).await?;
            }
        }
        runs::heard(&mut writing, &key.run, key.attempt, last).await?;
        match finished {
            Some(finished) => {
                let instance = lease.instance();
                self.finish(&mut writing, row, instance, *finished).await?;
            }
            None if row != before => rows::save(&mut writing, &row).await?,
            None => {}
        }
        writing.commit().await?;
        Ok(())
    }

    /// Goes on behind an event that cannot be taken.
    pub(in crate::deploy) async fn skip(
        &self,
        lease: &Lease,
        key: &RunKey,
        seq: u64,
    ) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let Some((_, attempt)) = current(&mut writing, lease, key).await? else {
            return Ok(());
        };
        if seq == attempt.last_seq + 1 {
            runs::heard(&mut writing, &key.run, key.attempt, seq).await?;
        }
        writing.commit().await?;
        Ok(())
    }

    /// The supervisor's last word: what it did becomes the record, and the deployment ends.
    async fn finish(
        &self,
        writing: &mut Writing,
        mut row: rows::Deployment,
        instance: &str,
        finished: Finished,
    ) -> Result<(), Error> {
        self.store
            .document_save(writing, &row.id, Document::Finished, &finished)
            .await?;
        let open = Open {
            unrecorded: finished.unrecorded.clone(),
            in_flight: finished.in_flight.clone(),
        };
        if let Some(mut place) = places::find(writing, &row.env_uuid).await? {
            let before = place.clone();
            if let Some(lock_file) = &finished.lock_file {
                place.lock_file = Some(lock_file.clone());
            }
            // A run that failed before it looked says nothing about it.
            if finished.outcome.is_success() || !open.is_empty() {
                place.left_open = open.clone();
            }
            let is_over = matches!(row.phase, Phase::Ended { .. });
            if row.mode == Mode::StateMove && finished.outcome.is_success() && !is_over {
                self.moved(writing, &row.id, instance, &mut place).await?;
            }
            if place != before {
                places::save(writing, &place).await?;
            }
        }
        row.counts = Some(rows::Counts {
            total: finished.total.unwrap_or(0),
            added: finished.added,
            changed: finished.changed,
            removed: finished.removed,
        });
        if matches!(row.phase, Phase::Ended { .. }) {
            rows::save(writing, &row).await?;
            return Ok(());
        }
        if finished.outcome.is_success() && row.mode.changes_state() {
            resources::discard_others(writing, &row.env_uuid, &row.id).await?;
            if row.mode == Mode::Destroy {
                resources::forget(writing, &row.env_uuid).await?;
            }
            for (hash, metadata) in &finished.metadata {
                resources::set_metadata(writing, &row.env_uuid, &row.id, hash, metadata).await?;
            }
        }
        let message = match finished.failure_class {
            _ if finished.outcome.is_success() => String::new(),
            Some(FailureClass::Unsettled) => open.refusal(&row.project_id, &row.env_id),
            _ => self.status_message(writing, &row, &finished).await?,
        };
        row.step = Step::Saving;
        self.end(
            writing,
            row,
            finished.outcome,
            finished.failure_class,
            &message,
        )
        .await?;
        Ok(())
    }
}

fn decoded(base64: &str) -> Result<Vec<u8>, Error> {
    BASE64_STANDARD.decode(base64).map_err(|error| {
        Error::Store(StoreError::document(
            "sealed bytes",
            serde::de::Error::custom(error),
        ))
    })
}
