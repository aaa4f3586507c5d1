//! A database that several servers share: what they have to agree on before they work in it.

use super::StoreError;
use super::sql::{self, Connection, Database};
use crate::seal::ring::Keyring;

/// The oldest PostgreSQL.
const OLDEST: i64 = 150_000;
/// What the proof of the key ring is bound to, and what it says.
const PROOF: (&str, &[u8]) = ("keyring-proof", b"windlass");

/// Refuses a server that is too old, cannot hold every text, or takes no writes.
pub(super) async fn check_server(database: &Database) -> Result<(), StoreError> {
    let mut reading = database.reading().await?;
    let (version, shown, encoding, standby): (i64, String, String, String) = sql::query(
        "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
         current_setting('server_encoding'), pg_is_in_recovery()::text",
    )
    .fetch_one(&mut reading)
    .await?;
    let why = if version < OLDEST {
        format!("PostgreSQL {shown} is too old, 15 or newer is needed")
    } else if encoding != "UTF8" {
        format!(
            "its encoding is {encoding}, not UTF8; make another with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
        )
    } else if standby == "true" {
        "it is a standby that takes no writes; use the address of the primary".to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::Unfit {
        place: database.name(),
        why,
    })
}

/// Refuses a key ring that cannot open what the servers before sealed; the first one leaves a proof.
pub(super) async fn check_keyring(
    database: &Database,
    keyring: &Keyring,
) -> Result<(), StoreError> {
    let (place, text) = PROOF;
    let mut reading = database.reading().await?;
    let mut found = proof(&mut reading).await?;
    drop(reading);
    if found.is_none() {
        let mut writing = database.writing().await?;
        sql::query(
            "INSERT INTO keyring_proof (number, sealed) VALUES (1, $1) ON CONFLICT (number) DO NOTHING",
        )
        .bind(keyring.seal(place, text))
        .execute(&mut writing)
        .await?;
        found = proof(&mut writing).await?;
        writing.commit().await?;
    }
    match found.map(|sealed| keyring.open(place, &sealed)) {
        Some(Err(error)) => Err(StoreError::Unfit {
            place: database.name(),
            why: format!(
                "it belongs to another key ring ({error}); copy the file `keyring` of the first server's data directory, or name it by WINDLASS_KEYRING_FILE"
            ),
        }),
        Some(Ok(_)) | None => Ok(()),
    }
}

async fn proof(connection: &mut Connection) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(
        sql::query("SELECT sealed FROM keyring_proof WHERE number = 1")
            .fetch_optional(connection)
            .await?,
    )
}

/// Seals the proof under the first key of a ring that was rotated; returns whether it was not.
pub(super) async fn prove_again(
    connection: &mut Connection,
    keyring: &Keyring,
) -> Result<u64, StoreError> {
    let (place, text) = PROOF;
    let changed = sql::query(
        "UPDATE keyring_proof SET sealed = $1 WHERE number = 1 AND substr(sealed, 2, 8) <> $2",
    )
    .bind(keyring.seal(place, text))
    .bind(keyring.first_id())
    .execute(connection)
    .await?;
    Ok(changed)
}
