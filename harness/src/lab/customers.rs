//! Customers: open-loop traffic from every region, and the clients that send it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use kv_node::api::rest;
use kv_node::env::{Chance, Listener, Network, Stream};
use kv_node::ids::{Account, Dc, Name, Peer, Region};

use super::doors::{LabClock, Recorder, Seeds, TaskSet};
use super::stage::Stage;
use super::truth::{Operation, Sent, Truth};
use super::wire::{Bursts, clients_of};
use crate::recording::{CacheStatus, FIRST_VALUE, NO_VALUE, Outcome};
use crate::spec::time::{self, IncidentTime};
use crate::spec::topology::{NamespaceAbout, Topology};

/// One region's customers.
pub(super) struct Customers {
    region: Region,
    topology: Arc<Topology>,
    /// Requests a second, as the mean of a day.
    mean_per_s: f64,
    /// That times so much, from a moment on.
    factors: Vec<(IncidentTime, f64)>,
    /// Its share of what everybody sends.
    share: f64,
    /// Requests a second of the region's bot while it is there: bots go where customers are.
    bot_per_s: f64,
    /// Each with its place in the topology.
    dcs: Vec<(Dc, Peer, u16)>,
    dc_weights: Vec<f64>,
    namespaces: Vec<Arc<Keyspace>>,
    namespace_weights: Vec<f64>,
    streams: Streams,
    clock: Arc<LabClock>,
    network: Arc<dyn Network>,
    recorder: Arc<Recorder>,
    truth: Arc<Truth>,
    tasks: Arc<TaskSet>,
    noise: bool,
}

struct Streams {
    arrivals: Stream,
    places: Stream,
    keys: Stream,
    aborts: Stream,
    bot: Stream,
}

/// A namespace as its readers see it.
struct Keyspace {
    about: NamespaceAbout,
    /// Its place in the topology.
    place: u16,
    /// For each key, the share of requests for it and all before it.
    cumulative: Vec<f64>,
    keys: Vec<Arc<str>>,
    reads: Vec<Uri>,
    writes: Vec<Uri>,
    list: Uri,
}

impl Keyspace {
    fn new(place: u16, about: &NamespaceAbout) -> Self {
        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=about.keys)
            .map(|rank| {
                sum += libm::pow(f64::from(rank), -about.zipf);
                sum
            })
            .collect();
        let keys: Vec<Arc<str>> = (0..about.keys).map(|at| key(at).into()).collect();
        let path = |key: &Arc<str>| value_path(about, key);
        let uri = |text: String| text.parse().unwrap_or_default();
        let more = if about.binding { '&' } else { '?' };
        Self {
            place,
            cumulative: cumulative.into_iter().map(|c| c / sum).collect(),
            reads: keys
                .iter()
                .map(|key| uri(format!("{}{more}cache_ttl={}", path(key), about.cache_ttl_s)))
                .collect(),
            writes: keys.iter().map(|key| uri(path(key))).collect(),
            list: uri(list_path(about)),
            keys,
            about: about.clone(),
        }
    }

    fn draw(&self, draws: &Stream) -> usize {
        let drawn = draws.unit();
        self.cumulative.partition_point(|c| *c <= drawn).min(self.keys.len() - 1)
    }
}

/// Where the first keys of a namespace are listed.
fn list_path(about: &NamespaceAbout) -> String {
    if about.binding {
        return "/?key_count_limit=10".to_owned();
    }
    let account = about.account.as_ref().map_or("a", Account::as_str);
    format!("/client/v4/accounts/{account}/storage/kv/namespaces/{}/keys?limit=10", about.id)
}

/// Where a key is, for the account whose namespace it is.
fn value_path(about: &NamespaceAbout, key: &str) -> String {
    if about.binding {
        return format!("/{key}?urlencoded=true");
    }
    let account = about.account.as_ref().map_or("a", Account::as_str);
    rest::value_path(account, &Name::new(about.id.clone(), key))
}

