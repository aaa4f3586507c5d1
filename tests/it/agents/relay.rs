//! A way to a server that can be cut, and that leads to another address afterwards.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The way.
pub(super) struct Relay {
    address: SocketAddr,
    state: Mutex<State>,
}

struct State {
    to: Option<SocketAddr>,
    open: Vec<TcpStream>,
}

impl Relay {
    /// One that leads to a server.
    pub(super) fn to(to: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let relay = Arc::new(Self {
            address: listener.local_addr().expect("an address"),
            state: Mutex::new(State {
                to: Some(to),
                open: Vec::new(),
            }),
        });
        let it = Arc::clone(&relay);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                it.serve(near);
            }
        });
        relay
    }

    /// As an agent knows the server.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection, and those to come before they have said anything.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock().expect("no thread panics");
        state.to = None;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads to a server again.
    pub(super) fn mend(&self, to: SocketAddr) {
        self.state.lock().expect("no thread panics").to = Some(to);
    }

    fn serve(&self, near: TcpStream) {
        let mut state = self.state.lock().expect("no thread panics");
        let Some(far) = state.to.and_then(|to| TcpStream::connect(to).ok()) else {
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (from, to) = (copy(from), copy(to));
            state.open.push(copy(&from));
            thread::spawn(move || pass(from, to));
        }
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket")
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
