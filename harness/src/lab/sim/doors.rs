//! The doors of simulated nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use kv_node::config::DcState;
use kv_node::env::{BoxFuture, Chance, Clock, Stream, Tasks, TelemetrySink, Timestamp};
use kv_node::ids::Dc;
use kv_node::telemetry::ship::{Fate, Shipper};
use kv_node::telemetry::{ExceptionReport, Lifecycle, ResponseLine, SpanRecord};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::recording::Journal;
use crate::spec::time::IncidentTime;

pub(super) use super::super::lock;

/// Virtual time, told as incident time.
#[derive(Debug)]
pub(super) struct SimClock {
    epoch: IncidentTime,
    origin: Instant,
}

impl SimClock {
    /// A clock that shows `epoch` now.
    pub(super) fn new(epoch: IncidentTime) -> Self {
        Self { epoch, origin: Instant::now() }
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        self.epoch.after(self.origin.elapsed())
    }

    pub(super) async fn sleep_until(&self, until: IncidentTime) {
        tokio::time::sleep_until(self.origin + until.since(self.epoch)).await;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.timestamp()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Streams of chance by name, all from one seed.
#[derive(Clone, Debug)]
pub(super) struct Seeds {
    seed: u64,
    prefix: Arc<str>,
}

impl Seeds {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, prefix: "".into() }
    }

    /// Streams whose names begin with a prefix.
    pub(super) fn below(&self, prefix: &str) -> Self {
        Self { seed: self.seed, prefix: format!("{}{prefix}/", self.prefix).into() }
    }
}

impl Chance for Seeds {
    fn stream(&self, name: &str) -> Stream {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(self.prefix.as_bytes());
        hash.update(name.as_bytes());
        Stream::new(Xoshiro256PlusPlus::from_seed(hash.finalize().into()))
    }
}

/// Tasks that end together.
#[derive(Debug, Default)]
pub(super) struct TaskSet {
    running: Mutex<Running>,
    arrivals: Mutex<Vec<AbortHandle>>,
}

/// Handles in the order in which the tasks began. Those of ended tasks are looked through now and then, which costs less
/// than being told of each end.
#[derive(Debug, Default)]
struct Running {
    handles: Vec<JoinHandle<()>>,
    reap_at: usize,
    panics: u64,
}

impl Running {
    fn reap(&mut self) {
        let mut panics = 0;
        self.handles.retain_mut(|handle| {
            let ended = handle.is_finished();
            if ended && let Some(Err(error)) = handle.now_or_never() {
                panics += u64::from(error.is_panic());
            }
            !ended
        });
        self.panics += panics;
        self.reap_at = (self.handles.len() * 2).max(64);
    }
}

impl TaskSet {
    #[expect(clippy::disallowed_methods, reason = "the one place where the simulated lab spawns")]
    pub(super) fn run(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let handle = tokio::spawn(future);
        let abort = handle.abort_handle();
        let mut running = lock(&self.running);
        running.handles.push(handle);
        if running.handles.len() >= running.reap_at {
            running.reap();
        }
        abort
    }

    /// Runs a task that [`Self::stop_arrivals`] ends.
    pub(super) fn run_arrivals(&self, future: impl Future<Output = ()> + Send + 'static) {
        let handle = self.run(future);
        lock(&self.arrivals).push(handle);
    }

    pub(super) fn stop_arrivals(&self) {
        for handle in lock(&self.arrivals).drain(..) {
            handle.abort();
        }
    }

    /// Ends all of them, in the order in which they began.
    pub(super) fn abort(&self) {
        let mut running = lock(&self.running);
        running.reap();
        for handle in running.handles.drain(..) {
            handle.abort();
        }
    }

    /// How many tasks have panicked so far.
    pub(super) fn panics(&self) -> u64 {
        let mut running = lock(&self.running);
        running.reap();
        running.panics
    }
}

impl Tasks for TaskSet {
    fn spawn(&self, future: BoxFuture<()>) {
        self.run(future);
    }
}

/// Takes what happens in the lives of nodes: the journal, and who is announced to customers.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    journal: Vec<(IncidentTime, Journal)>,
    announced: BTreeMap<Dc, bool>,
    revisions: BTreeMap<Dc, u64>,
}

impl Recorder {
    pub(super) fn journal(&self, at: IncidentTime, entry: Journal) {
        lock(&self.told).journal.push((at, entry));
    }

    /// Whether a data center takes customers.
    pub(super) fn announced(&self, dc: &Dc) -> bool {
        lock(&self.told).announced.get(dc).copied().unwrap_or(false)
    }

    /// A data center that died announces nothing.
    pub(super) fn withdraw(&self, dc: &Dc) {
        lock(&self.told).announced.insert(dc.clone(), false);
    }

    /// How many nodes have had a revision or a newer one.
    pub(super) fn nodes_with(&self, revision: u64) -> u64 {
        lock(&self.told).revisions.values().filter(|had| **had >= revision).count() as u64
    }

    pub(super) fn take(&self) -> Vec<(IncidentTime, Journal)> {
        std::mem::take(&mut lock(&self.told).journal)
    }

    fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        let mut told = lock(&self.told);
        match &event {
            Lifecycle::State { dc, state } => {
                told.announced.insert(dc.clone(), *state == DcState::Serving);
            }
            Lifecycle::ConfigApplied { dc, revision } => {
                let had = told.revisions.entry(dc.clone()).or_default();
                *had = (*had).max(*revision);
            }
            _ => {}
        }
        told.journal.push((at, Journal::Life(event)));
    }
}

/// The telemetry door of one host: lifecycle goes into the journal, everything else to its intake.
pub(super) struct Sink {
    pub(super) recorder: Arc<Recorder>,
    pub(super) shipper: Shipper,
}

impl TelemetrySink for Sink {
    fn lifecycle(&self, at: Timestamp, event: Lifecycle) {
        self.recorder.lifecycle(at, event);
    }

    fn line(&self, line: ResponseLine) {
        self.shipper.line(&line);
    }

    fn exception(&self, report: ExceptionReport) {
        self.shipper.exception(&report);
    }

    fn span(&self, span: SpanRecord) {
        self.shipper.span(&span);
    }

    fn fate(&self) -> Vec<Fate> {
        self.shipper.fate()
    }
}
