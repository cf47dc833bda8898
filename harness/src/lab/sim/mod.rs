//! The simulated lab: every node in one paused runtime, an in-memory wire behind the network door.
//!
//! * [`doors`]: clock, chance, tasks and telemetry of simulated nodes.
//! * [`wire`]: links, latencies, faults; [`spell`]: when a fault acts; [`answers`]: what nodes answered.
//! * [`customers`]: traffic, and what it saw: the truth.
//! * [`noise`]: background errors.
//! * [`data`]: what lies in the stores when a replay begins.
//!
//! Same spec, same seed, same binary, same processor: identical bytes.

mod answers;
mod customers;
mod data;
mod doors;
mod noise;
mod spell;
mod truth;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kv_node::Node;
use kv_node::api::{admin, auth::Secret};
use kv_node::config::{
    DcStatus, Limits, Members, NamespaceAbout, Namespaces, NodeConfig, PipelineEntry, Snapshot,
    StoreAbout, StoreProtocol,
};
use kv_node::control::{self, Change, Control, ControlConfig};
use kv_node::env::{Chance, Listener, NodeEnv};
use kv_node::ids::{Dc, Namespace, NamespaceClass, Peer};
use kv_node::storage::S3Access;
use kv_node::telemetry::Lifecycle;
use kv_node::telemetry::ship::{Shipper, ShipperEnv};
use kv_store::s3::{ANY_REGION, Credentials};
use kv_store::{MemoryStore, S3Store};
use tokio::runtime::Runtime;

use self::customers::Customers;
use self::doors::{Recorder, Seeds, SimClock, Sink, TaskSet};
use self::truth::Truth;
use self::wire::{Service, Wire};
use super::intake::{self, Intake, Taken};
use super::monitor::{self, Monitor, MonitorConfig, Scraped};
use super::{ActionId, Lab, LabError, Progress};
use crate::recording::{Journal, MESSAGES, RecordingWriter};
use crate::spec::time::IncidentTime;
use crate::spec::{Action, Spec, StoresSpeak};

/// Requests that are under way at the end get so much longer to come to theirs than any customer waits.
const RUN_OUT: Duration = Duration::from_secs(5);
/// The secret of every simulated node.
const SECRET: &[u8] = b"simulated";
/// The sealing key of every simulated node.
const SEALING_KEYS: [(u8, [u8; 32]); 1] = [(1, [0x5e; 32])];
/// How often an operator whose request got no answer sends it again.
const OPERATOR_PAUSE: Duration = Duration::from_secs(1);

/// The bucket of every simulated store that speaks S3.
const BUCKET: &str = "relapse";

/// What every simulated node signs with towards them.
fn s3_access() -> S3Access {
    let host = "stores".to_owned();
    let (key, secret) = ("simulated".to_owned(), "simulated".to_owned());
    let credentials = Credentials { key, secret, region: ANY_REGION.to_owned() };
    S3Access { host, bucket: BUCKET.to_owned(), credentials }
}

/// A simulated lab.
pub struct Simulated {
    seed: u64,
    runtime: Option<Runtime>,
    world: Option<World>,
}

/// What exists once a lab has been started.
struct World {
    spec: Spec,
    seeds: Seeds,
    clock: Arc<SimClock>,
    wire: Arc<Wire>,
    recorder: Arc<Recorder>,
    intakes: Vec<Arc<Intake>>,
    monitor: Option<Arc<Monitor>>,
    truth: Arc<Truth>,
    customers: Arc<TaskSet>,
    members: Arc<Members>,
    namespaces: Arc<Namespaces>,
    stores: Vec<(Peer, Arc<MemoryStore>)>,
    initial: Snapshot,
    lives: BTreeMap<Dc, u32>,
    witnesses: Vec<Witness>,
}

/// How an action is known to have acted.
enum Witness {
    /// Nodes that took the revision which the control plane made of it.
    Revision(Arc<std::sync::Mutex<Option<u64>>>),
    /// What the wire counted.
    Fault(usize),
    /// It was done at once, or not at all.
    Done(u64),
}

impl Simulated {
    /// A lab that draws all chance from a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, runtime: None, world: None }
    }

    fn parts(&mut self) -> Result<(&Runtime, &mut World), LabError> {
        match (&self.runtime, &mut self.world) {
            (Some(runtime), Some(world)) => Ok((runtime, world)),
            _ => Err(LabError::NotStarted),
        }
    }
}

