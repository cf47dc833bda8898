//! `kv-node dev`.

use nix::sys::signal::Signal;

use crate::client::{ask, value_path};
use crate::process::dev;

#[test]
fn the_printed_line_works() {
    let mut node = dev(&[]);
    let line = node.wait_for("curl");
    let url = line.strip_prefix("U=http://").unwrap().split(';').next().unwrap();
    let (address, path) = url.split_once('/').unwrap();
    let (address, path) = (address.parse().unwrap(), format!("/{path}"));
    assert_eq!(ask(address, "PUT", &path, b"hello").status, 200);
    let read = ask(address, "GET", &path, b"");
    assert_eq!((read.status, read.text()), (200, "hello"));
}

#[test]
fn metrics_stand_where_it_says() {
    let mut node = dev(&[]);
    let answer = ask(node.address("admin"), "GET", "/metrics", b"");
    assert!(answer.text().contains("node_requests_received_total"), "{}", answer.head);
}

#[test]
fn what_was_written_outlives_the_process_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = ["--data", folder.path().to_str().unwrap()];
    for (round, end) in [Signal::SIGTERM, Signal::SIGKILL].into_iter().enumerate() {
        let mut node = dev(&data);
        let rest = node.address("rest");
        let path = value_path(&format!("key-{round}"));
        assert_eq!(ask(rest, "PUT", &path, b"kept").status, 200);
        node.signal(end);
        assert_eq!(node.wait(), (end == Signal::SIGTERM).then_some(0));
    }
    let mut node = dev(&data);
    let rest = node.address("rest");
    for round in 0..2 {
        let read = ask(rest, "GET", &value_path(&format!("key-{round}")), b"");
        assert_eq!((read.status, read.text()), (200, "kept"), "round {round}");
    }
}
