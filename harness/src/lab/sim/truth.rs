//! What the customers saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indexmap::IndexMap;
use kv_node::env::{Chance, Stream};
use rustc_hash::FxBuildHasher;

use super::doors::{Seeds, lock};
use crate::recording::{CacheStatus, INTERVAL_S, Offered, Outcome, RequestRow, SAMPLE, TruthRow};
use crate::spec::time::IncidentTime;
use crate::spec::topology::Topology;

/// A request before it is sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) at: IncidentTime,
    pub(super) dc: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) operation: &'static str,
    pub(super) key: Arc<str>,
}

/// Counts every request when it is sent and again when it ends.
pub(super) struct Truth {
    counts: Mutex<Counts>,
    sample: Stream,
    operations: BTreeMap<&'static str, Arc<str>>,
}

type Label = (u64, Arc<str>, Arc<str>, &'static str, Outcome, CacheStatus);

#[derive(Default)]
struct Counts {
    ended: IndexMap<Label, u64, FxBuildHasher>,
    offered: BTreeMap<u64, (u64, u64)>,
    requests: Vec<RequestRow>,
    sent: u64,
    failed: u64,
}

impl Truth {
    pub(super) fn new(_: &Topology, seeds: &Seeds) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::default(),
            sample: seeds.stream("truth/sample"),
            operations: ["get", "put", "delete"].map(|o| (o, Arc::from(o))).into(),
        })
    }

    /// Requests and failures so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        let counts = lock(&self.counts);
        (counts.sent, counts.failed)
    }

    pub(super) fn sent(&self, sent: &Sent) {
        let mut counts = lock(&self.counts);
        counts.sent += 1;
        let (offered, open) = counts.offered.entry(interval(sent.at)).or_default();
        *offered += 1;
        *open += 1;
    }

    pub(super) fn ended(&self, sent: Sent, outcome: Outcome, cache: CacheStatus, latency: Duration) {
        let weight = if !outcome.succeeded() {
            1
        } else if self.sample.below(SAMPLE) == 0 {
            SAMPLE
        } else {
            0
        };
        let mut counts = lock(&self.counts);
        counts.failed += u64::from(outcome.failed());
        if let Some((_, open)) = counts.offered.get_mut(&interval(sent.at)) {
            *open -= 1;
        }
        let label = (
            interval(sent.at),
            sent.dc.clone(),
            sent.namespace.clone(),
            sent.operation,
            outcome,
            cache,
        );
        *counts.ended.entry(label).or_insert(0) += 1;
        if weight > 0 {
            counts.requests.push(RequestRow {
                at: sent.at,
                latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
                dc: sent.dc,
                namespace: sent.namespace,
                operation: self.operations[sent.operation].clone(),
                key: sent.key,
                outcome,
                cache,
                weight,
            });
        }
    }

    pub(super) fn take(&self) -> (Vec<TruthRow>, Vec<Offered>, Vec<RequestRow>) {
        let mut counts = lock(&self.counts);
        let mut ended: Vec<(Label, u64)> = std::mem::take(&mut counts.ended).into_iter().collect();
        ended.sort();
        let truth = ended
            .into_iter()
            .map(|((from, dc, namespace, operation, outcome, cache), count)| TruthRow {
                from: begins(from),
                dc,
                namespace,
                operation: self.operations[operation].clone(),
                outcome,
                cache,
                count,
            })
            .collect();
        let offered = std::mem::take(&mut counts.offered)
            .into_iter()
            .map(|(from, (sent, open))| Offered { from: begins(from), sent, open })
            .collect();
        (truth, offered, std::mem::take(&mut counts.requests))
    }
}

fn interval(at: IncidentTime) -> u64 {
    at.unix_s() / INTERVAL_S
}

fn begins(interval: u64) -> IncidentTime {
    IncidentTime::from_unix_s(interval * INTERVAL_S)
}
