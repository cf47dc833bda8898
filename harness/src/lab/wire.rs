//! The wire between all members of a topology: latency, jitter, loss, reset, partition, header and status faults, each with a
//! witness. What answers behind it is in this process or behind a socket; it makes no difference to a fault.
//!
//! * [`spell`]: when a fault acts; [`arrivals`]: what arrived where; [`answers`]: what nodes answered.

mod answers;
mod arrivals;
#[cfg(test)]
mod same;
mod serve;
mod spell;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use indexmap::IndexMap;
use kv_node::Node;
use kv_node::api::admin::METRICS;
use kv_node::api::control_headers::HOST;
use kv_node::control::Control;
use kv_node::dependents::{Dependents, Origin, peer_of};
use kv_node::env::{BoxFuture, Chance, Listener, Network, NetworkError, Stream, Tasks};
use kv_node::ids::{Dc, Peer, Region};
use kv_store::{MemoryStore, S3Store};
use rustc_hash::FxBuildHasher;

use self::answers::Answer;
use self::arrivals::Arrived;
pub(crate) use self::spell::Spread;
pub(super) use self::spell::{Bursts, Spell};
use super::containers::Remote;
use super::doors::{LabClock, Seeds, TaskSet, lock};
use crate::lab::intake::Intake;
use crate::lab::monitor::Monitor;
use crate::spec::fault::{Fault, FaultKind, Who};
use crate::spec::peers::CONTROL_SIDE;
use crate::spec::time::IncidentTime;
use crate::spec::topology::{DcAbout, Topology};

/// The first retransmission of a lost packet comes after this, each further one after twice the time before.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// After so many a connection is given up.
const RETRANSMISSIONS_MAX: u32 = 5;

/// Under which name the origin is called that stands behind a product.
pub(super) const ORIGIN: &str = "origin";

