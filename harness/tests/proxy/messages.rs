//! Toxics that act on messages, on connections that are kept.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, connect, expect, expect_reset, expect_silence, read_all, timed};

const GET: &[u8] = b"GET /key HTTP/1.1\r\nHost: kv\r\nX-Kv: secret\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvalue";

#[test]
fn a_request_arrives_without_a_header_and_is_answered() {
    let rig = Rig::toxic("strip_header", "upstream", &json!({"name": "x-kv"}));
    let (mut client, mut server) = rig.connect();
    for _ in 0..3 {
        client.write_all(GET).unwrap();
        expect(&mut server, b"GET /key HTTP/1.1\r\nHost: kv\r\n\r\n");
        server.write_all(ANSWER).unwrap();
        expect(&mut client, ANSWER);
    }
    assert_eq!(rig.acted("strip_header_upstream"), 3, "messages are counted");
}

#[test]
fn an_answer_arrives_with_a_header_changed_or_twice() {
    let rig = Rig::new();
    rig.add("replace_header", "downstream", &json!({"name": "etag", "value": "\"b\""}));
    rig.add("duplicate_header", "downstream", &json!({"name": "age"}));
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    server.write_all(b"HTTP/1.1 204 No Content\r\nETag: \"a\"\r\nAge: 5\r\n\r\n").unwrap();
    expect(&mut client, b"HTTP/1.1 204 No Content\r\nETag: \"b\"\r\nAge: 5\r\nAge: 5\r\n\r\n");
}

#[test]
fn a_request_is_answered_with_a_status_and_never_arrives() {
    let rig = Rig::toxic("status", "upstream", &json!({"status": 503}));
    let (mut client, mut server) = rig.connect();
    let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..2 {
        client.write_all(b"PUT /key HTTP/1.1\r\nContent-Length: 5\r\n\r\nvalue").unwrap();
        expect(&mut client, refused);
    }
    expect_silence(&mut server);
    rig.process.ok("DELETE", "/proxies/p/toxics/status_upstream", &Value::Null);
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    server.write_all(ANSWER).unwrap();
    expect(&mut client, ANSWER);
}

