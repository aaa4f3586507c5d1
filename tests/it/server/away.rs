//! Clients of a server that goes away while they follow a deployment.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::extensions::{Shop, gated};
use super::{Server, TOKEN};
use crate::support::{Place, wait_until};

/// Stands between clients and a server, and cuts the first stream of events off in its middle.
struct Wire {
    url: String,
    inner: Arc<Inner>,
}

struct Inner {
    /// Where the server is; nobody gets through while it is nowhere.
    server: Mutex<Option<SocketAddr>>,
    /// The last event that each request for events had, in turn.
    resumed: Mutex<Vec<String>>,
}

impl Wire {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            server: Mutex::new(Some(server)),
            resumed: Mutex::default(),
        });
        let carrying = Arc::clone(&inner);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.expect("a caller");
                let server = *carrying.server.lock().expect("the lock");
                let Some(far) = server.and_then(|server| TcpStream::connect(server).ok()) else {
                    continue;
                };
                let carrying = Arc::clone(&carrying);
                std::thread::spawn(move || carrying.carry(&near, &far));
            }
        });
        Self { url, inner }
    }

    fn lead(&self, server: Option<SocketAddr>) {
        *self.inner.server.lock().expect("the lock") = server;
    }

    fn resumed(&self) -> Vec<String> {
        self.inner.resumed.lock().expect("the lock").clone()
    }
}

impl Inner {
    fn carry(&self, near: &TcpStream, far: &TcpStream) {
        let is_cut = Mutex::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pass(near, far, |chunk| {
                    let Some(last) = asks_for_events(chunk) else {
                        return true;
                    };
                    let mut resumed = self.resumed.lock().expect("the lock");
                    *is_cut.lock().expect("the lock") = resumed.is_empty();
                    resumed.push(last);
                    true
                });
            });
            pass(far, near, |chunk| {
                let has_event = String::from_utf8_lossy(chunk).contains("data:");
                !(has_event && *is_cut.lock().expect("the lock"))
            });
        });
    }
}

/// The last event that a request for events has.
fn asks_for_events(chunk: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(chunk).to_lowercase();
    if !text.lines().next()?.contains("/events") {
        return None;
    }
    let last = text
        .lines()
        .find_map(|line| line.strip_prefix("last-event-id: "));
    Some(last.unwrap_or_default().to_owned())
}

/// Passes on what comes until it ends or `goes_on` says no; that last piece is passed on as well.
fn pass(mut from: &TcpStream, mut to: &TcpStream, mut goes_on: impl FnMut(&[u8]) -> bool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        let goes_on = read > 0 && goes_on(&bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() || !goes_on {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn following_goes_on_where_it_broke_off_also_when_the_server_was_started_again() {
    let gates = Place::without_engine();
    let (gate, wait) = gated(&gates);
    let apply = format!("said line_one; {wait}; said line_two");
    let shop = Shop::new(&apply, Some("process"), &[]);
    let wire = Wire::to(shop.server.address());
    let client = shop.server.client(TOKEN);
    client.with_variable("WINDLASS_URL", &wire.url);
    client.write("app.yaml", "workloads: {web: {}}");
    let mut deploying = client.start([
        "deploy",
        "shop",
        "dev",
        "app.yaml",
        "--no-prompt",
        "--show-logs",
    ]);
    wait_until("the feed is opened again", || {
        if let Some(done) = deploying.over() {
            panic!("it ended\n{done}");
        }
        wire.resumed().len() > 1 && deploying.has_said("line_one")
    });
    // Now the server itself goes, and another one takes over what runs.
    wire.lead(None);
    let Shop { server, place, .. } = shop;
    let done = server.stop();
    assert_eq!(done.code, Some(0), "{done}");
    let before = wire.resumed().len();
    let server = Server::start(&place, &[]);
    wire.lead(Some(server.address()));
    wait_until("the feed is opened at the other server", || {
        if let Some(done) = deploying.over() {
            panic!("it ended\n{done}");
        }
        wire.resumed().len() > before
    });
    std::fs::write(&gate, "").expect("the gate opens");
    let done = deploying.wait();
    assert_eq!(done.code, Some(0), "{done}");
    let said = format!("{}{}", done.stdout, done.stderr);
    for line in ["line_one", "line_two"] {
        let times = said.lines().filter(|said| said.contains(line)).count();
        assert_eq!(times, 1, "{line} is shown once\n{done}");
    }
    let resumed = wire.resumed();
    assert_eq!(resumed[0], "0");
    let numbers: Vec<i64> = resumed
        .iter()
        .map(|last| last.parse().expect("a position"))
        .collect();
    assert!(numbers[1] > 0, "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
}
