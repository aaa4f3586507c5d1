//! Brings a database up to date: numbered files, each applied once, in order, all in one transaction.
//!
//! Files are append-only. A database with a migration that this program does not know is refused.

use std::path::Path;

use super::sql::{self, Connection, Database};
use super::{StoreError, clock};

/// Migrations in order; a number is never used twice.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "deployments",
        include_str!("migrations/sqlite/0001_deployments.sql"),
    ),
    (
        2,
        "objects",
        include_str!("migrations/sqlite/0002_objects.sql"),
    ),
    (
        3,
        "left_open",
        include_str!("migrations/sqlite/0003_left_open.sql"),
    ),
    (
        4,
        "identity",
        include_str!("migrations/sqlite/0004_identity.sql"),
    ),
];

/// The version that this program knows.
pub(super) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |(number, ..)| *number)
}

/// The version of the database.
pub(super) async fn version(connection: &mut Connection) -> Result<i64, StoreError> {
    let version: Option<i64> = sql::query("SELECT MAX(number) FROM migrations")
        .fetch_one(connection)
        .await?;
    Ok(version.unwrap_or(0))
}

/// Applies what is missing.
pub(super) async fn bring_up(database: &Database, path: &Path) -> Result<(), StoreError> {
    let mut transaction = database.writing().await?;
    transaction
        .script(
            "CREATE TABLE IF NOT EXISTS migrations \
             (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_us INTEGER NOT NULL) STRICT",
        )
        .await?;
    let found = version(&mut transaction).await?;
    if found > known() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            what: "database",
            found,
            known: known(),
        });
    }
    if found == known() {
        return Ok(());
    }
    for (number, name, text) in MIGRATIONS.iter().filter(|(number, ..)| *number > found) {
        transaction.script(text).await?;
        sql::query("INSERT INTO migrations (number, name, applied_us) VALUES ($1, $2, $3)")
            .bind(*number)
            .bind(*name)
            .bind(clock::now_us())
            .execute(&mut transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        for (at, (number, ..)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(*number).expect("positive"), at + 1);
        }
    }
}
