//! What exists, as far as a plan needs it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::plan::Options;
use super::read::Files;
use crate::cli::client::{CallError, Client};
use crate::cli::kinds::{self, Kind};
use crate::wire::deployments::Deployment;

/// Objects by kind; whole where the files describe them, else as lists have them.
#[derive(Debug, Default)]
pub(crate) struct Current {
    /// By the name of the kind.
    pub(crate) objects: BTreeMap<&'static str, Vec<Map<String, Value>>>,
    /// `PROJECT/ENV` of every environment that something was deployed to.
    pub(crate) deployed: BTreeSet<String>,
}

impl Current {
    /// Objects of a kind.
    pub(crate) fn of(&self, kind: &Kind) -> &[Map<String, Value>] {
        self.objects
            .get(kind.name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

/// Fetches it.
pub(crate) async fn look(
    client: &Client,
    files: &Files,
    options: &Options,
) -> Result<Current, CallError> {
    let mut current = Current::default();
    for kind in kinds::ALL.iter().copied() {
        let listed: Vec<Map<String, Value>> = client.list(&kind.collection(&[])).await?;
        let described: BTreeSet<Vec<String>> = files
            .entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .filter_map(|entry| kind.ids_of(&entry.body))
            .collect();
        let mut objects = Vec::with_capacity(listed.len());
        for object in listed {
            match kind.ids_of(&object) {
                Some(ids) if kind.lists_are_short && described.contains(&ids) => {
                    // Gone in the meantime is the same as never there.
                    objects.extend(client.find::<Map<String, Value>>(&kind.item(&ids)).await?);
                }
                Some(_) | None => objects.push(object),
            }
        }
        current.objects.insert(kind.name, objects);
    }
    if options.prune {
        let last: Vec<Deployment> = client
            .list("last-deployments?state_change_only=true")
            .await?;
        current.deployed = last
            .into_iter()
            .map(|deployment| format!("{}/{}", deployment.project_id, deployment.env_id))
            .collect();
    }
    Ok(current)
}
