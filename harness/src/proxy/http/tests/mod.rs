//! Toxics of messages on both directions of a connection, without sockets.

mod splits;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::flow::{End, Event, Queue};
use super::super::toxic::{Direction, Toxic};
use super::{Exchange, Messages};
use crate::lab::Seeds;

/// Both directions of one connection, without sockets.
struct Both {
    up: Messages,
    down: Messages,
    exchange: Exchange,
    to_server: Queue,
    to_client: Queue,
    now: Instant,
    toxics: Vec<Arc<Toxic>>,
}

impl Both {
    fn new(toxics: &[(&str, &str, Value)]) -> Self {
        let seeds = Seeds::new(1).below("p");
        let toxic = |(number, (kind, stream, attributes)): (usize, &(&str, &str, Value))| {
            let input = json!({"type": kind, "stream": stream, "attributes": attributes});
            let input = serde_json::from_value(input).unwrap();
            Arc::new(Toxic::new(number as u64, input, &seeds).unwrap())
        };
        let toxics: Vec<Arc<Toxic>> = toxics.iter().enumerate().map(toxic).collect();
        let mut both = Self {
            up: Messages::new(Direction::Upstream, 0),
            down: Messages::new(Direction::Downstream, 0),
            exchange: Exchange::default(),
            to_server: Queue::default(),
            to_client: Queue::default(),
            now: Instant::now(),
            toxics,
        };
        both.up.change(&both.toxics, both.now, &mut both.to_server);
        both.down.change(&both.toxics, both.now, &mut both.to_client);
        both
    }

    fn request(&mut self, bytes: &[u8]) -> &mut Self {
        let bytes = Bytes::copy_from_slice(bytes);
        self.up.feed(bytes, self.now, &mut self.exchange, &mut self.to_server);
        Messages::answer(self.now, &mut self.exchange, &mut self.to_client);
        self
    }

    fn answer(&mut self, bytes: &[u8]) -> &mut Self {
        let bytes = Bytes::copy_from_slice(bytes);
        self.down.feed(bytes, self.now, &mut self.exchange, &mut self.to_client);
        self
    }

    fn end_of_server(&mut self) {
        self.down.end(self.now, &mut self.exchange, &mut self.to_client);
    }

    /// What went on since last asked.
    fn server_sees(&mut self) -> String {
        text(&mut self.to_server)
    }

    fn client_sees(&mut self) -> String {
        text(&mut self.to_client)
    }

    fn acted(&self) -> Vec<u64> {
        self.toxics.iter().map(|toxic| toxic.acted()).collect()
    }
}

