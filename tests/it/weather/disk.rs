//! A disk that is full at each write, one that takes no writes, a temporary directory that is not there, and a database
//! that somebody keeps locked.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use super::{Brim, Mount, as_root, begin, by_process, gated};
use crate::kills::settle;
use crate::support::{CATALOGUE, Place, wait_until};

/// The worker has nothing to do and has ended.
fn at_rest(place: &Place) {
    wait_until("the worker ends", || place.workers().is_empty());
}

/// The base is deployed, and the state holds it and nothing else.
fn goes_on(place: &Place) {
    settle(place);
    place.ok(place.deploy("dev", "base.yaml"));
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    assert_eq!(
        view["recorded"].as_array().map(Vec::len),
        Some(1),
        "{view:#}"
    );
}

#[test]
#[ignore = "needs opentofu"]
fn a_full_disk_is_named_by_every_command_and_nothing_is_lost() {
    let place = by_process();
    let disk = Mount::tmpfs(&place.data(), "4m");
    begin(&place);
    place.ok(place.deploy("dev", "base.yaml"));
    at_rest(&place);
    let brim = Brim::over(&disk.0);
    let data = place.data().display().to_string();
    place.write("more.yaml", "kind: project\nid: more\n");
    for command in [
        vec!["apply", "-f", "more.yaml"],
        vec!["deploy", "shop", "dev", "base.yaml", "--no-prompt"],
    ] {
        place
            .refused(command)
            .says(&["Error: ", &data, "Free some space"]);
    }
    // Reading needs a little room as well, unless somebody reads already.
    let done = place.run(["get", "deployments", "shop", "dev"]);
    if done.code != Some(0) {
        done.says(&["Free some space on the disk of", &data, "KiB are free"]);
    }
    drop(brim);
    place.ok(["apply", "-f", "more.yaml"]);
    assert_eq!(
        place.deployments("dev").len(),
        1,
        "nothing was half recorded"
    );
    goes_on(&place);
}

#[test]
fn the_first_command_on_a_full_disk_leaves_nothing_behind() {
    let place = Place::without_engine();
    let disk = Mount::tmpfs(&place.data(), "64k");
    let brim = Brim::over(&disk.0);
    place.refused(["get", "projects"]).says(&[
        "`",
        "format` could not be written",
        "Free some space",
    ]);
    drop(brim);
    disk.remount("size=4m");
    place.ok(["get", "projects"]);
}

/// Database, spool, journal and state are on the disk that fills up.
#[test]
#[ignore = "needs opentofu"]
fn a_disk_that_fills_up_while_applying_ends_the_deployment_once() {
    let place = by_process();
    let disk = Mount::tmpfs(&place.data(), "6m");
    begin(&place);
    place.ok(place.deploy("dev", "base.yaml"));
    place.write("gated.yaml", gated("full", 40_000));
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("full", &mut client);
    let id = place.newest("dev");
    // Empty files, so that a full disk does not keep the gate closed.
    let brim = Brim::over(&disk.0);
    place.open_gate("full");
    wait_until("the client says that the disk is full", || {
        client.has_said("until you free some space")
    });
    wait_until("the engine has ended", || {
        place
            .runner_processes()
            .iter()
            .all(|(_, name)| name != "tofu")
    });
    drop(brim);
    let record = place.ended(&id);
    let done = client.wait();
    assert_eq!(place.ends(&id), 1, "{record:#}");
    let open = ["unrecorded", "in_flight"].map(|list| {
        let named = record["windlass"][list].as_array();
        named.map_or(0, Vec::len)
    });
    let view = place.json(["state", "list", "shop", "dev", "-o", "json"]);
    let recorded = view["recorded"].as_array().map_or(0, Vec::len);
    if record["status"] == "succeeded" {
        assert_eq!((recorded, open), (3, [0, 0]), "{view:#}\n{done}");
    } else {
        assert_eq!(done.code, Some(1), "{done}");
        assert!(open[0] >= 2 && open[0] + open[1] >= 3, "{record:#}");
        place
            .refused(place.deploy("dev", "base.yaml"))
            .says(&["windlass state import shop dev"]);
    }
    goes_on(&place);
}

#[test]
#[ignore = "needs opentofu"]
fn an_engine_that_cannot_write_its_state_loses_nothing() {
    let place = by_process();
    begin(&place);
    let disk = Mount::tmpfs(&place.data().join("state"), "3m");
    place.ok(place.deploy("dev", "base.yaml"));
    place.write("gated.yaml", gated("state", 60_000));
    let mut client = place.start(place.deploy("dev", "gated.yaml"));
    place.wait_at_gate("state", &mut client);
    let id = place.newest("dev");
    let brim = Brim::over(&disk.0);
    place.open_gate("state");
    let done = client.wait();
    assert_eq!(done.code, Some(1), "{done}");
    done.says(&["the engine could not write the state"]);
    let record = place.deployment(&id);
    assert_eq!(
        record["windlass"]["failure_class"], "state_write_failed",
        "{record:#}"
    );
    let named = record["windlass"]["unrecorded"].as_array().map(Vec::len);
    assert_eq!(named, Some(3), "two notes and the gate: {record:#}");
    assert_eq!(place.ends(&id), 1);
    // No engine starts where there is no room for what it does.
    drop(brim);
    settle(&place);
    let brim = Brim::over(&disk.0);
    place
        .refused(place.deploy("dev", "base.yaml"))
        .says(&["in the state directory", "free some space on its disk"]);
    drop(brim);
    goes_on(&place);
}