/// The name of a namespace's k-th key.
pub(super) fn key(at: u32) -> String {
    format!("k{at:06}")
}

struct Planned {
    dc: usize,
    request: Request<Bytes>,
    sent: Sent,
}

impl Customers {
    /// Lets the customers of every region begin.
    pub(super) fn start(stage: &Stage) -> Vec<Arc<Self>> {
        let topology = Arc::new(stage.spec.topology.clone());
        let keyspaces: Vec<Arc<Keyspace>> = (0..)
            .zip(&topology.namespaces)
            .map(|(at, about)| Arc::new(Keyspace::new(at, about)))
            .collect();
        let usual = topology.traffic.requests_per_s;
        let factors: Vec<(IncidentTime, f64)> =
            stage.spec.rates.iter().map(|rate| (rate.from, rate.requests_per_s / usual)).collect();
        let mut started = Vec::new();
        let shares: f64 = topology.regions.values().map(|region| region.share).sum();
        for (region, about) in &topology.regions {
            let here =
                |k: &&Arc<Keyspace>| k.about.regions.is_empty() || k.about.regions.contains(region);
            let namespaces: Vec<Arc<Keyspace>> = keyspaces.iter().filter(here).cloned().collect();
            let dcs: Vec<_> =
                (0..).zip(&topology.dcs).filter(|(_, (_, dc))| dc.region == *region).collect();
            let peer = clients_of(region);
            let seeds: Seeds = stage.seeds.below(peer.as_str());
            let customers = Arc::new(Self {
                region: region.clone(),
                mean_per_s: topology.traffic.requests_per_s * about.share / shares,
                factors: factors.clone(),
                share: about.share / shares,
                bot_per_s: topology.noise.bot_requests_per_s * about.share / shares,
                dc_weights: dcs.iter().map(|(_, (_, dc))| dc.clients).collect(),
                dcs: dcs.iter().map(|(at, (dc, _))| ((*dc).clone(), dc.peer(), *at)).collect(),
                namespace_weights: namespaces.iter().map(|k| k.about.share).collect(),
                namespaces,
                streams: Streams {
                    arrivals: seeds.stream("arrivals"),
                    places: seeds.stream("places"),
                    keys: seeds.stream("keys"),
                    aborts: seeds.stream("aborts"),
                    bot: seeds.stream("bot"),
                },
                clock: stage.clock.clone(),
                network: stage.wire.door_of(&peer),
                recorder: stage.recorder.clone(),
                truth: stage.truth.clone(),
                tasks: stage.customers.clone(),
                topology: topology.clone(),
                noise: stage.spec.noise,
            });
            let arrivals = customers.clone();
            stage.customers.run_arrivals(async move { arrivals.arrive().await });
            started.push(customers.clone());
            if stage.spec.noise {
                let noise = &topology.noise;
                let mut bursts = Bursts::new(noise, seeds.stream("bot/bursts"), stage.spec.start);
                stage.customers.run_arrivals(async move {
                    let (per_s, draws) = (customers.bot_per_s, &customers.streams.bot);
                    let comes = |now| Some(bursts.covers(now));
                    customers.clone().bot((per_s, draws), comes, &AtomicU64::new(0)).await;
                });
            }
        }
        started
    }

    /// A stream of chance of this region's own.
    pub(super) fn draws(&self, seeds: &Seeds, name: &str) -> Stream {
        seeds.below(clients_of(&self.region).as_str()).stream(name)
    }

    /// Lets a bot come that sends this region's share of so many requests a second for a while; what it sends is counted.
    pub(super) fn swarm(
        self: &Arc<Self>,
        (per_s, draws): (f64, Stream),
        until: IncidentTime,
        sent: &Arc<AtomicU64>,
    ) {
        let (this, sent, per_s) = (self.clone(), sent.clone(), per_s * self.share);
        self.tasks.run_arrivals(async move {
            this.bot((per_s, &draws), |now| (now < until).then_some(true), &sent).await;
        });
    }

