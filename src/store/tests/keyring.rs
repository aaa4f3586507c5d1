//! Rotation of the key ring: what is sealed stays readable, whatever is killed, and the old key is not needed any more.

use serde_json::json;

use super::super::states::{self, Version};
use super::super::testing::{Home, On, on_both};
use super::super::{Store, StoreError, keyring};
use crate::seal::ring::Keyring;
use crate::wire::runners::Runner;

const ORG: &str = "default";
const ENV: &str = "01890000-0000-7000-8000-000000000001";

fn runner() -> Runner {
    let map = |value: serde_json::Value| value.as_object().cloned().expect("a map");
    Runner {
        id: "mine".into(),
        org_id: ORG.into(),
        description: None,
        created_at: "2026-01-01T00:00:00.000000Z".into(),
        updated_at: "2026-01-01T00:00:00.000000Z".into(),
        runner_configuration: map(json!({"type": "docker", "environment": {"KEY": "geheim"}})),
        state_storage_configuration: map(json!({"type": "local"})),
        windlass: None,
    }
}

/// More versions than go in one step.
const VERSIONS: i64 = 120;

async fn fill(store: &Store) {
    store.runner_create(runner()).await.expect("makes");
    let mut writing = store.writing().await.expect("writes");
    for version in 1..=VERSIONS {
        let of = Version {
            version,
            serial: version,
            lineage: "l".into(),
            size: 1,
            run: None,
            by: None,
            at_us: 0,
        };
        let packed = store.pack_state(ENV, format!("state {version}").as_bytes());
        let put = store.put_state(&mut writing, ENV, &of, &packed).await;
        put.expect("keeps");
    }
    writing.commit().await.expect("commits");
}

async fn is_readable(store: &Store) {
    let runner = store.runner_open(ORG, "mine").await.expect("opens");
    assert_eq!(runner.runner_configuration["environment"]["KEY"], "geheim");
    let mut reading = store.reading().await.expect("reads");
    let versions = states::versions(&mut reading, ENV).await.expect("reads");
    assert_eq!(versions.len(), usize::try_from(VERSIONS).expect("small"));
    for version in 1..=VERSIONS {
        let state = store.hosted_state(&mut reading, ENV, version).await;
        let state = state.expect("opens").expect("is kept");
        assert_eq!(state, format!("state {version}").as_bytes());
    }
}

fn ring(home: &Home) -> Keyring {
    let text = std::fs::read_to_string(home.path().join("keyring")).expect("reads");
    Keyring::parse(&text).expect("a ring")
}

on_both!(a_ring_is_rotated_also_when_the_first_try_was_killed);
async fn a_ring_is_rotated_also_when_the_first_try_was_killed(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    fill(&store).await;
    let old = ring(&home).first_id();
    let refused = keyring::rotate(&home.config()).await;
    assert!(
        matches!(refused, Err(StoreError::Unfit { .. })),
        "somebody has it open: {refused:?}"
    );
    assert_eq!(ring(&home).first_id(), old, "and nothing was changed");

    // Killed after one step: the new key is first, some values are under it and most are not.
    let mut both = ring(&home);
    both.rotate();
    let path = home.path().join("keyring");
    std::fs::write(&path, both.expose_secret().as_bytes()).expect("writes");
    let done = keyring::step(&store, &both).await.expect("seals again");
    assert!(done > 0 && done < u64::try_from(VERSIONS).expect("small"));
    drop(store);
    let store = home.open().await;
    is_readable(&store).await;
    drop(store);

    let done = keyring::rotate(&home.config()).await.expect("rotates");
    assert!(done.is_continued && done.values >= 70, "{done:?}");
    let new = ring(&home);
    assert_eq!((new.len(), new.first_id()), (1, both.first_id()));
    is_readable(&home.open().await).await;

    let done = keyring::rotate(&home.config()).await.expect("rotates");
    assert!(!done.is_continued && done.values > 120, "{done:?}");
    assert_ne!(ring(&home).first_id(), new.first_id());
    is_readable(&home.open().await).await;
}
