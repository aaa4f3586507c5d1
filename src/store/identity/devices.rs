//! Programs that log in: they ask, a person lets them in, and they get a session of that person, once.

use super::sessions::{self, NewSession};
use super::tokens::Secret;
use crate::store::objects::ObjectError;
use crate::store::sql::{self, Row};
use crate::store::{Store, StoreError, clock};

/// How long a program may wait for a person.
const LIFE_US: i64 = 10 * 60 * 1_000_000;
/// Letters of a code: none that is taken for another or for a digit.
const LETTERS: &[u8; 23] = b"ABCDEFGHJKMNPQRSTUVWXYZ";
/// Letters in a code, without its hyphen.
const LENGTH: usize = 6;
/// At most so many programs wait at once: asking takes no token.
const MOST: i64 = 1000;

/// A program that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceLogin {
    /// Its request.
    pub(crate) id: String,
    /// When it asked.
    pub(crate) created_us: i64,
    /// Until when it may be let in.
    pub(crate) expires_us: i64,
    /// What it says it is.
    pub(crate) user_agent: String,
    /// From where it asked.
    pub(crate) client_ip: Option<String>,
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Let it in.
    Accept,
    /// Do not.
    Reject,
}

/// What a program is told that asks whether it is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Polled {
    /// Nobody decided yet.
    Pending,
    /// It is; the session is open now.
    Accepted(DeviceLogin),
    /// It is not.
    Rejected,
    /// Its polling token is wrong.
    NotYours,
    /// There is no such request, or not any more.
    Unknown,
}

/// A new code: `ABCDEF`.
fn new_code() -> String {
    let mut code = String::with_capacity(LENGTH);
    while code.len() < LENGTH {
        let mut byte = [0u8; 1];
        getrandom::fill(&mut byte).expect("the system gives random bytes");
        // 253 is a multiple of 23: no letter is likelier than another.
        if byte[0] < 253 {
            code.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    code
}

/// A code as people read it, `ABC-DEF`.
pub(crate) fn shown(code: &str) -> String {
    let (first, second) = code.split_at(code.len() / 2);
    format!("{first}-{second}")
}

/// A code as somebody typed it.
fn typed(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_uppercase()
}

fn read(row: &Row) -> Result<DeviceLogin, StoreError> {
    Ok(DeviceLogin {
        id: row.get("id")?,
        created_us: row.get("created_us")?,
        expires_us: row.get("expires_us")?,
        user_agent: row.get("user_agent")?,
        client_ip: row.get("client_ip")?,
    })
}

impl Store {
    /// Notes that a program asks; returns its request and its code, or nothing when too many wait.
    pub(crate) async fn device_create(
        &self,
        polling: &Secret,
        user_agent: &str,
        client_ip: Option<&str>,
    ) -> Result<Option<(DeviceLogin, String)>, StoreError> {
        let now = clock::now_us();
        let mut writing = self.writing().await?;
        sql::query("DELETE FROM device_logins WHERE expires_us <= $1")
            .bind(now)
            .execute(&mut writing)
            .await?;
        let waiting: i64 = sql::query("SELECT COUNT(*) FROM device_logins")
            .fetch_one(&mut writing)
            .await?;
        if waiting >= MOST {
            return Ok(None);
        }
        let login = DeviceLogin {
            id: clock::new_id(),
            created_us: now,
            expires_us: now + LIFE_US,
            user_agent: user_agent.to_owned(),
            client_ip: client_ip.map(str::to_owned),
        };
        loop {
            let code = new_code();
            let made = sql::query(
                "INSERT INTO device_logins (id, code, polling_hash, state, user_agent, client_ip, created_us, expires_us) \
                 VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7) ON CONFLICT (code) DO NOTHING",
            )
            .bind(&login.id)
            .bind(&code)
            .bind(polling.hash())
            .bind(&login.user_agent)
            .bind(&login.client_ip)
            .bind(login.created_us)
            .bind(login.expires_us)
            .execute(&mut writing)
            .await?;
            if made == 1 {
                writing.commit().await?;
                return Ok(Some((login, code)));
            }
        }
    }

    /// The request of a code that nobody decided on yet.
    pub(crate) async fn device_by_code(
        &self,
        code: &str,
    ) -> Result<Option<DeviceLogin>, StoreError> {
        let mut reading = self.reading().await?;
        let row: Option<Row> = sql::query(
            "SELECT id, created_us, expires_us, user_agent, client_ip FROM device_logins \
             WHERE code = $1 AND expires_us > $2",
        )
        .bind(typed(code))
        .bind(clock::now_us())
        .fetch_optional(&mut reading)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Lets a program in, or does not; once.
    pub(crate) async fn device_decide(
        &self,
        id: &str,
        user: &str,
        decision: Decision,
    ) -> Result<(), ObjectError> {
        let mut writing = self.writing().await?;
        let state: Option<String> =
            sql::query("SELECT state FROM device_logins WHERE id = $1 AND expires_us > $2")
                .bind(id)
                .bind(clock::now_us())
                .fetch_optional(&mut writing)
                .await?;
        match state.as_deref() {
            None => return Err(ObjectError::missing("device login not found")),
            Some("pending") => {}
            Some(_) => {
                return Err(ObjectError::Invalid {
                    pointer: "",
                    message: "the device login was decided already".to_owned(),
                });
            }
        }
        let state = match decision {
            Decision::Accept => "accepted",
            Decision::Reject => "rejected",
        };
        sql::query("UPDATE device_logins SET state = $2, user_id = $3 WHERE id = $1")
            .bind(id)
            .bind(state)
            .bind(user)
            .execute(&mut writing)
            .await?;
        writing.commit().await?;
        Ok(())
    }

    /// Opens the session of a program that was let in; the request is gone then.
    pub(crate) async fn device_poll(
        &self,
        id: &str,
        polling: &Secret,
        new: &NewSession<'_>,
    ) -> Result<Polled, StoreError> {
        let mut reading = self.reading().await?;
        let row: Option<Row> = sql::query(
            "SELECT id, created_us, expires_us, user_agent, client_ip, polling_hash, state \
             FROM device_logins WHERE id = $1 AND expires_us > $2",
        )
        .bind(id)
        .bind(clock::now_us())
        .fetch_optional(&mut reading)
        .await?;
        drop(reading);
        let Some(row) = row else {
            return Ok(Polled::Unknown);
        };
        // Both are hashes: how long comparing takes tells nothing about the token.
        if row.text("polling_hash")? != polling.hash() {
            return Ok(Polled::NotYours);
        }
        match row.text("state")? {
            "accepted" => {}
            "rejected" => return Ok(Polled::Rejected),
            _ => return Ok(Polled::Pending),
        }
        let mut writing = self.writing().await?;
        let user: Option<String> = sql::query(
            "DELETE FROM device_logins WHERE id = $1 AND state = 'accepted' RETURNING user_id",
        )
        .bind(id)
        .fetch_optional(&mut writing)
        .await?;
        let Some(user) = user else {
            return Ok(Polled::Unknown);
        };
        sessions::open(&mut writing, &user, new).await?;
        writing.commit().await?;
        Ok(Polled::Accepted(read(&row)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_easy_to_read_and_are_found_however_they_are_typed() {
        let code = new_code();
        assert_eq!(code.len(), LENGTH);
        assert!(!code.contains(['I', 'L', 'O']));
        assert_eq!(shown("ABCDEF"), "ABC-DEF");
        assert_eq!(typed(" abc-dEf "), "ABCDEF");
    }
}
