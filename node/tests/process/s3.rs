//! A store that speaks S3 as a process of its own.

use std::path::Path;

use crate::client::ask;
use crate::process::Process;
use crate::topology::{PATH, start_over};

/// `kv-node store` with one bucket, kept in a directory.
fn store(folder: &Path, listen: &str) -> Process {
    let secret = folder.join("secret");
    std::fs::write(&secret, "not told\n").unwrap();
    let data = folder.join("data");
    let arguments = ["store", "--listen", listen, "--bucket", "kv", "--access-key", "key"];
    let files = ["--secret-key-file", secret.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut store = Process::start(&[&arguments[..], &files].concat());
    store.wait_for("store");
    store
}

/// How a node is told to speak to it.
fn over_s3(secret: &str) -> String {
    format!(
        r#"peer = "store", protocol = "s3", bucket = "kv", access_key = "key", secret_key = "{secret}""#
    )
}

#[test]
fn a_node_keeps_its_values_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut over_socket = store(folder.path(), "127.0.0.1:0");
    let address = over_socket.address("store").to_string();
    let mut node = start_over(folder.path(), "TIER", (&address, &over_s3("not told")), "");
    assert_eq!(ask(node.address("rest"), "PUT", PATH, b"first").status, 200);
    assert_eq!(ask(node.address("rest"), "PUT", PATH, b"second").status, 200);
    let again = start_over(folder.path(), "TIER", (&address, &over_s3("not told")), "");
    let mut again = again;
    let read = ask(again.address("rest"), "GET", PATH, b"");
    assert_eq!((read.status, read.text()), (200, "second"), "what another node reads");
}

#[test]
fn whoever_does_not_know_the_secret_is_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut over_socket = store(folder.path(), "127.0.0.1:0");
    let address = over_socket.address("store").to_string();
    let mut node = start_over(folder.path(), "TIER", (&address, &over_s3("guessed")), "");
    assert_eq!(ask(node.address("rest"), "PUT", PATH, b"value").status, 503);
    assert_eq!(ask(over_socket.address("store"), "GET", "/kv?list-type=2", b"").status, 403);
}
