//! A thousand exceptions, in every script, role and state of a data center: a thousand reports, none twice.
//!
//! Nothing in the node can be told to panic. The doors can: a clock, a stream of chance and a network that panic once when
//! they are told to, in the middle of whatever asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use kv_node::Node;
use kv_node::api::auth::{Secret, TIER};
use kv_node::api::rest;
use kv_node::config::{
    DcState, DcStatus, Limits, Member, Members, NamespaceAbout, NodeConfig, PipelineEntry,
    Snapshot, StoreAbout,
};
use kv_node::env::{
    BoxFuture, Chance, Clock, Listener, Network, NetworkError, NodeEnv, Stream, Tasks,
    TelemetrySink, Timestamp,
};
use kv_node::ids::{BuildId, Dc, Name, NamespaceClass, Peer, Region};
use kv_node::safeguards::{Build, Environment, Safeguard};
use kv_node::telemetry::ship::Fate;
use kv_node::telemetry::{ExceptionReport, Lifecycle, Place, ResponseLine, SpanRecord};
use kv_store::MemoryStore;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng, TryRng};

const SECRET: &[u8] = b"test";

/// Panics when its count comes to nought.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicI64>);

impl Fuse {
    /// The so-manyth touch from now on panics.
    fn set(&self, touches: i64) {
        self.0.store(touches, Ordering::Relaxed);
    }

    fn touch(&self, what: &str) {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) != 1, "the {what} gave way");
    }
}

struct TestClock(Fuse);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.touch("clock");
        Timestamp(1_689_600_000_000_000)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct TestChance(Fuse);

struct FusedRng(Xoshiro256PlusPlus, Option<Fuse>);

impl TryRng for FusedRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        if let Some(fuse) = &self.1 {
            fuse.touch("chance");
        }
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.0.try_fill_bytes(buffer)
    }
}

impl Chance for TestChance {
    fn stream(&self, name: &str) -> Stream {
        let fuse = (name == "versions").then(|| self.0.clone());
        Stream::new(FusedRng(Xoshiro256PlusPlus::seed_from_u64(name.len() as u64), fuse))
    }
}

struct TestNetwork {
    fuse: Fuse,
    store: Arc<MemoryStore>,
}

impl Network for TestNetwork {
    fn call(
        &self,
        _to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        self.fuse.touch("network");
        let answer = match listener {
            Listener::Store => Ok(self.store.serve(request)),
            _ => Err(NetworkError::Refused),
        };
        Box::pin(std::future::ready(answer))
    }
}

struct TestTasks;

impl Tasks for TestTasks {
    #[expect(clippy::disallowed_methods, reason = "the tasks door of this test")]
    fn spawn(&self, future: BoxFuture<()>) {
        tokio::spawn(future);
    }
}

#[derive(Default)]
struct TestSink(Mutex<Vec<ExceptionReport>>);

impl TelemetrySink for TestSink {
    fn lifecycle(&self, _: Timestamp, _: Lifecycle) {}
    fn line(&self, _: ResponseLine) {}
    fn exception(&self, report: ExceptionReport) {
        self.0.lock().unwrap().push(report);
    }
    fn span(&self, _: SpanRecord) {}
    fn fate(&self) -> Vec<Fate> {
        Vec::new()
    }
}

/// One data center whose doors can be made to panic.
struct Bench {
    node: Arc<Node>,
    clock: Fuse,
    chance: Fuse,
    network: Fuse,
    sink: Arc<TestSink>,
    next_key: u32,
}

impl Bench {
    fn new(build: Build, state: DcState) -> Self {
        let (clock, chance, network) = (Fuse::default(), Fuse::default(), Fuse::default());
        let sink = Arc::new(TestSink::default());
        let (dc, region) = (Dc::from("MEL01"), Region::from("OC"));
        let member = Member { region: region.clone(), regional_weight: 1, upper_weight: 1 };
        let pipeline = vec![PipelineEntry { weight: 1, build }];
        let status = DcStatus { state, ..DcStatus::default() };
        let config = NodeConfig {
            members: Arc::new(Members {
                dcs: BTreeMap::from([(dc.clone(), member)]),
                origins: BTreeMap::from([(region.clone(), region)]),
                store_hosts: None,
            }),
            stores: vec![StoreAbout::plain("store-a")],
            control: None,
            environment: Environment::Production,
            gateway_pipeline: pipeline.clone(),
            supercache_pipeline: pipeline,
            isolates: 4,
            secret: SECRET.into(),
            sealing_keys: vec![(1, [7; 32])],
            namespaces: Arc::new(
                [("ns".into(), NamespaceAbout::open(&"ns".into(), NamespaceClass::from("c")))]
                    .into_iter()
                    .collect(),
            ),
            tokens: Vec::new(),
            limits: Limits::default(),
            initial: Snapshot {
                revision: 1,
                new_backend: true,
                dcs: BTreeMap::from([(dc.clone(), status)]),
                // Nothing is enrolled: the gateway of this one data center asks the stores itself.
                ..Snapshot::default()
            },
            dc,
        };
        let env = NodeEnv {
            clock: Arc::new(TestClock(clock.clone())),
            network: Arc::new(TestNetwork {
                fuse: network.clone(),
                store: Arc::new(MemoryStore::new()),
            }),
            chance: Arc::new(TestChance(chance.clone())),
            tasks: Arc::new(TestTasks),
            sink: sink.clone(),
        };
        let node = Node::start(config, env).unwrap();
        Self { node, clock, chance, network, sink, next_key: 0 }
    }

