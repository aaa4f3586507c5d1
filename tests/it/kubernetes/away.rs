//! Stands between a server and the API server, passes everything on, and can be away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The way to the API server.
pub(super) struct Way {
    pub(super) address: SocketAddr,
    open: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Way {
    /// To the server at this URL.
    pub(super) fn to(server: &str) -> Arc<Self> {
        let host = server.strip_prefix("https://").expect("a URL").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let way = Arc::new(Self {
            address: listener.local_addr().expect("its address"),
            open: AtomicBool::new(true),
            streams: Mutex::default(),
        });
        let it = Arc::clone(&way);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Not accepted by anybody behind us: closed at once.
                if it.open.load(Ordering::SeqCst)
                    && let Ok(far) = TcpStream::connect((host.as_str(), 443))
                {
                    it.pass(&near, &far);
                    it.pass(&far, &near);
                }
            }
        });
        way
    }

    fn pass(&self, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().expect("one"), to.try_clone().expect("one"));
        self.streams
            .lock()
            .expect("a lock")
            .push(from.try_clone().expect("one"));
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(read) = from.read(&mut bytes) {
                if read == 0 || to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }

    /// Breaks every connection and takes no more.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().expect("a lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Is there again.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}
