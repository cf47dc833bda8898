//! Nodes and stores as processes of their own.

use std::path::{Path, PathBuf};

use crate::client::{ask, connect, try_ask};
use crate::process::Process;

/// A node of a configuration file, with a store of its own.
pub(crate) struct Node {
    pub(crate) node: Process,
    pub(crate) store: Process,
}

/// `kv-node store` in memory.
pub(crate) fn store() -> Process {
    let mut store = Process::start(&["store", "--listen", "127.0.0.1:0"]);
    store.wait_for("store");
    store
}

/// Writes a configuration: data center, store, and whatever else.
fn write(folder: &Path, dc: &str, (store, speaks): (&str, &str), more: &str) -> PathBuf {
    let file = folder.join(format!("{dc}.toml"));
    let key = "0f".repeat(32);
    let text = format!(
        r#"
data_center = "{dc}"
stores = [{{ {speaks} }}]
namespaces = [{{ id = "ns", title = "one" }}, {{ id = "direct", title = "two" }}]
listen.rest = "127.0.0.1:0"
listen.binding = "127.0.0.1:0"
listen.tier = "127.0.0.1:0"
listen.admin = "127.0.0.1:0"
{more}
[members]
EDGE = {{ region = "OC" }}
TIER = {{ region = "OC", regional_weight = 1, upper_weight = 1 }}
[peers.store]
store = "{store}"
[keys]
secret = "{key}"
sealing = [{{ id = 1, key = "{key}" }}]
[initial]
enrolled = ["ns"]
"#
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// The configuration of a node that nobody has started.
pub(crate) fn file(folder: &Path, dc: &str, store: &str) -> PathBuf {
    write(folder, dc, (store, "peer = \"store\""), "")
}

pub(crate) fn start(folder: &Path, dc: &str, store: &str, more: &str) -> Process {
    start_over(folder, dc, (store, "peer = \"store\""), more)
}

/// The same, with a store that is spoken to in its own way.
pub(crate) fn start_over(folder: &Path, dc: &str, store: (&str, &str), more: &str) -> Process {
    let file = write(folder, dc, store, more);
    let mut node = Process::start(&["--config", file.to_str().unwrap()]);
    node.wait_for("admin");
    node
}

/// A node whose server has limits of its own.
pub(crate) fn node(server: &str) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store();
    let address = store.address("store").to_string();
    let node = start(folder.path(), "TIER", &address, &format!("server = {{ {server} }}"));
    Node { node, store }
}

pub(crate) const PATH: &str = "/client/v4/accounts/a/storage/kv/namespaces/ns/values/key";

#[test]
fn a_key_is_read_through_the_tier_of_another_data_center() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store();
    let address = store.address("store").to_string();
    let mut tier = start(folder.path(), "TIER", &address, "");
    let peers = format!("peers.TIER = {{ tier = \"{}\" }}", tier.address("tier"));
    let mut edge = start(folder.path(), "EDGE", &address, &peers);

    assert_eq!(ask(edge.address("rest"), "PUT", PATH, b"written at the edge").status, 200);
    let read = ask(tier.address("rest"), "GET", PATH, b"");
    assert_eq!((read.status, read.text()), (200, "written at the edge"));

    let metrics = ask(tier.address("admin"), "GET", "/metrics", b"");
    let count = |line: &str| {
        let script = "node_requests_received_total{script=\"supercache\",build=\"current\"} ";
        line.strip_prefix(script)?.parse::<u64>().ok()
    };
    // The edge's write, and the tier's own read, which goes through its tier without a socket.
    let tier_requests = metrics.text().lines().find_map(count).unwrap();
    assert!(tier_requests >= 2, "{tier_requests}");
}

#[test]
fn a_tier_request_needs_a_signature() {
    let mut node = node("");
    let answer = ask(node.node.address("tier"), "GET", "/tier/v1/ns/key", b"");
    assert_eq!(answer.status, 401);
}

/// The median of what requests over one connection take.
fn median_us(
    to: std::net::SocketAddr,
    times: usize,
    method: &str,
    path: &str,
    body: &[u8],
) -> u128 {
    let mut stream = connect(to);
    let mut took: Vec<u128> = (0..times)
        .map(|_| {
            let since = std::time::Instant::now();
            assert_eq!(try_ask(&mut stream, method, path, body).unwrap().status, 200);
            since.elapsed().as_micros()
        })
        .collect();
    took.sort_unstable();
    took[times / 2]
}

#[test]
fn a_hit_takes_no_millisecond_more_where_the_tiers_are() {
    let mut node = node("");
    let rest = node.node.address("rest");
    let direct = PATH.replace("/ns/", "/direct/");
    let mut medians = [PATH, &direct].map(|path| {
        assert_eq!(ask(rest, "PUT", path, b"value").status, 200);
        median_us(rest, 1_000, "GET", path, b"")
    });
    let [tiered, direct] = &mut medians;
    assert!(*tiered < *direct + 1_000, "{tiered} µs against {direct} µs");
}

#[test]
fn the_time_of_a_write_grows_with_its_size() {
    let mut node = node("");
    let rest = node.node.address("rest");
    let took = |bytes: usize| median_us(rest, 15, "PUT", PATH, &vec![b'x'; bytes]);
    let [small, kilobyte, megabyte, ten] = [64, 1 << 10, 1 << 20, 10 << 20].map(took);
    assert!(small < 10_000 && kilobyte < 10_000, "{small} µs, {kilobyte} µs: the small class");
    assert!(megabyte > kilobyte && ten > 3 * megabyte, "{kilobyte}, {megabyte}, {ten} µs");
}