impl Lab for Simulated {
    fn start(&mut self, spec: &Spec) -> Result<(), LabError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(LabError::Runtime)?;
        let world = runtime.block_on(async { World::new(spec, self.seed) })?;
        self.runtime = Some(runtime);
        self.world = Some(world);
        Ok(())
    }

    fn advance(&mut self, until: IncidentTime) -> Result<(), LabError> {
        let (runtime, world) = self.parts()?;
        let clock = world.clock.clone();
        runtime.block_on(async move { clock.sleep_until(until).await });
        match world.wire.panics() + world.customers.panics() {
            0 => Ok(()),
            panics => Err(LabError::Panicked(panics)),
        }
    }

    fn apply(&mut self, action: &Action) -> Result<ActionId, LabError> {
        let (runtime, world) = self.parts()?;
        runtime.block_on(async { world.apply(action) })
    }

    fn progress(&self) -> Progress {
        let (Some(runtime), Some(world)) = (&self.runtime, &self.world) else {
            return Progress::default();
        };
        // Outside of the runtime the clock shows the machine's time.
        let _inside = runtime.enter();
        let (requests, failures) = world.truth.totals();
        Progress { at: world.clock.timestamp(), requests, failures }
    }

    fn finish(mut self: Box<Self>) -> Result<RecordingWriter, LabError> {
        let (runtime, world) = self.parts()?;
        let recording = runtime.block_on(world.finish())?;
        match world.wire.panics() + world.customers.panics() {
            0 => Ok(recording),
            panics => Err(LabError::Panicked(panics)),
        }
    }
}

impl World {
    fn new(spec: &Spec, seed: u64) -> Result<Self, LabError> {
        let seeds = Seeds::new(seed);
        let clock = Arc::new(SimClock::new(spec.start));
        let members = Arc::new(spec.members());
        let wire = Wire::new(&spec.topology, clock.clone(), seeds.clone());
        let recorder = Arc::new(Recorder::default());
        let truth = Truth::new(&spec.topology, &seeds);
        let initial = Snapshot {
            revision: 1,
            new_backend: true,
            dcs: spec.topology.dcs.keys().map(|dc| (dc.clone(), DcStatus::default())).collect(),
            enrolled: enrolled(spec),
        };
        let mut world = Self {
            intakes: Vec::new(),
            monitor: None,
            customers: Arc::default(),
            lives: BTreeMap::new(),
            witnesses: Vec::new(),
            spec: spec.clone(),
            seeds,
            clock,
            wire,
            recorder,
            truth,
            members,
            namespaces: Arc::new(namespaces(spec)),
            stores: spec
                .topology
                .stores
                .keys()
                .map(|peer| (peer.clone(), Arc::new(MemoryStore::new())))
                .collect(),
            initial,
        };
        world.recorder.journal(
            spec.start,
            Journal::Life(Lifecycle::Revised { snapshot: world.initial.clone() }),
        );
        world.start_stores();
        world.start_control();
        world.start_intakes();
        for dc in spec.topology.dcs.keys() {
            world.start_node(dc)?;
        }
        if spec.noise {
            noise::install(&world.wire, &spec.topology, &world.seeds, spec.start, spec.end);
        }
        Customers::start(&world);
        world.start_monitor();
        Ok(world)
    }

    fn start_stores(&self) {
        data::lay(&self.spec, &self.seeds, &SEALING_KEYS, &self.stores);
        for (peer, store) in &self.stores {
            let service = match self.spec.stores {
                StoresSpeak::Plain => Service::Store(store.clone()),
                StoresSpeak::S3 => {
                    let (clock, credentials) = (self.clock.clone(), s3_access().credentials);
                    let signer = (credentials.key, credentials.secret);
                    let now_s = move || clock.timestamp().unix_s();
                    Service::S3(S3Store::new(store.clone(), signer, BUCKET, now_s))
                }
            };
            self.wire.serve(peer, service);
        }
    }

    fn about_store(&self, peer: &Peer) -> StoreAbout {
        let protocol = match self.spec.stores {
            StoresSpeak::Plain => StoreProtocol::Plain,
            StoresSpeak::S3 => StoreProtocol::S3(s3_access()),
        };
        StoreAbout { peer: peer.clone(), protocol }
    }

    fn start_control(&self) {
        let peer = Peer::from("control");
        let config = ControlConfig {
            members: self.members.clone(),
            secret: SECRET.into(),
            build: self.spec.build.clone(),
            initial: self.initial.clone(),
            probe_namespace: Some(monitor::probe_namespace()),
        };
        let control = Control::start(config, self.env(&peer, "node/control"));
        self.wire.serve(&peer, Service::Control(control));
    }

