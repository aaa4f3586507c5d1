//! The audit log: one row for every request that may change something, chained by hashes (`wire::audit` has the format).
//!
//! A change and its row are one transaction: while a request is [`carried`] out, the first write that is committed
//! appends the row. A request that ends without one (it was denied, refused, or changed nothing) gets its row
//! afterwards, by [`Store::audit_append`]. A row never holds a body, a query or a secret.
//!
//! Why a value of the task and not an argument: every write of every room would have to pass it on, and the one that
//! forgot would be the hole. What another task does later, such as noting when a token was used, is no part of it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::objects::{Listed, Paging, organization_known};
use super::sql::{self, Connection};
use super::{Store, StoreError, clock};
use crate::wire::audit::{AuditRow, NOTHING_BEFORE, canonical, hash};

/// What is known of a request before it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The organisation of the path, whether or not it exists.
    pub(crate) organization: String,
    /// User id; empty when nobody proved who they are.
    pub(crate) actor: String,
    /// `person`, `service`, `system` or `nobody`.
    pub(crate) actor_kind: String,
    /// Their name.
    pub(crate) actor_name: String,
    /// The method.
    pub(crate) method: String,
    /// The pattern of the route.
    pub(crate) route: String,
    /// The path, without its query.
    pub(crate) path: String,
    /// What it is about, where the path does not say it.
    pub(crate) object: String,
    /// The id of the request.
    pub(crate) request_id: String,
    /// The address it came from.
    pub(crate) client: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something was changed; the row is part of that change.
    Changed,
    /// It succeeded and changed nothing.
    Unchanged(u16),
    /// The caller may not.
    Denied(u16),
    /// It cannot be done.
    Refused(u16),
    /// The server failed.
    Failed(u16),
}

impl Outcome {
    /// The outcome of a request that changed nothing.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied(status),
            400..=499 => Self::Refused(status),
            500.. => Self::Failed(status),
            _ => Self::Unchanged(status),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged(_) => "unchanged",
            Self::Denied(_) => "denied",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    fn status(self) -> Option<u16> {
        match self {
            Self::Changed => None,
            Self::Unchanged(status)
            | Self::Denied(status)
            | Self::Refused(status)
            | Self::Failed(status) => Some(status),
        }
    }
}

/// The row that is still to be written, shared by the request's door and its writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<Option<Draft>>>);

tokio::task_local! {
    /// Set while a request is carried out whose row is still to be written.
    static PENDING: Pending;
}

impl Pending {
    /// One for a request.
    pub(crate) fn new(draft: Draft) -> Self {
        Self(Arc::new(Mutex::new(Some(draft))))
    }

    /// Takes it: whoever does writes the row.
    pub(crate) fn take(&self) -> Option<Draft> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Draft>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries a request out whose row is `pending`.
pub(crate) async fn carried<T>(pending: Pending, request: impl Future<Output = T>) -> T {
    PENDING.scope(pending, request).await
}

/// Says more about the request that is being carried out.
pub(crate) fn note(change: impl FnOnce(&mut Draft)) {
    let _ = PENDING.try_with(|pending| {
        if let Some(draft) = &mut *pending.lock() {
            change(draft);
        }
    });
}

/// Says that the request that is being carried out only looks.
pub(crate) fn forget() {
    let _ = PENDING.try_with(Pending::take);
}

/// Appends the row of the request that this task carries out, if it has none yet.
pub(super) async fn append_pending(connection: &mut Connection) -> Result<(), StoreError> {
    let draft = PENDING.try_with(|pending| pending.lock().clone());
    match draft {
        Ok(Some(draft)) => append(connection, &draft, Outcome::Changed).await,
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Appends a row to the chain of its organisation, or to the chain of the server where that does not exist.
async fn append(
    connection: &mut Connection,
    draft: &Draft,
    outcome: Outcome,
) -> Result<(), StoreError> {
    let known = !draft.organization.is_empty()
        && organization_known(connection, &draft.organization).await?;
    let organization = if known { &draft.organization } else { "" };
    let number: i64 = sql::query(
        "INSERT INTO audit_heads (org_id, number) VALUES ($1, 1) \
         ON CONFLICT (org_id) DO UPDATE SET number = audit_heads.number + 1 RETURNING number",
    )
    .bind(organization)
    .fetch_one(connection)
    .await?;
    let before: Option<String> =
        sql::query("SELECT hash FROM audit WHERE org_id = $1 AND number = $2")
            .bind(organization)
            .bind(number - 1)
            .fetch_optional(connection)
            .await?;
    let text = canonical(&entry(draft, organization, number, outcome));
    sql::query("INSERT INTO audit (org_id, number, hash, entry) VALUES ($1, $2, $3, $4)")
        .bind(organization)
        .bind(number)
        .bind(hash(before.as_deref().unwrap_or(NOTHING_BEFORE), &text))
        .bind(text)
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(draft: &Draft, organization: &str, number: i64, outcome: Outcome) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("number".into(), number.into());
    entry.insert("time".into(), clock::stamp(clock::now_us()).into());
    entry.insert("organization".into(), organization.into());
    for (name, text) in [
        ("actor", &draft.actor),
        ("actor_kind", &draft.actor_kind),
        ("actor_name", &draft.actor_name),
        ("method", &draft.method),
        ("route", &draft.route),
        ("path", &draft.path),
        ("object", &draft.object),
        ("request_id", &draft.request_id),
        ("client", &draft.client),
    ] {
        if !text.is_empty() {
            entry.insert(name.into(), text.as_str().into());
        }
    }
    entry.insert("outcome".into(), outcome.word().into());
    if let Some(status) = outcome.status() {
        entry.insert("status".into(), status.into());
    }
    entry
}

impl Store {
    /// Appends the row of a request that changed nothing.
    pub(crate) async fn audit_append(
        &self,
        draft: &Draft,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let mut writing = self.writing().await?;
        append(&mut writing, draft, outcome).await?;
        writing.commit().await
    }

    /// Rows in the order of their numbers; `organization` is empty for requests below none.
    pub(crate) async fn audit_list(
        &self,
        organization: &str,
        paging: &Paging,
    ) -> Result<Listed<AuditRow>, StoreError> {
        let after: i64 = paging
            .after
            .as_ref()
            .and_then(|key| key.first())
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let mut reading = self.reading().await?;
        let mut rows: Vec<(i64, String, String)> = sql::query(
            "SELECT number, hash, entry FROM audit WHERE org_id = $1 AND number > $2 \
             ORDER BY number LIMIT $3",
        )
        .bind(organization)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut reading)
        .await?;
        let more = rows.len() > paging.limit;
        rows.truncate(paging.limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|(number, ..)| vec![number.to_string()]);
        let items = rows
            .into_iter()
            .map(|(_, hash, entry)| AuditRow {
                // What is no object any more was tampered with, and its hash will say so.
                entry: serde_json::from_str(&entry).unwrap_or_default(),
                hash,
            })
            .collect();
        Ok(Listed { items, next })
    }
}

#[cfg(test)]
mod tests;
