//! Customers of nodes that run elsewhere, in real time: those of a topology, as in every lab. The live lab has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use kv_node::api::admin::METRICS;
use kv_node::api::rest;
use kv_node::config::DcState;
use kv_node::env::{Listener, NetworkError};
use kv_node::ids::{Dc, Name};
use kv_node::safeguards::Build;
use kv_node::telemetry::Lifecycle;

use super::containers::Remote;
use super::customers::{Customers, key};
use super::doors::LabClock;
use super::stage::Stage;
use super::wire::Service;
use crate::spec::time::IncidentTime;
use crate::spec::topology::{NamespaceAbout, Topology};
use crate::spec::{Spec, StoresSpeak};

/// How often data centers are asked whether they take customers: a route is withdrawn about as fast.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often whoever sends traffic is told what came of it.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// So many keys are written at a time before the first customer comes.
const WRITES: usize = 8;
/// Whoever does not take a key yet is not asked again at once.
const LAY_AGAIN: Duration = Duration::from_millis(200);
/// A request takes no longer, whoever waits for it: a data center that stands still keeps no sockets.
const PATIENCE: Duration = Duration::from_secs(15);
/// No run of it lasts longer.
const AGE_MAX: Duration = Duration::from_hours(24 * 365);

/// What customers saw since they were asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: IncidentTime,
    /// Requests that ended.
    pub requests: u64,
    /// Those that failed, by data center.
    pub failed: BTreeMap<Arc<str>, u64>,
    /// Data centers that take no customers.
    pub withdrawn: Vec<Dc>,
}

/// Sends what a topology's customers send, until it is dropped. `hosts` says where data centers listen: their REST API, and
/// where they tell whether they serve.
pub async fn send(
    topology: Topology,
    seed: u64,
    hosts: impl Fn(&Dc) -> [String; 2],
    mut tell: impl FnMut(&Seen),
) {
    let start = crate::runs::about::wall();
    let spec = Spec {
        topology,
        stores: StoresSpeak::default(),
        noise: false,
        build: Build::current(),
        builds: BTreeMap::new(),
        start,
        end: start.after(AGE_MAX),
        rates: Vec::new(),
        timeline: Vec::new(),
        triggered: Vec::new(),
        released: Vec::new(),
        rules: Vec::new(),
        speed: None,
    };
    let stage = Stage::new(&spec, seed, LabClock::new(start));
    let mut remotes: Vec<(Dc, Arc<Remote>)> = Vec::new();
    for dc in spec.topology.dcs.keys() {
        let remote = Remote::patient(PATIENCE);
        for (listener, host) in [Listener::Rest, Listener::Admin].into_iter().zip(hosts(dc)) {
            remote.publish_at(listener, &host);
        }
        stage.wire.serve(&dc.peer(), Service::Remote(remote.clone()));
        remotes.push((dc.clone(), remote));
    }
    for namespace in &spec.topology.namespaces {
        lay(namespace, &remotes).await;
    }
    Customers::start(&stage);
    let mut announced: BTreeMap<Dc, bool> = BTreeMap::new();
    let mut told_at = stage.clock.timestamp();
    loop {
        let asked = remotes.iter().map(|(_, remote)| serves(remote));
        for ((dc, _), serves) in remotes.iter().zip(join_all(asked).await) {
            let Some(serves) = serves else { continue };
            if announced.insert(dc.clone(), serves) != Some(serves) {
                let state = if serves { DcState::Serving } else { DcState::Maintenance };
                let event = Lifecycle::State { dc: dc.clone(), state };
                stage.recorder.lifecycle(stage.clock.timestamp(), event);
            }
        }
        let now = stage.clock.timestamp();
        if now.since(told_at) >= TELL_EVERY {
            told_at = now;
            let withdrawn = announced.iter().filter(|(_, serves)| !**serves);
            tell(&seen(&stage, now, withdrawn.map(|(dc, _)| dc.clone()).collect()));
        }
        stage.clock.pause(LOOK_EVERY).await;
    }
}

/// Takes what was counted, so that nothing grows for as long as customers come.
fn seen(stage: &Stage, at: IncidentTime, withdrawn: Vec<Dc>) -> Seen {
    let mut seen = Seen { at, withdrawn, ..Seen::default() };
    for row in stage.truth.take().0 {
        seen.requests += row.count;
        if row.outcome.failed() {
            *seen.failed.entry(row.dc).or_default() += row.count;
        }
    }
    stage.truth.take_operations();
    stage.wire.take_counts();
    stage.wire.take_answers();
    stage.recorder.take();
    seen
}

/// Whether a data center takes customers. One that cannot be reached is withdrawn; of one that does not answer nothing is
/// known, and what it announced stays.
async fn serves(remote: &Remote) -> Option<bool> {
    let request = Request::get(METRICS).body(Bytes::new()).ok()?;
    let asked = remote.call(Listener::Admin, request);
    match tokio::time::timeout(LOOK_EVERY, asked).await.ok()? {
        Ok(answer) => {
            let text = std::str::from_utf8(answer.body()).ok()?;
            text.lines().find_map(|line| line.strip_prefix("node_serving ")).map(|on| on == "1")
        }
        Err(NetworkError::Refused) => Some(false),
        Err(_) => None,
    }
}

/// Writes a namespace's keys where they are not there yet.
async fn lay(namespace: &NamespaceAbout, remotes: &[(Dc, Arc<Remote>)]) {
    let path = |at: u32| rest::value_path("a", &Name::new(namespace.id.clone(), &key(at)));
    let value = Bytes::from(vec![b'.'; namespace.value_bytes]);
    // Asks one data center after the other, until one answers as it should.
    let ask = async |at: u32, write: bool, good: &[StatusCode]| {
        for (_, remote) in remotes.iter().cycle().skip(usize::try_from(at).unwrap_or(0)) {
            let request = if write { Request::put(path(at)) } else { Request::get(path(at)) };
            let body = if write { value.clone() } else { Bytes::new() };
            let Ok(request) = request.body(body) else { break };
            let answer = remote.call(Listener::Rest, request).await;
            match answer.map(|answer| answer.status()) {
                Ok(status) if good.contains(&status) => return status,
                _ => tokio::time::sleep(LAY_AGAIN).await,
            }
        }
        StatusCode::NOT_FOUND
    };
    // The last one is written when all others are there.
    let last = namespace.keys.saturating_sub(1);
    if ask(last, false, &[StatusCode::OK, StatusCode::NOT_FOUND]).await == StatusCode::OK {
        return;
    }
    let writes = futures_util::stream::iter(0..last).map(|at| ask(at, true, &[StatusCode::OK]));
    writes.buffered(WRITES).for_each(|_| std::future::ready(())).await;
    ask(last, true, &[StatusCode::OK]).await;
}
