//! States that this server keeps for engines: who may read, lock and write one, and what is refused.
//!
//! The engine's own protocol (GET, POST, DELETE, LOCK, UNLOCK of one address) is spoken by `api::hosted`; what it asks for is
//! decided here, each in one transaction:
//!
//! - **Fenced.** An attempt proves itself with what it was given when it was claimed. That counts for one environment, while
//!   its run has that environment and is not over. A version is only taken with the lock that this very attempt holds, with
//!   a greater serial, and of the same lineage.
//!   Only a move, which brings a state from elsewhere, may begin anew over what a move put there.
//! - **Repeatable.** Engines repeat what was answered by nothing or by a fault: the same lock again, the same version again
//!   and letting go of one's own lock again change nothing and are answered as the first time.
//! - **Released on proof.** A lock names its attempt and the engine process of it. It goes when its engine lets go, when a
//!   later engine process of that attempt asks (they come one after another), when the attempt is over (which is
//!   recorded when its carrier is known to be gone, `queue::end`), or when a person says so; never because time passed. One
//!   thing keeps it beyond the end of the attempt: a state that its engine could not write.
//!
//! Nothing here looks into a state but for its serial and lineage: those are in clear even where the engine encrypts it.

mod kept;

use serde::Deserialize;

use super::{Error, Service};
use crate::model::phase::{FailureClass, Mode};
use crate::runner::RunKey;
use crate::runner::engine::encrypted;
use crate::runner::job::HostedState;
use crate::store::deployments::{Connection, places, rows};
use crate::store::identity::tokens::{Kind, Secret};
use crate::store::states::{self, Head, Holder, Lock, Version};
use crate::store::{StoreError, Writing, clock};

/// The type of state storage that this room serves.
pub(crate) const TYPE: &str = "windlass";
/// Why a state cannot be kept here.
pub(super) const NO_SERVER: &str = "the state storage `windlass` is kept by a server, and nothing serves here; use the state \
     storage `local` on this machine, or start `windlass serve` and deploy through it (`windlass config set-url URL`)";
/// What an engine says about a lock is no longer.
const MOST_INFO: usize = 64 * 1024;
/// The longest id of a lock and the longest lineage.
const MOST_NAME: usize = 256;

/// What came of a request to lock.
#[derive(Debug)]
pub(crate) enum Locked {
    /// It holds the lock.
    Yes,
    /// Another lock is held; what its engine said about itself.
    Held(Vec<u8>),
}

/// Why an engine's request is not done.
#[derive(Debug)]
pub(crate) enum HostedError {
    /// 401.
    Stranger,
    /// 400.
    Bad(String),
    /// 409.
    Refused(String),
    /// As everywhere.
    Other(Error),
}

impl From<Error> for HostedError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<StoreError> for HostedError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// What an engine proves itself with, as it was sent.
pub(crate) struct Proof {
    /// Which environment it asks for.
    pub(crate) env_uuid: String,
    /// The password.
    pub(crate) secret: Secret,
    /// The name: `RUN-ATTEMPT-PROCESS`. It proves nothing, but tells an attempt's engine processes apart.
    pub(crate) username: String,
}

impl Proof {
    async fn holder(&self, connection: &mut Connection) -> Result<Holder, HostedError> {
        states::holder(connection, &self.env_uuid, &self.secret.hash())
            .await?
            .ok_or(HostedError::Stranger)
    }

    /// Which engine process asks; an attempt has one after another.
    fn process(&self, holder: &Holder) -> u32 {
        let number = self
            .username
            .strip_prefix(&format!("{}-{}-", holder.run, holder.attempt));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// What is read of a state. One that its engine encrypts has no version, and says its own numbers in clear.
#[derive(Deserialize)]
struct Numbers {
    #[serde(default)]
    version: u64,
    serial: u64,
    lineage: String,
    #[serde(default)]
    encryption_version: String,
}

fn numbers(bytes: &[u8]) -> Result<(i64, String), HostedError> {
    let bad = || {
        HostedError::Bad(
            "this is no state: expected JSON with `version`, `serial` and `lineage`".to_owned(),
        )
    };
    let read: Numbers = serde_json::from_slice(bytes).map_err(|_| bad())?;
    let serial = i64::try_from(read.serial).map_err(|_| bad())?;
    let is_state = read.version > 0 || !read.encryption_version.is_empty();
    if !is_state || read.lineage.is_empty() || read.lineage.len() > MOST_NAME {
        return Err(bad());
    }
    Ok((serial, read.lineage))
}

fn lock_id(info: &[u8]) -> Result<String, HostedError> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "ID")]
        id: String,
    }
    if info.len() > MOST_INFO {
        return Err(HostedError::Bad("the lock says too much".to_owned()));
    }
    let info: Info = serde_json::from_slice(info)
        .map_err(|_| HostedError::Bad("this is no lock: expected JSON with `ID`".to_owned()))?;
    if info.id.is_empty() || info.id.len() > MOST_NAME {
        return Err(HostedError::Bad(
            "the `ID` of a lock has 1 to 256 bytes".to_owned(),
        ));
    }
    Ok(info.id)
}

