//! Toxiproxy's toxics on raw connections: what arrives, how it ends, and not before when.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Rig, expect, expect_reset, expect_silence, finish, read_all, timed};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn without_toxics_bytes_and_ends_go_both_ways() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&bytes).unwrap();
            finish(&client);
        });
        assert!(read_all(&mut server) == bytes, "not what was sent");
    });
    // The client has ended, the server has not.
    server.write_all(b"still here").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"still here");
}

#[test]
fn a_reset_on_one_side_is_one_on_the_other() {
    let rig = Rig::new();
    let (mut client, server) = rig.connect();
    client.write_all(b"unread").unwrap();
    let mut peeked = [0; 1];
    server.peek(&mut peeked).unwrap();
    // What is closed with bytes unread is reset.
    drop(server);
    expect_reset(&mut client);
}

#[test]
fn nobody_behind_a_proxy_is_an_end() {
    let rig = Rig::new();
    rig.process.ok("PATCH", "/proxies/p", &json!({"upstream": "127.0.0.1:1"}));
    let mut client = crate::rig::connect(rig.proxy);
    assert_eq!(read_all(&mut client), b"");
}

#[test]
fn latency_delays_what_arrives() {
    let rig = Rig::toxic("latency", "downstream", &json!({"latency": 60}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"request").unwrap();
    expect(&mut server, b"request");
    let ((), took) = timed(|| {
        server.write_all(b"answer").unwrap();
        expect(&mut client, b"answer");
    });
    assert!(took >= ms(60), "{took:?}");
    assert_eq!(rig.acted("latency_downstream"), 1, "connections are counted");
}

#[test]
fn latency_counts_from_arrival_and_takes_no_bandwidth() {
    let rig = Rig::toxic("latency", "upstream", &json!({"latency": 100}));
    let (mut client, mut server) = rig.connect();
    // Sixteen megabytes in chunks of 32 KiB would take 50 s if each waited for the one before.
    let bytes = vec![7; 16 << 20];
    let ((), took) = timed(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&bytes).unwrap();
                finish(&client);
            });
            assert_eq!(read_all(&mut server).len(), bytes.len());
        });
    });
    assert!(took >= ms(100) && took < ms(15_000), "{took:?}");
}

#[test]
fn jitter_moves_what_arrives_within_its_bounds_and_keeps_the_order() {
    let rig = Rig::toxic("latency", "upstream", &json!({"latency": 40, "jitter": 20}));
    let (mut client, mut server) = rig.connect();
    let ((), took) = timed(|| {
        for number in 0..10_u8 {
            client.write_all(&[b'0' + number]).unwrap();
        }
        expect(&mut server, b"0123456789");
    });
    assert!(took >= ms(20), "{took:?}");
}

#[test]
fn bandwidth_is_a_rate() {
    // A hundred kilobytes at 200 KB a second.
    let rig = Rig::toxic("bandwidth", "downstream", &json!({"rate": 200}));
    let (mut client, mut server) = rig.connect();
    let bytes = vec![1; 100_000];
    let ((), took) = timed(|| {
        server.write_all(&bytes).unwrap();
        expect(&mut client, &bytes);
    });
    assert!(took >= ms(480), "{took:?}");
    assert_eq!(rig.acted("bandwidth_downstream"), 1);
}

