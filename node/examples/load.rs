//! Requests as fast as they are answered: `load [--bare] URL [CONNECTIONS] [SECONDS]`.
//!
//! `--bare` starts, instead of loading one, a server that answers every request with 1 KiB and does nothing else: what
//! hyper alone does on this machine.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool of its own, outside the doors"
)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments[0] == "--bare" {
        return bare(&arguments.remove(1)).await;
    }
    let (authority, path) = arguments[0].strip_prefix("http://").unwrap().split_once('/').unwrap();
    let number = |at: usize, otherwise| arguments.get(at).map_or(otherwise, |n| n.parse().unwrap());
    let (connections, seconds) = (number(1, 64), number(2, 5));
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(seconds);
    let clients: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(client(authority.to_owned(), request.clone(), until)))
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.unwrap());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    let rate = took.len() as u64 / seconds;
    println!("{rate} requests a second; µs: p50 {}, p99 {}, most {}", at(50), at(99), at(100));
}

async fn client(to: String, request: String, until: Instant) -> Vec<u128> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut took, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
    while Instant::now() < until {
        let since = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = 0;
        loop {
            read += stream.read(&mut bytes[read..]).await.unwrap();
            let Some(head) = bytes[..read].windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(&bytes[..head]).unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read >= head + 4 + length.unwrap().parse::<usize>().unwrap() {
                break;
            }
        }
        took.push(since.elapsed().as_micros());
    }
    took
}

async fn bare(address: &str) {
    let socket = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service =
            service_fn(|_| async { Ok::<_, Infallible>(http::Response::new("x".repeat(1024))) });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
