//! Keys under which engines encrypt the state of an environment themselves, each sealed under the key ring.
//!
//! Why kept and not derived from the ring: a ring that is rotated forgets its old keys, and a state lies where nobody here
//! can write it anew. So a rotation adds a key to each environment instead: the next write of its state is under that one,
//! and what lies there until then still opens.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::sql::{self, Connection};
use super::{Store, StoreError};
use crate::seal::ring::Keyring;

/// What a key is sealed for.
pub(super) fn place(env_uuid: &str) -> String {
    format!("state-key/{env_uuid}")
}

impl Store {
    /// The keys of an environment, in base64; the newest is the last.
    pub(crate) async fn state_keys(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<Vec<u8>> =
            sql::query("SELECT sealed FROM state_keys WHERE env_uuid = $1 ORDER BY number")
                .bind(env_uuid)
                .fetch_all(connection)
                .await?;
        rows.into_iter()
            .map(|sealed| {
                let key = self.unseal("the key of a state", &place(env_uuid), &sealed)?;
                Ok(BASE64_STANDARD.encode(key))
            })
            .collect()
    }

    /// The same; makes the first one where there is none.
    pub(crate) async fn state_keys_made(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
    ) -> Result<Vec<String>, StoreError> {
        let keys = self.state_keys(connection, env_uuid).await?;
        if !keys.is_empty() {
            return Ok(keys);
        }
        let sealed = self.seal(&place(env_uuid), &*crate::seal::random_key());
        add(connection, env_uuid, 1, &sealed).await?;
        self.state_keys(connection, env_uuid).await
    }
}

async fn add(
    connection: &mut Connection,
    env_uuid: &str,
    number: i64,
    sealed: &[u8],
) -> Result<(), StoreError> {
    sql::query("INSERT INTO state_keys (env_uuid, number, sealed) VALUES ($1, $2, $3)")
        .bind(env_uuid)
        .bind(number)
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives every environment that has keys one more.
pub(super) async fn renew(connection: &mut Connection, ring: &Keyring) -> Result<(), StoreError> {
    let newest: Vec<(String, i64)> =
        sql::query("SELECT env_uuid, MAX(number) FROM state_keys GROUP BY env_uuid")
            .fetch_all(connection)
            .await?;
    for (env_uuid, number) in newest {
        let sealed = ring.seal(&place(&env_uuid), &*crate::seal::random_key());
        add(connection, &env_uuid, number + 1, &sealed).await?;
    }
    Ok(())
}
