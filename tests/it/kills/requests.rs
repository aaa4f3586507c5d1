//! Kills, and worse, while a request to the container daemon is under way.
//!
//! A proxy in front of the daemon's socket holds the request until the test lets it go, or for ever.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use super::matrix::ended;
use super::table::{Phase, victims};
use crate::dockerd::PrivateDocker;
use crate::proxy::Proxy;
use crate::support::{CATALOGUE, Engine, Launcher, Place, docker, mirror, wait_until};

/// A program like the engine, of which no image was made yet: what follows it in the file is not looked at.
pub(super) fn fresh_engine(place: &Place, number: usize) -> PathBuf {
    let copy = place.work().join(format!("engine-{number}/tofu"));
    fs::create_dir_all(copy.parent().expect("a directory")).expect("made");
    fs::copy(Engine::OpenTofu.binary(), &copy).expect("a copy");
    let mark = format!("{}-{number}", place.work().display());
    fs::OpenOptions::new()
        .append(true)
        .open(&copy)
        .and_then(|mut file| file.write_all(mark.as_bytes()))
        .expect("longer");
    copy
}

pub(super) fn is_build(line: &str) -> bool {
    line.starts_with("POST ") && line.contains("/build?")
}

#[test]
#[ignore = "needs docker and opentofu"]
fn killed_while_its_image_is_built() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let socket = place.work().join("docker.sock");
    let gate = Proxy::at(&socket, is_build);
    place.write("catalogue/all.yaml", CATALOGUE);
    place.settings("");
    place.ok(["apply", "-f", "catalogue"]);
    for (number, victim) in victims(Phase::Image, Launcher::Docker).enumerate() {
        let context = format!("{victim:?} while the image is built");
        place.settings(&format!(
            "engines:\n  opentofu: {}\nmirror: {}\ndocker_host: unix://{}\n",
            fresh_engine(&place, number).display(),
            mirror().display(),
            socket.display()
        ));
        let text = format!("round-{number}");
        place.write("one.yaml", format!("workloads:\n  web:\n    resources:\n      note: {{type: note, params: {{text: {text}}}}}\n    outputs:\n      NOTE: ${{resources.note.outputs.text}}\n"));
        gate.close();
        let mut client = place.start(place.deploy("dev", "one.yaml"));
        wait_until("the image is being built", || {
            if let Some(done) = client.over() {
                panic!("{context}: it ended before\n{done}");
            }
            gate.is_waited_at()
        });
        let id = place.newest("dev");
        victim.strike(&place, client);
        gate.let_go();
        let record = ended(&place, &id, true, &context);
        assert_eq!(
            record["windlass"]["outcome"], "applied",
            "{context}: {record:#}"
        );
        let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
        assert_eq!(outputs["web"]["NOTE"], text.as_str(), "{context}");
        assert_eq!(place.deployments("dev").len(), number + 1, "{context}");
        place.kill_workers();
        for container in place.containers() {
            docker(&["rm", "--force", "--volumes", &container]);
        }
        // The image is this test's alone.
        let built = place.ok(["runner-image", "build"]);
        let name = built
            .stderr
            .split_whitespace()
            .find(|word| word.starts_with("windlass-runner:"))
            .unwrap_or_else(|| panic!("it names the image\n{built}"));
        docker(&["rmi", "--force", name]);
    }
}

