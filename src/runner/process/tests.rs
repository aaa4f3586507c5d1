use super::*;
use crate::runner::event::Kind;
use crate::runner::job::{Action, Deadlines};
use crate::wire::runners::EnvironmentValue;

const ENV: &str = "01890000-0000-7000-8000-000000000001";

/// A supervisor of a few lines of shell: enough to see what a launcher does with one.
fn launcher(dir: &Path, script: &str) -> ProcessLauncher {
    use std::os::unix::fs::PermissionsExt as _;
    let program = dir.join("supervisor");
    std::fs::write(
        &program,
        format!("#!/bin/sh\nwhile [ \"$1\" != --spool ]; do shift; done\nspool=$2\n{script}\n"),
    )
    .expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    ProcessLauncher::with_program(
        HostSettings {
            data_dir: dir.join("data"),
            instance: "i".into(),
            mirror: None,
            docker_host: None,
            docker_network: None,
            binary: None,
            mount_allow: Vec::new(),
            environment_allow: None,
            engines: BTreeMap::from([("opentofu".to_owned(), PathBuf::from("/bin/sh"))]),
            parallel: 1,
            runner_image: None,
        },
        program,
    )
}

fn assignment() -> Assignment {
    let key = RunKey {
        run: "0190".into(),
        attempt: 1,
    };
    Assignment {
        key: key.clone(),
        env_uuid: ENV.into(),
        job: Job {
            version: 1,
            run: key.run,
            attempt: key.attempt,
            deployment: "d".into(),
            action: Action::Deploy,
            files: BTreeMap::new(),
            bundle_digest: "sha256:".into(),
            labels: BTreeMap::new(),
            engine: Some("opentofu".into()),
            local_state: true,
            encryption: None,
            move_to: None,
            state: None,
            left_open: Default::default(),
            environment: BTreeMap::new(),
            allow_downloads: false,
            log_recipients: Vec::new(),
            output_recipients: Vec::new(),
            addresses: Vec::new(),
            ids: BTreeMap::new(),
            log_level: "info".into(),
            deadlines: Deadlines::default(),
            shortcuts: crate::wire::runners::Shortcuts::default(),
            packages: Vec::new(),
            network_mirror: None,
            engine_digest: String::new(),
            heartbeat_ms: crate::runner::job::heartbeat_ms(),
            unsealed: false,
        },
        launch: Launch::Process(ProcessConfiguration::default()),
    }
}

const EVENT: &str = r#"{\"v\":1,\"run\":\"0190\",\"attempt\":1,\"seq\":'$n',\"at_us\":0,\"kind\":{\"step\":\"init\"}}"#;

fn say(numbers: &str) -> String {
    let event = EVENT.replace("\\\"", "\"");
    format!("for n in {numbers}; do echo '{event}' >> $spool/events.jsonl; done")
}

async fn all(launcher: &ProcessLauncher, handle: &Handle, after: u64) -> (Vec<u64>, Exit) {
    let (sender, mut events) = tokio::sync::mpsc::channel(8);
    let key = assignment().key;
    let (exit, seqs) = tokio::join!(launcher.observe(&key, handle, after, sender), async {
        let mut seqs = Vec::new();
        while let Some(batch) = events.recv().await {
            assert!(
                batch
                    .iter()
                    .all(|event| matches!(event.kind, Kind::Step(_)))
            );
            seqs.extend(batch.iter().map(|event| event.seq));
        }
        seqs
    });
    (seqs, exit.expect("observed"))
}

#[tokio::test]
async fn the_job_goes_in_and_the_events_come_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = format!("cat > $spool/job\n{}\nexit 1", say("1 2 3"));
    let launcher = launcher(dir.path(), &script);
    let mut assignment = assignment();
    assignment.launch = Launch::Process(ProcessConfiguration {
        engine: None,
        environment: BTreeMap::from([(
            "TOKEN".to_owned(),
            EnvironmentValue::Literal("s3cret".into()),
        )]),
        ..ProcessConfiguration::default()
    });
    let handle = launcher
        .ensure(&assignment, &|_| {})
        .await
        .expect("started");
    assert_eq!(
        launcher.ensure(&assignment, &|_| {}).await.expect("known"),
        handle,
        "a second call finds the first one's process"
    );
    launcher.give(&assignment, &handle).await.expect("given");
    let (seqs, exit) = all(&launcher, &handle, 0).await;
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(exit.code, Some(1));
    let spool = launcher.spool(&assignment.key);
    let job: Job =
        serde_json::from_slice(&std::fs::read(spool.join("job")).expect("there")).expect("a job");
    assert_eq!(job.environment["TOKEN"], "s3cret");

    // Another process adopts it: all is in the spool.
    let other = ProcessLauncher::with_program(launcher.settings.clone(), "/nonexistent".into());
    let (seqs, exit) = all(&other, &handle, 2).await;
    assert_eq!(seqs, [3]);
    assert!(exit.vanished);
    other
        .remove(&assignment.key, Some(&handle))
        .await
        .expect("removed");
    assert!(!spool.exists());
}

