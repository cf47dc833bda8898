//! `kv-node dev`.

use std::io::Write;

use nix::sys::signal::Signal;

use crate::client::{ask, connect, read, value_path};
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

#[test]
fn a_token_is_demanded_where_one_is_given() {
    let mut node = dev(&["--token", "secret"]);
    let rest = node.address("rest");
    let status = |authorization: &str| {
        let mut stream = connect(rest);
        let path = value_path("key");
        let head = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read(&mut stream).status
    };
    assert!([400, 401, 403].contains(&status("")));
    assert!([401, 403].contains(&status("authorization: Bearer other\r\n")));
    assert_eq!(status("authorization: Bearer secret\r\n"), 404, "no such key");
}

#[test]
fn a_binding_reads_what_rest_wrote_and_an_error_says_why() {
    let mut node = dev(&[]);
    assert_eq!(ask(node.address("rest"), "PUT", &value_path("key"), b"hello").status, 200);
    let mut stream = connect(node.address("binding"));
    let mut get = |path: &str, namespace: &str| {
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: h\r\ncf-kv-namespace: {namespace}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read(&mut stream)
    };
    let found = get("/key?urlencoded=true", "0f2ac74b498b48028cb68387c421e279");
    assert_eq!((found.status, found.text()), (200, "hello"));
    let none = get("/key?urlencoded=true", "there-is-none");
    assert_eq!(none.status, 400);
    assert!(!none.head.starts_with("HTTP/1.1 400 Bad Request"), "{}", none.head);
}
