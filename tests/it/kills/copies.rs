//! Machines that die at random instants of a deployment, from the request to the end: each is a copy of the data directory
//! as of that instant, started where nothing of it runs.
//!
//! `WINDLASS_SEED` repeats the instants; it is printed.

use std::fs;
use std::time::{Duration, Instant};

use super::{settle, table};
use crate::lot::{Lot, seed};
use crate::support::{CATALOGUE, Engine, Launcher, Place};

/// How many machines die.
const MACHINES: u64 = 6;

/// Ten notes that change with each round.
fn notes(round: u64) -> String {
    let mut text = "workloads:\n  web:\n    resources:\n".to_owned();
    for n in 0..10 {
        text.push_str(&format!(
            "      n{n}: {{type: note, params: {{text: round-{round}}}}}\n"
        ));
    }
    text
}

#[test]
#[ignore = "needs opentofu"]
#[expect(
    clippy::print_stderr,
    reason = "the seed repeats the instants, and what came of each should be seen"
)]
fn machines_that_die_at_random_instants_lose_nothing() {
    let place = Place::new(Launcher::Process, Engine::OpenTofu);
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("notes.yaml", notes(0));
    place.ok(place.deploy("dev", "notes.yaml"));
    let seed = seed();
    eprintln!("WINDLASS_SEED={seed}");
    let mut lot = Lot::new(seed);
    let mut length = Duration::from_millis(700);
    let there = |machine: u64| place.data().with_extension(format!("copy-{machine}"));
    for machine in 0..MACHINES {
        place.write("notes.yaml", notes(machine + 1));
        let began = Instant::now();
        let client = place.start(place.deploy("dev", "notes.yaml"));
        let instant = lot.draw() % u64::try_from(length.as_micros()).expect("short").max(1);
        std::thread::sleep(Duration::from_micros(instant));
        let copying = Instant::now();
        table::copy(&place, &there(machine));
        let copied = copying.elapsed();
        let done = client.wait();
        assert_eq!(done.code, Some(0), "the first machine goes on\n{done}");
        length = began.elapsed().saturating_sub(copied);
    }
    for (pid, _) in place.processes() {
        crate::support::kill(pid);
    }
    for machine in 0..MACHINES {
        fs::remove_dir_all(place.data()).expect("the machine is gone");
        fs::rename(there(machine), place.data()).expect("the copy is another machine's");
        let context = format!("machine {machine} of seed {seed}");
        let id = place.newest("dev");
        let record = place.ended(&id);
        let outcome = record["windlass"]["outcome"].to_string();
        eprintln!("{context}: {outcome}");
        assert_eq!(place.ends(&id), 1, "{context}: one end");
        settle(&place);
        place.write("notes.yaml", notes(100));
        let done = place.run(place.deploy("dev", "notes.yaml"));
        assert_eq!(done.code, Some(0), "{context}\n{done}");
        let record = place.deployment(&place.newest("dev"));
        // All ten were there before, so none is made again, but for what a person dismissed.
        assert_eq!(
            record["metrics"]["num_tf_resources"], 10,
            "{context}: {record:#}"
        );
        for (pid, _) in place.processes() {
            crate::support::kill(pid);
        }
    }
}