    /// Sends requests at the region's rate for as long as the run lasts, whatever becomes of them.
    async fn arrive(self: Arc<Self>) {
        let mut next = self.clock.timestamp();
        loop {
            let level = self.topology.level(&self.region, time::second_of_day(next));
            let factor = self.factors.iter().rev().find(|(from, _)| *from <= next);
            let factor = factor.map_or(1.0, |(_, factor)| *factor);
            let rate = (self.mean_per_s * factor * level).max(1e-6);
            let gap = -libm::log(1.0 - self.streams.arrivals.unit()) / rate;
            next = next.after(Duration::from_secs_f64(gap));
            self.clock.sleep_until(next).await;
            if let Some(planned) = self.plan() {
                self.send(planned);
            }
        }
    }

    /// A bot reads what is not there and writes one key again and again, whenever `comes` says so, until that says nothing.
    async fn bot(
        self: Arc<Self>,
        (per_s, draws): (f64, &Stream),
        mut comes: impl FnMut(IncidentTime) -> Option<bool>,
        sent: &AtomicU64,
    ) {
        let pause = Duration::from_secs_f64(1.0 / per_s.max(0.01));
        let mut number = 0u32;
        loop {
            let next = self.clock.timestamp().after(pause);
            self.clock.sleep_until(next).await;
            match comes(self.clock.timestamp()) {
                None => return,
                Some(false) => continue,
                Some(true) => {}
            }
            number += 1;
            let keyspace = &self.namespaces[weighted(draws, &self.namespace_weights)];
            let (method, key): (_, Arc<str>) = if number.is_multiple_of(4) {
                (Method::PUT, "bot".into())
            } else {
                (Method::GET, format!("absent-{}", draws.below(1 << 20)).into())
            };
            let uri = value_path(&keyspace.about, &key).parse().unwrap_or_default();
            let Some(dc) = self.place(draws) else { continue };
            let value = if method == Method::PUT { self.truth.next_value() } else { NO_VALUE };
            let about = Sent { value, ..self.sent(dc, keyspace, operation(&method), key) };
            let request = request(method, uri, body(value, 0));
            self.send(Planned { dc, request, sent: about });
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn plan(&self) -> Option<Planned> {
        let streams = &self.streams;
        let dc = self.place(&streams.places)?;
        let keyspace = &self.namespaces[weighted(&streams.places, &self.namespace_weights)];
        let drawn = streams.places.unit();
        let key = keyspace.draw(&streams.keys);
        let about = &keyspace.about;
        let mut value = NO_VALUE;
        let request = if drawn < about.puts {
            value = self.truth.next_value();
            request(Method::PUT, keyspace.writes[key].clone(), body(value, about.value_bytes))
        } else if drawn < about.puts + about.deletes {
            return Some(self.plan_delete(dc, keyspace));
        } else if drawn < about.puts + about.deletes + about.lists {
            let sent = self.sent(dc, keyspace, Operation::List, "".into());
            let request = request(Method::GET, keyspace.list.clone(), Bytes::new());
            return Some(Planned { dc, request, sent });
        } else {
            request(Method::GET, keyspace.reads[key].clone(), Bytes::new())
        };
        let operation = operation(request.method());
        let key = keyspace.keys[key].clone();
        let sent = Sent { value, ..self.sent(dc, keyspace, operation, key) };
        Some(Planned { dc, request, sent })
    }

    /// Customers delete what nobody reads any more: keys beside those that are read.
    fn plan_delete(&self, dc: usize, keyspace: &Keyspace) -> Planned {
        let old = u64::from(keyspace.about.keys)
            + self.streams.keys.below(u64::from(keyspace.about.keys));
        let key: Arc<str> = key(u32::try_from(old).unwrap_or(u32::MAX)).into();
        let uri = value_path(&keyspace.about, &key).parse().unwrap_or_default();
        let sent = self.sent(dc, keyspace, Operation::Delete, key);
        Planned { dc, request: request(Method::DELETE, uri, Bytes::new()), sent }
    }

    fn sent(&self, dc: usize, keyspace: &Keyspace, operation: Operation, key: Arc<str>) -> Sent {
        Sent {
            at: self.clock.timestamp(),
            dc: self.dcs[dc].2,
            namespace: keyspace.place,
            operation,
            key,
            value: NO_VALUE,
        }
    }

    /// The data center to which the network brings a customer: one that is announced. None where the region has none.
    fn place(&self, draws: &Stream) -> Option<usize> {
        let drawn = weighted(draws, &self.dc_weights);
        if self.recorder.announced(&self.dcs[drawn].0) {
            return Some(drawn);
        }
        let open: Vec<f64> = self
            .dcs
            .iter()
            .zip(&self.dc_weights)
            .map(|((dc, _, _), weight)| if self.recorder.announced(dc) { *weight } else { 0.0 })
            .collect();
        (open.iter().sum::<f64>() > 0.0).then(|| weighted(draws, &open))
    }

    fn send(self: &Arc<Self>, planned: Planned) {
        let this = self.clone();
        self.tasks.run(async move { this.ask(planned).await });
    }

    async fn ask(&self, planned: Planned) {
        let Planned { dc, mut request, mut sent } = planned;
        let about = &self.topology.namespaces[usize::from(sent.namespace)];
        let listener = if about.binding { Listener::Binding } else { Listener::Rest };
        if about.binding
            && let Ok(id) = HeaderValue::from_str(about.id.as_str())
        {
            request.headers_mut().insert("cf-kv-namespace", id);
        }
        self.truth.sent(&sent);
        let gives_up = self.noise && self.streams.aborts.unit() < self.topology.noise.client_aborts;
        let patience = if gives_up {
            Duration::from_millis(1 + self.streams.aborts.below(30))
        } else {
            Duration::from_secs_f64(self.topology.traffic.timeout_s)
        };
        let call = self.network.call(&self.dcs[dc].1, listener, request);
        let (outcome, cache) = match self.clock.timeout(patience, call).await {
            Ok(Ok(response)) => {
                let cache = response.headers().get(rest::CACHE_STATUS).map_or(
                    CacheStatus::None,
                    |status| match status.as_bytes() {
                        b"HIT" => CacheStatus::Hit,
                        b"STALE" => CacheStatus::Stale,
                        b"MISS" => CacheStatus::Miss,
                        b"REVALIDATED" => CacheStatus::Revalidated,
                        _ => CacheStatus::None,
                    },
                );
                if sent.operation == Operation::Get && response.status() == StatusCode::OK {
                    sent.value = value_of(response.body());
                }
                (Outcome::Status(response.status().as_u16()), cache)
            }
            Ok(Err(_)) => (Outcome::Broken, CacheStatus::None),
            Err(_) if gives_up => (Outcome::Aborted, CacheStatus::None),
            Err(_) => (Outcome::Timeout, CacheStatus::None),
        };
        let latency = self.clock.timestamp().since(sent.at);
        self.truth.ended(sent, outcome, cache, latency);
    }
}

/// A value that tells which write it is.
fn body(value: u64, bytes: usize) -> Bytes {
    let mut body = format!("{value:016x}").into_bytes();
    body.resize(bytes.max(16), b'.');
    Bytes::from(body)
}

/// Which write a value is; the first one is not any customer's.
pub(super) fn value_of(body: &[u8]) -> u64 {
    let digits = body.get(..16).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(FIRST_VALUE)
}

fn operation(method: &Method) -> Operation {
    match *method {
        Method::PUT => Operation::Put,
        Method::DELETE => Operation::Delete,
        _ => Operation::Get,
    }
}

fn request(method: Method, uri: Uri, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request
}

/// A place drawn by weight.
fn weighted(draws: &Stream, weights: &[f64]) -> usize {
    let mut drawn = draws.unit() * weights.iter().sum::<f64>();
    for (at, weight) in weights.iter().enumerate() {
        if drawn < *weight {
            return at;
        }
        drawn -= weight;
    }
    // Rounding can leave a crumb: the last one that has any weight takes it.
    weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
}