#[test]
#[ignore = "needs docker and opentofu"]
fn the_daemon_is_killed_while_it_builds() {
    let daemon = PrivateDocker::started();
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let socket = place.work().join("docker.sock");
    let gate = Proxy::before(daemon.socket(), &socket, is_build);
    place.settings(&format!(
        "engines:\n  opentofu: {}\ndocker_host: unix://{}\n",
        Engine::OpenTofu.binary().display(),
        socket.display()
    ));
    let runner = "---\nkind: runner\nid: quiet\nrunner_configuration: {type: docker, network: none}\nstate_storage_configuration: {type: local}\n";
    place.write("catalogue/all.yaml", format!("{CATALOGUE}{runner}"));
    place.ok(["apply", "-f", "catalogue"]);
    place.write("one.yaml", ONE);
    let deploy = || {
        let mut words = place.deploy("dev", "one.yaml");
        words.pop();
        words.push("quiet".to_owned());
        words
    };
    let mut client = place.start(deploy());
    wait_until("the image is being built", || {
        if let Some(done) = client.over() {
            panic!("it ended before\n{done}");
        }
        gate.is_waited_at()
    });
    let id = place.newest("dev");
    daemon.end("-KILL");
    gate.let_go();
    let record = ended(&place, &id, false, "no daemon, and none comes back");
    let class = &record["windlass"]["failure_class"];
    assert_eq!(class, "runner_unreachable", "{record:#}");
    client.wait().says(&["Start Docker"]);
    daemon.start();
    place.ok(deploy());
    assert_eq!(place.resources("dev"), ["note"]);
}

const ONE: &str =
    "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: one}}\n";

#[test]
#[ignore = "needs docker and opentofu"]
fn an_engine_that_goes_while_its_container_is_made_is_not_asked_for_again() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    let engine = place.work().join("tofu");
    std::os::unix::fs::symlink(Engine::OpenTofu.binary(), &engine).expect("a link");
    let socket = place.work().join("docker.sock");
    let gate = Proxy::at(&socket, |line| line.contains("/containers/create?"));
    place.settings(&format!(
        "engines:\n  opentofu: {}\ndocker_host: unix://{}\n",
        engine.display(),
        socket.display()
    ));
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("one.yaml", ONE);
    let mut client = place.start(place.deploy("dev", "one.yaml"));
    wait_until("the container is being made", || {
        if let Some(done) = client.over() {
            panic!("it ended before\n{done}");
        }
        gate.is_waited_at()
    });
    // The image has the engine; what it is made of was found out before.
    fs::remove_file(&engine).expect("gone");
    gate.let_go();
    let done = client.wait();
    assert_eq!(done.code, Some(0), "{done}");
}

#[test]
#[ignore = "needs docker and opentofu"]
fn the_volume_of_a_destroyed_environment_goes_although_its_worker_was_killed() {
    let place = Place::new(Launcher::Docker, Engine::OpenTofu);
    // The first request for it comes while the container still uses it, the second when that is gone.
    let mut requests = 0;
    let (gate, address) = Proxy::far(move |line| {
        let is_removal = line.starts_with("DELETE ") && line.contains("/volumes/windlass-state-");
        requests += u32::from(is_removal);
        is_removal && requests == 2
    });
    place.settings(&format!(
        "engines:\n  opentofu: {}\ndocker_host: {address}\n",
        Engine::OpenTofu.binary().display()
    ));
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("one.yaml", ONE);
    place.ok(place.deploy("dev", "one.yaml"));
    let volumes = || {
        let label = format!("label={}", place.label().expect("a label"));
        let listed = docker(&["volume", "ls", "--quiet", "--filter", &label]);
        let states = listed
            .lines()
            .filter(|name| name.starts_with("windlass-state-"));
        states.map(str::to_owned).collect::<Vec<_>>()
    };
    let [state] = &volumes()[..] else {
        panic!("the state lies in a volume: {:?}", volumes());
    };

    let client = place.start(["delete", "environment", "shop", "dev", "--no-prompt"]);
    wait_until("the container is gone and the volume is to follow", || {
        gate.is_waited_at()
    });
    place.kill_workers();
    client.kill();
    assert_eq!(volumes(), std::slice::from_ref(state), "it is still there");

    place.write("two.yaml", ONE);
    place.ok(place.deploy("live", "two.yaml"));
    wait_until("it is gone", || !volumes().contains(state));
    assert_eq!(volumes().len(), 1, "the other environment's stays");
    assert_eq!(place.states().len(), 1);
}
