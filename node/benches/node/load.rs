//! Clients that ask as fast as they are answered, and a server that does nothing but answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the bare server answers with.
const BARE_BYTES: usize = 1024;

/// The bytes of the request of a turn; `None` where there is no further one.
pub(crate) type Requests = Arc<dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync>;

/// How one load went.
pub(crate) struct Took {
    pub(crate) requests: usize,
    pub(crate) seconds: f64,
    /// Of each request, ascending.
    pub(crate) micros: Vec<u64>,
}

impl Took {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The time that so many percent of the requests took at the most.
    pub(crate) fn percentile_us(&self, percent: usize) -> u64 {
        self.micros[(self.micros.len() - 1) * percent / 100]
    }
}

/// A request without a body, or with one.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = match (method, body.len()) {
        ("GET", 0) => String::new(),
        (_, length) => format!("content-length: {length}\r\n"),
    };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Asks over so many connections until the time is over or the requests are.
pub(crate) async fn load(
    to: SocketAddr,
    connections: usize,
    time: Duration,
    turns: &Arc<AtomicUsize>,
    requests: &Requests,
) -> Took {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::to(to).await);
    }
    let since = Instant::now();
    let clients: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (requests, turns) = (requests.clone(), turns.clone());
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while since.elapsed() < time {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests(turn) else { break };
                    let sent = Instant::now();
                    connection.ask(&request).await;
                    micros.push(u64::try_from(sent.elapsed().as_micros()).unwrap());
                }
                micros
            })
        })
        .collect();
    let mut micros = Vec::new();
    for client in clients {
        micros.extend(client.await.unwrap());
    }
    let seconds = since.elapsed().as_secs_f64();
    micros.sort_unstable();
    Took { requests: micros.len(), seconds, micros }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, bytes: vec![0; 64 << 10] }
    }

    /// Sends a request and reads its answer; the answer's body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.unwrap();
        let mut read = 0;
        let (begin, end) = loop {
            if read == self.bytes.len() {
                self.bytes.resize(2 * read, 0);
            }
            let count = self.stream.read(&mut self.bytes[read..]).await.unwrap();
            assert!(count > 0, "closed within an answer");
            read += count;
            if let Some(head) = self.bytes[..read].windows(4).position(|four| four == b"\r\n\r\n") {
                let text = std::str::from_utf8(&self.bytes[..head]).unwrap();
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                break (head + 4, head + 4 + length.unwrap().parse::<usize>().unwrap());
            }
        };
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.stream.read_exact(&mut self.bytes[read..end]).await.unwrap();
        &self.bytes[begin..end]
    }
}

/// What hyper alone does on this machine: every request is answered with 1 KiB. Prints where it listens.
pub(crate) async fn bare() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("bare http://{}", socket.local_addr().unwrap());
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = || http::Response::new("x".repeat(BARE_BYTES));
        let service = service_fn(move |_| async move { Ok::<_, Infallible>(answer()) });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