#[test]
#[ignore = "needs opentofu"]
fn a_full_disk_below_one_directory_is_answered_and_left_again() {
    let place = by_process();
    begin(&place);
    place.write("local/main.tf", "output \"text\" {\n  value = \"x\"\n}\n");
    place.write(
        "uploaded.yaml",
        "kind: module\nid: uploaded\nresource_type: note\nmodule_source: ./local\n",
    );
    let deploy = place.deploy("dev", "base.yaml");
    let apply: Vec<String> = ["apply", "-f", "uploaded.yaml"].map(str::to_owned).into();
    for (directory, command, words) in [
        ("spool", &deploy, "spool"),
        ("keys", &deploy, "keys"),
        ("blobs/sha256", &apply, "blobs/sha256"),
    ] {
        let disk = Mount::tmpfs(&place.data().join(directory), "1m");
        let brim = Brim::over(&disk.0);
        let done = place.refused(command);
        done.says(&[words]);
        let said = done.stderr.to_lowercase();
        assert!(
            ["free some space", "there is no space left"]
                .iter()
                .any(|words| said.contains(words)),
            "{directory}\n{done}"
        );
        drop(brim);
        place.ok(command);
        at_rest(&place);
    }
}

#[test]
#[ignore = "needs opentofu"]
fn a_data_directory_that_takes_no_writes_is_named() {
    let place = by_process();
    let disk = Mount::tmpfs(&place.data(), "8m");
    begin(&place);
    place.ok(place.deploy("dev", "base.yaml"));
    at_rest(&place);
    disk.remount("ro");
    let data = place.data().display().to_string();
    for command in [
        vec!["get", "deployments", "shop", "dev"],
        vec!["deploy", "shop", "dev", "base.yaml", "--no-prompt"],
    ] {
        place
            .refused(command)
            .says(&[&data, "make", "writable", "--data-dir"]);
    }
    // A copy is good to look at.
    let copy = place.work().join("copy");
    assert!(as_root(&["cp", "-a", &data, &copy.to_string_lossy()]));
    place.ok([
        "get".as_ref(),
        "deployments".as_ref(),
        "shop".as_ref(),
        "dev".as_ref(),
        "--data-dir".as_ref(),
        copy.as_os_str(),
    ]);
    disk.remount("rw");
    goes_on(&place);
}

#[test]
fn a_data_directory_of_another_user_is_named() {
    let place = Place::without_engine();
    place.ok(["get", "projects"]);
    if rustix::process::geteuid().is_root() {
        let mut command = place.command(["get", "projects"]);
        // It must be able to get as far as the directory itself.
        let root = place.data();
        let root = root.parent().expect("a parent");
        open_up(root);
        let copy = root.join("bin/windlass");
        fs::copy(env!("CARGO_BIN_EXE_windlass"), &copy).expect("a copy that others may run");
        open_up(&copy);
        command = {
            let mut other = std::process::Command::new(&copy);
            other.args(command.get_args()).env_clear();
            for (name, value) in command.get_envs() {
                other.env(name, value.unwrap_or_default());
            }
            other.current_dir("/").uid(12345).gid(12345);
            other
        };
        let output = command.output().expect("it starts");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        for word in ["belongs to user 0", "runs as user 12345", "--data-dir"] {
            assert!(words.contains(word), "{words}");
        }
    } else {
        // A directory of root's, which every machine has.
        place
            .refused(["get", "projects", "--data-dir", "/root/windlass"])
            .says(&["belongs to user 0", "--data-dir"]);
    }
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opened");
}

#[test]
#[ignore = "needs opentofu"]
fn nothing_needs_a_temporary_directory() {
    let place = by_process();
    place.with_variable("TMPDIR", "/nowhere/at/all");
    begin(&place);
    place.write("local/main.tf", "output \"text\" {\n  value = \"x\"\n}\n");
    place.write(
        "uploaded.yaml",
        "kind: module\nid: uploaded\nresource_type: note\nmodule_source: ./local\n",
    );
    place.ok(["apply", "-f", "uploaded.yaml"]);
    place.ok(place.deploy("dev", "base.yaml"));
    place.ok(["logs", &place.newest("dev")]);
    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
}

#[test]
fn a_database_that_somebody_keeps_locked_is_named() {
    let place = Place::without_engine();
    place.write("all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "all.yaml"]);
    place.write("more.yaml", "kind: project\nid: more\n");
    let url = format!("sqlite://{}", place.data().join("windlass.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        use sqlx::{Connection as _, Executor as _};
        let mut database = sqlx::SqliteConnection::connect(&url)
            .await
            .expect("the database opens");
        database.execute("BEGIN IMMEDIATE").await.expect("locked");
        let done = place.refused(["apply", "-f", "more.yaml"]);
        done.says(&["database is locked", "fuser", "windlass.db"]);
        database.execute("ROLLBACK").await.expect("let go");
    });
    place.ok(["apply", "-f", "more.yaml"]);
}
