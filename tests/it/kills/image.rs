//! Client and worker die while the image of the first deployment is being built.
//!
//! The build is held by a proxy in front of the daemon's socket: it passes everything on, but keeps the first request for
//! a build until the test lets it go.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::support::{CATALOGUE, Engine, Launcher, Place, docker, mirror, wait_until};

/// Where the daemon of this machine listens.
fn daemon() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock")
        .into()
}

/// A gate that a build stands at.
#[derive(Default)]
struct Gate {
    waiting: AtomicBool,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        self.waiting.store(true, Ordering::SeqCst);
        let open = self.open.lock().expect("no thread panics");
        drop(
            self.opened
                .wait_while(open, |open| !*open)
                .expect("no thread panics"),
        );
    }

    fn let_go(&self) {
        *self.open.lock().expect("no thread panics") = true;
        self.opened.notify_all();
    }
}

/// Listens at `socket` and passes everything on to the daemon.
fn proxy(socket: &PathBuf, gate: &Arc<Gate>) {
    let listener = UnixListener::bind(socket).expect("a socket");
    let gate = Arc::clone(gate);
    thread::spawn(move || {
        for near in listener.incoming() {
            let Ok(near) = near else { return };
            let far = UnixStream::connect(daemon()).expect("the daemon listens");
            let gate = Arc::clone(&gate);
            let (from, to) = (
                near.try_clone().expect("a socket"),
                far.try_clone().expect("a socket"),
            );
            thread::spawn(move || pass_on(from, to, Some(&gate)));
            thread::spawn(move || pass_on(far, near, None));
        }
    });
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, gate: Option<&Gate>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        if read == 0 {
            break;
        }
        let head = &bytes[..read.min(200)];
        if let Some(gate) = gate
            && head.starts_with(b"POST ")
            && head.windows(7).any(|part| part == b"/build?")
        {
            gate.pass();
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
#[ignore = "needs docker and opentofu"]
fn a_deployment_whose_image_was_being_built_still_runs() {
    let engine = Engine::OpenTofu;
    let place = Place::new(Launcher::Docker, engine);
    // An engine that no image was made of yet: what follows the program in the file is not looked at.
    let copy = place.work().join("tofu");
    fs::copy(engine.binary(), &copy).expect("a copy");
    fs::OpenOptions::new()
        .append(true)
        .open(&copy)
        .and_then(|mut file| file.write_all(place.work().as_os_str().as_encoded_bytes()))
        .expect("longer");
    let socket = place.work().join("docker.sock");
    let gate = Arc::new(Gate::default());
    proxy(&socket, &gate);
    place.settings(&format!(
        "engines:\n  {}: {}\nmirror: {}\ndocker_host: unix://{}\n",
        engine.name(),
        copy.display(),
        mirror().display(),
        socket.display()
    ));
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write(
        "one.yaml",
        "workloads:\n  web:\n    resources:\n      note: {type: note, params: {text: one}}\n    outputs:\n      NOTE: ${resources.note.outputs.text}\n",
    );

    let mut client = place.start(place.deploy("dev", "one.yaml"));
    wait_until("the image is being built", || {
        if let Some(done) = client.over() {
            panic!("it ended before\n{done}");
        }
        gate.waiting.load(Ordering::SeqCst)
    });
    let id = place.newest("dev");
    place.kill_workers();
    client.kill();
    gate.let_go();

    let record = place.ended(&id);
    assert_eq!(record["status"], "succeeded", "{record:#}");
    assert_eq!(record["metrics"]["num_tf_resources_added"], 1, "{record:#}");
    let outputs = place.json(["get", "outputs", "shop", "dev", "-o", "json"]);
    assert_eq!(outputs["web"]["NOTE"], "one");
    assert_eq!(place.deployments("dev").len(), 1);

    // The image is this test's alone.
    place.ok(["delete", "environment", "shop", "dev", "--no-prompt"]);
    place.kill_workers();
    for container in place.containers() {
        docker(&["rm", "--force", &container]);
    }
    let built = place.ok(["runner-image", "build"]);
    let name = built
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("windlass-runner:"))
        .unwrap_or_else(|| panic!("it names the image\n{built}"));
    docker(&["rmi", "--force", name]);
}
