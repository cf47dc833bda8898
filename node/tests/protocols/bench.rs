//! One data center in virtual time, two stores behind it, no sockets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use kv_node::Node;
use kv_node::config::{
    DcStatus, Limits, Member, Members, NamespaceAbout, NodeConfig, PipelineEntry, Snapshot,
    StoreAbout, StoreProtocol, Token,
};
use kv_node::env::{
    BoxFuture, Chance, Clock, Listener, Network, NetworkError, NodeEnv, Stream, Tasks,
    TelemetrySink, Timestamp,
};
use kv_node::ids::{Dc, NamespaceClass, Peer, Region};
use kv_node::safeguards::{Build, Environment};
use kv_node::storage::S3Access;
use kv_node::telemetry::ship::Fate;
use kv_node::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};
use kv_store::s3::{ANY_REGION, Credentials};
use kv_store::{MemoryStore, S3Store};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde_json::Value;

/// A namespace that is configured.
pub(crate) const NAMESPACE: &str = "ns";
/// The data center.
pub(crate) const DC: &str = "ONE";
/// What its tier and admin listeners believe.
pub(crate) const SECRET: &[u8] = b"test";
const STORES: [&str; 2] = ["store-a", "store-b"];
/// When the tests begin, in seconds since 1970.
pub(crate) const BEGIN_S: u64 = 1_700_000_000;

pub(crate) struct TestClock(pub(crate) tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_s(BEGIN_S).after(self.0.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "the clock door of these tests")]
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct TestChance;

impl Chance for TestChance {
    fn stream(&self, name: &str) -> Stream {
        let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        Stream::new(Xoshiro256PlusPlus::seed_from_u64(seed))
    }
}

/// A request that the node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) to: Peer,
    pub(crate) listener: Listener,
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The peers of the node: two stores, and its own tier.
struct Stores {
    memory: [Arc<MemoryStore>; 2],
    over_s3: Option<[S3Store; 2]>,
    down: [AtomicBool; 2],
    sent: Mutex<Vec<Sent>>,
    own: Mutex<Weak<Node>>,
    clock: Arc<TestClock>,
}

impl Network for Stores {
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        self.sent.lock().unwrap().push(Sent {
            to: to.clone(),
            listener,
            method: request.method().clone(),
            uri: request.uri().to_string(),
            headers: request.headers().clone(),
            body: request.body().clone(),
        });
        if listener == Listener::Tier {
            let own = self.own.lock().unwrap().upgrade().unwrap();
            return Box::pin(async move { Ok(own.serve(listener, request).await) });
        }
        let at = usize::from(to.as_str() == STORES[1]);
        if self.down[at].load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(NetworkError::Refused)));
        }
        if let Some(over_s3) = &self.over_s3 {
            let store = over_s3[at].clone();
            return Box::pin(async move { Ok(store.serve(request).await) });
        }
        Box::pin(std::future::ready(Ok(self.memory[at].serve(request))))
    }
}

pub(crate) struct TestTasks;

impl Tasks for TestTasks {
    #[expect(clippy::disallowed_methods, reason = "the tasks door of these tests")]
    fn spawn(&self, future: BoxFuture<()>) {
        tokio::spawn(future);
    }
}

pub(crate) struct TestSink;

impl TelemetrySink for TestSink {
    fn lifecycle(&self, _: Timestamp, _: Lifecycle) {}
    fn line(&self, _: ResponseLine) {}
    fn exception(&self, report: ExceptionReport) {
        panic!("an exception: {report:?}");
    }
    fn span(&self, _: SpanRecord) {}
    fn fate(&self) -> Vec<Fate> {
        Vec::new()
    }
}

/// Doors in virtual time around a network.
pub(crate) fn env(network: Arc<dyn Network>) -> NodeEnv {
    NodeEnv {
        clock: Arc::new(TestClock(tokio::time::Instant::now())),
        network,
        chance: Arc::new(TestChance),
        tasks: Arc::new(TestTasks),
        sink: Arc::new(TestSink),
    }
}

/// Two empty stores, and what a node is told of them.
fn stores(speaks: Speaks) -> (Arc<Stores>, Vec<StoreAbout>) {
    let memory = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let credentials = Credentials {
        key: "key".to_owned(),
        secret: "secret".to_owned(),
        region: ANY_REGION.to_owned(),
    };
    let begin = tokio::time::Instant::now();
    let over_s3 = (speaks == Speaks::S3).then(|| {
        memory.clone().map(|store| {
            let signer = (credentials.key.clone(), credentials.secret.clone());
            S3Store::new(store, signer, "kv", move || BEGIN_S + begin.elapsed().as_secs())
        })
    });
    let about = |name: &str| StoreAbout {
        peer: name.into(),
        protocol: match speaks {
            Speaks::Plain => StoreProtocol::Plain,
            Speaks::S3 => StoreProtocol::S3(S3Access {
                host: name.to_owned(),
                bucket: "kv".to_owned(),
                credentials: credentials.clone(),
            }),
        },
    };
    let about_stores = STORES.map(about).to_vec();
    let stores = Stores {
        memory,
        over_s3,
        down: Default::default(),
        sent: Mutex::default(),
        own: Mutex::default(),
        clock: Arc::new(TestClock(begin)),
    };
    (Arc::new(stores), about_stores)
}

