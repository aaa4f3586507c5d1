//! Stands in front of the Docker daemon's socket, passes everything on, and holds the one request that a test waits for.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Where the daemon of this machine listens.
fn daemon() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock")
        .into()
}

/// Whether a request with this first line is to stop.
type Stops = Box<dyn FnMut(&str) -> bool + Send>;

/// A gate that requests stand at: those whose first line `stops` picks.
pub(crate) struct Proxy {
    daemon: PathBuf,
    stops: Mutex<Stops>,
    waiting: AtomicBool,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Proxy {
    fn new(daemon: PathBuf, stops: impl FnMut(&str) -> bool + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            daemon,
            stops: Mutex::new(Box::new(stops)),
            waiting: AtomicBool::new(false),
            open: Mutex::default(),
            opened: Condvar::new(),
        })
    }

    /// Listens at this socket.
    pub(crate) fn at(socket: &Path, stops: impl FnMut(&str) -> bool + Send + 'static) -> Arc<Self> {
        Self::before(daemon(), socket, stops)
    }

    /// The same before another daemon.
    pub(crate) fn before(
        daemon: PathBuf,
        socket: &Path,
        stops: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Arc<Self> {
        let proxy = Self::new(daemon, stops);
        let listener = UnixListener::bind(socket).expect("a socket");
        let it = Arc::clone(&proxy);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let both = near.try_clone().expect("a socket");
                it.serve(near, both, |near| near.shutdown(Shutdown::Write));
            }
        });
        proxy
    }

    /// Listens at a port of this machine, as a daemon of another host would. Returns the address as well.
    pub(crate) fn far(stops: impl FnMut(&str) -> bool + Send + 'static) -> (Arc<Self>, String) {
        let proxy = Self::new(daemon(), stops);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let it = Arc::clone(&proxy);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let both = near.try_clone().expect("a socket");
                it.serve(near, both, |near| near.shutdown(Shutdown::Write));
            }
        });
        (proxy, format!("tcp://{address}"))
    }

    /// Whether a request stands at the gate.
    pub(crate) fn is_waited_at(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets all go on that stand there.
    pub(crate) fn let_go(&self) {
        *self.open.lock().expect("no thread panics") = true;
        self.opened.notify_all();
    }

    /// Closes the gate for those to come.
    pub(crate) fn close(&self) {
        *self.open.lock().expect("no thread panics") = false;
        self.waiting.store(false, Ordering::SeqCst);
    }

    fn serve<S: Read + Write + Send + 'static>(
        self: &Arc<Self>,
        mut from: S,
        mut to: S,
        end: fn(&S) -> std::io::Result<()>,
    ) {
        // The daemon may be down: then nobody answers.
        let Ok(mut far) = UnixStream::connect(&self.daemon) else {
            return;
        };
        let mut back = far.try_clone().expect("a socket");
        let it = Arc::clone(self);
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            loop {
                let read = from.read(&mut bytes).unwrap_or(0);
                it.hold(&bytes[..read]);
                if read == 0 || far.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = far.shutdown(Shutdown::Write);
        });
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            loop {
                let read = back.read(&mut bytes).unwrap_or(0);
                if read == 0 || to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = end(&to);
        });
    }

    /// Holds bytes that begin a request which is to stop.
    fn hold(&self, bytes: &[u8]) {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
        let line = head.lines().next().unwrap_or_default();
        let is_request = ["GET ", "POST ", "PUT ", "DELETE "]
            .iter()
            .any(|method| line.starts_with(method));
        if !is_request || !(self.stops.lock().expect("no thread panics"))(line) {
            return;
        }
        self.waiting.store(true, Ordering::SeqCst);
        let open = self.open.lock().expect("no thread panics");
        drop(
            self.opened
                .wait_while(open, |open| !*open)
                .expect("no thread panics"),
        );
    }
}