fn is_of(lock: &Lock, holder: &Holder) -> bool {
    lock.run == holder.run && lock.attempt == holder.attempt
}

impl Service {
    /// The last version, if there is one that counts.
    pub(crate) async fn hosted_read(&self, proof: &Proof) -> Result<Option<Vec<u8>>, HostedError> {
        let mut reading = self.store.reading().await?;
        let holder = proof.holder(&mut reading).await?;
        Ok(self.hosted_now(&mut reading, &holder.env_uuid).await?)
    }

    /// Whether somebody proves anything, before more is read of what they send.
    pub(crate) async fn hosted_known(&self, proof: &Proof) -> Result<(), HostedError> {
        let mut reading = self.store.reading().await?;
        proof.holder(&mut reading).await.map(drop)
    }

    /// The state of an environment as engines are given it.
    pub(super) async fn hosted_now(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        match states::head(connection, env_uuid).await? {
            Some(head) if head.present => Ok(self
                .store
                .hosted_state(connection, env_uuid, head.version)
                .await?),
            Some(_) | None => Ok(None),
        }
    }

    /// The same as it can be looked into, also where its engine encrypts it.
    pub(super) async fn hosted_clear(
        &self,
        connection: &mut Connection,
        env_uuid: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(state) = self.hosted_now(connection, env_uuid).await? else {
            return Ok(None);
        };
        let keys = self.store.state_keys(connection, env_uuid).await?;
        Ok(Some(encrypted::opened(state, &keys)))
    }

    /// Takes the lock. The same again is no error.
    pub(crate) async fn hosted_lock(
        &self,
        proof: &Proof,
        info: &[u8],
    ) -> Result<Locked, HostedError> {
        let mut writing = self.store.writing().await?;
        let holder = proof.holder(&mut writing).await?;
        let id = lock_id(info)?;
        let mut head = self.head(&mut writing, &holder.env_uuid).await?;
        let process = proof.process(&holder);
        match &head.lock {
            Some(lock) if lock.id == id && is_of(lock, &holder) => return Ok(Locked::Yes),
            // Its earlier engine has ended and could not let go.
            Some(lock) if is_of(lock, &holder) && lock.process < process => {}
            Some(lock) => return Ok(Locked::Held(lock.info.clone())),
            None => {}
        }
        head.lock = Some(Lock {
            id,
            info: info.to_vec(),
            run: holder.run.clone(),
            attempt: holder.attempt,
            process,
            at_us: clock::now_us(),
        });
        states::put_head(&mut writing, &holder.env_uuid, &head).await?;
        writing.commit().await?;
        Ok(Locked::Yes)
    }

    /// Lets go of the lock. Letting go of the last one again is no error.
    pub(crate) async fn hosted_unlock(
        &self,
        proof: &Proof,
        info: &[u8],
    ) -> Result<(), HostedError> {
        let mut writing = self.store.writing().await?;
        let holder = proof.holder(&mut writing).await?;
        let id = lock_id(info)?;
        let mut head = self.head(&mut writing, &holder.env_uuid).await?;
        match head.lock.take() {
            Some(lock) if lock.id == id && is_of(&lock, &holder) => {
                head.released_id = Some(id);
                states::put_head(&mut writing, &holder.env_uuid, &head).await?;
                writing.commit().await?;
                Ok(())
            }
            None if head.released_id.as_ref() == Some(&id) => Ok(()),
            Some(_) | None => Err(HostedError::Refused(
                "this lock is not held; only the engine that took a lock lets go of it".to_owned(),
            )),
        }
    }

    /// Keeps the next version. The same again is no error.
    pub(crate) async fn hosted_write(
        &self,
        proof: &Proof,
        lock: Option<&str>,
        bytes: &[u8],
    ) -> Result<(), HostedError> {
        let (serial, lineage) = numbers(bytes)?;
        let packed = self.store.pack_state(&proof.env_uuid, bytes);
        let mut writing = self.store.writing().await?;
        let holder = proof.holder(&mut writing).await?;
        let mut head = self.head(&mut writing, &holder.env_uuid).await?;
        let held = head.lock.as_ref().filter(|held| is_of(held, &holder));
        if held.is_none_or(|held| Some(held.id.as_str()) != lock) {
            return Err(HostedError::Refused(
                "a state is written with the lock that is held by this attempt: take it first, and give its id as `ID`"
                    .to_owned(),
            ));
        }
        let last = states::version(&mut writing, &holder.env_uuid, head.version).await?;
        if let Some(last) = last.filter(|_| head.present)
            && !self
                .is_begun_anew(&mut writing, &holder, &last, &lineage)
                .await?
        {
            if last.lineage != lineage {
                return Err(HostedError::Refused(format!(
                    "this state has the lineage `{lineage}`, and the one that is kept `{}`: they are not of one history",
                    last.lineage
                )));
            }
            if serial < last.serial {
                return Err(HostedError::Refused(format!(
                    "this state has the serial {serial}, and the one that is kept {}: it is older",
                    last.serial
                )));
            }
            if serial == last.serial {
                let kept = self.hosted_now(&mut writing, &holder.env_uuid).await?;
                return match kept.as_deref() == Some(bytes) {
                    true => Ok(()),
                    false => Err(HostedError::Refused(format!(
                        "another state with the serial {serial} is kept already"
                    ))),
                };
            }
        }
        let version = Version {
            version: head.version + 1,
            serial,
            lineage,
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            run: Some(holder.run),
            by: None,
            at_us: clock::now_us(),
        };
        self.keep(&mut writing, &holder.env_uuid, &mut head, &version, &packed)
            .await?;
        writing.commit().await?;
        Ok(())
    }

