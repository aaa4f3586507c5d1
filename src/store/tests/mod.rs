//! The store's story: opened, written, killed, opened again.

mod keyring;
mod postgres;

use std::time::{Duration, Instant};

use crate::model::phase::{Mode, Outcome, Phase, Step};
use crate::store::deployments::documents::Kind;
use crate::store::deployments::{feed, places, rows, runs, streams, turns};
use crate::store::testing::{Home, On, on_both};
use crate::store::{Store, StoreConfig, StoreError, Writing, execute, open, sql};
use crate::wire::deployments::{StreamName, What};

async fn store(directory: &tempfile::TempDir) -> Store {
    open(&StoreConfig::at(directory.path()))
        .await
        .expect("opens")
}

pub(super) fn row(id: &str, env_uuid: &str, sequence: i64) -> rows::Deployment {
    rows::Deployment {
        id: id.into(),
        org_id: "acme".into(),
        project_id: "shop".into(),
        env_id: "dev".into(),
        env_uuid: env_uuid.into(),
        sequence,
        created_us: 1,
        created_by: "someone".into(),
        mode: Mode::Deploy,
        rollback_to: None,
        phase: Phase::Queued,
        step: Step::Queued,
        failure_class: None,
        status_message: "Deploying...".into(),
        idempotency: None,
        runner_id: "local".into(),
        log_level: "info".into(),
        log_recipients: Vec::new(),
        output_recipients: Vec::new(),
        workloads: 1,
        nodes: 2,
        counts: None,
        progress: None,
        bundle_digest: None,
        run: format!("run-of-{id}"),
        attempt: 0,
        failures: 0,
        not_before_us: 0,
        cancel: false,
        gone: false,
        served_by: String::new(),
    }
}

on_both!(what_was_committed_is_there_after_opening_again_and_the_rest_is_not);
async fn what_was_committed_is_there_after_opening_again_and_the_rest_is_not(on: On) {
    let home = Home::new(on).await;
    let first = home.open().await;
    let mut writing = first.writing().await.expect("writes");
    let sequence = rows::draw(&mut writing, "queue").await.expect("draws");
    let kept = row("one", "env", sequence);
    rows::save(&mut writing, &kept).await.expect("saves");
    first
        .document_save(&mut writing, "one", Kind::Bundle, &"a secret")
        .await
        .expect("saves");
    writing.commit().await.expect("commits");
    let mut dropped = first.writing().await.expect("writes");
    let sequence = rows::draw(&mut dropped, "queue").await.expect("draws");
    rows::save(&mut dropped, &row("two", "env", sequence))
        .await
        .expect("saves");
    drop(dropped);
    let instance = first.instance().to_owned();
    drop(first);

    let second = home.open().await;
    assert_eq!(second.instance(), instance);
    let mut reading = second.reading().await.expect("reads");
    let all = rows::list(&mut reading, "acme", &rows::Wanted::default())
        .await
        .expect("lists");
    assert_eq!(all, [kept]);
    let bundle: Option<String> = second
        .document(&mut reading, "one", Kind::Bundle)
        .await
        .expect("opens");
    assert_eq!(bundle.as_deref(), Some("a secret"));
    // What lies in a PostgreSQL server is no file of ours; the column is the same.
    let kept: Vec<Vec<u8>> = match on {
        On::Sqlite => ["windlass.db", "windlass.db-wal"]
            .map(|name| std::fs::read(home.path().join(name)).unwrap_or_default())
            .to_vec(),
        On::Postgres => sql::query("SELECT content FROM documents")
            .fetch_all(&mut reading)
            .await
            .expect("reads"),
    };
    assert!(kept.iter().any(|bytes| !bytes.is_empty()));
    for bytes in kept {
        assert!(!bytes.windows(8).any(|window| window == b"a secret"));
    }
}

