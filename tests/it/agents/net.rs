//! A network of its own, from which a server is reached and into which nothing can go.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::Place;

/// A namespace behind a pair of devices; gone when dropped.
pub(super) struct Network {
    name: String,
    near: Ipv4Addr,
    far: Ipv4Addr,
}

fn run(words: &[&str]) -> std::process::Output {
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if is_root { words[0] } else { "sudo" });
    match is_root {
        true => command.args(&words[1..]),
        false => command.arg("-n").args(words),
    };
    command.output().expect("the command starts")
}

fn must(words: &[&str]) {
    let output = run(words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

impl Network {
    pub(super) fn new() -> Self {
        let number = std::process::id();
        // A net of four addresses for each process of tests.
        let [_, _, high, low] = number.to_be_bytes();
        let base = low & !3;
        let network = Self {
            name: format!("windlass-{number}"),
            near: Ipv4Addr::new(10, 213, high, base + 1),
            far: Ipv4Addr::new(10, 213, high, base + 2),
        };
        let (name, device) = (network.name.as_str(), format!("wl{number}"));
        let (near, far) = (
            format!("{}/30", network.near),
            format!("{}/30", network.far),
        );
        must(&["ip", "netns", "add", name]);
        must(&[
            "ip", "link", "add", &device, "type", "veth", "peer", "name", "eth0", "netns", name,
        ]);
        must(&["ip", "addr", "add", &near, "dev", &device]);
        must(&["ip", "link", "set", &device, "up"]);
        for words in [
            &["ip", "addr", "add", &far, "dev", "eth0"][..],
            &["ip", "link", "set", "eth0", "up"],
            &["ip", "link", "set", "lo", "up"],
            &[
                "iptables", "-A", "INPUT", "-i", "eth0", "-p", "tcp", "--syn", "-j", "DROP",
            ],
            &[
                "iptables", "-A", "INPUT", "-i", "eth0", "-p", "udp", "-j", "DROP",
            ],
        ] {
            must(&[&["ip", "netns", "exec", name], words].concat());
        }
        network
    }

    /// The address of this machine, as those inside know it.
    pub(super) fn near(&self) -> Ipv4Addr {
        self.near
    }

    /// Starts the binary of a place inside; what it says goes to `said` in the work directory.
    pub(super) fn start(&self, place: &Place, arguments: &[&str]) -> std::process::Child {
        let inside = place.command(arguments);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(inside.get_program())
            .args(inside.get_args())
            .current_dir(place.work())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(place.work().join("said")).expect("a file"));
        for (name, value) in inside.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        command.spawn().expect("it starts")
    }

    /// Whether anybody listens inside, or lets this machine in.
    pub(super) fn lets_in(&self) -> bool {
        let output = run(&[
            "ip",
            "netns",
            "exec",
            &self.name,
            "cat",
            "/proc/net/tcp",
            "/proc/net/tcp6",
        ]);
        assert!(output.status.success(), "the table of sockets");
        let table = String::from_utf8_lossy(&output.stdout);
        let listens = table
            .lines()
            .any(|line| line.split_whitespace().nth(3) == Some("0A"));
        let at = SocketAddr::new(self.far.into(), 8080);
        listens || TcpStream::connect_timeout(&at, Duration::from_millis(300)).is_ok()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        run(&["ip", "netns", "delete", &self.name]);
    }
}
