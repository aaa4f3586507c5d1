//! What a run left open that died where nobody can look any more: as far as it had said.
//!
//! A run on this host has its journal in the state directory. That of a pod, or of a container of a daemon elsewhere, goes with
//! it, and the engine may write its state only every 20 s. So what it said that it began and did is all that is known. As
//! with a journal whose state is not at hand, nothing of it is taken for recorded but what a state that the server keeps
//! holds: `windlass state import` asks the engine for the state and settles the rest.

use std::collections::BTreeSet;

use crate::deploy::{Error, Service};
use crate::runner::engine::document::State;
use crate::store::Writing;
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{feed, places, rows};
use crate::wire::deployments::{ResourceEvent, What};
use crate::wire::state::Open;

impl Service {
    /// Records what a run that died left open, unless that is known better: by its journal, or by the next run on the
    /// same host, where the state lies there.
    pub(super) async fn left_open_as_heard(
        &self,
        writing: &mut Writing,
        row: &rows::Deployment,
    ) -> Result<(), Error> {
        let Some(mut place) = places::find(writing, &row.env_uuid).await? else {
            return Ok(());
        };
        let is_local = place
            .state
            .as_ref()
            .is_none_or(|state| state.kind == "local");
        let known: Option<Open> = self
            .store
            .document(writing, &row.id, Kind::LeftOpen)
            .await?;
        if is_local || known.is_some() || !row.mode.changes_state() {
            return Ok(());
        }
        let mut open = place.left_open.clone();
        let mut deleted = BTreeSet::new();
        let mut position = 0;
        loop {
            let events = feed::after(writing, &row.id, position).await?;
            let Some(last) = events.last() else { break };
            position = last.position;
            for event in events {
                if let What::Resource(resource) = event.what {
                    hear(&mut open, &mut deleted, resource);
                }
            }
        }
        let state = self.hosted_clear(writing, &row.env_uuid).await?;
        if let Some(state) = state.as_deref().and_then(State::read) {
            // Where an object was deleted first, the state may still hold that one.
            open.unrecorded
                .retain(|address| deleted.contains(address) || !state.holds(address, None));
        }
        if open != place.left_open {
            self.store
                .document_save(writing, &row.id, Kind::LeftOpen, &open)
                .await?;
            place.left_open = open;
            places::save(writing, &place).await?;
        }
        Ok(())
    }
}

/// What was open and what was said next → what is open. `deleted` collects where an object was deleted.
fn hear(open: &mut Open, deleted: &mut BTreeSet<String>, said: ResourceEvent) {
    let ResourceEvent {
        address,
        action,
        state,
    } = said;
    let add = |list: &mut Vec<String>| {
        if !list.contains(&address) {
            list.push(address.clone());
        }
    };
    match (state.as_str(), action.as_str()) {
        (_, "read") => {}
        ("started", _) => add(&mut open.in_flight),
        ("done", "delete") => {
            open.in_flight.retain(|other| *other != address);
            open.unrecorded.retain(|other| *other != address);
            deleted.insert(address);
        }
        ("done", _) => {
            open.in_flight.retain(|other| *other != address);
            add(&mut open.unrecorded);
        }
        // One that failed may exist all the same.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(said: &[(&str, &str, &str)]) -> (Vec<String>, Vec<String>) {
        let (mut open, mut deleted) = (Open::default(), BTreeSet::new());
        for (address, action, state) in said {
            let said = ResourceEvent {
                address: (*address).to_owned(),
                action: (*action).to_owned(),
                state: (*state).to_owned(),
            };
            hear(&mut open, &mut deleted, said);
        }
        (open.unrecorded, open.in_flight)
    }

    #[test]
    fn what_was_done_is_unrecorded_and_what_was_begun_in_flight() {
        let said = [
            ("a", "create", "planned"),
            ("b", "create", "started"),
            ("c", "create", "started"),
            ("c", "create", "done"),
            ("d", "read", "started"),
            ("e", "delete", "started"),
            ("e", "delete", "done"),
            ("e", "create", "started"),
            ("f", "delete", "started"),
            ("f", "delete", "done"),
            ("g", "update", "started"),
            ("g", "update", "failed"),
        ];
        let expected = (
            vec!["c".to_owned()],
            ["b", "e", "g"].map(str::to_owned).to_vec(),
        );
        assert_eq!(left(&said), expected);
    }
}
