//! Synthetic reads from each data center through each tier of its region: whoever owns a key answers for it, whether a
//! customer is awake there or not.
//!
//! For each tier of a region there is a key that it owns while it is in service. All data centers of the region read it in
//! turn, so the same tier is asked from one place after the other. While a tier is out of service its key is another's, and
//! what is counted for it is how its keys fare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kv_node::api::rest;
use kv_node::cache::placement::Placement;
use kv_node::config::{Members, Snapshot};
use kv_node::env::{Listener, NodeEnv, Timestamp};
use kv_node::ids::{Dc, Name};
use kv_node::telemetry::catalogue;
use kv_node::telemetry::registry::{Counter, Registry};

use super::super::lock;
use super::probe::TIMEOUT;
use crate::spec::peers::PROBE_NAMESPACE;

/// How often each data center reads through each tier. Longer than an edge keeps a value, so that every read reaches the
/// tier; twice as long as other probes wait, since there are as many as data centers times tiers.
const PERIOD: Duration = Duration::from_secs(150);
/// The least between two reads: roads grow with the square of the data centers, and what they cost must not. Where this counts a
/// round takes longer.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Keys that are tried for a tier. Of ten tiers alike one owns none of so many once in 10^22 times.
const TRIED: u32 = 500;

/// From a data center through a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Road {
    pub(super) from: Dc,
    pub(super) owner: Dc,
    pub(super) key: String,
}

/// Every road there is, by data center: reads through one tier are far apart in time, and a moment's noise meets few of them.
pub(super) fn roads(members: &Members, initial: &Snapshot) -> Vec<Road> {
    let placement = Placement::new(members, initial);
    let mut keys: BTreeMap<&Dc, String> = BTreeMap::new();
    for (dc, member) in &members.dcs {
        let owned = |key: &String| {
            let name = Name::new(PROBE_NAMESPACE.into(), key);
            placement.regional(&member.region, &name).next() == Some(dc)
        };
        let mut tried = (0..TRIED).map(|number| format!("through/{dc}/{number}"));
        if member.regional_weight > 0
            && let Some(key) = tried.find(owned)
        {
            keys.insert(dc, key);
        }
    }
    let mut roads = Vec::new();
    for (from, member) in &members.dcs {
        let of_region =
            keys.iter().filter(|(owner, _)| members.dcs[**owner].region == member.region);
        roads.extend(of_region.map(|(owner, key)| Road {
            from: from.clone(),
            owner: (*owner).clone(),
            key: key.clone(),
        }));
    }
    roads
}

pub(super) struct Tiers {
    env: NodeEnv,
    registry: Registry,
    roads: Vec<Road>,
    /// By owner.
    requests: BTreeMap<Dc, Counter>,
    /// By place in the roads. Most never fail: a counter for each would be series of zeros.
    failures: Mutex<BTreeMap<usize, Counter>>,
    /// Keys that are not written yet, each with its owner.
    unwritten: Mutex<BTreeMap<Dc, String>>,
    stopped: AtomicBool,
}

impl Tiers {
    pub(super) fn new(roads: Vec<Road>, env: NodeEnv) -> Arc<Self> {
        let registry = Registry::default();
        let owners: BTreeSet<&Dc> = roads.iter().map(|road| &road.owner).collect();
        let counter = |owner: &Dc| registry.counter(&catalogue::PROBES_THROUGH, &[owner.as_str()]);
        let requests = owners.into_iter().map(|owner| (owner.clone(), counter(owner))).collect();
        let unwritten = roads.iter().map(|road| (road.owner.clone(), road.key.clone())).collect();
        Arc::new(Self {
            env,
            registry,
            roads,
            requests,
            failures: Mutex::default(),
            unwritten: Mutex::new(unwritten),
            stopped: AtomicBool::new(false),
        })
    }

    pub(super) fn text(&self) -> String {
        self.registry.text()
    }

