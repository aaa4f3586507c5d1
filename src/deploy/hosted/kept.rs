//! What people do with the states that this server keeps: list versions, read one, go back to one, let go of a lock.

use serde::Deserialize;

use crate::deploy::{Error, Service};
use crate::runner::engine::encrypted;
use crate::store::deployments::{places, rows, runs};
use crate::store::objects::environments;
use crate::store::states::{self, Head, Lock, Version};
use crate::store::{Reading, clock};
use crate::wire::state::{StateLock, StateVersion, StateVersions};

/// Which environment, as people name it.
pub(crate) type Of<'a> = (&'a str, &'a str, &'a str);

/// What an engine says of itself when it takes a lock.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Said {
    who: String,
    operation: String,
}

fn shown(version: Version, head: &Head, deployment: Option<String>) -> StateVersion {
    StateVersion {
        version: version.version,
        current: head.present && version.version == head.version,
        serial: version.serial,
        size: version.size,
        deployment,
        restored_by: version.by,
        created_at: clock::stamp(version.at_us),
    }
}

impl Service {
    /// Versions, newest first, and who holds the lock.
    pub(crate) async fn hosted_versions(&self, of: Of<'_>) -> Result<StateVersions, Error> {
        let mut reading = self.store.reading().await?;
        let uuid = self.hosted_environment(&mut reading, of).await?;
        let Some(head) = states::head(&mut reading, &uuid).await? else {
            return Ok(StateVersions::default());
        };
        let mut items = Vec::new();
        for version in states::versions(&mut reading, &uuid).await? {
            let deployment = match &version.run {
                Some(run) => rows::by_run(&mut reading, run).await?.map(|row| row.id),
                None => None,
            };
            items.push(shown(version, &head, deployment));
        }
        let lock = match &head.lock {
            Some(lock) => Some(self.shown_lock(&mut reading, lock).await?),
            None => None,
        };
        Ok(StateVersions { items, lock })
    }

    async fn shown_lock(&self, reading: &mut Reading, lock: &Lock) -> Result<StateLock, Error> {
        let said: Said = serde_json::from_slice(&lock.info).unwrap_or_default();
        let attempt = runs::find(reading, &lock.run, lock.attempt).await?;
        let row = rows::by_run(reading, &lock.run).await?;
        Ok(StateLock {
            id: lock.id.clone(),
            deployment: row.map(|row| row.id),
            who: said.who,
            operation: said.operation,
            is_live: attempt.is_some_and(|attempt| attempt.ended_us.is_none()),
            created_at: clock::stamp(lock.at_us),
        })
    }

    /// The content of one version, in clear.
    pub(crate) async fn hosted_pull(&self, of: Of<'_>, version: i64) -> Result<Vec<u8>, Error> {
        let mut reading = self.store.reading().await?;
        let uuid = self.hosted_environment(&mut reading, of).await?;
        let found = self
            .store
            .hosted_state(&mut reading, &uuid, version)
            .await?;
        let found = found.ok_or_else(|| no_version(version))?;
        let keys = self.store.state_keys(&mut reading, &uuid).await?;
        Ok(encrypted::opened(found, &keys))
    }

    /// Makes the content of an older version the newest one; `by` says so.
    pub(crate) async fn hosted_restore(
        &self,
        of: Of<'_>,
        version: i64,
        by: &str,
    ) -> Result<StateVersion, Error> {
        let mut reading = self.store.reading().await?;
        let uuid = self.hosted_environment(&mut reading, of).await?;
        let bytes = self
            .store
            .hosted_state(&mut reading, &uuid, version)
            .await?
            .ok_or_else(|| no_version(version))?;
        drop(reading);
        let packed = self.store.pack_state(&uuid, &bytes);
        let mut writing = self.store.writing().await?;
        let place = places::find(&mut writing, &uuid).await?;
        if let Some(run) = place.and_then(|place| place.lease_run) {
            let row = rows::by_run(&mut writing, &run).await?;
            let id = row.map_or(run, |row| row.id);
            return Err(Error::Conflict(format!(
                "deployment '{id}' is still executing; a state is restored when nothing runs"
            )));
        }
        let mut head = self.head(&mut writing, &uuid).await?;
        if head.lock.is_some() {
            return Err(Error::Conflict(format!(
                "the state is locked; let go of the lock first: `windlass state unlock {} {}`",
                of.1, of.2
            )));
        }
        let old = states::version(&mut writing, &uuid, version).await?;
        let old = old.ok_or_else(|| no_version(version))?;
        let new = Version {
            version: head.version + 1,
            run: None,
            by: Some(by.to_owned()),
            at_us: clock::now_us(),
            ..old
        };
        self.keep(&mut writing, &uuid, &mut head, &new, &packed)
            .await?;
        writing.commit().await?;
        Ok(shown(new, &head, None))
    }

    /// Lets go of a lock whose run is over.
    pub(crate) async fn hosted_let_go(&self, of: Of<'_>) -> Result<(), Error> {
        let mut writing = self.store.writing().await?;
        let uuid = self.hosted_environment(&mut writing, of).await?;
        let mut head = self.head(&mut writing, &uuid).await?;
        let Some(lock) = head.lock.take() else {
            return Err(Error::Conflict("the state is not locked".to_owned()));
        };
        let attempt = runs::find(&mut writing, &lock.run, lock.attempt).await?;
        if attempt.is_some_and(|attempt| attempt.ended_us.is_none()) {
            let row = rows::by_run(&mut writing, &lock.run).await?;
            let id = row.map_or(lock.run, |row| row.id);
            return Err(Error::Conflict(format!(
                "the lock is held by deployment '{id}', which is still executing: wait for it, or stop it with \
                 `windlass cancel {id}`"
            )));
        }
        head.released_id = Some(lock.id);
        states::put_head(&mut writing, &uuid, &head).await?;
        writing.commit().await?;
        Ok(())
    }

    /// The environment, if its state is with the server, or was.
    async fn hosted_environment(
        &self,
        connection: &mut crate::store::deployments::Connection,
        (org, project, env): Of<'_>,
    ) -> Result<String, Error> {
        let environment = environments::find(connection, org, project, env)
            .await?
            .ok_or_else(|| Error::NotFound("environment not found".to_owned()))?;
        let place = places::find(connection, &environment.uuid).await?;
        match place.and_then(|place| place.state) {
            Some(state) if state.kind != super::TYPE => Err(Error::Conflict(format!(
                "the state of this environment lies in `{}`, where its versions are kept or are not; only those of the \
                 state storage `windlass` are kept by this server",
                state.kind
            ))),
            Some(_) | None => Ok(environment.uuid),
        }
    }
}

fn no_version(version: i64) -> Error {
    Error::NotFound(format!(
        "version {version} of this state is not kept; `windlass state versions` lists those that are"
    ))
}
