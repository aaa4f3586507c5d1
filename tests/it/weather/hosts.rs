//! Two hosts on one data directory: the second one is refused.

use std::fs;

use serde_json::{Value, json};

use super::{begin, by_process, gated};
use crate::support::{Place, wait_until};

fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

#[test]
fn a_directory_that_a_worker_of_another_host_uses_is_refused() {
    let place = Place::without_engine();
    place.ok(["get", "projects"]);
    let lock = place.data().join("worker.lock");
    let write = |host: &str, machine: &str| {
        let holder =
            json!({"version": 1, "host": host, "machine": machine, "boot": "another", "pid": 4711});
        fs::write(&lock, holder.to_string()).expect("written");
    };
    write("elsewhere", "another");
    place.write("base.yaml", super::BASE);
    for command in [
        vec!["get", "projects"],
        vec!["deploy", "shop", "dev", "base.yaml", "--no-prompt"],
    ] {
        place.refused(command).says(&[
            "is used by host `elsewhere` (a worker with process id 4711)",
            &format!("remove `{}`", lock.display()),
        ]);
    }
    // This host before its last start: nobody works here any more.
    let here = line("/proc/sys/kernel/hostname");
    write(&here, &line("/etc/machine-id"));
    place.ok(["get", "projects"]);
    write("elsewhere", "another");
    fs::remove_file(&lock).expect("removed, as it says");
    place.ok(["get", "projects"]);
}

#[test]
#[ignore = "needs opentofu"]
fn a_worker_says_on_which_host_it_works_as_long_as_it_does() {
    let place = by_process();
    begin(&place);
    place.write("gated.yaml", gated("host", 0));
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("host", &mut client);
    let lock = place.data().join("worker.lock");
    let holder: Value = serde_json::from_slice(&fs::read(&lock).expect("there")).expect("JSON");
    assert_eq!(holder["host"], line("/proc/sys/kernel/hostname"));
    assert_eq!(holder["boot"], line("/proc/sys/kernel/random/boot_id"));
    place.open_gate("host");
    assert_eq!(client.wait().code, Some(0));
    wait_until("the worker takes its name away", || {
        fs::read(&lock).expect("there").is_empty()
    });
}
