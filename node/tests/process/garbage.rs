//! What is no HTTP, is nearly, or ends too early: it is refused or cut off, and the process goes on.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::client::{ask, connect, read_all};
use crate::topology::{Node, PATH, node};

/// A node that is soon out of patience, and all that listens in its topology.
fn listeners() -> (Node, Vec<(&'static str, SocketAddr)>) {
    let mut node = node("head_ms = 1000, idle_ms = 1000, body_grace_ms = 1000");
    let mut all: Vec<_> =
        ["rest", "binding", "tier", "admin"].map(|name| (name, node.node.address(name))).into();
    all.push(("store", node.store.address("store")));
    (node, all)
}

/// Requests as they should be.
fn right() -> Vec<Vec<u8>> {
    let put = |headers: &str, body: &str| {
        format!("PUT {PATH} HTTP/1.1\r\nhost: h\r\n{headers}\r\n{body}").into_bytes()
    };
    vec![
        put("content-length: 5\r\n", "value"),
        put("transfer-encoding: chunked\r\n", "5\r\nvalue\r\n0\r\n\r\n"),
        put("transfer-encoding: chunked\r\n", "3;x=y\r\nval\r\n2\r\nue\r\n0\r\ntrailer: t\r\n\r\n"),
        put("expect: 100-continue\r\ncontent-length: 5\r\n", "value"),
        b"GET / HTTP/1.1\r\nhost: h\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n".to_vec(),
        b"GET /list HTTP/1.0\r\nconnection: keep-alive\r\n\r\n".to_vec(),
        b"PUT /o/k HTTP/1.1\r\nx-version: 1\r\ncontent-length: 1\r\n\r\nv".to_vec(),
    ]
}

/// What no server may take for a request. The second says whether a request that is one comes before it.
fn wrong() -> Vec<(&'static str, bool)> {
    let head = |rest| (rest, false);
    vec![
        head("GET\r\n\r\n"),
        head("GET / HTTP/9.9\r\nhost: h\r\n\r\n"),
        head("GET / HTTP/1.1 x\r\nhost: h\r\n\r\n"),
        head("G\u{0}T / HTTP/1.1\r\nhost: h\r\n\r\n"),
        head("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}"),
        head("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        head("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        head("GET / HTTP/1.1\r\nx: \u{0}\r\n\r\n"),
        head("GET / HTTP/1.1\r\nx : y\r\n\r\n"),
        head("GET / HTTP/1.1\r\n: y\r\n\r\n"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\nx"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\nx"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: one\r\n\r\nx"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\nx"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        head("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nx\r\n"),
        head(
            "PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\nx",
        ),
        head("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz0\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: h\r\n\r\n\u{1}\u{2}\u{3}\r\n\r\n", true),
        ("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nxGARBAGE\r\n\r\n", true),
    ]
}

/// The statuses of all answers in what a connection said.
fn statuses(mut said: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8(said[..end].to_vec()).unwrap();
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        let status: u16 = status.unwrap_or_else(|| panic!("{head}")).parse().unwrap();
        let length =
            |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let length: usize = head.lines().find_map(length).unwrap_or(0);
        statuses.push(status);
        said = &said[(end + 4 + length).min(said.len())..];
    }
    assert!(said.is_empty(), "half a head: {said:?}");
    statuses
}

/// Whoever sends so much, and whether it then says that this is all.
struct Sender {
    stream: std::net::TcpStream,
    sent: Vec<u8>,
}

impl Sender {
    fn send(to: SocketAddr, bytes: &[u8], all: bool) -> Self {
        let mut stream = connect(to);
        // It may be cut off while it still speaks.
        let _ = stream.write_all(bytes);
        if all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        Self { stream, sent: bytes.to_vec() }
    }

    /// What it was answered until it was let go.
    fn answers(mut self) -> Vec<u16> {
        let said = read_all(&mut self.stream);
        statuses(&said.unwrap_or_else(|| panic!("still heard: {:?}", self.sent.escape_ascii())))
    }
}

fn assert_all_serve(listeners: &[(&'static str, SocketAddr)]) {
    let at = |name: &str| listeners.iter().find(|(other, _)| *other == name).unwrap().1;
    assert_eq!(ask(at("rest"), "PUT", PATH, b"still here").status, 200);
    assert_eq!(ask(at("rest"), "GET", PATH, b"").text(), "still here");
    assert_eq!(ask(at("binding"), "GET", "/key", b"").status, 400);
    assert_eq!(ask(at("tier"), "GET", "/tier/v1/ns/key", b"").status, 401);
    assert_eq!(ask(at("admin"), "GET", "/metrics", b"").status, 200);
    assert_eq!(ask(at("store"), "GET", "/list", b"").status, 200);
}

#[test]
fn what_is_no_request_is_4xx_or_cut_off() {
    let (_node, listeners) = listeners();
    for (listener, address) in &listeners {
        let senders: Vec<_> = wrong()
            .into_iter()
            .map(|(text, after)| (text, after, Sender::send(*address, text.as_bytes(), true)))
            .collect();
        for (text, after, sender) in senders {
            let answers = sender.answers();
            let wrong = &answers[usize::from(after).min(answers.len())..];
            let refused = wrong.iter().all(|status| (400..500).contains(status));
            assert!(refused && wrong.len() <= 1, "{listener}: {answers:?} to {text:?}");
        }
    }
    assert_all_serve(&listeners);
}

#[test]
fn two_lengths_of_one_body_are_never_the_beginning_of_another_request() {
    let (_node, listeners) = listeners();
    let both = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
    );
    for (listener, address) in &listeners {
        let answers = Sender::send(*address, both.as_bytes(), true).answers();
        assert!(answers.len() <= 1, "{listener}: {answers:?}");
    }
    assert_all_serve(&listeners);
}

#[test]
fn a_request_that_breaks_off_anywhere_is_let_go() {
    let (_node, listeners) = listeners();
    for (listener, address) in &listeners {
        for request in right() {
            let mut senders = Vec::new();
            for end in 0..request.len() {
                // Gone without a word.
                drop(connect(*address).write_all(&request[..end]));
                senders.push(Sender::send(*address, &request[..end], true));
            }
            for sender in senders {
                let answers = sender.answers();
                assert!(answers.iter().all(|status| *status < 500), "{listener}: {answers:?}");
            }
        }
    }
    assert_all_serve(&listeners);
}

#[test]
fn a_request_that_goes_on_nowhere_is_let_go_in_time() {
    let (_node, listeners) = listeners();
    let mut senders = Vec::new();
    // A store alone has no limits that can be configured: it is more patient than this test.
    for (listener, address) in listeners.iter().filter(|(name, _)| *name != "store") {
        for request in right() {
            for end in (0..request.len()).step_by(7) {
                senders.push((listener, Sender::send(*address, &request[..end], false)));
            }
        }
    }
    for (listener, sender) in senders {
        let answers = sender.answers();
        assert!(answers.iter().all(|status| *status < 500), "{listener}: {answers:?}");
    }
    assert_all_serve(&listeners);
}

#[test]
fn any_bytes_are_answered_or_cut_off() {
    let (_node, listeners) = listeners();
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut below = |bound: usize| usize::try_from(draws.next_u64() % bound as u64).unwrap();
    let right = right();
    for (listener, address) in &listeners {
        let mut senders = Vec::new();
        for _ in 0..400 {
            let mut bytes = right[below(right.len())].clone();
            for _ in 0..below(4) {
                let (at, byte) = (below(bytes.len()), u8::try_from(below(256)).unwrap());
                match below(4) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => bytes.truncate(at + 1),
                    _ => bytes.extend_from_slice(&right[below(right.len())][..]),
                }
            }
            if below(8) == 0 {
                bytes = (0..below(2_000)).map(|_| u8::try_from(below(256)).unwrap()).collect();
            }
            senders.push(Sender::send(*address, &bytes, true));
        }
        for sender in senders {
            let sent = sender.sent.escape_ascii().to_string();
            let answers = sender.answers();
            assert!(
                answers.iter().all(|status| *status < 500),
                "{listener}: {answers:?} to {sent}"
            );
        }
    }
    assert_all_serve(&listeners);
}