#[tokio::test]
async fn a_supervisor_without_a_job_is_removed_and_started_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = launcher(dir.path(), "cat > /dev/null");
    let assignment = assignment();
    let old = first.ensure(&assignment, &|_| {}).await.expect("started");
    drop(first);
    let second = launcher(dir.path(), &format!("cat > /dev/null\n{}", say("1")));
    let new = second.ensure(&assignment, &|_| {}).await.expect("started");
    assert_ne!(old, new);
    second.give(&assignment, &new).await.expect("given");
    assert_eq!(all(&second, &new, 0).await.0, [1]);
    second
        .remove(&assignment.key, Some(&new))
        .await
        .expect("removed");
}

#[tokio::test]
async fn a_missing_variable_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a directory");
    let launcher = launcher(dir.path(), "exit 0");
    let mut lacking = assignment();
    lacking.launch = Launch::Process(ProcessConfiguration {
        engine: None,
        environment: BTreeMap::from([(
            "A".to_owned(),
            EnvironmentValue::FromEnv("WINDLASS_NEVER_SET".into()),
        )]),
        ..ProcessConfiguration::default()
    });
    let refused = launcher
        .ensure(&lacking, &|_| {})
        .await
        .expect_err("refused");
    assert!(refused.message.contains("WINDLASS_NEVER_SET"), "{refused}");
    assert!(!launcher.spool(&lacking.key).exists());
}

#[tokio::test]
async fn the_state_lies_where_everybody_else_looks_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let script =
        "while [ \"$1\" != --state ]; do shift; done; echo \"$2\" > $spool/state; cat > /dev/null";
    let launcher = launcher(dir.path(), script);
    let assignment = assignment();
    let handle = launcher
        .ensure(&assignment, &|_| {})
        .await
        .expect("started");
    launcher.give(&assignment, &handle).await.expect("given");
    all(&launcher, &handle, 0).await;
    let used = std::fs::read_to_string(launcher.spool(&assignment.key).join("state"));
    let expected = state::directory(&launcher.settings.data_dir, ENV).expect("a UUID");
    assert_eq!(Path::new(used.expect("written").trim()), expected);

    let mut outside = assignment;
    outside.key.attempt = 2;
    outside.env_uuid = "../..".into();
    let refused = launcher.ensure(&outside, &|_| {}).await;
    let message = refused.expect_err("it names no environment").message;
    assert!(message.contains("has no UUID"), "{message}");
    assert!(!launcher.spool(&outside.key).exists());
}

#[tokio::test]
async fn a_job_carries_the_digest_of_the_engine_that_its_runner_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut launcher = launcher(dir.path(), "cat > $spool/job");
    let mut digests = Vec::new();
    for (attempt, name) in (1..).zip(["opentofu", "terraform"]) {
        use std::os::unix::fs::PermissionsExt as _;
        let engine = dir.path().join(name);
        std::fs::write(&engine, name).expect("written");
        std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755)).expect("set");
        launcher.settings.engines.insert(name.to_owned(), engine);
        let mut assignment = assignment();
        assignment.key.attempt = attempt;
        // What the job says was found out without asking the runner.
        assignment.job.engine = Some("opentofu".into());
        assignment.launch = Launch::Process(ProcessConfiguration {
            engine: Some(name.to_owned()),
            ..ProcessConfiguration::default()
        });
        let handle = launcher
            .ensure(&assignment, &|_| {})
            .await
            .expect("started");
        launcher.give(&assignment, &handle).await.expect("given");
        let (sender, _) = tokio::sync::mpsc::channel(8);
        let ended = launcher.observe(&assignment.key, &handle, 0, sender).await;
        ended.expect("observed");
        let job = std::fs::read(launcher.spool(&assignment.key).join("job")).expect("there");
        let job: Job = serde_json::from_slice(&job).expect("a job");
        assert_eq!(job.engine.as_deref(), Some(name));
        digests.push(job.engine_digest);
    }
    assert!(digests[0].starts_with("sha256:"), "{digests:?}");
    assert_ne!(digests[0], digests[1]);
}

#[tokio::test]
async fn what_belongs_to_no_run_is_swept_and_what_is_owned_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let launcher = launcher(dir.path(), "exec sleep 600");
    let mut handles = Vec::new();
    for attempt in [1, 2] {
        let mut assignment = assignment();
        assignment.key = RunKey {
            run: ENV.into(),
            attempt,
        };
        let handle = launcher.ensure(&assignment, &|_| {}).await;
        handles.push(process(&handle.expect("starts")).expect("a process"));
    }
    let other = launcher.settings.data_dir.join("spool/of-somebody-else");
    std::fs::create_dir(&other).expect("made");
    launcher
        .sweep(&|key| key.attempt == 2)
        .await
        .expect("sweeps");
    let is_there = |attempt: u32| {
        let run = ENV.to_owned();
        launcher.spool(&RunKey { run, attempt }).exists()
    };
    assert!(!is_there(1) && is_there(2) && other.exists());
    let alive = handles
        .iter()
        .map(|(pid, since)| session::is_alive(*pid, *since));
    assert_eq!(alive.collect::<Vec<_>>(), [false, true]);
    launcher.sweep(&|_| false).await.expect("sweeps");
    assert!(!is_there(2));
}
