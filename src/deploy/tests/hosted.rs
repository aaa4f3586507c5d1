//! States that the server keeps: who may write one, what is repeated, and what ends with an attempt.

use super::*;
use crate::deploy::hosted::{HostedError, Locked, Proof};
use crate::store::identity::tokens::Secret;
use crate::store::states;
use crate::wire::runners::Runner;

/// A lock as engines describe it.
fn lock(id: &str) -> Vec<u8> {
    json!({"ID": id, "Operation": "OperationTypeApply", "Who": "me@here"})
        .to_string()
        .into_bytes()
}

fn state(serial: u64, lineage: &str, text: &str) -> Vec<u8> {
    json!({"version": 4, "serial": serial, "lineage": lineage, "outputs": {"t": text}, "resources": []})
        .to_string()
        .into_bytes()
}

impl World {
    /// With a runner whose environments have their state with the server.
    async fn hosting(on: On) -> Self {
        let Self { home, service, .. } = Self::new(on).await;
        let settings = Settings {
            state_url: Some("http://windlass.example".to_owned()),
            state_versions: 3,
            ..Settings::default()
        };
        let service = Service::new(service.store.clone(), settings);
        let desk = LocalDesk::new(service.clone());
        let world = Self {
            home,
            service,
            desk,
        };
        let configuration = |value: Value| value.as_object().cloned().expect("a map");
        let runner = Runner {
            id: "hosted".into(),
            org_id: ORG.into(),
            description: None,
            created_at: "2026-01-01T00:00:00.000000Z".into(),
            updated_at: "2026-01-01T00:00:00.000000Z".into(),
            runner_configuration: configuration(json!({"type": "docker"})),
            state_storage_configuration: configuration(json!({"type": "windlass"})),
            windlass: None,
        };
        let made = world.service.store.runner_create(runner).await;
        made.expect("makes");
        world
    }

    /// A run that goes on, and what its engine proves itself with.
    async fn hosted_run(&self) -> (Assignment, Proof) {
        let mut body = deploy("dev", workload("web"));
        body.windlass.get_or_insert_default().runner = Some("hosted".into());
        self.accepted(body).await;
        let assignment = self.claim().await;
        let given = assignment.job.state.clone().expect("a hosted state");
        assert_eq!(
            given.address,
            format!("http://windlass.example/states/{}", assignment.env_uuid)
        );
        assert!(!assignment.job.local_state);
        let proof = Proof {
            env_uuid: assignment.env_uuid.clone(),
            secret: Secret::sent(&given.password),
            username: format!("{}-1", given.username),
        };
        (assignment, proof)
    }

    async fn written(&self, proof: &Proof, lock: &str, bytes: &[u8]) -> Result<(), HostedError> {
        self.service.hosted_write(proof, Some(lock), bytes).await
    }