    /// Lets no further probe begin.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Each road has its moments on the clock, whenever it was begun and however late a wakeup is: which of a round's reads
    /// fall into two minutes of maintenance is the same in every lab.
    pub(super) async fn run(self: Arc<Self>) {
        let Ok(roads @ 1..) = u32::try_from(self.roads.len()) else { return };
        let pause = (PERIOD / roads).max(PAUSE_MIN);
        let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let mut turn = 0;
        loop {
            let now = self.env.clock.now();
            turn = (now.0 / pause_us).max(turn) + 1;
            self.env.clock.sleep(Timestamp(turn.saturating_mul(pause_us)).since(now)).await;
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let at = usize::try_from(turn % u64::from(roads)).unwrap_or(0);
            let this = self.clone();
            self.env.tasks.spawn(Box::pin(async move { this.probe(at).await }));
        }
    }

    /// Reads along a road; the first time that its key's owner comes up it is written there.
    async fn probe(&self, at: usize) {
        let road = &self.roads[at];
        let unwritten = road.from == road.owner && lock(&self.unwritten).contains_key(&road.owner);
        if unwritten && self.ask(Method::PUT, road).await == Some(StatusCode::OK) {
            lock(&self.unwritten).remove(&road.owner);
        }
        if let Some(requests) = self.requests.get(&road.owner) {
            requests.inc();
        }
        let answer = self.ask(Method::GET, road).await;
        if !matches!(answer, Some(StatusCode::OK | StatusCode::NOT_FOUND)) {
            let told = [road.from.as_str(), road.owner.as_str()];
            let begin = || self.registry.counter(&catalogue::PROBE_FAILURES_THROUGH, &told);
            lock(&self.failures).entry(at).or_insert_with(begin).inc();
        }
    }

    async fn ask(&self, method: Method, road: &Road) -> Option<StatusCode> {
        let path = rest::value_path("probe", &Name::new(PROBE_NAMESPACE.into(), &road.key));
        let body = if method == Method::PUT { Bytes::from_static(b"there") } else { Bytes::new() };
        let request = Request::builder().method(method).uri(path).body(body).ok()?;
        let call = self.env.network.call(&road.from.peer(), Listener::Rest, request);
        let answer = self.env.timeout(TIMEOUT, call).await.ok()?.ok()?;
        Some(answer.status())
    }
}

#[cfg(test)]
mod tests {
    use kv_node::config::Member;

    use super::*;

    fn members() -> Members {
        let dcs = [("MEL", "OC", 1500), ("SYD", "OC", 1000), ("BNE", "OC", 0), ("FRA", "EU", 1000)];
        let dcs = dcs.map(|(dc, region, regional_weight)| {
            let member = Member { region: region.into(), regional_weight, upper_weight: 0 };
            (Dc::from(dc), member)
        });
        Members { dcs: dcs.into(), origins: BTreeMap::new(), store_hosts: None }
    }

    #[test]
    fn each_data_center_reads_through_each_tier_of_its_region() {
        let members = members();
        let initial = Snapshot { revision: 1, new_backend: true, ..Snapshot::default() };
        let roads = roads(&members, &initial);
        let pairs: Vec<_> = roads.iter().map(|r| (r.from.as_str(), r.owner.as_str())).collect();
        let expected = [
            ("BNE", "MEL"),
            ("BNE", "SYD"),
            ("FRA", "FRA"),
            ("MEL", "MEL"),
            ("MEL", "SYD"),
            ("SYD", "MEL"),
            ("SYD", "SYD"),
        ];
        assert_eq!(pairs, expected);
        let placement = Placement::new(&members, &initial);
        for road in &roads {
            let region = &members.dcs[&road.from].region;
            let name = Name::new(PROBE_NAMESPACE.into(), &road.key);
            assert_eq!(placement.regional(region, &name).next(), Some(&road.owner));
        }
    }
}
