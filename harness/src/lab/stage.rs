//! The members of a lab that run in its process, and what they are started with.

use std::sync::Arc;

use kv_node::config::{DcStatus, Members, NamespaceAbout, Namespaces, Snapshot};
use kv_node::control::{self, Control, ControlConfig};
use kv_node::dependents::{self, Dependents, Origin, peer_of};
use kv_node::env::{Chance, Listener, NodeEnv};
use kv_node::ids::{Dc, Namespace, NamespaceClass, Peer};
use kv_node::safeguards::Environment;
use kv_node::telemetry::ship::{Shipper, ShipperEnv};

use super::LabError;
use super::doors::{LabClock, Recorder, Seeds, Sink, TaskSet};
use super::intake::Intake;
use super::monitor::{self, Monitor, MonitorConfig, Scraped};
use super::truth::Truth;
use super::wire::{self, Service, Wire};
use crate::spec::Spec;
use crate::spec::peers::{INTAKE_LOGS, INTAKE_REPORTS, MONITOR, PROBE_CLASS, intake_of};

/// The secret of every node in a lab.
pub(super) const SECRET: &[u8] = b"known to every lab";
/// The sealing key of every node in a lab.
pub(super) const SEALING_KEYS: [(u8, [u8; 32]); 1] = [(1, [0x5e; 32])];

/// What every member of a lab stands on.
pub(super) struct Stage {
    pub(super) spec: Spec,
    pub(super) seeds: Seeds,
    pub(super) clock: Arc<LabClock>,
    pub(super) wire: Arc<Wire>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) truth: Arc<Truth>,
    pub(super) customers: Arc<TaskSet>,
    pub(super) members: Arc<Members>,
    pub(super) namespaces: Arc<Namespaces>,
    pub(super) initial: Snapshot,
}

impl Stage {
    /// A stage with nothing on it yet.
    pub(super) fn new(spec: &Spec, seed: u64, clock: LabClock) -> Self {
        let seeds = Seeds::new(seed);
        let clock = Arc::new(clock);
        Self {
            members: Arc::new(spec.members()),
            wire: Wire::new(&spec.topology, clock.clone(), seeds.clone()),
            recorder: Arc::new(Recorder::new(spec.start)),
            truth: Truth::new(&spec.topology, &seeds),
            initial: Snapshot {
                revision: 1,
                new_backend: true,
                dcs: spec.topology.dcs.keys().map(|dc| (dc.clone(), DcStatus::default())).collect(),
                enrolled: enrolled(spec),
                ..Snapshot::default()
            },
            customers: Arc::default(),
            spec: spec.clone(),
            seeds,
            clock,
            namespaces: Arc::new(namespaces(spec)),
        }
    }

    /// Nothing panicked outside of every exception boundary.
    pub(super) fn unhurt(&self) -> Result<(), LabError> {
        match self.wire.panics() + self.customers.panics() {
            0 => Ok(()),
            panics => Err(LabError::Panicked(panics)),
        }
    }

