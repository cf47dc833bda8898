//! What a proxy costs: requests over 32 connections, straight to a server and through a proxy without toxics, by turns in the
//! same minute.
//!
//! `cargo bench -p relapse --bench proxy`. It fails where the proxy carries less than half of what goes straight, or adds
//! more than 150 µs to the median of a single connection's requests.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench prints its figures, in real time"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const CONNECTIONS: usize = 32;
/// How long each turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// Turns each way; the median of them counts.
const TURNS: usize = 5;
const SHARE_MIN: f64 = 0.5;
const ADDED_MAX: Duration = Duration::from_micros(150);

const REQUEST: &[u8] = b"GET /key HTTP/1.1\r\nHost: kv\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nvalue";

fn main() {
    let server = server();
    let (process, api) = start();
    let proxy = json!({"name": "p", "listen": "127.0.0.1:0", "upstream": server.to_string()});
    let proxy = call(api, "/proxies", &proxy)["listen"].as_str().unwrap().parse().unwrap();

    let (mut direct, mut through) = (Vec::new(), Vec::new());
    let (mut direct_p50, mut through_p50) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        direct.push(throughput(server));
        through.push(throughput(proxy));
        direct_p50.push(latency(server));
        through_p50.push(latency(proxy));
    }
    stop(process);
    let (direct, through) = (median(direct), median(through));
    let (direct_p50, through_p50) = (median(direct_p50), median(through_p50));
    let share = f64::from(through) / f64::from(direct);
    let added = through_p50.saturating_sub(direct_p50);
    println!(
        "requests a second over {CONNECTIONS} connections: {direct} straight, {through} through the proxy"
    );
    println!("share: {share:.2} (at least {SHARE_MIN})");
    println!("p50 of one connection: {direct_p50:?} straight, {through_p50:?} through the proxy");
    println!("added: {added:?} (at most {ADDED_MAX:?})");
    assert!(share >= SHARE_MIN, "the proxy carries too little");
    assert!(added <= ADDED_MAX, "the proxy adds too much");
}

fn median<T: Ord + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// Requests a second, all connections together.
fn throughput(address: SocketAddr) -> u32 {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut requests = 0;
                while begun.elapsed() < TURN {
                    client.ask();
                    requests += 1;
                }
                requests
            })
        })
        .collect();
    let requests: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    requests / u32::try_from(TURN.as_secs()).unwrap()
}

/// The median of one connection's requests.
fn latency(address: SocketAddr) -> Duration {
    let mut client = Client::connect(address);
    let took = (0..4_000).map(|_| {
        let begun = Instant::now();
        client.ask();
        begun.elapsed()
    });
    median(took.collect())
}

struct Client {
    stream: TcpStream,
    answer: [u8; ANSWER.len()],
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: [0; ANSWER.len()] }
    }

    fn ask(&mut self) {
        self.stream.write_all(REQUEST).unwrap();
        self.stream.read_exact(&mut self.answer).unwrap();
    }
}

/// A server that answers every request at once, a thread for each connection.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut request = [0; REQUEST.len()];
                while stream.read_exact(&mut request).is_ok() && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

fn start() -> (Child, SocketAddr) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_relapse"))
        .args(["proxy", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split(' ').nth(1).unwrap();
    (process, url.strip_prefix("http://").unwrap().parse().unwrap())
}

fn stop(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

fn call(api: SocketAddr, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(api).unwrap();
    let (body, mut answer) = (body.to_string(), String::new());
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
