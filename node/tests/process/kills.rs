//! Two stores and two nodes, each killed again and again: what was acknowledged is there in the end.
//!
//! The state of a key is a number that grows; where it is divisible by five the key is deleted. Every key has one writer, which
//! goes on through the other node when its own dies.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::client::{Answer, DEADLINE, ask, connect, try_ask, try_connect};
use crate::process::Process;

const KILLS: u64 = 100;
const WRITERS: usize = 4;
/// Of one writer: half of them in a namespace with tiers, half in one without.
const KEYS: usize = 10;
const NODES: [&str; 2] = ["EDGE", "TIER"];
const NAMESPACES: [&str; 2] = ["tiered", "direct"];
/// Every state that is divisible by it is "there is none".
const DELETED: u64 = 5;

/// Addresses that nobody has. They lie below those that the system gives to connections, which would take them while
/// whoever listens there is dead.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let first = 10_000 + (std::process::id() % 15_000) as u16;
    let mut ports = (first..32_000).filter_map(|port| {
        TcpListener::bind(("127.0.0.1", port)).ok().map(|free| free.local_addr().unwrap())
    });
    [(); N].map(|()| ports.next().unwrap())
}

/// Where everybody is, and what they are started with.
struct Plan {
    stores: [SocketAddr; 2],
    rest: [SocketAddr; 2],
    arguments: [Vec<String>; 4],
}

impl Plan {
    fn new(folder: &Path) -> Self {
        let [a, b, edge, tier, between] = free_addresses();
        let (stores, rest) = ([a, b], [edge, tier]);
        let store = |at: usize| {
            let data = folder.join(format!("store-{at}"));
            let words = ["store", "--listen", &stores[at].to_string(), "--data"];
            words.map(str::to_owned).into_iter().chain([path(&data)]).collect()
        };
        let node = |at: usize| {
            let own =
                if NODES[at] == "TIER" { format!("tier = \"{between}\",") } else { String::new() };
            let listen = format!("listen = {{ {own} rest = \"{}\" }}", rest[at]);
            let file = write(folder, NODES[at], &listen, stores, between);
            vec!["--config".to_owned(), path(&file)]
        };
        Self { stores, rest, arguments: [store(0), store(1), node(0), node(1)] }
    }

    fn start(&self, at: usize) -> Process {
        let arguments: Vec<&str> = self.arguments[at].iter().map(String::as_str).collect();
        let mut process = Process::start(&arguments);
        process.wait_for(["store", "store", "rest", "rest"][at]);
        process
    }
}

fn path(of: &Path) -> String {
    of.to_str().unwrap().to_owned()
}

