//! What is asked, of whom, and what must be there before.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::load::{Connection, Requests, load, request};
use crate::median;
use crate::servers::{DEV, Server, Topology, namespace};

/// The median object of the service (W6 of the facts on incidents).
const VALUE_BYTES: usize = 288;
/// Keys that are each read once, so that nobody has them yet.
const COLD_KEYS: usize = 120_000;
/// Keys that are written in turns.
const WRITTEN_KEYS: usize = 10_000;
/// Keys of a page.
const LISTED_KEYS: usize = 1_000;
/// Keys of one bulk write.
const BULK_KEYS: usize = 100;
/// Keys of a bulk write that fills something.
const FILL_KEYS: usize = 1_000;
/// Entries that are there before the weighing begins, so that what a node needs anyway is there too.
const WARM_KEYS: usize = 30_000;
/// Entries that are weighed.
const WEIGHED_KEYS: usize = 50_000;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Bare,
    Hit,
    Miss,
    Put,
    ListCached,
    List,
    BulkPut,
}

impl Load {
    pub(crate) const ALL: [Self; 7] =
        [Self::Bare, Self::Hit, Self::Miss, Self::Put, Self::ListCached, Self::List, Self::BulkPut];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper, 1 KiB",
            Self::Hit => "GET hit",
            Self::Miss => "GET miss through tiers",
            Self::Put => "PUT",
            Self::ListCached => "list of 1,000, cached",
            Self::List => "list of 1,000",
            Self::BulkPut => "bulk PUT of 100",
        }
    }
}

/// How one load went once.
pub(crate) struct Round {
    pub(crate) per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
}

/// All servers, and what they are asked.
pub(crate) struct Loads {
    bare: Server,
    dev: Server,
    topology: Topology,
    turns: Vec<Arc<AtomicUsize>>,
    requests: Vec<Requests>,
}

impl Loads {
    pub(crate) async fn start() -> Self {
        let (bare, dev, topology) = (Server::bare(), Server::dev(), Topology::start());
        let mut connection = Connection::to(dev.at("rest")).await;
        connection.ask(&put(DEV, "hit")).await;
        fill(&dev, DEV, "listed/", 2 * LISTED_KEYS, FILL_KEYS).await;
        fill(&topology.upper, "ns", "cold-", COLD_KEYS, FILL_KEYS).await;
        let cursors = cursors(&mut connection).await;
        Self {
            requests: Load::ALL.map(|load| requests(load, &cursors)).to_vec(),
            turns: Load::ALL.iter().map(|_| Arc::default()).collect(),
            bare,
            dev,
            topology,
        }
    }

    pub(crate) async fn run(&self, what: Load, connections: usize, time: Duration) -> Round {
        let at = Load::ALL.iter().position(|load| *load == what).unwrap();
        let (to, cpu): (_, &dyn Fn() -> f64) = match what {
            Load::Bare => (self.bare.at("bare"), &|| self.bare.cpu_us()),
            Load::Miss => (self.topology.edge.at("rest"), &|| self.topology.cpu_us()),
            _ => (self.dev.at("rest"), &|| self.dev.cpu_us()),
        };
        let before = cpu();
        let took = load(to, connections, time, &self.turns[at], &self.requests[at]).await;
        Round {
            per_s: took.rate(),
            p50_us: took.percentile_us(50) as f64,
            p99_us: took.percentile_us(99) as f64,
            cpu_us: (cpu() - before) / took.requests as f64,
        }
    }

    /// How many times faster a list of 100 keys is than getting each, all at once: keys that the edge knows, and keys that
    /// it has never seen.
    pub(crate) async fn list_against_gets(&self, rounds: usize) -> [(&'static str, f64); 2] {
        let times = 5 * rounds;
        for group in 0..times {
            fill(&self.topology.upper, "ns", &format!("group-{group}/"), 100, 100).await;
        }
        fill(&self.dev, DEV, "hundred/", 100, 100).await;
        let mut known = Hundred::of(&self.dev, DEV).await;
        let mut unknown = Hundred::of(&self.topology.edge, "ns").await;
        let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
        known.list("hundred/").await;
        for group in 0..times {
            let prefix = format!("group-{group}/");
            let (list, gets) = (unknown.list(&prefix).await, unknown.gets(&prefix).await);
            of_unknown.push(gets / list);
            let (list, gets) = (known.list("hundred/").await, known.gets("hundred/").await);
            of_known.push(gets / list);
        }
        [
            ("which the edge knows", median(of_known.into_iter())),
            ("which the edge has never seen", median(of_unknown.into_iter())),
        ]
    }

    /// How much memory an entry takes, in a node whose stores are elsewhere: one that was written there, and one that was
    /// read there.
    pub(crate) async fn bytes_per_entry(&self) -> [(&'static str, f64); 2] {
        let topology = Topology::start();
        let (writer, reader) = (&topology.upper, &topology.edge);
        let read = |prefix: &'static str, keys| async move {
            let of: Requests = Arc::new(move |turn| {
                (turn < keys).then(|| get("ns", &format!("{prefix}{turn:06}")))
            });
            let long = Duration::from_mins(1);
            load(reader.at("rest"), 16, long, &Arc::default(), &of).await;
        };
        fill(writer, "ns", "first-", WARM_KEYS, BULK_KEYS).await;
        read("first-", WARM_KEYS).await;
        let before = (writer.resident_bytes(), reader.resident_bytes());
        fill(writer, "ns", "weighed-", WEIGHED_KEYS, BULK_KEYS).await;
        read("weighed-", WEIGHED_KEYS).await;
        let after = (writer.resident_bytes(), reader.resident_bytes());
        let each = |before: u64, after: u64| (after - before) as f64 / WEIGHED_KEYS as f64;
        [("written", each(before.0, after.0)), ("read", each(before.1, after.1))]
    }
}

/// A hundred connections to one node, and one more.
struct Hundred {
    namespace: &'static str,
    list: Connection,
    gets: Vec<Connection>,
}

impl Hundred {
    async fn of(server: &Server, namespace: &'static str) -> Self {
        let to = server.at("rest");
        let mut gets = Vec::new();
        for _ in 0..100 {
            gets.push(Connection::to(to).await);
        }
        Self { namespace, list: Connection::to(to).await, gets }
    }