on_both!(an_ended_deployment_reads_back_whole);
async fn an_ended_deployment_reads_back_whole(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut saved = row("one", "env", 1);
    let mut writing = store.writing().await.expect("writes");
    rows::save(&mut writing, &saved).await.expect("saves");
    saved.phase = Phase::Ended {
        outcome: Outcome::Applied,
        at_us: 5,
    };
    saved.step = Step::Ended;
    saved.counts = Some(rows::Counts {
        total: 4,
        added: 3,
        changed: 2,
        removed: 1,
    });
    saved.attempt = 2;
    rows::save(&mut writing, &saved).await.expect("saves");
    writing.commit().await.expect("commits");
    let mut reading = store.reading().await.expect("reads");
    let found = rows::find(&mut reading, "acme", "one")
        .await
        .expect("finds");
    assert_eq!(found, Some(saved));
}

on_both!(only_the_first_of_each_free_environment_may_be_claimed);
async fn only_the_first_of_each_free_environment_may_be_claimed(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut writing = store.writing().await.expect("writes");
    for (id, env, sequence) in [
        ("a", "e1", 1),
        ("b", "e1", 2),
        ("c", "e2", 3),
        ("d", "e3", 4),
    ] {
        rows::save(&mut writing, &row(id, env, sequence))
            .await
            .expect("saves");
    }
    for env in ["e1", "e2", "e3"] {
        let mut place = places::EnvironmentPlace::new(env, "acme", "shop", "dev");
        place.lease_run = (env == "e2").then(|| "some run".to_owned());
        places::save(&mut writing, &place).await.expect("saves");
    }
    writing.commit().await.expect("commits");
    let mut reading = store.reading().await.expect("reads");
    let ids: Vec<String> = turns::next(&mut reading, ("here", ""), 10, 10)
        .await
        .expect("lists")
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, ["a", "d"]);
}

on_both!(who_carries_the_first_in_line_decides_whose_turn_it_is);
async fn who_carries_the_first_in_line_decides_whose_turn_it_is(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut writing = store.writing().await.expect("writes");
    places::save(
        &mut writing,
        &places::EnvironmentPlace::new("e1", "acme", "shop", "dev"),
    )
    .await
    .expect("saves");
    let mut of_agents = row("a", "e1", 1);
    of_agents.served_by = "acme/far".into();
    for row in [&of_agents, &row("b", "e1", 2)] {
        rows::save(&mut writing, row).await.expect("saves");
    }
    let next = async |writing: &mut Writing, serves: &str| -> Vec<String> {
        let rows = turns::next(writing, ("here", serves), 10, 10)
            .await
            .expect("lists");
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(next(&mut writing, "acme/far").await, ["a"]);
    assert_eq!(next(&mut writing, "").await, Vec::<String>::new());
    of_agents.phase = Phase::Ended {
        outcome: Outcome::Cancelled,
        at_us: 1,
    };
    rows::save(&mut writing, &of_agents).await.expect("saves");
    assert_eq!(next(&mut writing, "acme/far").await, Vec::<String>::new());
    assert_eq!(next(&mut writing, "").await, ["b"]);
}

on_both!(of_a_long_line_the_first_of_each_environment_that_is_free_here_is_found);
async fn of_a_long_line_the_first_of_each_environment_that_is_free_here_is_found(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut writing = store.writing().await.expect("writes");
    rows::save(&mut writing, &row("one", "elsewhere", 20_000))
        .await
        .expect("saves");
    // Ten thousand in twenty environments, half of them over.
    let columns = "org_id, project_id, env_id, created_us, created_by, mode, step, status_message, runner_id, \
        log_level, log_recipients, output_recipients, workloads, nodes, attempt, failures, not_before_us, cancel, gone, served_by";
    let line = format!(
        "WITH RECURSIVE line (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM line WHERE number < 10000) \
         INSERT INTO deployments (id, env_uuid, sequence, phase, outcome, completed_us, run, {columns}) \
         SELECT 'd' || number, 'e' || (number % 20), number, \
         CASE WHEN number > 5000 THEN 'queued' ELSE 'ended' END, CASE WHEN number > 5000 THEN NULL ELSE 'applied' END, \
         CASE WHEN number > 5000 THEN NULL ELSE 1 END, 'r' || number, {columns} \
         FROM line, deployments one WHERE one.id = 'one'"
    );
    crate::store::execute(&mut writing, line)
        .await
        .expect("stores");
    for number in 0..20 {
        let env = format!("e{number}");
        let mut place = places::EnvironmentPlace::new(&env, "acme", "shop", "dev");
        place.lease_run = (number == 3).then(|| "some run".to_owned());
        place.state = (number < 3).then(|| places::StatePlace {
            kind: "local".into(),
            settings: serde_json::Map::new(),
            instance: if number == 1 { "there" } else { "here" }.into(),
        });
        places::save(&mut writing, &place).await.expect("saves");
    }
    writing.commit().await.expect("commits");
    let mut reading = store.reading().await.expect("reads");
    let first: Vec<String> = turns::next(&mut reading, ("here", ""), 10, 4)
        .await
        .expect("lists")
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(first[..4], ["d5002", "d5004", "d5005", "d5006"]);
    // Whoever is near hears of every step, and of those behind only a few: a long line moves as fast as a short one.
    let told = turns::line(&mut reading, "e4").await.expect("lists");
    let places: Vec<u64> = told.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 50, 100, 200]);
    assert_eq!(told[0].1, "d5004");
    assert_eq!(told[13].1, format!("d{}", 5004 + 199 * 20));
}

