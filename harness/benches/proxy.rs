//! What a proxy costs: requests over 32 connections, straight to a server and through a proxy without toxics, by turns in the
//! same minute. Both ends are what a node is: hyper on tokio.
//!
//! `cargo bench -p relapse --bench proxy`. It fails where the proxy carries less than half of what goes straight, or adds
//! more than 150 µs to the median of a single connection's requests.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench prints its figures, in real time"
)]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const CONNECTIONS: usize = 32;
/// How long each turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// Turns each way; the median of them counts.
const TURNS: usize = 5;
const SHARE_MIN: f64 = 0.5;
const ADDED_MAX: Duration = Duration::from_micros(150);

fn main() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(server());
    let (process, api) = start();
    let proxy = json!({"name": "p", "listen": "127.0.0.1:0", "upstream": server.to_string()});
    let proxy = call(api, "/proxies", &proxy)["listen"].as_str().unwrap().parse().unwrap();

    let (mut direct, mut through) = (Vec::new(), Vec::new());
    let (mut direct_p50, mut through_p50) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        direct.push(runtime.block_on(throughput(server)));
        through.push(runtime.block_on(throughput(proxy)));
        direct_p50.push(runtime.block_on(latency(server)));
        through_p50.push(runtime.block_on(latency(proxy)));
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
async fn throughput(address: SocketAddr) -> u32 {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = connect(address).await;
                let mut requests = 0;
                while begun.elapsed() < TURN {
                    ask(&mut client).await;
                    requests += 1;
                }
                requests
            })
        })
        .collect();
    let mut requests = 0_u32;
    for client in clients {
        requests += client.await.unwrap();
    }
    requests / u32::try_from(TURN.as_secs()).unwrap()
}

/// The median of one connection's requests.
async fn latency(address: SocketAddr) -> Duration {
    let mut client = connect(address).await;
    let mut took = Vec::new();
    for _ in 0..4_000 {
        let begun = Instant::now();
        ask(&mut client).await;
        took.push(begun.elapsed());
    }
    median(took)
}

type Client = SendRequest<Empty<Bytes>>;

async fn connect(address: SocketAddr) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &mut Client) {
    let request = Request::get("/key").header("host", "kv").body(Empty::new()).unwrap();
    client.ready().await.unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "value");
}

/// A server that answers every request at once.
async fn server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let service = service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"value"))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
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