/// What answers at a host.
#[derive(Clone)]
pub(super) enum Service {
    Node(Arc<Node>),
    Store(Arc<MemoryStore>),
    S3(S3Store),
    Control(Arc<Control>),
    Products(Arc<Dependents>),
    Origin(Arc<Origin>),
    Intake(Arc<Intake>),
    /// What the monitor tells of itself.
    Monitor(Arc<Monitor>),
    /// In a container.
    Remote(Arc<Remote>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostKind {
    Dc,
    Store,
    Control,
    Clients,
    Products,
}

/// Someone on the wire.
pub(super) struct Host {
    pub(super) kind: HostKind,
    region: usize,
    service: RwLock<Option<Service>>,
    tasks: Arc<TaskSet>,
}

/// All hosts and the links between them.
pub(super) struct Wire {
    hosts: IndexMap<Peer, Host, FxBuildHasher>,
    pub(super) names: Vec<Arc<str>>,
    regions: Vec<Region>,
    /// One way in microseconds, from region to region, and last from customers.
    one_way_us: Vec<Vec<f64>>,
    client_us: f64,
    jitter: f64,
    clock: Arc<LabClock>,
    seeds: Seeds,
    links: Mutex<IndexMap<(usize, usize), Stream, FxBuildHasher>>,
    faults: RwLock<Vec<Arc<Active>>>,
    counts: Mutex<Arrived>,
    pub(super) answers: Mutex<IndexMap<Answer, u64, FxBuildHasher>>,
    quiet: AtomicBool,
}

struct Active {
    fault: Fault,
    spell: Spell,
    from: Vec<bool>,
    to: Vec<bool>,
    draws: Stream,
    acted: AtomicU64,
}

/// What becomes of a request on its way.
enum Fate {
    Delivered(Duration),
    Answered(StatusCode, Duration),
    Reset(Duration),
    Lost,
}

impl Wire {
    pub(super) fn new(topology: &Topology, clock: Arc<LabClock>, seeds: Seeds) -> Arc<Self> {
        let regions: Vec<Region> = topology.regions.keys().cloned().collect();
        let place = |region: &Region| regions.iter().position(|known| known == region).unwrap_or(0);
        let host = |kind, region: &Region| Host {
            kind,
            region: place(region),
            service: RwLock::new(None),
            tasks: Arc::default(),
        };
        let dcs =
            topology.dcs.iter().map(|(dc, about)| (dc.peer(), host(HostKind::Dc, &about.region)));
        let stores = topology
            .stores
            .iter()
            .map(|(peer, region)| (peer.clone(), host(HostKind::Store, region)));
        let control =
            CONTROL_SIDE.map(|name| (Peer::from(name), host(HostKind::Control, &topology.control)));
        let clients =
            regions.iter().map(|region| (clients_of(region), host(HostKind::Clients, region)));
        let one_way_us = regions
            .iter()
            .map(|a| regions.iter().map(|b| topology.one_way_ms(a, b) * 1_000.0).collect())
            .collect();
        let products = topology.products.iter().flat_map(|products| {
            let dcs = products.dcs.iter().filter_map(|dc| Some((dc, topology.dcs.get(dc)?)));
            let beside = |(dc, about): (&Dc, &DcAbout)| {
                (peer_of(dc), host(HostKind::Products, &about.region))
            };
            let origin = (Peer::from(ORIGIN), host(HostKind::Products, &products.origin));
            dcs.map(beside).chain([origin]).collect::<Vec<_>>()
        });
        let hosts: IndexMap<Peer, Host, FxBuildHasher> =
            dcs.chain(stores).chain(control).chain(clients).chain(products).collect();
        Arc::new(Self {
            names: hosts.keys().map(|peer| peer.as_str().into()).collect(),
            hosts,
            one_way_us,
            client_us: topology.links.client_ms * 1_000.0,
            jitter: topology.links.jitter,
            regions,
            clock,
            seeds,
            links: Mutex::default(),
            faults: RwLock::default(),
            counts: Mutex::default(),
            answers: Mutex::default(),
            quiet: false.into(),
        })
    }

    /// From now on nothing departs but what telemetry needs: what nodes count comes to rest.
    pub(super) fn quiet(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    /// Lets a service answer at a host.
    pub(super) fn serve(&self, peer: &Peer, service: Service) {
        if let Some(host) = self.hosts.get(peer) {
            *host.service.write().unwrap_or_else(PoisonError::into_inner) = Some(service);
        }
    }

    /// Stops whatever runs at a host, at once; false where nothing did.
    pub(super) fn crash(&self, peer: &Peer) -> bool {
        let Some(host) = self.hosts.get(peer) else { return false };
        let service = host.service.write().unwrap_or_else(PoisonError::into_inner).take();
        host.tasks.pause(false);
        host.tasks.abort();
        service.is_some()
    }

    /// Lets whatever runs at a host stand still, or go on; false where nothing does.
    pub(super) fn pause(&self, peer: &Peer, on: bool) -> bool {
        let Some(host) = self.hosts.get(peer) else { return false };
        host.tasks.pause(on);
        host.service.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The network as one host sees it.
    pub(super) fn door_of(self: &Arc<Self>, peer: &Peer) -> Arc<dyn Network> {
        Arc::new(Door { wire: self.clone(), from: self.hosts.get_index_of(peer).unwrap_or(0) })
    }

    pub(super) fn tasks_of(&self, peer: &Peer) -> Arc<dyn Tasks> {
        self.hosts.get(peer).map_or_else(Arc::default, |host| host.tasks.clone())
    }

    pub(super) fn panics(&self) -> u64 {
        self.hosts.values().map(|host| host.tasks.panics()).sum()
    }

    /// Installs a fault; its number.
    pub(super) fn install(&self, fault: Fault, until: IncidentTime, stream: &str) -> usize {
        let spell = match fault.bursts_ms {
            None => Spell::Until(until),
            Some(ms) => {
                let draws = self.seeds.stream(&format!("{stream}/bursts"));
                let (length, now) = (Duration::from_millis(ms), self.clock.timestamp());
                Spell::Spread(Mutex::new(Spread::new(length, fault.probability, draws, now)), until)
            }
        };
        self.install_for(fault, spell, stream)
    }

    pub(super) fn install_for(&self, fault: Fault, spell: Spell, stream: &str) -> usize {
        let ends =
            |who: &Who| self.hosts.iter().map(|(peer, host)| self.is(who, peer, host)).collect();
        let active = Active {
            from: ends(&fault.from),
            to: ends(&fault.to),
            draws: self.seeds.stream(stream),
            acted: AtomicU64::new(0),
            fault,
            spell,
        };
        let mut faults = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        faults.push(Arc::new(active));
        faults.len() - 1
    }

    /// How often a fault acted.
    pub(super) fn acted(&self, fault: usize) -> u64 {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.get(fault).map_or(0, |active| active.acted.load(Ordering::Relaxed))
    }

    fn is(&self, who: &Who, peer: &Peer, host: &Host) -> bool {
        match host.kind {
            HostKind::Dc => who.is(peer, &self.regions[host.region]),
            HostKind::Store => who.is_store(peer, &self.regions[host.region]),
            HostKind::Clients => *who == Who::Clients || who.is_apart(peer),
            HostKind::Control | HostKind::Products => who.is_apart(peer),
        }
    }

    /// How long a message takes, before any fault.
    fn latency(&self, from: usize, to: usize) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        let clients = a.kind == HostKind::Clients || b.kind == HostKind::Clients;
        let base_us = if clients { self.client_us } else { self.one_way_us[a.region][b.region] };
        let mut links = lock(&self.links);
        let draws = links.entry((from, to)).or_insert_with(|| {
            let name = |ix: usize| self.hosts.get_index(ix).map_or("", |(peer, _)| peer.as_str());
            self.seeds.stream(&format!("link/{}/{}", name(from), name(to)))
        });
        micros(base_us * (1.0 + self.jitter * draws.unit()))
    }

    /// Sends a request on its way.
    fn depart(
        &self,
        from: usize,
        to: usize,
        listener: Listener,
        request: &mut Request<Bytes>,
    ) -> Fate {
        if self.quiet.load(Ordering::Relaxed)
            && !matches!(listener, Listener::Admin | Listener::Intake | Listener::Control)
            && *request.uri() != *METRICS
        {
            return Fate::Lost;
        }
        let mut delay = self.latency(from, to);
        let now = self.clock.timestamp();
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        for active in faults.iter() {
            let cut_back =
                active.fault.kind == FaultKind::Partition && active.from[to] && active.to[from];
            if !(active.from[from] && active.to[to] || cut_back) || !active.acts(listener, now) {
                continue;
            }
            let drawn_ms = |ms: u64| Duration::from_millis(ms);
            let mut acted = true;
            match &active.fault.kind {
                FaultKind::Latency { ms } => delay += drawn_ms(*ms),
                FaultKind::Jitter { ms } => delay += active.draws.jitter(drawn_ms(*ms)),
                FaultKind::Loss => delay += RETRANSMISSION,
                FaultKind::StripHeader { name } => {
                    acted = HeaderName::try_from(name.as_str())
                        .is_ok_and(|name| request.headers_mut().remove(name).is_some());
                }
                FaultKind::Reset | FaultKind::Partition | FaultKind::Status { .. } => {}
            }
            if acted {
                active.acted.fetch_add(1, Ordering::Relaxed);
            }
            match &active.fault.kind {
                FaultKind::Loss => match active.retransmitted() {
                    Some(more) => delay += more,
                    None => return Fate::Lost,
                },
                FaultKind::Reset => return Fate::Reset(delay),
                FaultKind::Partition => return Fate::Lost,
                FaultKind::Status { status } => {
                    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                    return Fate::Answered(status, delay);
                }
                _ => {}
            }
        }
        Fate::Delivered(delay)
    }

    /// Sends an answer back; `None`: it never arrives.
    fn back(&self, from: usize, to: usize, listener: Listener) -> Option<Duration> {
        let delay = self.latency(from, to);
        let now = self.clock.timestamp();
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        // Where a partition takes only a share of the requests, that was drawn when they left.
        let whole =
            |active: &&Arc<Active>| active.fault.kind == FaultKind::Partition && active.whole();
        for active in faults.iter().filter(whole) {
            let between = active.from[from] && active.to[to] || active.from[to] && active.to[from];
            if between && active.acts(listener, now) {
                active.acted.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        Some(delay)
    }

    async fn carry(
        self: Arc<Self>,
        from: usize,
        to: usize,
        listener: Listener,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, NetworkError> {
        let controlled = request.headers().contains_key(HOST);
        let delay = match self.depart(from, to, listener, &mut request) {
            Fate::Delivered(delay) => delay,
            Fate::Answered(status, delay) => {
                self.clock.pause(delay * 2).await;
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = status;
                return Ok(response);
            }
            Fate::Reset(delay) => {
                self.clock.pause(delay * 2).await;
                return Err(NetworkError::Reset);
            }
            Fate::Lost => return std::future::pending().await,
        };
        self.clock.pause(delay).await;
        let host = &self.hosts[to];
        let service = host.service.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(service) = service else {
            self.clock.pause(delay).await;
            return Err(NetworkError::Refused);
        };
        self.count(from, to, listener, controlled);
        host.tasks.pass().await;
        let response = match self.answer((from, to), listener, service, request).await {
            Ok(response) => response,
            Err(error) => {
                if error == NetworkError::Refused {
                    self.clock.pause(delay).await;
                }
                return Err(error);
            }
        };
        match self.back(to, from, listener) {
            Some(delay) => self.clock.pause(delay).await,
            None => return std::future::pending().await,
        }
        Ok(response)
    }
}

impl Active {
    /// Whether it acts on every request while it acts.
    fn whole(&self) -> bool {
        self.fault.probability >= 1.0 || self.fault.bursts_ms.is_some()
    }

    fn acts(&self, listener: Listener, now: IncidentTime) -> bool {
        self.fault.listener.is_none_or(|only| only == listener)
            && self.spell.covers(now)
            && (self.whole() || self.draws.unit() < self.fault.probability)
    }

    /// What further losses of the same message add; `None` where the connection is given up.
    fn retransmitted(&self) -> Option<Duration> {
        let mut more = Duration::ZERO;
        let mut pause = RETRANSMISSION;
        for _ in 1..RETRANSMISSIONS_MAX {
            if self.draws.unit() >= self.fault.probability {
                return Some(more);
            }
            pause *= 2;
            more += pause;
        }
        None
    }
}

/// The name of a region's customers on the wire.
pub(super) fn clients_of(region: &Region) -> Peer {
    Peer::from(format!("clients/{region}"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a latency, not negative"
)]
fn micros(us: f64) -> Duration {
    Duration::from_micros(us as u64)
}

struct Door {
    wire: Arc<Wire>,
    from: usize,
}

impl Network for Door {
    fn call(
        &self,
        to: &Peer,
        listener: Listener,
        request: Request<Bytes>,
    ) -> BoxFuture<Result<Response<Bytes>, NetworkError>> {
        match self.wire.hosts.get_index_of(to) {
            Some(to) => Box::pin(self.wire.clone().carry(self.from, to, listener, request)),
            None => Box::pin(std::future::ready(Err(NetworkError::Refused))),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}