    /// The seconds that a list of the hundred keys takes.
    async fn list(&mut self, prefix: &str) -> f64 {
        let path = format!("{}/keys?prefix={prefix}", namespace(self.namespace));
        let since = Instant::now();
        let listed = self.list.ask(&request("GET", &path, b"")).await;
        let seconds = since.elapsed().as_secs_f64();
        let listed: Value = serde_json::from_slice(listed).unwrap();
        assert_eq!(listed["result"].as_array().unwrap().len(), 100, "{prefix}");
        seconds
    }

    /// The seconds that getting them takes, each over a connection of its own.
    async fn gets(&mut self, prefix: &str) -> f64 {
        let since = Instant::now();
        let asked = self.gets.iter_mut().enumerate().map(|(at, connection)| {
            let request = get(self.namespace, &format!("{prefix}{at:06}"));
            async move {
                connection.ask(&request).await;
            }
        });
        futures_util::future::join_all(asked).await;
        since.elapsed().as_secs_f64()
    }
}

fn value() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(VALUE_BYTES).collect()
}

fn value_path(namespace_id: &str, key: &str) -> String {
    format!("{}/values/{}", namespace(namespace_id), key.replace('/', "%2F"))
}

fn get(namespace_id: &str, key: &str) -> Vec<u8> {
    request("GET", &value_path(namespace_id, key), b"")
}

fn put(namespace_id: &str, key: &str) -> Vec<u8> {
    request("PUT", &value_path(namespace_id, key), &value())
}

fn bulk(namespace_id: &str, keys: impl Iterator<Item = String>) -> Vec<u8> {
    let mut body = String::from("[");
    for key in keys {
        let comma = if body.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(body, r#"{comma}{{"key":"{key}","value":"{}"}}"#, "v".repeat(VALUE_BYTES));
    }
    body.push(']');
    request("PUT", &format!("{}/bulk", namespace(namespace_id)), body.as_bytes())
}

async fn fill(server: &Server, namespace_id: &str, prefix: &str, keys: usize, at_once: usize) {
    let mut connection = Connection::to(server.at("rest")).await;
    for first in (0..keys).step_by(at_once) {
        let some = (first..first + at_once).map(|key| format!("{prefix}{key:06}"));
        connection.ask(&bulk(namespace_id, some)).await;
    }
}

/// Where lists can begin, one key after the other: no two of them are the same page.
async fn cursors(connection: &mut Connection) -> Arc<Vec<String>> {
    let mut cursors = Vec::new();
    for limit in 10..=LISTED_KEYS {
        let path = format!("{}/keys?prefix=listed/&limit={limit}", namespace(DEV));
        let page: Value =
            serde_json::from_slice(connection.ask(&request("GET", &path, b"")).await).unwrap();
        cursors.push(page["result_info"]["cursor"].as_str().unwrap().to_owned());
    }
    Arc::new(cursors)
}

fn requests(load: Load, cursors: &Arc<Vec<String>>) -> Requests {
    let all_keys = format!("{}/keys?prefix=listed/", namespace(DEV));
    match load {
        Load::Bare => always(request("GET", "/", b"")),
        Load::Hit => always(get(DEV, "hit")),
        Load::Miss => {
            Arc::new(|turn| (turn < COLD_KEYS).then(|| get("ns", &format!("cold-{turn:06}"))))
        }
        Load::Put => Arc::new(|turn| Some(put(DEV, &format!("put-{:06}", turn % WRITTEN_KEYS)))),
        Load::ListCached => always(request("GET", &all_keys, b"")),
        Load::List => {
            let cursors = cursors.clone();
            Arc::new(move |turn| {
                let cursor = &cursors[turn % cursors.len()];
                Some(request("GET", &format!("{all_keys}&cursor={cursor}"), b""))
            })
        }
        Load::BulkPut => Arc::new(|turn| {
            let first = turn * BULK_KEYS;
            let keys =
                (first..first + BULK_KEYS).map(|key| format!("bulk-{:06}", key % WRITTEN_KEYS));
            Some(bulk(DEV, keys))
        }),
    }
}

fn always(request: Vec<u8>) -> Requests {
    Arc::new(move |_| Some(request.clone()))
}