    /// Whether a state of another history may take the place of the last one: where a state is moved here, engines begin
    /// one of their own first, and a move that died may have left it.
    async fn is_begun_anew(
        &self,
        connection: &mut Connection,
        holder: &Holder,
        last: &Version,
        lineage: &str,
    ) -> Result<bool, HostedError> {
        if last.lineage == lineage {
            return Ok(false);
        }
        for run in [Some(&holder.run), last.run.as_ref()] {
            let Some(run) = run else {
                return Ok(false);
            };
            let row = rows::by_run(connection, run).await?;
            if row.is_none_or(|row| row.mode != Mode::StateMove) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the state away; its versions are kept.
    pub(crate) async fn hosted_delete(&self, proof: &Proof) -> Result<(), HostedError> {
        let mut writing = self.store.writing().await?;
        let holder = proof.holder(&mut writing).await?;
        let mut head = self.head(&mut writing, &holder.env_uuid).await?;
        if head.lock.as_ref().is_some_and(|lock| !is_of(lock, &holder)) {
            return Err(HostedError::Refused(
                "another engine holds the lock of this state".to_owned(),
            ));
        }
        if head.present {
            head.present = false;
            states::put_head(&mut writing, &holder.env_uuid, &head).await?;
            writing.commit().await?;
        }
        Ok(())
    }

    async fn head(&self, connection: &mut Connection, env_uuid: &str) -> Result<Head, Error> {
        Ok(states::head(connection, env_uuid).await?.unwrap_or(Head {
            version: 0,
            present: false,
            lock: None,
            released_id: None,
        }))
    }

    /// Makes `version` the one that counts.
    async fn keep(
        &self,
        writing: &mut Writing,
        env_uuid: &str,
        head: &mut Head,
        version: &Version,
        packed: &[u8],
    ) -> Result<(), Error> {
        self.store
            .put_state(writing, env_uuid, version, packed)
            .await?;
        head.version = version.version;
        head.present = true;
        states::put_head(writing, env_uuid, head).await?;
        let keep = i64::from(self.settings.state_versions.max(1));
        states::prune(writing, env_uuid, version.version, keep).await?;
        Ok(())
    }

    /// What an attempt is given to reach its state; it counts until the attempt is over.
    pub(super) async fn hosted_grant(
        &self,
        writing: &mut Writing,
        env_uuid: &str,
        key: &RunKey,
    ) -> Result<HostedState, Error> {
        let Some(url) = &self.settings.state_url else {
            return Err(Error::Conflict(NO_SERVER.to_owned()));
        };
        let secret = Secret::new(Kind::Session);
        let holder = Holder {
            env_uuid: env_uuid.to_owned(),
            run: key.run.clone(),
            attempt: key.attempt,
        };
        states::admit(writing, &secret.hash(), &holder).await?;
        Ok(HostedState {
            address: format!("{url}/states/{env_uuid}"),
            username: key.to_string(),
            password: secret.expose().to_owned(),
        })
    }

    /// After an attempt whose carrier is gone: what it proved itself with is worth nothing, and it holds nothing any more;
    /// but for the lock on a state that it could not write.
    pub(super) async fn hosted_over(
        &self,
        writing: &mut Writing,
        key: &RunKey,
        class: Option<FailureClass>,
    ) -> Result<(), Error> {
        states::dismiss(writing, &key.run, key.attempt).await?;
        if class != Some(FailureClass::StateWriteFailed)
            && states::release(writing, &key.run, key.attempt).await? > 0
        {
            tracing::info!(run = %key, "the lock of a run that is gone is released");
        }
        Ok(())
    }

    /// Why nothing can run in an environment whose state is locked by an attempt that is over.
    pub(super) async fn hosted_hindrance(
        &self,
        connection: &mut Connection,
        place: &places::EnvironmentPlace,
    ) -> Result<Option<String>, Error> {
        if place.state.as_ref().is_none_or(|state| state.kind != TYPE) {
            return Ok(None);
        }
        let head = states::head(connection, &place.env_uuid).await?;
        Ok(head.and_then(|head| head.lock).map(|lock| {
            format!(
                "the state is locked by run {}-{}, which could not write it when it ended; see what it left with \
                 `windlass state list {project} {env}`, then let go of the lock with `windlass state unlock {project} {env}`",
                lock.run,
                lock.attempt,
                project = place.project_id,
                env = place.env_id,
            )
        }))
    }
}
