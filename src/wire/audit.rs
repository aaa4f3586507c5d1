//! The audit log on the wire and in exported files: rows that are chained by hashes, and how the chain is checked.
//!
//! A row's `hash` is the SHA-256, in hexadecimal, of three lines: `windlass-audit-1`, the hash of the row before (64
//! zeros for the first), and the canonical JSON of `entry`: one object of texts and whole numbers, keys sorted, no
//! white space, nothing escaped that need not be. In Python: `json.dumps(entry, sort_keys=True, ensure_ascii=False,
//! separators=(",", ":"))`. Rows are numbered from 1 without gaps, per organisation.
//!
//! What it can show: a row that was changed, taken out or put in breaks the chain there. A chain that was made anew as
//! a whole is consistent in itself; it differs from a head that was kept elsewhere. Hence `audit export`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::model::hex;

/// The first line under every hash; names the format.
const FORMAT: &str = "windlass-audit-1";

/// What stands before the first row.
pub(crate) const NOTHING_BEFORE: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AuditRow {
    /// `number`, `time`, `organization`, who, what, and how it ended.
    pub(crate) entry: Map<String, Value>,
    /// Of this row.
    pub(crate) hash: String,
}

impl AuditRow {
    /// Its number, if it has one.
    pub(crate) fn number(&self) -> Option<i64> {
        self.entry.get("number").and_then(Value::as_i64)
    }
}

/// The end of a chain: the last line of an exported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditHead {
    /// Whose chain; empty for requests below no organisation.
    pub(crate) organization: String,
    /// Number of the last row; 0 when there is none.
    pub(crate) number: i64,
    /// Its hash.
    pub(crate) hash: String,
}

/// The text that is hashed.
pub(crate) fn canonical(entry: &Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<&String, &Value> = entry.iter().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

/// The hash of a row after `before`.
pub(crate) fn hash(before: &str, canonical: &str) -> String {
    let mut digest = Sha256::new();
    for line in [FORMAT, "\n", before, "\n", canonical] {
        digest.update(line.as_bytes());
    }
    hex(&digest.finalize())
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// A row is missing, or one stands where it does not belong.
    #[error("number {number} is missing")]
    Missing {
        /// Which.
        number: i64,
    },
    /// A row was changed, or its predecessor was.
    #[error(
        "number {number} was altered: its hash does not follow from its content and the row before"
    )]
    Altered {
        /// Which.
        number: i64,
    },
    /// A row of another organisation.
    #[error("number {number} belongs to another organisation")]
    Foreign {
        /// Which.
        number: i64,
    },
}

/// Follows a chain from its first row, and tells its end or the first row that is wrong.
pub(crate) fn verify<'a>(
    organization: &str,
    rows: impl IntoIterator<Item = &'a AuditRow>,
) -> Result<AuditHead, Broken> {
    let mut head = AuditHead {
        organization: organization.to_owned(),
        number: 0,
        hash: NOTHING_BEFORE.to_owned(),
    };
    for row in rows {
        let number = head.number + 1;
        if row.number() != Some(number) {
            return Err(Broken::Missing { number });
        }
        if row.hash != hash(&head.hash, &canonical(&row.entry)) {
            return Err(Broken::Altered { number });
        }
        if row.entry.get("organization").and_then(Value::as_str) != Some(organization) {
            return Err(Broken::Foreign { number });
        }
        head.number = number;
        head.hash = row.hash.clone();
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chain(count: i64) -> Vec<AuditRow> {
        let mut before = NOTHING_BEFORE.to_owned();
        (1..=count)
            .map(|number| {
                let Value::Object(entry) =
                    json!({"number": number, "organization": "o", "path": "/ü\n"})
                else {
                    panic!("an object");
                };
                before = hash(&before, &canonical(&entry));
                AuditRow {
                    entry,
                    hash: before.clone(),
                }
            })
            .collect()
    }

    #[test]
    fn the_format_is_fixed() {
        let row = &chain(1)[0];
        assert_eq!(
            canonical(&row.entry),
            r#"{"number":1,"organization":"o","path":"/ü\n"}"#
        );
        assert_eq!(
            row.hash,
            "020f197d085c07ce3082563785934dd47233d0771d8b0995d204e3ac7dacbfa6"
        );
    }

    #[test]
    fn the_first_row_that_is_wrong_is_named() {
        assert_eq!(verify("o", &chain(3)).map(|head| head.number), Ok(3));
        assert_eq!(verify("o", &[]).map(|head| head.number), Ok(0));
        let mut altered = chain(4);
        altered[1].entry.insert("path".into(), "/other".into());
        assert_eq!(verify("o", &altered), Err(Broken::Altered { number: 2 }));
        let mut shorter = chain(4);
        shorter.remove(2);
        assert_eq!(verify("o", &shorter), Err(Broken::Missing { number: 3 }));
        assert_eq!(verify("p", &chain(1)), Err(Broken::Foreign { number: 1 }));
    }
}
