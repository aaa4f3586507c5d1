//! What can be read of a run that was killed: by our client all that was sealed, by `age` all up to the last rewrite.

use std::fs;
use std::process::Command;

use super::matrix::ended;
use super::settle;
use crate::support::{CATALOGUE, Place, by_both_launchers, with_input};

by_both_launchers! {
    the_plan_of_a_run_that_was_killed_while_it_applied
}

/// The newest age file of the log of a deployment.
fn age_file(place: &Place, id: &str) -> Vec<u8> {
    place.in_database(async |database| {
        sqlx::query_scalar(
            "SELECT file.bytes FROM age_files file JOIN streams stream ON stream.run = file.run AND stream.attempt = file.attempt AND stream.stream = file.stream WHERE stream.deployment = $1 AND file.stream = 'logs'",
        )
        .bind(id)
        .fetch_one(database)
        .await
        .expect("an age file")
    })
}

fn the_plan_of_a_run_that_was_killed_while_it_applied(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "gated.yaml",
        "workloads:\n  web:\n    resources:\n      gate: {type: gate, params: {name: shut}}\n",
    );
    let key = place.work().join("reader");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    assert!(made.is_ok_and(|made| made.status.success()), "a key");
    let kept = fs::read_to_string(&key).expect("the key");
    let reader = kept
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("a recipient");
    let mut words = place.deploy("dev", "gated.yaml");
    words.extend(["--recipient".to_owned(), reader.to_owned()]);
    let mut client = place.start(words);
    place.wait_at_gate("shut", &mut client);
    let id = place.newest("dev");
    client.kill();
    place.kill_supervisor();
    ended(place, &id, false, "the supervisor while applying");

    let mut age = Command::new("age");
    age.arg("--decrypt").arg("--identity").arg(&key);
    let opened = with_input(age, &age_file(place, &id));
    assert_eq!(opened.code, Some(0), "{opened}");
    assert!(opened.stdout.contains("Plan to create"), "{opened}");

    let ours = place.ok(["logs", &id, "--key", &format!("@{}", key.display())]);
    assert!(
        ours.stdout.starts_with(&opened.stdout),
        "our client reads at least that, byte for byte\n{ours}\n{opened}"
    );
    ours.says(&["the log ends early"]);
    settle(place);
}