#[test]
fn whoever_does_not_keep_the_connection_sees_its_end() {
    let rig = Rig::toxic("status", "upstream", &json!({"status": 500}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with(b"HTTP/1.1 500 Internal Server Error\r\n"));
    assert_eq!(read_all(&mut server), b"");
}

#[test]
fn an_answer_arrives_though_the_body_that_nobody_wants_is_sent_all_the_same() {
    let rig = Rig::toxic("status", "upstream", &json!({"status": 500}));
    let (mut client, _server) = rig.connect();
    let body = vec![b'x'; 1 << 20];
    write!(
        client,
        "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    client.write_all(&body).unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with(b"HTTP/1.1 500 Internal Server Error\r\n"));
}

#[test]
fn toxicity_is_drawn_for_each_message_from_the_seed() {
    let answered = || -> Vec<bool> {
        let rig = Rig::new();
        let toxic = json!({
            "type": "status", "stream": "upstream", "toxicity": 0.5, "attributes": {"status": 503}
        });
        rig.process.ok("POST", "/proxies/p/toxics", &toxic);
        let (mut client, mut server) = rig.connect();
        let answered: Vec<bool> = (0..40)
            .map(|_| {
                client.write_all(GET).unwrap();
                let mut first = [0; 12];
                // Whoever has it says so: the server is asked only where the proxy has not answered.
                let answered = crate::rig::either(&mut client, &mut server, &mut first);
                if answered {
                    expect(&mut client, b" Service Unavailable\r\ncontent-length: 0\r\n\r\n");
                } else {
                    expect(&mut server, &GET[12..]);
                    server.write_all(ANSWER).unwrap();
                    expect(&mut client, ANSWER);
                }
                answered
            })
            .collect();
        let count = answered.iter().filter(|answered| **answered).count();
        assert_eq!(rig.acted("status_upstream"), count as u64);
        answered
    };
    let first = answered();
    let count = first.iter().filter(|answered| **answered).count();
    assert!((8..=32).contains(&count), "{count} of 40");
    assert_eq!(answered(), first, "the same seed, the same messages");
}

#[test]
fn a_message_is_delayed_and_the_bytes_after_it_wait() {
    let rig = Rig::toxic("delay", "upstream", &json!({"latency": 80}));
    let (mut client, mut server) = rig.connect();
    let ((), took) = timed(|| {
        client.write_all(GET).unwrap();
        expect(&mut server, GET);
    });
    assert!(took >= Duration::from_millis(80), "{took:?}");
    let ((), took) = timed(|| {
        server.write_all(ANSWER).unwrap();
        expect(&mut client, ANSWER);
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(rig.acted("delay_upstream"), 1);
}

#[test]
fn a_lost_message_comes_later_or_never() {
    let rig = Rig::new();
    let toxic = json!({"type": "loss", "stream": "upstream", "toxicity": 0.999_999});
    rig.process.ok("POST", "/proxies/p/toxics", &toxic);
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect_silence(&mut server);
    assert_eq!(rig.acted("loss_upstream"), 1);
}

#[test]
fn a_request_resets_its_connection() {
    let rig = Rig::toxic("reset", "upstream", &json!({}));
    let (mut client, mut server) = rig.connect();
    client.write_all(&GET[..10]).unwrap();
    expect_silence(&mut client);
    client.write_all(&GET[10..]).unwrap();
    expect_reset(&mut client);
    expect_reset(&mut server);
}

#[test]
fn a_partition_swallows_requests_or_answers_and_says_nothing() {
    let rig = Rig::toxic("partition", "upstream", &json!({}));
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect_silence(&mut server);
    expect_silence(&mut client);
    // Whoever gives up has ended the connection for both.
    drop(client);
    assert_eq!(read_all(&mut server), b"");

    let rig = Rig::toxic("partition", "downstream", &json!({}));
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    server.write_all(ANSWER).unwrap();
    drop(server);
    // Not even the end.
    expect_silence(&mut client);
    rig.process.ok("DELETE", "/proxies/p/toxics/partition_downstream", &Value::Null);
    expect_silence(&mut client);
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    server.write_all(ANSWER).unwrap();
    expect(&mut client, ANSWER);
}

#[test]
fn a_body_arrives_with_other_bytes() {
    let rig = Rig::toxic("corrupt_body", "downstream", &json!({}));
    let (mut client, mut server) = rig.connect();
    client.write_all(GET).unwrap();
    expect(&mut server, GET);
    let body = vec![b'a'; 100_000];
    write!(server, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
    server.write_all(&body).unwrap();
    drop(server);
    let seen = read_all(&mut client);
    let seen = seen.strip_prefix(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").unwrap();
    assert_eq!(seen.len(), body.len());
    let others = seen.iter().filter(|byte| **byte != b'a').count();
    assert!((20..1_000).contains(&others), "{others}");
    assert_ne!(seen[0], b'a');
    assert_eq!(rig.acted("corrupt_body_downstream"), 1);
}

#[test]
fn toxics_of_messages_and_of_bytes_act_together() {
    let rig = Rig::new();
    rig.add("slicer", "upstream", &json!({"average_size": 5}));
    rig.add("latency", "upstream", &json!({"latency": 40}));
    rig.add("strip_header", "upstream", &json!({"name": "x-kv"}));
    let (mut client, mut server) = rig.connect();
    let ((), took) = timed(|| {
        client.write_all(GET).unwrap();
        expect(&mut server, b"GET /key HTTP/1.1\r\nHost: kv\r\n\r\n");
    });
    assert!(took >= Duration::from_millis(40), "{took:?}");
}

#[test]
fn what_is_not_http_passes() {
    let rig = Rig::toxic("strip_header", "upstream", &json!({"name": "x-kv"}));
    let mut client = connect(rig.proxy);
    client.write_all(b"\x16\x03\x01 no words").unwrap();
    let mut server = rig.accept();
    expect(&mut server, b"\x16\x03\x01 no words");
    assert_eq!(rig.acted("strip_header_upstream"), 0);
}