fn write(
    folder: &Path,
    dc: &str,
    listen: &str,
    [a, b]: [SocketAddr; 2],
    tier: SocketAddr,
) -> PathBuf {
    let file = folder.join(format!("{dc}.toml"));
    let key = "0f".repeat(32);
    // A reader who is content with nothing cached sees what the stores have.
    let text = format!(
        r#"
data_center = "{dc}"
stores = [{{ peer = "a" }}, {{ peer = "b" }}]
namespaces = [{{ id = "tiered" }}, {{ id = "direct" }}]
{listen}
[limits]
cache_ttl_min_s = 0
crawl_keys_per_s = 100
[members]
EDGE = {{ region = "OC" }}
TIER = {{ region = "OC", regional_weight = 1, upper_weight = 1 }}
[peers]
a = {{ store = "{a}" }}
b = {{ store = "{b}" }}
TIER = {{ tier = "{tier}" }}
[keys]
secret = "{key}"
sealing = [{{ id = 1, key = "{key}" }}]
[initial]
enrolled = ["tiered"]
"#
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// A key and what its writer knows of it.
struct Key {
    namespace: &'static str,
    name: String,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

impl Key {
    fn path(&self) -> String {
        let Self { namespace, name, .. } = self;
        format!("/client/v4/accounts/a/storage/kv/namespaces/{namespace}/values/{name}")
    }

    /// Whether an answer to a read is a state between two others. `None` where it says nothing of the state.
    fn between(&self, answer: &Answer, first: u64, last: u64) -> Option<bool> {
        match answer.status {
            200 => Some((first..=last).contains(&answer.text().parse().unwrap())),
            404 => Some(first == 0 || (first..=last).any(|state| state % DELETED == 0)),
            503 => None,
            other => panic!("{other} for {}: {}", self.name, answer.text()),
        }
    }
}

/// What all threads share.
struct Run<'a> {
    plan: &'a Plan,
    keys: Vec<Key>,
    acknowledged: Mutex<u64>,
    told: Condvar,
    over: AtomicBool,
    /// What a writer read at once of its own writes: how many it was given, how many got no answer.
    read_back: [AtomicU64; 2],
}

impl Run<'_> {
    /// Waits until so many more writes have been acknowledged.
    fn wait_for_writes(&self, more: u64) {
        let count = self.acknowledged.lock().unwrap();
        let goal = *count + more;
        let (count, late) =
            self.told.wait_timeout_while(count, DEADLINE, |count| *count < goal).unwrap();
        assert!(!late.timed_out(), "writers came from {} to {count} of {goal}", goal - more);
    }

    /// Writes until the run is over: through one node until the connection breaks, then through the other.
    fn write(&self, writer: usize) {
        let own = &self.keys[writer * KEYS..][..KEYS];
        let mut lives = 0;
        let mut turn = 0;
        while !self.over.load(Ordering::Relaxed) {
            let node = (writer + lives) % NODES.len();
            lives += 1;
            let Some(mut stream) = try_connect(self.plan.rest[node]) else {
                thread::yield_now();
                continue;
            };
            while !self.over.load(Ordering::Relaxed) {
                turn += 1;
                if self.write_once(&own[turn % KEYS], &mut stream, turn).is_none() {
                    break;
                }
            }
        }
    }

    /// One write. `None` where the connection breaks.
    fn write_once(&self, key: &Key, stream: &mut TcpStream, turn: usize) -> Option<()> {
        let state = key.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let method = if state.is_multiple_of(DELETED) { "DELETE" } else { "PUT" };
        let answer = try_ask(stream, method, &key.path(), state.to_string().as_bytes())?;
        match answer.status {
            200 => {}
            // No store was there for it: it was not acknowledged.
            503 => return Some(()),
            other => panic!("{other} for a write: {}", answer.text()),
        }
        key.acknowledged.store(state, Ordering::SeqCst);
        *self.acknowledged.lock().unwrap() += 1;
        self.told.notify_all();
        if turn.is_multiple_of(3) {
            let read = try_ask(stream, "GET", &key.path(), b"")?;
            // Where one store has just died, the other is not believed alone if it is known to lack the write, nor in the first
            // minute of a node: it has no answer, and says so with 503.
            match key.between(&read, state, state) {
                Some(true) => self.read_back[0].fetch_add(1, Ordering::Relaxed),
                None => self.read_back[1].fetch_add(1, Ordering::Relaxed),
                Some(false) => panic!("a node reads what it wrote: {state}, not {read:?}"),
            };
        }
        Some(())
    }

    /// Reads every key through a node until it is as new as what had been acknowledged by now. What a reader is shown at first
    /// may be older, as in any eventually consistent store.
    fn check(&self, node: usize, about: &str) {
        let mut stream = connect(self.plan.rest[node]);
        for key in self.keys.iter().filter(|key| key.namespace == "direct") {
            let acknowledged = key.acknowledged.load(Ordering::SeqCst);
            let since = Instant::now();
            loop {
                let path = format!("{}?cache_ttl=0", key.path());
                let read = try_ask(&mut stream, "GET", &path, b"").unwrap();
                let sent = key.sent.load(Ordering::SeqCst);
                assert_ne!(
                    key.between(&read, 0, sent),
                    Some(false),
                    "{about}: never sent {read:?}"
                );
                if key.between(&read, acknowledged, sent) == Some(true) {
                    break;
                }
                assert!(
                    since.elapsed() < DEADLINE,
                    "{about}: {} through {} is {read:?}, {acknowledged} had been acknowledged",
                    key.name,
                    NODES[node]
                );
            }
        }
    }

    /// The same where nobody writes any more: the first answer counts.
    fn check_at_rest(&self, node: usize, keys: &[Key]) {
        let mut stream = connect(self.plan.rest[node]);
        for key in keys {
            let known = [&key.acknowledged, &key.sent].map(|known| known.load(Ordering::SeqCst));
            let since = Instant::now();
            let found = loop {
                let read = try_ask(&mut stream, "GET", &key.path(), b"").unwrap();
                match key.between(&read, known[0], known[1]) {
                    Some(found) => break found.then_some(()).ok_or(read),
                    None => assert!(since.elapsed() < DEADLINE, "no answer for {}", key.name),
                }
            };
            assert!(found.is_ok(), "{} of {known:?} is {found:?}", key.name);
        }
    }
}

/// Every object of a store, with its version.
fn stored(store: SocketAddr) -> BTreeMap<String, String> {
    let list = ask(store, "GET", "/list", b"");
    let mut stream = connect(store);
    let mut version = |name: &str| {
        let object = try_ask(&mut stream, "GET", &format!("/o/{name}"), b"").unwrap();
        let version = object.head.lines().find_map(|line| line.strip_prefix("x-version: "));
        version.unwrap_or_default().to_owned()
    };
    list.text().lines().map(|name| (name.to_owned(), version(name))).collect()
}

#[test]
fn nothing_acknowledged_is_lost_whichever_store_or_node_is_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(folder.path());
    let mut processes = [0, 1, 2, 3].map(|at| plan.start(at));
    let key = |at: usize| Key {
        namespace: NAMESPACES[at % 2],
        name: format!("key-{at}"),
        sent: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
    };
    let run = Run {
        plan: &plan,
        keys: (0..WRITERS * KEYS).map(key).collect(),
        acknowledged: Mutex::default(),
        told: Condvar::new(),
        over: AtomicBool::new(false),
        read_back: Default::default(),
    };
    let mut moments = Xoshiro256PlusPlus::seed_from_u64(2);
    let mut below = |bound: u64| usize::try_from(moments.next_u64() % bound).unwrap();
    thread::scope(|scope| {
        let over = Over(&run.over);
        for writer in 0..WRITERS {
            let run = &run;
            scope.spawn(move || run.write(writer));
        }
        for kill in 0..KILLS {
            // One of them, or one of each kind, so that there is always a node with a store.
            let (store, node) = (below(2), 2 + below(2));
            let mut victims = if below(2) == 0 { vec![store, node] } else { vec![node, store] };
            victims.truncate(1 + usize::from(below(3) == 0));
            for &victim in &victims {
                run.wait_for_writes(below(80) as u64);
                processes[victim].signal(Signal::SIGKILL);
                assert_eq!(processes[victim].wait(), None);
            }
            for &victim in &victims {
                run.wait_for_writes(1 + below(40) as u64);
                processes[victim] = plan.start(victim);
            }
            for node in 0..NODES.len() {
                run.check(node, &format!("after kill {kill}, of {victims:?}"));
            }
        }
        // The last writes reach one store, and whoever knows that dies as well.
        processes[0].signal(Signal::SIGKILL);
        run.wait_for_writes(100);
        drop(over);
    });
    for node in [2, 3] {
        processes[node].signal(Signal::SIGKILL);
        assert_eq!(processes[node].wait(), None);
    }
    assert_eq!(processes[0].wait(), None);
    for at in [0, 2, 3] {
        processes[at] = plan.start(at);
    }
    // A node that has just begun asks both stores; what nobody reads is for the crawler.
    run.check_at_rest(0, &run.keys[..KEYS]);
    let since = Instant::now();
    while stored(plan.stores[0]) != stored(plan.stores[1]) {
        assert!(since.elapsed() < DEADLINE, "the stores do not come to the same");
    }
    for node in 0..NODES.len() {
        run.check_at_rest(node, &run.keys);
    }
    let acknowledged = *run.acknowledged.lock().unwrap();
    assert!(acknowledged > KILLS * 20, "only {acknowledged} writes");
    let [given, unanswered] = run.read_back.map(AtomicU64::into_inner);
    assert!(unanswered * 50 < given, "{unanswered} had no answer of what they wrote, {given} had");
}

/// Ends the writers, also where the test fails: it would wait for them.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