    fn start_intakes(&mut self) {
        for name in [intake::LOGS, intake::REPORTS] {
            let limits = self.spec.topology.telemetry.clone();
            let intake = Arc::new(Intake::new(self.clock.clone(), limits));
            self.wire.serve(&Peer::from(name), Service::Intake(intake.clone()));
            self.intakes.push(intake);
        }
    }

    fn start_monitor(&mut self) {
        let dcs = self.spec.topology.dcs.iter();
        let nodes = dcs.map(|(dc, about)| Scraped {
            peer: dc.peer(),
            listener: Listener::Admin,
            job: "kv-node",
            place: Some((dc.clone(), about.region.clone())),
        });
        let other = |name: &str, listener, job| Scraped {
            peer: Peer::from(name),
            listener,
            job,
            place: None,
        };
        let others = [
            other(control::NAME, Listener::Control, "control"),
            other(intake::LOGS, Listener::Intake, "intake"),
            other(intake::REPORTS, Listener::Intake, "intake"),
        ];
        let config = MonitorConfig {
            scraped: nodes.chain(others).collect(),
            rules: self.spec.rules.clone(),
            secret: SECRET.into(),
            probed: self.spec.topology.dcs.keys().cloned().collect(),
        };
        let peer = Peer::from(monitor::NAME);
        let monitor = Monitor::new(config, self.env(&peer, "monitor"));
        self.customers.run_arrivals(monitor.clone().watch());
        self.customers.run_arrivals(monitor.clone().probe());
        self.monitor = Some(monitor);
    }

    fn start_node(&mut self, dc: &Dc) -> Result<(), LabError> {
        let life = self.lives.entry(dc.clone()).or_insert(0);
        *life += 1;
        let life = *life;
        let peer = dc.peer();
        let env = self.env(&peer, &format!("node/{dc}/{life}"));
        let pipeline = vec![PipelineEntry { weight: 1, build: self.spec.build_of(dc).clone() }];
        let nodes = &self.spec.topology.nodes;
        let config = NodeConfig {
            dc: dc.clone(),
            members: self.members.clone(),
            stores: self.spec.topology.stores.keys().map(|peer| self.about_store(peer)).collect(),
            // Whoever is there from the beginning knows the first configuration.
            control: Some(Peer::from("control")),
            gateway_pipeline: pipeline.clone(),
            supercache_pipeline: pipeline,
            isolates: nodes.isolates,
            secret: SECRET.into(),
            sealing_keys: SEALING_KEYS.to_vec(),
            namespaces: self.namespaces.clone(),
            tokens: Vec::new(),
            limits: Limits {
                cache_ttl_min_s: nodes.cache_ttl_min_s,
                one_write_per_key_and_second: nodes.one_write_per_key_and_second,
                edge_cache_bytes: nodes.cache_bytes,
                tier_cache_bytes: nodes.cache_bytes,
                ..Limits::default()
            },
            initial: self.initial.clone(),
        };
        let node = Node::start(config, env)?;
        self.wire.serve(&peer, Service::Node(node));
        Ok(())
    }

    fn env(&self, peer: &Peer, streams: &str) -> NodeEnv {
        let network = self.wire.door_of(peer);
        let tasks = self.wire.tasks_of(peer);
        let seeds = self.seeds.below(streams);
        let doors = ShipperEnv {
            clock: self.clock.clone(),
            network: network.clone(),
            tasks: tasks.clone(),
        };
        let intake_of = |signal| Peer::from(intake::peer_of(signal));
        NodeEnv {
            clock: self.clock.clone(),
            network,
            tasks,
            sink: Arc::new(Sink {
                recorder: self.recorder.clone(),
                shipper: Shipper::new(peer.clone(), doors, seeds.stream("ship"), intake_of),
            }),
            chance: Arc::new(seeds),
        }
    }

    fn apply(&mut self, action: &Action) -> Result<ActionId, LabError> {
        let id = self.witnesses.len() as u64;
        self.recorder.journal(self.clock.timestamp(), Journal::Action { id, text: action.text() });
        let witness = match action {
            Action::Maintenance { dc } => self.operate(Change::Maintenance { dc: dc.clone() }),
            Action::Return { dc } => self.operate(Change::Return { dc: dc.clone() }),
            Action::NewBackendIn { dc, on } => {
                self.operate(Change::NewBackendIn { dc: dc.clone(), on: *on })
            }
            Action::NewBackend { on } => self.operate(Change::NewBackend { on: *on }),
            Action::Enroll { namespace, on } => {
                self.operate(Change::Enroll { namespace: namespace.clone(), on: *on })
            }
            Action::Crash { dc } => {
                let stopped = self.wire.crash(&dc.peer());
                self.recorder.withdraw(dc);
                Witness::Done(u64::from(stopped))
            }
            Action::Start { dc } => {
                self.start_node(dc)?;
                Witness::Done(1)
            }
            Action::Fault { fault, for_s } => {
                let until = self.clock.timestamp().after(Duration::from_secs(*for_s));
                Witness::Fault(self.wire.install(fault.clone(), until, &format!("fault/{id}")))
            }
        };
        self.witnesses.push(witness);
        Ok(ActionId(id))
    }

