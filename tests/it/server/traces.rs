//! Traces: a collector of our own on loopback gets them by OTLP over HTTP, with the name of the service and without a secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::http::Caller;
use super::{ORG, Server, TOKEN};
use crate::support::{Place, wait_until};

/// What was sent to a collector: heads and bodies, whose texts are readable as they are.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<String>>);

impl Collected {
    /// Starts a collector; where it is.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let kept = self.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("a caller");
                let kept = kept.clone();
                std::thread::spawn(move || kept.answer(socket));
            }
        });
        url
    }

    /// Answers every request of a connection.
    fn answer(&self, mut socket: std::net::TcpStream) {
        let mut reader = BufReader::new(socket.try_clone().expect("the same socket"));
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            let mut body = vec![0; length.expect("a length")];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            head.push_str(&String::from_utf8_lossy(&body));
            self.0.lock().expect("whole").push_str(&head);
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Everything so far.
    fn all(&self) -> String {
        self.0.lock().expect("whole").clone()
    }
}

#[test]
fn a_collector_gets_what_was_asked_and_nothing_that_is_secret() {
    let collected = Collected::default();
    let collector = collected.start();
    let place = Place::without_engine();
    place
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)
        .with_variable(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-tenant=planted-for-the-collector",
        )
        .with_variable("OTEL_SERVICE_NAME", "windlass-of-the-tests")
        .with_variable("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=trying")
        .with_variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    let server = Server::start(&place, &[]);
    let admin = Caller::with(server.url(), TOKEN);
    admin.get(&format!("/orgs/{ORG}/projects")).ok();
    let secret = json!({"provider_type": "aws", "id": "main", "source": "hashicorp/aws", "version_constraint": "~> 5.0",
        "configuration": {"secret_key": "planted-in-a-body"}});
    let path = format!("/orgs/{ORG}/module-providers");
    assert_eq!(admin.post(&path, &secret).status, 201);
    admin
        .and("DecryptKey", "AGE-SECRET-KEY-1PLANTED")
        .get(&format!("/orgs/{ORG}/projects"))
        .is(400, "private keys");
    let nobody = Caller::nobody(server.url());
    let poll = "/devicelogins/01900000-0000-7000-8000-000000000009/actions/poll?pollingToken=planted-in-a-query";
    assert_eq!(nobody.post(poll, &json!({})).status, 404);
    nobody
        .and("authorization", "Bearer SU-planted-of-nobody")
        .get(&format!("/orgs/{ORG}/projects"))
        .is(401, "token");

    wait_until("spans arrive while it serves", || {
        collected.all().contains("/orgs/{org}/module-providers")
    });
    let done = server.stop();
    assert_eq!(done.code, Some(0), "{done}");
    let all = collected.all();
    for there in [
        "POST /v1/traces",
        "x-tenant: planted-for-the-collector",
        "service.name",
        "windlass-of-the-tests",
        "deployment.environment",
        "trying",
        "/orgs/{org}/projects",
        "/devicelogins/{id}/actions/poll",
    ] {
        assert!(all.contains(there), "{there} is sent: {all}");
    }
    let said = format!("{}{}", done.stdout, done.stderr);
    for secret in [
        TOKEN,
        "planted-in-a-body",
        "planted-in-a-query",
        "SU-planted",
        "AGE-SECRET",
    ] {
        assert!(!all.contains(secret), "{secret} is not sent");
        assert!(!said.contains(secret), "{secret} is not said");
    }
    assert!(!said.contains("planted-for-the-collector"), "{said}");
}

#[test]
fn without_a_collector_or_with_traces_switched_off_nothing_is_sent() {
    let collected = Collected::default();
    let collector = collected.start();
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let place = Place::without_engine();
        place
            .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)
            .with_variable(name, value);
        let server = Server::start(&place, &[]);
        Caller::with(server.url(), TOKEN)
            .get(&format!("/orgs/{ORG}/projects"))
            .ok();
        server.stop();
        assert_eq!(collected.all(), "", "{name}");
    }
}