    /// The doors of a member, with streams of chance of its own.
    pub(super) fn env(&self, peer: &Peer, streams: &str) -> NodeEnv {
        let network = self.wire.door_of(peer);
        let tasks = self.wire.tasks_of(peer);
        let seeds = self.seeds.below(streams);
        let doors = ShipperEnv {
            clock: self.clock.clone(),
            network: network.clone(),
            tasks: tasks.clone(),
        };
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

    pub(super) fn start_control(&self) {
        let peer = Peer::from(control::NAME);
        let classes = self.spec.topology.dcs.iter();
        let products = self.spec.topology.products.as_ref();
        let config = ControlConfig {
            members: self.members.clone(),
            secret: SECRET.into(),
            environment: Environment::Production,
            build: self.spec.build.clone(),
            builds: self.spec.released.clone(),
            classes: classes.map(|(dc, about)| (dc.clone(), about.class.clone())).collect(),
            login: products.and_then(|products| products.login.as_ref()).map(peer_of),
            initial: self.initial.clone(),
            probe_namespace: Some(monitor::probe_namespace()),
            alerts_token: None,
        };
        let control = Control::start(config, self.env(&peer, "node/control"));
        self.wire.serve(&peer, Service::Control(control));
    }

    pub(super) fn start_products(&self) {
        let Some(products) = &self.spec.topology.products else { return };
        let origin = Peer::from(wire::ORIGIN);
        for dc in &products.dcs {
            let peer = peer_of(dc);
            let env = self.env(&peer, &format!("products/{dc}"));
            let products = Dependents::start(dc, origin.clone(), env);
            self.wire.serve(&peer, Service::Products(products));
        }
        let env = self.env(&origin, "products/origin");
        self.wire.serve(&origin, Service::Origin(Origin::start(env)));
    }

    pub(super) fn start_intakes(&self) -> Vec<Arc<Intake>> {
        let start = |name: &str| {
            let limits = self.spec.topology.telemetry.clone();
            let intake = Arc::new(Intake::new(self.clock.clone(), limits));
            self.wire.serve(&Peer::from(name), Service::Intake(intake.clone()));
            intake
        };
        [INTAKE_LOGS, INTAKE_REPORTS].map(start).into()
    }

    pub(super) fn start_monitor(&self) -> Arc<Monitor> {
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
        let products = self.spec.topology.products.iter().flat_map(|products| {
            let place = |dc: &Dc| {
                let about = self.spec.topology.dcs.get(dc);
                about.map(|about| (dc.clone(), about.region.clone()))
            };
            let beside = |dc: &Dc| Scraped { place: place(dc), ..product(peer_of(dc)) };
            let beside: Vec<Scraped> = products.dcs.iter().map(beside).collect();
            beside.into_iter().chain([product(Peer::from(wire::ORIGIN))])
        });
        let others = [
            other(control::NAME, Listener::Control, "control"),
            other(INTAKE_LOGS, Listener::Intake, "intake"),
            other(INTAKE_REPORTS, Listener::Intake, "intake"),
        ];
        let config = MonitorConfig {
            scraped: nodes.chain(others).chain(products).collect(),
            rules: self.spec.rules.clone(),
            secret: SECRET.into(),
            members: self.members.clone(),
            initial: self.initial.clone(),
        };
        let peer = Peer::from(MONITOR);
        let monitor = Monitor::new(config, self.env(&peer, "monitor"));
        self.customers.run_arrivals(monitor.clone().watch());
        self.customers.run_arrivals(monitor.clone().probe());
        self.wire.serve(&peer, Service::Monitor(monitor.clone()));
        monitor
    }
}

fn enrolled(spec: &Spec) -> std::collections::BTreeSet<Namespace> {
    let of_customers = spec.topology.namespaces.iter().filter(|n| n.enrolled).map(|n| n.id.clone());
    let of_products = of_products(spec);
    of_customers.chain([monitor::probe_namespace()]).chain(of_products).collect()
}

/// The namespace of products, where there are any.
fn of_products(spec: &Spec) -> Option<Namespace> {
    spec.topology.products.as_ref().map(|_| Namespace::from(dependents::NAMESPACE))
}

/// A product as the monitor sees it.
fn product(peer: Peer) -> Scraped {
    Scraped { peer, listener: Listener::Product, job: "products", place: None }
}

fn namespaces(spec: &Spec) -> Namespaces {
    let probe = monitor::probe_namespace();
    let open = NamespaceAbout::open(&probe, NamespaceClass::from(PROBE_CLASS));
    let products = of_products(spec).map(|id| {
        let about = NamespaceAbout::open(&id, NamespaceClass::from("product"));
        (id, about)
    });
    let of_customers = spec.namespaces();
    of_customers
        .iter()
        .map(|(id, about)| (id.clone(), about.clone()))
        .chain([(probe, open)])
        .chain(products)
        .collect()
}
