//! One data center or several in virtual time, with stores, and ways between them that take their time. No sockets.
//!
//! Start with [`World::settled`] and [`World::at`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use kv_node::Node;
use kv_node::api::auth::{Secret, TIER};
use kv_node::cache::placement::Placement;
use kv_node::config::Members;
use kv_node::env::{Clock, Listener, NodeEnv};
use kv_node::ids::{Dc, Name, Peer, Region};
use kv_node::storage::S3Access;
use kv_store::s3::{ANY_REGION, Credentials};
use kv_store::{MemoryStore, S3Store};
use tokio::sync::Semaphore;

use crate::bench::{Answer, BEGIN_S, NAMESPACE, Speaks, TestClock, TestSink, TestTasks};
use crate::plan::{Plan, SECRET, members, node_config, snapshot};
use crate::wires::{Door, Drawn, Fault, Sent, Wires, pass};

/// A node that has just begun believes no store alone for a minute.
pub(crate) const SETTLED_S: u64 = 61;

/// What was planned, at work. Time stands still but in [`Self::wait`] and in requests.
pub(crate) struct World {
    nodes: BTreeMap<String, Arc<Node>>,
    members: Arc<Members>,
    pub(crate) placement: Placement,
    wires: Arc<Wires>,
    stores: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let begin = tokio::time::Instant::now();
        let access = S3Access {
            host: "stores".to_owned(),
            bucket: "kv".to_owned(),
            credentials: Credentials {
                key: "key".to_owned(),
                secret: "secret".to_owned(),
                region: ANY_REGION.to_owned(),
            },
        };
        let store = |name: &str| {
            let memory = Arc::new(MemoryStore::new());
            let over_s3 = (plan.speaks == Speaks::S3).then(|| {
                let signer = (access.credentials.key.clone(), access.credentials.secret.clone());
                let now = move || BEGIN_S + begin.elapsed().as_secs();
                S3Store::new(memory.clone(), signer, "kv", now)
            });
            (name.to_owned(), (memory, over_s3))
        };
        let regions = plan.dcs.iter().map(|(dc, region, ..)| (*dc, *region));
        let regions = regions.chain(plan.stores.iter().copied());
        let wires = Arc::new(Wires {
            begin,
            regions: regions.map(|(peer, region)| (peer.to_owned(), region.to_owned())).collect(),
            nodes: OnceLock::new(),
            stores: plan.stores.iter().map(|(name, _)| store(name)).collect(),
            sent: Mutex::default(),
            faults: Mutex::default(),
            cuts: Mutex::default(),
            delays: Mutex::default(),
            places: Mutex::default(),
            store_bytes: AtomicU64::new(0),
        });
        let members = Arc::new(members(plan));
        let snapshot = snapshot(plan);
        let nodes: BTreeMap<_, _> = plan
            .dcs
            .iter()
            .map(|(dc, ..)| {
                let env = NodeEnv {
                    clock: Arc::new(TestClock(begin)),
                    network: Arc::new(Door { from: (*dc).to_owned(), wires: wires.clone() }),
                    chance: Arc::new(Drawn((*dc).to_owned())),
                    tasks: Arc::new(TestTasks),
                    sink: Arc::new(TestSink),
                };
                let config = node_config(plan, dc, (&members, &snapshot), &access);
                ((*dc).to_owned(), Node::start(config, env).unwrap())
            })
            .collect();
        let weak = nodes.iter().map(|(dc, node)| (dc.clone(), Arc::downgrade(node)));
        wires.nodes.set(weak.collect()).unwrap();
        Self {
            placement: Placement::new(&members, &snapshot),
            members,
            nodes,
            wires,
            stores: plan.stores.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }

    /// The same, a minute later: now one store alone is believed.
    pub(crate) async fn settled(plan: &Plan) -> Self {
        let world = Self::new(plan);
        world.wait(SETTLED_S).await;
        world
    }

    pub(crate) async fn wait(&self, seconds: u64) {
        pass(Duration::from_secs(seconds)).await;
    }