fn text(queue: &mut Queue) -> String {
    let mut text = Vec::new();
    while let Some(event) = queue.pop() {
        match event {
            Event::Chunk(bytes, _) => text.extend_from_slice(&bytes),
            Event::End(End::Half) => text.extend_from_slice(b"<end>"),
            Event::End(End::Whole) => text.extend_from_slice(b"<closed>"),
            Event::End(End::Reset) => text.extend_from_slice(b"<reset>"),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Kv: 1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn heads_go_on_as_they_come_where_no_toxic_looks_at_them() {
    let mut both = Both::new(&[]);
    both.request(b"GET /a HT");
    assert_eq!(both.server_sees(), "GET /a HT");
    both.request(b"TP/1.1\r\n\r\n");
    assert_eq!(both.server_sees(), "TP/1.1\r\n\r\n");
}

#[test]
fn a_toxic_that_comes_in_the_middle_of_a_head_begins_with_the_next() {
    let strip = [("strip_header", "upstream", json!({"name": "x-kv"}))];
    let (mut both, toxics) = (Both::new(&[]), Both::new(&strip).toxics);
    both.request(&GET[..10]);
    both.up.change(&toxics, both.now, &mut both.to_server);
    both.request(&GET[10..]);
    assert_eq!(both.server_sees().as_bytes(), GET);
    both.request(GET);
    assert_eq!(both.server_sees(), "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
}

#[test]
fn headers_are_stripped_replaced_and_duplicated_by_name() {
    let mut both = Both::new(&[
        ("strip_header", "upstream", json!({"name": "x-kv"})),
        ("replace_header", "upstream", json!({"name": "HOST", "value": "other"})),
        ("duplicate_header", "upstream", json!({"name": "accept"})),
        ("strip_header", "upstream", json!({"name": "absent"})),
    ]);
    let head = "PUT /a HTTP/1.1\r\nhost: h\r\nX-Kv: 1\r\nAccept: a\r\n b\r\nX-KV:2\r\nContent-Length: 3\r\n\r\n";
    both.request(head.as_bytes()).request(b"one").request(GET);
    let expected = "PUT /a HTTP/1.1\r\nhost: other\r\nAccept: a\r\n b\r\nAccept: a\r\n b\r\nContent-Length: 3\r\n\r\none\
                    GET /a HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(both.server_sees(), expected);
    assert_eq!(both.acted(), [2, 2, 1, 0]);
}

#[test]
fn a_status_answers_in_the_upstreams_place_and_in_turn() {
    let mut both = Both::new(&[("status", "upstream", json!({"status": 503}))]);
    both.up.change(&[], both.now, &mut both.to_server);
    both.request(GET);
    assert_eq!(both.server_sees().as_bytes(), GET);
    let toxics = both.toxics.clone();
    both.up.change(&toxics, both.now, &mut both.to_server);
    both.request(b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!((both.server_sees(), both.client_sees()), (String::new(), String::new()));
    both.answer(OK);
    let made_up = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(both.client_sees(), String::from_utf8_lossy(OK).into_owned() + made_up);
    both.request(GET);
    assert_eq!(both.client_sees(), made_up, "the connection goes on");
    assert_eq!(both.acted(), [2]);
}

#[test]
fn whoever_waits_before_the_body_is_answered_at_once_and_for_the_last_time() {
    let mut both = Both::new(&[("status", "upstream", json!({"status": 500}))]);
    both.request(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    let answer =
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n<end>";
    assert_eq!(both.client_sees(), answer);
    both.request(b"the body!");
    assert_eq!((both.server_sees(), both.client_sees()), (String::new(), String::new()));
}

#[test]
fn an_answers_status_is_rewritten_and_its_body_stays() {
    let mut both = Both::new(&[("status", "downstream", json!({"status": 404}))]);
    both.request(GET).answer(b"HTTP/1.1 100 Continue\r\n\r\n").answer(OK);
    let expected =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(both.client_sees(), expected);
    assert_eq!(both.acted(), [1]);
}

#[test]
fn a_body_is_corrupted_and_its_frame_is_not() {
    let mut both = Both::new(&[("corrupt_body", "downstream", json!({}))]);
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nT: 1\r\n\r\n";
    both.request(GET).answer(answer.as_bytes());
    let seen = both.client_sees();
    let (head, body) = seen.split_once("x=y\r\n").unwrap();
    assert!(answer.starts_with(head));
    assert!(body.ends_with("k\r\n0\r\nT: 1\r\n\r\n") && !body.starts_with('o'), "{seen:?}");
    // What has no body cannot be corrupted.
    both.request(GET).answer(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(both.acted(), [1]);
}

#[test]
fn a_request_that_vanished_is_never_answered_nor_is_any_after_it() {
    let mut both = Both::new(&[("partition", "upstream", json!({}))]);
    both.up.change(&[], both.now, &mut both.to_server);
    both.request(GET);
    let toxics = both.toxics.clone();
    both.up.change(&toxics, both.now, &mut both.to_server);
    both.request(GET);
    both.up.change(&[], both.now, &mut both.to_server);
    both.request(GET);
    assert_eq!(both.server_sees().len(), 2 * GET.len());
    both.answer(OK).answer(OK);
    // The answer to the third would be taken for the second's.
    assert_eq!(both.client_sees().as_bytes(), OK);
    assert!(both.down.holds_end(&both.exchange));
    assert_eq!(both.acted(), [1]);
}

#[test]
fn an_answer_vanishes_one_way() {
    let mut both = Both::new(&[("partition", "downstream", json!({}))]);
    both.request(GET).answer(OK);
    assert_eq!(both.server_sees().as_bytes(), GET);
    assert_eq!(both.client_sees(), "");
    assert_eq!(both.acted(), [1]);
}

#[test]
fn a_reset_comes_upon_a_request() {
    let mut both = Both::new(&[("reset", "upstream", json!({}))]);
    both.request(&GET[..20]);
    assert_eq!(both.server_sees(), "");
    both.request(&GET[20..]).request(GET);
    assert_eq!(both.server_sees(), "<reset>");
    assert_eq!(both.acted(), [1]);
}

#[test]
fn what_is_not_http_passes_and_counts_nothing() {
    let strip = |stream| ("strip_header", stream, json!({"name": "a"}));
    for bytes in [
        "\u{16}\u{3}\u{1}binary",
        "PING\r\n",
        "get / HTTP/1.1\r\na: 1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut both = Both::new(&[strip("upstream"), strip("downstream")]);
        both.request(bytes.as_bytes()).answer(b"HTTP/1.1 200 OK\r\na: 1\r\n\r\n");
        assert_eq!(both.server_sees(), bytes);
        assert_eq!(both.client_sees(), "HTTP/1.1 200 OK\r\na: 1\r\n\r\n");
        assert_eq!(both.acted(), [0, 0]);
    }
    // Whoever speaks first is no server of HTTP.
    let mut both = Both::new(&[strip("upstream"), strip("downstream")]);
    both.answer(b"220 ready\r\n").request(GET);
    assert_eq!((both.client_sees(), both.server_sees().as_bytes()), ("220 ready\r\n".into(), GET));
}

#[test]
fn a_partition_holds_for_what_is_not_http_as_one_message() {
    let mut both = Both::new(&[("partition", "upstream", json!({}))]);
    both.request(b"\0\x01").request(b"\x02").answer(b"answer");
    assert_eq!((both.server_sees(), both.client_sees()), (String::new(), "answer".to_owned()));
    assert_eq!(both.acted(), [1]);
}

#[test]
fn after_an_upgrade_bytes_are_nobodys_messages() {
    let mut both = Both::new(&[("strip_header", "upstream", json!({"name": "x-kv"}))]);
    both.request(b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    both.answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\nframes");
    both.server_sees();
    both.request(GET);
    assert_eq!(both.server_sees().as_bytes(), GET);
    assert!(both.client_sees().ends_with("\r\n\r\nframes"));
}

#[test]
fn a_head_without_an_end_is_no_http() {
    let mut both = Both::new(&[("strip_header", "upstream", json!({"name": "x"}))]);
    let long = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 70_000]].concat();
    both.request(&long);
    assert_eq!(both.server_sees().as_bytes(), long);
}
