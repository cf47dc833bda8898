//! How a process ends.

use std::io::Write;
use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::client::{connect, read, value_path};
use crate::process::{Process, dev};

/// A write that has begun and is not finished.
fn half_a_write(node: &mut Process) -> TcpStream {
    let mut stream = connect(node.address("rest"));
    let path = value_path("slow");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It says that it reads the body: the request is under way.
    assert_eq!(read(&mut stream).status, 100);
    stream.write_all(b"12345").unwrap();
    stream
}

#[test]
fn a_request_under_way_is_finished() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut node = dev(&[]);
        let rest = node.address("rest");
        let mut stream = half_a_write(&mut node);
        node.signal(signal);
        while TcpStream::connect(rest).is_ok() {
            std::thread::yield_now();
        }
        stream.write_all(b"67890").unwrap();
        let answer = read(&mut stream);
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert_eq!(node.wait(), Some(0));
    }
}

#[test]
fn connections_that_wait_for_a_request_do_not_hold_it_up() {
    let mut node = dev(&[]);
    let _silent = connect(node.address("rest"));
    node.signal(Signal::SIGTERM);
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut node = dev(&[]);
    let rest = node.address("rest");
    let _stream = half_a_write(&mut node);
    node.signal(Signal::SIGTERM);
    while TcpStream::connect(rest).is_ok() {
        std::thread::yield_now();
    }
    node.signal(Signal::SIGTERM);
    assert_eq!(node.wait(), Some(130));
}