fn begin_node(config: &NodeConfig, stores: &Arc<Stores>) -> Arc<Node> {
    let env = NodeEnv { clock: stores.clock.clone(), ..env(stores.clone()) };
    let node = Node::start(config.clone(), env).unwrap();
    *stores.own.lock().unwrap() = Arc::downgrade(&node);
    node
}

/// What the stores speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Plain,
    S3,
}

/// One data center. Time stands still but in [`Self::wait`].
pub(crate) struct Bench {
    node: Arc<Node>,
    stores: Arc<Stores>,
    config: NodeConfig,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) reason: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of the error that an envelope tells.
    pub(crate) fn code(&self) -> u64 {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        assert_eq!(json["result"], Value::Null, "{json}");
        json["errors"][0]["code"].as_u64().unwrap()
    }

    /// The result that an envelope tells.
    pub(crate) fn result(&self) -> Value {
        let json = self.json();
        assert_eq!((self.status, &json["success"]), (StatusCode::OK, &Value::Bool(true)), "{json}");
        json["result"].clone()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Limits { cache_ttl_min_s: 30, ..Limits::default() }, Vec::new())
    }

    pub(crate) fn with(limits: Limits, tokens: Vec<Token>) -> Self {
        Self::over(Speaks::Plain, limits, tokens)
    }

    /// The same, with stores that speak a protocol.
    pub(crate) fn over(speaks: Speaks, limits: Limits, tokens: Vec<Token>) -> Self {
        Self::start(speaks, limits, tokens, false)
    }

    /// The same where [`NAMESPACE`] is enrolled and the data center is its own tier, reached over the network.
    pub(crate) fn tiered() -> Self {
        Self::start(Speaks::Plain, Limits::default(), Vec::new(), true)
    }

    fn start(speaks: Speaks, limits: Limits, tokens: Vec<Token>, tiered: bool) -> Self {
        let (stores, about_stores) = stores(speaks);
        let (dc, region) = (Dc::from(DC), Region::from("R"));
        let weight = u32::from(tiered);
        let member =
            Member { region: region.clone(), regional_weight: weight, upper_weight: weight };
        let pipeline = vec![PipelineEntry { weight: 1, build: Build::current() }];
        let about = |account: &str| NamespaceAbout {
            class: NamespaceClass::from("c"),
            title: format!("of {account}"),
            account: (!account.is_empty()).then(|| account.into()),
        };
        let config = NodeConfig {
            members: Arc::new(Members {
                dcs: BTreeMap::from([(dc.clone(), member)]),
                origins: BTreeMap::from([(region.clone(), region)]),
                store_hosts: None,
            }),
            stores: about_stores,
            control: None,
            environment: Environment::Production,
            gateway_pipeline: pipeline.clone(),
            supercache_pipeline: pipeline,
            isolates: 1,
            secret: Arc::from(SECRET),
            sealing_keys: vec![(1, [7; 32])],
            namespaces: Arc::new(
                [(NAMESPACE.into(), about("")), ("theirs".into(), about("other"))]
                    .into_iter()
                    .collect(),
            ),
            tokens,
            limits,
            initial: Snapshot {
                revision: 1,
                new_backend: true,
                dcs: BTreeMap::from([(dc.clone(), DcStatus::default())]),
                enrolled: tiered.then(|| NAMESPACE.into()).into_iter().collect(),
                ..Snapshot::default()
            },
            dc,
        };
        Self { node: begin_node(&config, &stores), stores, config }
    }

    /// A new node on the same stores, as after a crash: it knows nothing of what the one before it had in mind.
    pub(crate) fn restart(&mut self) {
        self.node = begin_node(&self.config, &self.stores);
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time")]
    pub(crate) async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) fn set_down(&self, store: usize, down: bool) {
        self.stores.down[store].store(down, Ordering::Relaxed);
    }

    /// How many requests of a method a store has been asked, also while it was away.
    pub(crate) fn requests(&self, store: usize, method: &Method) -> usize {
        let sent = self.stores.sent.lock().unwrap();
        sent.iter()
            .filter(|sent| sent.to.as_str() == STORES[store] && sent.method == method)
            .count()
    }

    /// All that the node has sent so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.stores.sent.lock().unwrap().clone()
    }

    pub(crate) fn store(&self, store: usize) -> &MemoryStore {
        &self.stores.memory[store]
    }

    pub(crate) async fn ask(&self, listener: Listener, request: Request<Bytes>) -> Answer {
        let (parts, body) = self.node.serve(listener, request).await.into_parts();
        let phrase = parts.extensions.get::<hyper::ext::ReasonPhrase>();
        let reason = phrase.map(|phrase| String::from_utf8(phrase.as_bytes().to_vec()).unwrap());
        Answer { status: parts.status, headers: parts.headers, reason, body }
    }

    /// The public API; the path is below the namespaces of account `a`.
    pub(crate) async fn rest(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let uri = format!("/client/v4/accounts/a/storage/kv/namespaces{path}");
        let request = Request::builder().method(method).uri(uri).body(body.into()).unwrap();
        self.ask(Listener::Rest, request).await
    }

    /// The binding of [`NAMESPACE`].
    pub(crate) async fn binding(
        &self,
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
}