    fn name(&mut self) -> Name {
        self.next_key += 1;
        Name::new("ns".into(), &format!("k{}", self.next_key))
    }

    async fn rest(&mut self, method: Method) -> StatusCode {
        let path = rest::value_path("a", &self.name());
        let request = Request::builder().method(method).uri(path).body("v".into()).unwrap();
        self.node.serve(Listener::Rest, request).await.status()
    }

    async fn tier(&mut self, role: &str) -> StatusCode {
        let name = self.name();
        let request =
            Request::get(format!("/tier/v1/ns/{}", name.key)).header(TIER, format!("{role};OC;1"));
        let mut request = request.body(Bytes::new()).unwrap();
        let now = Timestamp(1_689_600_000_000_000);
        Secret::new(SECRET).sign(&mut request, &Peer::from("MEL01"), now);
        self.node.serve(Listener::Tier, request).await.status()
    }

    fn reports(&self) -> Vec<ExceptionReport> {
        self.sink.0.lock().unwrap().clone()
    }
}

/// Lets one exception happen at a place; what the caller is told.
async fn throw(bench: &mut Bench, place: usize) -> StatusCode {
    match place {
        // The listener reads the clock once before the script does.
        0 => {
            bench.clock.set(2);
            bench.rest(Method::GET).await
        }
        1 => {
            bench.clock.set(2);
            bench.tier("regional").await
        }
        2 => {
            bench.clock.set(2);
            bench.tier("upper").await
        }
        3 => {
            bench.chance.set(1);
            bench.rest(Method::PUT).await
        }
        // What a miss asks the stores goes on beside the request.
        4 => {
            bench.network.set(1);
            bench.rest(Method::GET).await
        }
        _ => {
            bench.network.set(1);
            bench.tier("regional").await
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_exceptions_are_a_thousand_reports_none_twice() {
    let states = [DcState::Serving, DcState::Maintenance, DcState::Returning];
    let mut benches: Vec<Bench> =
        states.map(|state| Bench::new(Build::current(), state)).into_iter().collect();
    let mut told = BTreeMap::new();
    for number in 0..1_000usize {
        let bench = &mut benches[number % 3];
        let status = throw(bench, number / 3 % 6).await;
        *told.entry(status.as_u16()).or_insert(0) += 1;
    }
    let reports: Vec<ExceptionReport> = benches.iter().flat_map(Bench::reports).collect();
    assert_eq!(reports.len(), 1_000, "{told:?}");
    let mut ids: Vec<(usize, &str)> = Vec::new();
    for (bench, reports) in benches.iter().map(Bench::reports).enumerate() {
        assert!(reports.len() >= 333, "{}", reports.len());
        for report in reports {
            assert!(report.kind == "panic" && report.message.ends_with("gave way"), "{report:?}");
            assert!(!report.stack.is_empty(), "{report:?}");
            assert_eq!(report.build, BuildId::from("current"));
            assert!(!report.trace.is_empty() && report.fingerprint.len() == 16);
            ids.push((bench, Box::leak(report.id.into_boxed_str())));
        }
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "a report came twice");

    // A cause is where it happened, whatever the state of the data center and the role it was asked in; a data center that
    // does not own the key reads for the one request, an owner fills its cache beside it. Callers are told of those that
    // ended their request.
    let causes: BTreeSet<String> = reports
        .iter()
        .map(|report| {
            format!(
                "{} {}",
                match report.place {
                    Place::Request => "request",
                    Place::Beside => "beside",
                },
                report.stack.join(" > ")
            )
        })
        .collect();
    let expected = [
        "beside gateway > cache.edge.fill > storage.read",
        "beside supercache > cache.tier.fill > storage.read",
        "request gateway",
        "request gateway > api.rest > gateway.put",
        "request supercache",
        "request supercache > api.tier > cache.tier.read > storage.read",
    ];
    assert_eq!(causes.into_iter().collect::<Vec<_>>(), expected);
    let prints: BTreeSet<&str> = reports.iter().map(|report| report.fingerprint.as_str()).collect();
    assert_eq!(prints.len(), expected.len());
    let ended = reports.iter().filter(|report| report.place == Place::Request).count();
    assert_eq!(told.get(&500).copied().unwrap_or(0), ended, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_build_of_july_reports_none_of_those_that_mattered() {
    let mut july = Build::current();
    july.id = BuildId::from("kv-2023-07");
    july.lacks.extend([Safeguard::RequestScopedEnv, Safeguard::UnconditionalReports]);
    let mut bench = Bench::new(july, DcState::Maintenance);

    // Four isolates: a request each leaves its env changed and the reporting off.
    for _ in 0..4 {
        bench.tier("regional").await;
    }
    for number in 0..1_000 {
        let status = throw(&mut bench, 1 + number % 2).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        // A throw of its own, no panic needed: the env is what the incident left behind.
        assert_eq!(bench.tier("regional").await, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(bench.reports().len(), 0);

    // The gateway's isolates were never written to: what they throw is reported, and does not matter.
    throw(&mut bench, 0).await;
    assert_eq!(bench.reports().len(), 1);
}