#[test]
fn bandwidth_zero_is_a_black_hole_that_gives_everything_back() {
    let rig = Rig::toxic("bandwidth", "upstream", &json!({"rate": 0}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"held back").unwrap();
    finish(&client);
    expect_silence(&mut server);
    rig.process.ok("DELETE", "/proxies/p/toxics/bandwidth_upstream", &Value::Null);
    assert_eq!(read_all(&mut server), b"held back");
}

#[test]
fn a_rate_that_is_changed_holds_at_once() {
    let rig = Rig::toxic("bandwidth", "upstream", &json!({"rate": 0}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"held back").unwrap();
    expect_silence(&mut server);
    let change = json!({"attributes": {"rate": 1_000}});
    rig.process.ok("PATCH", "/proxies/p/toxics/bandwidth_upstream", &change);
    expect(&mut server, b"held back");
}

#[test]
fn slow_close_delays_only_the_end() {
    let rig = Rig::toxic("slow_close", "upstream", &json!({"delay": 100}));
    let (mut client, mut server) = rig.connect();
    let ((), took) = timed(|| {
        client.write_all(b"at once").unwrap();
        finish(&client);
        expect(&mut server, b"at once");
        assert_eq!(read_all(&mut server), b"");
    });
    assert!(took >= ms(100), "{took:?}");
    assert_eq!(rig.acted("slow_close_upstream"), 1);
}

#[test]
fn timeout_drops_and_then_closes() {
    let rig = Rig::toxic("timeout", "upstream", &json!({"timeout": 100}));
    let ((), took) = timed(|| {
        let (mut client, mut server) = rig.connect();
        client.write_all(b"dropped").unwrap();
        assert_eq!(read_all(&mut server), b"");
        assert_eq!(read_all(&mut client), b"");
    });
    assert!(took >= ms(100), "{took:?}");
    assert_eq!(rig.acted("timeout_upstream"), 1);
}

#[test]
fn timeout_zero_never_closes_but_the_end_goes_on_at_once() {
    let rig = Rig::toxic("timeout", "downstream", &json!({"timeout": 0}));
    let (mut client, mut server) = rig.connect();
    server.write_all(b"dropped").unwrap();
    expect_silence(&mut client);
    drop(server);
    assert_eq!(read_all(&mut client), b"");
}

#[test]
fn a_timeout_that_is_removed_ends_the_connection() {
    let rig = Rig::toxic("timeout", "downstream", &json!({"timeout": 0}));
    let (mut client, mut server) = rig.connect();
    server.write_all(b"dropped").unwrap();
    expect_silence(&mut client);
    rig.process.ok("DELETE", "/proxies/p/toxics/timeout_downstream", &Value::Null);
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(read_all(&mut server), b"");
}

#[test]
fn reset_peer_resets_both_ends() {
    let rig = Rig::toxic("reset_peer", "upstream", &json!({"timeout": 50}));
    let (mut client, mut server) = rig.connect();
    let ((), took) = timed(|| {
        client.write_all(b"?").unwrap();
        expect_reset(&mut client);
        expect_reset(&mut server);
    });
    assert!(took >= ms(50), "{took:?}");
    assert_eq!(rig.acted("reset_peer_upstream"), 1);
}

#[test]
fn slicer_sends_the_same_bytes_in_pieces() {
    let attributes = json!({"average_size": 100, "size_variation": 20, "delay": 1_000});
    let rig = Rig::toxic("slicer", "upstream", &attributes);
    let (mut client, mut server) = rig.connect();
    let bytes: Vec<u8> = (0..=255).cycle().take(2_000).collect();
    client.write_all(&bytes).unwrap();
    finish(&client);
    let (mut arrived, mut reads) = (Vec::new(), 0);
    let ((), took) = timed(|| {
        let mut piece = [0; 2_000];
        loop {
            let read = server.read(&mut piece).unwrap();
            if read == 0 {
                break;
            }
            reads += 1;
            arrived.extend_from_slice(&piece[..read]);
        }
    });
    assert_eq!(arrived, bytes);
    // From 2,000 bytes in pieces of 120 at the most; a slow reader gets some of them at once.
    assert!(reads > 1, "{reads}");
    assert!(took >= ms(10), "{took:?}");
    assert_eq!(rig.acted("slicer_upstream"), 1);
}

#[test]
fn limit_data_closes_after_so_many_bytes_of_a_connection() {
    let rig = Rig::toxic("limit_data", "downstream", &json!({"bytes": 10}));
    let (mut client, mut server) = rig.connect();
    server.write_all(b"12345").unwrap();
    expect(&mut client, b"12345");
    assert_eq!(rig.acted("limit_data_downstream"), 0);
    server.write_all(b"67890 and more").unwrap();
    assert_eq!(read_all(&mut client), b"67890");
    assert_eq!(read_all(&mut server), b"");
    let (mut client, mut server) = rig.connect();
    server.write_all(b"1234567890").unwrap();
    assert_eq!(read_all(&mut client), b"1234567890");
    assert_eq!(rig.acted("limit_data_downstream"), 2);
}

#[test]
fn the_end_comes_after_what_is_under_way() {
    let rig = Rig::new();
    rig.add("latency", "upstream", &json!({"latency": 50}));
    rig.add("slicer", "upstream", &json!({"average_size": 4}));
    rig.add("bandwidth", "upstream", &json!({"rate": 1}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"all of it").unwrap();
    finish(&client);
    assert_eq!(read_all(&mut server), b"all of it");
}

#[test]
fn toxics_act_on_connections_that_are_open() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    client.write_all(b"before").unwrap();
    expect(&mut server, b"before");
    rig.add("latency", "upstream", &json!({"latency": 80}));
    let ((), took) = timed(|| {
        client.write_all(b"during").unwrap();
        expect(&mut server, b"during");
    });
    assert!(took >= ms(80), "{took:?}");
    // A minute, which nobody waits for.
    let change = json!({"attributes": {"latency": 60_000}});
    rig.process.ok("PATCH", "/proxies/p/toxics/latency_upstream", &change);
    client.write_all(b"after").unwrap();
    expect_silence(&mut server);
    rig.process.ok("DELETE", "/proxies/p/toxics/latency_upstream", &Value::Null);
    expect(&mut server, b"after");
}

#[test]
fn a_proxy_that_is_disabled_closes_its_listener_and_its_connections() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.process.ok("PATCH", "/proxies/p", &json!({"enabled": false}));
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(read_all(&mut server), b"");
    let refused = TcpStream::connect(rig.proxy).expect_err("somebody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    rig.process.ok("PATCH", "/proxies/p", &json!({"enabled": true}));
    let (mut client, mut server) = rig.connect();
    client.write_all(b"again").unwrap();
    expect(&mut server, b"again");
}

#[test]
fn toxicity_is_drawn_for_each_connection_from_the_seed() {
    let closed = || -> Vec<bool> {
        let rig = Rig::new();
        let toxic = json!({"type": "limit_data", "toxicity": 0.5, "attributes": {"bytes": 1}});
        rig.process.ok("POST", "/proxies/p/toxics", &toxic);
        let closed: Vec<bool> = (0..24)
            .map(|_| {
                let (mut client, mut server) = rig.connect();
                server.write_all(b"xy").unwrap();
                finish(&server);
                read_all(&mut client) == b"x"
            })
            .collect();
        let count = closed.iter().filter(|closed| **closed).count();
        assert_eq!(rig.acted("limit_data_downstream"), count as u64);
        closed
    };
    let first = closed();
    let count = first.iter().filter(|closed| **closed).count();
    assert!((4..=20).contains(&count), "{count} of 24");
    assert_eq!(closed(), first, "the same seed, the same connections");
}
