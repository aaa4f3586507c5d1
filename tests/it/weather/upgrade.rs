//! A newer program beside an older one.

use crate::support::{CATALOGUE, Engine, Launcher, Place, wait_until};

#[test]
#[ignore = "needs docker and opentofu"]
fn a_worker_that_only_keeps_a_container_ready_makes_way_for_a_newer_program() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "app.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: one}}\n",
    );
    place.ok(place.deploy("dev", "app.yaml"));
    assert_eq!(place.workers().len(), 1, "it keeps a container ready");
    place.tamper("INSERT INTO migrations (number, name, applied_us) VALUES (9999, 'later', 1)");
    wait_until("the worker ends", || place.workers().is_empty());
}
