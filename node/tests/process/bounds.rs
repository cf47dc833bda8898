//! What the sockets put up with, and what not.

use std::io::Write;
use std::net::Shutdown;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::client::{ask, closes, connect, read, value_path};
use crate::process::dev;
use crate::topology::node;

const MIB: usize = 1 << 20;

#[test]
fn a_body_of_the_longest_length_is_taken_and_one_byte_more_is_413() {
    let mut dev = dev(&[]);
    let admin = dev.address("admin");
    let put = |bytes: usize| ask(admin, "PUT", "/admin/v1/config", &vec![b'x'; bytes]);
    // It is not signed; but it was read.
    assert_eq!(put(4 * MIB).status, 401);
    let refused = put(4 * MIB + 1);
    assert_eq!(refused.status, 413);
    assert!(refused.head.contains("connection: close"), "{}", refused.head);
}

#[test]
fn a_declared_length_is_refused_before_anything_is_read() {
    let mut dev = dev(&[]);
    for (listener, most) in
        [("rest", 100 * MIB + (64 << 10)), ("binding", 25 * MIB + (64 << 10)), ("admin", 4 * MIB)]
    {
        let mut stream = connect(dev.address(listener));
        let path = value_path("big");
        let head =
            format!("PUT {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", most + 1);
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read(&mut stream).status, 413, "{listener}");
        // It would be listened to for two seconds more.
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(closes(&mut stream), "{listener}");
    }
}

#[test]
fn a_body_without_a_length_is_counted_while_it_comes() {
    let mut dev = dev(&[]);
    let mut stream = connect(dev.address("admin"));
    let head = "PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![b'x'; MIB], b"\r\n".to_vec()].concat();
    for _ in 0..4 {
        stream.write_all(&chunk).unwrap();
    }
    stream.write_all(b"1\r\nx\r\n0\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream).status, 413);
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let mut dev = dev(&[]);
    let mut stream = connect(dev.address("rest"));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nx-long: ").unwrap();
    stream.write_all(&vec![b'a'; 64 << 10]).unwrap();
    assert_eq!(read(&mut stream).status, 431);
    assert!(closes(&mut stream));
}

#[test]
fn a_client_that_is_too_slow_is_let_go() {
    let mut node = node("head_ms = 200, idle_ms = 200, body_grace_ms = 200");
    let rest = node.node.address("rest");

    let mut silent = connect(rest);
    assert!(closes(&mut silent), "no request");

    let mut half = connect(rest);
    half.write_all(b"GET / HT").unwrap();
    assert!(closes(&mut half), "half a head");

    let mut idle = connect(rest);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    assert_eq!(read(&mut idle).status, 404);
    assert!(closes(&mut idle), "no second request");

    let mut slow = connect(rest);
    slow.write_all(b"PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nx").unwrap();
    assert_eq!(read(&mut slow).status, 408);
}

#[test]
fn two_thousand_silent_connections_do_not_keep_another_from_its_answer() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut dev = dev(&[]);
    let rest = dev.address("rest");
    let silent: Vec<_> = (0..2_000).map(|_| connect(rest)).collect();
    assert_eq!(ask(rest, "PUT", &value_path("key"), b"value").status, 200);
    assert_eq!(ask(rest, "GET", &value_path("key"), b"").text(), "value");
    assert_eq!(silent.len(), 2_000);
}
