//! A copy of a data directory that a server works in, and what is made of it elsewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{Server, TOKEN};
use crate::support::{CATALOGUE, Place};

const ENGINE: &str = "case $1 in apply) planned 1; echo ran >> state/effects; echo '{\"version\":4,\"serial\":2,\"lineage\":\"l\",\"outputs\":{},\"resources\":[]}' > state/terraform.tfstate; applied 1;; output) echo '{}';; esac";

fn deploy(client: &Place) {
    client.write(
        "app.yaml",
        "workloads: {web: {resources: {note: {type: note, params: {text: x}}}}}",
    );
    client.ok([
        "deploy",
        "shop",
        "dev",
        "app.yaml",
        "--no-prompt",
        "--runner",
        "process",
    ]);
}

#[test]
fn a_backup_is_made_while_a_server_runs_and_goes_on_elsewhere() {
    let place = Place::scripted(ENGINE);
    let server = Server::start(&place, &[]);
    let client = server.client(TOKEN);
    client.write("catalogue/all.yaml", CATALOGUE);
    client.ok(["apply", "-f", "catalogue"]);
    deploy(&client);
    place.ok(["backup", "copy.tar"]);
    let file = place.work().join("copy.tar");
    let mode = file.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place
        .refused(["backup", "copy.tar"])
        .says(&["is there already"]);
    // What came later is not in it.
    deploy(&client);
    assert_eq!(client.deployments("dev").len(), 2);
    server.stop();

    let restored = Place::scripted(ENGINE);
    std::fs::create_dir(restored.data()).expect("a directory");
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&file)
        .arg("-C")
        .arg(restored.data())
        .status();
    assert!(unpacked.expect("tar").success());
    let server = Server::start(&restored, &[]);
    let client = server.client(TOKEN);
    assert_eq!(client.deployments("dev").len(), 1);
    deploy(&client);
    assert_eq!(client.deployments("dev").len(), 2);
    let effects = std::fs::read_to_string(restored.states()[0].join("effects")).expect("a file");
    assert_eq!(effects, "ran\nran\n", "the state came along");
    server.stop();
}