on_both!(the_end_of_the_feed_tells_whom_news_concern);
async fn the_end_of_the_feed_tells_whom_news_concern(on: On) {
    let home = Home::new(on).await;
    let (store, other) = (home.open().await, home.open().await);
    let told = async |by: &Store, deployment: &str| {
        let mut watch = store.watch();
        let mut writing = by.writing().await.expect("writes");
        feed::append(&mut writing, deployment, &What::Queued(1))
            .await
            .expect("appends");
        writing.commit().await.expect("commits");
        watch.changed(Duration::from_secs(60)).await;
    };
    told(&store, "old").await;
    let end = store.feed_end().await.expect("reads");
    told(&store, "one").await;
    told(&other, "two").await;
    let news =
        async |deployment: &str, after| store.has_news(deployment, after).await.expect("reads");
    assert!(news("one", end).await && news("two", end).await);
    assert!(!news("old", end).await && !news("three", end).await);
    // What is older than this process knows may be anything.
    assert!(news("old", end - 1).await);
    let end = store.feed_end().await.expect("reads");
    assert!(!news("one", end).await && !news("two", end).await);
}

on_both!(events_come_in_the_order_of_commits);
async fn events_come_in_the_order_of_commits(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let other = home.open().await;
    let mut tasks = Vec::new();
    for at in 0..20 {
        let store = if at < 10 { &store } else { &other }.clone();
        tasks.push(tokio::spawn(async move {
            let mut writing = store.writing().await.expect("writes");
            feed::append(&mut writing, "one", &What::Queued(at))
                .await
                .expect("appends");
            writing.commit().await.expect("commits");
        }));
    }
    let mut seen = Vec::new();
    let mut watch = store.watch();
    while seen.len() < 20 {
        let after = seen.last().copied().unwrap_or(0);
        let mut reading = store.reading().await.expect("reads");
        let events = feed::after(&mut reading, "one", after)
            .await
            .expect("reads");
        seen.extend(events.iter().map(|event| event.position));
        drop(reading);
        watch.changed(Duration::from_secs(5)).await;
    }
    assert_eq!(seen, (1..=20).collect::<Vec<i64>>());
    for task in tasks {
        task.await.expect("ends");
    }
}

on_both!(a_commit_of_another_connection_wakes_a_watch);
async fn a_commit_of_another_connection_wakes_a_watch(on: On) {
    let home = Home::new(on).await;
    let (one, other) = (home.open().await, home.open().await);
    let mut watch = one.watch();
    let began = Instant::now();
    let mut writing = other.writing().await.expect("writes");
    feed::append(&mut writing, "x", &What::Queued(1))
        .await
        .expect("appends");
    writing.commit().await.expect("commits");
    watch.changed(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(30));
}

