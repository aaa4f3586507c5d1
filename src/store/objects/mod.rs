//! Organisations, projects, environments and the catalogue: what is stored of them.
//!
//! One file per noun. Every write checks what it refers to in its own transaction and answers an
//! [`ObjectError`] whose text is v1's; the shape of fields is checked before, by `api`. Never launches,
//! fetches or compiles anything. Start at [`projects`], the plainest noun.
//!
//! Why bodies: SQL looks at a few columns of each object; the rest is kept as the JSON that the API
//! answers, in an envelope that begins with its version, so that a new optional field needs no migration.
//! What must not be readable in the database (provider and runner configurations) is sealed under the key ring.

pub(crate) mod catalogue;
pub(crate) mod environment_types;
pub(crate) mod environments;
pub(crate) mod metadata_keys;
pub(crate) mod module_rules;
pub(crate) mod modules;
pub(crate) mod organizations;
pub(crate) mod projects;
pub(crate) mod providers;
pub(crate) mod resource_types;
pub(crate) mod runner_rules;
pub(crate) mod runners;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::clock::{new_id, now_us, stamp};
use super::sql::{self, Builder, Connection, Row};
use super::{Store, StoreError};

/// Why an object was not stored, changed or removed. The text is for people and is v1's where v1 has one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// There is no such object.
    #[error("{0}")]
    Missing(String),
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// A field names something that does not exist or may not be used there.
    #[error("{message}")]
    Invalid {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The database or the key ring failed.
    #[error("the store could not be read or written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for ObjectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sql::Error> for ObjectError {
    fn from(error: sql::Error) -> Self {
        Self::Store(error.into())
    }
}

impl ObjectError {
    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self::Missing(text.into())
    }

    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    /// Sort key of the last item of the page before.
    pub(crate) after: Option<Vec<String>>,
    /// At most so many items; at least 1.
    pub(crate) limit: usize,
}

impl Paging {
    /// Everything on one page.
    pub(crate) const ALL: Self = Self {
        after: None,
        limit: usize::MAX,
    };
}

/// A part of a list.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T> {
    /// In order.
    pub(crate) items: Vec<T>,
    /// Sort key of the last item, when there are more.
    pub(crate) next: Option<Vec<String>>,
}

/// What is stored as a body.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    object: T,
}

/// The version of bodies written by this program.
const BODY_VERSION: u32 = 1;

/// The text stored for `object`.
fn pack<T: Serialize>(object: &T) -> Result<String, StoreError> {
    serde_json::to_string(&Envelope {
        version: BODY_VERSION,
        object,
    })
    .map_err(|source| StoreError::document("an object", source))
}

/// Reads what [`pack`] wrote.
fn unpack<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str::<Envelope<T>>(text)
        .map(|envelope| envelope.object)
        .map_err(|source| StoreError::document("an object", source))
}

/// Reads an optional body.
fn unpack_optional<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, StoreError> {
    text.as_deref().map(unpack).transpose()
}

/// Runs a query of bodies that ends before its `ORDER BY`, from `paging.after` on.
///
/// `columns` are the sort key; `key` reads the same from an item.
async fn listed<T: DeserializeOwned>(
    connection: &mut Connection,
    mut query: Builder<'static>,
    columns: &'static [&'static str],
    paging: &Paging,
    key: impl Fn(&T) -> Vec<String>,
) -> Result<Listed<T>, StoreError> {
    if let Some(after) = &paging.after {
        let after = |at| after.get(at).cloned().unwrap_or_default();
        query
            .push(" AND (")
            .push_list(columns, ", ")
            .push(") > (")
            .push_values((0..columns.len()).map(after))
            .push(")");
    }
    let limit = i64::try_from(paging.limit.saturating_add(1)).unwrap_or(i64::MAX);
    query
        .push(" ORDER BY ")
        .push_list(columns, ", ")
        .push(" LIMIT ")
        .push_bind(limit);
    let rows: Vec<Row> = query.build().fetch_all(connection).await?;
    let mut items = rows
        .iter()
        .map(|row| unpack::<T>(row.text("body")?))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let more = items.len() > paging.limit;
    items.truncate(paging.limit);
    Ok(Listed {
        next: items.last().filter(|_| more).map(key),
        items,
    })
}

/// The time of a change to something last changed at `before`: now, and never the same text twice.
pub(crate) fn later_than(before: &str) -> String {
    let now = stamp(now_us());
    if now.as_str() > before {
        return now;
    }
    before
        .parse::<jiff::Timestamp>()
        .map(|at| stamp(at.as_microsecond() + 1))
        .unwrap_or(now)
}

impl Store {
    /// Seals a value under the key ring, bound to `place`.
    fn seal_json<T: Serialize>(&self, place: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(value)
            .map_err(|source| StoreError::document("a configuration", source))?;
        Ok(self.seal(place, &plain))
    }

    /// Opens what [`Store::seal_json`] made.
    fn unseal_json<T: DeserializeOwned>(
        &self,
        place: &str,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        let plain = self.unseal("a configuration", place, sealed)?;
        serde_json::from_slice(&plain)
            .map_err(|source| StoreError::document("a configuration", source))
    }
}

/// Whether the organisation exists.
pub(crate) async fn organization_known(
    connection: &mut Connection,
    org: &str,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sql::query("SELECT 1 FROM organizations WHERE id = $1")
        .bind(org)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Refuses to create something in an organisation that does not exist.
async fn require_organization(connection: &mut Connection, org: &str) -> Result<(), ObjectError> {
    if organization_known(connection, org).await? {
        return Ok(());
    }
    Err(ObjectError::conflict("organization not found"))
}

/// Refuses to list something of an organisation that does not exist.
async fn require_listed_organization(
    connection: &mut Connection,
    org: &str,
) -> Result<(), ObjectError> {
    if organization_known(connection, org).await? {
        return Ok(());
    }
    Err(ObjectError::missing("organization not found"))
}

/// The owner as it is stored in its column: empty for none.
fn owner_column(owner: Option<&String>) -> &str {
    owner.map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_never_at_the_time_of_the_last() {
        assert_eq!(
            later_than("9999-01-01T00:00:00.000000Z"),
            "9999-01-01T00:00:00.000001Z"
        );
    }

    #[test]
    fn a_body_begins_with_its_version() {
        assert_eq!(
            pack(&"x").expect("serializes"),
            r#"{"version":1,"object":"x"}"#
        );
    }
}
