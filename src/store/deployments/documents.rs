//! What belongs to a deployment and is too big for its row.

use serde::{Serialize, de::DeserializeOwned};

use super::Connection;
use crate::store::sql;
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
        }
    }

    /// Whether it is encrypted under the key ring.
    fn is_sealed(self) -> bool {
        matches!(self, Self::Offer | Self::Graph | Self::Bundle | Self::Ids)
    }
}

impl Store {
    /// Stores a document in place of an earlier one of its kind.
    pub(crate) async fn document_save<T: Serialize>(
        &self,
        connection: &mut Connection,
        deployment: &str,
        kind: Kind,
        value: &T,
    ) -> Result<(), StoreError> {
        let mut content = serde_json::to_vec(value)
            .map_err(|source| StoreError::document(kind.name(), source))?;
        if kind.is_sealed() {
            content = self.seal(&place(deployment, kind), &content);
        }
        sql::query(
            "INSERT INTO documents (deployment, kind, sealed, content) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (deployment, kind) DO UPDATE SET sealed = excluded.sealed, content = excluded.content",
        )
        .bind(deployment)
        .bind(kind.name())
        .bind(i64::from(kind.is_sealed()))
        .bind(content)
        .execute(connection)
        .await?;
        Ok(())
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
        let Some((sealed, mut content)) = row else {
            return Ok(None);
        };
        if sealed != 0 {
            content = self.unseal(kind.name(), &place(deployment, kind), &content)?;
        }
        serde_json::from_slice(&content)
            .map(Some)
            .map_err(|source| StoreError::document(kind.name(), source))
    }
}

fn place(deployment: &str, kind: Kind) -> String {
    format!("deployment/{deployment}/{}", kind.name())
}
