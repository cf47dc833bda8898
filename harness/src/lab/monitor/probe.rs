//! Synthetic writes and reads: does every data center answer, and how old is what it answers?
//!
//! One key is written again and again, each time through another data center, and read through all of them. What a data
//! center answers is as old as the first acknowledged write that the answer does not know.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use kv_node::api::rest;
use kv_node::env::{Listener, NodeEnv, Timestamp};
use kv_node::ids::{Dc, Name};
use kv_node::telemetry::catalogue;
use kv_node::telemetry::registry::{Counter, Gauge, Registry};

use super::super::lock;
use crate::spec::peers::PROBE_NAMESPACE;

/// How often the key is written and read everywhere. Longer than the bound of a minute, so that a healthy answer knows the
/// write before.
const PERIOD: Duration = Duration::from_secs(75);
/// How long a probe waits.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Writes that are remembered.
const WRITES_MAX: usize = 64;

pub(super) struct Probe {
    env: NodeEnv,
    registry: Registry,
    targets: Vec<Target>,
    written: Mutex<Written>,
    stopped: AtomicBool,
}

struct Target {
    dc: Dc,
    reads: Counter,
    writes: Counter,
    failed_reads: Counter,
    failed_writes: Counter,
    staleness: Gauge,
}

#[derive(Default)]
struct Written {
    next: u64,
    /// Acknowledged writes, each with its moment.
    acknowledged: VecDeque<(u64, Timestamp)>,
}

impl Probe {
    pub(super) fn new(dcs: Vec<Dc>, env: NodeEnv) -> Arc<Self> {
        let registry = Registry::default();
        let targets = dcs
            .into_iter()
            .map(|dc| {
                let counter =
                    |metric, operation| registry.counter(metric, &[dc.as_str(), operation]);
                Target {
                    reads: counter(&catalogue::PROBES, "get"),
                    writes: counter(&catalogue::PROBES, "put"),
                    failed_reads: counter(&catalogue::PROBE_FAILURES, "get"),
                    failed_writes: counter(&catalogue::PROBE_FAILURES, "put"),
                    staleness: registry.gauge(&catalogue::PROBE_STALENESS, &[dc.as_str()]),
                    dc,
                }
            })
            .collect();
        Arc::new(Self { env, registry, targets, written: Mutex::default(), stopped: false.into() })
    }

    pub(super) fn text(&self) -> String {
        self.registry.text()
    }

    /// Lets no further probe begin.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) async fn run(self: Arc<Self>) {
        let mut writer = 0;
        loop {
            if let Some(target) = self.targets.get(writer) {
                self.write(target).await;
            }
            writer = (writer + 1) % self.targets.len().max(1);
            for at in 0..self.targets.len() {
                let this = self.clone();
                let spread = PERIOD * u32::try_from(at).unwrap_or(0)
                    / u32::try_from(self.targets.len()).unwrap_or(1);
                self.env.tasks.spawn(Box::pin(async move {
                    this.env.clock.sleep(spread).await;
                    this.read(&this.targets[at]).await;
                }));
            }
            self.env.clock.sleep(PERIOD).await;
        }
    }

    fn path() -> String {
        rest::value_path("probe", &Name::new(PROBE_NAMESPACE.into(), "age"))
    }

    async fn write(&self, target: &Target) {
        let number = {
            let mut written = lock(&self.written);
            written.next += 1;
            written.next
        };
        let body = Bytes::from(number.to_string());
        let Ok(request) = Request::put(Self::path()).body(body) else { return };
        target.writes.inc();
        let call = self.env.network.call(&target.dc.peer(), Listener::Rest, request);
        let answer = self.env.timeout(TIMEOUT, call).await;
        if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success())) {
            let mut written = lock(&self.written);
            written.acknowledged.push_back((number, self.env.clock.now()));
            if written.acknowledged.len() > WRITES_MAX {
                written.acknowledged.pop_front();
            }
        } else {
            target.failed_writes.inc();
        }
    }

    async fn read(&self, target: &Target) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(request) = Request::get(Self::path()).body(Bytes::new()) else { return };
        let asked_at = self.env.clock.now();
        target.reads.inc();
        let call = self.env.network.call(&target.dc.peer(), Listener::Rest, request);
        let answer = self.env.timeout(TIMEOUT, call).await.ok().and_then(Result::ok);
        let seen = answer.and_then(|answer| match answer.status() {
            StatusCode::OK => std::str::from_utf8(answer.body()).ok()?.parse().ok(),
            StatusCode::NOT_FOUND => Some(0),
            _ => None,
        });
        match seen {
            Some(seen) => target.staleness.set(self.age_s(seen, asked_at)),
            None => target.failed_reads.inc(),
        }
    }

    /// For how many seconds an answer had been out of date when it was asked for.
    fn age_s(&self, seen: u64, asked_at: Timestamp) -> i64 {
        let written = lock(&self.written);
        let missed = written.acknowledged.iter().find(|(number, _)| *number > seen);
        missed.map_or(0, |(_, at)| i64::try_from(asked_at.since(*at).as_secs()).unwrap_or(i64::MAX))
    }
}
