//! Brings a database up to date: numbered files, each applied once, in order, all in one transaction.
//!
//! Files are append-only. A database with a migration that this program does not know is refused.

use super::sql::{self, Connection, Database};
use super::{StoreError, clock};

/// One step.
struct Migration {
    number: i64,
    name: &'static str,
    /// Nothing where only PostgreSQL needs it.
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("migrations/sqlite/", $file)),
            postgres: include_str!(concat!("migrations/postgres/", $file)),
        }
    };
}

/// Migrations in order; a number is never used twice, and a new one is greater than all before.
const MIGRATIONS: &[Migration] = &[
    migration!(1, "deployments", "0001_deployments.sql"),
    migration!(2, "objects", "0002_objects.sql"),
    migration!(3, "left_open", "0003_left_open.sql"),
    migration!(4, "identity", "0004_identity.sql"),
    Migration {
        number: 5,
        name: "shared",
        sqlite: "",
        postgres: include_str!("migrations/postgres/0005_shared.sql"),
    },
    migration!(6, "audit and trust", "0006_audit_and_trust.sql"),
    migration!(7, "servers", "0007_servers.sql"),
    migration!(8, "sign on", "0008_sign_on.sql"),
    migration!(9, "in line", "0009_in_line.sql"),
    migration!(10, "turns", "0010_turns.sql"),
    migration!(11, "heard", "0011_heard.sql"),
    migration!(12, "agents", "0012_agents.sql"),
    migration!(13, "hosted state", "0013_hosted_state.sql"),
    migration!(14, "served in line", "0014_served_in_line.sql"),
    migration!(15, "state keys", "0015_state_keys.sql"),
];

/// The version that this program knows.
pub(super) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |last| last.number)
}

/// The version of the database.
pub(super) async fn version(connection: &mut Connection) -> Result<i64, StoreError> {
    let version: Option<i64> = sql::query("SELECT MAX(number) FROM migrations")
        .fetch_one(connection)
        .await?;
    Ok(version.unwrap_or(0))
}

/// Applies what is missing.
pub(super) async fn bring_up(database: &Database) -> Result<(), StoreError> {
    // Whoever comes second waits here, and finds nothing to do.
    let mut transaction = database.migrating().await?;
    let postgres = transaction.is_postgres();
    transaction
        .script(match postgres {
            false => {
                "CREATE TABLE IF NOT EXISTS migrations \
                 (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_us INTEGER NOT NULL) STRICT"
            }
            true => {
                "CREATE TABLE IF NOT EXISTS migrations \
                 (number BIGINT PRIMARY KEY, name TEXT COLLATE \"C\" NOT NULL, applied_us BIGINT NOT NULL)"
            }
        })
        .await?;
    let found = version(&mut transaction).await?;
    if found > known() {
        return Err(StoreError::Newer {
            place: database.name(),
            what: "database",
            found,
            known: known(),
        });
    }
    if found == known() {
        return Ok(());
    }
    for step in MIGRATIONS.iter().filter(|step| step.number > found) {
        transaction
            .script(match postgres {
                false => step.sqlite,
                true => step.postgres,
            })
            .await?;
        sql::query("INSERT INTO migrations (number, name, applied_us) VALUES ($1, $2, $3)")
            .bind(step.number)
            .bind(step.name)
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
    fn migrations_are_numbered_in_their_order() {
        assert!(MIGRATIONS.is_sorted_by(|one, next| one.number < next.number));
    }
}