on_both!(a_frame_is_stored_once_and_truncation_stays_visible);
async fn a_frame_is_stored_once_and_truncation_stays_visible(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let mut writing = store.writing().await.expect("writes");
    rows::save(&mut writing, &row("one", "env", 1))
        .await
        .expect("saves");
    runs::begin(&mut writing, "run", 1, "one", ("here", 1))
        .await
        .expect("begins");
    let of = streams::Of {
        deployment: "one",
        run: "run",
        attempt: 1,
        stream: StreamName::Logs,
    };
    streams::set_header(&mut writing, &of, b"head")
        .await
        .expect("stores");
    streams::add_frame(&mut writing, &of, 1, false, b"a")
        .await
        .expect("stores");
    streams::add_frame(&mut writing, &of, 1, false, b"b")
        .await
        .expect("stores");
    let found = streams::find(&mut writing, "one", StreamName::Logs, None)
        .await
        .expect("finds");
    let found = found.expect("is there");
    assert_eq!((found.last, found.complete), (1, false));
    let frames = streams::frames(&mut writing, &found, StreamName::Logs, 0)
        .await
        .expect("reads");
    assert_eq!(frames, [(1, b"a".to_vec())]);
    streams::add_frame(&mut writing, &of, 2, true, b"c")
        .await
        .expect("stores");
    let found = streams::find(&mut writing, "one", StreamName::Logs, Some(1))
        .await
        .expect("finds");
    assert!(found.expect("is there").complete);
}

on_both!(a_newer_database_or_directory_is_refused);
async fn a_newer_database_or_directory_is_refused(on: On) {
    let home = Home::new(on).await;
    let first = home.open().await;
    let mut writing = first.writing().await.expect("writes");
    sql::query("INSERT INTO migrations (number, name, applied_us) VALUES (9999, 'later', 1)")
        .execute(&mut writing)
        .await
        .expect("inserts");
    writing.commit().await.expect("commits");
    assert!(!first.is_current().await.expect("reads"));
    drop(first);
    let refused = home.try_open().await;
    assert!(matches!(
        refused,
        Err(StoreError::Newer {
            what: "database",
            ..
        })
    ));

    std::fs::write(
        home.path().join("format"),
        r#"{"version":2,"instance":"x"}"#,
    )
    .expect("writes");
    let refused = home.try_open().await;
    assert!(matches!(
        refused,
        Err(StoreError::Newer {
            what: "data directory",
            ..
        })
    ));
}

#[tokio::test]
async fn the_directory_and_the_key_ring_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let inside = directory.path().join("data");
    open(&StoreConfig::at(&inside)).await.expect("opens");
    let mode = |name: &str| {
        std::fs::metadata(inside.join(name))
            .expect("is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("keyring"), 0o600);
    assert_eq!(mode("state"), 0o700);
}

on_both!(altered_or_missing_bytes_are_told_from_good_ones);
async fn altered_or_missing_bytes_are_told_from_good_ones(on: On) {
    let home = Home::new(on).await;
    let store = home.open().await;
    let digest = store.blob_put(b"some code").await.expect("keeps");
    assert_eq!(store.blob_put(b"some code").await.expect("keeps"), digest);
    assert_eq!(store.blob_get(&digest).await.expect("reads"), b"some code");
    match on {
        On::Sqlite => {
            let path = home.path().join("blobs/sha256").join(&digest[7..]);
            std::fs::write(path, "other code").expect("writes");
        }
        On::Postgres => {
            let mut writing = store.writing().await.expect("writes");
            let other = "UPDATE blobs SET bytes = 'other code'::bytea".to_owned();
            execute(&mut writing, other).await.expect("alters");
            writing.commit().await.expect("commits");
        }
    }
    assert!(matches!(
        store.blob_get(&digest).await,
        Err(StoreError::Blob {
            what: "altered",
            ..
        })
    ));
    let missing = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(
        store.blob_get(&missing).await,
        Err(StoreError::Blob {
            what: "missing",
            ..
        })
    ));
    assert!(matches!(
        store.blob_get("sha256:../../keyring").await,
        Err(StoreError::Blob { .. })
    ));
}

#[tokio::test]
async fn one_process_at_a_time_is_the_worker() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let lock = store.place().worker_lock().expect("asks").expect("is free");
    assert!(store.place().worker_lock().expect("asks").is_none());
    drop(lock);
    assert!(store.place().worker_lock().expect("asks").is_some());
}
