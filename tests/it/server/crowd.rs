//! Many connections, most of which do nothing: whoever asks is answered all the same.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::http::Caller;
use super::{ORG, Server, TOKEN};
use crate::support::{CATALOGUE, Place, wait_until};

/// As many as one server should bear.
const IDLE: u64 = 10_000;
const STREAMS: usize = 1_000;

/// Lets this process have as many files as it may; returns how many.
fn files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("it may have what it may have");
    maximum.unwrap_or(u64::MAX)
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server takes it");
    let limit = Some(Duration::from_secs(150));
    socket.set_read_timeout(limit).expect("a limit");
    socket
}

/// A connection that has sent this and sends no more.
fn stuck(address: SocketAddr, said: &str) -> TcpStream {
    let mut socket = connect(address);
    socket.write_all(said.as_bytes()).expect("it is sent");
    socket
}

#[test]
fn idle_and_slow_clients_do_not_starve_others_and_are_sent_away() {
    let place = Place::without_engine();
    let server = Server::start(&place, &["--rate-limit", "0"]);
    let address = server.address();
    // Half a head, and a head whose body never comes.
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let half_a_head = format!("POST /orgs/{ORG}/projects HTTP/1.1\r\nhost: x\r\n{bearer}");
    let no_body = format!(
        "{half_a_head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"id\": \"sl"
    );
    let mut slow: Vec<TcpStream> = (0..50)
        .flat_map(|_| [stuck(address, &half_a_head), stuck(address, &no_body)])
        .collect();
    // Some files are for everything else, here and there.
    let count = IDLE.min(files().saturating_sub(1_000));
    assert!(
        count >= 1_000,
        "too few files to test anything: raise `ulimit -n`"
    );
    let idle: Vec<TcpStream> = (0..count).map(|_| connect(address)).collect();
    let caller = Caller::with(server.url(), TOKEN);
    for number in 0..20 {
        let made = caller.post(
            &format!("/orgs/{ORG}/projects"),
            &json!({"id": format!("p{number}")}),
        );
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(caller.get(&format!("/orgs/{ORG}/projects")).status, 200);
    }
    drop(idle);
    // Those that never finish asking are let go of by the server, with an answer or without.
    for socket in &mut slow {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    let projects = caller.get(&format!("/orgs/{ORG}/projects")).ok();
    let names = projects["items"].to_string();
    assert!(!names.contains("\"sl"), "{names}");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_thousand_followers_hear_the_end_and_others_are_answered_meanwhile() {
    let place = Place::scripted(
        "case $1 in apply) planned 1; touch state/mid.waiting; until [ -e state/mid.go ]; do sleep 0.02; done; applied 1;; output) echo '{}';; esac",
    );
    let server = Server::start(&place, &["--rate-limit", "0"]);
    let client = server.client(TOKEN);
    client.write("catalogue/all.yaml", CATALOGUE);
    client.ok(["apply", "-f", "catalogue"]);
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
        "--no-wait",
        "--runner",
        "process",
    ]);
    let id = client.newest("dev");
    wait_until("the run stands at the gate", || {
        let mut states = place.states().into_iter();
        states.any(|state| state.join("mid.waiting").exists())
    });
    assert!(files() > 2_000, "too few files: raise `ulimit -n`");
    let ask = format!(
        "GET /orgs/{ORG}/deployments/{id}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    let mut followers: Vec<TcpStream> = (0..STREAMS)
        .map(|_| stuck(server.address(), &ask))
        .collect();
    for follower in &mut followers {
        let mut begin = [0; 12];
        follower.read_exact(&mut begin).expect("it is answered");
        assert_eq!(&begin, b"HTTP/1.1 200");
    }
    let caller = Caller::with(server.url(), TOKEN);
    for _ in 0..20 {
        assert_eq!(caller.get(&format!("/orgs/{ORG}/projects")).status, 200);
    }
    for state in place.states() {
        std::fs::write(state.join("mid.go"), "").expect("writes");
    }
    for follower in &mut followers {
        let mut heard = Vec::new();
        follower.read_to_end(&mut heard).expect("it ends");
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.contains("ended"), "{heard}");
    }
    assert_eq!(client.ended(&id)["status"], "succeeded");
    assert_eq!(server.stop().code, Some(0));
}
