//! What belongs to a deployment and is too big for its row.

use serde::{Serialize, de::DeserializeOwned};

use super::Connection;
use crate::store::sql::{self, Builder};
use crate::store::{Store, StoreError};

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request as it was accepted.
    Request,
    /// The manifest that is compiled.
    Manifest,
    /// What the catalogue, the runner and the environment were at acceptance; may hold secrets.
    Offer,
    /// The resource graph as `graph` writes it; may hold provider configuration.
    Graph,
    /// The graph for people.
    View,
    /// What changes against the state before.
    Diff,
    /// The bundle: path to content; may hold provider configuration.
    Bundle,
    /// What is in clear about failures.
    Diagnostics,
    /// What the supervisor said at the end.
    Finished,
    /// What the state was made by before this deployment was let change it.
    Before,
    /// What was open when a run died that could not say it itself.
    LeftOpen,
    /// Which addresses a run takes into the state or forgets.
    Addresses,
    /// Ids that a person named for some of them; may be secret.
    Ids,
    /// From where to where a state is moved; may hold secrets of runners.
    Move,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Manifest => "manifest",
            Self::Offer => "offer",
            Self::Graph => "graph",
            Self::View => "view",
            Self::Diff => "diff",
            Self::Bundle => "bundle",
            Self::Diagnostics => "diagnostics",
            Self::Finished => "finished",
            Self::Before => "before",
            Self::LeftOpen => "left_open",
            Self::Addresses => "addresses",
            Self::Ids => "ids",
            Self::Move => "move",
        }
    }

    /// Whether it is encrypted under the key ring.
    fn is_sealed(self) -> bool {
        matches!(
            self,
            Self::Offer | Self::Graph | Self::Bundle | Self::Ids | Self::Move
        )
    }
}

/// Documents on their way into the store, so that many go in one statement.
pub(crate) struct Pile<'a> {
    store: &'a Store,
    deployment: &'a str,
    content: Vec<(Kind, Vec<u8>)>,
}

impl<'a> Pile<'a> {
    /// None of a deployment yet.
    pub(crate) fn new(store: &'a Store, deployment: &'a str) -> Self {
        Self {
            store,
            deployment,
            content: Vec::new(),
        }
    }

    /// Puts one on it.
    pub(crate) fn put<T: Serialize>(&mut self, kind: Kind, value: &T) -> Result<(), StoreError> {
        let mut content = serde_json::to_vec(value)
            .map_err(|source| StoreError::document(kind.name(), source))?;
        if kind.is_sealed() {
            content = self.store.seal(&place(self.deployment, kind), &content);
        }
        self.content.push((kind, content));
        Ok(())
    }

    /// Stores them in place of earlier ones of their kinds.
    pub(crate) async fn save(self, connection: &mut Connection) -> Result<(), StoreError> {
        if self.content.is_empty() {
            return Ok(());
        }
        let mut query =
            Builder::new("INSERT INTO documents (deployment, kind, sealed, content) VALUES ");
        for (number, (kind, content)) in self.content.into_iter().enumerate() {
            query
                .push(if number == 0 { "(" } else { ", (" })
                .push_bind(self.deployment)
                .push(", ")
                .push_bind(kind.name())
                .push(", ")
                .push_bind(i64::from(kind.is_sealed()))
                .push(", ")
                .push_bind(content)
                .push(")");
        }
        query.push(
            " ON CONFLICT (deployment, kind) DO UPDATE SET sealed = excluded.sealed, content = excluded.content",
        );
        query.build().execute(connection).await?;
        Ok(())
    }
}

/// Documents of a deployment that were read at once.
pub(crate) struct Found<'a> {
    store: &'a Store,
    deployment: String,
    rows: Vec<(String, i64, Vec<u8>)>,
}

impl Found<'_> {
    /// One of them.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        kind: Kind,
    ) -> Result<Option<T>, StoreError> {
        let at = self.rows.iter().position(|row| row.0 == kind.name());
        let Some((_, sealed, content)) = at.map(|at| self.rows.swap_remove(at)) else {
            return Ok(None);
        };
        self.store
            .read(&self.deployment, kind, sealed, content)
            .map(Some)
    }
}

impl Store {
    /// Reads documents of these kinds.
    pub(crate) async fn documents(
        &self,
        connection: &mut Connection,
        deployment: &str,
        kinds: &[Kind],
    ) -> Result<Found<'_>, StoreError> {
        let mut query =
            Builder::new("SELECT kind, sealed, content FROM documents WHERE deployment = ");
        query
            .push_bind(deployment)
            .push(" AND kind IN (")
            .push_values(kinds.iter().map(|kind| kind.name()))
            .push(")");
        Ok(Found {
            store: self,
            deployment: deployment.to_owned(),
            rows: query.build().fetch_all(connection).await?,
        })
    }

    fn read<T: DeserializeOwned>(
        &self,
        deployment: &str,
        kind: Kind,
        sealed: i64,
        mut content: Vec<u8>,
    ) -> Result<T, StoreError> {
        if sealed != 0 {
            content = self.unseal(kind.name(), &place(deployment, kind), &content)?;
        }
        serde_json::from_slice(&content).map_err(|source| StoreError::document(kind.name(), source))
    }

    /// Stores a document in place of an earlier one of its kind.
    pub(crate) async fn document_save<T: Serialize>(
        &self,
        connection: &mut Connection,
        deployment: &str,
        kind: Kind,
        value: &T,
    ) -> Result<(), StoreError> {
        let mut pile = Pile::new(self, deployment);
        pile.put(kind, value)?;
        pile.save(connection).await
    }

    /// Reads a document.
    pub(crate) async fn document<T: DeserializeOwned>(
        &self,
        connection: &mut Connection,
        deployment: &str,
        kind: Kind,
    ) -> Result<Option<T>, StoreError> {
        let row: Option<(i64, Vec<u8>)> =
            sql::query("SELECT sealed, content FROM documents WHERE deployment = $1 AND kind = $2")
                .bind(deployment)
                .bind(kind.name())
                .fetch_optional(connection)
                .await?;
        row.map(|(sealed, content)| self.read(deployment, kind, sealed, content))
            .transpose()
    }
}

fn place(deployment: &str, kind: Kind) -> String {
    sealed_place(deployment, kind.name())
}

/// What a document is sealed for, by the name of its kind.
pub(in crate::store) fn sealed_place(deployment: &str, kind: &str) -> String {
    format!("deployment/{deployment}/{kind}")
}