    pub(crate) async fn wait_ms(&self, ms: u64) {
        pass(Duration::from_millis(ms)).await;
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.wires.begin.elapsed().as_millis()).unwrap()
    }

    /// A customer's place: one data center and its two protocols.
    pub(crate) fn at(&self, dc: &str) -> Place<'_> {
        Place { world: self, node: &self.nodes[dc] }
    }

    pub(crate) fn store(&self, store: usize) -> &MemoryStore {
        &self.wires.stores[&self.stores[store]].0
    }

    /// Whether there is a store of that number.
    pub(crate) fn has_store(&self, store: usize) -> bool {
        store < self.stores.len()
    }

    /// All that was sent since the beginning, or since [`Self::forget`].
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.wires.sent.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.wires.sent.lock().unwrap().clear();
        self.wires.store_bytes.store(0, Ordering::Relaxed);
    }

    /// Bytes that went to stores and came from them since [`Self::forget`].
    pub(crate) fn store_bytes(&self) -> u64 {
        self.wires.store_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.wires.faults.lock().unwrap().push(fault);
    }

    pub(crate) fn mend(&self) {
        self.wires.faults.lock().unwrap().clear();
        self.wires.cuts.lock().unwrap().clear();
    }

    /// From now on neither of two peers reaches the other.
    pub(crate) fn cut(&self, one: &str, other: &str) {
        let mut cuts = self.wires.cuts.lock().unwrap();
        cuts.insert((one.to_owned(), other.to_owned()));
        cuts.insert((other.to_owned(), one.to_owned()));
    }

    /// What a store takes for a request, whoever asks.
    pub(crate) fn set_delay(&self, store: usize, ms: u64) {
        let mut delays = self.wires.delays.lock().unwrap();
        delays.insert(self.stores[store].clone(), Duration::from_millis(ms));
    }

    /// What a store serves at once, and what it takes for each.
    pub(crate) fn set_capacity(&self, store: usize, at_once: usize, ms: u64) {
        let place = (Arc::new(Semaphore::new(at_once)), Duration::from_millis(ms));
        self.wires.places.lock().unwrap().insert(self.stores[store].clone(), place);
    }

    /// Who owns a key of [`NAMESPACE`] in a region: its regional tier.
    pub(crate) fn regional(&self, region: &str, key: &str) -> String {
        let name = Name::new(NAMESPACE.into(), key);
        self.placement.regional(&Region::from(region), &name).next().unwrap().to_string()
    }

    /// Who owns a key of [`NAMESPACE`] in an origin region: its upper tier.
    pub(crate) fn upper(&self, origin: &str, key: &str) -> String {
        let name = Name::new(NAMESPACE.into(), key);
        self.placement.upper(&Region::from(origin), &name).next().unwrap().to_string()
    }

    /// Everybody who holds a key of [`NAMESPACE`] as its owner.
    pub(crate) fn holders(&self, key: &str) -> BTreeSet<String> {
        let name = Name::new(NAMESPACE.into(), key);
        self.placement.holders(&name).into_iter().map(ToString::to_string).collect()
    }

    /// A tier request with control data of one's choice, signed as by another data center.
    pub(crate) async fn ask_tier(&self, dc: &str, key: &str, control: &str) -> StatusCode {
        assert!(self.members.dcs.contains_key(&Dc::from(dc)));
        let path = format!("/tier/v1/{NAMESPACE}/{key}");
        let mut request = Request::get(path).header(TIER, control).body(Bytes::new()).unwrap();
        let now = TestClock(self.wires.begin).now();
        Secret::new(SECRET).sign(&mut request, &Peer::from(dc), now);
        self.nodes[dc].serve(Listener::Tier, request).await.status()
    }
}

/// A data center as its customers see it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World,
    node: &'a Arc<Node>,
}

impl Place<'_> {
    pub(crate) async fn ask(self, listener: Listener, request: Request<Bytes>) -> Answer {
        let (parts, body) = self.node.serve(listener, request).await.into_parts();
        let phrase = parts.extensions.get::<hyper::ext::ReasonPhrase>();
        let reason = phrase.map(|phrase| String::from_utf8(phrase.as_bytes().to_vec()).unwrap());
        Answer { status: parts.status, headers: parts.headers, reason, body }
    }

    /// The public API; the path is below the namespaces of account `a`.
    pub(crate) async fn rest(self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let uri = format!("/client/v4/accounts/a/storage/kv/namespaces{path}");
        let request = Request::builder().method(method).uri(uri).body(body.into()).unwrap();
        self.ask(Listener::Rest, request).await
    }

    /// The binding of [`NAMESPACE`].
    pub(crate) async fn binding(
        self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("cf-kv-namespace", NAMESPACE)
            .body(body.into())
            .unwrap();
        self.ask(Listener::Binding, request).await
    }

    pub(crate) async fn wait(self, seconds: u64) {
        self.world.wait(seconds).await;
    }

    /// Writes a key; it must succeed.
    pub(crate) async fn put(self, key: &str, value: &str) {
        let path = format!("/{NAMESPACE}/values/{key}");
        self.rest(Method::PUT, &path, value.to_owned()).await.result();
    }

    /// Deletes a key; it must succeed.
    pub(crate) async fn delete(self, key: &str) {
        self.rest(Method::DELETE, &format!("/{NAMESPACE}/values/{key}"), "").await.result();
    }

    /// Reads a key with a `cache_ttl`; the answer must be a value or "there is none".
    pub(crate) async fn get_for(self, key: &str, cache_ttl_s: u64) -> Got {
        let path = format!("/{NAMESPACE}/values/{key}?cache_ttl={cache_ttl_s}");
        let before = self.world.now_ms();
        let answer = self.rest(Method::GET, &path, "").await;
        let value = match answer.status {
            StatusCode::OK => Some(answer.text().to_owned()),
            StatusCode::NOT_FOUND => None,
            other => panic!("{other}: {}", answer.text()),
        };
        Got { value, took_ms: self.world.now_ms() - before, cache: cache_of(&answer.headers) }
    }

    /// The same with the `cache_ttl` that a reader has who asks for none.
    pub(crate) async fn get(self, key: &str) -> Got {
        self.get_for(key, 60).await
    }
}

fn cache_of(headers: &HeaderMap) -> String {
    headers["cf-cache-status"].to_str().unwrap().to_owned()
}

/// A read that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) value: Option<String>,
    pub(crate) took_ms: u64,
    /// What the edge cache did.
    pub(crate) cache: String,
}

impl Got {
    pub(crate) fn is(&self, value: &str) -> bool {
        self.value.as_deref() == Some(value)
    }
}
