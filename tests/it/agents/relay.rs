//! A way to a server, or to whichever of several is there, that can be cut and that leads to another address afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The way.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// Asked in turn.
    to: VecDeque<SocketAddr>,
    open: BTreeMap<u64, TcpStream>,
    count: u64,
}

impl Relay {
    /// One that leads to a server.
    pub(crate) fn to(to: SocketAddr) -> Arc<Self> {
        Self::among([to])
    }

    /// The same at this address of the machine.
    pub(crate) fn at(address: Ipv4Addr, to: SocketAddr) -> Arc<Self> {
        Self::between(address, [to])
    }

    /// One that leads to those of several servers that take connections, in turn.
    pub(crate) fn among(to: impl IntoIterator<Item = SocketAddr>) -> Arc<Self> {
        Self::between(Ipv4Addr::LOCALHOST, to)
    }

    fn between(address: Ipv4Addr, to: impl IntoIterator<Item = SocketAddr>) -> Arc<Self> {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let relay = Arc::new(Self {
            address: listener.local_addr().expect("an address"),
            state: Mutex::new(State {
                to: to.into_iter().collect(),
                open: BTreeMap::new(),
                count: 0,
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
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends every connection, and those to come before they have said anything.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().expect("no thread panics");
        state.to.clear();
        for stream in std::mem::take(&mut state.open).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads to a server again.
    pub(crate) fn mend(&self, to: SocketAddr) {
        self.state.lock().expect("no thread panics").to = [to].into();
    }

    fn serve(self: &Arc<Self>, near: TcpStream) {
        let mut state = self.state.lock().expect("no thread panics");
        let Some(far) = state.reach() else {
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (from, to) = (copy(from), copy(to));
            state.count += 1;
            let number = state.count;
            state.open.insert(number, copy(&from));
            let it = Arc::clone(self);
            thread::spawn(move || {
                pass(from, to);
                let mut state = it.state.lock().expect("no thread panics");
                state.open.remove(&number);
            });
        }
    }
}

impl State {
    /// A connection to the next one that takes it.
    fn reach(&mut self) -> Option<TcpStream> {
        for _ in 0..self.to.len() {
            self.to.rotate_left(1);
            if let Ok(far) = TcpStream::connect(self.to[0]) {
                return Some(far);
            }
        }
        None
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
