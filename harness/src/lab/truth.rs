//! What the customers saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indexmap::IndexMap;
use kv_node::env::{Chance, Stream};
use rustc_hash::FxBuildHasher;

use super::doors::{Seeds, lock};
use crate::recording::{
    CacheStatus, FIRST_VALUE, INTERVAL_S, Offered, OperationRow, Outcome, ProductRow, RequestRow,
    SAMPLE, TruthRow, follows_reads,
};
use crate::spec::time::IncidentTime;
use crate::spec::topology::Topology;

/// A request before it is sent. Data centers and namespaces by their places in the topology.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) at: IncidentTime,
    pub(super) dc: u16,
    pub(super) namespace: u16,
    pub(super) operation: Operation,
    pub(super) key: Arc<str>,
    /// What is written or, once it has ended, what was read.
    pub(super) value: u64,
}

/// What a customer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Get,
    Put,
    Delete,
    List,
}

/// Counts every request when it is sent and again when it ends.
pub(super) struct Truth {
    counts: Mutex<Counts>,
    sample: Stream,
    dcs: Vec<Arc<str>>,
    namespaces: Vec<Arc<str>>,
    operations: [Arc<str>; 4],
    values: AtomicU64,
}

type Label = (u16, u16, Operation, Outcome, CacheStatus);

#[derive(Default)]
struct Counts {
    open: BTreeMap<u64, Interval>,
    truth: Vec<TruthRow>,
    offered: Vec<Offered>,
    requests: Vec<RequestRow>,
    operations: Vec<OperationRow>,
    products: BTreeMap<(u64, Arc<str>, &'static str, &'static str, Outcome), u64>,
    sent: u64,
    failed: u64,
}

#[derive(Default)]
struct Interval {
    sent: u64,
    ended: u64,
    labels: IndexMap<Label, u64, FxBuildHasher>,
}

impl Truth {
    pub(super) fn new(topology: &Topology, seeds: &Seeds) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::default(),
            sample: seeds.stream("truth/sample"),
            dcs: topology.dcs.keys().map(|dc| dc.as_str().into()).collect(),
            namespaces: topology.namespaces.iter().map(|n| n.id.as_str().into()).collect(),
            operations: ["get", "put", "delete", "list"].map(Arc::from),
            values: AtomicU64::new(FIRST_VALUE + 1),
        })
    }

    /// A value that nobody has written yet.
    pub(super) fn next_value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Requests and failures so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        let counts = lock(&self.counts);
        (counts.sent, counts.failed)
    }

    pub(super) fn sent(&self, sent: &Sent) {
        let mut counts = lock(&self.counts);
        counts.sent += 1;
        counts.open.entry(interval(sent.at)).or_default().sent += 1;
        // An interval is done with when nobody who sent a request in it still waits for an answer.
        let done =
            |(at, open): (&u64, &Interval)| *at < interval(sent.at) && open.sent == open.ended;
        while counts.open.first_key_value().is_some_and(done) {
            if let Some((at, open)) = counts.open.pop_first() {
                self.close(&mut counts, at, open);
            }
        }
    }

    pub(super) fn ended(
        &self,
        sent: Sent,
        outcome: Outcome,
        cache: CacheStatus,
        latency: Duration,
    ) {
        let weight = if !outcome.succeeded() {
            1
        } else if self.sample.below(SAMPLE) == 0 {
            SAMPLE
        } else {
            0
        };
        let mut counts = lock(&self.counts);
        counts.failed += u64::from(outcome.failed());
        let open = counts.open.entry(interval(sent.at)).or_default();
        open.ended += 1;
        let label = (sent.dc, sent.namespace, sent.operation, outcome, cache);
        *open.labels.entry(label).or_insert(0) += 1;
        let kept = match sent.operation {
            Operation::Get => follows_reads(&sent.key),
            Operation::Put | Operation::Delete => true,
            Operation::List => false,
        };
        if kept {
            counts.operations.push(OperationRow {
                at: sent.at,
                ended: sent.at.after(latency),
                dc: self.dcs[usize::from(sent.dc)].clone(),
                namespace: self.namespaces[usize::from(sent.namespace)].clone(),
                key: sent.key.clone(),
                operation: self.operations[sent.operation as usize].clone(),
                outcome,
                value: sent.value,
            });
        }
        if weight > 0 {
            counts.requests.push(RequestRow {
                at: sent.at,
                latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
                dc: self.dcs[usize::from(sent.dc)].clone(),
                namespace: self.namespaces[usize::from(sent.namespace)].clone(),
                operation: self.operations[sent.operation as usize].clone(),
                key: sent.key,
                outcome,
                cache,
                weight,
            });
        }
    }

    /// A request to a product has ended.
    pub(super) fn product(
        &self,
        sent: IncidentTime,
        dc: &Arc<str>,
        (product, operation): (&'static str, &'static str),
        outcome: Outcome,
    ) {
        let key = (interval(sent), dc.clone(), product, operation, outcome);
        *lock(&self.counts).products.entry(key).or_insert(0) += 1;
    }

    /// Requests to products.
    pub(super) fn take_products(&self) -> Vec<ProductRow> {
        let products = std::mem::take(&mut lock(&self.counts).products);
        let row = |((at, dc, product, operation, outcome), count)| ProductRow {
            from: IncidentTime::from_unix_s(at * INTERVAL_S),
            dc,
            product: Arc::from(product),
            operation: Arc::from(operation),
            outcome,
            count,
        };
        products.into_iter().map(row).collect()
    }

    /// Writes and followed reads.
    pub(super) fn take_operations(&self) -> Vec<OperationRow> {
        std::mem::take(&mut lock(&self.counts).operations)
    }

    pub(super) fn take(&self) -> (Vec<TruthRow>, Vec<Offered>, Vec<RequestRow>) {
        let mut counts = lock(&self.counts);
        while let Some((at, open)) = counts.open.pop_first() {
            self.close(&mut counts, at, open);
        }
        (
            std::mem::take(&mut counts.truth),
            std::mem::take(&mut counts.offered),
            std::mem::take(&mut counts.requests),
        )
    }

    fn close(&self, counts: &mut Counts, at: u64, open: Interval) {
        let from = IncidentTime::from_unix_s(at * INTERVAL_S);
        let (sent, ended) = (open.sent, open.ended);
        counts.offered.push(Offered { from, sent, open: sent.saturating_sub(ended) });
        let mut labels: Vec<(Label, u64)> = open.labels.into_iter().collect();
        labels.sort_unstable();
        counts.truth.extend(labels.into_iter().map(|(label, count)| {
            let (dc, namespace, operation, outcome, cache) = label;
            TruthRow {
                from,
                dc: self.dcs[usize::from(dc)].clone(),
                namespace: self.namespaces[usize::from(namespace)].clone(),
                operation: self.operations[operation as usize].clone(),
                outcome,
                cache,
                count,
            }
        }));
    }
}

fn interval(at: IncidentTime) -> u64 {
    at.unix_s() / INTERVAL_S
}