    async fn serials(&self, env_uuid: &str) -> Vec<i64> {
        let mut reading = self.service.store.reading().await.expect("reads");
        let versions = states::versions(&mut reading, env_uuid).await;
        let versions = versions.expect("reads").into_iter();
        versions.map(|version| version.serial).collect()
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T, HostedError>, words: &str) {
    match done.expect_err("refused") {
        HostedError::Refused(why) | HostedError::Bad(why) => {
            assert!(why.contains(words), "{words}: {why}");
        }
        other => panic!("{other:?}"),
    }
}

fn is_stranger<T: std::fmt::Debug>(done: Result<T, HostedError>) {
    assert!(matches!(done, Err(HostedError::Stranger)), "{done:?}");
}

on_both!(a_hosted_state_is_written_by_the_holder_of_its_lock_and_forward_only);
async fn a_hosted_state_is_written_by_the_holder_of_its_lock_and_forward_only(on: On) {
    let world = World::hosting(on).await;
    let (run, proof) = world.hosted_run().await;
    let service = &world.service;
    let read = async || service.hosted_read(&proof).await.expect("reads");
    assert_eq!(read().await, None, "nothing yet is no error");
    refused(
        world.written(&proof, "a", &state(1, "l", "")).await,
        "take it first",
    );
    let locked = service.hosted_lock(&proof, &lock("a")).await.expect("asks");
    assert!(matches!(locked, Locked::Yes));
    let again = service.hosted_lock(&proof, &lock("a")).await.expect("asks");
    assert!(matches!(again, Locked::Yes), "the same again");
    let other = service.hosted_lock(&proof, &lock("b")).await.expect("asks");
    let Locked::Held(holder) = other else {
        panic!("two locks");
    };
    assert_eq!(holder, lock("a"), "the holder is named as it named itself");

    for serial in 1..=5 {
        let bytes = state(serial, "l", "one");
        world.written(&proof, "a", &bytes).await.expect("is newer");
        let again = world.written(&proof, "a", &bytes).await;
        again.expect("the same again");
    }
    assert_eq!(
        world.serials(&run.env_uuid).await,
        [5, 4, 3],
        "three are kept"
    );
    refused(
        world.written(&proof, "b", &state(6, "l", "")).await,
        "take it first",
    );
    let late = world.written(&proof, "a", &state(4, "l", "")).await;
    refused(late, "it is older");
    let other = world.written(&proof, "a", &state(5, "l", "other")).await;
    refused(other, "another state with the serial 5");
    let foreign = world.written(&proof, "a", &state(9, "m", "")).await;
    refused(foreign, "not of one history");
    let torn = world.written(&proof, "a", b"{\"version\": 4").await;
    refused(torn, "this is no state");
    assert_eq!(read().await, Some(state(5, "l", "one")));
    let encrypted = json!({"serial": 6, "lineage": "l", "meta": {}, "encrypted_data": "AA==", "encryption_version": "v0"});
    let encrypted = encrypted.to_string().into_bytes();
    let written = world.written(&proof, "a", &encrypted).await;
    written.expect("what its engine encrypts has its numbers in clear");
    assert_eq!(read().await, Some(encrypted));

    refused(service.hosted_unlock(&proof, &lock("b")).await, "not held");
    let later = Proof {
        env_uuid: proof.env_uuid.clone(),
        secret: Secret::sent(&run.job.state.as_ref().expect("given").password),
        username: format!("{}-2", run.key),
    };
    let taken = service.hosted_lock(&later, &lock("c")).await;
    assert!(
        matches!(taken, Ok(Locked::Yes)),
        "a later engine of the same attempt"
    );
    let back = service.hosted_lock(&proof, &lock("a")).await;
    assert!(
        matches!(back, Ok(Locked::Held(_))),
        "and never an earlier one"
    );
    refused(
        world.written(&proof, "a", &state(6, "l", "")).await,
        "take it first",
    );
    service
        .hosted_unlock(&later, &lock("c"))
        .await
        .expect("lets go");
    let locked = service.hosted_lock(&proof, &lock("a")).await;
    assert!(matches!(locked, Ok(Locked::Yes)));
    for _ in 0..2 {
        let done = service.hosted_unlock(&proof, &lock("a")).await;
        done.expect("lets go, and once more");
    }
    refused(
        world.written(&proof, "a", &state(7, "l", "")).await,
        "take it first",
    );
    service.hosted_delete(&proof).await.expect("deletes");
    assert_eq!(read().await, None);
    assert_eq!(world.serials(&run.env_uuid).await, [6, 5, 4]);
}

on_both!(what_an_attempt_was_given_ends_with_it_and_so_does_its_lock);
async fn what_an_attempt_was_given_ends_with_it_and_so_does_its_lock(on: On) {
    let world = World::hosting(on).await;
    let (run, proof) = world.hosted_run().await;
    let service = &world.service;
    let guessed = Proof {
        env_uuid: run.env_uuid.clone(),
        secret: Secret::sent("guessed"),
        username: format!("{}-1", run.key),
    };
    is_stranger(service.hosted_read(&guessed).await);
    let elsewhere = Proof {
        env_uuid: uuid::Uuid::now_v7().to_string(),
        secret: Secret::sent(&run.job.state.as_ref().expect("given").password),
        username: format!("{}-1", run.key),
    };
    is_stranger(service.hosted_read(&elsewhere).await);
    let locked = service.hosted_lock(&proof, &lock("a")).await;
    assert!(matches!(locked, Ok(Locked::Yes)));
    world
        .written(&proof, "a", &state(1, "l", "secret-of-the-state"))
        .await
        .expect("writes");
    // Killed with its lock.
    world.start(&run).await;
    let died = RunEnd::Died {
        outcome: Outcome::Lost,
        failure_class: FailureClass::Lost,
        message: "gone".into(),
    };
    world
        .desk
        .complete(&run.key, died)
        .await
        .expect("completes");
    is_stranger(service.hosted_read(&proof).await);
    is_stranger(world.written(&proof, "a", &state(2, "l", "")).await);
    is_stranger(service.hosted_lock(&proof, &lock("a")).await);

    let (next, proof) = world.hosted_run().await;
    assert_ne!(next.key, run.key);
    let locked = service.hosted_lock(&proof, &lock("b")).await;
    assert!(matches!(locked, Ok(Locked::Yes)), "its lock went with it");
    let read = service.hosted_read(&proof).await.expect("reads");
    assert_eq!(read, Some(state(1, "l", "secret-of-the-state")));

    // One that could not write its state keeps the lock, and the next is told who holds it.
    world.start(&next).await;
    let mut failed = finished(Outcome::Failed);
    failed.failure_class = Some(FailureClass::StateWriteFailed);
    let said = vec![event(&next.key, 2, Kind::Finished(Box::new(failed)))];
    world.desk.events(&next.key, said).await.expect("stores");
    let done = world.desk.complete(&next.key, RunEnd::Finished).await;
    done.expect("completes");
    let mut body = deploy("dev", workload("web"));
    body.windlass.get_or_insert_default().runner = Some("hosted".into());
    let refused = world.accepted(body).await;
    assert!(world.nothing_to_claim().await);
    let refused = world.get(&refused.id).await;
    assert!(
        refused.status_message.contains(&next.key.to_string())
            && refused
                .status_message
                .contains("windlass state unlock shop dev"),
        "{}",
        refused.status_message
    );
}

#[tokio::test]
async fn a_hosted_state_is_sealed_at_rest_and_needs_a_server() {
    let world = World::hosting(On::Sqlite).await;
    let (_, proof) = world.hosted_run().await;
    let locked = world.service.hosted_lock(&proof, &lock("a")).await;
    assert!(matches!(locked, Ok(Locked::Yes)));
    let text = "a value that nobody reads on the disk";
    let bytes = state(1, "l", text);
    world.written(&proof, "a", &bytes).await.expect("writes");
    for path in ["windlass.db", "windlass.db-wal"] {
        let stored = std::fs::read(world.home.path().join(path)).unwrap_or_default();
        let found = stored
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "{path}");
    }
    let without = Service::new(world.service.store.clone(), Settings::default());
    let mut body = deploy("qa", workload("web"));
    body.windlass.get_or_insert_default().runner = Some("hosted".into());
    let refused = without.create(ORG, body, None, "somebody").await;
    let refused = refused.expect_err("nothing serves").to_string();
    assert!(refused.contains("windlass serve"), "{refused}");
}
