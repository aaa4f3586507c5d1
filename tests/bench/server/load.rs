//! The client of the measurements: connections that stay open, one request at a time on each, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What is sent as request number N.
pub(crate) type Requests = Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>;

/// One request as bytes.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("no connection: {error}"))?;
        stream
            .set_nodelay(true)
            .map_err(|error| format!("no connection: {error}"))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a request and reads its answer; anything but a success is an error.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let broken = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request).await.map_err(broken)?;
        self.buffer.clear();
        let (status, head) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (
                    self.buffer.get(9..12).unwrap_or_default().to_owned(),
                    end + 4,
                );
            }
            self.more().await?;
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok())
            .ok_or("an answer without a length")?;
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        let body = self.buffer[head..head + length].to_vec();
        match status.first() {
            Some(b'2') => Ok(body),
            _ => Err(format!(
                "{}: {}",
                String::from_utf8_lossy(&status),
                String::from_utf8_lossy(&body)
            )),
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the connection broke: {error}")),
        }
    }

    /// Sends a request whose answer does not end, and waits until it begins.
    pub(crate) async fn follow(&mut self, request: &[u8]) -> Result<(), String> {
        let broken = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(request).await.map_err(broken)?;
        self.buffer.clear();
        while find(&self.buffer, b"data:").is_none() {
            self.more().await?;
        }
        match self.buffer.starts_with(b"HTTP/1.1 200") {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&self.buffer).into_owned()),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|some| some == what)
}

/// Open loop: request N is due at a fixed moment whether or not those before are answered, and its time counts from
/// then. Returns milliseconds in the order of the connections.
pub(crate) async fn open_loop(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    per_second: f64,
    duration: Duration,
) -> Result<Vec<f64>, String> {
    let total = (per_second * duration.as_secs_f64()) as usize;
    let started = Instant::now() + Duration::from_millis(200);
    let mut tasks = JoinSet::new();
    for lane in 0..connections {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut times = Vec::new();
            for number in (lane..total).step_by(connections) {
                let due = started + Duration::from_secs_f64(number as f64 / per_second);
                let request = requests(number);
                tokio::time::sleep_until(due.into()).await;
                connection.ask(&request).await?;
                times.push(due.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, String>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.extend(done.map_err(|error| error.to_string())??);
    }
    Ok(all)
}

/// Closed loop: every connection asks again as soon as it is answered. Returns answers a second.
pub(crate) async fn saturate(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    duration: Duration,
) -> Result<f64, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..connections {
        let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut answered = 0_usize;
            while started.elapsed() < duration {
                let request = requests(next.fetch_add(1, Ordering::Relaxed));
                connection.ask(&request).await?;
                answered += 1;
            }
            Ok::<_, String>(answered)
        });
    }
    let mut answered = 0;
    while let Some(done) = tasks.join_next().await {
        answered += done.map_err(|error| error.to_string())??;
    }
    Ok(answered as f64 / started.elapsed().as_secs_f64())
}