    /// An operator asks the control plane for a change, until it answers.
    fn operate(&self, change: Change) -> Witness {
        let revision = Arc::new(std::sync::Mutex::new(None));
        let told = revision.clone();
        let env = self.env(&Peer::from("operator"), "operator");
        let tasks = env.tasks.clone();
        tasks.spawn(Box::pin(async move {
            let secret = Secret::new(SECRET);
            loop {
                let body = serde_json::to_vec(&change).unwrap_or_default();
                let Ok(request) = Request::post(control::CHANGE).body(Bytes::from(body)) else {
                    return;
                };
                let control = Peer::from("control");
                let answer = admin::call(&env, &secret, &control, Listener::Control, request).await;
                if let Some(answer) = answer.filter(|answer| answer.status().is_success()) {
                    #[derive(serde::Deserialize)]
                    struct Made {
                        revision: u64,
                    }
                    let made = serde_json::from_slice::<Made>(answer.body()).ok();
                    *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                        made.map(|made| made.revision);
                    return;
                }
                env.clock.sleep(OPERATOR_PAUSE).await;
            }
        }));
        Witness::Revision(revision)
    }

    async fn finish(&mut self) -> Result<RecordingWriter, LabError> {
        self.customers.stop_arrivals();
        if let Some(monitor) = &self.monitor {
            monitor.stop_probing();
        }
        let patience = Duration::from_secs_f64(self.spec.topology.traffic.timeout_s);
        tokio::time::sleep(patience + RUN_OUT).await;
        self.wire.quiet();
        // Two rounds more, since one can be missed: what nodes counted in the end is compared with what they answered.
        if let Some(monitor) = &self.monitor {
            monitor.round().await;
            monitor.round().await;
        }
        let now = self.clock.timestamp();
        for (id, witness) in (0u64..).zip(&self.witnesses) {
            let (text, acted) = match witness {
                Witness::Revision(revision) => {
                    let revision =
                        *revision.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let nodes = revision.map_or(0, |revision| self.recorder.nodes_with(revision));
                    ("nodes that took it".to_owned(), nodes)
                }
                Witness::Fault(fault) => (MESSAGES.to_owned(), self.wire.acted(*fault)),
                Witness::Done(times) => ("nodes".to_owned(), *times),
            };
            self.recorder.journal(now, Journal::Witness { id, text, acted });
        }
        let (truth, offered, requests) = self.truth.take();
        let monitored = self.monitor.as_ref().map(|monitor| monitor.take_all()).unwrap_or_default();
        let mut taken = Taken::default();
        for intake in &self.intakes {
            let more = intake.taken();
            taken.lines.extend(more.lines);
            taken.exceptions.extend(more.exceptions);
            taken.spans.extend(more.spans);
        }
        for failure in monitored.failures {
            self.recorder.journal(now, Journal::RuleFailed { text: failure });
        }
        self.recorder.journal(now, Journal::End);
        let operations = self.truth.take_operations();
        Ok(RecordingWriter {
            copies: data::copies(
                (&operations, self.spec.stores),
                &SEALING_KEYS,
                &self.seeds,
                &self.stores,
            ),
            operations,
            truth,
            offered,
            requests,
            wire: self.wire.take_counts(),
            journal: self.recorder.take(),
            answers: self.wire.take_answers(),
            metrics: monitored.scrapes,
            lines: taken.lines,
            exceptions: taken.exceptions,
            spans: taken.spans,
            alerts: monitored.alerts,
        })
    }
}

fn enrolled(spec: &Spec) -> std::collections::BTreeSet<Namespace> {
    let of_customers = spec.topology.namespaces.iter().filter(|n| n.enrolled).map(|n| n.id.clone());
    of_customers.chain([monitor::probe_namespace()]).collect()
}

fn namespaces(spec: &Spec) -> Namespaces {
    let of_customers = spec.topology.namespaces.iter().map(|n| (n.id.clone(), n.class.clone()));
    of_customers
        .chain([(monitor::probe_namespace(), NamespaceClass::from("probe"))])
        .map(|(id, class)| (id.clone(), NamespaceAbout::open(&id, class)))
        .collect()
}
