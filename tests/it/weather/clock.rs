//! A clock that jumps an hour in both directions while deployments wait and run.
//!
//! The clock of the records alone is turned, by a switch that only unreleased binaries have: what takes long is measured
//! by the clock that nobody can turn.

use std::fs;

use super::{begin, gated};
use crate::support::{Place, by_both_launchers, wait_until};

by_both_launchers! {
    a_clock_that_jumps_ahead_changes_nothing
    a_clock_that_is_turned_back_changes_nothing
}

fn a_clock_that_jumps_ahead_changes_nothing(place: &Place) {
    jump(place, 3600);
}

fn a_clock_that_is_turned_back_changes_nothing(place: &Place) {
    jump(place, -3600);
}

fn jump(place: &Place, seconds: i64) {
    let clock = place.write("clock", "0");
    place.with_variable("WINDLASS_TEST_CLOCK", &clock.to_string_lossy());
    begin(place);
    place.write("gated.yaml", gated("clock", 0));
    let mut first = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("clock", &mut first);
    let queue = |count: usize| {
        let client = place.start(place.deploy("dev", "base.yaml"));
        wait_until("the next one is in line", || {
            place.deployments("dev").len() == count
        });
        client
    };
    let second = queue(2);
    fs::write(&clock, seconds.to_string()).expect("the clock is turned");
    let third = queue(3);
    let listed = place.deployments("dev");
    let ids: Vec<String> = listed
        .iter()
        .map(|deployment| deployment["id"].as_str().expect("an id").to_owned())
        .collect();
    let created = |at: usize| {
        listed[at]["created_at"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    assert_eq!(created(0) > created(1), seconds > 0, "the clock was turned");
    place.open_gate("clock");
    for client in [first, second, third] {
        let done = client.wait();
        assert_eq!(done.code, Some(0), "{done}");
        assert!(
            !done.stderr.contains("3600"),
            "nothing took an hour\n{done}"
        );
    }
    let mut positions = Vec::new();
    for id in ids.iter().rev() {
        let record = place.deployment(id);
        assert_eq!(record["status"], "succeeded", "{record:#}");
        assert_eq!(record["windlass"]["attempt"], 1, "{record:#}");
        let time = |name: &str| record[name].as_str().expect("a time").to_owned();
        assert!(time("completed_at") >= time("created_at"), "{record:#}");
        assert_eq!(place.ends(id), 1, "{record:#}");
        positions.push(place.end_position(id));
        place.ok(["logs", id]);
    }
    assert!(
        positions.is_sorted(),
        "they ended in their order: {positions:?}"
    );
    assert_eq!(place.resources("dev"), ["note"], "the last one counts");
}
